"""The C library, driven by a program of the user's that the environment names.

FASTXFER_BENCH_FDFS_C=PROGRAM. It is called as
``PROGRAM -c CONF -o OPS -n COUNT -s SIZE -t THREADS [-f FILE -O PREFIX]``.
OPS is a comma list of upload, download, info, delete (buffers of SIZE bytes) or upfile, downfile (FILE up, down to
PREFIX.*), done in order, COUNT times each from THREADS threads. CONF is a client.conf with the connection pool on.
After each operation it prints one JSON line: ``{"op", "ops", "failed", "seconds", "cpu_ms_per_op"}``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.macro.worker import missing, serve
from fastxfer.bench import Measurement, Meter, Work, moved, source_file

NAMES = {"upload_file": "upfile", "download_file": "downfile"}
VARIABLE = "FASTXFER_BENCH_FDFS_C"


def client_conf(work: Work) -> str:
    """A client.conf for the C library."""
    path = Path(work.folder) / "client.conf"
    trackers = "".join(f"tracker_server = {address.strip()}\n" for address in work.server["tracker"].split(","))
    path.write_text(
        f"connect_timeout = 5\nnetwork_timeout = 60\nbase_path = {work.folder}\n{trackers}log_level = error\n"
        "use_connection_pool = true\nconnection_pool_max_idle_time = 3600\n"
    )
    return str(path)


def run(work: Work, meter: Meter) -> None:
    ops = [NAMES.get(op, op) for op in work.ops]
    command = [os.environ[VARIABLE], "-c", client_conf(work), "-o", ",".join(ops)]
    command += ["-n", str(work.count), "-s", str(work.size), "-t", str(work.concurrency)]
    if "upfile" in ops or "downfile" in ops:
        command += ["-f", source_file(work), "-O", str(Path(work.folder) / "received-c")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for op, line in zip(work.ops, process.stdout, strict=False):
            document = json.loads(line)
            done = document["ops"] - document["failed"]
            meter.report(
                Measurement(
                    op=op,
                    size=work.size,
                    concurrency=work.concurrency,
                    operations=done,
                    seconds=document["seconds"],
                    failed=document["failed"],
                    bytes=done * moved(op, work),
                    cpu_seconds=document["cpu_ms_per_op"] * document["ops"] / 1e3,
                    peak_kib=_peak(process.pid),
                )
            )
    if process.returncode:
        raise RuntimeError(f"the program ended with code {process.returncode}")


def _peak(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


if __name__ == "__main__":
    program = os.environ.get(VARIABLE)
    if not program:
        missing(f"{VARIABLE} names no program built on the C library")
    if not shutil.which(program):
        missing(f"{VARIABLE}={program} is not a program")
    serve("as built by the user", run, handshake=False)
