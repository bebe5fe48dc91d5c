"""Whether a local and a remote file have the same content."""

from __future__ import annotations

import hashlib
import os

from fastxfer.ftp.endpoints import FileSource, local_error
from fastxfer.ftp.errors import UnsupportedError
from fastxfer.ftp.file_operations import FileOperations
from fastxfer.ftp.verification import local_checksum

__all__ = ["same_content"]


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
