"""RETR, STOR, APPE, STOU, REST, ABOR and what becomes of the files (RFC 959, RFC 3659 section 5)."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import (
    Direction,
    Hooks,
    LimitsConfig,
    LocalFilesystem,
    LogConfig,
    PassiveConfig,
    TlsConfig,
    TransferInfo,
    UploadsConfig,
    localfiles,
)
from tests.server.conftest import Tls
from tests.server.dialogue import DEADLINE, USER, Dialogue, Running, read_all, visible, wait_for

SIZES = [0, 1, 4096, 70_000, 3_000_001]
BIG = 3_000_001


@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_up_and_comes_down_unchanged(client: Dialogue, root: Path, size: int) -> None:
    content = os.urandom(size)
    assert client.put("STOR file", content).code == 226
    assert (root / "file").read_bytes() == content
    assert client.fetch("RETR file") == content
    assert visible(root) == ["file"]


def test_bytes_of_any_kind_may_be_in_a_name(client: Dialogue, root: Path) -> None:
    for name in ("ä ö.txt", "日本語", "a  b", "-leading", "#!?", "quote\"'", "%2e%2e", "back\\slash", "x" * 255):
        assert client.put(f"STOR {name}", name.encode()).code == 226
        assert client.fetch(f"RETR {name}") == name.encode()
        assert (root / name).exists()
        client.expect(250, f"DELE {name}")


def test_a_name_that_is_not_utf8_survives(client: Dialogue, root: Path) -> None:
    assert client.put(b"STOR caf\xe9", b"latin").code == 226
    assert os.path.exists(os.fsencode(root) + b"/caf\xe9")
    assert b"caf\xe9\r\n" in client.fetch("NLST")


def test_the_opening_reply_tells_the_size(client: Dialogue, root: Path) -> None:
    (root / "file").write_bytes(b"12345")
    with client.data() as data:
        assert "(5 bytes)" in client.say("RETR file")
        read_all(data)
    assert client.read().code == 226


def test_a_missing_file_is_refused_before_any_data_connection(client: Dialogue) -> None:
    with client.data() as data:
        client.expect(550, "RETR nothing")
        client.expect(550, "RETR nothing/at/all")
        client.expect(550, "STOR no/such/directory/file")
        assert data.fileno() >= 0


def test_without_a_data_connection_there_is_no_transfer(client: Dialogue, root: Path) -> None:
    (root / "file").write_text("x")
    for command in ("RETR file", "STOR new", "APPE new", "STOU", "LIST", "NLST", "MLSD"):
        client.expect(425, command)
    assert visible(root) == ["file"]


def test_a_directory_is_not_a_file(client: Dialogue, root: Path) -> None:
    (root / "dir").mkdir()
    client.passive()
    client.expect(550, "RETR dir")
    client.expect(550, "STOR dir")
    client.expect(550, "APPE dir")


@pytest.mark.parametrize("offset", [0, 1, 4095, 4096])
def test_rest_begins_a_download_in_the_middle(client: Dialogue, root: Path, offset: int) -> None:
    content = os.urandom(4096)
    (root / "file").write_bytes(content)
    client.expect(350, f"REST {offset}")
    assert client.fetch("RETR file") == content[offset:]
    assert client.fetch("RETR file") == content, "REST holds for one transfer"


def test_rest_beyond_the_end_is_refused(client: Dialogue, root: Path) -> None:
    (root / "file").write_bytes(b"123")
    client.passive()
    client.expect(350, "REST 4")
    client.expect(554, "RETR file")
    client.expect(350, "REST 4")
    client.expect(554, "STOR file")
    assert (root / "file").read_bytes() == b"123"


def test_rest_is_forgotten_with_the_next_other_command(client: Dialogue, root: Path) -> None:
    (root / "file").write_bytes(b"123456")
    client.expect(350, "REST 3")
    client.expect(250, "CWD /")
    assert client.fetch("RETR file") == b"123456"


def test_rest_before_stor_keeps_the_beginning(client: Dialogue, root: Path) -> None:
    (root / "file").write_bytes(b"abcdef")
    client.expect(350, "REST 3")
    assert client.put("STOR file", b"XYZ!").code == 226
    assert (root / "file").read_bytes() == b"abcXYZ!"


def test_uploads_in_place_are_there_from_the_first_byte(serve: Callable[..., Running], root: Path) -> None:
    server = serve(uploads=UploadsConfig(atomic=False))
    with Dialogue(server.address) as client:
        client.login()
        with client.data() as data:
            client.expect(150, "STOR file")
            data.sendall(b"half")
            wait_for(lambda: (root / "file").exists() and (root / "file").read_bytes() == b"half")
        assert client.read().code == 226
        client.expect(350, "REST 2")
        assert client.put("STOR file", b"LF").code == 226
    assert (root / "file").read_bytes() == b"haLF"


def test_a_synced_upload_is_whole(serve: Callable[..., Running], root: Path) -> None:
    server = serve(uploads=UploadsConfig(fsync=True))
    with Dialogue(server.address) as client:
        assert client.login().put("STOR file", b"safe").code == 226
    assert (root / "file").read_bytes() == b"safe"


def test_a_replaced_file_keeps_its_mode(client: Dialogue, root: Path) -> None:
    (root / "file").write_text("old")
    (root / "file").chmod(0o640)
    assert client.put("STOR file", b"new").code == 226
    assert (root / "file").stat().st_mode & 0o777 == 0o640


def test_appe_makes_and_lengthens_a_file(client: Dialogue, root: Path) -> None:
    assert client.put("APPE log", b"one\n").code == 226
    assert client.put("APPE log", b"two\n").code == 226
    assert (root / "log").read_bytes() == b"one\ntwo\n"


def test_stou_tells_a_name_that_was_not_there(client: Dialogue, root: Path) -> None:
    names = set()
    for _ in range(3):
        with client.data() as data:
            opening = client.expect(150, "STOU")
            data.sendall(b"unique")
        assert client.read().code == 226
        names.add(opening.split("FILE: ")[1])
    assert len(names) == 3
    assert sorted(names) == visible(root)


def test_stou_tells_where_the_file_of_another_directory_is(client: Dialogue, root: Path) -> None:
    (root / "in" / "deep").mkdir(parents=True)
    client.expect(250, "CWD in")
    for argument, beginning in (
        ("x", "x."),
        ("deep/x", "/in/deep/x."),
        ("deep/", "/in/deep/upload."),
        ("/", "/upload."),
    ):
        with client.data() as data:
            opening = client.expect(150, f"STOU {argument}")
            data.sendall(b"unique")
        assert client.read().code == 226
        told = opening.split("FILE: ")[1]
        assert told.startswith(beginning)
        assert client.fetch(f"RETR {told}") == b"unique"


def test_abor_ends_a_download(client: Dialogue, root: Path) -> None:
    with (root / "file").open("wb") as file:
        file.truncate(1 << 30)
    with client.data() as data:
        client.expect(150, "RETR file")
        data.recv(1000)
        client.send(b"\xff\xf4\xff\xf2ABOR\r\n")
        assert client.read().code == 426
        assert client.read().code == 226
    client.expect(200, "NOOP")


def test_stat_and_abor_during_a_download_whose_client_reads_on(client: Dialogue, root: Path) -> None:
    with (root / "file").open("wb") as file:
        file.truncate(64 << 30)
    shown: set[str] = set()
    with client.data() as data:
        client.expect(150, "RETR file")
        # The same line again and again would be a count that stands still while the file moves.
        end = time.monotonic() + DEADLINE
        while len(shown) < 5:
            assert time.monotonic() < end
            for _ in range(8):
                data.recv(1 << 18)
            shown.update(line for line in client.expect(211, "STAT").lines if "bytes" in line)
        client.send(b"ABOR\r\n")
        assert client.read().code == 426
        assert client.read().code == 226
    client.expect(200, "NOOP")


def test_abor_with_urgent_data_ends_an_upload(client: Dialogue, root: Path) -> None:
    with client.data() as data:
        client.expect(150, "STOR file")
        data.sendall(b"x" * 100_000)
        client.sock.send(b"\xff\xf4\xff", socket.MSG_OOB)
        client.send(b"\xf2ABOR\r\n")
        assert client.read().code == 426
        assert client.read().code == 226
    assert visible(root) == []
    client.expect(200, "NOOP")


def test_abor_without_a_transfer(client: Dialogue) -> None:
    client.expect(225, "ABOR")
    host, port = client.passive()
    client.expect(226, "ABOR")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=DEADLINE)


def test_stat_shows_a_transfer_under_way(client: Dialogue, root: Path) -> None:
    with client.data() as data:
        client.expect(150, "STOR file")
        data.sendall(b"x" * 5000)
        wait_for(lambda: any("5000 bytes" in line for line in client.expect(211, "STAT").lines))
    assert client.read().code == 226
    assert not any("bytes" in line for line in client.expect(211, "STAT").lines)


def test_commands_sent_during_a_transfer_are_answered_after_it(client: Dialogue) -> None:
    with client.data() as data:
        client.expect(150, "STOR file")
        client.send(b"NOOP\r\nPWD\r\n")
        data.sendall(b"x")
    assert [client.read().code for _ in range(3)] == [226, 200, 257]


def test_quit_waits_for_the_transfer(client: Dialogue, root: Path) -> None:
    with client.data() as data:
        client.expect(150, "STOR file")
        client.send(b"QUIT\r\n")
        data.sendall(b"whole")
    assert client.read().code == 226
    assert client.read().code == 221
    assert (root / "file").read_bytes() == b"whole"


def test_a_file_that_is_replaced_while_it_is_read_is_read_whole(server: Running, root: Path) -> None:
    (root / "file").write_bytes(b"o" * BIG)
    with Dialogue(server.address) as reader, Dialogue(server.address) as writer:
        reader.login()
        writer.login()
        with reader.data() as data:
            reader.expect(150, "RETR file")
            assert writer.put("STOR file", b"n" * 100).code == 226
            assert read_all(data) == b"o" * BIG
        assert reader.read().code == 226


def test_a_file_that_becomes_shorter_while_it_is_read_is_reported(client: Dialogue, root: Path) -> None:
    with (root / "file").open("wb") as file:
        file.truncate(1 << 30)
    with client.data() as data:
        client.expect(150, "RETR file")
        data.recv(1000)
        os.truncate(root / "file", 1000)
        read_all(data)
    assert client.read().code == 451


def test_ascii_type_changes_line_ends(client: Dialogue, root: Path) -> None:
    (root / "unix").write_bytes(b"one\ntwo\r\nthree")
    client.expect(200, "TYPE A")
    assert client.fetch("RETR unix") == b"one\r\ntwo\r\nthree"
    assert client.expect(213, "SIZE unix") == "213 15"
    assert client.put("STOR up", b"a\r\nb\r\r\nc\n\r").code == 226
    assert (root / "up").read_bytes() == b"a\nb\r\nc\n\r"
    client.expect(350, "REST 1")
    client.passive()
    client.expect(554, "RETR unix")


def test_ascii_line_ends_may_fall_between_blocks(client: Dialogue, root: Path) -> None:
    text = b"".join(b"%07d\n" % number for number in range(100_000))
    (root / "file").write_bytes(text)
    client.expect(200, "TYPE A N")
    assert client.fetch("RETR file") == text.replace(b"\n", b"\r\n")
    assert client.put("STOR back", text.replace(b"\n", b"\r\n")).code == 226
    assert (root / "back").read_bytes() == text


def test_mode_z_compresses_both_ways(client: Dialogue, root: Path) -> None:
    content = b"all work and no play\n" * 50_000
    (root / "file").write_bytes(content)
    client.expect(200, "OPTS MODE Z LEVEL 9")
    client.expect(200, "MODE Z")
    packed = client.fetch("RETR file")
    assert len(packed) < len(content) // 10
    assert zlib.decompress(packed) == content
    assert client.put("STOR up", zlib.compress(content)).code == 226
    assert (root / "up").read_bytes() == content
    assert sorted(zlib.decompress(client.fetch("NLST")).split()) == [b"file", b"up"]
    client.expect(200, "MODE S")
    assert client.fetch("RETR file") == content


def test_a_cut_or_broken_mode_z_upload_is_refused(client: Dialogue, root: Path) -> None:
    client.expect(200, "MODE Z")
    packed = zlib.compress(os.urandom(10_000))
    assert client.put("STOR cut", packed[:-10]).code == 451
    assert client.put("STOR junk", b"this is not deflate").code == 451
    assert visible(root) == []


@pytest.mark.parametrize("command", ["STOR file", "RETR big", "LIST -t"])
def test_abor_that_comes_while_a_transfer_is_prepared_ends_it(
    client: Dialogue, root: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (root / "big").open("wb") as file:
        file.truncate(1 << 30)
    original = LocalFilesystem.stat, LocalFilesystem.open_read, LocalFilesystem.open_write

    def slowly(method: Callable[..., Any]) -> Callable[..., Any]:
        async def slow(*arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(0.1)
            return await method(*arguments, **options)

        return slow

    monkeypatch.setattr(LocalFilesystem, "stat", slowly(original[0]))
    monkeypatch.setattr(LocalFilesystem, "open_read", slowly(original[1]))
    monkeypatch.setattr(LocalFilesystem, "open_write", slowly(original[2]))
    monkeypatch.setattr(LocalFilesystem, "open_upload", lambda *_, **__: None)
    with client.data():
        client.send(command.encode() + b"\r\nABOR\r\n")
        codes = [client.read().code]
        while codes[-1] != 226:
            codes.append(client.read().code)
    assert codes == [150, 426, 226]
    client.expect(200, "NOOP")
    client.expect(225, "ABOR")


class _Clerk(Hooks):
    def __init__(self) -> None:
        self.ended: list[TransferInfo] = []

    async def on_transfer_start(self, transfer: TransferInfo) -> None:
        if "forbidden" in transfer.path:
            raise PermissionError("no")

    async def on_transfer_end(self, transfer: TransferInfo) -> None:
        self.ended.append(transfer)


def test_hooks_see_and_may_refuse_transfers(serve: Callable[..., Running], root: Path) -> None:
    (root / "forbidden").write_text("x")
    clerk = _Clerk()
    server = serve(hooks=clerk)
    with Dialogue(server.address) as client:
        client.login()
        client.passive()
        client.expect(550, "RETR forbidden")
        client.expect(550, "STOR forbidden too")
        assert client.put("STOR file", b"12345").code == 226
        client.expect(350, "REST 2")
        assert client.fetch("RETR file") == b"345"
        client.expect(250, "DELE file")
    up, down = clerk.ended
    assert (up.direction, up.path, up.moved, up.ok, up.session.user) == (Direction.UPLOAD, "/file", 5, True, USER)
    assert (down.direction, down.offset, down.moved, down.ok) == (Direction.DOWNLOAD, 2, 3, True)
    assert visible(root) == ["forbidden"]


def test_many_sessions_move_files_at_the_same_time(serve: Callable[..., Running], root: Path) -> None:
    server = serve(limits=LimitsConfig(sessions=100))
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            content = os.urandom(300_000 + number)
            with Dialogue(server.address) as client:
                client.login()
                for turn in range(3):
                    assert client.put(f"STOR {number}-{turn}", content).code == 226
                    assert client.fetch(f"RETR {number}-{turn}") == content
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE * 3)
    assert not failures
    assert len(visible(root)) == 60


def test_what_is_appended_follows_what_others_wrote_until_the_file_was_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"first")
    lock = localfiles.lock_file

    def others_first(fd: int, path: str) -> None:
        file.write_bytes(b"first, second")
        lock(fd, path)

    monkeypatch.setattr(localfiles, "lock_file", others_first)

    async def append() -> None:
        writer = localfiles.write_in_place(os.open(file, os.O_WRONLY), "/file", -1)
        await writer.write(b", third")
        await writer.commit()

    asyncio.run(append())
    assert file.read_bytes() == b"first, second, third"


@pytest.mark.parametrize("way", ["plain", "TLS", "TYPE A", "MODE Z"])
@pytest.mark.parametrize("size", [1_000_000, 3_000_000])
def test_a_file_that_changes_its_size_while_it_is_sent_is_sent_as_it_was_or_is_an_error(
    serve: Callable[..., Running], root: Path, tls: Tls, way: str, size: int
) -> None:
    (root / "file").write_bytes(os.urandom(2_000_000))
    log = root.parent / "log.json"
    server = serve(tls=TlsConfig(cert=tls.cert), log=LogConfig(json=str(log)), passive=PassiveConfig(buffer=65536))
    with Dialogue(server.address) as client:
        context = tls.context()
        if way == "TLS":
            client.starttls(context)
        client.login()
        if way in ("TYPE A", "MODE Z"):
            client.expect(200, way)
        data = client.data_after("RETR file")
        if way == "TLS":
            data = context.wrap_socket(data, server_hostname="localhost")
        with data:
            # No more than the sockets hold is on its way now.
            assert data.recv(1)
            os.truncate(root / "file", size)
            read_all(data)
        assert client.read().code == (451 if size < 2_000_000 else 226)
    wait_for(lambda: bool(log.read_text()))
    assert json.loads(log.read_text())["ok"] is (size > 2_000_000)
    assert json.loads(log.read_text())["bytes"] == min(size, 2_000_000)
