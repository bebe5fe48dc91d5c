"""FTP work for any client: ours, and through a small adapter each peer's.

The files to be downloaded lie in :func:`source_folder` of the server before, uploads go to :func:`target_folder`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from fastxfer.bench._fdfs import source_file
from fastxfer.bench._loops import in_tasks, in_threads, run_in_loop
from fastxfer.bench._measure import Meter, Recorder
from fastxfer.bench._work import Work

if TYPE_CHECKING:
    from fastxfer.ftp import ClientConfig, TreeReport

FILES_PER_FOLDER = 100


class FtpSession(Protocol):
    """One logged-in connection of a blocking client."""

    def upload(self, local: str, remote: str) -> object: ...
    def download(self, remote: str, local: str) -> object: ...
    def close(self) -> object: ...


class FtpBatch(Protocol):
    """A client that is given all files at once."""

    def upload_all(self, pairs: Sequence[tuple[str, str]], connections: int) -> object: ...
    def download_all(self, pairs: Sequence[tuple[str, str]], connections: int) -> object: ...


def file_names(work: Work, op: str) -> list[str]:
    """Names of the files that *op* moves; ``…_tree`` has folders of a hundred."""
    if op.endswith("_tree"):
        return [f"d{index // FILES_PER_FOLDER:04d}/f{index}" for index in range(work.count)]
    return [f"f{index}" for index in range(work.count)]


def source_folder(work: Work, op: str) -> str:
    """Where on the server the files to be downloaded lie."""
    return f"{work.remote}/{'tree' if op.endswith('_tree') else 'down'}-{work.size}"


def target_folder(work: Work) -> str:
    """Where on the server uploads go; it exists and is empty before, folders of a tree included."""
    return f"{work.remote}/up"


def download_pairs(work: Work, op: str) -> list[tuple[str, str]]:
    """Remote path and local path of each file; the local folders are made."""
    remote, local = source_folder(work, op), received_folder(work)
    names = file_names(work, op)
    for folder in {Path(name).parent for name in names}:
        (local / folder).mkdir(parents=True, exist_ok=True)
    return [(f"{remote}/{name}", str(local / name)) for name in names]


def received_folder(work: Work) -> Path:
    """The local folder that downloads go to."""
    return Path(work.folder) / "received"


def sources_folder(work: Work, op: str) -> Path:
    """A local folder with the files that *op* uploads, made once."""
    folder = Path(work.folder) / f"sources-{work.size}-{work.count}{'-tree' if op.endswith('_tree') else ''}"
    if not folder.exists():
        first = Path(source_file(work))
        for name in file_names(work, op):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(first)
    return folder


def upload_pairs(work: Work, op: str) -> list[tuple[str, str]]:
    """Local path and remote path of each file; the local files are made."""
    folder, remote = sources_folder(work, op), target_folder(work)
    return [(str(folder / name), f"{remote}/{name}") for name in file_names(work, op)]


def check_received(work: Work, pairs: Sequence[tuple[str, str]]) -> None:
    """Every download is there and whole; then it is removed.

    Raises:
        RuntimeError: when one is not.
    """
    for _, local in pairs:
        path = Path(local)
        if not path.exists() or path.stat().st_size != work.size:
            raise RuntimeError(f"{path.name} was not received whole")
        path.unlink()


def run_ftp_sessions(work: Work, connect: Callable[[], FtpSession], meter: Meter) -> None:
    """Do *work* with ``work.concurrency`` connections, each in a thread of its own; logins are not timed."""
    sessions = [connect() for _ in range(work.concurrency)]
    free = list(sessions)
    own = threading.local()

    def session() -> FtpSession:
        if not hasattr(own, "session"):
            own.session = free.pop()
        found: FtpSession = own.session
        return found

    for op in work.ops:
        downloads = op.startswith("download")
        pairs = download_pairs(work, op) if downloads else upload_pairs(work, op)
        free[:] = sessions
        own = threading.local()
        action = (lambda _, pair: session().download(*pair)) if downloads else (lambda _, pair: session().upload(*pair))
        with meter.operation(op, work) as recorder:
            in_threads(pairs, work.concurrency, recorder, work.size, action)
        if not recorder.done:
            raise RuntimeError(f"every {op} failed: {recorder.error}")
        if downloads and not recorder.failed:
            check_received(work, pairs)
    for one in sessions:
        one.close()


def run_ftp_batch(work: Work, batch: FtpBatch, meter: Meter) -> None:
    """Do *work* with a client that is given all files at once; logins are part of it."""
    for op in work.ops:
        with _measured(op, work, meter) as (recorder, pairs, downloads):
            (batch.download_all if downloads else batch.upload_all)(pairs, work.concurrency)
            recorder.add_untimed(len(pairs), work.size)
            recorder.in_children = True


def ftp_sync(work: Work, meter: Meter) -> None:
    """Do *work* with :class:`fastxfer.ftp.Client`, its threads sharing one client's pool; trees in one call."""
    from fastxfer.ftp import Client

    with Client(ftp_url(work), password=work.server["password"], config=ftp_config(work)) as client:

        def move(recorder: Recorder, pairs: Sequence[tuple[str, str]], downloads: bool) -> None:
            action = client.download if downloads else client.upload
            in_threads(pairs, work.concurrency, recorder, work.size, lambda _, pair: action(*pair))

        for op in work.ops:
            with _measured(op, work, meter) as (recorder, pairs, downloads):
                if op.endswith("_tree"):
                    together = client.fetch if downloads else client.batch
                    _record(together(pairs, parallel=work.concurrency), recorder)
                else:
                    move(recorder, pairs, downloads)


