"""Where data connections come from or go to, and what they carry: PASV, EPSV, PORT, EPRT, TYPE, STRU, MODE."""

from __future__ import annotations

import ipaddress
import re

from fastxfer.server.commands.table import command
from fastxfer.server.replies import BAD_SYNTAX, NO_SUCH_PARAMETER, OK, extended_passive_mode, passive_mode, reply
from fastxfer.server.session import Session

_UNSPECIFIED = ("0.0.0.0", "::")
_EPSV_ONLY = reply(501, "Not after EPSV ALL.")
_REFUSED = reply(501, "Data connections to that address are not permitted.")
_ACTIVE_OFF = reply(502, "Active data connections are switched off.")
_EPSV_ALL = reply(200, "EPSV ALL: no other data connections from now on.")
_BAD_FAMILY = {
    1: reply(522, "Network protocol not supported, use (2)"),
    2: reply(522, "Network protocol not supported, use (1)"),
}
_UNKNOWN_FAMILY = reply(522, "Network protocol not supported, use (1,2)")
_IPV4_ONLY = reply(425, "PASV is for IPv4, use EPSV.")
_TYPE_ASCII = reply(200, "Type set to A.")
_TYPE_IMAGE = reply(200, "Type set to I.")
_DIGITS = re.compile("[0-9]{1,5}", re.ASCII).fullmatch
_NO_PORT = reply(425, "No passive port is free.")


@command("PASV", "RFC 959 section 4.1.2", keeps=True)
def pasv(session: Session, argument: str) -> bytes:
    """Listen for a data connection; the reply tells an IPv4 address and port."""
    if session.epsv_only:
        return _EPSV_ONLY
    address = session.runtime.masquerade(session)
    if address is None:
        return _IPV4_ONLY
    port = session.runtime.data(session).listen()
    if not port:
        return _NO_PORT
    return passive_mode(address, port)


@command("EPSV", "RFC 2428 section 3", syntax="[1|2|ALL]", keeps=True)
def epsv(session: Session, argument: str) -> bytes:
    """Listen for a data connection at the address of the control connection; the reply tells the port."""
    if argument:
        wanted = argument.upper()
        if wanted == "ALL":
            session.epsv_only = True
            return _EPSV_ALL
        family = 2 if ":" in session.local_address else 1
        if wanted not in ("1", "2"):
            return _UNKNOWN_FAMILY if wanted.isdigit() else BAD_SYNTAX
        if int(wanted) != family:
            return _BAD_FAMILY[int(wanted)]
    port = session.runtime.data(session).listen()
    if not port:
        return _NO_PORT
    return extended_passive_mode(port)


@command("PORT", "RFC 959 section 4.1.2", syntax="h1,h2,h3,h4,p1,p2", keeps=True)
def port(session: Session, argument: str) -> bytes:
    """Connect to an IPv4 address and port of the client for the next transfer."""
    if session.epsv_only:
        return _EPSV_ONLY
    fields = argument.split(",")
    if len(fields) != 6 or not all(_DIGITS(field) and int(field) < 256 for field in fields):
        return BAD_SYNTAX
    host = ".".join(str(int(field)) for field in fields[:4])
    return _connect_to(session, host, int(fields[4]) * 256 + int(fields[5]))


@command("EPRT", "RFC 2428 section 2", syntax="|family|address|port|", keeps=True)
def eprt(session: Session, argument: str) -> bytes:
    """Connect to an address and port of the client for the next transfer."""
    if session.epsv_only:
        return _EPSV_ONLY
    fields = argument.split(argument[0])
    if len(fields) != 5 or fields[0] or fields[4] or not _DIGITS(fields[3]):
        return BAD_SYNTAX
    if fields[1] not in ("1", "2"):
        return _UNKNOWN_FAMILY
    try:
        host = (ipaddress.IPv4Address if fields[1] == "1" else ipaddress.IPv6Address)(fields[2])
    except ValueError:
        return BAD_SYNTAX
    return _connect_to(session, str(host), int(fields[3]))


def _connect_to(session: Session, host: str, port: int) -> bytes:
    passive = session.config.passive
    if not passive.active:
        return _ACTIVE_OFF
    if not 0 < port < 65536:
        return BAD_SYNTAX
    if host in _UNSPECIFIED:
        # lftp tells its IPv6 address so. The only one that can be meant is the client's.
        host = session.address.partition("%")[0]
    if port < passive.min_active_port or not session.runtime.may_connect(session, host, port):
        return _REFUSED
    session.runtime.data(session).connect_to(host, port)
    return OK


@command("TYPE", "RFC 959 section 4.1.2", syntax="A|I|L 8", keeps=True)
def set_type(session: Session, argument: str) -> bytes:
    """Image (bytes as they are) or ASCII (lines end with CRLF on the wire)."""
    wanted = argument.upper()
    if wanted in ("I", "L 8", "L8"):
        session.type_ascii = False
        return _TYPE_IMAGE
    if wanted in ("A", "A N"):
        session.type_ascii = True
        return _TYPE_ASCII
    return NO_SUCH_PARAMETER


@command("STRU", "RFC 959 section 4.1.2", syntax="F", keeps=True)
def structure(session: Session, argument: str) -> bytes:
    """Only files without structure."""
    return OK if argument.upper() == "F" else NO_SUCH_PARAMETER


@command("MODE", "RFC 959 section 4.1.2", syntax="S|Z", keeps=True)
def mode(session: Session, argument: str) -> bytes:
    """Stream, or stream compressed by deflate (draft-preston-ftpext-deflate)."""
    wanted = argument.upper()
    if wanted not in ("S", "Z"):
        return NO_SUCH_PARAMETER
    session.mode_z = wanted == "Z"
    return OK
