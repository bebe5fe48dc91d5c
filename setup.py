"""Builds the native core; every module of it has a pure-Python twin, so a failed build only costs speed.

Environment:
    FASTXFER_NO_NATIVE=1        build no extension at all
    FASTXFER_REQUIRE_NATIVE=1   a failing extension fails the build
    FASTXFER_SANITIZE=1         AddressSanitizer and UBSan; "thread": ThreadSanitizer
    FASTXFER_COVERAGE=1         line tracing for coverage of the .pyx files
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

LINUX = sys.platform == "linux"
POSIX = os.name == "posix"
PLATFORMS = {"xfer": POSIX, "fdfscall": POSIX, "engine": LINUX, "ftpexchange": LINUX, "ftpserve": LINUX}
TRANSFER = [
    "transfer.c",
    "transfer_send.c",
    "transfer_recv.c",
    "transfer_relay.c",
    "transfer_piece.c",
    "ratelimit.c",
    "worker.c",
    "crc32.c",
]
SOURCES = {
    "crc32": ["crc32.c"],
    "wire": [],
    "buffers": [],
    "places": ["spin.c"],
    "fdfscall": ["crc32.c"],
    "ftpwire": ["listing.c", "directory.c"],
    "ftpexchange": ["ftpexchange.c"],
    "ftpserve": ["claims.c"],
    "xfer": [*TRANSFER, "transfer_run.c"],
    "engine": [*TRANSFER, "engine.c", "engine_thread.c", "engine_carry.c", "timers.c"],
}
DIRECTIVES = {"language_level": 3, "freethreading_compatible": True}


def switch(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def extensions() -> list[Extension]:
    if switch("FASTXFER_NO_NATIVE"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if switch("FASTXFER_REQUIRE_NATIVE"):
            raise
        print("warning: Cython is missing; fastxfer is installed without its native core", file=sys.stderr)
        return []
    compile_args = (
        [] if os.name == "nt" else ["-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]
    )
    link_args: list[str] = []
    macros: list[tuple[str, str | None]] = []
    directives = dict(DIRECTIVES)
    if switch("FASTXFER_SANITIZE"):
        kind = "thread" if os.environ["FASTXFER_SANITIZE"] == "thread" else "address,undefined"
        sanitize = [f"-fsanitize={kind}", "-fno-sanitize-recover=undefined"]
        compile_args = ["-O1", "-g", "-fno-omit-frame-pointer", *sanitize]
        link_args = sanitize
    if switch("FASTXFER_COVERAGE"):
        directives["linetrace"] = True
        macros = [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
    modules = [
        Extension(
            f"fastxfer._ext.{name}",
            [f"_ext/{name}.pyx", *(f"_ext/src/{source}" for source in sources)],
            include_dirs=["_ext/src"],
            depends=[str(header) for header in Path("_ext/src").glob("*.h")],
            define_macros=macros,
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
        for name, sources in SOURCES.items()
        if PLATFORMS.get(name, True) and Path(f"_ext/{name}.pyx").exists()
    ]
    modules = cythonize(modules, compiler_directives=directives, include_path=["."])
    for module in modules:
        # Said only now because cythonize makes extensions of its own, without it.
        module.optional = not switch("FASTXFER_REQUIRE_NATIVE")
    return modules


setup(ext_modules=extensions())
