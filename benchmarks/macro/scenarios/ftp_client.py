"""The FTP client against ftplib, aioftp, pycurl, curl and lftp."""

from __future__ import annotations

from benchmarks.macro.scenario import GIB, KIB, MIB, Load, Scenario

BULK_SERVERS = ("vsftpd", "pure-ftpd", "pyftpdlib", "fastxfer")
SMALL_SERVERS = ("pure-ftpd", "vsftpd", "pyftpdlib", "fastxfer")

FTP_CLIENT = (
    Scenario(
        name="ftp-bulk",
        title="FTP client: a file of 1 GiB each way",
        family="ftp",
        ops=("download", "upload"),
        server=BULK_SERVERS,
        full=(Load(GIB, 1),),
        short=(Load(128 * MIB, 1),),
    ),
    Scenario(
        name="ftp-bulk-tls",
        title="FTP client: a file of 512 MiB each way over TLS",
        family="ftp",
        ops=("download", "upload"),
        server=SMALL_SERVERS,
        full=(Load(512 * MIB, 1),),
        short=(Load(64 * MIB, 1),),
        tls=True,
    ),
    Scenario(
        name="ftp-small-1",
        title="FTP client: files of 4 KiB on one connection",
        family="ftp",
        ops=("download", "upload"),
        server=SMALL_SERVERS,
        full=(Load(4 * KIB, 2000),),
        short=(Load(4 * KIB, 500),),
    ),
    Scenario(
        name="ftp-small-10",
        title="FTP client: files of 4 KiB on 10 connections",
        family="ftp",
        ops=("download", "upload"),
        server=SMALL_SERVERS,
        full=(Load(4 * KIB, 5000, 10),),
        short=(Load(4 * KIB, 1000, 10),),
    ),
    Scenario(
        name="ftp-tree-10",
        title="FTP client: a tree of small files on 10 connections",
        family="ftp",
        ops=("download_tree",),
        server=SMALL_SERVERS,
        full=(Load(4 * KIB, 5000, 10),),
        short=(Load(4 * KIB, 1000, 10),),
    ),
    Scenario(
        name="ftp-many",
        title="FTP client: 200 downloads at the same time in one process",
        family="ftp",
        ops=("download",),
        server=SMALL_SERVERS,
        peers=("fastxfer asyncio", "aioftp", "curl"),
        full=(Load(MIB, 400, 200),),
        short=(Load(256 * KIB, 200, 200),),
    ),
)
