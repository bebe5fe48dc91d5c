"""Logging in and out, and protecting the connections: USER, PASS, ACCT, REIN, QUIT, AUTH, PBSZ, PROT, CCC, HOST."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from fastxfer.server.commands.table import command
from fastxfer.server.config import at_most
from fastxfer.server.guard import LoginRefusedError
from fastxfer.server.replies import (
    BAD_SEQUENCE,
    BAD_SYNTAX,
    BANNED,
    CONTROL_MUST_BE_PRIVATE,
    LOGIN_INCORRECT,
    NO_SUCH_PARAMETER,
    OK,
    TOO_MANY,
    reply,
)
from fastxfer.server.session import Session
from fastxfer.server.users import Credentials

if TYPE_CHECKING:
    from fastxfer.server.account import Account

_NEED_PASSWORD = reply(331, "Password required.")
_LOGGED_IN = reply(230, "Logged in.")
_GOODBYE = reply(221, "Goodbye.")
_READY_FOR_NEW_USER = reply(220, "Ready for a new user.")
_ACCOUNT_NOT_NEEDED = reply(202, "No account is needed.")
_AUTH_OK = reply(234, "Proceed with the TLS handshake.")
_AUTH_OFF = reply(534, "TLS is not available here.")
_AUTH_AGAIN = reply(503, "The connection is protected already.")
_AUTH_FIRST = reply(503, "AUTH TLS comes first.")
_PBSZ_FIRST = reply(503, "PBSZ comes first.")
_PBSZ_OK = reply(200, "PBSZ=0")
_PRIVATE_REQUIRED = reply(534, "Data connections must be private.")
_UNKNOWN_LEVEL = reply(504, "Unknown protection level.")
_LEVEL_NOT_SUPPORTED = reply(536, "Not supported with TLS.")
_CCC_REFUSED = reply(534, "The control connection stays protected.")
_CCC_NOT_PROTECTED = reply(533, "The connection is not protected.")
_HOST_OK = reply(220, "Host accepted.")
_HOST_UNKNOWN = reply(504, "Unknown host.")
_MAX_NAME = 256


@command("USER", "RFC 959 section 4.1.1", syntax="name", login=False)
def user(session: Session, argument: str) -> bytes | Awaitable[bytes | None]:
    """Name the user. A new login takes the old one's place only when it succeeds in full; until then nobody is in."""
    if session.runtime.tls_required(session.listener) and not session.tls:
        return CONTROL_MUST_BE_PRIVATE
    if len(argument) > _MAX_NAME:
        return BAD_SYNTAX
    if session.logged_in:
        session.runtime.logout(session)
    session.name = argument
    if session.service.welcoming and session.service.authenticator.welcomes(_credentials(session, "")):
        return _login(session, "")
    return _NEED_PASSWORD


@command("PASS", "RFC 959 section 4.1.1", syntax="[password]", login=False)
def password(session: Session, argument: str) -> bytes | Awaitable[bytes | None] | None:
    """Show the password of the user named before."""
    if not session.name or session.logged_in:
        return BAD_SEQUENCE
    account = session.service.admit(session.name, argument, session.address, tls=session.tls, host=session.host)
    return _login(session, argument) if account is None else _enter(session, account)


def _credentials(session: Session, password: str) -> Credentials:
    return Credentials(
        name=session.name,
        password=password,
        address=session.address,
        tls=session.tls,
        certificate=session.control.peer_certificate(),
        host=session.host,
    )


async def _login(session: Session, password: str) -> bytes | None:
    try:
        account = await session.service.authenticate(_credentials(session, password), session.info())
    except LoginRefusedError as error:
        session.name = ""
        session.attempts += 1
        if error.reason == "banned":
            session.control.finish(BANNED)
            return None
        if session.attempts >= at_most(session.config.limits.login_attempts):
            session.control.finish(LOGIN_INCORRECT)
            return None
        return CONTROL_MUST_BE_PRIVATE if error.reason == "tls" else LOGIN_INCORRECT
    except OSError:
        session.name = ""
        raise
    return _enter(session, account)


