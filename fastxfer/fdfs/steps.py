"""The vocabulary between plans and drivers.

A plan is a generator that knows what to do next and does no network I/O. It yields one of the steps below; the driver
carries it out, blocking or on an event loop, and sends its outcome back in, or throws the error it ended with.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, TypeVar

from fastxfer.core.fdfscall import Begun
from fastxfer.core.xfer import Transfer
from fastxfer.fdfs.arguments import check_cancel, check_progress, check_timeout
from fastxfer.fdfs.commands import REPLY_LIMIT, Command
from fastxfer.net.address import Address
from fastxfer.net.cancel import CancelToken
from fastxfer.net.deadline import Deadline
from fastxfer.net.progress import Progress

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "Background",
    "Blocking",
    "Call",
    "Control",
    "Move",
    "Moved",
    "Once",
    "Parallel",
    "Pipeline",
    "PlainCall",
    "Plan",
    "Sleep",
    "Step",
    "TransferOptions",
    "batch_control",
    "control_of",
]

T = TypeVar("T")


class Call(NamedTuple):
    """A small request and its reply. Outcome: the reply's status, and if that is 0, what it means.

    Attributes:
        address: whom to ask.
        command: what to ask.
        limit: longest body accepted, bytes.
        certain: look whether a pooled connection still lives first: the request must not be sent twice.
        fresh: open a new connection: a pooled one was found dead.
    """

    address: Address
    command: Command[Any]
    limit: int = REPLY_LIMIT
    certain: bool = False
    fresh: bool = False


PlainCall = tuple[Address, Command[Any], int, bool, bool]
"""The fields of a :class:`Call`, bare: what the usual case yields, since making the tuple by name takes ten times as
long."""


class Control:
    """What the caller of one operation wants of it: an end, progress, a way to stop it.

    Attributes:
        patient: small exchanges may be carried to their end first (they have a timeout): they are quicker without.
    """

    __slots__ = ("cancel", "deadline", "patient", "progress")

    def __init__(self, timeout: float | None, progress: Progress | None, cancel: CancelToken | None) -> None:
        self.deadline = Deadline(timeout)
        self.progress = progress
        self.cancel = cancel
        self.patient = False

    def out_of_time(self) -> bool:
        """Whether the operation's own time is up."""
        return self.deadline.expired

    def without_progress(self) -> Control:
        """The same end and cancellation, progress left aside."""
        other = Control(None, None, self.cancel)
        other.deadline = self.deadline
        other.patient = self.patient
        return other


def batch_control() -> Control:
    """For all items of a batch: they end when it ends."""
    control = Control(None, None, CancelToken())
    control.patient = True
    return control


class TransferOptions(TypedDict, total=False):
    """What every operation that moves a file takes by keyword.

    Attributes:
        progress: a :class:`~fastxfer.net.progress.Progress`, or a function that is called with one while bytes move.
        cancel: ends the operation, with :class:`TransferCancelledError`, once it is used.
        timeout: seconds for the whole operation, beside the timeouts of the configuration.
    """

    progress: Progress | Callable[[Progress], object] | None
    cancel: CancelToken | None
    timeout: float | None


def control_of(
    progress: Progress | Callable[[Progress], object] | None = None,
    cancel: CancelToken | None = None,
    timeout: float | None = None,
) -> Control | None:
    """The :class:`Control` for what the caller gave; None where that is nothing."""
    if progress is None and cancel is None and timeout is None:
        return None
    if progress is not None and not isinstance(progress, Progress):
        check_progress(progress)
        progress = Progress(progress)
    check_cancel(cancel)
    return Control(check_timeout(timeout), progress, cancel)


@dataclass
class Move:
    """A request or reply with a body worth a transfer of its own. Outcome: the finished transfer, and if its status is
    0, what the reply means.

    Attributes:
        address: whom to talk to.
        command: the request up to the file's bytes.
        data: the file's bytes, from memory.
        send_fd, send_offset, send_count: the file's bytes, from a file.
        recv_into, recv_fd, recv_offset: where the reply's body goes; nowhere: into the transfer's ``body``.
        recv_count: its exact length, where known; -1 otherwise.
        recv_limit: longest accepted where it goes nowhere.
        crc: fold a CRC-32 over the file's bytes.
        control: end, progress and cancellation of the operation.
        certain, fresh: as in :class:`Call`.
    """

    address: Address
    command: Command[Any]
    data: Buffer | None = None
    send_fd: int = -1
    send_offset: int = 0
    send_count: int = 0
    recv_into: Buffer | None = None
    recv_fd: int = -1
    recv_offset: int = -1
    recv_count: int = -1
    recv_limit: int = REPLY_LIMIT
    crc: bool = False
    control: Control | None = None
    certain: bool = False
    fresh: bool = False

    @property
    def head(self) -> bytes:
        """What is sent before the file's bytes."""
        return self.command.request

    @property
    def body_size(self) -> int:
        """Bytes of file that are sent."""
        return self.send_count if self.data is None else memoryview(self.data).nbytes

    @property
    def receiving(self) -> bool:
        """Whether the file's bytes come from the server."""
        return self.data is None and self.send_fd < 0


class Pipeline(NamedTuple):
    """Several requests at once to a tracker. Outcome: the bytes of all replies.

    The last request must be QUIT: the replies end where the tracker closes the connection.
    """

    address: Address
    requests: bytes


class Sleep(NamedTuple):
    """Wait. Outcome: None."""

    seconds: float
    control: Control | None = None


class Blocking(NamedTuple):
    """Call something that may take its time on this machine. Outcome: what it returns."""

    function: Callable[[], Any]


class Background(NamedTuple):
    """Run a plan beside this one, its errors logged. Outcome: None, at once."""

    plan: Callable[[], Generator[Any, Any, object]]


class Once(NamedTuple):
    """Run a plan, unless one with the same key is running: then wait for that, and run this one afterwards.

    The plan looks again whether it is still needed. Outcome: its result.
    """

    key: object
    plan: Callable[[], Generator[Any, Any, object]]


class Parallel(NamedTuple):
    """Run several plans at once. Outcome: their results, in that order.

    The first error ends the others, by way of *token*, which all of them have in their controls, and is raised.
    """

    plans: Sequence[Generator[Any, Any, Any]]
    token: CancelToken


Moved = Transfer | Begun
"""What has come of a :class:`Move`, by whichever way it was carried."""

Step = Call | PlainCall | Move | Pipeline | Sleep | Blocking | Background | Parallel | Once
Plan = Generator[Step, Any, T]
