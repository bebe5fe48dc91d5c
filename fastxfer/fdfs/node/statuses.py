"""Status bytes of replies. They are Linux error numbers, whatever the system the node runs on."""

from __future__ import annotations

import errno

OK = 0
ENOENT = 2
EIO = 5
EBUSY = 16
EEXIST = 17
EINVAL = 22
ENOSPC = 28
EOPNOTSUPP = 95
EALREADY = 114

_LINUX = {
    errno.ENOENT: ENOENT,
    errno.EEXIST: EEXIST,
    errno.EINVAL: EINVAL,
    errno.ENOSPC: ENOSPC,
    errno.EACCES: 13,
    errno.EPERM: 1,
    errno.EISDIR: 21,
    errno.ENOTDIR: 20,
    errno.EFBIG: 27,
    errno.EROFS: 30,
    errno.EMFILE: 24,
    errno.ENFILE: 23,
    errno.EDQUOT: 122,
}


class Refused(Exception):
    """Ends a request with a status and an empty body."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def status_of(error: OSError) -> int:
    """The status byte for an error of the operating system; EIO where it has none."""
    return _LINUX.get(error.errno or 0, EIO)
