"""The programs ncftpget and ncftpput: all files in one call, over one connection."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.macro.worker import missing, serve
from fastxfer.bench import Meter, Work, run_ftp_batch


class Batch:
    def __init__(self, work: Work) -> None:
        self._server = work.server

    def upload_all(self, pairs: Sequence[tuple[str, str]], connections: int) -> None:
        (folder,) = {str(Path(remote).parent) for _, remote in pairs}
        self._call("ncftpput", connections, folder, [local for local, _ in pairs])

    def download_all(self, pairs: Sequence[tuple[str, str]], connections: int) -> None:
        (folder,) = {str(Path(local).parent) for _, local in pairs}
        self._call("ncftpget", connections, folder, [remote for remote, _ in pairs])

    def _call(self, program: str, connections: int, folder: str, files: Sequence[str]) -> None:
        server = self._server
        if server["tls"]:
            raise RuntimeError("ncftp has no TLS")
        if connections > 1:
            raise RuntimeError("ncftp has one connection")
        # -Z: no resuming; without it each file that is there already would cost SIZE and MDTM.
        command = [program, "-V", "-Z", "-r", "1", "-u", server["user"], "-p", server["password"]]
        command += ["-P", str(server["port"]), server["host"], folder, *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{program}: {(done.stderr or done.stdout).strip()[-300:]}")


def run(work: Work, meter: Meter) -> None:
    run_ftp_batch(work, Batch(work), meter)


def version() -> str:
    if not shutil.which("ncftpget") or not shutil.which("ncftpput"):
        missing("ncftpget and ncftpput are not on PATH")
    done = subprocess.run(["ncftpget", "--help"], capture_output=True, text=True, check=False)
    found = re.search(r"NcFTPGet (\S+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"


if __name__ == "__main__":
    serve(version(), run)
