"""What becomes of an upload that ends too early, and how it is gone on with (RFC 959, RFC 3659 section 5)."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import (
    LocalFilesystem,
    UploadsConfig,
    User,
    Writer,
)
from tests.server.dialogue import DEADLINE, PASSWORD, USER, Dialogue, Running, reset, visible, wait_for

BIG = 3_000_001


def test_a_broken_upload_leaves_nothing_under_the_final_name_and_can_be_resumed(
    serve: Callable[..., Running], root: Path
) -> None:
    content = os.urandom(BIG)
    server = serve()
    with Dialogue(server.address) as client:
        client.login()
        data = client.data()
        client.expect(150, "STOR file")
        data.sendall(content[:1_000_000])
        reset(data)
        assert client.read().code == 426
        assert visible(root) == []
        assert client.fetch("NLST") == b"", "unfinished uploads are in no listing"
        assert b"file" not in client.fetch("LIST") + client.fetch("MLSD")
    with Dialogue(server.address) as client:
        client.login()
        kept = int(client.expect(213, "SIZE file").split()[1])
        assert 0 < kept <= 1_000_000
        client.passive()
        client.expect(550, "RETR file")
        client.expect(350, f"REST {kept}")
        assert client.put("STOR file", content[kept:]).code == 226
    assert (root / "file").read_bytes() == content
    assert os.listdir(root) == ["file"]


class FullDisk(LocalFilesystem):
    """Takes the first byte of what is written to it."""

    async def open_write(self, path: str, **options: Any) -> Writer:
        return OneByteWriter(await super().open_write(path, **options))


class OneByteWriter(Writer):
    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.offset = writer.offset

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._writer.write(data[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def commit(self, *, sync: bool = False) -> None:
        await self._writer.commit(sync=sync)

    async def abort(self, *, keep: bool = True) -> None:
        await self._writer.abort(keep=keep)


def test_an_upload_that_has_filled_the_disk_gives_all_of_it_back(serve: Callable[..., Running], root: Path) -> None:
    with Dialogue(serve(filesystem=FullDisk(root)).address) as client:
        client.login()
        assert client.put("STOR file", b"content").code == 452
        assert os.listdir(root) == []


def test_appe_goes_on_with_a_broken_upload(client: Dialogue, root: Path) -> None:
    data = client.data()
    client.expect(150, "STOR file")
    data.sendall(b"first ")
    wait_for(lambda: any(entry.stat().st_size == 6 for entry in root.iterdir()))
    reset(data)
    assert client.read().code == 426
    client.expect(213, "SIZE file")
    assert client.put("APPE file", b"second").code == 226
    assert (root / "file").read_bytes() == b"first second"


def test_an_upload_whose_connection_cannot_be_taken_holds_its_name_no_longer(
    client: Dialogue, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the process has no descriptor left: the file that was to be filled gives one back."""

    def refuse(listener: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    client.data().close()
    with monkeypatch.context() as patched:
        patched.setattr("fastxfer.server.datachannel.accept", refuse)
        client.expect(451, "STOR file")
    assert os.listdir(root) == []
    assert client.put("STOR file", b"content").code == 226
    assert (root / "file").read_bytes() == b"content"


def test_a_broken_upload_leaves_the_old_file_as_it_was(client: Dialogue, root: Path) -> None:
    (root / "file").write_bytes(b"old content")
    data = client.data()
    client.expect(150, "STOR file")
    data.sendall(b"new")
    reset(data)
    assert client.read().code == 426
    assert (root / "file").read_bytes() == b"old content"
    assert client.expect(213, "SIZE file") == "213 11"


def test_what_a_broken_upload_brought_is_its_users_alone(serve: Callable[..., Running], root: Path) -> None:
    server = serve(users=[(User(name=USER), PASSWORD), (User(name="bob"), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        data = client.data()
        client.expect(150, "STOR file")
        data.sendall(b"hers")
        wait_for(lambda: any(entry.stat().st_size == 4 for entry in root.iterdir()))
        reset(data)
        assert client.read().code == 426
    with Dialogue(server.address) as client:
        client.login("bob")
        client.expect(550, "SIZE file")
        assert client.put("APPE file", b"his").code == 226
    assert (root / "file").read_bytes() == b"his"


def test_broken_uploads_are_thrown_away_where_that_is_wanted(serve: Callable[..., Running], root: Path) -> None:
    server = serve(uploads=UploadsConfig(keep_partial=False))
    with Dialogue(server.address) as client:
        client.login()
        data = client.data()
        client.expect(150, "STOR file")
        data.sendall(b"x" * 100_000)
        reset(data)
        assert client.read().code == 426
    assert list(root.iterdir()) == []


def test_a_lost_control_connection_ends_the_upload(server: Running, root: Path) -> None:
    client = Dialogue(server.address).login()
    with client.data() as data:
        client.expect(150, "STOR file")
        data.sendall(b"x" * 100)
        client.close()
        data.settimeout(DEADLINE)
        with contextlib.suppress(ConnectionResetError):
            assert data.recv(1) == b""
    wait_for(lambda: server.server.sessions == 0)
    assert visible(root) == []


def test_two_uploads_to_one_name_by_one_user_do_not_mix(server: Running, root: Path) -> None:
    with Dialogue(server.address) as first, Dialogue(server.address) as second:
        first.login()
        second.login()
        with first.data() as data:
            first.expect(150, "STOR file")
            second.passive()
            second.expect(450, "STOR file")
            data.sendall(b"first")
        assert first.read().code == 226
        assert second.put("STOR file", b"second").code == 226
    assert (root / "file").read_bytes() == b"second"


def test_resuming_never_mixes_an_old_broken_upload_into_a_file_that_is_there(client: Dialogue, root: Path) -> None:
    data = client.data()
    client.expect(150, "STOR file")
    data.sendall(b"from a broken upload")
    wait_for(lambda: any(entry.stat().st_size == 20 for entry in root.iterdir()))
    reset(data)
    assert client.read().code == 426
    (root / "file").write_bytes(b"0123456789")
    assert client.expect(213, "SIZE file") == "213 10"
    client.expect(350, "REST 10")
    assert client.put("STOR file", b"ABC").code == 226
    assert (root / "file").read_bytes() == b"0123456789ABC"
