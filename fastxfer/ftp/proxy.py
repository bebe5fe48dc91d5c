"""Connections by way of a proxy: SOCKS through the ``python-socks`` library (extra ``proxy``), HTTP CONNECT by itself.

An FTP server speaks first, so its greeting may come in one piece with an HTTP proxy's consent. Libraries read that
piece and keep only the consent; here not a byte more is read than belongs to it.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import time
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from fastxfer.ftp.driver import Driver
from fastxfer.ftp.errors import InvalidArgumentError
from fastxfer.net.stream import Stream

__all__ = ["connect_through", "socks_connect", "socks_connect_async"]

_MISSING = "a SOCKS proxy needs the python-socks library: pip install 'fastxfer[proxy]'"
_LONGEST_ANSWER = 16384


async def connect_through(driver: Driver, proxy: str, host: str, port: int, seconds: float | None) -> Stream:
    """A stream to *host* by way of *proxy* (``socks5://``, ``socks4://`` or ``http://`` URL, with credentials or not).

    Raises OSError (ConnectionError, TimeoutError), InvalidArgumentError where the URL or the library is no good.
    """
    try:
        parts = urlsplit(proxy)
        parts.port  # noqa: B018 - read only for the ValueError of one that is none
    except ValueError as error:
        raise InvalidArgumentError(f"the proxy's URL: {error}") from error
    if parts.scheme == "http":
        return await _http_connect(driver, proxy, host, port, seconds)
    return driver.stream(await driver.socks_connect(proxy, host, port, seconds))


async def _http_connect(driver: Driver, proxy: str, host: str, port: int, seconds: float | None) -> Stream:
    """HTTP CONNECT (RFC 9110, section 9.3.6)."""
    parts = urlsplit(proxy)
    if not parts.hostname:
        raise InvalidArgumentError("the proxy's URL names no host")
    target = f"[{host}]:{port}" if ":" in host else f"{_ascii_name(host)}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(secret.encode()).decode()}")
    found = await driver.resolve(parts.hostname, parts.port or 8080, socket.AF_UNSPEC)
    family, kind, protocol, _, sockaddr = found[0]
    stream = driver.stream(socket.socket(family, kind, protocol))
    try:
        stream.begin_connect(sockaddr)
        await stream.finish_connect(seconds)
        await stream.send(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"), seconds)
        answer = await _answer(stream, seconds)
    except BaseException:
        stream.close()
        raise
    status = answer.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(status) < 2 or not status[0].startswith(b"HTTP/") or not status[1].startswith(b"2"):
        stream.close()
        raise ConnectionError(f"the proxy refused: {answer.split(chr(13).encode(), 1)[0].decode('latin-1')[:200]}")
    return stream


def _ascii_name(host: str) -> str:
    """A host name as DNS has it (IDNA); the proxy is to look it up, and a header holds nothing else."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise InvalidArgumentError(f"not a host name: {host!r}: {error}") from error


async def _answer(stream: Stream, seconds: float | None) -> bytes:
    """The head of the proxy's answer; what follows it stays in the socket."""
    seen = 0
    end_of_wait = None if seconds is None else time.monotonic() + seconds
    while end_of_wait is None or time.monotonic() < end_of_wait:
        await stream.wait(reading=True, seconds=seconds)
        try:
            waiting = stream.socket.recv(_LONGEST_ANSWER, socket.MSG_PEEK)
        except BlockingIOError:
            continue
        end = waiting.find(b"\r\n\r\n")
        if end >= 0:
            return stream.socket.recv(end + 4)
        if not waiting or len(waiting) == _LONGEST_ANSWER:
            raise ConnectionError("the proxy gave no proper answer")
        if len(waiting) == seen:
            # The rest is on its way; the socket stays readable meanwhile.
            await stream.rest()
        seen = len(waiting)
    raise TimeoutError("the proxy did not end its answer")


def socks_connect(proxy: str, host: str, port: int, seconds: float | None) -> socket.socket:
    """A connected socket to *host* by way of a SOCKS *proxy*. Raises as :func:`connect_through`."""
    with _told_as_ours():
        from python_socks.sync import Proxy

        sock: socket.socket = Proxy.from_url(proxy).connect(host, port, timeout=seconds)
    return sock


async def socks_connect_async(proxy: str, host: str, port: int, seconds: float | None) -> socket.socket:
    """As :func:`socks_connect`, on the running event loop."""
    with _told_as_ours():
        from python_socks.async_.asyncio import Proxy

        sock: socket.socket = await Proxy.from_url(proxy).connect(host, port, timeout=seconds)
    return sock


@contextlib.contextmanager
def _told_as_ours() -> Iterator[None]:
    """Errors of python-socks, and that it is missing, as those that callers expect."""
    try:
        from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError

        try:
            yield
        except ProxyTimeoutError as error:
            raise TimeoutError(str(error)) from error
        except (ProxyError, ProxyConnectionError) as error:
            raise ConnectionError(str(error)) from error
        except ValueError as error:
            raise InvalidArgumentError(f"the proxy's URL: {error}") from error
    except ImportError as error:
        raise InvalidArgumentError(_MISSING) from error
