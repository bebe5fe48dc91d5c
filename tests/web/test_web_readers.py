"""Clients that do not take their answers: given up while the interface runs, and no hindrance to its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from fastxfer.server import Hooks, ServerConfig, SessionInfo, TimeoutsConfig
from fastxfer.server.web.entrance import Guest
from tests.web.reading import Crowded, ended, reader, until_counted
from tests.web.site import WAIT, serve


def test_a_reader_of_a_listing_that_stops_is_given_up(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    config = ServerConfig(timeouts=TimeoutsConfig(data_stall=0.3))
    with serve(tmp_path, config=config, filesystem=Crowded(tmp_path), new_loop=new_loop) as site:
        with reader(site, b"GET /files/"):
            until_counted(site, 0)
        assert site.get("/healthz", user="").status == 200


def test_a_client_that_does_not_take_an_archive_does_not_keep_the_interface_from_stopping(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with open(tmp_path / "big", "wb") as file:
        file.truncate(64 << 20)
    config = ServerConfig(timeouts=TimeoutsConfig(shutdown=0.1))
    with (
        serve(tmp_path, config=config, new_loop=new_loop) as site,
        reader(site, b"GET /files/?archive=tar") as client,
    ):
        site.run(site.interface.stop())
        assert site.service.guard.connections == 0
        assert ended(client)


class Taken(asyncio.Transport):
    """A transport that holds back as many bytes as a test says."""

    unsent = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent


def test_who_takes_a_little_or_has_nothing_to_take_does_not_stall() -> None:
    transport = Taken()
    guest = Guest(transport, "127.0.0.1", True)
    for now, unsent in enumerate([0, 0, 900, 899, 898, 0, 0, 500, 400]):
        transport.unsent = unsent
        assert guest.stalled_for(now) == 0


def test_who_takes_nothing_stalls_however_much_is_added() -> None:
    transport = Taken()
    guest = Guest(transport, "127.0.0.1", True)
    seen = []
    for now, unsent in enumerate([500, 500, 700, 700]):
        transport.unsent = unsent
        seen.append(guest.stalled_for(now))
    assert seen == [0, 1, 2, 3]


def test_who_has_taken_a_block_does_not_stall_though_the_next_waits_already() -> None:
    transport = Taken()
    transport.unsent = 700
    guest = Guest(transport, "127.0.0.1", True)
    for now in range(5):
        assert guest.stalled_for(now) == 0
        guest.took()


def test_listeners_have_heard_of_every_end_when_the_interface_has_stopped(tmp_path: Path) -> None:
    class Slow(Hooks):
        heard = 0

        async def on_disconnect(self, session: SessionInfo) -> None:
            await asyncio.sleep(0.2)
            self.heard += 1

    hooks = Slow()
    with (
        serve(tmp_path, hooks=hooks) as site,
        socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as client,
    ):
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        site.run(site.interface.stop())
        assert hooks.heard == 1
