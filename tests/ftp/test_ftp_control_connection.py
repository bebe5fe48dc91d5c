"""What is said on the control connection beside a transfer: promises to address translators, and signs of life."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fastxfer.ftp import (
    AsyncClient,
    Client,
    ClientConfig,
    FTPError,
    InvalidArgumentError,
    Limits,
    PermanentError,
    ProtocolError,
    RetryPolicy,
    TLSSettings,
    UnsupportedError,
)
from fastxfer.ftp.session import behind_translator
from tests.ftp.hostile import run
from tests.support.ftp_servers import Certificates, FTPPeer, root_for_all, run_proftpd
from tests.support.scripted_ftp import Control, end_data, scripted_server

BEAT = 0.02


def on_a_loop(body: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that is a coroutine function."""

    @functools.wraps(body)
    def test(*arguments: object, **named: object) -> None:
        async def whole() -> None:
            await body(*arguments, **named)

        asyncio.run(whole())

    return test


# EPSV ALL


def epsv_all(control: Control, argument: str) -> None:
    if argument == "ALL":
        control.reply("200 nothing but EPSV")
    else:
        control.reply(f"229 listening (|||{control.listen()}|)")


def test_the_promise_is_made_once_a_session_and_kept() -> None:
    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["EPSV"] = epsv_all
        assert run(server, lambda client: client.read("a"), epsv_all=True) == b"content"
    assert server.commands.count("EPSV ALL") == 1
    assert server.commands.index("EPSV ALL") < server.commands.index("EPSV")
    assert not server.count("PASV")


def test_after_the_promise_pasv_is_no_way_out() -> None:
    def refuse(control: Control, argument: str) -> None:
        control.reply("200 nothing but EPSV" if argument == "ALL" else "502 not today")

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["EPSV"] = refuse
        with pytest.raises(PermanentError) as caught:
            run(server, lambda client: client.read("a"), epsv_all=True)
    assert caught.value.command == "EPSV"
    assert not server.count("PASV")


def test_a_server_that_refuses_the_promise_is_not_asked_again() -> None:
    def refuse(control: Control, argument: str) -> None:
        control.reply("501 what?" if argument == "ALL" else f"229 listening (|||{control.listen()}|)")

    with scripted_server() as server:
        server.files["/a"] = b"content"
        server.handlers["EPSV"] = refuse
        config = ClientConfig(epsv_all=True, limits=Limits(idle=0))
        with Client(server.url, config=config) as client:
            assert [client.read("a"), client.read("a")] == [b"content"] * 2
    assert server.connections > 1
    assert server.commands.count("EPSV ALL") == 1


@pytest.mark.parametrize("options", [{}, {"epsv_all": False}])
def test_no_promise_where_no_translator_can_be(options: dict[str, bool]) -> None:
    with scripted_server() as server:
        server.files["/a"] = b"content"
        run(server, lambda client: client.read("a"), **options)
    assert "EPSV ALL" not in server.commands


def test_no_promise_to_a_server_without_feat() -> None:
    with scripted_server() as server:
        del server.handlers["FEAT"]
        server.files["/a"] = b"content"
        run(server, lambda client: client.read("a"), epsv_all=True)
    assert "EPSV ALL" not in server.commands


