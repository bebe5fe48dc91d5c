"""The server over a filesystem of fsspec."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Iterator

import pytest

fsspec = pytest.importorskip("fsspec", reason="needs the extra `fsspec`")

from fsspec.implementations.memory import MemoryFile  # noqa: E402

from fastxfer.server import FsspecFilesystem, FtpServer, TlsConfig, User  # noqa: E402
from tests.server.conftest import Tls  # noqa: E402
from tests.server.dialogue import PASSWORD, USER, Dialogue, Running, reset, running  # noqa: E402


@pytest.fixture
def memory() -> Iterator[FsspecFilesystem]:
    """A filesystem in memory with a root of its own."""
    filesystem = fsspec.filesystem("memory")
    root = f"/fx-{secrets.token_hex(6)}"
    filesystem.mkdir(root)
    yield FsspecFilesystem(filesystem, root)
    filesystem.rm(root, recursive=True)


@pytest.fixture
def over_memory(memory: FsspecFilesystem) -> Iterator[Running]:
    with running(None, filesystem=memory) as server:
        yield server


@pytest.fixture
def client(over_memory: Running) -> Iterator[Dialogue]:
    with Dialogue(over_memory.address) as dialogue:
        yield dialogue.login()


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_files_go_up_and_down(client: Dialogue, size: int) -> None:
    content = os.urandom(size)
    assert client.put("STOR file", content).code == 226
    assert client.fetch("RETR file") == content
    assert client.expect(213, "SIZE file") == f"213 {size}"
    assert client.fetch("NLST") == b"file\r\n"
    if size > 10:
        client.expect(350, "REST 10")
        assert client.fetch("RETR file") == content[10:]


def test_directories_are_made_listed_renamed_and_removed(client: Dialogue) -> None:
    client.expect(257, "MKD dir")
    client.expect(550, "MKD dir")
    client.expect(550, "MKD no/parent")
    client.expect(250, "CWD dir")
    assert client.put("STOR file", b"x").code == 226
    assert b"type=file;size=1;" in client.fetch("MLSD")
    assert client.fetch("LIST /").startswith(b"drwxr-xr-x")
    client.expect(350, "RNFR file")
    client.expect(250, "RNTO /moved")
    client.expect(250, "CWD /")
    client.expect(250, "RMD dir")
    client.expect(550, "CWD dir")
    client.expect(550, "DELE nothing")
    client.expect(250, "DELE moved")
    assert client.fetch("NLST") == b""


def test_a_directory_that_is_not_empty_stays(client: Dialogue) -> None:
    client.expect(257, "MKD dir")
    assert client.put("STOR dir/file", b"x").code == 226
    client.expect(550, "RMD dir")
    assert client.fetch("RETR dir/file") == b"x"


def test_appending_and_resuming_keep_the_beginning(client: Dialogue) -> None:
    assert client.put("STOR file", b"abc").code == 226
    assert client.put("APPE file", b"def").code == 226
    client.expect(350, "REST 4")
    assert client.put("STOR file", b"X").code == 226
    assert client.fetch("RETR file") == b"abcdX"


@pytest.mark.parametrize("name", ["*", "?.txt", "[a].txt", "photos [2020]*"])
def test_names_are_no_patterns(client: Dialogue, name: str) -> None:
    for other in ("a.txt", "photos", name):
        assert client.put(f"STOR {other}", other.encode()).code == 226
    client.expect(350, f"RNFR {name}")
    client.expect(250, "RNTO moved")
    assert client.fetch("RETR moved") == name.encode()
    assert sorted(client.fetch("NLST").split()) == [b"a.txt", b"moved", b"photos"]
    client.expect(350, "RNFR moved")
    client.expect(250, f"RNTO {name}")
    assert client.fetch(f"RETR {name}") == name.encode()


def test_directories_whose_names_look_like_patterns_take_files_and_move_with_them(client: Dialogue) -> None:
    for directory in ("d", "d[d]", "d[d]/*"):
        client.expect(257, f"MKD {directory}")
    for file in ("d/kept", "d[d]/file", "d[d]/*/?"):
        assert client.put(f"STOR {file}", file.encode()).code == 226
    client.expect(350, "RNFR d[d]")
    client.expect(250, "RNTO moved")
    assert sorted(client.fetch("NLST").split()) == [b"d", b"moved"]
    assert client.fetch("RETR moved/*/?") == b"d[d]/*/?"
    assert client.fetch("RETR moved/file") == b"d[d]/file"
    assert client.fetch("RETR d/kept") == b"d/kept"


@pytest.mark.parametrize("taken", ["file", "directory"])
def test_what_may_replace_nothing_does_not_do_so_in_the_end_either(
    memory: FsspecFilesystem, over_memory: Running, taken: str
) -> None:
    late = over_memory.do(memory.open_write("/file", replace=False))
    over_memory.do(late.write(b"late"))
    if taken == "file":
        first = over_memory.do(memory.open_write("/file", replace=False))
        over_memory.do(first.write(b"first"))
        over_memory.do(first.commit())
    else:
        over_memory.do(memory.make_directory("/file"))
    with pytest.raises(FileExistsError):
        over_memory.do(late.commit())
    assert [info.size for info in over_memory.do(memory.entries("/"))] == [5 if taken == "file" else 0]


def test_several_may_read_one_file_at_a_time(
    client: Dialogue, memory: FsspecFilesystem, over_memory: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.put("STOR file", bytes(range(200))).code == 226
    seek = MemoryFile.seek

    def slow_seek(file: MemoryFile, *arguments: int) -> int:
        place: int = seek(file, *arguments)
        time.sleep(0.002)
        return place

    monkeypatch.setattr(MemoryFile, "seek", slow_seek, raising=False)

    async def read_all() -> list[bytes]:
        async with await memory.open_read("/file") as one, await memory.open_read("/file") as other:
            return list(await asyncio.gather(*((one, other)[at % 2].read(at, 1) for at in reversed(range(200)))))

    assert b"".join(over_memory.do(read_all())) == bytes(reversed(range(200)))


def test_a_broken_upload_leaves_nothing(client: Dialogue, memory: FsspecFilesystem, over_memory: Running) -> None:
    data = client.data()
    client.expect(150, "STOR file")
    data.sendall(b"half")
    reset(data)
    assert client.read().code == 426
    assert over_memory.do(memory.entries("/")) == []
    client.expect(550, "SIZE file")


def test_copies_and_hashes_are_made(client: Dialogue) -> None:
    assert client.put("STOR file", b"123456789").code == 226
    assert client.expect(250, "XCRC file") == "250 CBF43926"
    client.expect(350, "SITE CPFR file")
    client.expect(250, "SITE CPTO copy")
    assert client.fetch("RETR copy") == b"123456789"


def test_what_the_backend_has_not_is_refused_with_504(client: Dialogue) -> None:
    assert client.put("STOR file", b"x").code == 226
    client.expect(504, "SITE CHMOD 600 file")
    client.expect(504, "MFMT 20200101000000 file")


def test_ascii_and_tls_work_without_descriptors(memory: FsspecFilesystem, tls: Tls) -> None:
    context = tls.context()
    server = Running(
        lambda: FtpServer(filesystem=memory, port=0, users=[(User(name=USER), PASSWORD)], tls=TlsConfig(cert=tls.cert))
    )
    try:
        with Dialogue(server.address) as client:
            client.starttls(context).login()
            content = os.urandom(600_000)
            with context.wrap_socket(client.data_after("STOR file"), server_hostname="localhost") as data:
                data.sendall(content)
                data.unwrap().close()
            assert client.read().code == 226
            assert client.fetch("RETR file", context=context) == content
            client.expect(200, "TYPE A")
            client.expect(200, "PROT C")
            assert client.put("STOR text", b"a\r\nb\r\n").code == 226
            client.expect(200, "TYPE I")
            assert client.fetch("RETR text") == b"a\nb\n"
    finally:
        server.stop()
