"""GET and HEAD of files: whole, in ranges, only when changed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from fastxfer.server.hooks import Direction
from fastxfer.server.web import pump
from fastxfer.server.web.conditions import Validators, check, range_applies
from fastxfer.server.web.context import Visit
from fastxfer.server.web.disposition import attachment
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.pump import Progress
from fastxfer.server.web.ranges import ByteRange, UnsatisfiableError, parse_range
from fastxfer.server.web.transfers import CountedTransfer

if TYPE_CHECKING:
    from fastxfer.server.filesystem import Reader

__all__ = ["send_file"]

CONTENT_TYPE = "application/octet-stream"


async def send_file(request: web.Request, visit: Visit, path: str, reader: Reader) -> web.StreamResponse:
    """Answer with the file that *reader* has open; its state is that of the open file, not of the name."""
    info = reader.info
    state = Validators(info)
    verdict = check(request, state)
    common = {**state.headers(), "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if verdict == 304:
        return web.Response(status=304, headers=common)
    if verdict:
        raise ApiError(verdict, "The file has changed", state.headers())
    common["Content-Disposition"] = attachment(info.name)
    asked = request.headers.get("Range") if request.method == "GET" and range_applies(request, state) else None
    try:
        ranges = parse_range(asked, info.size)
    except UnsatisfiableError:
        raise ApiError(416, "The range lies outside the file", {"Content-Range": f"bytes */{info.size}"}) from None
    if ranges is not None and len(ranges) > 1:
        return await _send_parts(request, visit, path, reader, ranges, common)
    span = ranges[0] if ranges else ByteRange(0, info.size)
    headers = {**common, "Content-Type": CONTENT_TYPE, "Content-Length": str(span.length)}
    if ranges:
        headers["Content-Range"] = span.content_range(info.size)
    status = 206 if ranges else 200
    if request.method == "HEAD":
        return web.Response(status=status, headers=headers)
    async with CountedTransfer(visit, Direction.DOWNLOAD, path, span.start) as progress:
        if span.length <= pump.SMALL:
            return await _send_small(visit, reader, span, status, headers, progress)
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        limits = visit.account.download_limits
        await pump.send(visit.shared, request, response, reader, span.start, span.length, limits, progress)
        await response.write_eof()
        return response


async def _send_small(
    visit: Visit, reader: Reader, span: ByteRange, status: int, headers: dict[str, str], progress: Progress
) -> web.Response:
    """Head and body in one packet."""
    body = await reader.read(span.start, span.length) if span.length else b""
    if len(body) != span.length:
        raise ApiError(500, "The file changed while it was read")
    await visit.shared.paces.spend(visit.account.download_limits, len(body))
    progress.moved = len(body)
    del headers["Content-Length"]
    return web.Response(status=status, headers=headers, body=body)


async def _send_parts(
    request: web.Request,
    visit: Visit,
    path: str,
    reader: Reader,
    ranges: Sequence[ByteRange],
    common: dict[str, str],
) -> web.StreamResponse:
    """Several ranges as multipart/byteranges (RFC 9110, 14.6)."""
    boundary = secrets.token_hex(16)
    size = reader.info.size
    heads = [
        (
            f"\r\n--{boundary}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Range: {span.content_range(size)}\r\n\r\n"
        ).encode()
        for span in ranges
    ]
    tail = f"\r\n--{boundary}--\r\n".encode()
    total = sum(span.length for span in ranges) + sum(map(len, heads)) + len(tail)
    headers = {
        **common,
        "Content-Type": f"multipart/byteranges; boundary={boundary}",
        "Content-Length": str(total),
    }
    limits = visit.account.download_limits
    async with CountedTransfer(visit, Direction.DOWNLOAD, path, ranges[0].start) as progress:
        response = web.StreamResponse(status=206, headers=headers)
        await response.prepare(request)
        for head, span in zip(heads, ranges, strict=True):
            await response.write(head)
            await pump.send(visit.shared, request, response, reader, span.start, span.length, limits, progress)
        await response.write_eof(tail)
        return response
