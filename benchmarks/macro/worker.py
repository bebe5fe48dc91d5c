"""The worker's side of the protocol: a peer runs in a process of its own, so that all are measured alike.

One JSON document a line. The worker says ``{"ready": {"version": ...}}`` or ``{"missing": "why"}``. For each
``{"run": work}`` it answers, per operation, ``{"begin": op}`` (and waits for any line: the driver samples the servers),
then ``{"result": measurement}``; at the end ``{"done": true}`` or ``{"failed": "why"}``. End of input ends it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import metadata
from typing import Any, NoReturn

from fastxfer.bench import Meter, Work

Run = Callable[[Work, Meter], None]


class _Channel:
    """The driver's end; whatever the peer's library prints goes to standard error instead."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def send(self, document: dict[str, Any]) -> None:
        self._out.write(json.dumps(document) + "\n")
        self._out.flush()


def missing(reason: str) -> NoReturn:
    """Tell the driver that this peer cannot run here, and leave."""
    _Channel().send({"missing": reason})
    raise SystemExit(0)


def version_of(package: str) -> str:
    """Version of an installed package; tells the driver that the peer is missing when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        missing(f"the package {package} is not installed")


def serve(version: str, run: Run, *, handshake: bool = True) -> None:
    """Answer the driver until it hangs up.

    Args:
        version: of the peer.
        run: does the work and measures it with the given meter.
        handshake: whether to wait for the driver before each operation.
    """
    channel = _Channel()
    channel.send({"ready": {"version": version}})

    def begin(op: str) -> None:
        if handshake:
            channel.send({"begin": op})
            sys.stdin.readline()

    meter = Meter(lambda measurement: channel.send({"result": measurement.to_json()}), begin)
    for line in iter(sys.stdin.readline, ""):
        try:
            run(Work.from_json(json.loads(line)["run"]), meter)
        except Exception as error:
            traceback.print_exc()
            channel.send({"failed": f"{type(error).__name__}: {error}"})
        else:
            channel.send({"done": True})
