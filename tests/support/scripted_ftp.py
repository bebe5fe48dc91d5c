"""An FTP server whose every answer a test can replace by a wrong one."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Control", "ScriptedServer", "scripted_server"]

Handler = Callable[["Control", str], None]
WAIT = 20.0


class Hangup(Exception):
    """Raised by a handler that wants the control connection closed."""


class Control:
    """The server's side of one control connection."""

    def __init__(self, server: ScriptedServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock: Any = sock
        self.number = number
        self.listener: socket.socket | None = None
        self.active: tuple[str, int] | None = None
        self.restart = 0
        self.renaming = ""
        self.protected = False
        self.buffer = b""
        self.opened: list[Any] = []

    def raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self, *lines: str) -> None:
        """Send replies, each a whole line with its code, in one piece."""
        self.raw("".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape"))

    def read_line(self) -> bytes | None:
        while b"\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def listen(self) -> int:
        if self.listener is not None:
            self.listener.close()
        self.listener = socket.create_server((self.server.host, 0))
        self.listener.settimeout(WAIT)
        return int(self.listener.getsockname()[1])

    def data(self) -> Any:
        """The data connection, with TLS if that was agreed."""
        if self.active is not None:
            sock = socket.create_connection(self.active, WAIT)
            self.active = None
        else:
            assert self.listener is not None
            sock, _ = self.listener.accept()
            self.listener.close()
            self.listener = None
        sock.settimeout(WAIT)
        self.opened.append(sock)
        if self.protected and self.server.context is not None:
            sock = self.server.context.wrap_socket(sock, server_side=True)
            self.opened.append(sock)
        return sock

    def hang_up(self) -> None:
        raise Hangup

    def send_file(self, content: bytes) -> None:
        """What RETR and the listings do when all is well."""
        self.reply("150 here it comes")
        data = self.data()
        data.sendall(content)
        end_data(data)
        self.reply("226 done")


def end_data(data: Any) -> None:
    """Close a data connection in good order."""
    if isinstance(data, ssl.SSLSocket):
        with contextlib.suppress(OSError):
            data.unwrap()
    data.close()


class ScriptedServer:
    """Files in a dictionary; ``handlers`` maps a verb to what is done about it."""

    def __init__(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.host = host
        self.context = context
        self.files: dict[str, bytes] = {}
        self.directories: set[str] = {"/"}
        self.features = ["EPSV", "PASV", "SIZE", "MDTM", "MFMT", "REST STREAM", "UTF8", "MLST type*;size*;modify*;"]
        self.banner = "220 scripted server"
        self.commands: list[str] = []
        self.connections = 0
        self.handlers: dict[str, Handler] = {
            name.removeprefix("do_").upper(): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }
        self.greet: Callable[[Control], None] = lambda control: control.reply(self.banner)
        self._listener = socket.create_server((host, 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._controls: list[Control] = []
        self._closing = False
        self._acceptor = threading.Thread(target=self._accept, name="scripted-accept")
        self._acceptor.start()

    @property
    def url(self) -> str:
        return f"ftp://user:hunter2-secret@{self.host}:{self.port}"

    def count(self, verb: str) -> int:
        """How often a command came."""
        return sum(line.split(" ")[0].upper() == verb for line in self.commands)

    def close(self) -> None:
        self._closing = True
        # A blocked accept is not woken by closing the listener.
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1):
            pass
        self._listener.close()
        for control in self._controls:
            with contextlib.suppress(OSError):
                control.sock.shutdown(socket.SHUT_RDWR)
            control.sock.close()
            if control.listener is not None:
                control.listener.close()
        self._acceptor.join(WAIT)
        for thread in self._threads:
            thread.join(WAIT)

    def _accept(self) -> None:
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._closing:
                sock.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            control = Control(self, sock, self.connections)
            self._controls.append(control)
            thread = threading.Thread(target=self._serve, args=(control,), name=f"scripted-{control.number}")
            self._threads.append(thread)
            thread.start()

    def _serve(self, control: Control) -> None:
        try:
            self.greet(control)
            while (line := control.read_line()) is not None:
                text = line.decode("utf-8", "surrogateescape")
                self.commands.append(text)
                verb, _, argument = text.partition(" ")
                handler = self.handlers.get(verb.upper())
                if handler is None:
                    control.reply(f"502 {verb} is not known")
                else:
                    handler(control, argument)
        except (OSError, Hangup, ValueError, AssertionError):
            pass
        finally:
            control.sock.close()
            for sock in control.opened:
                sock.close()
            if control.listener is not None:
                control.listener.close()

    @staticmethod
    def _absolute(path: str) -> str:
        return path if path.startswith("/") else f"/{path}"

    # What a decent server does

    def do_user(self, control: Control, argument: str) -> None:
        control.reply("331 password, please")

    def do_pass(self, control: Control, argument: str) -> None:
        control.reply("230 welcome")

    def do_auth(self, control: Control, argument: str) -> None:
        if self.context is None:
            control.reply("502 no TLS here")
            return
        control.reply("234 go ahead")
        control.sock = self.context.wrap_socket(control.sock, server_side=True)

    def do_pbsz(self, control: Control, argument: str) -> None:
        control.reply("200 PBSZ=0")

    def do_prot(self, control: Control, argument: str) -> None:
        control.protected = argument == "P"
        control.reply("200 so be it")

    def do_feat(self, control: Control, argument: str) -> None:
        control.reply("211-features", *(f" {feature}" for feature in self.features), "211 end")

    def do_opts(self, control: Control, argument: str) -> None:
        control.reply("200 as you like")

    def do_type(self, control: Control, argument: str) -> None:
        control.reply(f"200 type {argument}")

    def do_noop(self, control: Control, argument: str) -> None:
        control.reply("200 still here")

    def do_pwd(self, control: Control, argument: str) -> None:
        control.reply('257 "/" is where you are')

    def do_cwd(self, control: Control, argument: str) -> None:
        known = self._absolute(argument).rstrip("/") or "/"
        control.reply("250 there you are" if known in self.directories else "550 no such directory")

    def do_quit(self, control: Control, argument: str) -> None:
        control.reply("221 bye")
        control.hang_up()

    def do_epsv(self, control: Control, argument: str) -> None:
        control.reply(f"229 listening (|||{control.listen()}|)")

    def do_pasv(self, control: Control, argument: str) -> None:
        port = control.listen()
        control.reply(f"227 listening ({self.host.replace('.', ',')},{port >> 8},{port & 255})")

    def do_port(self, control: Control, argument: str) -> None:
        numbers = argument.split(",")
        control.active = (".".join(numbers[:4]), int(numbers[4]) * 256 + int(numbers[5]))
        control.reply("200 noted")

    def do_eprt(self, control: Control, argument: str) -> None:
        _, _, host, port, _ = argument.split(argument[0])
        control.active = (host, int(port))
        control.reply("200 noted")

    def do_rest(self, control: Control, argument: str) -> None:
        control.restart = int(argument)
        control.reply("350 from there")

    def do_size(self, control: Control, argument: str) -> None:
        content = self.files.get(self._absolute(argument))
        control.reply("550 no such file" if content is None else f"213 {len(content)}")

    def do_mdtm(self, control: Control, argument: str) -> None:
        known = self._absolute(argument) in self.files
        control.reply("213 20250102030405" if known else "550 no such file")

    def do_mfmt(self, control: Control, argument: str) -> None:
        control.reply(f"213 Modify={argument}")

    def do_mlst(self, control: Control, argument: str) -> None:
        path = self._absolute(argument).rstrip("/") or "/"
        if path in self.files:
            facts = f"type=file;size={len(self.files[path])};modify=20250102030405;"
        elif path in self.directories:
            facts = "type=dir;modify=20250102030405;"
        else:
            control.reply("550 no such file or directory")
            return
        control.reply("250-listing", f" {facts} {path}", "250 end")

    def do_mlsd(self, control: Control, argument: str) -> None:
        where = (self._absolute(argument).rstrip("/") if argument else "") + "/"
        lines = [
            f"type=file;size={len(content)};modify=20250102030405; {path[len(where) :]}"
            for path, content in self.files.items()
            if path.startswith(where) and "/" not in path[len(where) :]
        ]
        lines += [
            f"type=dir;modify=20250102030405; {path[len(where) :]}"
            for path in self.directories
            if path.startswith(where) and path != where and "/" not in path[len(where) :]
        ]
        control.send_file("".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape"))

    def do_retr(self, control: Control, argument: str) -> None:
        content = self.files.get(self._absolute(argument))
        start, control.restart = control.restart, 0
        if content is None:
            control.reply("550 no such file")
        else:
            control.send_file(content[start:])

    def do_stor(self, control: Control, argument: str) -> None:
        self.store(control, argument, appending=False)

    def do_appe(self, control: Control, argument: str) -> None:
        self.store(control, argument, appending=True)

    def store(
        self, control: Control, argument: str, *, appending: bool, limit: int | None = None, silent: bool = False
    ) -> None:
        """Take a file in; with *limit*, cut the connection after so many bytes. *silent*: leave the verdict out."""
        path = self._absolute(argument)
        start, control.restart = control.restart, 0
        old = self.files.get(path, b"")
        kept = old if appending else old[:start]
        control.reply("150 send it")
        data = control.data()
        taken = bytearray()
        while limit is None or len(taken) < limit:
            piece = data.recv(65536 if limit is None else min(65536, limit - len(taken)))
            if not piece:
                break
            taken += piece
            self.files[path] = kept + bytes(taken)
        self.files[path] = kept + bytes(taken)
        if limit is not None and len(taken) >= limit:
            reset(data)
            reset(control.sock)
            control.hang_up()
        end_data(data)
        if not silent:
            control.reply("226 stored")

    def do_dele(self, control: Control, argument: str) -> None:
        found = self.files.pop(self._absolute(argument), None)
        control.reply("550 no such file" if found is None else "250 gone")

    def do_rnfr(self, control: Control, argument: str) -> None:
        control.renaming = self._absolute(argument)
        control.reply("350 to what?" if control.renaming in self.files else "550 no such file")

    def do_rnto(self, control: Control, argument: str) -> None:
        content = self.files.pop(control.renaming, None)
        if content is None:
            control.reply("503 RNFR first")
            return
        self.files[self._absolute(argument)] = content
        control.reply("250 renamed")

    def do_mkd(self, control: Control, argument: str) -> None:
        path = self._absolute(argument).rstrip("/")
        above = path.rpartition("/")[0] or "/"
        if path in self.directories or above not in self.directories:
            control.reply("550 that can not be made")
            return
        self.directories.add(path)
        control.reply(f'257 "{path}" made')

    def do_rmd(self, control: Control, argument: str) -> None:
        self.directories.discard(self._absolute(argument).rstrip("/"))
        control.reply("250 gone")


def reset(sock: Any) -> None:
    """Close a connection so that the peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    sock.close()


@contextlib.contextmanager
def scripted_server(context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[ScriptedServer]:
    """A running :class:`ScriptedServer`."""
    server = ScriptedServer(context, host)
    try:
        yield server
    finally:
        server.close()
