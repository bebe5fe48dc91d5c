"""The libraries measured beside ours, as they are installed; one that is missing is named as skipped."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest


def alternative(module: str, attribute: str) -> Callable[..., Any]:
    """The function *attribute* of *module*, dots allowed; the benchmark is skipped where it is not installed."""
    found = pytest.importorskip(module, reason=f"{module} is not installed", exc_type=ImportError)
    for part in attribute.split("."):
        found = getattr(found, part)
    assert callable(found)
    return found


def core(name: str) -> Any:
    """Our compiled module; the benchmark is skipped where it is not built."""
    try:
        return importlib.import_module(f"fastxfer._ext.{name}")
    except ImportError as error:
        pytest.skip(f"the compiled module is not there: {error}")
