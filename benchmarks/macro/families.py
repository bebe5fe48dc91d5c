"""Which peers and servers each family of scenarios has."""

from __future__ import annotations

from pathlib import Path

from benchmarks.macro.family import Field, client_field
from benchmarks.macro.ftp_server_family import server_field
from benchmarks.macro.http_family import http_field
from benchmarks.macro.remote_files import RemoteFiles
from benchmarks.macro.scenario import Peer, Scenario
from benchmarks.macro.servers import fastdfs
from benchmarks.macro.servers.ftp import first_available
from benchmarks.macro.servers.ftp_setup import make_certificate

PEERS = {
    "fdfs": (
        Peer("fastxfer", "fdfs_fastxfer_sync", ours=True, most=64),
        Peer("fastxfer asyncio", "fdfs_fastxfer_async", ours=True),
        Peer("C library", "fdfs_c_program", most=64, threads=8),
        Peer("C library's tools", "fdfs_c_tools", share=0.02, most=64),
        Peer("fastdfs-client", "fdfs_fastdfs_client", share=0.25, most=64),
        Peer("py3Fdfs", "fdfs_py3fdfs", share=0.25, most=64),
        Peer("bare loop", "fdfs_bare", ("tracker",), limit=True, most=64),
        Peer("bare loop, no tracker", "fdfs_bare", ("direct",), limit=True, most=64),
        Peer("bare loop in C", "fdfs_bare_c", limit=True, most=64, threads=8),
    ),
    "ftp": (
        Peer("fastxfer", "ftp_fastxfer_sync", ours=True, most=64),
        Peer("fastxfer asyncio", "ftp_fastxfer_async", ours=True),
        Peer("curl", "ftp_curl", serial_share=0.05, most=300),
        Peer("lftp", "ftp_lftp", most=64),
        Peer("ncftp", "ftp_ncftp", most=1),
        Peer("pycurl", "ftp_pycurl", most=64),
        Peer("ftplib, 8 KiB blocks", "ftp_ftplib", ("8192",), most=64),
        Peer("ftplib, 1 MiB blocks", "ftp_ftplib", ("1048576",), most=64),
        Peer("aioftp", "ftp_aioftp"),
        Peer("bare loop", "ftp_bare", limit=True, most=64),
    ),
    "ftpd": (
        Peer("fastxfer", "fastxfer", ours=True),
        Peer("fastxfer, 2 workers", "fastxfer-workers", ours=True),
        Peer("vsftpd", "vsftpd"),
        Peer("proftpd", "proftpd"),
        Peer("pure-ftpd", "pure-ftpd"),
        Peer("pyftpdlib", "pyftpdlib"),
        Peer("aioftp", "aioftp"),
    ),
    "http": (
        Peer("fastxfer", "fastxfer", ours=True),
        Peer("nginx", "nginx"),
        Peer("aiohttp", "aiohttp"),
    ),
}


def field_of(scenario: Scenario, folder: Path) -> Field:
    """The parties of *scenario*, started."""
    peers = [peer for peer in PEERS[scenario.family] if not scenario.peers or peer.name in scenario.peers]
    if scenario.family == "ftpd":
        return server_field(scenario, peers, folder)
    if scenario.family == "http":
        return http_field(peers, folder)
    if scenario.family == "ftp":
        certificate = make_certificate(folder) if scenario.tls else None
        daemon = first_available(scenario.server, folder, certificate)
        return client_field(peers, daemon, folder, RemoteFiles(daemon.root))
    return client_field(peers, fastdfs.start(folder), folder)
