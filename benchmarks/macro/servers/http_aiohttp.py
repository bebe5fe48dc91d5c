"""A plain aiohttp application: FileResponse for GET, a loop over the body for PUT. As a program: HOST PORT ROOT."""

from __future__ import annotations

import sys
from pathlib import Path


def main(host: str, port: str, root: str) -> None:
    from aiohttp import web

    folder = Path(root)

    async def get(request: web.Request) -> web.FileResponse:
        return web.FileResponse(folder / request.match_info["path"])

    async def put(request: web.Request) -> web.Response:
        with (folder / request.match_info["path"]).open("wb") as file:
            async for block in request.content.iter_any():
                file.write(block)
        return web.Response(status=201)

    application = web.Application(client_max_size=1 << 40)
    application.add_routes([web.get("/files/{path}", get), web.put("/files/{path}", put)])
    web.run_app(application, host=host, port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
