"""The program lftp: one script for all files; trees with mirror."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.macro.worker import missing, serve
from fastxfer.bench import (
    Meter,
    Work,
    received_folder,
    run_ftp_batch,
    source_folder,
    sources_folder,
    target_folder,
)


class Batch:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._tree = any(op.endswith("_tree") for op in work.ops)

    def upload_all(self, pairs: Sequence[tuple[str, str]], connections: int) -> None:
        if self._tree:
            folder = sources_folder(self._work, "upload_tree")
            self._call([f"mirror -R --no-perms -P {connections} {folder} {target_folder(self._work)}"])
        else:
            self._call(self._spread([f"put {local} -o {remote}" for local, remote in pairs], connections))

    def download_all(self, pairs: Sequence[tuple[str, str]], connections: int) -> None:
        if self._tree:
            folder = source_folder(self._work, "download_tree")
            self._call([f"mirror --no-perms -P {connections} {folder} {received_folder(self._work)}"])
        else:
            self._call(self._spread([f"get {remote} -o {local}" for remote, local in pairs], connections))

    def _spread(self, commands: list[str], connections: int) -> list[str]:
        if connections == 1:
            return commands
        return [f"queue {command}" for command in commands] + [
            f"set cmd:queue-parallel {connections}",
            "queue start",
            "wait",
        ]

    def _call(self, commands: Sequence[str]) -> None:
        server = self._work.server
        settings = ["set cmd:fail-exit yes", "set ftp:sync-mode off", "set xfer:log no", "set xfer:clobber yes"]
        settings += (
            [f"set ssl:ca-file {server['ca']}", "set ftp:ssl-force yes", "set ftp:ssl-protect-data yes"]
            if server["tls"]
            else []
        )
        script = Path(self._work.folder) / "lftp.script"
        open_line = f"open -u {server['user']},{server['password']} ftp://{server['host']}:{server['port']}"
        script.write_text("\n".join([*settings, open_line, *commands, "bye"]) + "\n")
        done = subprocess.run(["lftp", "--norc", "-f", str(script)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"lftp: {(done.stderr or done.stdout).strip()[-300:]}")


def run(work: Work, meter: Meter) -> None:
    run_ftp_batch(work, Batch(work), meter)


def version() -> str:
    if not shutil.which("lftp"):
        missing("lftp is not on PATH")
    done = subprocess.run(["lftp", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"Version (\S+)", done.stdout)
    return found[1] if found else "unknown"


if __name__ == "__main__":
    serve(version(), run)
