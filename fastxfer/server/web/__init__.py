"""The HTTP interface of the server: files over HTTP, and a file manager for browsers.

It shows the same tree to the same users under the same permissions as the FTP side, through
:class:`~fastxfer.server.service.Service`. Needs the extra ``web``.
"""

try:
    from fastxfer.server.web.context import RequestListener
    from fastxfer.server.web.interface import WebInterface
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "aiohttp":
        raise
    raise ImportError("the HTTP interface needs aiohttp: pip install 'fastxfer[web]'") from error

__all__ = ["RequestListener", "WebInterface"]
