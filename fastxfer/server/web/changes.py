"""Changes to the tree other than uploads: delete, make directories, move, copy."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from fastxfer.server import paths
from fastxfer.server.permissions import Permission
from fastxfer.server.web.conditions import is_conditional, require_conditions
from fastxfer.server.web.context import Visit
from fastxfer.server.web.errors import ApiError
from fastxfer.server.web.urlpath import check_new_name, encode_path

__all__ = ["ACTIONS", "delete", "make_parents", "perform"]

ACTIONS = ("mkdir", "move", "copy")


async def delete(request: web.Request, visit: Visit, path: str, *, directory: bool) -> web.Response:
    """Remove a file, an empty directory, or with ``recursive`` a whole tree.

    Args:
        request: with conditions, perhaps.
        visit: who wants it.
        path: what goes.
        directory: it was written with a slash at its end, so it must be a directory.
    """
    account = visit.account
    recursive = visit.flag("recursive")
    async with _judged(request, visit, path):
        try:
            is_dir = await _is_directory(visit, path)
        except FileNotFoundError:
            # An upload that broke off may have left something.
            is_dir = False
        if not is_dir:
            if directory:
                raise ApiError(404, "Not found")
            await account.remove(path)
        elif not recursive:
            await account.remove_directory(path)
    if is_dir and recursive:
        await account.remove_tree(path)
    kind = "Directory" if is_dir else "File"
    return web.json_response({"status": "success", "path": path, "message": f"{kind} deleted successfully"})


async def perform(request: web.Request, visit: Visit, path: str) -> web.Response:
    """Carry out the ``action`` of a POST."""
    action = visit.value("action")
    if action == "move":
        async with _judged(request, visit, path):
            return await _move_or_copy(visit, path, action)
    # No look back: what is copied is opened at once, and a directory takes no place that is taken.
    await require_conditions(request, visit.account, path)
    if action == "mkdir":
        return await _make_directory(visit, path)
    if action == "copy":
        return await _move_or_copy(visit, path, action)
    raise ApiError(400, f"action must be one of: {', '.join(ACTIONS)}")


@contextlib.asynccontextmanager
async def _judged(request: web.Request, visit: Visit, path: str) -> AsyncIterator[None]:
    """The conditions of *request* hold for *path*, and nobody else changes it who has conditions too."""
    if not is_conditional(request):
        yield
        return
    async with visit.shared.conditional.passed():
        await require_conditions(request, visit.account, path)
        yield


async def make_parents(visit: Visit, path: str) -> None:
    """Make the directories above *path* that are missing."""
    missing = []
    above = paths.parent(path)
    while above != paths.ROOT:
        try:
            await visit.account.filesystem.stat(above)
            break
        except FileNotFoundError:
            missing.append(above)
            above = paths.parent(above)
    for directory in reversed(missing):
        check_new_name(directory)
        try:
            await visit.account.make_directory(directory)
        except FileExistsError:
            # Another upload into the same new folder was faster.
            continue


async def _make_directory(visit: Visit, path: str) -> web.Response:
    check_new_name(path)
    if visit.flag("parents"):
        await make_parents(visit, path)
    await visit.account.make_directory(path)
    return web.json_response(
        {"status": "success", "path": path, "message": "Directory created successfully"},
        status=201,
        headers={"Location": "/files" + encode_path(path) + "/"},
    )


async def _move_or_copy(visit: Visit, path: str, action: str) -> web.Response:
    target = visit.value("to")
    if not target.startswith("/"):
        raise ApiError(400, "to must be the new path, beginning with /")
    target = paths.resolve(paths.ROOT, target)
    check_new_name(target)
    if visit.flag("parents"):
        await make_parents(visit, target)
    replace = visit.flag("overwrite")
    if action == "copy":
        await visit.account.copy(path, target, replace=replace)
    else:
        await visit.account.rename(path, target, replace=replace)
    done = "copied" if action == "copy" else "moved"
    return web.json_response(
        {"status": "success", "path": target, "message": f"Successfully {done}"},
        headers={"Location": "/files" + encode_path(target)},
    )


async def _is_directory(visit: Visit, path: str) -> bool:
    # Links are removed themselves, whatever they lead to; whoever may delete need not be able to list.
    visit.account.require(path, Permission.DELETE)
    return (await visit.account.filesystem.stat(path, follow=False)).is_dir
