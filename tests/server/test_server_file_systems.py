"""Other file systems below the root, and those that fill up."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import LocalFilesystem, Writer
from tests.server.dialogue import (
    DEADLINE,
    PASSWORD,
    USER,
    Dialogue,
)


def test_moving_to_another_filesystem_is_refused_and_loses_nothing(
    client: Dialogue, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "file").write_bytes(b"here")
    (root / "mounted").mkdir()
    (root / "mounted" / "old").write_bytes(b"there")

    def other_device(*arguments: object, **options: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "rename", other_device)
    for target in ("mounted/new", "mounted/old"):
        client.expect(350, "RNFR file")
        client.expect(550, f"RNTO {target}")
    monkeypatch.undo()
    assert (root / "file").read_bytes() == b"here"
    assert [path.read_bytes() for path in (root / "mounted").iterdir()] == [b"there"]
    client.expect(350, "RNFR file")
    client.expect(250, "RNTO mounted/new")


@contextlib.contextmanager
def mounted(tmp_path: Path, root: Path, options: str) -> Iterator[Dialogue]:
    """A session with a server that sees a file system of its own in memory at ``/mounted``."""
    pytest.importorskip("click", reason="needs the extra `cli`")
    (root / "mounted").mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try_out = f'mount -t tmpfs -o {options} none "$0"'
    if not shutil.which("unshare") or subprocess.run([*mount, try_out, root / "mounted"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    serve = f'mount -t tmpfs -o {options} none "$0"/mounted && exec "$@"'
    (tmp_path / "password").write_text(PASSWORD)
    command = [*mount, serve, str(root), sys.executable, "-m", "fastxfer", "serve", str(root), "--port", "0"]
    command += ["--user", USER, "--password-file", str(tmp_path / "password")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    try:
        assert process.stderr is not None
        port = int(process.stderr.readline().rstrip("/\n").rpartition(":")[2])
        with Dialogue(("127.0.0.1", port)) as client:
            client.login()
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


def test_a_mounted_filesystem_takes_uploads_and_no_moves(tmp_path: Path, root: Path) -> None:
    (root / "file").write_bytes(b"here")
    with mounted(tmp_path, root, "size=50%") as client:
        assert client.put("STOR mounted/new", b"there").code == 226
        client.expect(350, "RNFR file")
        client.expect(550, "RNTO mounted/file")
        client.expect(350, "RNFR mounted/new")
        client.expect(550, "RNTO file")
        assert client.fetch("RETR mounted/new") == b"there"
        assert client.fetch("RETR file") == b"here"
        assert client.fetch("NLST mounted").split() == [b"mounted/new"]
        client.expect(350, "RNFR mounted/new")
        client.expect(250, "RNTO mounted/newer")


def test_small_files_on_a_disk_that_fills_up_are_whole_or_not_there(tmp_path: Path, root: Path) -> None:
    content = os.urandom(30_000)
    with mounted(tmp_path, root, "size=128k") as client:
        client.expect(250, "CWD mounted")
        codes = [client.put(f"STOR file{number}", content).code for number in range(6)]
        assert codes[:3] == [226] * 3
        assert codes[-1] == 452
        stored = sorted(client.fetch("NLST").decode().split())
        assert stored == [f"file{number}" for number, code in enumerate(codes) if code == 226]
        assert all(client.fetch(f"RETR {name}") == content for name in stored)
        client.expect(250, "DELE file0")
        assert client.put("STOR file5", content).code == 226
        assert client.fetch("RETR file5") == content


def test_a_full_disk_is_452_and_leaves_nothing_half(
    client: Dialogue, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    opened: list[str] = []
    originals = LocalFilesystem.open_write, LocalFilesystem.open_upload

    def filled(writer: Writer | None, way: str) -> Writer:
        assert writer is not None
        device = os.open(full, os.O_WRONLY)
        os.dup2(device, writer.fileno())
        os.close(device)
        opened.append(way)
        return writer

    async def open_write(self: LocalFilesystem, *arguments: Any, **options: Any) -> Writer:
        return filled(await originals[0](self, *arguments, **options), "resumed")

    def open_upload(self: LocalFilesystem, *arguments: Any, **options: Any) -> Writer:
        return filled(originals[1](self, *arguments, **options), "whole")

    monkeypatch.setattr(LocalFilesystem, "open_write", open_write)
    monkeypatch.setattr(LocalFilesystem, "open_upload", open_upload)
    assert client.put("STOR file", b"x" * 100_000).code == 452
    assert not (root / "file").exists()
    client.expect(200, "NOOP")
    (root / "old").write_bytes(b"first")
    client.expect(350, "REST 5")
    assert client.put("STOR old", b"x" * 100_000).code == 452
    assert (root / "old").read_bytes() == b"first"
    assert opened == ["whole", "resumed"]