def _enter(session: Session, account: Account) -> bytes | None:
    user = account.user
    if not session.service.guard.enter_user(user.name, user.max_sessions):
        session.control.finish(TOO_MANY)
        return None
    session.enter(account)
    session.attempts = 0
    return _LOGGED_IN


@command("ACCT", "RFC 959 section 4.1.1", syntax="account", login=False)
def account(session: Session, argument: str) -> bytes:
    """Accounts in the sense of 1985 are not used."""
    return _ACCOUNT_NOT_NEEDED if session.logged_in else BAD_SEQUENCE


@command("REIN", "RFC 959 section 4.1.1", login=False)
def reinitialize(session: Session, argument: str) -> bytes:
    """Log out and begin anew; the protection of the control connection stays, and the host that its handshake named."""
    session.runtime.logout(session)
    # RFC 7151: what HOST has chosen does not outlive it.
    session.host = session.host_of_tls
    return _READY_FOR_NEW_USER


@command("QUIT", "RFC 959 section 4.1.1", login=False)
def quit_session(session: Session, argument: str) -> None:
    """Say goodbye."""
    session.control.finish(_GOODBYE)


@command("AUTH", "RFC 4217 section 4", syntax="TLS|SSL", login=False)
def auth(session: Session, argument: str) -> bytes | None:
    """Protect the control connection. What the client sent behind the command in the clear is never obeyed."""
    mechanism = argument.upper()
    if mechanism not in ("TLS", "TLS-C", "SSL", "TLS-P"):
        return NO_SUCH_PARAMETER
    if not session.runtime.tls_available:
        return _AUTH_OFF
    if session.tls:
        return _AUTH_AGAIN
    if session.logged_in:
        session.runtime.logout(session)
    session.name = ""
    session.control.start_tls(_AUTH_OK)
    # RFC 4217 section 4.1: these two imply PROT P.
    session.private = mechanism in ("SSL", "TLS-P")
    return None


@command("PBSZ", "RFC 4217 section 9", syntax="0", login=False)
def buffer_size(session: Session, argument: str) -> bytes:
    """The protection buffer size, which is always 0 with TLS."""
    if not (session.tls or session.ccc):
        return _AUTH_FIRST
    if not (argument.isascii() and argument.isdigit()):
        return BAD_SYNTAX
    session.pbsz = True
    return OK if argument == "0" else _PBSZ_OK


@command("PROT", "RFC 4217 section 9", syntax="C|P", login=False)
def protection(session: Session, argument: str) -> bytes:
    """Whether data connections are clear or private."""
    if not (session.tls or session.ccc):
        return _AUTH_FIRST
    if not session.pbsz and not session.listener.implicit_tls:
        return _PBSZ_FIRST
    level = argument.upper()
    if level == "P":
        session.private = True
        return OK
    if level == "C":
        if session.config.tls.require_data:
            return _PRIVATE_REQUIRED
        session.private = False
        return OK
    return _LEVEL_NOT_SUPPORTED if level in ("S", "E") else _UNKNOWN_LEVEL


@command("CCC", "RFC 4217 section 16")
def clear_command_channel(session: Session, argument: str) -> bytes | None:
    """Back to a plain control connection, where firewalls want to see PORT and PASV."""
    if not session.tls:
        return _CCC_NOT_PROTECTED
    if not session.config.tls.allow_ccc or session.listener.implicit_tls:
        return _CCC_REFUSED
    session.control.end_tls(OK)
    session.ccc = True
    return None


@command("HOST", "RFC 7151 section 3", syntax="name", login=False)
def host(session: Session, argument: str) -> bytes:
    """Choose a virtual host, before login."""
    if session.logged_in or session.name:
        return BAD_SEQUENCE
    name = argument.strip("[]").lower()
    hosts = session.config.hosts
    if hosts and name not in hosts:
        return _HOST_UNKNOWN
    session.host = name if hosts else ""
    return _HOST_OK
