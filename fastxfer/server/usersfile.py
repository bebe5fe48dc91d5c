"""A file of users with argon2 hashes, as ``fastxfer passwd`` writes it.

One user a line, ``#`` begins a comment, fields are separated by colons::

    name:hash:root=/home permissions=list,read path:/incoming=upload-only quota-bytes=1G

The third field holds options as words of a shell: those of :class:`User` with dashes, and ``path:DIRECTORY=…`` for
permissions below a directory. Sizes and rates take the suffixes K, M, G, T (powers of 1024).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import importlib
import logging
import os
import shlex
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from fastxfer.server.permissions import Permissions
from fastxfer.server.users import Authenticator, Credentials, User

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["UserEntry", "UsersFile", "change_entry", "hash_password", "parse_size", "parse_users"]

logger = logging.getLogger("fastxfer.server")

RECHECK_AFTER = 2.0
"""Seconds between looks whether the file has changed."""
REMEMBER = 300.0
"""Seconds that a password once verified needs no new argon2 computation."""
VERIFIERS = 2
"""Passwords verified at the same time: each takes a core and some 64 MiB."""
_SUFFIXES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NUMBERS = {
    "max-sessions": "max_sessions",
    "download-rate": "download_rate",
    "upload-rate": "upload_rate",
    "quota-bytes": "quota_bytes",
    "quota-files": "quota_files",
}
_FLAGS = {"require-tls": "require_tls", "enabled": "enabled"}
_TEXTS = ("root", "home")


@dataclass(frozen=True)
class UserEntry:
    """One line of the file."""

    user: User
    hash: str = field(repr=False)


def parse_size(text: str) -> int:
    """``"10G"`` → bytes. ValueError for what is no size."""
    number, suffix = (text[:-1], text[-1:].lower()) if text[-1:].lower() in _SUFFIXES else (text, "")
    if not number.isascii() or not number.isdigit():
        raise ValueError(f"not a number of bytes: {text!r}")
    return int(number) * _SUFFIXES.get(suffix, 1)


def parse_users(text: str, source: str = "users file") -> dict[str, UserEntry]:
    """The users in *text*.

    Raises:
        ValueError: a line is wrong; the message tells *source* and line number.
    """
    found: dict[str, UserEntry] = {}
    for number, line in enumerate(_lines(text), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            entry = _parse_line(line)
            if entry.user.name in found:
                raise ValueError(f"user {entry.user.name!r} stands there twice")
        except ValueError as error:
            raise ValueError(f"{source}, line {number}: {error}") from None
        found[entry.user.name] = entry
    return found


def _lines(text: str) -> list[str]:
    """The lines of *text*. Unlike ``str.splitlines``, what may stand in a path does not end one."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []


def _text_of(path: Path) -> str:
    """What is in the file, without the mark that some editors put in front (U+FEFF)."""
    return path.read_text(encoding="utf-8-sig")


def _parse_line(line: str) -> UserEntry:
    fields = line.split(":", 2)
    name = fields[0].strip()
    if len(fields) < 2 or not name or not fields[1].strip():
        raise ValueError("expected name:hash[:options]")
    values: dict[str, object] = {}
    default = "all"
    by_path: dict[str, str] = {}
    for word in shlex.split(fields[2]) if len(fields) > 2 else ():
        key, equals, value = word.partition("=")
        if not equals and key not in _FLAGS:
            raise ValueError(f"option without a value: {key!r}")
        if key in _NUMBERS:
            values[_NUMBERS[key]] = parse_size(value)
        elif key in _FLAGS:
            values[_FLAGS[key]] = _parse_flag(value) if equals else True
        elif key in _TEXTS:
            values[key] = value
        elif key == "networks":
            values["networks"] = tuple(value.split(","))
        elif key == "permissions":
            default = value
        elif key.startswith("path:/"):
            by_path[key[5:]] = value
        else:
            raise ValueError(f"unknown option {key!r}")
    user = User(name=name, permissions=Permissions(default, by_path), **values)  # type: ignore[arg-type]
    return UserEntry(user, fields[1].strip())


def _parse_flag(value: str) -> bool:
    if value.lower() in ("yes", "true", "on", "1"):
        return True
    if value.lower() in ("no", "false", "off", "0"):
        return False
    raise ValueError(f"not yes or no: {value!r}")


def hash_password(password: str) -> str:
    """The argon2id hash of *password*."""
    return _hasher().hash(password)


def _hasher() -> PasswordHasher:
    try:
        from argon2 import PasswordHasher
    except ImportError as error:
        raise ImportError("users files need argon2-cffi: pip install 'fastxfer[server]'") from error
    return PasswordHasher()


