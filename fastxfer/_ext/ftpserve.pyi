"""System calls of the FTP server's hot paths, several at a time. Names are encoded as :func:`os.fsencode` does."""

def accept(listener: int) -> tuple[int, str] | None:
    """The next connection that waits at *listener*, a non-blocking socket; None if there is none.

    Its descriptor, which is non-blocking and the caller's, and the numeric IPv4 or IPv6 address, without a
    zone, that it comes from.

    Raises:
        OSError: what accept(2) fails with, but for connections that are gone already: those are passed over.
    """

def turn_away(listener: int, most: int) -> bool:
    """Close every connection that waits at *listener*; False where there are *most* or more, or the socket fails."""

def entry_mode(directory: int, name: str) -> int:
    """Kind and permissions (``st_mode``) of the entry *name* of a directory, links not followed; 0 if there is none.

    Raises:
        OSError: what fstatat(2) fails with.
        ValueError: the name holds a NUL.
    """

def open_partial(directory: int, name: str, mode: int) -> tuple[int, int, int]:
    """Open *name* for reading and writing, made with the permissions *mode* if need be, and lock it (flock(2)).

    A file that lost its name to another between the two is not taken for the one that has it.

    Returns:
        The descriptor, which is the caller's; size; permissions.

    Raises:
        OSError: EBUSY where another holds the lock, EISDIR or EINVAL for what is no regular file, ELOOP for a link;
            else what openat(2) fails with.
        ValueError: the name holds a NUL.
    """
