"""What uses descriptors in a thread is waited for, and nobody sees a file that he may not see."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import LocalFilesystem, localfiles, localfs
from fastxfer.server.outlast import outlast
from tests.server.dialogue import Dialogue


def test_however_often_it_is_cancelled_it_ends_after_its_thread() -> None:
    async def go() -> None:
        release = threading.Event()
        told: list[str] = []
        ended: list[str] = []

        def work() -> None:
            release.wait(20)
            ended.append("thread")

        future = asyncio.get_running_loop().run_in_executor(None, work)
        task = asyncio.ensure_future(outlast(future, lambda: told.append("cancelled")))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        assert told == ["cancelled"]
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == ["thread"]

    asyncio.run(go())


def test_results_and_errors_come_through() -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        assert await outlast(loop.run_in_executor(None, lambda: 7)) == 7
        with pytest.raises(FileNotFoundError):
            await outlast(loop.run_in_executor(None, os.stat, "/nonexistent/x"))
        cancelled = loop.create_future()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outlast(cancelled)

    asyncio.run(go())


def test_a_copy_that_is_cancelled_ends_soon_and_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[int] = []
    begun = threading.Event()
    proceed = threading.Event()
    original = os.pread

    def slow_pread(fd: int, size: int, offset: int) -> bytes:
        chunks.append(offset)
        begun.set()
        proceed.wait(20)
        return original(fd, size, offset)

    monkeypatch.delattr(os, "copy_file_range", raising=False)
    monkeypatch.setattr(os, "pread", slow_pread)
    with (root / "big").open("wb") as file:
        file.truncate(100 << 20)

    async def go() -> None:
        filesystem = LocalFilesystem(root)
        task = asyncio.ensure_future(filesystem.copy("/big", "/copy"))
        await asyncio.get_running_loop().run_in_executor(None, begun.wait, 20)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        proceed.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await filesystem.close()

    asyncio.run(go())
    assert len(chunks) == 1
    assert os.listdir(root) == ["big"]


def test_what_is_copied_has_its_mode_before_its_bytes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []

    def watched(copy: Callable[..., object]) -> Callable[..., object]:
        def copying(source: int, target: int, size: int) -> object:
            modes.append(stat.S_IMODE(os.fstat(target).st_mode))
            return copy(source, target, size)

        return copying

    for module in (localfiles, localfs):
        monkeypatch.setattr(module, "copy_where_quick", watched(module.copy_where_quick))
    (root / "secret").write_text("secret")
    (root / "secret").chmod(0o600)

    async def go() -> None:
        filesystem = LocalFilesystem(root)
        await filesystem.copy("/secret", "/copy")
        writer = await filesystem.open_write("/secret", offset=3)
        await writer.commit()
        await filesystem.close()

    asyncio.run(go())
    assert modes == [0o600, 0o600]
    assert (root / "secret").read_text() == "sec"


def test_a_directory_with_files_that_only_look_unfinished_is_not_removed(client: Dialogue, root: Path) -> None:
    (root / "dir").mkdir()
    (root / "dir" / ".name.0123456789abcdef.fxpart").touch()
    (root / "dir" / "notes.fxpart").write_text("somebody's")
    client.expect(550, "RMD dir")
    assert len(os.listdir(root / "dir")) == 2
    (root / "dir" / "notes.fxpart").unlink()
    client.expect(250, "RMD dir")
