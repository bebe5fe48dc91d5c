"""ftplib of the standard library; the argument is the block size."""

from __future__ import annotations

import ftplib
import platform
import ssl
import sys

from benchmarks.macro.worker import serve
from fastxfer.bench import Meter, Work, run_ftp_sessions


class ReusingFtpTls(ftplib.FTP_TLS):
    """Resumes the control connection's TLS session on data connections, which ftplib does not do by itself."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[ssl.SSLSocket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        wrapped = self.context.wrap_socket(connection, server_hostname=self.host, session=self.sock.session)
        return wrapped, size


class Session:
    def __init__(self, work: Work, block: int) -> None:
        server = work.server
        self._block = block
        if server["tls"]:
            context = ssl.create_default_context(cafile=server["ca"])
            self._ftp: ftplib.FTP = ReusingFtpTls(context=context)
        else:
            self._ftp = ftplib.FTP()
        self._ftp.connect(server["host"], server["port"], timeout=60)
        self._ftp.login(server["user"], server["password"])
        if isinstance(self._ftp, ftplib.FTP_TLS):
            self._ftp.prot_p()

    def upload(self, local: str, remote: str) -> object:
        with open(local, "rb") as file:
            return self._ftp.storbinary(f"STOR {remote}", file, self._block)

    def download(self, remote: str, local: str) -> object:
        with open(local, "wb") as file:
            return self._ftp.retrbinary(f"RETR {remote}", file.write, self._block)

    def close(self) -> object:
        return self._ftp.quit()


def run(work: Work, meter: Meter) -> None:
    block = int(sys.argv[1])
    run_ftp_sessions(work, lambda: Session(work, block), meter)


if __name__ == "__main__":
    serve(f"Python {platform.python_version()}", run)
