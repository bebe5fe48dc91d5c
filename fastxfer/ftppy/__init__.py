"""The FtpPy API, working.

Programs written for FtpPy change their import lines and nothing else::

    from fastxfer.ftppy import FtpPy
    from fastxfer.ftppy.auth import Basic, Guest
    from fastxfer.ftppy.config import Limits, Retry, Timeout
    from fastxfer.ftppy.settings import SSL

A thin layer over :class:`fastxfer.ftp.AsyncClient` and :class:`fastxfer.server.FtpServer`, which new programs better
use themselves: they raise exceptions that say what happened, where this API answers with ``False`` and a warning.
"""

from fastxfer.ftppy.auth import Basic, Guest
from fastxfer.ftppy.client import FtpClient
from fastxfer.ftppy.config import Limits, Redirects, Retry, Timeout
from fastxfer.ftppy.factory import FtpPy
from fastxfer.ftppy.hooks import FtpPyWarning
from fastxfer.ftppy.server import FtpServer
from fastxfer.ftppy.settings import SSL, codes, types

__all__ = [
    "SSL",
    "Basic",
    "FtpClient",
    "FtpPy",
    "FtpPyWarning",
    "FtpServer",
    "Guest",
    "Limits",
    "Redirects",
    "Retry",
    "Timeout",
    "__version__",
    "codes",
    "types",
]

__version__ = "1.0.0"
"""Version of the API that is provided."""
