"""Pools of aligned reusable buffers: see ``fastxfer/_ext/buffers.pyi``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastxfer.core._choose import select

__all__ = ["Buffer", "BufferPool", "PoolStats"]

if TYPE_CHECKING:
    from fastxfer._ext.buffers import Buffer, BufferPool, PoolStats
else:
    globals().update(select("buffers"))
