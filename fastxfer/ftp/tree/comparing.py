"""What is compared of local and remote files where a listing does not tell it: their content and their exact times."""

from __future__ import annotations

import hashlib
import os
from functools import partial

from fastxfer.core.ftpwire import parse_time
from fastxfer.ftp.endpoints import FileSource, local_error
from fastxfer.ftp.errors import UnsupportedError
from fastxfer.ftp.file_operations import FileOperations
from fastxfer.ftp.pool import Link
from fastxfer.ftp.verification import local_checksum

__all__ = ["exact_times", "same_content"]

_BATCH = 64
"""Questions sent in one piece."""


async def same_content(client: FileOperations, local: str, remote: str) -> bool:
    """Compare by the server's checksum, or, where it computes none, by reading the remote file."""
    names = client.checksums()
    if names:
        try:
            name, theirs = await client.checksum(remote, names[0])
        except UnsupportedError:
            names = []
        else:
            return await client._driver.call(_checksum, local, name) == theirs
    digest = hashlib.sha256()
    await client.download(remote, digest.update)
    return await client._driver.call(_checksum, local, "sha256") == digest.hexdigest()


def _checksum(path: str, algorithm: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise local_error(error, "cannot read the local file") from error
    try:
        return local_checksum(FileSource(fd, os.fstat(fd).st_size), algorithm)
    finally:
        os.close(fd)


async def exact_times(client: FileOperations, paths: list[str]) -> list[float | None]:
    """The times of files, asked for in batches; None where the server does not tell."""
    times: list[float | None] = []

    async def ask(link: Link, *, batch: list[str]) -> list[float | None]:
        found: list[float | None] = []
        for reply in await link.session.ask_all([f"MDTM {path}" for path in batch]):
            try:
                found.append(parse_time(reply.text) if reply.code == 213 else None)
            except ValueError:
                found.append(None)
        return found

    for start in range(0, len(paths), _BATCH):
        batch = paths[start : start + _BATCH]
        times += await client._run(partial(ask, batch=batch))
    return times
