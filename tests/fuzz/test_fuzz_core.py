"""Mutated input for everything in the core that reads what a peer sent; both implementations must agree on it.

A short run belongs to the tests. ``FASTXFER_FUZZ_SECONDS=600 pytest tests/fuzz`` runs as long for each target, from a
seed of its own that a failure names (``FASTXFER_FUZZ_SEED`` repeats it); under ``tests/sanitize.sh`` it finds reads
beyond the end as well.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

RECORDINGS = Path(__file__).parents[1] / "data" / "fastdfs" / "wire"
SHORT_RUN = 400  # mutations
LONGEST = 5000  # bytes
NOW = 1_796_040_000.0

LISTINGS = [
    b"total 3\r\n-rw-r--r--   1 owner group 1234 Nov 29 12:34 a file\r\nlrwxrwxrwx 1 u g 5 Jan  1  2005 l -> t\r\n",
    b"type=file;size=5;modify=20240101000000;UNIX.mode=0644;unix.owner=a; name\r\ntype=OS.unix=slink:/x; l\r\n",
    b"04-27-00  09:09PM       <DIR>          licensed\r\n07-18-00  10:16AM                 1,234 f\r\n",
    b"+i8388621.48594,m825718503,r,s280,\tdjb.html\r\nd [R----F--] supervisor   512  Jan 16 18:53  login\r\n",
    b"CORE.DIR;1  1  8-SEP-1996 16:09 [SYSTEM] (RWE)\r\nLONG.TXT;3\r\n  9/12  15-JAN-2002 12:34:56 [A,B] (RW)\r\n",
    b"     0           DIR   04-11-95   16:26  ADDRESS\r\nQSYS     77824 02/23/00 15:09:55 *DIR      QSYS/\r\n",
    b"-rw-r--r-- 1 u g 5 2005-06-07 12:34:56.7 +0230 full\r\n-rw-r--r-- 1 u g 5 M\xc3\xa4r  2  2005 x\r\n",
]
REPLIES = [
    b"220-Welcome\r\n220-to\r\n220 here\r\n",
    b"211-Features:\r\n MDTM\r\n211 End\r\n227 Entering Passive Mode (127,0,0,1,4,5)\r\n229 Ok (|||6446|)\r\n",
    b'\xff\xfb\x01257 "/a""b" is\r\n213 20240101000000.123\r\n',
]
COMMANDS = [
    b"USER a\r\nPASS b\r\nRETR  x y \r\n",
    b"\xff\xf4\xff\xf2ABOR\r\n\xff\xfa\x18\x01\xff\xf0NOOP\r\nSTOR \xff\xff\r\n",
]


def recorded(part: str) -> list[bytes]:
    lines = [line for path in sorted(RECORDINGS.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
    return sorted({bytes.fromhex(json.loads(line)[part])[10:] for line in lines})


def outcome(function: Callable[[], Any]) -> str:
    """What a call came to, comparable between implementations."""
    try:
        return repr(function())
    except ValueError as error:
        return f"{type(error).__name__}: {error}"


def replies_of(module: ModuleType, data: bytes) -> list[str]:
    results = [outcome(lambda: module.ReplyReader(max_line=200, max_reply=600).feed(data))]
    text = data.decode("latin-1")
    for parse in (module.parse_pasv, module.parse_epsv, module.parse_pwd, module.parse_size, module.parse_time):
        results.append(outcome(lambda parse=parse: parse(text)))  # type: ignore[misc]
    lines = text.split("\r\n")
    return [*results, outcome(lambda: module.parse_feat(lines)), outcome(lambda: module.parse_mlst(lines))]


def listing_of(module: ModuleType, data: bytes) -> list[str]:
    reader = module.ListingReader(now=NOW, max_line=300)
    middle = len(data) // 2
    entries = reader.feed(data[:middle]) + reader.feed(data[middle:]) + reader.finish()
    return [repr(entries), repr((reader.unparsed, reader.samples))]


def bodies_of(module: ModuleType, data: bytes) -> list[str]:
    names = [name for name in dir(module) if name.startswith("unpack_") and not name.endswith(("text", "64s", "32s"))]
    results = [outcome(lambda name=name: getattr(module, name)(data)) for name in sorted(names)]  # type: ignore[misc]
    return [*results, outcome(lambda: module.decode_metadata(data))]


def file_ids_of(module: ModuleType, data: bytes) -> list[str]:
    text = data[16:].decode("latin-1")
    return [outcome(lambda: module.decode_file_id(f"group1/{text}")), outcome(lambda: module.file_request(1, text))]


TARGETS: dict[str, tuple[str, list[bytes], Callable[[ModuleType, bytes], list[str]]]] = {
    "commands": ("ftpwire", COMMANDS, lambda module, data: [outcome(lambda: module.CommandReader(80).feed(data))]),
    "replies": ("ftpwire", REPLIES, replies_of),
    "listings": ("ftpwire", LISTINGS, listing_of),
    "reply bodies": ("wire", recorded("response_hex"), bodies_of),
    "file IDs": ("wire", recorded("response_hex"), file_ids_of),
}


def mutated(source: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(source.choice(seeds))
    for _ in range(source.choice((1, 1, 2, 4, 16))):
        start = source.randrange(len(data) + 1)
        end = min(len(data), start + source.choice((1, 1, 2, 8, 64)))
        match source.randrange(7):
            case 0:
                data[start:end] = source.randbytes(end - start)
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = data[start:end] * source.choice((1, 2, 50))
            case 3:
                data[start:start] = source.choice(
                    (b"\0", b"\r", b"\n", b"\r\n", b" ", b";", b"=", b"\xff", b"9" * 20, b"-")
                )
            case 4 if start < len(data):
                data[start] ^= 1 << source.randrange(8)
            case 5:
                other = source.choice(seeds)
                data[start:end] = other[source.randrange(len(other) + 1) :]
            case _:
                data[end:] = b""
    return bytes(data[:LONGEST])


def rounds(seconds: float) -> Iterator[int]:
    deadline = time.monotonic() + seconds
    number = 0
    while number < SHORT_RUN or time.monotonic() < deadline:
        yield number
        number += 1


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.timeout(0)
def test_twins_agree_on_mutated_input(target: str) -> None:
    name, seeds, read = TARGETS[target]
    twin = importlib.import_module(f"fastxfer._pure.{name}")
    compiled = pytest.importorskip(f"fastxfer._ext.{name}", exc_type=ImportError)
    seconds = float(os.environ.get("FASTXFER_FUZZ_SECONDS", "0"))
    seed = os.environ.get("FASTXFER_FUZZ_SEED") or (str(random.SystemRandom().random()) if seconds else "fixed")
    source = random.Random(f"{target} {seed}")
    for number in rounds(seconds):
        data = mutated(source, seeds)
        assert read(compiled, data) == read(twin, data), f"seed {seed}, mutation {number}: {data!r}"
