"""The server as a process: the commands of the shell, privileges, sockets that are handed over, and how it stops."""

from __future__ import annotations

import contextlib
import http.client
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import TimeoutsConfig, User
from tests.server.conftest import Shell, Tls
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Dialogue, Running
from tests.server.serving import serving

# The commands


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_runs_until_it_is_told_to_stop(root: Path, tmp_path: Path, workers: str) -> None:
    (tmp_path / "password").write_text("secret\n")
    with serving(
        str(root), "--port", "0", "--user", "bob", "--password-file", str(tmp_path / "password"), "--workers", workers
    ) as (process, line):
        port = int(line.rstrip("/").rpartition(":")[2])
        for number in range(4):
            with Dialogue(("127.0.0.1", port)) as client:
                client.login("bob", "secret")
                assert client.put(f"STOR file{number}", b"x").code == 226
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    assert len(list(root.iterdir())) == 4


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change root and account")
def test_privileges_are_dropped_and_everything_still_works(root: Path, tls: Tls) -> None:
    import ssl

    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("there is no account nobody")
    root.chmod(0o777)
    arguments = [
        str(root), "--port", "0", "--anonymous", "--anonymous-permissions", "all", "--tls-cert", tls.cert,
        "--process-user", "nobody", "--process-chroot", "--proxy-protocol", "--web",
    ]  # fmt: skip
    with serving(*arguments) as (process, line):
        status = Path(f"/proc/{process.pid}/status")
        if status.exists():
            assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}" in status.read_text()
            assert os.readlink(f"/proc/{process.pid}/root") == str(root)
        with Dialogue(("127.0.0.1", int(line.rstrip("/").rpartition(":")[2])), greet=False) as client:
            client.send(b"PROXY UNKNOWN\r\n")
            assert client.read().code == 220
            context = ssl.create_default_context(cafile=tls.ca)
            client.starttls(context).login("anonymous", "x")
            client.expect(257, "MKD dir")
            client.expect(200, "SITE CHMOD 700 dir")
            assert client.fetch("NLST", context=context) == b"dir\r\n"
            client.expect(200, "MODE Z")
            assert client.fetch("LIST", context=context)
        assert process.stderr is not None
        web = int(process.stderr.readline().strip().rstrip("/").rpartition(":")[2])
        connection = http.client.HTTPSConnection("localhost", web, context=context, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", "/", headers={"Accept": "text/html"})
            answer = connection.getresponse()
            assert (answer.status, b"<html" in answer.read()) == (200, True)
    assert (root / "dir").stat().st_uid == nobody.pw_uid


def test_serve_says_what_is_wrong(root: Path, shell: Shell) -> None:
    assert "nobody could log in" in shell("serve", str(root), expect=2)
    assert "password" in shell("serve", str(root), "--user", "bob", expect=2)
    assert "no/such" in shell("serve", str(root), "--anonymous", "--tls-cert", "/no/such.pem", expect=7)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert port in shell("serve", str(root), "--anonymous", "--port", port, expect=7)
        with serving(str(root), "--anonymous", "--port", port, "--workers", "2") as (process, line):
            assert port in line
            assert process.wait(DEADLINE) == 7


@contextlib.contextmanager
def started_by_systemd(*arguments: str) -> Iterator[tuple[int, str]]:
    """A server that was handed a listening socket over: the port, and what it says first."""
    pytest.importorskip("click", reason="needs the extra `cli`")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        script = (
            "import os, sys\n"
            f"os.dup2({listening.fileno()}, 3)\n"
            "os.set_inheritable(3, True)\n"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
            "os.execv(sys.executable, [sys.executable, '-m', 'fastxfer', 'serve', *sys.argv[1:]])\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            pass_fds=[listening.fileno()],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
    assert process.stderr is not None
    try:
        yield port, process.stderr.readline()
    finally:
        process.terminate()
        process.stderr.close()
        assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sockets_of_systemd_are_taken_over(root: Path, workers: str) -> None:
    with started_by_systemd(str(root), "--anonymous", "--workers", workers) as (port, line):
        assert str(port) in line
        with Dialogue(("127.0.0.1", port)) as client:
            client.login("anonymous", "x")


def test_sockets_of_systemd_speak_tls_at_once_where_that_is_set(root: Path, tls: Tls) -> None:
    import ssl

    flags = ("--anonymous", "--tls-cert", tls.cert, "--implicit-tls")
    with started_by_systemd(str(root), *flags) as (port, _), Dialogue(("127.0.0.1", port), greet=False) as client:
        context = ssl.create_default_context(cafile=tls.ca)
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
        assert client.read().code == 220


def test_cert_makes_a_certificate_that_clients_accept(
    tmp_path: Path, serve: Callable[..., Running], shell: Shell
) -> None:
    import ssl

    from fastxfer.server import TlsConfig

    pytest.importorskip("cryptography", reason="needs the extra `server`")
    file = tmp_path / "server.pem"
    assert "SHA-256" in shell("cert", str(file), "--name", "localhost")
    assert file.stat().st_mode & 0o777 == 0o600
    shell("cert", str(file), expect=7)
    server = serve(tls=TlsConfig(cert=str(file)))
    with Dialogue(server.address) as client:
        client.starttls(ssl.create_default_context(cafile=str(file))).login()


# Starting and stopping


def test_stopping_lets_a_transfer_end(serve: Callable[..., Running], root: Path) -> None:
    server = serve(timeouts=TimeoutsConfig(shutdown=DEADLINE))
    address = server.address
    with Dialogue(address) as busy, Dialogue(address) as idle:
        busy.login()
        idle.login()
        with busy.data() as data:
            busy.expect(150, "STOR file")
            data.sendall(b"first ")
            stopper = threading.Thread(target=server.stop)
            stopper.start()
            assert idle.read().code == 421
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, timeout=DEADLINE)
            data.sendall(b"second")
        assert busy.read().code == 226
        stopper.join(DEADLINE)
    assert (root / "file").read_bytes() == b"first second"


def test_a_transfer_that_does_not_end_is_cut_off_at_last(serve: Callable[..., Running], root: Path) -> None:
    server = serve(timeouts=TimeoutsConfig(shutdown=0.2))
    with Dialogue(server.address) as client:
        client.login()
        with client.data():
            client.expect(150, "STOR file")
            server.stop()
            assert client.closed()
    assert not (root / "file").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_says_stop_twice_does_not_wait_for_transfers(
    root: Path, tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    with serving(
        str(root), "--port", "0", "--user", USER, "--password-file", str(tmp_path / "password"),
        "--workers", workers, "--timeouts-shutdown", "600",
    ) as (process, line):  # fmt: skip
        address = ("127.0.0.1", int(line.rstrip("/").rpartition(":")[2]))
        with Dialogue(address) as busy, Dialogue(address) as idle:
            idle.login()
            with busy.login().data_after("STOR file") as data:
                data.sendall(b"half")
                process.send_signal(number)
                assert idle.read().code == 421
                process.send_signal(number)
                assert process.wait(DEADLINE) == 0
                assert busy.closed()
    assert not (root / "file").exists()


def test_a_server_can_be_started_again(root: Path) -> None:
    import asyncio

    from fastxfer.server import FtpServer

    async def main() -> None:
        server = FtpServer(root, port=0, users=[(User(name=USER), PASSWORD)])
        for _ in range(3):
            async with server:
                assert server.port > 0
                with pytest.raises(RuntimeError):
                    await server.start()
            await server.stop()

    asyncio.run(main())


def test_it_runs_on_uvloop(root: Path) -> None:
    uvloop = pytest.importorskip("uvloop", reason="needs the extra `uvloop`")
    import asyncio

    from fastxfer.server import FtpServer

    content = os.urandom(3_000_000)

    def talk(port: int) -> None:
        with Dialogue(("127.0.0.1", port)) as client:
            client.login()
            assert client.put("STOR file", content).code == 226
            assert client.fetch("RETR file") == content
            assert client.fetch("NLST") == b"file\r\n"

    async def main() -> None:
        async with FtpServer(root, port=0, users=[(User(name=USER), PASSWORD)]) as server:
            await asyncio.get_running_loop().run_in_executor(None, talk, server.port)

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
