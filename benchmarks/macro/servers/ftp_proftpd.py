"""ProFTPD."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.macro.servers.ftp_setup import (
    UID,
    USER,
    Setup,
    find_program,
    need_root,
    password_hash,
    version_from,
)


def version() -> str:
    return version_from([find_program("proftpd"), "-v"], r"Version ([\w.]+)")


def command(setup: Setup) -> Sequence[str]:
    need_root("proftpd")
    program = find_program("proftpd")
    modules = Path(program).resolve().parents[1] / "lib/proftpd"
    folder = setup.folder
    _private(folder / "authuser", f"{USER}:{password_hash()}:{UID}:{UID}:{USER}:{setup.root}:/bin/sh\n")
    _private(folder / "authgroup", f"{USER}:x:{UID}:{USER}\n")
    lines = [f"ModulePath {modules}"] if modules.is_dir() else []
    lines += ["LoadModule mod_tls.c"] if setup.certificate else []
    lines += [
        "ServerType standalone",
        "ServerName proftpd",
        "DefaultServer on",
        f"DefaultAddress {setup.host}",
        "SocketBindTight on",
        "UseIPv6 off",
        f"Port {setup.port}",
        "UseReverseDNS off",
        "User nobody",
        "Group nogroup",
        "MaxInstances none",
        f"DefaultRoot {setup.root}",
        "AuthOrder mod_auth_file.c",
        f"AuthUserFile {folder}/authuser",
        f"AuthGroupFile {folder}/authgroup",
        "RequireValidShell off",
        "AllowOverwrite on",
        f"PassivePorts {setup.passive[0]} {setup.passive[1]}",
        "DelayEngine off",
        "WtmpLog off",
        "TransferLog none",
        f"SystemLog {folder}/system.log",
        f"ScoreboardFile {folder}/scoreboard",
        f"PidFile {folder}/pid",
        "TimeoutIdle 600",
        "Umask 022",
    ]
    if setup.certificate:
        lines += [
            "TLSEngine on",
            f"TLSECCertificateFile {setup.certificate.cert}",
            f"TLSECCertificateKeyFile {setup.certificate.key}",
            "TLSRequired off",
            "TLSVerifyClient off",
        ]
    conf = folder / "proftpd.conf"
    conf.write_text("\n".join(lines) + "\n")
    return [program, "-n", "-q", "-c", str(conf)]


def _private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
