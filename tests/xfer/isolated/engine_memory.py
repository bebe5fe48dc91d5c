"""Makes engines with ever more memory left to make them in: each that comes into being must be able to work."""

import resource
import select
import socket
import sys
from pathlib import Path

from fastxfer._ext.engine import Engine
from fastxfer._ext.xfer import FRAMING_RAW, Transfer

PAGE = resource.getpagesize()
STEP = 256 * 1024
STEPS = 100

refused = made = 0
for step in range(STEPS):
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.close()
    transfer = Transfer(ours.fileno(), framing=FRAMING_RAW)
    poll = select.poll()
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
    resource.setrlimit(resource.RLIMIT_AS, (taken + step * STEP, resource.RLIM_INFINITY))
    engine = None
    try:
        engine = Engine(2)
        engine.submit(transfer)
        poll.register(engine, select.POLLIN)
        if not poll.poll(10_000):
            sys.exit(f"an engine made with {step * STEP} bytes left does nothing")
    except (OSError, MemoryError):
        refused += 1
    else:
        made += 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if engine is not None:
            engine.close()
        ours.close()
if not refused or not made:
    sys.exit(f"{refused} refused, {made} made: nothing was tried")
