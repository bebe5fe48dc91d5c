"""Files on this side: those that cannot be read or written, and what they are by then."""

from __future__ import annotations

import builtins
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fastxfer.fdfs import (
    FileNotFoundError,
)
from fastxfer.fdfs.body import file_body
from fastxfer.fdfs.local_file import ArrivingFile
from fastxfer.fdfs.node import Node
from tests.fdfs.conftest import MakeClient


def test_local_files_that_cannot_be_read(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(["127.0.0.1:1"])
    missing = tmp_path / "missing.txt"
    for upload in (client.upload_file, client.upload_appender_file, client.upload_segmented):
        with pytest.raises(FileNotFoundError) as caught:
            upload(missing)
        assert caught.value.filename == str(missing)
        assert str(missing) in str(caught.value)
        with pytest.raises(builtins.FileNotFoundError):
            upload(missing)
        with pytest.raises(IsADirectoryError) as refused:
            upload(tmp_path)
        assert refused.value.filename == str(tmp_path)
    if os.geteuid() != 0:
        missing.write_bytes(b"secret")
        missing.chmod(0)
        with pytest.raises(PermissionError):
            client.upload_file(missing)


def test_local_files_that_cannot_be_written(shared_node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(shared_node.tracker_addrs)
    file_id = client.upload_buffer(bytes(300_000), "bin")
    with pytest.raises(IsADirectoryError):
        client.download_to_file(file_id, tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"Not a directory|File exists") as caught:
        client.download_to_file(file_id, tmp_path / "file" / "below")
    assert "file" in str(caught.value.filename)
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="No space left") as full:
            client.download_to_file(file_id, "/dev/full")
        assert full.value.errno == errno.ENOSPC
        assert full.value.filename == "/dev/full"
        assert all(stats.busy == 0 for stats in client.stats().connections.values())
    client.delete_file(file_id)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_file_that_is_replaced_does_not_pass_on_the_right_to_act_as_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o4751)
    with ArrivingFile(path) as arriving:
        os.write(arriving.fd, b"new")
        arriving.keep()
    assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (b"new", 0o751)


def test_a_file_that_has_become_shorter_is_not_taken_for_a_smaller_one(tmp_path: Path) -> None:
    """It is left to the transfer, which fails where the file ends."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with path.open("rb") as file:
        assert file_body(file.fileno(), 5).small is not None
        body = file_body(file.fileno(), 10)
    assert (body.size, body.small, body.data) == (10, None, None)


@pytest.mark.parametrize("name", ["missing/", ""])
def test_a_name_that_no_file_can_have_is_refused_before_anything_is_sent(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file_id = client.upload_buffer(b"x", "txt")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(IsADirectoryError if name else builtins.FileNotFoundError):
        client.download_to_file(file_id, name)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "here"]
    client.delete_file(file_id)
