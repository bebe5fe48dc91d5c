"""FastDFS headers, request heads and replies, beside struct and the usual concatenation."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from benchmarks.micro.alternatives import core

FILE_ID = "group1/M00/00/00/fwAAC2sEnrKAE9mjAAAADg4Qul0798.txt"
SIZE = 4096
TARGET = b"group1".ljust(16, b"\0") + b"127.0.0.21".ljust(15, b"\0") + struct.pack(">qB", 23000, 1)

HEADER = struct.Struct(">qBB")
UPLOAD = struct.Struct(">qBBBq6s")
STORE_TARGET = struct.Struct(">16s15sqB")


def naive_upload(command: int, index: int, size: int, extension: str) -> bytes:
    body = bytes([index]) + struct.pack(">q", size) + extension.encode().ljust(6, b"\0")
    return struct.pack(">q", len(body) + size) + bytes([command, 0]) + body


def naive_file_request(command: int, file_id: str) -> bytes:
    group, _, name = file_id.partition("/")
    body = group.encode().ljust(16, b"\0") + name.encode()
    return HEADER.pack(len(body), command, 0) + body


def naive_target(body: bytes) -> tuple[str, str, int, int]:
    group, address, port, index = STORE_TARGET.unpack(body)
    return group.rstrip(b"\0").decode(), address.rstrip(b"\0").decode(), port, index


@pytest.mark.parametrize("way", ["fastxfer", "struct"])
def test_header(benchmark: Any, way: str) -> None:
    benchmark.group = "pack a header"
    assert benchmark(core("wire").pack_header if way == "fastxfer" else HEADER.pack, 4111, 11, 0) == HEADER.pack(
        4111, 11, 0
    )


@pytest.mark.parametrize("way", ["fastxfer", "struct"])
def test_parse_header(benchmark: Any, way: str) -> None:
    benchmark.group = "unpack a header"
    function = core("wire").unpack_header if way == "fastxfer" else HEADER.unpack
    assert benchmark(function, HEADER.pack(40, 100, 0)) == (40, 100, 0)


@pytest.mark.parametrize("way", ["fastxfer", "fastxfer, reused buffer", "struct", "concatenation"])
def test_upload_head(benchmark: Any, way: str) -> None:
    benchmark.group = "pack an upload's head"
    wire = core("wire")
    expected = naive_upload(11, 0, SIZE, "txt")
    if way == "struct":
        assert benchmark(UPLOAD.pack, 15 + SIZE, 11, 0, 0, SIZE, b"txt") == expected
    elif way == "fastxfer, reused buffer":
        buffer = wire.RequestBuffer()
        assert benchmark(buffer.upload_request, 11, 0, SIZE, "txt") == len(expected)
        assert bytes(buffer) == expected
    else:
        assert benchmark(wire.upload_request if way == "fastxfer" else naive_upload, 11, 0, SIZE, "txt") == expected


@pytest.mark.parametrize("way", ["fastxfer", "fastxfer, reused buffer", "concatenation"])
def test_file_request(benchmark: Any, way: str) -> None:
    benchmark.group = "pack a request for a file"
    wire = core("wire")
    expected = naive_file_request(22, FILE_ID)
    if way == "fastxfer, reused buffer":
        buffer = wire.RequestBuffer()
        assert benchmark(buffer.file_request, 22, FILE_ID) == len(expected)
    else:
        assert benchmark(wire.file_request if way == "fastxfer" else naive_file_request, 22, FILE_ID) == expected


HEADS: dict[str, tuple[Any, ...]] = {
    "group_request": (103, "group1"),
    "file_request": (22, FILE_ID),
    "upload_request": (11, 0, SIZE, "txt"),
    "upload_slave_request": (FILE_ID, SIZE, "_small", "jpg"),
    "append_request": (FILE_ID, SIZE),
    "modify_request": (FILE_ID, 10, SIZE),
    "truncate_request": (FILE_ID, 10),
    "regenerate_request": (FILE_ID,),
    "download_request": (FILE_ID, 0, 0),
    "set_metadata_request": (FILE_ID, "O", b"width\x021920"),
}


@pytest.mark.parametrize("head", HEADS)
def test_head(benchmark: Any, head: str) -> None:
    """Each whole request head, of which none may take 60 ns."""
    benchmark.group = "pack each head"
    assert len(benchmark(getattr(core("wire"), head), *HEADS[head])) > 10


@pytest.mark.parametrize("way", ["fastxfer", "struct"])
def test_store_target(benchmark: Any, way: str) -> None:
    benchmark.group = "unpack a store target"
    function = core("wire").unpack_store_target if way == "fastxfer" else naive_target
    assert benchmark(function, TARGET) == ("group1", "127.0.0.21", 23000, 1)
