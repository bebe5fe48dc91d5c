"""A small file asked for on a session that was ready for it, without the objects that other transfers need."""

from __future__ import annotations

from fastxfer.core.ftpexchange import Exchange

__all__ = ["ReadyDownload"]


class ReadyDownload:
    """What has been asked for.

    Attributes:
        exchange: it moves the file, and the replies.
        path: the remote file.
        sized: SIZE was sent ahead.
        unsent: what the control connection did not take of the commands; the exchange was not begun then.
    """

    __slots__ = ("exchange", "path", "sized", "unsent")

    def __init__(self, exchange: Exchange, path: str, sized: bool, unsent: bytes) -> None:
        self.exchange = exchange
        self.path = path
        self.sized = sized
        self.unsent = unsent

    @property
    def before(self) -> list[str]:
        """The commands that went ahead of RETR."""
        return [f"SIZE {self.path}"] if self.sized else []
