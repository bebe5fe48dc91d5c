"""fastxfer: FastDFS and FTP/FTPS at the speed of the kernel, from plain Python.

The parts are imported by name: :mod:`fastxfer.fdfs` (FastDFS client), :mod:`fastxfer.ftp` (FTP/FTPS client),
:mod:`fastxfer.server` (FTP/FTPS server with an HTTP interface), :mod:`fastxfer.ftppy` (the FtpPy API).
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
