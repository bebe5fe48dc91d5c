"""Twin of ``fastxfer._ext.crc32``, on zlib."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

POLYNOMIAL = 0xEDB88320


def crc32(data: Buffer, value: int = 0, /) -> int:
    return zlib.crc32(data, value & 0xFFFFFFFF)


def copy_crc32(target: Buffer, source: Buffer, value: int = 0, /) -> int:
    with memoryview(target) as into, memoryview(source) as out:
        if into.readonly:
            raise BufferError("target is read-only")
        if into.nbytes < out.nbytes:
            raise ValueError(f"target of {into.nbytes} bytes is smaller than source of {out.nbytes}")
        # Before the copy: the two may overlap.
        crc = crc32(out, value)
        if out.nbytes:
            into.cast("B")[: out.nbytes] = out.cast("B")
        return crc


def crc32_combine(first: int, second: int, second_length: int, /) -> int:
    if second_length < 0:
        raise ValueError(f"negative length: {second_length}")
    crc = first & 0xFFFFFFFF
    power = 0x00800000
    while second_length:
        if second_length & 1:
            crc = _multiply(crc, power)
        power = _multiply(power, power)
        second_length >>= 1
    return crc ^ (second & 0xFFFFFFFF)


def implementation() -> str:
    return "zlib"


def _multiply(a: int, b: int) -> int:
    """The product of two bit-reversed polynomials modulo the CRC's."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (POLYNOMIAL if b & 1 else 0)
    return product
