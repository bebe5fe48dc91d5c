"""The program curl: all files in one call, in parallel where more than one connection is asked for."""

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
        server = work.server
        self._work = work
        self._base = f"ftp://{server['host']}:{server['port']}/%2F"

    def upload_all(self, pairs: Sequence[tuple[str, str]], connections: int) -> None:
        lines = [f'upload-file = "{local}"\nurl = "{self._url(remote)}"' for local, remote in pairs]
        self._call(lines, connections)

    def download_all(self, pairs: Sequence[tuple[str, str]], connections: int) -> None:
        self._call([f'url = "{self._url(remote)}"\noutput = "{local}"' for remote, local in pairs], connections)

    def _url(self, remote: str) -> str:
        return self._base + remote.lstrip("/")

    def _call(self, lines: Sequence[str], connections: int) -> None:
        server = self._work.server
        conf = Path(self._work.folder) / "curl.conf"
        conf.write_text(f'user = "{server["user"]}:{server["password"]}"\n' + "\n".join(lines) + "\n")
        command = ["curl", "-sS", "--fail-early", "--ftp-method", "nocwd", "-K", str(conf)]
        if connections > 1:
            command += ["--parallel", "--parallel-max", str(connections)]
        if server["tls"]:
            command += ["--ssl-reqd", "--cacert", server["ca"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"curl: {done.stderr.strip()[-300:]}")


def run(work: Work, meter: Meter) -> None:
    run_ftp_batch(work, Batch(work), meter)


def version() -> str:
    if not shutil.which("curl"):
        missing("curl is not on PATH")
    done = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"curl (\S+)", done.stdout)
    return found[1] if found else "unknown"


if __name__ == "__main__":
    serve(version(), run)
