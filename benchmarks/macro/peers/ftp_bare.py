"""The bare loop: EPSV, RETR or STOR, sendfile or a large reused buffer, and nothing else."""

from __future__ import annotations

import os
import platform
import socket
import ssl

from benchmarks.macro.worker import serve
from fastxfer.bench import Meter, Work, run_ftp_sessions

BLOCK = 256 * 1024


class Session:
    def __init__(self, work: Work) -> None:
        server = work.server
        self._host = server["host"]
        self._context = ssl.create_default_context(cafile=server["ca"]) if server["tls"] else None
        self._control: socket.socket = socket.create_connection((self._host, server["port"]), timeout=60)
        self._control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._buffer = memoryview(bytearray(BLOCK))
        self._reply()
        if self._context:
            self._command("AUTH TLS")
            self._control = self._context.wrap_socket(self._control, server_hostname=self._host)
        self._command(f"USER {server['user']}")
        self._command(f"PASS {server['password']}")
        if self._context:
            self._command("PBSZ 0")
            self._command("PROT P")
        self._command("TYPE I")

    def _reply(self) -> str:
        while True:
            while b"\n" not in self._rest:
                block = self._control.recv(4096)
                if not block:
                    raise ConnectionError("the server closed")
                self._rest += block
            line, _, self._rest = self._rest.partition(b"\n")
            if line[3:4] == b" " and line[:3].isdigit():
                if line[:1] in b"45":
                    raise OSError(line.decode())
                return line.decode()

    def _command(self, text: str) -> str:
        self._control.sendall(text.encode() + b"\r\n")
        return self._reply()

    def _data(self, command: str) -> socket.socket:
        port = int(self._command("EPSV").split("|")[3])
        data: socket.socket = socket.create_connection((self._host, port), timeout=60)
        self._command(command)
        if self._context:
            assert isinstance(self._control, ssl.SSLSocket)
            data = self._context.wrap_socket(data, server_hostname=self._host, session=self._control.session)
        return data

    def upload(self, local: str, remote: str) -> object:
        with open(local, "rb", buffering=0) as file, self._data(f"STOR {remote}") as data:
            if isinstance(data, ssl.SSLSocket):
                while count := file.readinto(self._buffer):
                    data.sendall(self._buffer[:count])
                data.unwrap()
            else:
                data.sendfile(file)
        return self._reply()

    def download(self, remote: str, local: str) -> object:
        with open(local, "wb", buffering=0) as file, self._data(f"RETR {remote}") as data:
            while count := data.recv_into(self._buffer):
                os.write(file.fileno(), self._buffer[:count])
        return self._reply()

    def close(self) -> object:
        return self._control.close()


def run(work: Work, meter: Meter) -> None:
    run_ftp_sessions(work, lambda: Session(work), meter)


if __name__ == "__main__":
    serve(f"Python {platform.python_version()}", run)
