"""Server to server: two servers open a data connection between them, and the bytes never come here (RFC 959, 2.3)."""

from __future__ import annotations

import asyncio
import posixpath
from dataclasses import dataclass

from fastxfer.core.ftpwire import parse_epsv, parse_pasv
from fastxfer.ftp.base import RemotePath
from fastxfer.ftp.errors import (
    FTPError,
    InvalidArgumentError,
    PermanentError,
    ProtocolError,
    ReplyError,
    UnsupportedError,
)
from fastxfer.ftp.file_operations import FileOperations
from fastxfer.ftp.pool import Link
from fastxfer.net.temporary_names import mark

__all__ = ["FXPOperations"]


class FXPOperations(FileOperations):
    """Transfers between two servers."""

    async def transfer_to(
        self,
        source: RemotePath,
        other: FileOperations,
        target: RemotePath,
        *,
        overwrite: bool = True,
        verify: bool = True,
        seconds: float | None = None,
    ) -> int:
        """Have this client's server send a file to another client's server: bytes moved, where the size is known.

        Both servers must allow connections to addresses other than the client's, which many refuse for good reasons.
        The file gets its name when it is whole.

        Args:
            source: file on this client's server.
            other: open client of the other server.
            target: file there.
            overwrite: replace a file there; else PermanentError where there is one.
            verify: compare the sizes.
            seconds: for the transfer; None for as long as it takes.

        With TLS one of the servers must be able to shake hands as a client (SSCN, as ProFTPD has, or CPSV). Raises
        UnsupportedError where neither is, or where only one of the two encrypts its data connections, and FTPError for
        whatever else goes wrong, and went wrong as often as ``retry`` allows; the half file is removed.
        """
        old, new = self._path(source), other._path(target)
        if other is self:
            raise InvalidArgumentError("the two servers are one: use copy()")
        if not overwrite and await other.exists(new):
            raise PermanentError(553, "the file exists already", path=new)
        directory, name = posixpath.split(new)
        temporary = posixpath.join(directory, f".{name}.{mark()}.part")
        written = temporary if other._config.atomic else new
        begun = False
        try:
            size = await self.size(old) if verify else None
            begun = True
            await self._between_patiently(old, other, written, seconds, size)
            if written != new:
                await other.rename(written, new)
        except FTPError:
            if begun:
                await other._remove_quietly(written)
            raise
        self._state.transfers += 1
        return size or 0

    async def _between_patiently(
        self, old: str, other: FileOperations, written: str, seconds: float | None, size: int | None
    ) -> None:
        """As :meth:`_between`, again after failures that may pass: servers break off on each other, too."""
        failures = 0
        end = self._deadline()
        while True:
            try:
                await self._between(old, other, written, seconds)
                if size is not None and (there := await other.size(written)) != size:
                    raise ProtocolError(f"{there} bytes arrived of {size}", path=written)
            except FTPError as error:
                failures += 1
                if not self._passing(error) or not await self._pause(error, failures, end):
                    raise
            else:
                return

    async def _between(self, old: str, other: FileOperations, written: str, seconds: float | None) -> None:
        here = await _versatile(self)
        try:
            there = await _versatile(other)
        except BaseException:
            self._pool.release(here)
            raise
        try:
            if here.session.protected != there.session.protected:
                raise UnsupportedError(504, "one server encrypts its data connections and the other does not", path=old)
            for link in (here, there):
                if link.session.type != "I":
                    await link.session.command("TYPE I")
                    link.session.type = "I"
            client = _handshaking_client(here, there) if here.session.protected else None
            if client is not None and client.sscn:
                await client.link.session.command("SSCN ON")
            try:
                listens, connects = (here, there) if client is None or client.sscn else (client.link, client.other)
                await self._meet(listens, connects, "CPSV" if client is not None and not client.sscn else "")
                await _transfer(here, there, f"RETR {old}", f"STOR {written}", seconds)
            finally:
                if client is not None and client.sscn and not client.link.session.broken:
                    await client.link.session.command("SSCN OFF")
        except BaseException as error:
            # One of them may be waiting for the other for long.
            if not isinstance(error, UnsupportedError):
                here.session.fail()
                there.session.fail()
            raise
        finally:
            self._pool.release(here)
            other._pool.release(there)

    async def _meet(self, listening: Link, connecting: Link, special: str = "") -> None:
        """One server listens, the other is told where. *special*: CPSV instead of PASV."""
        session = listening.session
        peer = str(session.stream.socket.getpeername()[0]).removeprefix("::ffff:")
        if ":" in peer:
            if special:
                raise UnsupportedError(522, "CPSV is for IPv4 only")
            port = parse_epsv((await session.command("EPSV")).text)
            await connecting.session.command(f"EPRT |2|{peer}|{port}|")
            return
        try:
            host, port = parse_pasv((await session.command(special or "PASV")).text)
        except ValueError as error:
            raise ProtocolError(str(error), server=session.server) from error
        address = host if self._config.trust_passive_address else peer
        await connecting.session.command(f"PORT {address.replace('.', ',')},{port >> 8},{port & 255}")


@dataclass
class _HandshakingClient:
    """The server that is to shake hands as a TLS client would: both are TLS servers otherwise."""

    link: Link
    other: Link
    sscn: bool


def _handshaking_client(here: Link, there: Link) -> _HandshakingClient:
    for sscn, command in ((True, "SSCN"), (False, "CPSV")):
        for link, other in ((here, there), (there, here)):
            if link.session.profile.offers(command):
                return _HandshakingClient(link, other, sscn)
    raise UnsupportedError(504, "neither server can shake hands with the other: they have neither SSCN nor CPSV")


async def _versatile(client: FileOperations) -> Link:
    """A session that was not promised EPSV only."""
    client._profile.epsv_all = False
    while True:
        link = await client._pool.acquire(client._driver)
        if not link.session.epsv_only:
            # A connection opened in advance would end with the next PASV or PORT.
            link.port.drop_next()
            return link
        client._pool.discard(link)


async def _transfer(here: Link, there: Link, retrieve: str, store: str, seconds: float | None) -> None:
    """Both commands, both preliminary replies, both verdicts."""
    await there.session.send([store])
    await here.session.send([retrieve])
    first: FTPError | None = None
    waiting = {
        asyncio.create_task(_verdict(there, store, seconds)),
        asyncio.create_task(_verdict(here, retrieve, seconds)),
    }
    try:
        while waiting and first is None:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if isinstance(error, FTPError):
                    first = first or error
                elif error is not None:
                    raise error
    finally:
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
    if first is not None:
        raise first


async def _verdict(link: Link, line: str, seconds: float | None) -> None:
    session = link.session
    reply = await session.any_reply(line)
    if reply.preliminary:
        # The transfer takes as long as it takes; the control connection may be silent meanwhile.
        reply = await session.reply(line, seconds=float("inf") if seconds is None else seconds)
    if reply.code >= 400:
        refusal: ReplyError = session.refusal(reply, line)
        raise refusal
