"""Uploads: one file as the body of PUT or POST, whole or in pieces, or several as a multipart form."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from aiohttp import StreamReader, web

from fastxfer.server.account import MAX_MTIME
from fastxfer.server.filesystem import NO_ROOM
from fastxfer.server.hooks import Direction
from fastxfer.server.web import pump
from fastxfer.server.web.body import BROKEN, accept_body, require_plain_body
from fastxfer.server.web.changes import make_parents
from fastxfer.server.web.conditions import Validators, check, is_conditional
from fastxfer.server.web.connection import connection_of
from fastxfer.server.web.context import Visit
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.ranges import ContentRange, parse_content_range
from fastxfer.server.web.transfers import CountedTransfer
from fastxfer.server.web.urlpath import check_new_name, encode_path

if TYPE_CHECKING:
    from fastxfer.server.filesystem import FileInfo, Writer

__all__ = ["Target", "store", "upload_state", "upload_whole"]

OFFSET_HEADER = "Upload-Offset"
"""How many bytes of an unfinished upload the server has."""


class StreamSource:
    """The request's body as it comes. Where it breaks off, all that had come is given before the failure is told."""

    def __init__(self, request: web.Request) -> None:
        self._stream: StreamReader = request.content
        self._length = request.content_length
        self._given = 0
        self._rest: bytes | None = None
        connection_of(request).rescue = self._rescue

    async def next_chunk(self) -> bytes:
        if self._rest is None:
            try:
                chunk = await self._stream.readany()
                self._given += len(chunk)
                return chunk
            except BROKEN:
                raise ApiError(400, "The body cannot be understood") from None
            except (OSError, RuntimeError):
                # So aiohttp says that the connection is lost.
                if self._rest is None:
                    raise
        rest, self._rest = self._rest, b""
        if not rest:
            raise ConnectionResetError("the client went away")
        return rest

    def is_here(self) -> bool:
        return self._stream.is_eof()

    def outside(self) -> int:
        if self._length is None or self._rest is not None or self._given < self._stream.total_bytes:
            return 0
        return self._length - self._given

    def _rescue(self) -> None:
        """The connection is lost: take what aiohttp has received and would not give any more."""
        if self._stream.exception() is not None:
            return
        pieces = []
        # A RuntimeError says that somebody waits for more: nothing is there.
        with contextlib.suppress(RuntimeError):
            while piece := self._stream.read_nowait():
                pieces.append(piece)
        self._rest = b"".join(pieces)


class Target:
    """Where an upload goes: the final name, and what was there before.

    Args:
        path: the final name.
        before: what is there; None if nothing is, or the user may not know.
        replace: whether a file that is there may be replaced.
        conditional: whether it must still be as the request says when the file takes its name.
    """

    def __init__(self, path: str, before: FileInfo | None, *, replace: bool, conditional: bool) -> None:
        self.path = path
        self.before = before
        self.replace = replace
        self.conditional = conditional


async def upload_whole(request: web.Request, visit: Visit, path: str) -> web.Response:
    """Store the request's body as *path*; with Content-Range, a piece of it."""
    check_new_name(path)
    require_plain_body(request)
    piece = _content_range(request)
    modified = _modified(visit)
    target = await find_target(request, visit, path)
    if piece is not None:
        return await _upload_piece(request, visit, target, piece, modified)
    writer = await open_target(visit, target, size=-1 if request.content_length is None else request.content_length)
    await store(request, visit, target, writer, StreamSource(request), keep=True)
    return await _stored(visit, target, modified, status=200 if target.before is not None else 201)


async def upload_state(visit: Visit, path: str) -> web.Response:
    """How far an upload of this user to *path* has come that was broken off."""
    offset = max(await visit.account.unfinished_size(path), 0)
    return web.json_response({"path": path, "offset": offset}, headers={OFFSET_HEADER: str(offset)})


async def find_target(request: web.Request, visit: Visit, path: str) -> Target:
    """Judge the conditions of *request* against what is at *path*.

    Raises:
        ApiError: 412 when they do not hold.
    """
    try:
        before: FileInfo | None = await visit.account.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        before = None
    if before is not None and before.is_dir:
        raise ApiError(409, "A directory has this name")
    if not is_conditional(request):
        return Target(path, before, replace=True, conditional=False)
    if check(request, None if before is None else Validators(before)):
        raise _refused(request, there=before is not None)
    # Where nothing is that the condition could speak of, nothing may come meanwhile either.
    replace = before is not None or "If-None-Match" not in request.headers
    return Target(path, before, replace=replace, conditional=True)


def _refused(request: web.Request, *, there: bool) -> ApiError:
    if not there:
        return ApiError(412, "The file is not there")
    changed = "If-Match" in request.headers or "If-Unmodified-Since" in request.headers
    return ApiError(412, "The file has changed" if changed else "The file is already there")