def change_entry(path: str | os.PathLike[str], name: str, new_hash: str | None, options: Iterable[str] = ()) -> bool:
    """Add or change the user *name* in the file at *path*, or remove him where *new_hash* is None.

    Comments and other lines stay as they are; without *options* so do the user's own. The file is replaced as a whole.

    Returns:
        Whether the user was there before.

    Raises:
        ValueError: the name or an option cannot stand in the file, or the file is wrong already.
    """
    if not name or any(ch in name for ch in ":#\r\n") or name != name.strip():
        raise ValueError(f"not a possible user name: {name!r}")
    words = list(options)
    if any(ch in word for word in words for ch in "\r\n"):
        raise ValueError("an option cannot hold the end of a line")
    # Where a link leads to it, the file is replaced and not the link.
    target = Path(os.path.realpath(path))
    with _alone_in(target.parent):
        return _change(target, name, new_hash, words)


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Nobody else changes a file of users in *directory* meanwhile: what he has read first would undo it."""
    import fcntl

    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _change(target: Path, name: str, new_hash: str | None, words: list[str]) -> bool:
    lines = _lines(_text_of(target)) if target.exists() else []
    parse_users("\n".join(lines), str(target))
    kept = []
    found = False
    for line in lines:
        if line.lstrip().startswith("#") or line.split(":", 1)[0].strip() != name:
            kept.append(line)
            continue
        found = True
        if new_hash is not None:
            old = line.split(":", 2)
            kept.append(_line(name, new_hash, shlex.join(words) if words else (old[2] if len(old) > 2 else "")))
    if new_hash is not None and not found:
        kept.append(_line(name, new_hash, shlex.join(words)))
    text = "".join(line + "\n" for line in kept)
    parse_users(text, str(target))
    _replace(target, text)
    return found


def _line(name: str, new_hash: str, options: str) -> str:
    return f"{name}:{new_hash}" + (f":{options}" if options else "")


def _replace(target: Path, text: str) -> None:
    before = target.stat() if target.exists() else None
    descriptor, temporary = tempfile.mkstemp(dir=target.parent or None, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if before is not None:
                # The server may run under an account of its own, and must be able to read it still.
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), before.st_mode & 0o777 if before is not None else 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


class UsersFile(Authenticator):
    """Users of a file; a change of the file is taken up at the next login.

    A password that argon2 has verified is remembered for a while as a keyed hash in memory, so that a client that
    opens many connections does not cost a core.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be read.
        ValueError: a line is wrong (later: the file as it was before stays in force).
        ImportError: argon2-cffi is missing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._hasher = _hasher()
        # Now: after a change of the root directory nothing can be imported any more.
        self._errors = importlib.import_module("argon2.exceptions")
        self._complaint = ""
        self._nobody = self._hasher.hash(os.urandom(16).hex())
        self._key = os.urandom(32)
        self._remembered: dict[str, tuple[bytes, str, float]] = {}
        self._verifiers = ThreadPoolExecutor(VERIFIERS, thread_name_prefix="fastxfer-argon2")
        self._stamp = self._look()
        self._looked = time.monotonic()
        self._entries = parse_users(_text_of(self._path), str(self._path))

    def _look(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked < RECHECK_AFTER:
            return
        self._looked = now
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            entries = parse_users(_text_of(self._path), str(self._path))
        except (OSError, ValueError) as error:
            if str(error) != self._complaint:
                logger.error("the changed users file cannot be used, the old users stay: %s", error)
            self._complaint = str(error)
            return
        self._entries = entries
        self._stamp = stamp

    async def authenticate(self, credentials: Credentials) -> User | None:
        self._refresh()
        entry = self._entries.get(credentials.name)
        digest = blake2b(
            credentials.password.encode("utf-8", "surrogateescape"), key=self._key, digest_size=32
        ).digest()
        if entry is not None:
            known = self._remembered.get(credentials.name)
            if (
                known is not None
                and known[1] == entry.hash
                and known[2] > time.monotonic()
                and hmac.compare_digest(known[0], digest)
            ):
                return entry.user
        # Unknown names cost the same as wrong passwords.
        stored = entry.hash if entry is not None else self._nobody
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._verifiers, self._verify, stored, credentials.password)
        if entry is None or not right:
            return None
        self._remembered[credentials.name] = (digest, entry.hash, time.monotonic() + REMEMBER)
        return entry.user

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password.encode("utf-8", "surrogateescape"))
        except self._errors.VerificationError:
            return False
        except self._errors.InvalidHashError:
            logger.error("a hash in %s is not one of argon2", self._path)
            return False

    async def close(self) -> None:
        self._verifiers.shutdown(wait=False, cancel_futures=True)
