"""The FTP server against vsftpd, ProFTPD, Pure-FTPd, pyftpdlib and aioftp."""

from __future__ import annotations

from benchmarks.macro.scenario import GIB, KIB, MIB, Load, Scenario

# These start a process for each login: a few hundred show what it costs.
SLOW_LOGINS = ("vsftpd", "proftpd", "pure-ftpd")


def _bulk(streams: int, tls: bool) -> Scenario:
    suffix = "-tls" if tls else ""
    over = " over TLS" if tls else ""
    return Scenario(
        name=f"ftpd-bulk-{streams}{suffix}",
        title=f"FTP server: 1 GiB files{over}, {streams} at a time",
        family="ftpd",
        ops=("retr", "stor"),
        # One transfer without TLS is over in a fifth of a second.
        full=(Load(512 * MIB, streams, streams) if tls else Load(GIB, 4, streams),),
        short=(Load((128 if streams == 1 else 48) * MIB, streams, streams),),
        tls=tls,
        shares=(("aioftp", 0.25),) if streams == 1 and not tls else (),
        repetitions=3 if tls else 7,
    )


def _small(sessions: int) -> Scenario:
    return Scenario(
        name=f"ftpd-small-{sessions}",
        title=f"FTP server: files of 4 KiB, {sessions} session{'s' if sessions > 1 else ''}",
        family="ftpd",
        ops=("retr", "stor"),
        full=(Load(4 * KIB, 4000 if sessions == 1 else 16000, sessions),),
        short=(Load(4 * KIB, 1000, sessions),),
        shares=() if sessions == 1 else (("vsftpd", 0.5), ("proftpd", 0.5), ("pyftpdlib", 0.25), ("aioftp", 0.125)),
        repetitions=3 if sessions == 1 else 7,
    )


FTP_SERVER = (
    _bulk(1, tls=False),
    _bulk(4, tls=False),
    _bulk(1, tls=True),
    _bulk(4, tls=True),
    _small(1),
    _small(8),
    Scenario(
        name="ftpd-many",
        title="FTP server: 200 transfers of 10 MiB at the same time",
        family="ftpd",
        ops=("retr", "stor"),
        full=(Load(10 * MIB, 200, 200),),
        short=(Load(2 * MIB, 200, 200),),
    ),
    Scenario(
        name="ftpd-login-1",
        title="FTP server: logins, one after the other",
        family="ftpd",
        ops=("login",),
        full=(Load(0, 3000),),
        short=(Load(0, 800),),
        shares=tuple((name, 0.05) for name in SLOW_LOGINS),
    ),
    Scenario(
        name="ftpd-login-8",
        title="FTP server: logins, 8 at a time",
        family="ftpd",
        ops=("login",),
        full=(Load(0, 8000, 8),),
        short=(Load(0, 2000, 8),),
        shares=tuple((name, 0.05) for name in SLOW_LOGINS),
    ),
    Scenario(
        name="ftpd-login-tls",
        title="FTP server: logins over TLS, one after the other",
        family="ftpd",
        ops=("login",),
        full=(Load(0, 1000),),
        short=(Load(0, 250),),
        shares=tuple((name, 0.1) for name in SLOW_LOGINS),
        tls=True,
    ),
    Scenario(
        name="ftpd-noop",
        title="FTP server: NOOP",
        family="ftpd",
        ops=("noop",),
        full=(Load(0, 10000),),
        short=(Load(0, 2000),),
    ),
    Scenario(
        name="ftpd-list",
        title="FTP server: a directory of 10,000 entries",
        family="ftpd",
        ops=("list", "mlsd", "nlst"),
        full=(Load(0, 5, entries=10_000),),
        short=(Load(0, 2, entries=10_000),),
    ),
    Scenario(
        name="ftpd-idle",
        title="FTP server: memory of idle sessions",
        family="ftpd",
        ops=("idle",),
        full=(Load(0, 1, 1000),),
        short=(Load(0, 1, 200),),
        repetitions=2,
    ),
)
