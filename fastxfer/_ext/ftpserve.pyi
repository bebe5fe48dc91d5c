"""System calls of the FTP server's hot paths, several at a time. Names are encoded as :func:`os.fsencode` does."""

from asyncio import Transport
from collections.abc import Callable
from typing import Any, final

def accept(listener: int) -> tuple[int, str] | None:
    """The next connection that waits at *listener*, a non-blocking socket; None if there is none.

    Its descriptor, which is non-blocking and the caller's, and the numeric IPv4 or IPv6 address, without a
    zone, that it comes from.

    Raises:
        OSError: what accept(2) fails with, but for connections that are gone already: those are passed over.
    """

def turn_away(listener: int, most: int) -> bool:
    """Close every connection that waits at *listener*; False where there are *most* or more, or the socket fails."""

def send_now(fd: int, data: bytes, more: bool = False) -> int:
    """Send *data* by the socket *fd*, which does not block; how much went.

    With *more*, bytes or the end of the connection follow at once, and the last packet may wait for them (MSG_MORE).
    Nothing is said of errors: whoever sends the rest finds them again.
    """

def entry_mode(directory: int, name: str) -> int:
    """Kind and permissions (``st_mode``) of the entry *name* of a directory, links not followed; 0 if there is none.

    Raises:
        OSError: what fstatat(2) fails with.
        ValueError: the name holds a NUL.
    """

def open_partial(directory: int, name: str, mode: int) -> tuple[int, int, int]:
    """Open *name* for reading and writing, made with the permissions *mode* if need be, and lock it (flock(2)).

    A file that lost its name to another between the two is not taken for the one that has it. Nor is one opened whose
    name an upload has claimed, in this process or one that has a common ancestor with it: see :class:`Shortcut`.

    Returns:
        The descriptor, which is the caller's; size; permissions.

    Raises:
        OSError: EBUSY where another holds the lock or has claimed the name, EISDIR or EINVAL for what is no regular
            file, ELOOP for a link; else what openat(2) fails with.
        ValueError: the name holds a NUL.
    """

def openat2(top: int, path: str, flags: int, mode: int = 0) -> int:
    """Open *path*, relative to the directory *top*, by openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS.

    Args:
        top: descriptor of the directory.
        path: relative path.
        flags: as for :func:`os.open`; ``O_CLOEXEC`` is added.
        mode: permissions of a file that is created, else 0.

    Returns:
        The descriptor, which is the caller's.

    Raises:
        OSError: EXDEV where the path leads out of *top*; EAGAIN where directories are being moved again and again;
            ENOSYS where the system has no such call; else as :func:`os.open`.
        ValueError: the path holds a NUL.
    """

@final
class Shortcut:
    """Carries out what one session says around small files in one call, from the line to the reply.

    A file that is uploaded has no name before it is whole, where there is none of its name yet, nothing is left of an
    earlier upload, and the file system knows such files. Its hidden name is claimed meanwhile: see
    :func:`open_partial`. As soon as the upload is left to others it has its hidden name.

    It knows EPSV and PASV while its port, which listens already, waits for the next transfer; RETR of regular files up
    to 64 KiB and STOR, where the data connection stands already and comes from the client. All else, and all that
    fails, it leaves as it stands, for others to do from the beginning: it never replies with an error.

    Args:
        control: descriptor of the control connection.
        listener: descriptor of the passive port, which does not block.
        top: descriptor of the directory that the client sees as the root.
        address: the client's.
        epsv: reply to EPSV; empty where it is to be left to others.
        pasv: likewise for PASV.
        sending: reply to RETR before the number of bytes.
        sent: reply to RETR behind the number of bytes.
        opening: reply to STOR.
        cwd: virtual path of the working directory.
        suffix: ending of the names that clients do not see.
        partial_name: gives the name of the unfinished upload to a name, both as the file system has them.
        reads: RETR is its business.
        writes: STOR is; a regular file that has the name by then is replaced.
        beneath: the system has openat2(2); without it paths with directories are left to others.
        mode: permissions of new files.
        uses: how often EPSV and PASV may be answered.
        max_line: longest line, bytes.
        uploads: those that are waited for; None: every upload is left to others once it has begun.
        owner: who is told when an upload has ended.
        transport: what else is sent by the control connection goes through; it is asked whether it is closing and
            whether anything waits there.
        ended: called after each transfer that was carried out to its end, with its verb, the virtual path, the bytes
            moved and :func:`time.monotonic` when it began. It must not raise.

    Attributes:
        uploading_since: :func:`time.monotonic` when the upload began that *uploads* waits for; 0 if there is none.
        uses: how often they may still be.
        prepared: the client was told the port, and its transfer has not ended.
        kept_since: :func:`time.monotonic` when the last transfer ended.

    The descriptors stay the caller's and must stay open.
    """

    uses: int
    prepared: bool
    kept_since: float
    uploading_since: float
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
        transport: Transport | None = None,
        ended: Callable[[str, str, int, float], None] | None = None,
    ) -> None: ...
    def serve(
        self, line: bytes
    ) -> bool | bytes | tuple[str, str, int, int, int] | tuple[str, str, int, int, int, str, bytes, int] | None:
        """Carry out *line*, all that has come on the control connection.

        Returns:
            True: done and replied; bytes: likewise, and they are what is left of the reply to be sent. False: nothing
            was done. None: an upload has begun, of which *uploads* will tell. Else what is left of a transfer.
            ``("RETR", path, file, connection, moved)``: *moved* bytes were sent and nothing replied.
            ``("STOR", path, file, connection, directory, partial, unsent, received)``: the file *partial* of
            *directory* (which may be *top*), open and locked as :func:`open_partial` does and to be filled and
            renamed, *unsent* what is left of the 150 reply, *received* bytes in the file. Where that file cannot be
            had, *file* is -1 and *received* an error number. Descriptors are the caller's.
        """
    def keep(self) -> None:
        """The upload has ended: the port waits for the next transfer."""
    def release(self) -> tuple[str, str, int, int, int, str, bytes, int] | None:
        """Wait no longer for the upload: it is left to others as by :meth:`serve`. None if there is none."""
    def take(self) -> tuple[int, str] | None:
        """A connection that was accepted in vain, as from :func:`accept`; for once."""

@final
class Uploads:
    """The small uploads under way of many sessions.

    Args:
        complete: reply at their end.

    Raises:
        OSError: what epoll_create1(2) fails with.
    """

    def __init__(self, complete: bytes) -> None: ...
    def fileno(self) -> int:
        """Readable when :meth:`collect` is to be called; -1 where no upload is ever waited for."""
    def close(self) -> None:
        """Wait for none any more. Those under way are still to be released. Idempotent."""
    def collect(
        self,
    ) -> list[tuple[Any, bytes | tuple[tuple[str, str, int, int, int, str, bytes, int], int, bool]]]:
        """Take what has come.

        Returns:
            For each upload of which something is left to be done, the owner of its shortcut, and what. bytes: it has
            its name, all is closed, and they are what is left of the reply to be sent. Else it is left to others, as
            :meth:`Shortcut.release` does; behind that an error number, 0 where it is only large; and whether the file
            has failed and not the connection.
        """

def land(directory: int, partial: str, name: str, fd: int, connection: int, control: int, reply: bytes) -> int:
    """End an upload: rename *partial* to *name*, send *reply* by *control*, close *fd* and *connection*.

    Returns:
        How much of the reply was sent.

    Raises:
        OSError: what renameat(2) fails with; then nothing else was done.
        ValueError: a name holds a NUL.
    """
