"""What surrounds the server: PROXY protocol, logs, metrics, settings, users files, the commands of the shell."""

from __future__ import annotations

import io
import json
import os
import pwd
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig, LogConfig, PassiveConfig, ServerConfig, TimeoutsConfig, User
from fastxfer.server.networks import Networks
from fastxfer.server.proxyheader import ProxyHeader
from fastxfer.server.settings import build, load_toml, settings_of
from tests.server.conftest import Tls
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Dialogue, Running, wait_for
from tests.server.serving import serving

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PROXY_V2 = SIGNATURE + struct.pack(">BBH4s4sHH", 0x21, 0x11, 12, bytes([192, 0, 2, 7]), bytes([203, 0, 113, 1]), 5, 6)


# PROXY protocol


@pytest.mark.parametrize(
    "header", [b"PROXY TCP4 192.0.2.7 203.0.113.1 5 6\r\n", PROXY_V2], ids=["version 1", "version 2"]
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_proxy_header_may_come_in_any_pieces(header: bytes, step: int) -> None:
    parser = ProxyHeader()
    data = header + b"USER x\r\n"
    done = False
    at = 0
    while not done:
        done = parser.feed(data[at : at + step])
        at += step
    assert (parser.address, parser.port, parser.told_address) == ("192.0.2.7", 5, "203.0.113.1")
    assert parser.rest + data[at:] == b"USER x\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"USER x\r\n",
        b"PROXY TCP4 1.2.3.4\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 x 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        SIGNATURE + b"\x11\x11\0\x0c" + bytes(12),
        SIGNATURE + b"\x2f\x11\0\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x21\x11\0\x04" + bytes(4),
    ],
)
def test_what_is_no_proxy_header_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="PROXY"):
        ProxyHeader().feed(data)


def test_behind_a_balancer_the_client_is_who_the_balancer_says(serve: Callable[..., Running], root: Path) -> None:
    (root / "file").write_bytes(b"content")
    server = serve(proxy_protocol=True, limits=LimitsConfig(sessions_per_ip=1))
    with Dialogue(server.address, greet=False) as client:
        client.send(b"PROXY TCP4 192.0.2.7 203.0.113.1 5555 21\r\n")
        assert client.read().code == 220
        client.login()
        assert any("192.0.2.7" in line for line in client.expect(211, "STAT").lines)
        assert client.passive("PASV")[0] == "203.0.113.1"
        assert client.fetch("RETR file") == b"content", "data through the balancer is the client's too"
        with Dialogue(server.address, greet=False) as other:
            other.send(b"PROXY TCP4 192.0.2.8 203.0.113.1 5555 21\r\nNOOP\r\n")
            assert other.read().code == 220
            assert other.read().code == 200
        with Dialogue(server.address, greet=False) as again:
            again.send(b"PROXY TCP4 192.0.2.7 203.0.113.1 5555 21\r\n")
            assert again.read().code == 421
    with Dialogue(server.address, greet=False) as client:
        client.send(b"USER alice\r\n")
        assert client.closed()


def test_only_a_trusted_balancer_says_who_the_client_is(serve: Callable[..., Running]) -> None:
    server = serve(proxy_protocol=True, trusted_proxies=("127.0.0.2", "2001:db8::/32"))
    header = b"PROXY TCP4 192.0.2.7 203.0.113.1 5555 21\r\n"
    with Dialogue(server.address, greet=False) as stranger:
        stranger.send(header)
        assert stranger.closed()
    with Dialogue(server.address, greet=False, source="127.0.0.2") as balancer:
        balancer.send(header)
        assert balancer.read().code == 220


def test_by_itself_a_server_believes_no_balancer_but_one_on_its_own_machine() -> None:
    for listener in ServerConfig(proxy_protocol=True).effective_listeners():
        trusted = Networks(listener.trusted_proxies)
        assert "127.0.0.1" in trusted
        assert "::1" in trusted
        assert "192.0.2.1" not in trusted
        assert "not an address" not in trusted


def test_a_balancer_that_is_no_address_is_refused_at_the_start(serve: Callable[..., Running]) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        serve(proxy_protocol=True, trusted_proxies=("nonsense",))


@pytest.mark.parametrize(
    "passive", [PassiveConfig(address="nonsense"), PassiveConfig(address_by_network={"nonsense": "192.0.2.1"})]
)
def test_addresses_that_are_none_are_refused_at_the_start(
    serve: Callable[..., Running], passive: PassiveConfig
) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        serve(passive=passive)


# Logs and metrics


