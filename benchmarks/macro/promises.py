"""The targets of the project: ratios within one run, and memory."""

from __future__ import annotations

from benchmarks.macro.targets import Target

OURS, ASYNC, WORKERS = "fastxfer", "fastxfer asyncio", "fastxfer, 2 workers"
C, BARE = ("C library",), ("bare loop, no tracker",)
PYTHON_FDFS = ("fastdfs-client", "py3Fdfs")
PYTHON_FTP = ("ftplib, 8 KiB blocks", "ftplib, 1 MiB blocks", "aioftp", "pycurl")
FTP_CLIENTS = (*PYTHON_FTP, "curl", "lftp", "ncftp")
FTP_SERVERS = ("vsftpd", "proftpd", "pure-ftpd", "pyftpdlib", "aioftp")
DAEMONS = ("vsftpd", "proftpd")
RATE, SPEED = "ops_per_s", "mb_per_s"
CLIENT_CPU, CLIENT_CPU_GB = "client_cpu_ms_per_op", "client_cpu_s_per_gb"
SERVER_CPU_GB = "server_cpu_s_per_gb"
PEAK = "client_peak_mib"
GROWN = "server_grown_kib_per_session"


def _fdfs_small() -> list[Target]:
    found = []
    for op in ("upload", "download", "info", "delete"):
        found += [
            Target("fdfs-small-1", op, RATE, OURS, C, 1.5),
            Target("fdfs-small-8", op, RATE, OURS, C, 1.2),
            Target("fdfs-small-64", op, RATE, ASYNC, C, 1.0),
            Target("fdfs-small-1", op, CLIENT_CPU, OURS, C, 1.0),
            Target("fdfs-small-8", op, CLIENT_CPU, OURS, C, 1.0),
            Target("fdfs-small-64", op, CLIENT_CPU, ASYNC, C, 1.5),
        ]
        if op != "info":
            found += [
                Target("fdfs-small-8", op, RATE, OURS, PYTHON_FDFS, 3.0),
                Target("fdfs-small-8", op, CLIENT_CPU, OURS, PYTHON_FDFS, 1 / 3),
            ]
    return found


def _fdfs_large() -> list[Target]:
    found = []
    for scenarios, ops in (
        (("fdfs-mib-1", "fdfs-mib-8"), ("upload", "download")),
        (("fdfs-file-1", "fdfs-file-8"), ("upload_file", "download_file")),
    ):
        for scenario in scenarios:
            for op in ops:
                found += [
                    Target(scenario, op, CLIENT_CPU_GB, OURS, C, 1.0),
                    Target(scenario, op, SPEED, OURS, BARE, 0.95),
                ]
    return found


def _ftp_client() -> list[Target]:
    found = []
    for op in ("download", "upload"):
        found += [
            Target("ftp-bulk", op, SPEED, OURS, FTP_CLIENTS, 1.0),
            Target("ftp-bulk", op, CLIENT_CPU_GB, OURS, PYTHON_FTP, 0.5),
            Target("ftp-bulk-tls", op, SPEED, OURS, FTP_CLIENTS, 1.0),
            Target("ftp-small-1", op, RATE, OURS, FTP_CLIENTS, 1.0),
            Target("ftp-small-10", op, RATE, ASYNC, FTP_CLIENTS, 1.0),
        ]
    found.append(Target("ftp-bulk", "download", CLIENT_CPU_GB, OURS, ("bare loop",), 1.1))
    found.append(Target("ftp-bulk", "upload", CLIENT_CPU_GB, OURS, ("ncftp",), 1.0))
    found.append(Target("ftp-tree-10", "download_tree", RATE, ASYNC, FTP_CLIENTS, 1.0))
    for scenario, op, ours in (
        ("ftp-bulk", "download", OURS),
        ("ftp-bulk", "upload", OURS),
        ("ftp-small-1", "download", OURS),
        ("ftp-tree-10", "download_tree", ASYNC),
    ):
        found.append(Target(scenario, op, PEAK, ours, (), 25, above_interpreter=True))
    return found


def _ftp_server() -> list[Target]:
    found = []
    for streams, ours in ((1, OURS), (4, WORKERS)):
        found += [
            Target(f"ftpd-bulk-{streams}", "retr", SPEED, ours, FTP_SERVERS, 1.0),
            Target(f"ftpd-bulk-{streams}", "stor", SPEED, ours, FTP_SERVERS, 1.0),
            Target(f"ftpd-bulk-{streams}", "retr", SERVER_CPU_GB, ours, ("vsftpd",), 1.0),
            Target(f"ftpd-bulk-{streams}", "stor", SERVER_CPU_GB, ours, ("pure-ftpd",), 1.0),
            Target(f"ftpd-bulk-{streams}-tls", "retr", SPEED, ours, ("pure-ftpd",), 1.0),
            Target(f"ftpd-bulk-{streams}-tls", "stor", SPEED, ours, ("pure-ftpd",), 1.0),
        ]
    for sessions, ours in ((1, OURS), (8, WORKERS)):
        for op in ("retr", "stor"):
            found += [
                Target(f"ftpd-small-{sessions}", op, RATE, ours, ("pyftpdlib",), 2.0),
                Target(f"ftpd-small-{sessions}", op, RATE, ours, DAEMONS, 1.0),
                Target(f"ftpd-small-{sessions}", op, RATE, ours, ("pure-ftpd",), 1.0),
            ]
    found += [Target("ftpd-list", op, RATE, OURS, ("pure-ftpd",), 1.0) for op in ("list", "mlsd", "nlst")]
    found += [
        Target("ftpd-login-1", "login", RATE, OURS, ("pyftpdlib",), 1.0),
        Target("ftpd-login-8", "login", RATE, WORKERS, ("pyftpdlib",), 1.0),
        Target("ftpd-login-tls", "login", RATE, OURS, ("pyftpdlib",), 1.0),
        Target("ftpd-idle", "idle", GROWN, OURS, (), 20),
    ]
    return found


TARGETS: tuple[Target, ...] = (*_fdfs_small(), *_fdfs_large(), *_ftp_client(), *_ftp_server())
