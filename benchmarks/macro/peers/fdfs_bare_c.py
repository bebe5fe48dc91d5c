"""The bare loop in C (``fdfsload.c``): what any client that sleeps for its replies could reach at best."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.macro.compile import CompileError, compiled
from benchmarks.macro.worker import missing, serve
from fastxfer.bench import Measurement, Meter, Work, source_file


def run(work: Work, meter: Meter, program: str, options: list[str]) -> None:
    host, _, port = work.server["tracker"].split(",")[0].rpartition(":")
    if {"upload_file", "download_file"} & set(work.ops):
        options = [*options, "-f", source_file(work)]
    command = [program, *options, host, port, ",".join(work.ops)]
    command += [str(work.count), str(work.size), str(work.concurrency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            meter.report(Measurement(size=work.size, concurrency=work.concurrency, **json.loads(line)))
    if process.returncode:
        raise RuntimeError(f"the program ended with code {process.returncode}")


if __name__ == "__main__":
    try:
        loop = compiled("fdfsload.c", "-pthread")
    except CompileError as error:
        missing(str(error))
    serve("of fdfsload.c", lambda work, meter: run(work, meter, loop, sys.argv[1:]), handshake=False)
