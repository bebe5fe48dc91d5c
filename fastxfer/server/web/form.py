"""Uploads from forms: multipart/form-data with one or several parts called ``file``."""

from __future__ import annotations

import asyncio

from aiohttp import BodyPartReader, MultipartReader, web

from fastxfer.server import paths
from fastxfer.server.web.body import BROKEN, accept_body, require_plain_body
from fastxfer.server.web.context import Visit
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.upload import Target, find_target, open_target, store
from fastxfer.server.web.urlpath import check_new_name, file_name

__all__ = ["upload_form"]

FIELD = "file"
MAX_PARTS = 1000
_CODINGS = {"Content-Transfer-Encoding": "binary", "Content-Encoding": "identity"}
_PLAIN = frozenset({"binary", "8bit", "7bit", "identity"})
PART_CHUNK = 256 * 1024
HEAD_SECONDS = 30.0
"""How long the sender may take from one part to the next."""


class PartSource:
    """The content of one part."""

    def __init__(self, part: BodyPartReader) -> None:
        self._part = part

    async def next_chunk(self) -> bytes:
        try:
            while not self._part.at_eof():
                chunk = await self._part.read_chunk(PART_CHUNK)
                if chunk:
                    return bytes(chunk)
        except BROKEN:
            raise ApiError(400, "The form cannot be understood") from None
        return b""

    def is_here(self) -> bool:
        return False

    def outside(self) -> int:
        # The end of a part is found by looking for it.
        return 0


async def upload_form(request: web.Request, visit: Visit, path: str, *, into: bool) -> web.Response:
    """Store the parts called ``file``.

    Args:
        request: the request.
        visit: who sends it.
        path: a directory that takes the files under their own names, or the name of the one file.
        into: *path* was written with a slash at its end, so it must be a directory.
    """
    require_plain_body(request)
    into = into or await _is_directory(visit, path)
    if not into:
        check_new_name(path)
    try:
        form = await request.multipart()
    except BROKEN:
        raise ApiError(400, "The form has no usable boundary") from None
    await accept_body(request)
    stored: list[str] = []
    for _ in range(MAX_PARTS):
        part = await _next_part(form)
        if part is None:
            break
        if part.name != FIELD:
            await _skip(part)
            continue
        if stored and not into:
            raise ApiError(400, "Several files can only be uploaded into a directory")
        if any(part.headers.get(name, usual).lower() not in _PLAIN for name, usual in _CODINGS.items()):
            raise ApiError(415, "Encoded parts are not accepted")
        name = paths.join(path, file_name(part.filename)) if into else path
        if name in stored:
            raise ApiError(409, "Two files of the form have the same name")
        await _store_part(request, visit, part, name)
        stored.append(name)
    if not stored:
        raise ApiError(400, f"The form must have a file in the field {FIELD!r}")
    body: dict[str, object] = {"status": "success", "path": path, "message": "File uploaded successfully"}
    if into:
        body["files"] = stored
    return web.json_response(body)


async def _store_part(request: web.Request, visit: Visit, part: BodyPartReader, path: str) -> None:
    target: Target = await find_target(request, visit, path)
    writer = await open_target(visit, target, size=-1)
    await store(request, visit, target, writer, PartSource(part), keep=False)


async def _next_part(form: MultipartReader) -> BodyPartReader | None:
    try:
        part = await asyncio.wait_for(form.next(), HEAD_SECONDS)
    except asyncio.TimeoutError:
        raise ApiError(408, "The form did not go on") from None
    except BROKEN:
        raise ApiError(400, "The form cannot be understood") from None
    if isinstance(part, MultipartReader):
        raise ApiError(400, "Forms within forms are not accepted")
    return part


async def _skip(part: BodyPartReader) -> None:
    source = PartSource(part)
    while await asyncio.wait_for(source.next_chunk(), HEAD_SECONDS):
        pass


async def _is_directory(visit: Visit, path: str) -> bool:
    try:
        return (await visit.account.stat(path)).is_dir
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
