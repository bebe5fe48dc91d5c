"""Uploads: atomic, limited, resumable."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import (
    LimitsConfig,
    LocalFilesystem,
    Permissions,
    ServerConfig,
    TimeoutsConfig,
    UploadsConfig,
    User,
    Writer,
)
from fastxfer.server.web import pump
from tests.web.site import WAIT, Site, basic, form, serve

CONTENT = random.Random(11).randbytes(3_500_000)
LOGIN = f"Authorization: {basic('alice:wonderland')}\r\n".encode()


@pytest.fixture(autouse=True, params=["by aiohttp", "past aiohttp"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which way bodies take: as small ones do, or as very large ones."""
    way: str = request.param
    monkeypatch.setattr(pump, "LARGE", 1 if way == "past aiohttp" else 1 << 60)
    return way


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def visible(root: Path) -> list[str]:
    """What a client would see."""
    return sorted(name for name in os.listdir(root) if not name.endswith(".fxpart"))


def start_upload(site: Site, target: str, length: int, sent: bytes) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", site.port), timeout=WAIT)
    head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n".encode()
    plain.sendall(head + LOGIN + b"\r\n" + sent)
    return plain


class FullDisk(LocalFilesystem):
    """Takes the first half of what is written to it."""

    async def open_write(self, path: str, **options: Any) -> Writer:
        return HalfWriter(await super().open_write(path, **options))


class HalfWriter(Writer):
    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.offset = writer.offset

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._writer.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def commit(self, *, sync: bool = False) -> None:
        await self._writer.commit(sync=sync)

    async def abort(self, *, keep: bool = True) -> None:
        await self._writer.abort(keep=keep)


