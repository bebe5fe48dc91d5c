"""CRC-32 (IEEE 802.3, zlib's): see ``fastxfer/_ext/crc32.pyi``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastxfer.core._choose import select

__all__ = ["copy_crc32", "crc32", "crc32_combine", "implementation"]

if TYPE_CHECKING:
    from fastxfer._ext.crc32 import copy_crc32, crc32, crc32_combine, implementation
else:
    globals().update(select("crc32"))
