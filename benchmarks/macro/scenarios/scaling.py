"""Cost as work grows: one axis at a time."""

from __future__ import annotations

from benchmarks.macro.scenario import GIB, KIB, MIB, Load, Scenario
from benchmarks.macro.scenarios.ftp_client import SMALL_SERVERS

SIZES = (KIB, 16 * KIB, 256 * KIB, 4 * MIB, 64 * MIB, GIB)
CONCURRENCIES = (1, 10, 100, 1000, 5000)
ENTRIES = (10, 100, 1000, 10_000, 100_000)
IDLE = (10, 100, 500, 1000, 2000)
FDFS_PEERS = ("fastxfer", "fastxfer asyncio", "C library", "bare loop, no tracker")


def _moves(size: int) -> int:
    """How many files of *size*: about 2 GiB in all, at most 500."""
    return max(1, min(500, 2 * GIB // size))


SCALING = (
    Scenario(
        name="scale-fdfs-size",
        title="FastDFS: file size",
        family="fdfs",
        ops=("upload_file", "download_file"),
        peers=FDFS_PEERS,
        axis="size",
        metric="mb_per_s",
        full=tuple(Load(size, _moves(size)) for size in SIZES),
        short=tuple(Load(size, max(1, _moves(size) // 5)) for size in SIZES[:4]),
    ),
    Scenario(
        name="scale-fdfs-files",
        title="FastDFS: number of files",
        family="fdfs",
        ops=("upload", "download", "delete"),
        peers=FDFS_PEERS,
        axis="count",
        full=tuple(Load(KIB, count, 8) for count in (10, 100, 1000, 10_000, 100_000)),
        short=tuple(Load(KIB, count, 8) for count in (10, 100, 1000)),
        repetitions=2,
    ),
    Scenario(
        name="scale-fdfs-concurrency",
        title="FastDFS: downloads in flight",
        family="fdfs",
        ops=("download",),
        peers=FDFS_PEERS,
        axis="concurrency",
        full=tuple(Load(4 * KIB, 10_000, concurrency) for concurrency in CONCURRENCIES),
        short=tuple(Load(4 * KIB, 1000, concurrency) for concurrency in CONCURRENCIES[:4]),
        repetitions=2,
    ),
    Scenario(
        name="scale-ftp-size",
        title="FTP client: file size",
        family="ftp",
        ops=("download", "upload"),
        server=SMALL_SERVERS,
        peers=("fastxfer", "fastxfer asyncio", "lftp", "ftplib, 1 MiB blocks", "aioftp", "bare loop"),
        axis="size",
        metric="mb_per_s",
        full=tuple(Load(size, max(1, _moves(size) // 2)) for size in SIZES),
        short=tuple(Load(size, max(1, _moves(size) // 20)) for size in SIZES[:4]),
        repetitions=2,
    ),
    Scenario(
        name="scale-ftpd-sessions",
        title="FTP server: small downloads by number of sessions",
        family="ftpd",
        ops=("retr",),
        axis="concurrency",
        full=tuple(Load(4 * KIB, 2000, sessions) for sessions in (1, 10, 100, 500)),
        short=tuple(Load(4 * KIB, 500, sessions) for sessions in (1, 10, 50)),
        repetitions=2,
    ),
    Scenario(
        name="scale-ftpd-entries",
        title="FTP server: directory entries",
        family="ftpd",
        ops=("list", "mlsd"),
        axis="entries",
        full=tuple(Load(0, 1, entries=entries) for entries in ENTRIES),
        short=tuple(Load(0, 1, entries=entries) for entries in ENTRIES[:3]),
    ),
    Scenario(
        name="scale-ftpd-idle",
        title="FTP server: memory by number of idle sessions",
        family="ftpd",
        ops=("idle",),
        axis="concurrency",
        metric="server_memory_mib",
        full=tuple(Load(0, 1, sessions) for sessions in IDLE),
        short=tuple(Load(0, 1, sessions) for sessions in IDLE[:2]),
        repetitions=1,
    ),
)
