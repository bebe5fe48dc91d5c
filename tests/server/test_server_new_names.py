"""Names that must not be taken: uploads and renames of users who may not overwrite, on all kinds of file systems."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import LocalFilesystem, Permissions, UploadsConfig, User, newnames
from fastxfer.server.newnames import rename_new
from tests.server.dialogue import PASSWORD, USER, Dialogue, Running

WAYS = ["flag", "link", "placeholder"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system on which only this way, or those after it, are to be had."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if request.param == "flag" and newnames._renameat2 is None:
        pytest.skip("this system has no renameat2")
    for missing in WAYS[: WAYS.index(request.param)]:
        monkeypatch.setattr(newnames, f"_by_{missing}", refuse)
    if request.param == "placeholder":
        monkeypatch.setattr(os, "link", refuse)
    return str(request.param)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.usefixtures("way")
def test_a_free_name_is_taken(tmp_path: Path, directory: int) -> None:
    (tmp_path / "file").write_text("content")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "inside").touch()
    os.symlink("file", tmp_path / "link")
    for name in ("file", "dir", "link"):
        rename_new(name, f"new {name}", directory, directory)
    assert sorted(os.listdir(tmp_path)) == ["new dir", "new file", "new link"]
    assert (tmp_path / "new file").read_text() == "content"
    assert os.listdir(tmp_path / "new dir") == ["inside"]
    assert os.readlink(tmp_path / "new link") == "file"


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", ["file", "directory", "dangling link"])
def test_a_taken_name_is_refused(tmp_path: Path, directory: int, kind: str) -> None:
    (tmp_path / "source").write_text("mine")
    taken = tmp_path / "taken"
    if kind == "file":
        taken.write_text("theirs")
    elif kind == "directory":
        taken.mkdir()
    else:
        taken.symlink_to("nowhere")
    before = os.lstat(taken).st_ino
    with pytest.raises(FileExistsError):
        rename_new("source", "taken", directory, directory)
    assert os.lstat(taken).st_ino == before
    assert (tmp_path / "source").read_text() == "mine"


@pytest.mark.usefixtures("way")
def test_what_is_not_there_gets_no_name(tmp_path: Path, directory: int) -> None:
    with pytest.raises(FileNotFoundError):
        rename_new("source", "target", directory, directory)
    assert os.listdir(tmp_path) == []


def test_a_placeholder_goes_where_the_rename_fails(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "file").touch()
    (tmp_path / "dir").mkdir()
    monkeypatch.setattr(os, "rename", fail)
    for name in ("file", "dir"):
        with pytest.raises(OSError, match="Input/output"):
            newnames._by_placeholder(name, "target", directory, directory)
    assert sorted(os.listdir(tmp_path)) == ["dir", "file"]


@pytest.mark.usefixtures("way")
def test_of_many_only_one_gets_the_name(tmp_path: Path, directory: int) -> None:
    for number in range(8):
        (tmp_path / f"source{number}").write_text(str(number))
    won = []

    def take(number: int) -> None:
        try:
            rename_new(f"source{number}", "target", directory, directory)
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert (tmp_path / "target").read_text() == str(won[0])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("fsync", [False, True])
def test_who_may_not_overwrite_can_still_upload(serve: Callable[..., Running], root: Path, fsync: bool) -> None:
    user = User(name=USER, permissions=Permissions("list read write rename append"))
    with Dialogue(serve(users=[(user, PASSWORD)], uploads=UploadsConfig(fsync=fsync)).address) as client:
        client.login()
        assert client.put("STOR file", b"first").code == 226
        client.passive()
        client.expect(553, "STOR file")
        assert client.put("STOU", b"unique").code == 226
        assert client.put("STOR other", b"second").code == 226
        client.expect(350, "RNFR other")
        client.expect(550, "RNTO file")
        client.expect(350, "RNFR other")
        client.expect(250, "RNTO free")
        with client.data_after("STOR race") as data:
            data.sendall(b"mine")
            (root / "race").write_text("theirs")
        assert client.read().code == 550
    assert (root / "file").read_bytes() == b"first"
    assert (root / "free").read_bytes() == b"second"
    assert (root / "race").read_text() == "theirs"


def test_what_is_appended_to_nothing_replaces_nothing(client: Dialogue, root: Path) -> None:
    with client.data_after("APPE file") as data:
        data.sendall(b"mine")
        (root / "file").write_text("theirs")
    assert client.read().code == 550
    assert (root / "file").read_text() == "theirs"


@pytest.mark.parametrize("sync", [False, True])
def test_an_upload_that_cannot_have_its_name_is_kept_or_not_as_was_asked(
    root: Path, sync: bool, descriptors: Callable[[], int]
) -> None:
    async def go(keep: bool) -> None:
        filesystem = LocalFilesystem(root, keep_partial=keep)
        writer = await filesystem.open_write("/name", uploader="alice")
        await writer.write(b"content")
        (root / "name").mkdir(exist_ok=True)
        with pytest.raises(IsADirectoryError):
            await writer.commit(sync=sync)
        await writer.abort(keep=False)
        (root / "name").rmdir()
        assert await filesystem.unfinished_size("/name", "alice") == (7 if keep else -1)
        assert len(os.listdir(root)) == int(keep)
        await filesystem.close()

    asyncio.run(go(False))
    before = descriptors()
    asyncio.run(go(False))
    asyncio.run(go(True))
    assert descriptors() == before