@pytest.mark.parametrize(
    ("own", "server", "expected"),
    [
        ("192.168.1.7", "93.184.216.34", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("93.184.216.35", "93.184.216.34", False),
        ("fe80::1%eth0", "2606:2800:220:1:248:1893:25c8:1946", True),
        ("2606:2800:220:1::1", "2606:2800:220:1::2", False),
        ("not an address", "93.184.216.34", False),
    ],
)
def test_a_translator_is_known_by_a_private_address_here_and_a_public_one_there(
    own: str, server: str, expected: bool
) -> None:
    assert behind_translator(own, server) == expected


def test_the_promise_and_active_mode_exclude_each_other() -> None:
    with pytest.raises(InvalidArgumentError):
        ClientConfig(epsv_all=True, passive=False)


def test_real_servers_take_the_promise(peer: FTPPeer, local: Path) -> None:
    settings = TLSSettings(ca_file=peer.ca_file)
    with Client(peer.url, user=peer.user, password=peer.password, epsv_all=True, tls_settings=settings) as client:
        for number in range(3):
            client.upload(b"content", f"f{number}")
            assert client.read(f"f{number}") == b"content"
        assert sorted(client.names()) == ["f0", "f1", "f2"]


# NOOP during a transfer


def wait_for_noops(control: Control, count: int) -> None:
    """Until so many NOOPs lie in the server's socket; they are left unread."""
    end = time.monotonic() + 60
    while control.sock.recv(65536, socket.MSG_PEEK).count(b"NOOP") < count:
        assert time.monotonic() < end
        time.sleep(0.005)


def slow_retr(answers_at_once: bool) -> Callable[[Control, str], None]:
    def retr(control: Control, argument: str) -> None:
        content = control.server.files["/" + argument]
        control.reply("150 slowly")
        data = control.data()
        data.sendall(content[:1000])
        if answers_at_once:
            for _ in range(3):
                assert control.read_line() == b"NOOP"
                control.server.commands.append("NOOP")
                control.reply("200 still here")
        else:
            wait_for_noops(control, 3)
        data.sendall(content[1000:])
        end_data(data)
        control.reply("226 done")

    return retr


@pytest.mark.parametrize("at_once", [True, False], ids=["answered at once", "answered afterwards"])
@pytest.mark.parametrize("how", ["download", "read", "stream", "blocking"])
def test_signs_of_life_during_a_download(at_once: bool, how: str, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    target = tmp_path / "a"

    async def fetch(client: AsyncClient) -> bytes:
        if how == "download":
            await client.download("a", target)
            found = target.read_bytes()
        elif how == "read":
            found = await client.read("a")
        else:
            found = b"".join([piece async for piece in client.stream("a")])
        # The order of replies is whole: the next command gets its own answer.
        assert await client.pwd() == "/"
        return found

    with scripted_server() as server:
        server.files["/a"] = content
        server.handlers["RETR"] = slow_retr(at_once)
        if how == "blocking":
            with Client(server.url, transfer_keepalive=BEAT) as client:
                client.download("a", target)
                found = target.read_bytes()
                assert client.pwd() == "/"
        else:
            found = run(server, fetch, transfer_keepalive=BEAT)
    assert found == content
    assert server.count("NOOP") >= 3
    assert server.connections == 1


def test_signs_of_life_during_an_upload() -> None:
    content = os.urandom(24_000_000)

    def stor(control: Control, argument: str) -> None:
        control.reply("150 slowly")
        data = control.data()
        wait_for_noops(control, 3)
        taken = bytearray()
        while piece := data.recv(65536):
            taken += piece
        control.server.files["/" + argument] = bytes(taken)
        control.reply("226 done")

    async def store(client: AsyncClient) -> str:
        await client.upload(content, "a")
        return await client.pwd()

    with scripted_server() as server:
        server.handlers["STOR"] = stor
        assert run(server, store, transfer_keepalive=BEAT) == "/"
        assert server.files["/a"] == content
    assert server.count("NOOP") >= 3
    assert server.connections == 1


def test_a_refusal_among_signs_of_life_is_the_transfers() -> None:
    def retr(control: Control, argument: str) -> None:
        control.reply("150 slowly")
        data = control.data()
        data.sendall(b"x" * 100_000)
        assert control.read_line() == b"NOOP"
        control.reply("200 still here", "451 the disk broke")
        end_data(data)

    with scripted_server() as server:
        server.files["/a"] = b"x" * 200_000
        server.handlers["RETR"] = retr
        with pytest.raises(FTPError) as caught:
            run(server, lambda client: client.read("a"), transfer_keepalive=BEAT, retry_codes=frozenset())
    assert getattr(caught.value, "code", None) == 451


def test_a_server_that_drops_signs_of_life_costs_its_session_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastxfer.ftp.data_port._NOOP_WAIT", 0.05)
    content = os.urandom(200_000)

    def retr(control: Control, argument: str) -> None:
        control.reply("150 slowly")
        data = control.data()
        data.sendall(content)
        assert control.read_line() == b"NOOP"
        end_data(data)
        control.reply("226 done")

    async def fetch(client: AsyncClient) -> bytes:
        found = await client.read("a")
        assert await client.pwd() == "/"
        return found

    with scripted_server() as server:
        server.files["/a"] = content
        server.handlers["RETR"] = retr
        server.handlers["NOOP"] = lambda control, argument: None
        assert run(server, fetch, transfer_keepalive=BEAT) == content
    assert server.connections == 2


def test_real_servers_take_signs_of_life(peer: FTPPeer, local: Path) -> None:
    content = os.urandom(2_000_000)
    (peer.root / "big").write_bytes(content)
    (peer.root / "big").chmod(0o644)
    settings = TLSSettings(ca_file=peer.ca_file)
    with Client(
        peer.url,
        user=peer.user,
        password=peer.password,
        transfer_keepalive=BEAT,
        tls_settings=settings,
        download_rate=8_000_000,
        upload_rate=8_000_000,
    ) as client:
        client.download("big", local / "big")
        client.upload(local / "big", "again")
        assert client.size("again") == len(content)
        assert client.stats()["retries"] == 0
    assert (local / "big").read_bytes() == content
    assert (peer.root / "again").read_bytes() == content


# From server to server with TLS


def settings_for(certificates: Certificates) -> TLSSettings:
    return TLSSettings(ca_file=certificates.ca_file)


FOREIGN = ("AllowForeignAddress on", "TLSOptions NoSessionReuseRequired", "TLSVerifyServer off")


@on_a_loop
async def test_two_proftpds_exchange_a_file_over_tls(certificates: Certificates) -> None:
    content = os.urandom(500_000)
    with (
        root_for_all() as one,
        root_for_all() as two,
        run_proftpd(one, certificates, more=FOREIGN) as first,
        run_proftpd(two, certificates, more=FOREIGN) as second,
    ):
        (one / "a").write_bytes(content)
        (one / "a").chmod(0o644)
        # The sender may close while a session ticket lies unread, which takes from the other what it has not read yet.
        retry = RetryPolicy(attempts=10, first_delay=0.05, max_delay=0.5)
        options = {
            "user": first.user,
            "password": first.password,
            "tls_settings": settings_for(certificates),
            "retry": retry,
        }
        async with AsyncClient(first.url, **options) as here, AsyncClient(second.url, **options) as there:
            assert await here.transfer_to("a", there, "b") == len(content)
            # SSCN was switched off again: an ordinary transfer works in the same session.
            assert await here.read("a") == content
            assert await there.read("b") == content
            await there.transfer_to("b", here, "c")
            with pytest.raises(PermanentError):
                await here.transfer_to("missing", there, "d")
        assert (one / "c").read_bytes() == content
        assert sorted(path.name for path in two.iterdir()) == ["b"]


def cpsv(control: Control, argument: str) -> None:
    """As PASV, but this server will shake hands as a client."""
    port = control.listen()
    control.shakes_hands = True  # type: ignore[attr-defined]
    control.reply(f"227 listening ({control.server.host.replace('.', ',')},{port >> 8},{port & 255})")


def retr_as_client(context: ssl.SSLContext) -> Callable[[Control, str], None]:
    def retr(control: Control, argument: str) -> None:
        assert control.shakes_hands  # type: ignore[attr-defined]
        control.protected = False
        control.reply("150 from here to there")
        raw = control.data()
        data = context.wrap_socket(raw, server_hostname="127.0.0.1")
        data.sendall(control.server.files["/" + argument])
        end_data(data)
        control.reply("226 done")

    return retr


@on_a_loop
async def test_a_server_with_cpsv_shakes_hands_as_a_client(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_file)
    client_context = ssl.create_default_context(cafile=certificates.ca_file)
    content = os.urandom(100_000)
    options = {"tls": "explicit", "tls_settings": settings_for(certificates)}
    with scripted_server(context) as first, scripted_server(context) as second:
        first.features.append("CPSV")
        first.files["/a"] = content
        first.handlers["CPSV"] = cpsv
        first.handlers["RETR"] = retr_as_client(client_context)
        async with AsyncClient(first.url, **options) as here, AsyncClient(second.url, **options) as there:
            assert await here.transfer_to("a", there, "b") == len(content)
        assert second.files["/b"] == content
    assert first.count("CPSV") == 1
    assert second.count("PORT") == 1


@on_a_loop
async def test_two_servers_that_are_both_only_tls_servers_are_told_apart(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_file)
    options = {"tls": "explicit", "tls_settings": settings_for(certificates)}
    with scripted_server(context) as first, scripted_server(context) as second:
        first.files["/a"] = b"content"
        async with AsyncClient(first.url, **options) as here, AsyncClient(second.url, **options) as there:
            with pytest.raises(UnsupportedError, match="SSCN"):
                await here.transfer_to("a", there, "b")
            await here.noop()
        assert "/b" not in second.files


@on_a_loop
async def test_servers_that_break_off_on_each_other_are_asked_again() -> None:
    with scripted_server() as first, scripted_server() as second:
        first.files["/a"] = b"content"

        def stor(control: Control, argument: str) -> None:
            second.store(control, argument, appending=False, silent=second.count("STOR") == 1)
            if second.count("STOR") == 1:
                second.files[f"/{argument}"] = b"cont"
                control.reply("426 Transfer aborted. Data connection closed")

        second.handlers["STOR"] = stor
        retry = RetryPolicy(attempts=3, first_delay=0.01, max_delay=0.02)
        async with AsyncClient(first.url, retry=retry) as here, AsyncClient(second.url) as there:
            assert await here.transfer_to("a", there, "b") == 7
        assert second.files == {"/b": b"content"}
        assert second.count("STOR") == 2


@on_a_loop
async def test_a_server_that_never_comes_to_an_end_with_another_is_given_up() -> None:
    with scripted_server() as first, scripted_server() as second:
        first.files["/a"] = b"content"
        first.handlers["RETR"] = lambda control, argument: control.reply("150 here it comes")
        second.handlers["STOR"] = lambda control, argument: control.reply(*["150 wait"] * 500)
        options = {"retry": RetryPolicy(attempts=1), "timeout": 20.0}
        async with AsyncClient(first.url, **options) as here, AsyncClient(second.url, **options) as there:
            with pytest.raises(ProtocolError, match="without end"):
                await here.transfer_to("a", there, "b")
        assert second.files == {}


@on_a_loop
async def test_a_promise_of_epsv_only_does_not_stand_in_the_way_of_fxp() -> None:
    with scripted_server() as first, scripted_server() as second:
        first.files["/a"] = b"content"
        for server in (first, second):
            server.handlers["EPSV"] = epsv_all
        async with (
            AsyncClient(first.url, epsv_all=True) as here,
            AsyncClient(second.url, epsv_all=True) as there,
        ):
            assert await here.transfer_to("a", there, "b") == 7
        assert second.files["/b"] == b"content"
