"""Bodies of requests: whether one is wanted, and in which form."""

from __future__ import annotations

from aiohttp import web
from aiohttp.http import HttpProcessingError

from fastxfer.server.web.connection import connection_of
from fastxfer.server.web.errors import ApiError, problem

__all__ = ["BROKEN", "accept_body", "expect_nothing_yet", "require_plain_body"]

BROKEN = (web.RequestPayloadError, HttpProcessingError, ValueError, AssertionError)
"""What reading a body raises whose framing is wrong."""


async def expect_nothing_yet(request: web.Request) -> web.StreamResponse | None:
    """Handle ``Expect``: the 100 is sent by :func:`accept_body`, once it is clear that the body is wanted."""
    expect = request.headers.get("Expect", "")
    if expect.lower() != "100-continue":
        return problem(417, "The server meets no such expectation")
    connection_of(request).awaits_continue = request.version >= (1, 1)
    return None


async def accept_body(request: web.Request) -> None:
    """Tell a client that waits for it to send the body."""
    connection = connection_of(request)
    if connection.awaits_continue:
        connection.awaits_continue = False
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer is not part of the real one.
        request.writer.output_size = 0


def require_plain_body(request: web.Request) -> None:
    """Refuse encoded bodies: what they grow to is anybody's guess.

    Raises:
        ApiError: 415 for a content coding, 501 for a transfer coding other than chunked (RFC 9112, 6.1).
    """
    headers = request.headers
    if headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise ApiError(501, "Of transfer codings only chunked is known")
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise ApiError(415, "Encoded bodies are not accepted", {"Accept-Encoding": "identity"})