def test_transfers_are_logged(serve: Callable[..., Running], root: Path, tmp_path: Path) -> None:
    xferlog, log = tmp_path / "xferlog", tmp_path / "log.json"
    server = serve(log=LogConfig(xferlog=str(xferlog), json=str(log)))
    with Dialogue(server.address) as client:
        client.login()
        assert client.put("STOR a file\x85with blanks".encode(), b"12345").code in (226, 553)
        assert client.put("STOR a file", b"12345").code == 226
        client.expect(350, "REST 1")
        assert client.fetch("RETR a file") == b"2345"
    wait_for(lambda: log.read_text().count('"/a file"') == 2)
    up, down = [json.loads(line) for line in log.read_text().splitlines() if '"/a file"' in line]
    assert (up["direction"], up["bytes"], up["ok"], up["user"]) == ("upload", 5, True, USER)
    assert (down["direction"], down["bytes"], down["offset"], down["tls"]) == ("download", 4, 1, False)
    lines = [line for line in xferlog.read_text().splitlines() if "/a_file " in line]
    assert re.fullmatch(
        rf"\w{{3}} \w{{3}} \d\d \d\d:\d\d:\d\d \d{{4}} 1 127\.0\.0\.1 5 /a_file b _ i r {USER} ftp 0 \* c", lines[0]
    )
    os.rename(log, tmp_path / "log.json.1")
    server.do(_reload(server))
    with Dialogue(server.address) as client:
        client.login()
        assert client.put("STOR b", b"1").code == 226
    wait_for(lambda: len(log.read_text().splitlines()) == 1)


async def _reload(server: Running) -> None:
    server.server.reload()


def test_metrics_count(serve: Callable[..., Running]) -> None:
    pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
    server = serve(metrics=True, limits=LimitsConfig(login_delay=0.0))
    with Dialogue(server.address) as client:
        client.expect(331, f"USER {USER}")
        client.expect(530, "PASS x")
        client.login()
        assert client.put("STOR file", b"12345").code == 226
        metrics = server.server.service.metrics
        assert metrics is not None
        wait_for(lambda: b"fastxfer_transfers_active 0.0" in metrics.text())
        text = metrics.text().decode()
    assert "fastxfer_sessions 1.0" in text
    assert 'fastxfer_logins_total{protocol="ftp",result="ok"} 1.0' in text
    assert 'fastxfer_logins_total{protocol="ftp",result="failed"} 1.0' in text
    assert 'fastxfer_transfers_total{direction="upload",protocol="ftp",result="ok"} 1.0' in text
    assert 'fastxfer_bytes_total{direction="upload",protocol="ftp"} 5.0' in text


# Settings


