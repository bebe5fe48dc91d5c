"""The FastDFS client against the C library, the Python clients of PyPI and bare loops."""

from __future__ import annotations

from benchmarks.macro.scenario import KIB, MIB, Load, Scenario

SMALL = ("upload", "download", "info", "delete")
BULK = ("upload", "download", "delete")
FILES = ("upload_file", "download_file")
ASYNC_PEERS = ("fastxfer asyncio", "C library", "bare loop", "bare loop, no tracker")

FDFS = (
    Scenario(
        name="fdfs-small-1",
        title="FastDFS: files of 4 KiB, one in flight",
        family="fdfs",
        ops=SMALL,
        full=(Load(4 * KIB, 4000),),
        short=(Load(4 * KIB, 1000),),
        repetitions=5,
    ),
    Scenario(
        name="fdfs-small-8",
        title="FastDFS: files of 4 KiB, 8 in flight",
        family="fdfs",
        ops=SMALL,
        full=(Load(4 * KIB, 12000, 8),),
        short=(Load(4 * KIB, 3000, 8),),
        repetitions=5,
    ),
    Scenario(
        name="fdfs-small-64",
        title="FastDFS: files of 4 KiB, 64 in flight",
        family="fdfs",
        ops=SMALL,
        full=(Load(4 * KIB, 16000, 64),),
        short=(Load(4 * KIB, 4000, 64),),
        repetitions=5,
    ),
    Scenario(
        name="fdfs-medium-8",
        title="FastDFS: files of 64 KiB, 8 in flight",
        family="fdfs",
        ops=BULK,
        full=(Load(64 * KIB, 4000, 8),),
        short=(Load(64 * KIB, 1000, 8),),
    ),
    Scenario(
        name="fdfs-mib-1",
        title="FastDFS: files of 1 MiB, one in flight",
        family="fdfs",
        ops=BULK,
        full=(Load(MIB, 200),),
        short=(Load(MIB, 100),),
        repetitions=9,
    ),
    Scenario(
        name="fdfs-mib-8",
        title="FastDFS: files of 1 MiB, 8 in flight",
        family="fdfs",
        ops=BULK,
        full=(Load(MIB, 300, 8),),
        short=(Load(MIB, 200, 8),),
        repetitions=11,
    ),
    Scenario(
        name="fdfs-file-1",
        title="FastDFS: a large file from and to a file",
        family="fdfs",
        ops=FILES,
        full=(Load(128 * MIB, 2),),
        short=(Load(64 * MIB, 3),),
        repetitions=15,
    ),
    Scenario(
        name="fdfs-file-8",
        title="FastDFS: 64 MiB from and to files, 8 in flight",
        family="fdfs",
        ops=FILES,
        full=(Load(64 * MIB, 8, 8),),
        short=(Load(64 * MIB, 8, 8),),
        repetitions=11,
    ),
)