def test_an_upload_that_has_filled_the_disk_gives_all_of_it_back(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with serve(root, filesystem=FullDisk(root)) as site:
        assert site.put("/files/file", CONTENT).status == 507
        assert os.listdir(root) == []


@pytest.mark.parametrize("uploads", [UploadsConfig(keep_partial=False), UploadsConfig(atomic=False)])
def test_pieces_are_refused_where_none_would_be_kept(tmp_path: Path, uploads: UploadsConfig) -> None:
    root = tmp_path / "root"
    root.mkdir()
    files = LocalFilesystem(root, atomic=uploads.atomic, keep_partial=uploads.keep_partial)
    with serve(root, config=ServerConfig(uploads=uploads), filesystem=files) as site:
        for header in ("bytes 0-3/10", "bytes 0-3/*"):
            assert site.put("/files/a", b"0123", {"Content-Range": header}).status == 501
        assert os.listdir(root) == []
        assert site.put("/files/a", b"0123", {"Content-Range": "bytes 0-3/4"}).status == 201


def test_a_chunked_body_is_stored(site: Site) -> None:
    pieces = [CONTENT[at : at + 100_000] for at in range(0, len(CONTENT), 100_000)]
    assert site.put("/files/a", iter(pieces), {"Transfer-Encoding": "chunked"}).status == 201
    assert (site.root / "a").read_bytes() == CONTENT


def test_a_raw_post_is_an_upload_too(site: Site) -> None:
    answer = site.post("/files/a", CONTENT, {"Content-Type": "application/octet-stream"})
    assert answer.json["message"] == "File uploaded successfully"
    assert (site.root / "a").read_bytes() == CONTENT


def test_nothing_is_seen_of_an_upload_before_it_is_whole(site: Site) -> None:
    (site.root / "a").write_bytes(b"old")
    plain = start_upload(site, "/files/a", len(CONTENT), CONTENT[:2_000_000])
    with plain:
        until(lambda: len(os.listdir(site.root)) == 2)
        assert visible(site.root) == ["a"]
        assert site.get("/files/a").body == b"old"
        assert [entry["name"] for entry in site.get("/files/").json["entries"]] == ["a"]
        plain.sendall(CONTENT[2_000_000:])
        assert plain.recv(12) == b"HTTP/1.1 200"
    assert (site.root / "a").read_bytes() == CONTENT


def test_an_upload_that_breaks_off_leaves_the_old_file_and_can_be_resumed(site: Site) -> None:
    (site.root / "a").write_bytes(b"old")
    start_upload(site, "/files/a", len(CONTENT), CONTENT[:2_000_000]).close()
    until(lambda: len(os.listdir(site.root)) == 2)
    until(lambda: not (site.service.guard.connections or site.interface.active))
    offset = site.get("/files/a?upload=true").json["offset"]
    assert offset == 2_000_000
    assert site.get("/files/a").body == b"old"
    assert visible(site.root) == ["a"]
    size = len(CONTENT)
    rest = site.put("/files/a", CONTENT[offset:], {"Content-Range": f"bytes {offset}-{size - 1}/{size}"})
    assert rest.status == 200
    assert rest.json["size"] == size
    assert (site.root / "a").read_bytes() == CONTENT
    assert os.listdir(site.root) == ["a"]


def test_all_that_came_before_a_connection_was_lost_is_kept(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    users = [(User(name="alice", upload_rate=300_000), "wonderland")]
    with serve(tmp_path, users=users, new_loop=new_loop) as site:
        # More than the rate lets through at once: it waits in the server when the connection is lost.
        with start_upload(site, "/files/a", len(CONTENT), CONTENT[:600_000]):
            until(lambda: len(os.listdir(tmp_path)) == 1)
        until(lambda: not (site.service.guard.connections or site.interface.active))
        assert site.get("/files/a?upload=true").json["offset"] == 600_000


def test_an_upload_that_breaks_off_behind_its_last_byte_is_finished_by_sending_that_again(tmp_path: Path) -> None:
    users = [(User(name="alice", upload_rate=300_000), "wonderland")]
    with serve(tmp_path, users=users) as site:
        start_upload(site, "/files/a", 600_000, CONTENT[:600_000]).close()
        until(lambda: len(os.listdir(tmp_path)) == 1)
        until(lambda: not (site.service.guard.connections or site.interface.active))
        # Whoever breaks off may not want the file any more.
        assert visible(tmp_path) == []
        assert site.get("/files/a?upload=true").json["offset"] == 600_000
        last = site.put("/files/a", CONTENT[599_999:600_000], {"Content-Range": "bytes 599999-599999/600000"})
        assert (last.status, last.json["size"]) == (201, 600_000)
        assert (tmp_path / "a").read_bytes() == CONTENT[:600_000]


def test_what_came_is_thrown_away_where_that_is_asked_for(tmp_path: Path) -> None:
    config = ServerConfig(uploads=UploadsConfig(keep_partial=False))
    with serve(tmp_path, config=config) as site:
        plain = start_upload(site, "/files/a", len(CONTENT), CONTENT[:2_000_000])
        until(lambda: len(os.listdir(tmp_path)) == 1)
        plain.close()
        until(lambda: not os.listdir(tmp_path))


def test_a_file_comes_in_pieces(site: Site) -> None:
    size = len(CONTENT)
    for start in range(0, size, 1_000_000):
        stop = min(start + 1_000_000, size)
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        answer = site.put("/files/a", CONTENT[start:stop], headers)
        if stop < size:
            assert (answer.status, answer.headers["Upload-Offset"]) == (202, str(stop))
            assert answer.json == {"status": "incomplete", "path": "/a", "offset": stop}
            assert visible(site.root) == []
    assert answer.status == 201
    assert (site.root / "a").read_bytes() == CONTENT


def test_a_piece_may_be_sent_again(site: Site) -> None:
    site.put("/files/a", b"01234", {"Content-Range": "bytes 0-4/10"})
    assert site.put("/files/a", b"34567", {"Content-Range": "bytes 3-7/10"}).headers["Upload-Offset"] == "8"
    assert site.put("/files/a", b"89", {"Content-Range": "bytes 8-9/10"}).status == 201
    assert (site.root / "a").read_bytes() == b"0123456789"


def test_a_piece_that_would_leave_a_hole_is_refused(site: Site) -> None:
    answer = site.put("/files/a", b"56789", {"Content-Range": "bytes 5-9/10"})
    assert (answer.status, answer.headers["Upload-Offset"]) == (409, "0")
    site.put("/files/a", b"01", {"Content-Range": "bytes 0-1/10"})
    answer = site.put("/files/a", b"56789", {"Content-Range": "bytes 5-9/10"})
    assert (answer.status, answer.headers["Upload-Offset"]) == (409, "2")
    assert visible(site.root) == []


def test_how_far_a_piecewise_upload_has_come_can_be_asked(site: Site) -> None:
    site.put("/files/a", b"0123", {"Content-Range": "bytes 0-3/10"})
    for answer in (site.get("/files/a?upload=true"), site.put("/files/a", b"", {"Content-Range": "bytes */10"})):
        assert (answer.status, answer.headers["Upload-Offset"], answer.json["offset"]) == (200, "4", 4)
    assert site.get("/files/b?upload=true").json["offset"] == 0


@pytest.mark.parametrize("header", ["bytes 0-9", "bytes 5-2/10", "nonsense", "bytes 0-4/3"])
def test_a_piece_that_makes_no_sense_is_refused(site: Site, header: str) -> None:
    assert site.put("/files/a", b"01234", {"Content-Range": header}).status == 400
    assert os.listdir(site.root) == []


def test_a_piece_must_have_the_length_it_says(site: Site) -> None:
    assert site.put("/files/a", b"0123", {"Content-Range": "bytes 0-4/10"}).status == 400
    short = iter([b"0123"])
    chunked = {"Content-Range": "bytes 0-4/5", "Transfer-Encoding": "chunked"}
    assert site.put("/files/a", short, chunked).status == 400
    assert visible(site.root) == []


def test_an_upload_of_another_user_is_not_resumed(tmp_path: Path) -> None:
    users = [(User(name=name, permissions=Permissions("all")), "secret") for name in ("ann", "ben")]
    with serve(tmp_path, users=users) as site:
        site.put("/files/a", b"01234", {"Content-Range": "bytes 0-4/10"}, user="ann:secret")
        assert site.get("/files/a?upload=true", user="ben:secret").json["offset"] == 0
        assert site.put("/files/a", b"56789", {"Content-Range": "bytes 5-9/10"}, user="ben:secret").status == 409


def test_missing_directories_are_made_when_asked_for(site: Site) -> None:
    assert site.put("/files/a/b/c.txt", b"x").status == 409
    assert os.listdir(site.root) == []
    assert site.put("/files/a/b/c.txt?parents=true", b"x").status == 201
    assert (site.root / "a" / "b" / "c.txt").read_bytes() == b"x"


def test_the_time_of_the_last_change_can_be_sent_along(site: Site) -> None:
    answer = site.put("/files/a?modified=2020-02-29T12:00:00Z", b"x")
    assert answer.headers["Last-Modified"] == "Sat, 29 Feb 2020 12:00:00 GMT"
    assert (site.root / "a").stat().st_mtime == 1_582_977_600
    assert site.put("/files/b?modified=yesterday", b"x").status == 400
    assert not (site.root / "b").exists()


def test_a_directory_is_not_overwritten(site: Site) -> None:
    (site.root / "d").mkdir()
    assert site.put("/files/d", b"x").status == 409
    assert site.put("/files/d/", b"x").status == 400
    assert site.put("/files/", b"x").status == 400
    assert (site.root / "d").is_dir()


def test_files_over_the_limit_are_refused_before_and_while_they_come(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(uploads=UploadsConfig(max_size=1000))) as site:
        assert site.put("/files/a", bytes(1000)).status == 201
        assert site.put("/files/b", bytes(1001)).status == 413
        pieces = iter([bytes(600), bytes(600)])
        assert site.put("/files/c", pieces, {"Transfer-Encoding": "chunked"}).status == 413
        body, headers = form(("file", "d", bytes(1001)))
        assert site.post("/files/d", body, headers).status == 413
        assert site.put("/files/e", bytes(5), {"Content-Range": "bytes 0-4/1001"}).status == 413
        assert visible(tmp_path) == ["a"]


def test_the_quota_holds(tmp_path: Path) -> None:
    users = [(User(name="q", permissions=Permissions("all"), quota_bytes=1000, quota_files=3), "secret")]
    with serve(tmp_path, users=users) as site:
        quota = {"user": "q:secret"}
        assert site.put("/files/a", bytes(600), **quota).status == 201
        assert site.put("/files/b", bytes(600), **quota).status == 507
        pieces = iter([bytes(300), bytes(300)])
        assert site.put("/files/b", pieces, {"Transfer-Encoding": "chunked"}, **quota).status in {413, 507}
        assert site.put("/files/a", bytes(900), **quota).status == 200
        assert visible(tmp_path) == ["a"]
        assert site.delete("/files/a", **quota).status == 200
        assert site.put("/files/b", bytes(1000), **quota).status == 201


def test_a_client_that_waits_to_be_asked_is_asked_only_for_a_body_that_is_wanted(site: Site) -> None:
    head = b"PUT /files/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    assert site.first_line(head + b"\r\n") == b"HTTP/1.1 401 Unauthorized"
    with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain:
        plain.sendall(head + LOGIN + b"\r\n")
        assert plain.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        plain.sendall(b"hello")
        assert plain.recv(12) == b"HTTP/1.1 201"
    assert (site.root / "a").read_bytes() == b"hello"
    odd = head.replace(b"100-continue", b"a miracle")
    assert site.first_line(odd + LOGIN + b"\r\n") == b"HTTP/1.1 417 Expectation Failed"
    assert site.put("/files/a", b"", {"Expect": "a miracle"}).json["code"] == 417


def test_who_did_not_wait_to_be_asked_is_not_asked_because_the_one_before_did(site: Site) -> None:
    head = b"PUT /files/%b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain, plain.makefile("rb") as answers:
        # The first does not wait, after all, and is refused.
        plain.sendall(head % b"none/a" + b"Expect: 100-continue\r\n" + LOGIN + b"\r\nhello")
        plain.sendall(head % b"b" + b"Connection: close\r\n" + LOGIN + b"\r\nhello")
        statuses = re.findall(rb"HTTP/1.1 (\d+)", answers.read())
    assert statuses == [b"409", b"201"]


def test_a_body_in_another_transfer_coding_is_refused_and_not_stored_as_it_came(site: Site) -> None:
    head = b"PUT /files/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n" + LOGIN
    assert site.first_line(head + b"\r\n5\r\nhello\r\n0\r\n\r\n") == b"HTTP/1.1 501 Not Implemented"
    assert os.listdir(site.root) == []


def test_of_a_form_no_file_takes_the_place_of_another(site: Site) -> None:
    body, headers = form(("file", "a", b"first"), ("file", "a", b"second"))
    assert site.post("/files/", body, headers).status == 409
    assert (site.root / "a").read_bytes() == b"first"


@pytest.mark.parametrize("coding", ["Content-Transfer-Encoding: base64", "Content-Encoding: gzip"])
def test_an_encoded_part_of_a_form_is_refused(site: Site, coding: str) -> None:
    body, headers = form(("file", "a", b"aGVsbG8="))
    encoded = body.replace(b"\r\n\r\n", b"\r\n" + coding.encode() + b"\r\n\r\n", 1)
    assert site.post("/files/", encoded, headers).status == 415
    assert os.listdir(site.root) == []


def test_a_connection_ends_with_a_body_that_went_past_aiohttp(site: Site, way: str) -> None:
    head = f"PUT /files/a HTTP/1.1\r\nHost: x\r\nContent-Length: {len(CONTENT)}\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain:
        plain.sendall(head.encode() + LOGIN + b"\r\n")
        assert plain.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        plain.sendall(CONTENT)
        answer = plain.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert (b"\r\nconnection: close\r\n" in answer.lower()) == (way == "past aiohttp")
    assert (site.root / "a").read_bytes() == CONTENT


def test_what_had_come_is_kept_when_the_server_stops(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    config = ServerConfig(timeouts=TimeoutsConfig(shutdown=0.2))
    with serve(tmp_path, config=config, new_loop=new_loop) as site:
        plain = start_upload(site, "/files/a", len(CONTENT), CONTENT[:2_000_000])
        # Written while it comes in either way, but for the last block that aiohttp's way gathers.
        until(lambda: sum(entry.stat().st_size for entry in tmp_path.iterdir()) >= 1_000_000)
    plain.close()
    assert visible(tmp_path) == []
    with serve(tmp_path) as site:
        have = int(site.put("/files/a", b"", {"Content-Range": f"bytes */{len(CONTENT)}"}).headers["Upload-Offset"])
        assert 1_000_000 <= have <= 2_000_000
        headers = {"Content-Range": f"bytes {have}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        assert site.put("/files/a", CONTENT[have:], headers).status == 201
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_an_encoded_body_is_refused(site: Site) -> None:
    for encoding in ("gzip", "deflate", "br"):
        answer = site.put("/files/a", b"\x1f\x8b\x08", {"Content-Encoding": encoding})
        assert answer.status == 415
    assert os.listdir(site.root) == []


def test_two_uploads_of_one_name_do_not_mix(site: Site) -> None:
    plain = start_upload(site, "/files/a", len(CONTENT), CONTENT[:2_000_000])
    with plain:
        until(lambda: len(os.listdir(site.root)) == 1)
        assert site.put("/files/a", b"other").status == 409
        plain.sendall(CONTENT[2_000_000:])
        assert plain.recv(12) == b"HTTP/1.1 201"
    assert (site.root / "a").read_bytes() == CONTENT


def test_a_sender_that_stops_is_given_up(tmp_path: Path) -> None:
    config = ServerConfig(timeouts=TimeoutsConfig(data_stall=0.3))
    with serve(tmp_path, config=config) as site:
        plain = start_upload(site, "/files/a", 1000, b"few")
        with plain:
            assert plain.recv(12) == b"HTTP/1.1 408"
        assert visible(tmp_path) == []


def test_a_reader_that_stops_is_given_up(tmp_path: Path) -> None:
    with open(tmp_path / "big", "wb") as file:
        file.truncate(200 << 20)
    config = ServerConfig(timeouts=TimeoutsConfig(data_stall=0.3))
    with serve(tmp_path, config=config) as site:
        with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain:
            plain.sendall(b"GET /files/big HTTP/1.1\r\nHost: x\r\n" + LOGIN + b"\r\n")
            assert plain.recv(12) == b"HTTP/1.1 200"
            until(lambda: site.service.guard.connections == 0)
        assert site.get("/healthz", user="").status == 200


def test_the_number_of_transfers_of_a_user_is_limited(tmp_path: Path) -> None:
    users = [(User(name="one", permissions=Permissions("all"), max_sessions=1), "secret")]
    login = f"Authorization: {basic('one:secret')}\r\n".encode()
    with serve(tmp_path, users=users) as site:
        with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain:
            plain.sendall(b"PUT /files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" + login + b"\r\nhel")
            until(lambda: len(os.listdir(tmp_path)) == 1)
            second = site.put("/files/b", b"x", user="one:secret")
            assert (second.status, second.headers["Retry-After"]) == (429, "5")
            assert site.get("/files/", user="one:secret").status == 200
            plain.sendall(b"lo")
            assert plain.recv(12) == b"HTTP/1.1 201"
        assert site.put("/files/b", b"x", user="one:secret").status == 201


def test_requests_beyond_the_limit_are_told_to_come_back(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(limits=LimitsConfig(web_requests=1))) as site:
        plain = start_upload(site, "/files/a", 5, b"hel")
        with plain:
            until(lambda: len(os.listdir(tmp_path)) == 1)
            busy = site.get("/files/")
            assert (busy.status, busy.headers["Retry-After"]) == (503, "1")
            plain.sendall(b"lo")
            assert plain.recv(12) == b"HTTP/1.1 201"
        assert site.get("/files/").status == 200


def test_what_a_broken_upload_leaves_counts_until_it_is_deleted(tmp_path: Path) -> None:
    users = [(User(name="q", quota_bytes=1000), "secret")]
    with serve(tmp_path, users=users) as site:
        quota = {"user": "q:secret"}
        assert site.put("/files/a", bytes(600), {"Content-Range": "bytes 0-599/700"}, **quota).status == 202
        assert site.put("/files/b", bytes(600), **quota).status == 507
        assert site.put("/files/b", bytes(300), **quota).status == 201
        assert site.put("/files/a", bytes(100), {"Content-Range": "bytes 600-699/700"}, **quota).status == 201
        assert site.put("/files/c", bytes(1), **quota).status == 507
        assert site.delete("/files/a", **quota).status == 200
        assert site.put("/files/a", bytes(600), {"Content-Range": "bytes 0-599/701"}, **quota).status == 507
        assert site.put("/files/a", bytes(500), {"Content-Range": "bytes 0-499/600"}, **quota).status == 202
        assert site.put("/files/b", bytes(1000), **quota).status == 507
        assert site.delete("/files/a", **quota).status == 200
        assert site.delete("/files/a", **quota).status == 404
        assert site.put("/files/b", bytes(1000), **quota).status == 200


@pytest.mark.parametrize("moment", ["1969-12-31T23:59:59Z", "0001-01-01T00:00:00%2B14:00", "yesterday"])
def test_an_impossible_time_is_refused_before_anything_is_stored(site: Site, moment: str) -> None:
    assert site.put(f"/files/a?modified={moment}", b"content").status == 400
    assert os.listdir(site.root) == []
