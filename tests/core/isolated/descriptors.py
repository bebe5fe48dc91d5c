"""Makes objects of every class of the native core with senseless arguments; fails where that closes descriptors.

Run in a process of its own, as it puts the descriptors at stake that zeros would be taken for.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import pkgutil
import sys

import fastxfer._ext

NONSENSE: tuple[tuple[tuple[object, ...], dict[str, object]], ...] = (
    ((), {}),
    (("x",), {}),
    ((1,), {"nonsense": 1}),
    ((1 << 70,) * 3, {}),
    ((None,) * 3, {}),
    (tuple(range(20)), {}),
)

failed = []
for found in pkgutil.iter_modules(fastxfer._ext.__path__, "fastxfer._ext."):
    module = importlib.import_module(found.name)
    for name, made in inspect.getmembers(module, inspect.isclass):
        if made.__module__ != module.__name__:
            continue
        for arguments, keywords in NONSENSE:
            with open(os.devnull) as null:
                os.dup2(null.fileno(), 0)
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                made(*arguments, **keywords)
            try:
                os.fstat(0)
            except OSError:
                failed.append(f"{found.name}.{name}{arguments}")
                os.open(os.devnull, os.O_RDONLY)
if failed:
    sys.exit("standard input was closed by " + ", ".join(failed))
