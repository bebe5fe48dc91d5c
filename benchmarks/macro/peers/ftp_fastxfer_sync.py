"""Our blocking FTP client."""

from __future__ import annotations

from benchmarks.macro.worker import serve
from fastxfer import __version__
from fastxfer.bench import ftp_sync

if __name__ == "__main__":
    serve(__version__, ftp_sync)
