"""Runs the core's functions many times, well and badly, and fails when memory or references are left behind.

Run in a process of its own: ``python leaks.py c|py``.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROUNDS = {"ext": 2000, "pure": 300}
ALLOWED = 100  # blocks

FILE_ID = "group1/M00/00/00/fwAAC2sEnrKAE9mjAAAADg4Qul0798.txt"
LISTING = (
    b"total 3\r\n-rw-r--r-- 1 u g 5 Jan  1  2005 x\r\nlrwxrwxrwx 1 u g 5 Jan  1 12:34 l -> t\r\n"
    b"type=file;size=5;modify=20240101000000;unix.owner=a; y\r\n04-27-00  09:09PM  <DIR>  d\r\ngarbage\r\n"
)


def works(which: str, directory: str) -> list[Callable[[], object]]:
    crc32, wire, buffers, ftpwire = (
        importlib.import_module(f"fastxfer._{which}.{name}") for name in ("crc32", "wire", "buffers", "ftpwire")
    )
    data, target, body = b"x" * 1000, bytearray(1000), bytes(16) + b"M00/00"
    pool, heads = buffers.BufferPool(4096, 2), wire.RequestBuffer()

    def pieces() -> None:
        buffer = pool.acquire()
        held = [buffer[:10], memoryview(buffer)]
        del buffer, held

    def replies() -> None:
        reader = ftpwire.ReplyReader()
        reader.feed(b"220-a\r\n220 b\r\n331")
        reader.feed(b" x\r\nbad\r\n")

    def listing() -> None:
        reader = ftpwire.ListingReader()
        entries = reader.feed(LISTING) + reader.finish()
        assert entries[0].facts == {}
        assert entries[2].facts["size"] == "5"

    return [
        lambda: crc32.crc32(memoryview(data), 5),
        lambda: crc32.copy_crc32(target, data),
        lambda: crc32.copy_crc32(bytearray(1), data),
        lambda: crc32.crc32("text"),
        lambda: wire.file_request(22, FILE_ID),
        lambda: wire.file_request(22, "bad"),
        lambda: heads.upload_request(11, 0, 5, "txt"),
        lambda: heads.upload_request(11, 0, 5, "too long"),
        lambda: wire.set_metadata_request(FILE_ID, "O", wire.encode_metadata({"a": "b"})),
        lambda: wire.encode_metadata({"a": "\x01"}),
        lambda: wire.decode_metadata(b"a\x02b\x01c\x02d"),
        lambda: wire.unpack_store_targets(
            b"g".ljust(16, b"\0") + b"1.2.3.4".ljust(15, b"\0") + bytes(6) + b"\x59\xd8\x01"
        ),
        lambda: wire.unpack_file_id(body),
        lambda: wire.unpack_file_info(bytes(40)),
        lambda: repr(wire.decode_file_id(FILE_ID)),
        lambda: wire.decode_file_id("group1/M00/00/00/x"),
        lambda: wire.encode_file_id("g", "1.2.3.4", 1, 2, 3, "txt", trunk=(1, 2, 3)),
        lambda: wire.slave_file_id(FILE_ID, "_s", "jpg"),
        pieces,
        lambda: ftpwire.CommandReader().feed(b"USER x\r\n\xff\xf4ABOR\r\nbad\0\r\nPAR"),
        replies,
        listing,
        lambda: ftpwire.format_reply(211, ["a", "b", "c\n"]),
        lambda: ftpwire.format_command("RETR", "a\n"),
        lambda: ftpwire.parse_pasv("(1,2,3,4,5,6)"),
        lambda: ftpwire.parse_epsv("nothing"),
        lambda: ftpwire.format_list([("a", 0o100644, 1, 1.5), ("l", 0o120777, 1, 1, 1, "o", "g", "t")]),
        lambda: ftpwire.format_mlsd([("ü", 0o100644, 1, 1), ("x",)]),
        lambda: list(ftpwire.DirectoryLister(directory, "list", sort=True)),
        lambda: next(ftpwire.DirectoryLister(directory, "mlsd", chunk=1)),
        lambda: ftpwire.DirectoryLister(directory + "/missing", "mlsd"),
    ]


def run(work: Callable[[], object], rounds: int) -> None:
    for _ in range(rounds):
        with contextlib.suppress(ValueError, TypeError, OSError):
            work()


def growth(work: Callable[[], object], rounds: int) -> int:
    before = sys.getallocatedblocks()
    run(work, rounds)
    gc.collect()
    return sys.getallocatedblocks() - before


def main(which: str) -> int:
    with tempfile.TemporaryDirectory() as directory:
        for number in range(3):
            (Path(directory) / str(number)).touch()
        for position, work in enumerate(works(which, directory)):
            # Caches fill now and then; what leaks grows in every one of these.
            grown = min(growth(work, ROUNDS[which]) for _ in range(3))
            if grown > ALLOWED:
                print(f"work {position} left {grown} blocks behind")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main({"c": "ext", "py": "pure"}[sys.argv[1]]))
