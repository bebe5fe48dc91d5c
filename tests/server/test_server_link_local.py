"""Link-local IPv6 addresses (RFC 4007), which mean something on one interface only; and IPv4 on dual-stack sockets."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastxfer.server.networks import plain_address

NETWORK = "ip link set lo up && ip -6 addr add fe80::1/64 dev lo scope link nodad && exec "
SESSION = """
import asyncio, sys

from fastxfer.ftp import Client
from fastxfer.server import FtpServer, PassiveConfig, User

def client(port):
    for passive in (True, False):
        with Client(f"ftp://alice@[fe80::1%25lo]:{port}", password="secret", passive=passive) as ftp:
            ftp.upload(b"content" * 10_000, "/file")
            assert ftp.read("/file") == b"content" * 10_000
            assert [entry.name for entry in ftp.list("/")] == ["file"]

async def main():
    passive = PassiveConfig(min_active_port=1024)
    users = [(User(name="alice"), "secret")]
    async with FtpServer(sys.argv[1], host="fe80::1%lo", port=0, users=users, passive=passive) as server:
        await asyncio.to_thread(client, server.port)

if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_link_local_clients_transfer_both_ways(tmp_path: Path, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not here")
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("a network of our own takes unshare and ip")
    shell = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"]
    if subprocess.run([*shell, f"{NETWORK}true"], capture_output=True, check=False).returncode:
        pytest.skip("this system gives no network with an address of link-local scope")
    command = f'{NETWORK}"$@"'
    done = subprocess.run(
        [*shell, command, "sh", sys.executable, "-c", SESSION, str(tmp_path), loop],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_bytes() == b"content" * 10_000


@pytest.mark.parametrize(
    ("told", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_an_address_has_one_form_everywhere(told: str, plain: str) -> None:
    assert plain_address(told) == plain