async def open_target(visit: Visit, target: Target, *, size: int, offset: int = 0) -> Writer:
    """Open *target* for writing, with ``parents`` after making the directories above it."""
    try:
        return await visit.account.open_write(
            target.path, offset=offset, unfinished=True, replace=target.replace, size=size
        )
    except FileNotFoundError:
        if not visit.flag("parents"):
            raise ApiError(409, "The directory does not exist") from None
    except FileExistsError:
        if target.replace:
            raise
        raise ApiError(412, "The file is already there") from None
    await make_parents(visit, target.path)
    return await visit.account.open_write(
        target.path, offset=offset, unfinished=True, replace=target.replace, size=size
    )


async def store(
    request: web.Request,
    visit: Visit,
    target: Target,
    writer: Writer,
    source: pump.ChunkSource,
    *,
    keep: bool,
    finish: bool = True,
    expected: int | None = None,
) -> None:
    """Receive the file and give it its name.

    Args:
        request: the request, whose body is asked for where the client waits to be asked.
        visit: who sends it.
        target: where it goes.
        writer: open for it; committed or aborted here in any case.
        source: where the bytes come from.
        keep: keep what has come if the rest does not.
        finish: False for a piece that is not the last one.
        expected: how many bytes there must be.
    """
    settings = visit.shared.service.config.uploads
    keep = keep and settings.keep_partial
    ended = False
    try:
        async with CountedTransfer(visit, Direction.UPLOAD, target.path, writer.offset) as progress:
            await accept_body(request)
            await pump.receive(visit.shared, request, source, writer, visit.account.upload_limits, progress)
            if expected is not None and progress.moved != expected:
                raise ApiError(400, "The body has not the length that was announced")
            if not finish:
                ended = True
                await writer.abort(keep=True)
            elif target.conditional and not writer.in_place:
                if settings.fsync:
                    # Before, since it may take long and nothing may happen between the look and the new name.
                    await writer.sync()
                async with visit.shared.conditional.passed():
                    keep = False
                    await find_target(request, visit, target.path)
                    ended = True
                    await _commit(writer, target, sync=settings.fsync)
            else:
                ended = True
                await _commit(writer, target, sync=settings.fsync)
    except OSError as error:
        keep = keep and error.errno not in NO_ROOM
        raise
    finally:
        if not ended:
            await writer.abort(keep=keep)


async def _commit(writer: Writer, target: Target, *, sync: bool) -> None:
    try:
        await writer.commit(sync=sync)
    except FileExistsError:
        # Somebody else took the name while the body came.
        raise ApiError(412, "The file is already there") from None


async def _upload_piece(
    request: web.Request, visit: Visit, target: Target, piece: ContentRange, modified: float | None
) -> web.Response:
    have = max(await visit.account.unfinished_size(target.path), 0)
    if piece.span is None:
        return await upload_state(visit, target.path)
    span, total = piece.span, piece.total
    if span.start > have:
        raise ApiError(409, "Bytes before this piece are missing", {OFFSET_HEADER: str(have)})
    if request.content_length is not None and request.content_length != span.length:
        raise ApiError(400, "Content-Length and Content-Range do not agree")
    last = span.stop == total
    if not last and not visit.account.filesystem.keeps_unfinished:
        raise ApiError(501, "The server cannot take a file in pieces")
    writer = await open_target(visit, target, offset=span.start, size=-1 if total is None else total)
    source = StreamSource(request)
    await store(request, visit, target, writer, source, keep=True, finish=last, expected=span.length)
    if last:
        return await _stored(visit, target, modified, status=200 if target.before is not None else 201)
    return web.json_response(
        {"status": "incomplete", "path": target.path, "offset": span.stop},
        status=202,
        headers={OFFSET_HEADER: str(span.stop)},
    )


async def _stored(visit: Visit, target: Target, modified: float | None, *, status: int) -> web.Response:
    if modified is not None:
        await set_modified(visit, target.path, modified)
    headers: Mapping[str, str] = {"Location": "/files" + encode_path(target.path)}
    body: dict[str, object] = {
        "status": "success",
        "path": target.path,
        "message": "File uploaded successfully",
    }
    try:
        info = await visit.account.stat(target.path)
    except PermissionError:
        # An account that may only deliver learns nothing more.
        return web.json_response(body, status=status, headers=headers)
    body["size"] = info.size
    return web.json_response(body, status=status, headers={**headers, **Validators(info).headers()})


async def set_modified(visit: Visit, path: str, modified: float) -> None:
    """Set the time of the last change where the filesystem can."""
    try:
        await visit.account.set_modified(path, modified)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise


def _content_range(request: web.Request) -> ContentRange | None:
    header = request.headers.get("Content-Range")
    if header is None:
        return None
    try:
        return parse_content_range(header)
    except ValueError as error:
        raise ApiError(400, str(error)) from None


def _modified(visit: Visit) -> float | None:
    text = visit.value("modified")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ApiError(400, "modified must be like 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    seconds = moment.timestamp()
    if not 0 <= seconds <= MAX_MTIME:
        # Told before the file is stored, and not after.
        raise ApiError(400, "modified must lie between 1970 and 9999")
    return seconds
