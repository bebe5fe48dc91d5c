"""The C library's own tools, a process for each operation: what a shell script gets."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.macro.peers.fdfs_c_program import client_conf
from benchmarks.macro.worker import missing, serve
from fastxfer.bench import Meter, Work, run_sync

TOOLS = ("fdfs_upload_file", "fdfs_download_file", "fdfs_file_info", "fdfs_delete_file", "fdfs_monitor")


class Store:
    def __init__(self, work: Work) -> None:
        self._conf = client_conf(work)
        self._folder = Path(work.folder)
        self._small = self._folder / "tool-source"

    def _tool(self, name: str, *arguments: str) -> str:
        done = subprocess.run([name, self._conf, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(done.returncode, f"{name}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def upload(self, data: bytes) -> str:
        if not self._small.exists() or self._small.stat().st_size != len(data):
            self._small.write_bytes(data)
        return self._tool(TOOLS[0], str(self._small))

    def download(self, file_id: str) -> bytes:
        target = self._folder / file_id.rpartition("/")[2]
        self._tool(TOOLS[1], file_id, str(target))
        data = target.read_bytes()
        target.unlink()
        return data

    def info(self, file_id: str) -> object:
        return self._tool(TOOLS[2], file_id)

    def delete(self, file_id: str) -> object:
        return self._tool(TOOLS[3], file_id)

    def upload_file(self, path: str) -> str:
        return self._tool(TOOLS[0], path)

    def download_file(self, file_id: str, path: str) -> object:
        return self._tool(TOOLS[1], file_id, path)


def run(work: Work, meter: Meter) -> None:
    run_sync(work, Store(work), meter)


def version() -> str:
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        missing(f"not on PATH: {', '.join(absent)}")
    done = subprocess.run([TOOLS[4]], capture_output=True, text=True, check=False)
    found = re.search(r"[vV](\d+\.\d+(?:\.\d+)?)", done.stdout + done.stderr)
    return found[1] if found else "unknown"


if __name__ == "__main__":
    serve(version(), run)
