"""What the FTP servers of the scenarios have in common: one user, one root, passive ports, a certificate."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.macro.client import Missing

USER, PASSWORD, UID = "user", "pass", 4000
VARIABLE = "FASTXFER_BENCH_PATH"


@dataclass(frozen=True)
class Setup:
    """Where one server lives.

    Args:
        folder: its own directory for configuration and logs.
        root: directory that it serves.
        host: address that it listens on.
        port: its control port.
        passive: first and last port of data connections.
        certificate: PEM files with certificate, key, and both; None for a plain server.
    """

    folder: Path
    root: Path
    host: str
    port: int
    passive: tuple[int, int]
    certificate: Certificate | None


@dataclass(frozen=True)
class Certificate:
    """A self-made certificate for 127.0.0.1, ECDSA."""

    cert: Path
    key: Path
    both: Path
    ca: Path


def make_certificate(folder: Path) -> Certificate:
    """Make an authority and a certificate in *folder*.

    Raises:
        Missing: when the package trustme is not installed.
    """
    try:
        import trustme
    except ImportError:
        raise Missing("TLS needs the package trustme, which is not installed") from None
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1", "localhost")
    found = Certificate(folder / "cert.pem", folder / "key.pem", folder / "both.pem", folder / "ca.pem")
    authority.cert_pem.write_to_path(found.ca)
    made.private_key_pem.write_to_path(found.key)
    found.cert.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
    found.both.write_bytes(found.key.read_bytes() + found.cert.read_bytes())
    return found


def find_program(name: str) -> str:
    """Path of a server program on PATH, in the sbin directories, or below a folder that FASTXFER_BENCH_PATH names.

    Raises:
        Missing: when it is nowhere.
    """
    extra = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    for folder in extra:
        places += [str(folder), str(folder / "usr/sbin"), str(folder / name / "usr/sbin")]
    found = shutil.which(name, path=os.pathsep.join(places))
    if not found:
        raise Missing(f"{name} is neither on PATH nor below a folder of {VARIABLE}")
    return found


def version_from(command: Sequence[str], pattern: str) -> str:
    """The version that a program prints."""
    done = subprocess.run(list(command), capture_output=True, text=True, check=False, timeout=20)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "unknown"


def need_root(name: str) -> None:
    """Refuse servers that change to their user.

    Raises:
        Missing: when we are not root.
    """
    if os.geteuid() != 0:
        raise Missing(f"{name} needs root to sign its user in")


def with_accounts(setup: Setup, command: Sequence[str]) -> list[str]:
    """*command* in a mount namespace of its own with its own passwd, shadow, group and PAM service ``ftp``."""
    etc = setup.folder
    line = f"{USER}:{{}}:{UID}:{UID}:{USER}:{setup.root}:/bin/sh\n"
    files = {
        "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n" + line.format("x"),
        "group": f"root:x:0:\nnogroup:x:65534:\n{USER}:x:{UID}:\n",
        "shadow": f"root:*:19000::::::\n{USER}:{password_hash()}:19000:0:99999:7:::\n",
    }
    for name, text in files.items():
        (etc / name).write_text(text)
    (etc / "pam.d").mkdir(exist_ok=True)
    (etc / "pam.d/ftp").write_text(
        "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_permit.so\n"
    )
    script = "".join(f"mount --bind {etc}/{name} /etc/{name} || exit 9; " for name in files)
    script += f'mount --bind {etc}/pam.d /etc/pam.d || exit 9; exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh", *command]


def password_hash() -> str:
    """The benchmark's password as crypt(3) has it."""
    done = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", "fastxfer", PASSWORD], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Missing("openssl is needed to hash the password of the user")
    return done.stdout.strip()
