"""Compiling the suite's own small C programs when they are needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


class CompileError(Exception):
    """There is no C compiler, or it refused the program."""


def compiled(source: str, *options: str) -> str:
    """Path of the program (or shared object) made from *source* in this directory; built once per content.

    Raises:
        CompileError: without a compiler, or when it fails.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise CompileError("no C compiler (cc, gcc or clang) on PATH")
    text = (HERE / source).read_bytes()
    key = hashlib.sha256(text + repr((compiler, options)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"fastxfer-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise CompileError(f"{folder} belongs to someone else")
    folder.chmod(0o755)
    target = folder / f"{Path(source).stem}-{key}"
    if not target.exists():
        draft = target.with_suffix(f".{os.getpid()}")
        command = [*compiler.split(), "-O2", "-Wall", "-o", str(draft), str(HERE / source), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CompileError(f"{source} does not compile: {done.stderr.strip()[-500:]}")
        draft.rename(target)
    return str(target)