def test_every_setting_has_one_name_in_code_file_and_flags(tmp_path: Path) -> None:
    flags = [setting.flag for setting in settings_of()]
    assert len(flags) == len(set(flags))
    assert {"--tls-cert", "--limits-sessions", "--passive-ports", "--user", "--web-enabled"} <= set(flags)
    file = tmp_path / "server.toml"
    file.write_text(
        """
        root = "/srv"
        hosts = { "a.example" = "/a" }
        [passive]
        ports = [50000, 50100]
        address_by_network = { "10.0.0.0/8" = "10.0.0.1" }
        [rates]
        download = "10M"
        [timeouts]
        idle = 60
        [uploads]
        umask = "027"
        [[listeners]]
        port = 2121
        [[listeners]]
        host = "::1"
        port = 990
        implicit_tls = true
        """
    )
    config = build(load_toml(file), ServerConfig)
    assert config.passive.ports == (50000, 50100)
    assert config.rates.download == 10 << 20
    assert config.timeouts.idle == 60.0
    assert config.uploads.umask == 0o027
    assert config.hosts == {"a.example": "/a"}
    assert [(entry.port, entry.implicit_tls) for entry in config.listeners] == [(2121, False), (990, True)]
    from_flags = build({"passive": {"ports": "50000-50100"}, "hosts": ("a.example=/a",)}, ServerConfig)
    assert (from_flags.passive.ports, from_flags.hosts) == (config.passive.ports, config.hosts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense = 1", "nonsense"),
        ("[tls]\nnonsense = 1", "tls.nonsense"),
        ("port = 'many'", "port"),
        ("port = -1", "port"),
        ("port = true", "port"),
        ("read_only = 3", "read_only"),
        ("tls = 3", "tls"),
        ("[passive]\nports = [1]", "passive.ports"),
        ("banner = 3", "banner"),
        ("port = ", "toml"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        build(load_toml(file), ServerConfig)


# Users files


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    pytest.importorskip("argon2", reason="needs the extra `server`")
    return tmp_path / "users"


Shell = Callable[..., str]


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs the command line in this process; what it says."""
    pytest.importorskip("click", reason="needs the extra `cli`")
    from fastxfer.cli._app import run

    def call(*arguments: str, stdin: str = "", expect: int = 0) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = run(list(arguments))
        said = "".join(capfd.readouterr())
        assert code == expect, said
        return said

    return call


def test_passwd_keeps_a_users_file(users_file: Path, serve: Callable[..., Running], root: Path, shell: Shell) -> None:
    (root / "home").mkdir()
    shell("passwd", str(users_file), "bob", "--password-file", "-", "-o", "root=/home", stdin="first\n")
    users_file.write_text("# who may come\n" + users_file.read_text())
    assert users_file.stat().st_mode & 0o777 == 0o600
    shell("passwd", str(users_file), "bob", "--password-file", "-", stdin="second\n")
    text = users_file.read_text()
    assert text.startswith("# who may come\nbob:$argon2id$")
    assert text.endswith(":root=/home\n"), "options stay"
    assert "second" not in text
    shell("passwd", str(users_file), "carol", "--password-file", "-", "-o", "permissions=read-only", stdin="x\n")
    server = serve(users=(), users_file=str(users_file), limits=LimitsConfig(login_delay=0.0))
    with Dialogue(server.address) as client:
        client.login("bob", "second")
        client.expect(257, "MKD inside")
        assert (root / "home" / "inside").is_dir()
        client.expect(331, "USER bob")
        client.expect(530, "PASS first")
        client.login("carol", "x")
        client.expect(550, "MKD d")
    shell("passwd", str(users_file), "carol", "--delete")
    shell("passwd", str(users_file), "carol", "--delete", expect=3)
    assert "carol" not in users_file.read_text()


@pytest.mark.parametrize(
    "line",
    ["bob", "bob:", ":hash", "bob:hash:quota-bytes=lots", "bob:hash:nonsense=1", "bob:hash:root", "a:b\na:c",
     "bob:hash:permissions=fly"],
)  # fmt: skip
def test_wrong_lines_of_a_users_file_are_named(users_file: Path, root: Path, line: str) -> None:
    from fastxfer.server.usersfile import parse_users

    with pytest.raises(ValueError, match=r"line \d"):
        parse_users("# comment\n" + line)


def test_options_of_a_users_file() -> None:
    from fastxfer.server import Permission
    from fastxfer.server.usersfile import parse_users

    entry = parse_users(
        "bob:$h:root='/my home' quota-bytes=2G max-sessions=3 require-tls networks=10.0.0.0/8,::1 "
        "permissions=list,read path:/in=all path:/in/none=none\n"
    )["bob"]
    user = entry.user
    assert (user.root, user.quota_bytes, user.max_sessions, user.require_tls) == ("/my home", 2 << 30, 3, True)
    assert user.may_come_from("10.1.2.3")
    assert user.may_come_from("::1")
    assert not user.may_come_from("192.0.2.1")
    assert user.permissions.allows("/in/x", Permission.WRITE)
    assert not user.permissions.allows("/in/none/x", Permission.LIST)
    assert not user.permissions.allows("/inn", Permission.WRITE), "directories are compared by whole names"


def test_a_changed_users_file_is_taken_up(users_file: Path, serve: Callable[..., Running]) -> None:
    from fastxfer.server import usersfile

    usersfile.change_entry(users_file, "bob", usersfile.hash_password("x"))
    server = serve(users=(), users_file=str(users_file), limits=LimitsConfig(login_delay=0.0, login_attempts=1000))
    usersfile.change_entry(users_file, "dave", usersfile.hash_password("y"))

    def in_() -> bool:
        with Dialogue(server.address) as client:
            client.expect(331, "USER dave")
            return client.say("PASS y").code == 230

    wait_for(in_)
    users_file.write_text("this is nonsense")
    assert in_(), "the last good users stay"


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
        "--process-user", "nobody", "--process-chroot", "--proxy-protocol",
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


def test_sockets_of_systemd_are_taken_over(root: Path) -> None:
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
            [sys.executable, "-c", script, str(root), "--anonymous"],
            pass_fds=[listening.fileno()],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
    try:
        assert process.stderr is not None
        assert str(port) in process.stderr.readline()
        with Dialogue(("127.0.0.1", port)) as client:
            client.login("anonymous", "x")
    finally:
        process.terminate()
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(DEADLINE) == 0


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
