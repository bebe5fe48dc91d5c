"""What a TLS pump takes of the system's memory, counted in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

MIB = 32

PROGRAM = """
import os, resource, socket, ssl, sys, threading
from fastxfer.net.tls import TLSSettings
from fastxfer.net.tls_channel import TLSChannel
from fastxfer.net.tls_pump import ReceivePump, SendPump

authority, chain, source = sys.argv[1:]
server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server.load_cert_chain(chain)
client = TLSSettings(ca_file=authority).client_context()
near, far = socket.socketpair()
near.setblocking(False)
far.setblocking(False)
sink = os.open(os.devnull, os.O_WRONLY)
receiver = ReceivePump(far, TLSChannel(server, None, server_side=True), fd=sink)
thread = threading.Thread(target=receiver.run)
thread.start()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
sender = SendPump(near, TLSChannel(client, "localhost"), fd=os.open(source, os.O_RDONLY))
sender.run()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
near.close()
thread.join()
print(receiver.received, faults)
"""


@pytest.mark.allocator
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tells how glibc keeps memory")
def test_blocks_that_are_sent_take_no_new_memory_each(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "chain.pem"))
    (tmp_path / "source").write_bytes(bytes(MIB << 20))
    names = [str(tmp_path / name) for name in ("authority.pem", "chain.pem", "source")]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, timeout=120, check=True
    )
    received, faults = map(int, run.stdout.split())
    assert received == MIB << 20
    # Memory taken anew for each block would be 256 pages a MiB and more, as often as it passes through a block.
    assert faults < MIB * 64
