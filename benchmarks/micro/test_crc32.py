"""CRC-32 of buffers of every size, beside every library on PyPI that computes it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.micro.alternatives import alternative, core

SIZES = [16, 64, 256, 1024, 4096, 65536, 1 << 20, 64 << 20]
COPY_SIZES = [4096, 65536, 1 << 20]
PARTS = 32 << 20

LIBRARIES: dict[str, tuple[str, str]] = {
    "zlib": ("zlib", "crc32"),
    "isal": ("isal.isal_zlib", "crc32"),
    "zlib-ng": ("zlib_ng.zlib_ng", "crc32"),
    "deflate": ("deflate", "crc32"),
    "fastcrc": ("fastcrc", "crc32.iso_hdlc"),
}


def touched(size: int) -> bytes:
    return bytes(bytearray(range(256)) * (size // 256 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("library", ["fastxfer", *LIBRARIES])
def test_crc32(benchmark: Any, library: str, size: int) -> None:
    benchmark.group = f"crc32 of {size} bytes"
    data = touched(size)
    function = core("crc32").crc32 if library == "fastxfer" else alternative(*LIBRARIES[library])
    assert benchmark(function, data) == zlib.crc32(data)


@pytest.mark.parametrize("size", COPY_SIZES)
@pytest.mark.parametrize("way", ["fastxfer fused", "copy, then fastxfer", "copy, then zlib"])
def test_copy_and_crc32(benchmark: Any, way: str, size: int) -> None:
    benchmark.group = f"copy and crc32 of {size} bytes"
    module = core("crc32")
    source, target = touched(size), bytearray(size)

    def apart(crc: Callable[[bytes], int]) -> Callable[[], int]:
        def run() -> int:
            target[:] = source
            return crc(source)

        return run

    ways: dict[str, Callable[[], int]] = {
        "fastxfer fused": lambda: module.copy_crc32(target, source),
        "copy, then fastxfer": apart(module.crc32),
        "copy, then zlib": apart(zlib.crc32),
    }
    assert benchmark(ways[way]) == zlib.crc32(source)


COMBINERS = {"isal": ("isal.isal_zlib", "crc32_combine"), "zlib-ng": ("zlib_ng.zlib_ng", "crc32_combine")}


@pytest.mark.parametrize("way", ["fastxfer", "twin", *COMBINERS])
def test_combine(benchmark: Any, way: str) -> None:
    benchmark.group = f"combine two parts of {PARTS} bytes"
    from fastxfer._pure.crc32 import crc32_combine as twin

    function = twin if way == "twin" else alternative(*COMBINERS.get(way, ("fastxfer._ext.crc32", "crc32_combine")))
    assert benchmark(function, 0x12345678, 0x9ABCDEF0, PARTS) == twin(0x12345678, 0x9ABCDEF0, PARTS)
