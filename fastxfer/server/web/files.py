"""``/files/{path}``: which of the operations on files and directories a request asks for."""

from __future__ import annotations

from aiohttp import web

from fastxfer.server.web import archive, changes, form, listing, upload
from fastxfer.server.web.body import require_plain_body
from fastxfer.server.web.context import Visit, file_path, raw_file_path, visit_of
from fastxfer.server.web.download import send_file
from fastxfer.server.web.errors import ApiError

__all__ = ["METHODS", "handle"]


async def _get(request: web.Request, visit: Visit, path: str) -> web.StreamResponse:
    """A file, or of a directory its listing, an archive, or what a search finds."""
    if visit.flag("upload"):
        return await upload.upload_state(visit, path)
    if raw_file_path(request).endswith("/") or path == "/":
        return await _get_directory(request, visit, path)
    try:
        reader = await visit.account.open_read(path)
    except (IsADirectoryError, PermissionError):
        if (await visit.account.stat(path)).is_dir:
            return await _get_directory(request, visit, path)
        raise
    async with reader:
        return await send_file(request, visit, path, reader)


async def _get_directory(request: web.Request, visit: Visit, path: str) -> web.StreamResponse:
    kind = visit.value("archive")
    if kind:
        return await archive.send_archive(request, visit, path, kind, visit.query.get("name", ()))
    term = visit.value("search")
    if term:
        return await listing.search_directory(visit, path, term)
    return await listing.list_directory(request, visit, path)


async def _put(request: web.Request, visit: Visit, path: str) -> web.StreamResponse:
    if raw_file_path(request).endswith("/"):
        raise ApiError(400, "The name of a file does not end with a slash")
    return await upload.upload_whole(request, visit, path)


async def _post(request: web.Request, visit: Visit, path: str) -> web.StreamResponse:
    if "action" in visit.query:
        require_plain_body(request)
        return await changes.perform(request, visit, path)
    if request.content_type.startswith("multipart/"):
        if request.content_type != "multipart/form-data":
            raise ApiError(415, "Of multipart bodies only multipart/form-data is accepted")
        return await form.upload_form(request, visit, path, into=raw_file_path(request).endswith("/"))
    return await _put(request, visit, path)


async def _delete(request: web.Request, visit: Visit, path: str) -> web.StreamResponse:
    return await changes.delete(request, visit, path, directory=raw_file_path(request).endswith("/"))


METHODS = {"GET": _get, "HEAD": _get, "PUT": _put, "POST": _post, "DELETE": _delete}


async def handle(request: web.Request) -> web.StreamResponse:
    """Carry out one request for ``/files/…``."""
    visit = visit_of(request)
    return await METHODS[request.method](request, visit, file_path(request))
