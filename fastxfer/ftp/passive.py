"""Passive mode: the address that the server tells (EPSV of RFC 2428, PASV of RFC 959), and a connection to it."""

from __future__ import annotations

import socket

from fastxfer.core.ftpwire import parse_epsv, parse_pasv
from fastxfer.ftp.data_sockets import tune
from fastxfer.ftp.errors import ConnectionFailedError, ProtocolError, TimedOutError
from fastxfer.ftp.proxy import connect_through
from fastxfer.ftp.replies import Reply
from fastxfer.ftp.session import Session
from fastxfer.net.stream import Stream

__all__ = ["address_in", "extended", "passive_address", "passive_stream"]


def extended(session: Session) -> bool:
    """Whether the extended commands of RFC 2428 are to be tried."""
    family, peer = session.peer
    # An IPv4 server behind an IPv6 socket knows nothing of IPv6.
    if session.epsv_only or (family == socket.AF_INET6 and not str(peer[0]).startswith("::ffff:")):
        return True
    return session.config.extended and session.profile.extended


async def passive_address(session: Session, path: str) -> tuple[str | None, int]:
    """Ask where to connect to, as :func:`address_in` gives it. *path* is for errors."""
    if extended(session):
        reply = await session.ask("EPSV")
        if reply.code == 229:
            return address_in(session, reply)
        if session.epsv_only or reply.code not in (500, 501, 502, 504, 522):
            raise session.refusal(reply, "EPSV", path)
        session.profile.extended = False
    reply = await session.ask("PASV")
    if reply.code != 227:
        if reply.code < 400:
            raise ProtocolError(f"an odd reply to PASV: {reply.code}", server=session.server, command="PASV")
        raise session.refusal(reply, "PASV", path)
    return address_in(session, reply)


def address_in(session: Session, reply: Reply) -> tuple[str | None, int]:
    """Host (None: the server's own) and port."""
    try:
        if reply.code == 229:
            return None, parse_epsv(reply.text)
        host, port = parse_pasv(reply.text)
    except ValueError as error:
        raise ProtocolError(str(error), server=session.server) from error
    # An address other than the server's would make the client a tool against third parties.
    return (host if session.config.trust_passive_address else None), port


async def passive_stream(session: Session, address: tuple[str | None, int]) -> Stream:
    """Begin to connect there, through the proxy if there is one."""
    host, port = address
    config = session.config
    if config.proxy is not None:
        return await _proxied_stream(session, host, port)
    family, peer = session.peer
    stream = session.driver.stream(socket.socket(family, socket.SOCK_STREAM))
    try:
        tune(config, stream.socket)
        if config.local_address is not None:
            stream.socket.bind((config.local_address, 0))
        stream.begin_connect((host or peer[0], port, *peer[2:]))
    except OSError as error:
        stream.close()
        raise ConnectionFailedError(f"no data connection: {error}", server=session.server) from error
    return stream


async def _proxied_stream(session: Session, host: str | None, port: int) -> Stream:
    config = session.config
    try:
        return await connect_through(
            session.driver, config.proxy or "", host or session.host, port, config.timeouts.connect
        )
    except TimeoutError as error:
        raise TimedOutError("the proxy opened no data connection in time", server=session.server) from error
    except OSError as error:
        raise ConnectionFailedError(f"no data connection through the proxy: {error}", server=session.server) from error
