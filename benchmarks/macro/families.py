"""Which peers and servers each family of scenarios has."""

from __future__ import annotations

from pathlib import Path

from benchmarks.macro.family import Field, client_field
from benchmarks.macro.ftp_server_family import server_field
from benchmarks.macro.scenario import Peer, Scenario
from benchmarks.macro.servers import fastdfs

PEERS = {
    "fdfs": (
        Peer("fastxfer", "fdfs_fastxfer_sync", ours=True, most=64),
        Peer("fastxfer asyncio", "fdfs_fastxfer_async", ours=True),
        Peer("C library", "fdfs_c_program", most=64),
        Peer("C library's tools", "fdfs_c_tools", share=0.02, most=64),
        Peer("fastdfs-client", "fdfs_fastdfs_client", share=0.25, most=64),
        Peer("py3Fdfs", "fdfs_py3fdfs", share=0.25, most=64),
        Peer("bare loop", "fdfs_bare", ("tracker",), limit=True, most=64),
        Peer("bare loop, no tracker", "fdfs_bare", ("direct",), limit=True, most=64),
    ),
    "ftpd": (
        Peer("fastxfer", "fastxfer", ours=True),
        Peer("vsftpd", "vsftpd"),
        Peer("proftpd", "proftpd"),
        Peer("pure-ftpd", "pure-ftpd"),
        Peer("pyftpdlib", "pyftpdlib"),
        Peer("aioftp", "aioftp"),
    ),
}


def field_of(scenario: Scenario, folder: Path) -> Field:
    """The parties of *scenario*, started."""
    peers = [peer for peer in PEERS[scenario.family] if not scenario.peers or peer.name in scenario.peers]
    if scenario.family == "ftpd":
        return server_field(scenario, peers, folder)
    return client_field(scenario, peers, fastdfs.start, folder)
