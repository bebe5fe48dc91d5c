"""Commands, replies and listings of FTP, beside what ftplib, aioftp and pyftpdlib do for the same."""

from __future__ import annotations

import ftplib
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.micro.alternatives import alternative, core
from fastxfer._pure import ftpwire as twin

ENTRIES = int(os.environ.get("FASTXFER_BENCH_ENTRIES", "1000"))
COMMAND = b"RETR some/directory/file.txt\r\n"
REPLY = b"227 Entering Passive Mode (127,0,0,1,4,5).\r\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    path = tmp_path_factory.mktemp("listed")
    for number in range(ENTRIES):
        (path / f"file number {number:06}.txt").touch()
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(scope="module")
def mlsd(directory: int) -> bytes:
    return b"".join(twin.DirectoryLister(directory, "mlsd", facts=("type", "size", "modify", "perm", "unix.mode")))


@pytest.fixture(scope="module")
def unix(directory: int) -> bytes:
    return b"".join(twin.DirectoryLister(directory, "list"))


@pytest.mark.parametrize("format", ["list", "mlsd", "nlst"])
@pytest.mark.parametrize("way", ["fastxfer", "twin"])
def test_write_directory(benchmark: Any, directory: int, way: str, format: str) -> None:
    benchmark.group = f"write the {format} of {ENTRIES} entries"
    module = core("ftpwire") if way == "fastxfer" else twin
    data = benchmark(lambda: b"".join(module.DirectoryLister(directory, format)))
    assert data.count(b"\r\n") == ENTRIES


def test_write_directory_pyftpdlib(benchmark: Any, directory: int) -> None:
    benchmark.group = f"write the list of {ENTRIES} entries"
    filesystem = alternative("pyftpdlib.filesystems", "AbstractedFS")
    path = os.readlink(f"/proc/self/fd/{directory}") if os.path.exists("/proc/self/fd") else ""
    if not path:
        pytest.skip("needs the path of a descriptor")
    handler = type("Handler", (), {"use_gmt_times": True, "encoding": "utf-8", "unicode_errors": "strict"})()
    files = filesystem(path, handler)
    data = benchmark(lambda: b"".join(files.format_list(path, files.listdir(path))))
    assert data.count(b"\r\n") == ENTRIES


def items() -> list[tuple[str, int, int, float]]:
    return [(f"file number {number:06}.txt", stat.S_IFREG | 0o644, number, 1e9 + number) for number in range(ENTRIES)]


@pytest.mark.parametrize("format", ["list", "mlsd"])
@pytest.mark.parametrize("way", ["fastxfer", "twin"])
def test_write_items(benchmark: Any, way: str, format: str) -> None:
    benchmark.group = f"write the {format} of {ENTRIES} items"
    function = getattr(core("ftpwire") if way == "fastxfer" else twin, f"format_{format}")
    assert benchmark(function, items()).count(b"\r\n") == ENTRIES


def ftplib_mlsd(data: bytes) -> list[tuple[str, dict[str, str]]]:
    """As ftplib.FTP.mlsd does with the lines it has."""
    entries = []
    for line in data.decode("utf-8").splitlines():
        written, _, name = line.partition(" ")
        facts = {}
        for fact in written[:-1].split(";"):
            key, _, value = fact.partition("=")
            facts[key.lower()] = value
        entries.append((name, facts))
    return entries


def aioftp_parser(method: str) -> Callable[[bytes], list[Any]]:
    client = alternative("aioftp", "Client")()
    parse = getattr(client, method)
    return lambda data: [parse(line) for line in data.splitlines(keepends=True)]


@pytest.mark.parametrize("way", ["fastxfer", "twin", "as ftplib", "aioftp"])
def test_read_mlsd(benchmark: Any, mlsd: bytes, way: str) -> None:
    benchmark.group = f"read the MLSD lines of {ENTRIES} entries"
    ways: dict[str, Callable[[], Callable[[bytes], list[Any]]]] = {
        "fastxfer": lambda: core("ftpwire").parse_listing,
        "twin": lambda: twin.parse_listing,
        "as ftplib": lambda: ftplib_mlsd,
        "aioftp": lambda: aioftp_parser("parse_mlsx_line"),
    }
    assert len(benchmark(ways[way](), mlsd)) == ENTRIES


@pytest.mark.parametrize("way", ["fastxfer", "twin", "aioftp"])
def test_read_unix(benchmark: Any, unix: bytes, way: str) -> None:
    benchmark.group = f"read the LIST lines of {ENTRIES} entries"
    ways: dict[str, Callable[[], Callable[[bytes], list[Any]]]] = {
        "fastxfer": lambda: core("ftpwire").parse_listing,
        "twin": lambda: twin.parse_listing,
        "aioftp": lambda: aioftp_parser("parse_list_line_unix"),
    }
    assert len(benchmark(ways[way](), unix)) == ENTRIES


@pytest.mark.parametrize("way", ["fastxfer", "twin"])
def test_read_command(benchmark: Any, way: str) -> None:
    benchmark.group = "read a command"
    reader = (core("ftpwire") if way == "fastxfer" else twin).CommandReader()
    assert benchmark(reader.feed, COMMAND) == [("RETR", "some/directory/file.txt")]


@pytest.mark.parametrize("way", ["fastxfer", "twin"])
def test_read_reply(benchmark: Any, way: str) -> None:
    benchmark.group = "read a reply"
    reader = (core("ftpwire") if way == "fastxfer" else twin).ReplyReader()
    assert benchmark(reader.feed, REPLY)[0][0] == 227


@pytest.mark.parametrize("way", ["fastxfer", "twin", "ftplib"])
def test_read_passive_address(benchmark: Any, way: str) -> None:
    benchmark.group = "read the address of a PASV reply"
    text = REPLY.decode().rstrip()
    ways: dict[str, Callable[[], Callable[[str], tuple[str, int]]]] = {
        "fastxfer": lambda: core("ftpwire").parse_pasv,
        "twin": lambda: twin.parse_pasv,
        "ftplib": lambda: ftplib.parse227,  # type: ignore[attr-defined]
    }
    assert benchmark(ways[way](), text) == ("127.0.0.1", 1029)


@pytest.mark.parametrize("way", ["fastxfer", "twin"])
def test_write_reply(benchmark: Any, way: str) -> None:
    benchmark.group = "write a reply"
    function = (core("ftpwire") if way == "fastxfer" else twin).format_reply
    assert benchmark(function, 226, "Transfer complete") == b"226 Transfer complete\r\n"


@pytest.mark.parametrize("way", ["fastxfer", "twin", "time.strftime"])
def test_write_time(benchmark: Any, way: str) -> None:
    benchmark.group = "write a time"
    ways: dict[str, Callable[[], Callable[[float], str]]] = {
        "fastxfer": lambda: core("ftpwire").format_time,
        "twin": lambda: twin.format_time,
        "time.strftime": lambda: lambda seconds: time.strftime("%Y%m%d%H%M%S", time.gmtime(seconds)),
    }
    assert benchmark(ways[way](), 1e9) == "20010909014640"
