"""PASV, EPSV, PORT, EPRT: what they open, and who gets in (RFC 959, RFC 2428, RFC 2577)."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig, PassiveConfig, TimeoutsConfig, datachannel
from tests.server.dialogue import DEADLINE, Dialogue, Running, read_all, wait_for


@contextlib.contextmanager
def listener(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(DEADLINE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, 0))
        sock.listen(1)
        yield sock


def port_argument(host: str, port: int) -> str:
    return ",".join([*host.split("."), str(port >> 8), str(port & 255)])


@pytest.fixture
def filled(root: Path) -> Path:
    (root / "file").write_bytes(b"content")
    return root


@pytest.fixture(scope="module")
def ipv6() -> None:
    try:
        with listener("::1"):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")


@pytest.mark.parametrize("command", ["PASV", "EPSV", "EPSV 1"])
def test_passive_connections(client: Dialogue, filled: Path, command: str) -> None:
    address = client.passive(command)
    assert address[0] == "127.0.0.1"
    with socket.create_connection(address, timeout=DEADLINE) as data:
        client.expect(150, "RETR file")
        assert read_all(data) == b"content"
    assert client.read().code == 226


def test_a_client_may_connect_only_after_the_command(client: Dialogue, filled: Path) -> None:
    address = client.passive()
    client.expect(150, "RETR file")
    with socket.create_connection(address, timeout=DEADLINE) as data:
        assert read_all(data) == b"content"
    assert client.read().code == 226


@pytest.mark.parametrize("extended", [False, True])
def test_active_connections_come_from_the_servers_address(client: Dialogue, filled: Path, extended: bool) -> None:
    with listener() as sock:
        host, port = sock.getsockname()
        client.expect(200, f"EPRT |1|{host}|{port}|" if extended else f"PORT {port_argument(host, port)}")
        client.expect(150, "RETR file")
        data, peer = sock.accept()
        with data:
            assert peer[0] == "127.0.0.1"
            assert read_all(data) == b"content"
        assert client.read().code == 226


@pytest.mark.parametrize("command", ["EPRT |1|0.0.0.0|{port}|", "EPRT |2|::|{port}|", "PORT 0,0,0,0,{high},{low}"])
def test_no_address_in_particular_is_the_clients(client: Dialogue, filled: Path, command: str) -> None:
    with listener() as sock:
        port = sock.getsockname()[1]
        client.expect(200, command.format(port=port, high=port >> 8, low=port & 255))
        client.expect(150, "RETR file")
        data, _ = sock.accept()
        with data:
            assert read_all(data) == b"content"
        assert client.read().code == 226


def test_ipv6(serve: Callable[..., Running], filled: Path, ipv6: None) -> None:
    server = serve(host="::1")
    with Dialogue(server.address) as client:
        client.login()
        client.expect(425, "PASV")
        client.expect(522, "EPSV 1")
        assert client.fetch("RETR file") == b"content"
        with listener("::1") as sock:
            host, port = sock.getsockname()[:2]
            client.expect(200, f"EPRT |2|{host}|{port}|")
            client.expect(150, "RETR file")
            data, _ = sock.accept()
            with data:
                assert read_all(data) == b"content"
        assert client.read().code == 226
        client.expect(501, "EPRT |2|::ffff:127.0.0.1|5000|")


def test_one_listener_for_ipv4_and_ipv6(serve: Callable[..., Running], filled: Path, ipv6: None) -> None:
    server = serve(host="::")
    for host in ("127.0.0.1", "::1"):
        with Dialogue((host, server.port)) as client:
            client.login()
            assert client.fetch("RETR file") == b"content"
            assert host in " ".join(client.expect(211, "STAT").lines)
    with Dialogue(("127.0.0.1", server.port)) as client:
        client.login()
        assert client.passive("PASV")[0] == "127.0.0.1"


def test_epsv_all_forbids_everything_else(client: Dialogue, filled: Path) -> None:
    client.expect(200, "EPSV ALL")
    client.expect(501, "PASV")
    client.expect(501, "PORT 127,0,0,1,200,200")
    client.expect(501, "EPRT |1|127.0.0.1|50000|")
    assert client.fetch("RETR file") == b"content"


def test_bounce_to_other_hosts_and_low_ports_is_refused(client: Dialogue) -> None:
    for command in (
        "PORT 127,0,0,2,200,200",
        "PORT 10,0,0,1,200,200",
        "PORT 127,0,0,1,0,22",
        "EPRT |1|10.0.0.1|50000|",
        "EPRT |1|127.0.0.1|1023|",
        "EPRT |2|::1|50000|",
        "EPRT |2|::ffff:10.0.0.1|50000|",
    ):
        client.expect(501, command)
    client.expect(425, "LIST")


@pytest.mark.parametrize(
    "command",
    [
        "PORT",
        "PORT 1,2,3",
        "PORT 127,0,0,1,256,0",
        "PORT 127,0,0,1,-1,0",
        "PORT a,b,c,d,e,f",
        "PORT 127,0,0,1,0,0",
        "PORT 127,0,0,1,1,1,1",
        "EPRT",
        "EPRT x",
        "EPRT |1|127.0.0.1|",
        "EPRT |1|localhost|5000|",
        "EPRT |1|127.0.0.1|99999|",
        "EPRT |1|127.0.0.1|port|",
        "EPSV x",
    ],
)
def test_malformed_addresses_are_syntax_errors(client: Dialogue, command: str) -> None:
    client.expect(501, command)


def test_unknown_address_families_are_named(client: Dialogue) -> None:
    assert "(1,2)" in client.expect(522, "EPRT |3|x|5000|")
    assert "(1)" in client.expect(522, "EPSV 2")


def test_active_connections_can_be_switched_off(serve: Callable[..., Running]) -> None:
    server = serve(passive=PassiveConfig(active=False))
    with Dialogue(server.address) as client:
        client.login()
        client.expect(502, "PORT 127,0,0,1,200,200")


def test_a_refused_active_connection_is_425(client: Dialogue, filled: Path) -> None:
    with listener() as sock:
        host, port = sock.getsockname()
    client.expect(200, f"PORT {port_argument(host, port)}")
    client.expect(150, "RETR file")
    assert client.read().code == 425
    client.expect(425, "RETR file")


def test_data_theft_a_stranger_is_turned_away_and_the_client_served(client: Dialogue, filled: Path) -> None:
    address = client.passive()
    with socket.create_connection(address, timeout=DEADLINE, source_address=("127.0.0.2", 0)) as thief:
        client.send(b"RETR file\r\n")
        assert client.read().code == 150
        assert read_all(thief) == b""
        with socket.create_connection(address, timeout=DEADLINE) as data:
            assert read_all(data) == b"content"
    assert client.read().code == 226


def test_fxp_is_possible_where_it_is_permitted(serve: Callable[..., Running], filled: Path) -> None:
    server = serve(passive=PassiveConfig(fxp=True))
    with Dialogue(server.address) as client, Dialogue(server.address, source="127.0.0.2") as other:
        client.login()
        other.login()
        host, port = client.passive()
        other.expect(200, f"PORT {port_argument(host, port)}")
        client.send(b"STOR copy\r\n")
        other.send(b"RETR file\r\n")
        assert client.read().code == 150
        assert {other.read().code, other.read().code} == {150, 226}
        assert client.read().code == 226
    assert (filled / "copy").read_bytes() == b"content"


def test_only_the_last_passive_port_is_open(client: Dialogue, filled: Path) -> None:
    addresses = [client.passive("PASV") for _ in range(300)]
    for address in addresses[-20:-1]:
        if address != addresses[-1]:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, timeout=DEADLINE)
    with socket.create_connection(addresses[-1], timeout=DEADLINE) as data:
        client.expect(150, "RETR file")
        assert read_all(data) == b"content"
    assert client.read().code == 226


def test_a_passive_port_nobody_comes_to_is_given_up(serve: Callable[..., Running], filled: Path) -> None:
    server = serve(timeouts=TimeoutsConfig(data_connect=0.3, shutdown=1.0))
    with Dialogue(server.address) as client:
        client.login()
        address = client.passive()
        client.expect(150, "RETR file")
        assert client.read().code == 425
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=DEADLINE)


def free_range(count: int) -> tuple[int, int]:
    """Neighbouring ports that are free now."""
    for _ in range(100):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(listener())
            start = first.getsockname()[1]
            try:
                for port in range(start + 1, start + count):
                    sock = stack.enter_context(socket.socket())
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return start, start + count - 1
    pytest.skip("no neighbouring free ports")


def test_passive_ports_come_from_the_range_and_run_out(serve: Callable[..., Running]) -> None:
    first, last = free_range(4)
    server = serve(passive=PassiveConfig(ports=(first, last)))
    with contextlib.ExitStack() as stack:
        taken = set()
        for _ in range(4):
            client = stack.enter_context(Dialogue(server.address)).login()
            taken.add(client.passive()[1])
        assert taken == set(range(first, last + 1))
        fifth = stack.enter_context(Dialogue(server.address)).login()
        fifth.expect(425, "EPSV")
        client.expect(221, "QUIT")
        assert client.closed()
        wait_for(lambda: fifth.say("EPSV").code == 229)


def test_passive_ports_cannot_be_guessed_from_the_one_before(serve: Callable[..., Running]) -> None:
    first, last = free_range(64)
    server = serve(passive=PassiveConfig(ports=(first, last)))
    with Dialogue(server.address) as client:
        client.login()
        ports = [client.passive()[1] for _ in range(40)]
    steps = {later - earlier for earlier, later in itertools.pairwise(ports)}
    assert len(steps) > 10


def refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=DEADLINE).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_port_serves_the_next_transfer_and_whoever_came_between_is_sent_away(client: Dialogue, filled: Path) -> None:
    with client.data() as data:
        address = data.getpeername()
        client.expect(150, "RETR file")
        assert read_all(data) == b"content"
    assert client.read().code == 226
    with socket.create_connection(address, timeout=DEADLINE) as intruder:
        client.expect(425, "RETR file")
        assert client.passive() == address
        with socket.create_connection(address, timeout=DEADLINE) as data:
            client.expect(150, "RETR file")
            assert read_all(data) == b"content"
        assert client.read().code == 226
        assert read_all(intruder) == b""


def test_a_kept_port_is_closed_soon_and_with_its_session(
    client: Dialogue, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = client.passive()
    with socket.create_connection(kept, timeout=DEADLINE) as data:
        client.expect(150, "STOR up")
        data.sendall(b"x")
    assert client.read().code == 226
    monkeypatch.setattr(datachannel, "KEPT_SECONDS", 0.0)
    wait_for(lambda: refused(kept))
    with client.data() as data:
        again = data.getpeername()
        client.expect(150, "NLST")
        read_all(data)
    assert client.read().code == 226
    monkeypatch.setattr(datachannel, "KEPT_SECONDS", 1000.0)
    client.expect(221, "QUIT")
    wait_for(lambda: refused(again))


def test_a_port_changes_after_some_transfers(client: Dialogue, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datachannel, "KEPT_USES", 3)
    ports = []
    for _ in range(12):
        with client.data() as data:
            ports.append(data.getpeername()[1])
            client.expect(150, "RETR file")
            read_all(data)
        assert client.read().code == 226
    assert all(ports.count(port) <= 3 for port in ports)
    assert len(set(ports)) >= 4


def test_where_ports_are_few_none_is_kept(serve: Callable[..., Running], filled: Path) -> None:
    first, last = free_range(4)
    server = serve(passive=PassiveConfig(ports=(first, last)))
    with Dialogue(server.address) as client:
        client.login()
        address = client.passive()
        with socket.create_connection(address, timeout=DEADLINE) as data:
            client.expect(150, "RETR file")
            read_all(data)
        assert client.read().code == 226
        client.expect(200, "NOOP")
        assert refused(address)


def test_the_address_told_may_be_another(serve: Callable[..., Running]) -> None:
    server = serve(passive=PassiveConfig(address="203.0.113.9", address_by_network={"127.0.0.2/32": "198.51.100.7"}))
    with Dialogue(server.address) as client, Dialogue(server.address, source="127.0.0.2") as other:
        assert client.login().passive("PASV")[0] == "203.0.113.9"
        assert other.login().passive("PASV")[0] == "198.51.100.7"


def test_many_sessions_hold_passive_ports_at_the_same_time(
    serve: Callable[..., Running], descriptors: Callable[[], int]
) -> None:
    server = serve(limits=LimitsConfig(sessions=300))
    before = descriptors()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Dialogue(server.address)).login() for _ in range(150)]
        assert len({client.passive() for client in clients}) == 150
    wait_for(lambda: server.server.sessions == 0)
    wait_for(lambda: descriptors() <= before)


def test_garbage_on_a_download_connection_does_no_harm(client: Dialogue, root: Path) -> None:
    (root / "big").write_bytes(b"x" * 5_000_000)
    with client.data() as data:
        data.sendall(b"garbage" * 1000)
        client.expect(150, "RETR big")
        received = threading.Event()

        def drain() -> None:
            with contextlib.suppress(OSError):
                read_all(data)
            received.set()

        threading.Thread(target=drain).start()
        assert received.wait(DEADLINE)
    assert client.read().code in (226, 426)
    client.expect(200, "NOOP")
