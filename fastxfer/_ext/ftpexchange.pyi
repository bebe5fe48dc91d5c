"""The exchange that moves one small file over plain FTP: commands, replies and data connection in one go.

Only the ordinary course is known here: EPSV answered with 229, a transfer that is agreed to, all bytes, the verdict.
Whatever else happens ends the exchange in the state in which it is; the caller takes what came (``replies``, ``body``,
:meth:`Exchange.detach`) and goes on from there. Linux only.
"""

from typing import final

@final
class Exchange:
    """The exchanges of one control connection, one after the other.

    Args:
        control: descriptor of the control connection, non-blocking, plain, and open until :meth:`close`.
        family: ``AF_INET`` or ``AF_INET6``.
        host: numeric address of the server; data connections go there.
        flow: IPv6 flow information.
        scope: IPv6 scope.
    """

    def __init__(self, control: int, family: int, host: str, flow: int = 0, scope: int = 0) -> None: ...
    def begin(
        self,
        request: bytes,
        finals: int,
        transfer_at: int = -1,
        address_at: int = -1,
        next_at: int = -1,
        payload: bytes | None = None,
        limit: int = 65536,
        size_at: int = -1,
        file: int = -1,
        leave_next: bool = False,
        then: bytes | None = None,
        named_at: int = -1,
    ) -> int:
        """Send the commands; how many bytes of *request* went out. Nothing was begun where that is not all of them.

        Args:
            request: commands.
            finals: as many final replies (not 1xx) are waited for.
            transfer_at: which of them, from 0, is the transfer's; -1 for commands without any.
            address_at: which of them is EPSV's answer for this transfer; -1 where the next connection of the exchange
                before is to be used.
            next_at: which of them is EPSV's answer for the next transfer, whose connection is then opened; -1: none.
            payload: what is sent over the data connection; None to receive.
            limit: a body longer than this ends the exchange.
            size_at: which of the replies is SIZE's; -1: none.
            leave_next: it is done without the last reply, if that is *next_at*'s; which is then *owed*: the first that
                the exchange after it waits for, and the address of its transfer (``address_at=0``).
            file: descriptor of a file that a whole body is written to, from the file's start; -1: none.
            then: commands that go out when all of *payload* has and the transfer's verdict is positive. Their replies
                are among the *finals*.
            named_at: which of the replies is that of RNTO, right behind that of RNFR; -1: none.

        RuntimeError while one is under way, ValueError where there is no data connection, or one too many.
        """
    def run(self, patience: float, spin: int = 0) -> None:
        """Carry on until it is done or nothing came for *patience* seconds, the GIL released.

        *spin*: microseconds of busy polling before each sleep. Signals are let through.
        """
    @property
    def owes(self) -> bool:
        """The last reply has been left out, and is still to come."""
    def resume(self) -> None:
        """Go on after all to wait for the reply that is owed, as after :meth:`begin`. RuntimeError where none is."""
    def take_rest(self) -> bytes:
        """What has been received of the reply that is owed, and is the caller's affair from now on."""
    def stop(self) -> None:
        """End it as it stands."""
    @property
    def quiet(self) -> bool:
        """The control connection is open, as far as is known here, and nothing lies unread on it."""
    @property
    def done(self) -> bool:
        """Nothing more will happen; whether all went well is for the caller to see."""
    @property
    def replies(self) -> bytes:
        """What came on the control connection."""
    @property
    def body(self) -> bytes:
        """What came on the data connection."""
    @property
    def received(self) -> int:
        """Bytes of the body."""
    @property
    def ordinary(self) -> bool:
        """Nothing is left to be looked at.

        All replies came and no more (but one that is *owed*), the transfer's verdict is positive (an upload's after a
        reply that it begins), the body is whole, as
        long as SIZE says and in the file, the upload has its name, and the next data connection is open: each as far as
        it was asked for.
        """
    @property
    def connected(self) -> bool:
        """The data connection is known to be open, or was."""
    @property
    def ended(self) -> bool:
        """The body is whole, or the payload is sent: the data connection is closed."""
    @property
    def sent(self) -> int:
        """Bytes of the payload that were sent."""
    @property
    def then_sent(self) -> int:
        """Bytes of the commands that were to follow that were sent."""
    @property
    def data_error(self) -> int:
        """The errno that the data connection met; 0 for none."""
    def detach(self) -> int:
        """The data connection, where it is still open, else -1. It is the caller's from then on."""
    @property
    def next_age(self) -> float:
        """How long ago the next data connection was opened, seconds; -1 where there is none."""
    def adopt_next(self, fd: int, age: float = 0.0) -> None:
        """Take *fd*, opened *age* seconds ago or being opened, non-blocking, over as the next data connection.

        ValueError where there is one; *fd* is closed then, too.
        """
    def detach_next(self) -> int:
        """The next data connection, or -1. It is the caller's from then on."""
    def close(self) -> None:
        """Close the data connections. To be called before the control connection is closed. Idempotent."""

@final
class Watch:
    """Exchanges that are carried on in the thread of an event loop, which watches :meth:`fileno`.

    Not to be used from several threads at a time.
    """

    def __init__(self) -> None: ...
    @property
    def active(self) -> set[Exchange]:
        """Those submitted and not yet returned."""
    def fileno(self) -> int:
        """A descriptor that is readable while :meth:`ready` has something to do."""
    def join(self, exchange: Exchange) -> None:
        """Watch the connections of *exchange*: before its first :meth:`Exchange.begin`."""
    def submit(self, exchange: Exchange) -> None:
        """Carry on with *exchange*, which was begun."""
    def ready(self) -> list[Exchange]:
        """Do what can be done without waiting: the exchanges that are done."""
    def silent(self, patience: float) -> list[Exchange]:
        """Those for which nothing came for *patience* seconds: they are ended as they stand."""
    def withdraw(self, exchange: Exchange) -> None:
        """End *exchange* as it stands."""
    def close(self) -> None:
        """Forget all. Idempotent."""
