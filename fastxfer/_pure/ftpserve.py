"""System calls of the FTP server's hot paths, in Python: the twin of ``_ext/ftpserve.pyx``."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import re
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Shortcut", "Uploads", "accept", "entry_mode", "land", "open_partial", "openat2", "send_now", "turn_away"]

_Rest: TypeAlias = tuple[str, str, int, int, int] | tuple[str, str, int, int, int, str, bytes, int]

_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM})
_NOT_PLAIN = re.compile(rb"[\x00-\x1f\x7f\xff]|\A/|//|/\Z|(?:\A|/)\.\.?(?:/|\Z)")
_SENT = 65536
_LONGEST_PATH = 4000
_MOST_STRANGERS = 16
_REPLY = 448
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


_HOW = struct.Struct("QQQ")
_RESOLVE = 0x02 | 0x08
"""RESOLVE_NO_MAGICLINKS and RESOLVE_BENEATH."""
_SYS_OPENAT2 = 437
_TRIES = 8
_MACHINES = ("x86_64", "aarch64", "riscv64", "ppc64le", "s390x", "i686", "armv7l", "loongarch64")
"""Those of which the number is known."""


def _load_syscall() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux") or platform.machine() not in _MACHINES:
        return None
    try:
        syscall = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        return None
    syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
    syscall.restype = ctypes.c_long
    return syscall


_syscall = _load_syscall()


def openat2(top: int, path: str, flags: int, mode: int = 0) -> int:
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("embedded null byte")
    if _syscall is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), path)
    how = _HOW.pack(flags | os.O_CLOEXEC, mode, _RESOLVE)
    code = 0
    for _ in range(_TRIES):
        fd = _syscall(_SYS_OPENAT2, top, name, how, _HOW.size)
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(code, os.strerror(code), path)


def accept(listener: int) -> tuple[int, str] | None:
    with socket.socket(fileno=os.dup(listener)) as sock:
        while True:
            try:
                fd, peer = sock._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in _GONE:
                    continue
                raise
            os.set_blocking(fd, False)
            return fd, peer[0].partition("%")[0]


def turn_away(listener: int, most: int) -> bool:
    try:
        for _ in range(most):
            found = accept(listener)
            if found is None:
                return True
            os.close(found[0])
    except OSError:
        return False
    return False


def entry_mode(directory: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def open_partial(directory: int, name: str, mode: int) -> tuple[int, int, int]:
    while True:
        fd = os.open(name, _FLAGS, mode, dir_fd=directory)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name) from None
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
                raise OSError(code, os.strerror(code), name)
            current = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if os.path.samestat(current, status):
                return fd, status.st_size, stat.S_IMODE(status.st_mode)
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def send_now(fd: int, data: bytes, more: bool = False) -> int:
    try:
        # A number that is a socket's elsewhere may be a file's on Windows.
        return os.write(fd, data) if os.name == "posix" else 0
    except OSError:
        return 0


class Shortcut:
    def __init__(
        self,
        control: int,
        listener: int,
        top: int,
        *,
        address: str,
        epsv: bytes,
        pasv: bytes,
        sending: bytes,
        sent: bytes,
        opening: bytes,
        cwd: str,
        suffix: str,
        partial_name: Callable[[bytes], bytes],
        reads: bool,
        writes: bool,
        beneath: bool,
        mode: int,
        uses: int,
        max_line: int,
        uploads: Uploads | None = None,
        owner: object = None,
        transport: object = None,
        ended: Callable[[str, str, int, float], None] | None = None,
    ) -> None:
        if len(sending) + len(sent) > _REPLY:
            raise ValueError("the replies are too long")
        self._control = control
        self._listener = listener
        self._top = top
        self._address = address
        self._passive = {b"EPSV": epsv, b"PASV": pasv}
        self._sending = sending
        self._sent = sent
        self._opening = opening
        self._prefix = os.fsencode(cwd[1:])
        self._suffix = os.fsencode(suffix)
        self._partial_name = partial_name
        self._verbs = {verb for verb, ours in ((b"RETR", reads), (b"STOR", writes)) if ours}
        self._mode = mode
        self._max_line = max_line
        self._ended = ended
        self._waiting: tuple[int, str] | None = None
        self.uses = uses
        self.prepared = False
        self.kept_since = time.monotonic()
        self.uploading_since = 0.0

    def __del__(self) -> None:
        waiting: tuple[int, str] | None = getattr(self, "_waiting", None)
        if waiting is not None:
            os.close(waiting[0])

    def serve(self, line: bytes) -> bool | bytes | _Rest:
        if len(line) < 6 or len(line) > self._max_line or not line.endswith(b"\r\n") or self._waiting is not None:
            return False
        verb, argument = line[:4], line[4:-2]
        if not argument:
            return self._listen(self._passive.get(verb, b""))
        if verb not in self._verbs or not self.prepared or argument[:1] != b" ":
            return False
        path = self._relative(argument[1:])
        if not path:
            return False
        return self._retrieve(path) if verb == b"RETR" else self._store(path)

    def keep(self) -> None:
        self.prepared = False
        self.kept_since = time.monotonic()

    def take(self) -> tuple[int, str] | None:
        waiting, self._waiting = self._waiting, None
        return waiting

    def release(self) -> tuple[str, str, int, int, int, str, bytes, int] | None:
        return None

    def _answer(self, reply: bytes) -> bool | bytes:
        sent = send_now(self._control, reply)
        return sent == len(reply) or reply[sent:]

    def _listen(self, reply: bytes) -> bool | bytes:
        if self.prepared or self.uses < 1 or not reply or not turn_away(self._listener, _MOST_STRANGERS):
            return False
        self.uses -= 1
        self.prepared = True
        return self._answer(reply)

    def _accepted(self) -> int:
        found = accept(self._listener)
        if found is None or found[1] == self._address:
            return found[0] if found else -1
        self._waiting = found
        return -1

    def _relative(self, argument: bytes) -> bytes:
        """The path below the top; empty for one that must be looked at more closely."""
        if argument.startswith(b"/"):
            path = argument[1:]
        else:
            path = self._prefix + b"/" + argument if self._prefix else argument
        # With directories in it, it can only be opened step by step.
        unfit = len(path) > _LONGEST_PATH or b"/" in path or _NOT_PLAIN.search(path)
        return b"" if unfit or (self._suffix and path.endswith(self._suffix)) else path

    def _retrieve(self, path: bytes) -> bool | bytes | _Rest:
        started = time.monotonic()
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW, dir_fd=self._top)
        except OSError:
            return False
        connection = -1
        try:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) and status.st_size <= _SENT:
                connection = self._accepted()
            if connection < 0:
                return False
            moved = self._send_body(connection, fd, status.st_size)
            if moved < status.st_size:
                rest = ("RETR", "/" + os.fsdecode(path), fd, connection, moved)
                fd = connection = -1
                return rest
        finally:
            for held in (fd, connection):
                if held >= 0:
                    os.close(held)
        self.keep()
        done = self._answer(b"%b%d%b" % (self._sending, status.st_size, self._sent))
        if self._ended is not None:
            self._ended("RETR", "/" + os.fsdecode(path), status.st_size, started)
        return done

    @staticmethod
    def _send_body(connection: int, fd: int, size: int) -> int:
        try:
            return os.write(connection, os.pread(fd, size, 0)) if size else 0
        except OSError:
            return 0

    def _store(self, path: bytes) -> bool | bytes | _Rest:
        connection = self._accepted()
        if connection < 0:
            return False
        name = os.fsdecode(path)
        self._waiting = (connection, self._address)
        partial = os.fsdecode(self._partial_name(path))
        fd = self._open_upload(name, partial)
        if fd < 0:
            return False
        self._waiting = None
        sent = send_now(self._control, self._opening)
        return "STOR", "/" + name, fd, connection, self._top, partial, self._opening[sent:], 0

    def _open_upload(self, name: str, partial: str) -> int:
        """The descriptor of the file to be filled; -1 where nothing was done."""
        mode = self._mode
        try:
            existing = entry_mode(self._top, name)
            if existing:
                if not stat.S_ISREG(existing):
                    return -1
                mode = existing & 0o777
            fd, size, permissions = open_partial(self._top, partial, mode)
        except OSError:
            return -1
        try:
            if size:
                os.ftruncate(fd, 0)
            if existing and mode != permissions:
                os.fchmod(fd, mode)
        except OSError:
            os.unlink(partial, dir_fd=self._top)
            os.close(fd)
            return -1
        return fd


class Uploads:
    """Waits for none: every upload is left to others."""

    def __init__(self, complete: bytes) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass

    def collect(self) -> list[tuple[object, bytes]]:
        return []


def land(directory: int, partial: str, name: str, fd: int, connection: int, control: int, reply: bytes) -> int:
    os.rename(partial, name, src_dir_fd=directory, dst_dir_fd=directory)
    sent = send_now(control, reply)
    os.close(fd)
    os.close(connection)
    return sent
