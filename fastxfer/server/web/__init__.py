"""The HTTP interface of the server: files over HTTP, and a file manager for browsers.

It shows the same tree to the same users under the same permissions as the FTP side, through
:class:`~fastxfer.server.service.Service`. Needs the extra ``web``.
"""

from fastxfer.server.web.context import RequestListener
from fastxfer.server.web.interface import WebInterface

__all__ = ["RequestListener", "WebInterface"]
