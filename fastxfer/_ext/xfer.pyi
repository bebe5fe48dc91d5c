"""One movement of bytes over one socket, as a state machine that is advanced, run, or handed to an engine."""

from collections.abc import Sequence
from typing import Any, Final

from typing_extensions import Buffer

from fastxfer._ext.places import Spin

FRAMING_NONE: Final[int]
"""Nothing is received: the transfer ends when the last byte has been handed to the kernel."""
FRAMING_RAW: Final[int]
"""Received bytes are the body, up to ``recv_count`` or the peer's end of stream."""
FRAMING_FASTDFS: Final[int]
"""A FastDFS reply is received: 10-byte header (int64 length, command, status), then a body of that length."""

class RateLimit:
    """A token bucket, shareable between transfers and threads."""

    def __init__(self, bytes_per_second: float, burst: int = 0) -> None:
        """*burst*: bytes that may pass at once after a pause; 0 takes some 50 ms' worth."""
    bytes_per_second: float
    """May be changed while transfers use it."""
    @property
    def burst(self) -> int: ...
    def reserve(self, count: int) -> float:
        """Book *count* bytes that are moved by other means; how many seconds to wait, before them or before the next.

        ValueError for a negative count.
        """

class Transfer:
    """First everything that is to be sent, then everything that is to be received, over one socket.

    The socket must be non-blocking and stay open until the transfer is done. Deadlines count from the moment the
    transfer is first advanced, run or submitted. While a body is being sent under ``FRAMING_FASTDFS`` the socket is
    watched: a reply that comes early stops the sending (``early`` is then true: close the connection).

    Args:
        fd: descriptor of the connected, non-blocking socket.
        send: buffers sent first, gathered into as few system calls as possible (held until done).
        send_from: buffer whose bytes follow them: the body, from memory (held until done); None for none.
        send_fd: descriptor of a file whose bytes follow the buffers (sendfile); -1 for none.
        send_offset: where in that file to begin, bytes.
        send_count: how many bytes of it; -1 to its end. A file that ends early is an error (EIO).
        framing: one of the FRAMING constants: what is received after the last byte has been sent.
        recv_into: writable buffer that takes the body. A longer body is EMSGSIZE.
        recv_fd: descriptor that takes the body instead (a file); -1 for none.
        recv_offset: where in that file the body begins, bytes; -1 writes at the file position (pipes, O_APPEND).
        recv_count: exact body length wanted; -1: whatever the header says, or (RAW) until the peer closes.
        recv_limit: longest body accepted when neither ``recv_into`` nor ``recv_fd`` is given, bytes.
        recv_expected: FRAMING_RAW, a body of unknown length in memory: how long it will probably be, bytes, so that its
            memory need not grow; -1: no idea. More or less may come.
        relay_fd: FRAMING_RAW only: a connected non-blocking socket that takes the body (splice); -1 for none.
        crc: fold a CRC-32 over the body sent, or, if none is sent, over the body received. ``send_from`` is folded when
            all of it has left, before the reply is waited for.
        timeout: seconds for the whole transfer; None for no limit.
        idle_timeout: seconds without a byte moving; None for no limit.
        spin: microseconds to poll busily before sleeping while waiting for a reply (``run`` only). Some 50 halve a
            round trip over loopback or within a rack. The processor is offered to others at every turn, so that it
            takes it from nobody, and a peer that proves slower is no longer waited for so.
        limits: token buckets that all bytes pass.
        zero_copy: False keeps to plain reads and writes (no sendfile, no splice).
        may_block: nothing else uses the socket meanwhile, by whatever descriptor: an engine may make it block while it
            sends a big file, which costs less, and never for long.
        tag: anything; kept as ``tag``.
    """

    def __init__(
        self,
        fd: int,
        *,
        send: Buffer | Sequence[Buffer] = (),
        send_from: Buffer | None = None,
        send_fd: int = -1,
        send_offset: int = 0,
        send_count: int = -1,
        framing: int = ...,
        recv_into: Buffer | None = None,
        recv_fd: int = -1,
        recv_offset: int = -1,
        recv_count: int = -1,
        recv_limit: int = ...,
        recv_expected: int = -1,
        relay_fd: int = -1,
        crc: bool = False,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        spin: int = 0,
        limits: Sequence[RateLimit] = (),
        zero_copy: bool = True,
        may_block: bool = False,
        tag: Any = None,
    ) -> None: ...

    tag: Any
    @property
    def fd(self) -> int: ...
    @property
    def sent(self) -> int:
        """Bytes handed to the kernel so far, buffers and file together; may be read while the transfer runs."""
    @property
    def received(self) -> int:
        """Body bytes received so far; may be read while the transfer runs."""
    @property
    def crc32(self) -> int:
        """CRC-32 of the body so far, if ``crc`` was asked for."""
    @property
    def status(self) -> int:
        """FRAMING_FASTDFS: the status byte of the reply header; -1 before there is one."""
    @property
    def length(self) -> int:
        """FRAMING_FASTDFS: the body length that the reply header announces; -1 before there is one."""
    @property
    def body(self) -> bytes:
        """The body, where neither ``recv_into``, ``recv_fd`` nor ``relay_fd`` took it; empty until done."""
    @property
    def early(self) -> bool:
        """The reply came before all had been sent, or more than the reply came: close the connection.

        An early success is not believed: it is EPROTO.
        """
    @property
    def done(self) -> bool:
        """Finished, well or badly. The body of an error reply is drained."""
    @property
    def error(self) -> int:
        """0, or the errno that ended the transfer.

        ETIMEDOUT: deadline or idle timeout; ECANCELED: cancelled; ECONNRESET or EPIPE: the peer went away
        (ECONNRESET also where it closed before the whole body came); EPROTO: not a reply, negative length, or a
        length other than ``recv_count``; EMSGSIZE: body over ``recv_limit`` or ``recv_into``; EIO: the file to be
        sent was shorter than ``send_count``; anything else: from the operating system (ENOSPC, EBADF …).
        """
    @property
    def error_side(self) -> str:
        """Where ``error`` arose: ``""``, ``"socket"``, ``"file"`` or ``"relay"``."""

    @property
    def _uses_file(self) -> bool: ...
    def _start(self) -> bool:
        """Do what can be done at once, without waiting for a disk either; True if what is left is big."""
    def _abandon(self, error: int) -> None:
        """End it with *error*. Not while anything drives it."""
    def advance(self, max_bytes: int = ...) -> bool:
        """Move what can be moved without waiting, at most about *max_bytes*; True when done."""

    def run(self) -> None:
        """Carry the transfer to its end in the calling thread, the GIL released; then look at ``error``.

        Signals are let through (KeyboardInterrupt cancels the transfer and is raised).
        """

    def cancel(self) -> None:
        """End it with ECANCELED as soon as its thread looks, from any thread; done transfers are left alone.

        The sockets of a transfer that is in ``run`` are shut down: close the connection.
        """

def let_sleep(fd: int, /) -> bool:
    """Let :func:`exchange` sleep in its receive on a connected socket, which saves the call to wait for it.

    It blocks from now on, though no receive takes longer than signals may wait; whoever else uses it must not mind.
    False, and nothing is changed, where that cannot be had.
    """

def exchange(
    fd: int,
    request: Buffer | Sequence[Buffer],
    timeout: float | None,
    spin: int | Spin = 0,
    recv_limit: int = ...,
    sleeps: bool = False,
    busy: int = 0,
    /,
) -> tuple[int, int, bytes]:
    """One small FastDFS request and its reply in one call: ``(errno, status, body)``.

    errno is 0 when a whole reply was read; else as :attr:`Transfer.error` (and the connection must be closed): EPIPE
    where the connection broke before anything was sent. *spin*: microseconds to poll before sleeping, or what learns
    how to wait; *busy* exchanges are under way then. *sleeps* tells that :func:`let_sleep` was called for the socket.
    """
