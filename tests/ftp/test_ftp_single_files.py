"""One file at a time, with real servers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastxfer.ftp import AsyncClient, FTPError, NotFoundError
from tests.ftp.conftest import run
from tests.support.ftp_servers import FTPPeer


@pytest.mark.parametrize("size", [0, 1, 4096, 300_001])
def test_a_file_comes_back_as_it_went(peer: FTPPeer, local: Path, size: int) -> None:
    content = os.urandom(size)
    (local / "source").write_bytes(content)

    async def body(client: AsyncClient) -> None:
        sent = await client.upload(local / "source", "file.bin")
        assert (sent.size, sent.attempts) == (size, 1)
        assert (peer.root / "file.bin").read_bytes() == content
        got = await client.download("file.bin", local / "target")
        assert got.size == size
        assert (local / "target").read_bytes() == content
        assert await client.read("file.bin") == content

    run(peer, body)
    assert sorted(path.name for path in peer.root.iterdir()) == ["file.bin"]
    assert sorted(path.name for path in local.iterdir()) == ["source", "target"]


def test_many_transfers_in_a_row_keep_the_replies_in_step(peer: FTPPeer, local: Path) -> None:
    async def body(client: AsyncClient) -> None:
        for number in range(12):
            await client.upload(b"%d" % number * 100, f"{number}.txt")
        for number in range(12):
            assert await client.read(f"{number}.txt") == b"%d" % number * 100
            with pytest.raises(FTPError):
                await client.read(f"missing {number}.txt")
        assert len(await client.list()) == 12
        assert client.stats()["connections"] == 1

    run(peer, body)


@pytest.mark.parametrize("name", ["grüße.txt", "日本語 ファイル.bin", "a b  c.txt", "-dash", "100%.txt", 'quo"ted'])
def test_names_survive_the_way_there_and_back(peer: FTPPeer, name: str) -> None:
    async def body(client: AsyncClient) -> None:
        await client.mkdir(f"dir {name}")
        await client.upload(b"x", f"dir {name}/{name}")
        assert [entry.name for entry in await client.list(f"dir {name}")] == [name]
        assert await client.read(f"dir {name}/{name}") == b"x"
        await client.chdir(f"dir {name}")
        assert await client.pwd() == f"/dir {name}"
        assert (await client.stat(name)).type == "file"
        await client.remove(name)

    run(peer, body)
    assert list((peer.root / f"dir {name}").iterdir()) == []


def test_what_is_not_there_is_said_to_be_missing_and_leaves_nothing_behind(peer: FTPPeer, local: Path) -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(NotFoundError):
            await client.stat("nowhere")
        with pytest.raises(FTPError) as caught:
            await client.download("nowhere", local / "target")
        assert caught.value.path == "nowhere"
        assert not await client.exists("nowhere")

    run(peer, body)
    assert list(local.iterdir()) == []
