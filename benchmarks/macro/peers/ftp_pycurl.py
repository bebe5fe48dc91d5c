"""pycurl from PyPI: a handle for each connection, kept."""

from __future__ import annotations

import os

from benchmarks.macro.worker import serve, version_of
from fastxfer.bench import Meter, Work, run_ftp_sessions


class Session:
    def __init__(self, work: Work) -> None:
        import pycurl

        server = work.server
        self._pycurl = pycurl
        self._base = f"ftp://{server['host']}:{server['port']}/%2F"
        self._curl = curl = pycurl.Curl()
        curl.setopt(pycurl.USERPWD, f"{server['user']}:{server['password']}")
        curl.setopt(pycurl.FTP_FILEMETHOD, pycurl.FTPMETHOD_NOCWD)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.BUFFERSIZE, 512 * 1024)
        if server["tls"]:
            curl.setopt(pycurl.USE_SSL, pycurl.USESSL_ALL)
            curl.setopt(pycurl.CAINFO, server["ca"])

    def upload(self, local: str, remote: str) -> object:
        with open(local, "rb") as file:
            self._curl.setopt(self._curl.UPLOAD, 1)
            self._curl.setopt(self._curl.READDATA, file)
            self._curl.setopt(self._curl.INFILESIZE_LARGE, os.fstat(file.fileno()).st_size)
            self._curl.setopt(self._curl.URL, self._base + remote.lstrip("/"))
            return self._curl.perform()

    def download(self, remote: str, local: str) -> object:
        with open(local, "wb") as file:
            self._curl.setopt(self._curl.UPLOAD, 0)
            self._curl.setopt(self._curl.WRITEDATA, file)
            self._curl.setopt(self._curl.URL, self._base + remote.lstrip("/"))
            return self._curl.perform()

    def close(self) -> object:
        return self._curl.close()


def run(work: Work, meter: Meter) -> None:
    run_ftp_sessions(work, lambda: Session(work), meter)


if __name__ == "__main__":
    serve(version_of("pycurl"), run)