def ftp_async(work: Work, meter: Meter) -> None:
    """Do *work* with :class:`fastxfer.ftp.AsyncClient`, on uvloop where it is installed; trees in one call."""
    from fastxfer.ftp import AsyncClient

    async def main() -> None:
        async with AsyncClient(ftp_url(work), password=work.server["password"], config=ftp_config(work)) as client:

            async def move(recorder: Recorder, pairs: Sequence[tuple[str, str]], downloads: bool) -> None:
                action = client.download if downloads else client.upload
                await in_tasks(pairs, work.concurrency, recorder, work.size, lambda _, pair: action(*pair))

            for op in work.ops:
                with _measured(op, work, meter) as (recorder, pairs, downloads):
                    if op.endswith("_tree"):
                        together = client.fetch if downloads else client.batch
                        _record(await together(pairs, parallel=work.concurrency), recorder)
                    else:
                        await move(recorder, pairs, downloads)

    run_in_loop(main())


def _record(report: TreeReport, recorder: Recorder) -> None:
    """Add what came of files that were moved in one call."""
    done = report.actions.total()
    recorder.add_untimed(done, report.bytes // max(1, done))
    if report.failed:
        recorder.fail(str(report.failures[0].error), report.failed)


@contextmanager
def _measured(op: str, work: Work, meter: Meter) -> Iterator[tuple[Recorder, Sequence[tuple[str, str]], bool]]:
    """Lay the local files, time the body, and check what was received."""
    downloads = op.startswith("download")
    pairs = download_pairs(work, op) if downloads else upload_pairs(work, op)
    with meter.operation(op, work) as recorder:
        yield recorder, pairs, downloads
    if not recorder.done:
        raise RuntimeError(f"every {op} failed: {recorder.error}")
    if downloads and not recorder.failed:
        check_received(work, pairs)


def ftp_url(work: Work) -> str:
    """The URL of the work's server, without the password."""
    server = work.server
    scheme = server.get("scheme") or ("ftpes" if server.get("tls") else "ftp")
    host = f"[{server['host']}]" if ":" in server["host"] else server["host"]
    return f"{scheme}://{quote(server['user'], safe='')}@{host}:{server['port']}/"


def ftp_config(work: Work) -> ClientConfig:
    """Settings for the work's server and its number of connections."""
    from fastxfer.ftp import ClientConfig, Limits, TLSSettings

    tls: dict[str, Any] = {"ca_file": work.server["ca"]} if work.server.get("ca") else {}
    return ClientConfig(
        limits=Limits(connections=work.concurrency, idle=work.concurrency), tls_settings=TLSSettings(**tls)
    )
