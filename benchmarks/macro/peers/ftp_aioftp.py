"""aioftp's client from PyPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.macro.worker import serve, version_of
from fastxfer.bench import Meter, Work, check_received, download_pairs, in_tasks, run_in_loop, upload_pairs


async def main(work: Work, meter: Meter) -> None:
    import aioftp

    server = work.server
    if server["tls"]:
        raise RuntimeError("aioftp has no explicit TLS (AUTH TLS)")
    clients = []
    for _ in range(work.concurrency):
        client = aioftp.Client()
        await client.connect(server["host"], server["port"])
        await client.login(server["user"], server["password"])
        clients.append(client)
    for op in work.ops:
        downloads = op.startswith("download")
        pairs = download_pairs(work, op) if downloads else upload_pairs(work, op)
        free = list(clients)

        async def move(_: int, pair: tuple[str, str], free: list[aioftp.Client] = free, down: bool = downloads) -> None:
            client = free.pop()
            action: Callable[..., Awaitable[None]] = client.download if down else client.upload
            await action(*pair, write_into=True)
            free.append(client)

        with meter.operation(op, work) as recorder:
            await in_tasks(pairs, work.concurrency, recorder, work.size, move)
        if not recorder.done:
            raise RuntimeError(f"every {op} failed: {recorder.error}")
        if downloads and not recorder.failed:
            check_received(work, pairs)
    for client in clients:
        await client.quit()


def run(work: Work, meter: Meter) -> None:
    run_in_loop(main(work, meter))


if __name__ == "__main__":
    serve(version_of("aioftp"), run)
