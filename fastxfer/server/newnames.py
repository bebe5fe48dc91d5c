"""Renaming to a name that must not be taken, on any file system.

``rename`` replaces what it meets. Linux has ``renameat2`` with RENAME_NOREPLACE. Elsewhere a file may get a second name
by ``link``, which fails where the name is taken, and then lose its first. Some file systems have neither (FAT, exFAT,
many FUSE and network ones): there an empty entry is made first, which also fails where the name is taken, and replaced.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable

__all__ = ["rename_new"]

RENAME_NOREPLACE = 1
_UNSUPPORTED = frozenset(
    {errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EACCES}
)
"""What systems and file systems answer that do not know how, or do not permit it (the way that needs no more than an
ordinary rename tells in the end)."""


def _load_renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int
    found: Callable[[int, bytes, int, bytes, int], int] = function
    return found


_renameat2 = _load_renameat2()


def rename_new(source: str, target: str, source_directory: int, target_directory: int) -> None:
    """Rename *source* to *target*, each seen from a descriptor of its directory, where nothing has that name.

    Raises:
        FileExistsError: *target* is taken.
        OSError: as :func:`os.rename`.
    """
    for way in (_by_flag, _by_link):
        try:
            way(source, target, source_directory, target_directory)
            return
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    _by_placeholder(source, target, source_directory, target_directory)


def _by_flag(source: str, target: str, source_directory: int, target_directory: int) -> None:
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    old, new = os.fsencode(source), os.fsencode(target)
    while _renameat2(source_directory, old, target_directory, new, RENAME_NOREPLACE):
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), source, None, target)


def _by_link(source: str, target: str, source_directory: int, target_directory: int) -> None:
    os.link(source, target, src_dir_fd=source_directory, dst_dir_fd=target_directory, follow_symlinks=False)
    # It has its new name, whatever becomes of the old one.
    with contextlib.suppress(OSError):
        os.unlink(source, dir_fd=source_directory)


def _by_placeholder(source: str, target: str, source_directory: int, target_directory: int) -> None:
    is_directory = stat.S_ISDIR(os.stat(source, dir_fd=source_directory, follow_symlinks=False).st_mode)
    if is_directory:
        os.mkdir(target, 0o700, dir_fd=target_directory)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(target, flags, 0o600, dir_fd=target_directory))
    placeholder = os.stat(target, dir_fd=target_directory, follow_symlinks=False)
    try:
        os.rename(source, target, src_dir_fd=source_directory, dst_dir_fd=target_directory)
    except BaseException:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(target, dir_fd=target_directory, follow_symlinks=False), placeholder):
                (os.rmdir if is_directory else os.unlink)(target, dir_fd=target_directory)
        raise
