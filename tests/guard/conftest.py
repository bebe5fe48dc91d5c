"""The guard counts the native core as it is built by default."""

from __future__ import annotations

import importlib.util
import os

import pytest

FALLBACKS = ("FASTXFER_PURE", "FASTXFER_NO_SENDFILE", "FASTXFER_NO_SPLICE", "FASTXFER_NO_EPOLL", "FASTXFER_CRC32")


@pytest.fixture(autouse=True)
def native_core() -> None:
    """Skip where a fallback is forced, the core is not compiled, or a sanitizer is preloaded."""
    forced = [name for name in FALLBACKS if os.environ.get(name)]
    if forced:
        pytest.skip(f"{forced[0]} is set")
    if importlib.util.find_spec("fastxfer._ext.xfer") is None:
        pytest.skip("the native core is not compiled")
    if os.environ.get("LD_PRELOAD"):
        pytest.skip("a library is preloaded")
