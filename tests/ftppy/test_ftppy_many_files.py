"""Many files by the FtpPy API: batches, mirrors, synchronizations, backups, and what is told of each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastxfer.ftppy import FtpClient
from tests.ftppy.conftest import PEER_WARNINGS, use, warned
from tests.support.ftp_servers import FTPPeer, give_away

pytestmark = PEER_WARNINGS


def test_a_local_file_that_is_missing_raises_but_not_in_a_batch(own: FTPPeer, local: Path) -> None:
    (local / "here").write_text("here")

    async def task(client: FtpClient) -> dict[str, bool]:
        with pytest.raises(FileNotFoundError, match="missing"):
            await client.upload("missing", "/a")
        return await client.batch([("missing", "/a"), ("here", "/b")])

    results, texts = warned(own, task)
    assert results == {"missing": False, "here": True}
    assert len(texts) == 1
    assert (own.root / "b").read_text() == "here"


def test_a_hundred_files_go_up_and_come_down_many_at_a_time(peer: FTPPeer, local: Path) -> None:
    for number in range(100):
        (local / f"{number}").write_text(str(number) * number)

    async def task(client: FtpClient) -> None:
        up = await client.batch([(f"{number}", f"/many/{number}") for number in range(100)], limit=5)
        assert up == {f"{number}": True for number in range(100)}
        down = await client.fetch([(f"/many/{number}", f"back/{number}") for number in range(100)], limit=3)
        assert down == {f"/many/{number}": True for number in range(100)}
        # The session is in step: each answer belongs to its question.
        assert await client.pwd() == "/"
        assert await client.size("/many/9") == 9
        assert (await client.stats())["active"] == 0
        assert 1 <= len(client.pool) <= 5

    use(peer, task)
    for number in range(100):
        assert (local / "back" / f"{number}").read_text() == str(number) * number


def test_a_batch_that_replaces_nothing_says_what_it_left(own: FTPPeer, local: Path) -> None:
    for name in ("a", "b"):
        (local / name).write_text("new")
    (own.root / "a").write_text("old")
    results, texts = warned(own, lambda client: client.batch([("a", "/a"), ("b", "/b")], replace=False))
    assert results == {"a": False, "b": True}
    assert len(texts) == 1
    assert (own.root / "a").read_text() == "old"


def test_a_mirror_removes_only_what_is_not_there_here(peer: FTPPeer, local: Path) -> None:
    (local / "site").mkdir()
    (local / "site" / "index.html").write_text("index")
    (local / "site" / "same.txt").write_text("same")

    async def task(client: FtpClient) -> None:
        both = {str(local / "site" / name): True for name in ("index.html", "same.txt")}
        assert await client.mirror(local / "site", "/site") == both
        assert await client.upload("site/index.html", "/site/old/deep/outdated.html")
        assert await client.mirror(local / "site", "/site") == both

    use(peer, task)
    assert sorted(item.name for item in (peer.root / "site").iterdir()) == ["index.html", "same.txt"]


def test_a_mirror_of_nothing_wipes_nothing(own: FTPPeer, local: Path) -> None:
    (own.root / "site").mkdir()
    (own.root / "site" / "precious").touch()
    result, texts = warned(own, lambda client: client.mirror(local / "missing", "/site"))
    assert not any(result.values())
    assert texts
    assert (own.root / "site" / "precious").exists()


def test_verification_tells_equal_from_different(peer: FTPPeer, local: Path) -> None:
    folder = local / "folder"
    folder.mkdir()
    for name in ("same", "shorter", "missing"):
        (folder / name).write_text(name)

    async def task(client: FtpClient) -> dict[str, bool]:
        await client.upload(folder / "same", "/folder/same")
        await client.upload(folder / "same", "/folder/shorter")
        await client.upload(folder / "same", "/folder/only-there")
        return await client.verify(folder, "/folder")

    assert use(peer, task) == {
        str(folder / "same"): True,
        str(folder / "shorter"): False,
        str(folder / "missing"): False,
    }


def test_a_backup_saves_what_is_there_and_tells_what_is_not(own: FTPPeer, local: Path) -> None:
    (local / "a").write_text("a")
    results, texts = warned(own, lambda client: client.backup(["missing", str(local / "a")], "/backups"))
    assert results == {"missing": False, str(local / "a"): True}
    assert len(texts) == 1
    (made,) = (own.root / "backups").iterdir()
    assert (made / "a").read_text() == "a"


def test_a_sync_has_three_directions(own: FTPPeer, local: Path) -> None:
    async def task(client: FtpClient) -> None:
        with pytest.raises(ValueError, match="direction"):
            await client.sync(local, "/", "sideways")

    use(own, task)


def test_a_sync_leaves_a_newer_file_alone(peer: FTPPeer, local: Path) -> None:
    folder = local / "folder"
    folder.mkdir()
    (peer.root / "folder").mkdir()
    for where, name, time in [
        (folder, "newer-there", 1_600_000_000),
        (peer.root / "folder", "newer-there", 1_700_000_000),
        (folder, "newer-here", 1_700_000_000),
        (peer.root / "folder", "newer-here", 1_600_000_000),
    ]:
        (where / name).write_text(f"of {time}")
        os.utime(where / name, (time, time))
    give_away(peer.root)

    assert set(use(peer, lambda client: client.sync(folder, "/folder", "up")).values()) == {True}
    assert (peer.root / "folder" / "newer-there").read_text() == "of 1700000000"
    assert (peer.root / "folder" / "newer-here").read_text() == "of 1700000000"
    assert (folder / "newer-there").read_text() == "of 1600000000"
    assert set(use(peer, lambda client: client.sync(folder, "/folder", "both")).values()) == {True}
    assert (folder / "newer-there").read_text() == "of 1700000000"


def test_a_sync_of_what_is_not_there_fails(own: FTPPeer, local: Path) -> None:
    result, texts = warned(own, lambda client: client.sync(local / "missing", "/a", "up"))
    assert not any(result.values())
    assert texts


def test_a_backup_of_one_path_is_not_one_of_its_letters(own: FTPPeer, local: Path) -> None:
    (local / "a").write_text("a")
    assert use(own, lambda client: client.backup(str(local / "a"), "/backups")) == {str(local / "a"): True}
    assert use(own, lambda client: client.backup(local / "a", "/backups")) == {str(local / "a"): True}


def test_what_goes_to_several_places_is_done_when_it_is_in_all_of_them(own: FTPPeer, local: Path) -> None:
    (own.root / "a").write_text("a")
    (local / "file").write_text("in the way")
    pairs = [("/a", "file/below"), ("/a", "good")]
    results, texts = warned(own, lambda client: client.fetch(pairs, limit=1))
    assert (results, len(texts)) == ({"/a": False}, 1)
    assert (local / "good").read_text() == "a"
