"""Real FTP servers for tests: pyftpdlib from PyPI, and vsftpd, ProFTPD and Pure-FTPd where they are installed."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

USER = "user"
PASSWORD = "secret-pass"


@dataclass
class FTPPeer:
    """A running server with one user whose home is ``root``."""

    name: str
    host: str
    port: int
    root: Path
    user: str = USER
    password: str = PASSWORD
    tls: str = "none"
    ca_file: str | None = None
    anonymous: bool = False
    """Everybody may read."""
    log: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        scheme = {"none": "ftp", "explicit": "ftpes", "implicit": "ftps"}[self.tls]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def peers_of_environment() -> dict[str, FTPPeer]:
    """Servers that run already: FASTXFER_TEST_FTP holds ``name|url|user|password|root directory|CA file`` a line."""
    peers = {}
    for line in os.environ.get("FASTXFER_TEST_FTP", "").splitlines():
        name, url, user, password, root, ca_file = line.split("|")
        parts = urlsplit(url)
        tls = {"ftp": "none", "ftpes": "explicit", "ftps": "implicit"}[parts.scheme]
        host, port = parts.hostname or "", parts.port or 21
        peers[name] = FTPPeer(name, host, port, Path(root), user, password, tls, ca_file or None)
    return peers


Runner = Callable[[Path, "Certificates | None"], AbstractContextManager[FTPPeer]]
"""Runs a server of a directory, with TLS where it is given certificates."""


class Certificates:
    """A certificate authority and a server certificate of it for localhost, as files."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.authority = authority
        server = authority.issue_cert("localhost", "127.0.0.1", "::1")
        client = authority.issue_cert("client@example.org")
        self.ca_file = str(directory / "ca.pem")
        self.server_file = str(directory / "server.pem")
        self.key_file = str(directory / "server.key")
        self.client_file = str(directory / "client.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        server.private_key_and_cert_chain_pem.write_to_path(self.server_file)
        server.private_key_pem.write_to_path(self.key_file)
        client.private_key_and_cert_chain_pem.write_to_path(self.client_file)


@contextlib.contextmanager
def run_pyftpdlib(
    root: Path, certificates: Certificates | None = None, *, host: str = "127.0.0.1", **attributes: object
) -> Iterator[FTPPeer]:
    """pyftpdlib in a thread of this process; *attributes* are set on its handler class."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, str(root), perm="elradfmwMT")
    authorizer.add_anonymous(str(root), perm="elr")
    base = FTPHandler if certificates is None else TLS_FTPHandler
    members: dict[str, object] = {"authorizer": authorizer, "use_gmt_times": True, "auth_failed_timeout": 0}
    if certificates is not None:
        members |= {"certfile": certificates.server_file, "ssl_context": None}
    handler = type("Handler", (base,), members | attributes)
    loop = IOLoop()
    server = FTPServer((host, 0), handler, ioloop=loop)
    server.max_cons = 512
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            loop.loop(timeout=0.02, blocking=False)
        server.close_all()

    thread = threading.Thread(target=serve, name="pyftpdlib")
    thread.start()
    address = server.socket.getsockname()
    try:
        yield FTPPeer(
            "pyftpdlib",
            host,
            address[1],
            root,
            tls="none" if certificates is None else "explicit",
            ca_file=None if certificates is None else certificates.ca_file,
            anonymous=True,
        )
    finally:
        stopping.set()
        thread.join(30)


@contextlib.contextmanager
def root_for_all() -> Iterator[Path]:
    """An empty directory outside pytest's own, which servers that become another user cannot enter."""
    with tempfile.TemporaryDirectory(prefix="ftp-root") as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "root"
        root.mkdir()
        yield root


def give_away(root: Path) -> None:
    """Servers that run as somebody else need their files to be theirs."""
    owner = root.stat()
    if os.getuid() == 0 and owner.st_uid != 0:
        for path in root.rglob("*"):
            shutil.chown(path, owner.st_uid, owner.st_gid)


def free_port() -> int:
    """A port that is free now, for servers that cannot choose one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def free_port_for_active_mode() -> int:
    """As :func:`free_port`; free is the port before it, too, that of active data connections (RFC 959, section 5.2)."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port - 1)):
            return port


def find_program(name: str) -> str:
    """The path of a server program; skips the test where it is not installed."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@contextlib.contextmanager
def run_program(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a server until it accepts connections on *port*; stop it, and what it started, afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            end = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > end:
                        pytest.fail(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
                    time.sleep(0.05)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


@contextlib.contextmanager
def run_proftpd(
    root: Path, certificates: Certificates | None = None, *, implicit: bool = False, more: Sequence[str] = ()
) -> Iterator[FTPPeer]:
    """ProFTPD with a virtual user, and *more* directives. Demands TLS session reuse, as is its default."""
    program = find_program("proftpd")
    port = free_port_for_active_mode()
    with tempfile.TemporaryDirectory(prefix="proftpd") as text:
        place = Path(text)
        # ProFTPD lets nobody in as root.
        me = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        os.chown(root, me.pw_uid, me.pw_gid)
        hashed = subprocess.run(
            ["openssl", "passwd", "-1", PASSWORD], check=True, capture_output=True, text=True
        ).stdout.strip()
        (place / "passwd").write_text(f"{USER}:{hashed}:{me.pw_uid}:{me.pw_gid}::{root}:/bin/sh\n")
        (place / "group").write_text(f"users:x:{me.pw_gid}:{USER}\n")
        for name in ("passwd", "group"):
            (place / name).chmod(0o600)
        lines = [
            "ServerType standalone",
            "DefaultAddress 127.0.0.1",
            "SocketBindTight on",
            "UseIPv6 off",
            f"Port {port}",
            "UseReverseDNS off",
            "MaxInstances none",
            f"User {me.pw_name}",
            f"Group {grp.getgrgid(me.pw_gid).gr_name}",
            f"DefaultRoot {root}",
            "AuthOrder mod_auth_file.c",
            f"AuthUserFile {place}/passwd",
            f"AuthGroupFile {place}/group",
            "RequireValidShell off",
            "AllowOverwrite on",
            "AllowStoreRestart on",
            "AllowRetrieveRestart on",
            "WtmpLog off",
            "TransferLog none",
            f"ScoreboardFile {place}/scoreboard",
            f"PidFile {place}/pid",
            "TimesGMT on",
            "RootRevoke off",
        ]
        wanted = [
            "mod_facts",
            "mod_copy",
            "mod_site_misc",
            "mod_digest",
            *([] if certificates is None else ["mod_tls"]),
        ]
        lines.insert(0, _module_path(program, wanted))
        for module in wanted[:4]:
            lines.append(f"<IfModule !{module}.c>\nLoadModule {module}.c\n</IfModule>")
        if certificates is not None:
            lines += [
                "<IfModule !mod_tls.c>\nLoadModule mod_tls.c\n</IfModule>",
                "TLSEngine on",
                f"TLSRSACertificateFile {certificates.server_file}",
                f"TLSRSACertificateKeyFile {certificates.key_file}",
                "TLSRequired off",
                "TLSVerifyClient off",
            ]
            if implicit:
                lines.append("TLSOptions UseImplicitSSL")
        lines += more
        (place / "proftpd.conf").write_text("\n".join(lines) + "\n")
        with run_program([program, "-n", "-q", "-c", str(place / "proftpd.conf")], port, place / "log"):
            yield _peer("proftpd", port, root, certificates, implicit=implicit)


def _module_path(program: str, wanted: list[str]) -> str:
    """The ModulePath line that ProFTPD needs where it was unpacked and not installed; skips where modules are missing.

    A program that lies elsewhere than where it was built for looks for its modules in vain; they lie beside it.
    """
    listed = subprocess.run([program, "-l"], check=False, capture_output=True, text=True).stdout
    missing = [module for module in wanted if f"{module}.c" not in listed]
    if not missing:
        return ""
    told = subprocess.run([program, "-V"], check=False, capture_output=True, text=True).stdout
    built_for = re.search(r"Shared Module Directory:\s+(\S+)", told)
    prefix = Path(program).resolve().parent.parent
    places = [*([Path(built_for[1])] if built_for else []), prefix / "lib" / "proftpd", prefix / "libexec"]
    for place in places:
        if all((place / f"{module}.so").exists() for module in missing):
            return f"ModulePath {place}"
    pytest.skip(f"proftpd's modules {', '.join(missing)} are in none of {', '.join(map(str, places))}")


@contextlib.contextmanager
def run_pure_ftpd(root: Path, certificates: Certificates | None = None) -> Iterator[FTPPeer]:
    """Pure-FTPd with a virtual user (needs root)."""
    program = find_program("pure-ftpd")
    pure_pw = find_program("pure-pw")
    if os.getuid() != 0:
        pytest.skip("pure-ftpd needs root")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pure-ftpd") as text:
        place = Path(text)
        nobody = pwd.getpwnam("nobody")
        os.chown(root, nobody.pw_uid, nobody.pw_gid)
        subprocess.run(
            [
                pure_pw, "useradd", USER, "-f", f"{place}/passwd", "-F", f"{place}/db", "-m",
                "-u", str(nobody.pw_uid), "-g", str(nobody.pw_gid), "-d", str(root),
            ],
            input=f"{PASSWORD}\n{PASSWORD}\n",
            text=True,
            check=True,
            capture_output=True,
        )  # fmt: skip
        command = [
            program, "-S", f"127.0.0.1,{port}", "-4", "-H", "-l", f"puredb:{place}/db", "-u", "1", "-A", "-E",
            "-c", "1000", "-C", "1000", "-I", "10", "-z", "-D", "-L", "100000:100", "-f", "none", "-g", f"{place}/pid",
        ]  # fmt: skip
        command += ["-Y", "0"] if certificates is None else ["-Y", "1", "-2", certificates.server_file]
        with run_program(command, port, place / "log"):
            yield _peer("pure-ftpd", port, root, certificates)


def _peer(name: str, port: int, root: Path, certificates: Certificates | None, *, implicit: bool = False) -> FTPPeer:
    tls = "none" if certificates is None else "implicit" if implicit else "explicit"
    return FTPPeer(
        name, "127.0.0.1", port, root, tls=tls, ca_file=None if certificates is None else certificates.ca_file
    )


@contextlib.contextmanager
def run_vsftpd(root: Path, certificates: Certificates | None = None, *, implicit: bool = False) -> Iterator[FTPPeer]:
    """vsftpd with a user of a private passwd file (needs root and ``unshare``). Demands TLS session reuse."""
    program = find_program("vsftpd")
    unshare = find_program("unshare")
    if os.getuid() != 0:
        pytest.skip("vsftpd needs root")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="vsftpd") as text:
        place = Path(text)
        account = pwd.getpwnam("nobody")
        os.chown(root, account.pw_uid, account.pw_gid)
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True
        ).stdout.strip()
        passwd = Path("/etc/passwd").read_text()
        shadow = Path("/etc/shadow").read_text()
        (place / "passwd").write_text(passwd + f"{USER}:x:{account.pw_uid}:{account.pw_gid}::{root}:/bin/sh\n")
        (place / "shadow").write_text(shadow + f"{USER}:{hashed}:19000:0:99999:7:::\n")
        (place / "pam").write_text("auth required pam_unix.so\naccount required pam_unix.so\n")
        (place / "empty").mkdir()
        lines = [
            "listen=YES",
            "listen_address=127.0.0.1",
            f"listen_port={port}",
            "background=NO",
            "anonymous_enable=NO",
            "local_enable=YES",
            "write_enable=YES",
            "local_umask=022",
            "chroot_local_user=YES",
            "allow_writeable_chroot=YES",
            f"local_root={root}",
            f"secure_chroot_dir={place}/empty",
            "pam_service_name=vsftpd-test",
            "xferlog_enable=NO",
            "max_clients=0",
            "max_per_ip=0",
            "utf8_filesystem=YES",
            "chmod_enable=YES",
            "mdtm_write=YES",
            "check_shell=NO",
        ]
        if certificates is not None:
            lines += [
                "ssl_enable=YES",
                f"rsa_cert_file={certificates.server_file}",
                f"rsa_private_key_file={certificates.key_file}",
                "force_local_data_ssl=NO",
                "force_local_logins_ssl=NO",
                "require_ssl_reuse=YES",
                "ssl_ciphers=HIGH",
            ]
            if implicit:
                lines.append("implicit_ssl=YES")
        (place / "vsftpd.conf").write_text("\n".join(lines) + "\n")
        script = (
            f"mount --bind {place}/passwd /etc/passwd && mount --bind {place}/shadow /etc/shadow && "
            f"mkdir -p {place}/pam.d && cp -r /etc/pam.d/. {place}/pam.d/ && "
            f"cp {place}/pam {place}/pam.d/vsftpd-test && "
            f"mount --bind {place}/pam.d /etc/pam.d && exec {program} {place}/vsftpd.conf"
        )
        with run_program([unshare, "-m", "sh", "-c", script], port, place / "log"):
            yield _peer("vsftpd", port, root, certificates, implicit=implicit)


RUNNERS: dict[str, Runner] = {
    "pyftpdlib": run_pyftpdlib,
    "vsftpd": run_vsftpd,
    "proftpd": run_proftpd,
    "pure-ftpd": run_pure_ftpd,
}
RUNNING = peers_of_environment()


def names_of(runners: dict[str, Runner]) -> list[str]:
    """What :func:`run_named` knows: each server plain and with TLS, and those that run already."""
    return [*(f"{name}{tls}" for name in runners for tls in ("", "-tls")), *RUNNING]


@contextlib.contextmanager
def run_named(name: str, runners: dict[str, Runner], certificates: Certificates) -> Iterator[FTPPeer]:
    if name in RUNNING:
        yield RUNNING[name]
        return
    program = name.removesuffix("-tls")
    with root_for_all() as root, runners[program](root, certificates if program != name else None) as peer:
        yield peer


def empty(root: Path) -> None:
    for item in root.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()
