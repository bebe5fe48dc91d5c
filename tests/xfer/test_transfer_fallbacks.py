"""The environment can forbid sendfile and splice; what is then done gives the same result."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("FASTXFER_")}

SCRIPT = """
import importlib, os, socket, sys, tempfile, threading
xfer = importlib.import_module(sys.argv[1])
content = os.urandom(3_000_000)
with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
    source.write(content)
    source.flush()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    ours.setblocking(False)
    peer.setblocking(False)
    sending = xfer.Transfer(ours.fileno(), send=b"head", send_fd=source.fileno(), timeout=60)
    receiving = xfer.Transfer(
        peer.fileno(),
        framing=xfer.FRAMING_RAW,
        recv_fd=target.fileno(),
        recv_offset=0,
        recv_count=3_000_004,
        timeout=60,
    )
    thread = threading.Thread(target=sending.run)
    thread.start()
    receiving.run()
    thread.join()
    assert (sending.error, receiving.error) == (0, 0)
    assert os.pread(target.fileno(), 4_000_000, 0) == b"head" + content
    ours.close()
    peer.close()
"""


def calls_of(module: str, trace: Path, **environment: str) -> str:
    """Run the script, and return the names of the system calls it made."""
    command = [sys.executable, "-c", SCRIPT, module]
    strace = shutil.which("strace")
    if strace:
        command = [strace, "-f", "-qq", "-e", "trace=sendfile,splice", "-o", str(trace), *command]
    done = subprocess.run(
        command, env={**PLAIN, **environment}, capture_output=True, text=True, timeout=100, check=False
    )
    if strace and "ptrace" in done.stderr:
        pytest.skip("strace is not allowed here")
    assert done.returncode == 0, done.stderr
    return trace.read_text() if strace else ""


@pytest.mark.parametrize("forbidden", [(), ("SENDFILE",), ("SPLICE",), ("SENDFILE", "SPLICE")])
def test_forbidden_calls_are_not_made(twin, tmp_path, forbidden):
    trace = calls_of(twin.Transfer.__module__, tmp_path / "trace", **{f"FASTXFER_NO_{name}": "1" for name in forbidden})
    if trace and twin.name == "c":
        assert ("sendfile(" in trace) == ("SENDFILE" not in forbidden)
        assert ("splice(" in trace) == ("SPLICE" not in forbidden)


LOOP_SCRIPT = """
import asyncio, os, socket, tempfile
from fastxfer.core import engine, xfer
from fastxfer.net.aio import TransferRunner

async def main():
    content = os.urandom(3_000_000)
    async with TransferRunner() as runner:
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
            source.write(content)
            source.flush()
            ours, peer = socket.socketpair()
            with ours, peer:
                head = len(content).to_bytes(8, "big") + b"d" + bytes(1)
                sending = xfer.Transfer(ours.fileno(), send=head, send_fd=source.fileno(), timeout=60)
                receiving = xfer.Transfer(
                    peer.fileno(), framing=xfer.FRAMING_FASTDFS, recv_fd=target.fileno(), recv_offset=0, timeout=60
                )
                await asyncio.gather(runner.run(receiving), runner.run(sending))
                assert (sending.error, receiving.error) == (0, 0)
                assert os.pread(target.fileno(), 4_000_000, 0) == content
                waiting = xfer.Transfer(ours.fileno(), framing=xfer.FRAMING_RAW)
                task = asyncio.ensure_future(runner.run(waiting))
                await asyncio.sleep(0.01)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() and waiting.done

asyncio.run(main())
print(xfer.Transfer.__module__, engine.Engine.__module__)
"""


@pytest.mark.parametrize(
    ("variable", "value", "pure"),
    [
        ("FASTXFER_PURE", "1", ("xfer", "engine")),
        ("FASTXFER_PURE", "xfer", ("xfer", "engine")),
        ("FASTXFER_PURE", "engine", ("engine",)),
        ("FASTXFER_NO_EPOLL", "1", ("engine",)),
        ("FASTXFER_NO_SPLICE", "1", ()),
    ],
)
def test_any_pairing_of_transfers_and_engine_works(variable, value, pure):
    pytest.importorskip("fastxfer._ext.engine")
    done = subprocess.run(
        [sys.executable, "-c", LOOP_SCRIPT],
        env={**PLAIN, variable: value},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = [f"fastxfer.{'_pure' if name in pure else '_ext'}.{name}" for name in ("xfer", "engine")]
    assert done.stdout.split() == expected
