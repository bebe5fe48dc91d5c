"""System calls of the FTP server's hot paths, in Python: the twin of ``_ext/ftpserve.pyx``."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat

__all__ = ["accept", "entry_mode", "open_partial", "turn_away"]

_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM})
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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
