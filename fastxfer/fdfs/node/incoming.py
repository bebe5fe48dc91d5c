"""Bodies on their way in: small ones are at hand in memory, large ones go to a temporary file first."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from fastxfer.core.crc32 import crc32
from fastxfer.fdfs.node.actions import Action, ReceiveFile, Reply, Request
from fastxfer.fdfs.node.files import READ, copy_range, unlink_quietly, write_at
from fastxfer.fdfs.node.store import Store


@dataclass(frozen=True)
class Body:
    """The bytes of one upload, append or modify, all there."""

    store: Store
    data: bytes
    """The bytes, where ``temporary`` is empty."""
    temporary: str
    """Path of the file that holds the bytes instead."""
    size: int
    crc32: int

    def save_as(self, path: str) -> None:
        """Make them the file *path*; FileExistsError where there is one."""
        if self.temporary:
            self.store.adopt(self.temporary, path)
        else:
            self.store.create(path, self.data)

    def write_into(self, fd: int, offset: int) -> None:
        """Copy them into an open file."""
        if not self.temporary:
            write_at(fd, self.data, offset)
            return
        source = os.open(self.temporary, READ)
        try:
            copy_range(source, 0, fd, offset, self.size)
        finally:
            os.close(source)

    def content(self) -> bytes:
        """All of them, in memory."""
        if not self.temporary:
            return self.data
        with open(self.temporary, "rb") as file:
            return file.read()

    def discard(self) -> None:
        if self.temporary:
            unlink_quietly(self.temporary)


def receive(store: Store, request: Request, head_size: int, index: int, publish: Callable[[Body], Reply]) -> Action:
    """Take the body behind the first *head_size* bytes in, then have *publish* make the reply.

    Space is counted from now on; it is given back where the body does not arrive or *publish* raises.
    """
    size = request.length - head_size
    give_back = store.reserve(index, size)
    try:
        if request.whole:
            data = request.body[head_size:]
            return publish(Body(store, data, "", size, crc32(data)))
        fd, temporary = store.temporary(index)
    except BaseException:
        give_back()
        raise

    def finish(crc: int) -> Reply:
        os.close(fd)
        body = Body(store, b"", temporary, size, crc)
        try:
            return publish(body)
        except BaseException:
            give_back()
            raise
        finally:
            body.discard()

    def abort() -> None:
        os.close(fd)
        unlink_quietly(temporary)
        give_back()

    return ReceiveFile(fd, head_size, finish, abort)
