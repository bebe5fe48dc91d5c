"""File IDs taken apart and made, beside base64 and struct."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from benchmarks.micro.alternatives import core
from fastxfer._pure import wire as twin

FILE_ID = "group1/M00/00/00/fwAAC2sEnrKAE9mjAAAADg4Qul0798.txt"
FIELDS = ("group1", "127.0.0.11", 1795464882, 14, 0x0E10BA5D, "txt")


def bare(file_id: str) -> tuple[bytes, int, int, int]:
    """Nothing but the fields: no checks, no kinds of file."""
    name = file_id.rpartition("/")[2]
    source, created, size, crc = struct.unpack(">4sIQI", base64.urlsafe_b64decode(name[:27] + "="))
    return source, created, size & 0xFFFFFFFF, crc


@pytest.mark.parametrize("way", ["fastxfer", "twin", "base64 and struct, unchecked"])
def test_decode(benchmark: Any, way: str) -> None:
    benchmark.group = "decode a file ID"
    if way.startswith("base64"):
        assert benchmark(bare, FILE_ID)[2] == 14
    else:
        module = core("wire") if way == "fastxfer" else twin
        assert benchmark(module.decode_file_id, FILE_ID).size == 14


@pytest.mark.parametrize("way", ["fastxfer", "twin"])
def test_encode(benchmark: Any, way: str) -> None:
    benchmark.group = "encode a file ID"
    module = core("wire") if way == "fastxfer" else twin
    assert module.decode_file_id(benchmark(module.encode_file_id, *FIELDS)).size == 14


@pytest.mark.parametrize("way", ["fastxfer", "twin"])
def test_split(benchmark: Any, way: str) -> None:
    benchmark.group = "split a file ID"
    module = core("wire") if way == "fastxfer" else twin
    assert benchmark(module.split_file_id, FILE_ID)[0] == "group1"
