"""Native threads that carry any number of transfers to their end."""

from fastxfer._ext.xfer import Transfer

class Engine:
    """A few native threads around epoll (elsewhere: the twin, Python threads) that drive transfers without the GIL.

    With ``threads=0`` there are none: :meth:`completed` itself moves what can be moved, in its caller's thread, and it
    may hand back transfers that are not done because they turned out to be big: submit those to an engine with threads.
    That suits many small exchanges beside an event loop.

    A descriptor serves one transfer at a time (duplicate it for the other direction). Safe to use from several threads.
    In a forked child an engine is closed; make a new one. Close an engine that has work: it does not end by itself.
    """

    def __init__(self, threads: int = 2) -> None:
        """*threads*: 0 to 8."""
    @property
    def threads(self) -> int: ...
    @property
    def active(self) -> int:
        """Transfers submitted and not yet handed back."""
    @property
    def closed(self) -> bool: ...
    def fileno(self) -> int:
        """A descriptor that is readable while :meth:`completed` has something to do."""
    def submit(self, transfer: Transfer) -> None:
        """Take *transfer* over. RuntimeError when closed or when the transfer was already started elsewhere."""
    def completed(self) -> list[Transfer]:
        """The transfers finished since the last call, without waiting."""
    def close(self) -> None:
        """Cancel what is under way, collect nothing more, and join the threads. Idempotent."""
