"""The FtpPy client where the first implementation of its API went wrong, and where things fail."""

from __future__ import annotations

import asyncio
import gc
import os
import re
from pathlib import Path

import pytest

from fastxfer.ftppy import Basic, FtpClient, FtpPy, Guest, Limits, Retry, Timeout
from tests.ftppy.conftest import PEER_WARNINGS, factory, use, warned
from tests.support.ftp_servers import FTPPeer

pytestmark = PEER_WARNINGS


def test_entering_gives_the_client_itself(own: FTPPeer) -> None:
    async def main() -> None:
        client = factory(own).client()
        assert client.connection is None
        async with client as entered:
            assert entered is client
            assert client.connection is not None
        assert client.connection is None

    asyncio.run(main())


def test_outside_the_context_everything_says_so(own: FTPPeer, local: Path) -> None:
    (local / "a").touch()

    async def main() -> None:
        client = factory(own).client()
        for call in (client.list(), client.upload("a", "a"), client.copy("a", "b"), client.batch([("a", "b")])):
            with pytest.raises(RuntimeError, match=r"Client not initialized\. Use within 'async with' block\."):
                await call
        assert (await client.stats())["connected"] is False

    asyncio.run(main())


@pytest.mark.parametrize("what", ["port", "password"])
def test_failing_to_connect_is_a_connection_error(own: FTPPeer, what: str) -> None:
    seen: list[BaseException] = []

    async def error(problem: BaseException) -> None:
        seen.append(problem)

    async def main() -> None:
        auth = Basic(own.user, "a wrong password" if what == "password" else own.password)
        endpoint = "ftp://127.0.0.1:1" if what == "port" else own.url
        retry = Retry(total=0)
        with pytest.raises(ConnectionError, match="Failed to connect to FTP server"):
            async with FtpPy(endpoint, auth=auth, retry=retry, hooks={"error": error}).client():
                pytest.fail("it connected")

    asyncio.run(main())
    assert len(seen) == 1


def test_a_file_goes_to_the_path_that_is_named(peer: FTPPeer, local: Path) -> None:
    (local / "document.txt").write_text("text")
    assert use(peer, lambda client: client.upload("document.txt", "/uploads/document.pdf"))
    assert (peer.root / "uploads" / "document.pdf").read_text() == "text"
    assert use(peer, lambda client: client.upload("document.txt", "rel.txt"))
    assert (peer.root / "rel.txt").read_text() == "text"
    assert use(peer, lambda client: client.upload(Path("document.txt"), "/into/"))
    assert (peer.root / "into" / "document.txt").read_text() == "text"


def test_a_download_goes_to_the_path_that_is_named(peer: FTPPeer, local: Path) -> None:
    (peer.root / "x.csv").write_text("new")
    (local / "x.csv").write_text("an older and longer one")
    (local / "folder").mkdir()
    assert use(peer, lambda client: client.download("/x.csv", "x.csv"))
    assert (local / "x.csv").read_text() == "new"
    assert use(peer, lambda client: client.download("/x.csv", Path("folder")))
    assert (local / "folder" / "x.csv").read_text() == "new"


def test_what_is_there_is_not_replaced_when_that_is_said(peer: FTPPeer, local: Path) -> None:
    (local / "a").write_text("new")
    (peer.root / "a").write_text("old")
    result, texts = warned(peer, lambda client: client.upload("a", "/a", replace=False))
    assert (result, len(texts)) == (False, 1)
    assert (peer.root / "a").read_text() == "old"
    result, texts = warned(peer, lambda client: client.download("/a", "a", replace=False))
    assert (result, len(texts)) == (False, 1)
    assert (local / "a").read_text() == "new"


def test_missing_directories_are_not_made_when_that_is_said(own: FTPPeer, local: Path) -> None:
    (local / "a").touch()
    (own.root / "b").touch()
    result, texts = warned(own, lambda client: client.upload("a", "/no/a", dirs=False))
    assert (result, len(texts)) == (False, 1)
    assert not (own.root / "no").exists()
    result, texts = warned(own, lambda client: client.download("/b", "no/b", dirs=False))
    assert (result, len(texts)) == (False, 1)
    assert not (local / "no").exists()


def test_connections_are_opened_when_needed_and_not_before(own: FTPPeer) -> None:
    async def task(client: FtpClient) -> int:
        return len(client.pool)

    assert use(own, task, limits=Limits(connections=50)) == 1


def test_many_tasks_share_one_client(own: FTPPeer, local: Path) -> None:
    async def task(client: FtpClient) -> list[bool]:
        for number in range(20):
            (local / f"{number}").write_text(str(number))
        return await asyncio.gather(*(client.upload(f"{number}", f"/{number}") for number in range(20)))

    assert use(own, task, limits=Limits(connections=4)) == [True] * 20
    assert len(list(own.root.iterdir())) == 20


def test_sizes_are_numbers(peer: FTPPeer) -> None:
    (peer.root / "four").write_bytes(b"four")
    (peer.root / "folder").mkdir()

    async def task(client: FtpClient) -> None:
        assert await client.size("/four") == 4
        assert await client.size("/folder") is None
        entries = {entry["name"]: entry for entry in await client.list("/")}
        found = await client.search("fo*", "/")
        assert sorted(entry["name"] for entry in found) == ["folder", "four"]
        for entry in (*entries.values(), *found):
            assert list(entry) == ["path", "name", "dir", "size", "modified"]
            assert re.fullmatch(r"\d{14}", entry["modified"])
        assert (entries["four"]["size"], entries["four"]["dir"], entries["four"]["path"]) == (4, False, "/four")
        assert (entries["folder"]["size"], entries["folder"]["dir"]) == (0, True)

    use(peer, task)


def test_metadata_has_its_documented_shape(peer: FTPPeer) -> None:
    (peer.root / "folder").mkdir()
    (peer.root / "folder" / "a.txt").write_bytes(b"four")
    (peer.root / "folder" / "a.txt").chmod(0o644)
    os.utime(peer.root / "folder" / "a.txt", (1_700_000_000, 1_700_000_000))

    async def task(client: FtpClient) -> None:
        info = await client.metadata("/folder/a.txt")
        assert info is not None
        assert list(info) == ["path", "name", "size", "type", "permissions", "modified", "owner", "group"]
        assert (info["path"], info["name"], info["size"], info["type"]) == ("/folder/a.txt", "a.txt", 4, "file")
        assert info["modified"] == "20231114221320"
        # What a server does not tell is empty, and nothing is a number or None.
        assert info["permissions"] in {"", "644"}
        assert isinstance(info["owner"], str)
        assert isinstance(info["group"], str)
        folder = await client.metadata("/folder")
        assert folder is not None
        assert (folder["name"], folder["type"], folder["size"]) == ("folder", "dir", 0)

    use(peer, task)


def test_permissions_are_told_where_the_server_tells_them(own: FTPPeer) -> None:
    (own.root / "a").touch(mode=0o640)
    (own.root / "a").chmod(0o640)
    info = use(own, lambda client: client.metadata("/a"))
    assert info is not None
    assert info["permissions"] == "640"


def test_removing_what_is_not_there_fails(peer: FTPPeer) -> None:
    result, texts = warned(peer, lambda client: client.remove("/missing"))
    assert (result, len(texts)) == (False, 1)
    assert "/missing" in texts[0]


def test_chmod_leaves_the_session_in_step_and_tells_a_refusal(peer: FTPPeer, local: Path) -> None:
    (local / "a").touch()

    async def task(client: FtpClient) -> tuple[bool, bool]:
        await client.upload("a", "/a")
        good = await client.chmod("/a", "600")
        assert await client.pwd() == "/"
        assert await client.cd("/")
        bad = await client.chmod("/missing", "600")
        assert await client.pwd() == "/"
        return good, bad

    assert warned(peer, task)[0] == (True, False)
    assert (peer.root / "a").stat().st_mode & 0o777 == 0o600


def test_copy_makes_an_equal_file_and_leaves_nothing_else(peer: FTPPeer) -> None:
    (peer.root / "source.txt").write_text("content")
    assert use(peer, lambda client: client.copy("/source.txt", "/deep/er/copy.txt"))
    assert (peer.root / "deep" / "er" / "copy.txt").read_text() == "content"
    assert sorted(item.name for item in peer.root.iterdir()) == ["deep", "source.txt"]


def test_the_working_directory_holds_for_all_connections(own: FTPPeer, local: Path) -> None:
    (own.root / "work").mkdir()
    for name in ("a", "b", "c"):
        (local / name).write_text(name)

    async def task(client: FtpClient) -> None:
        assert await client.cd("/work")
        assert await client.pwd() == "/work"
        assert await client.batch([(name, name) for name in "abc"], limit=3) == dict.fromkeys("abc", True)
        assert sorted(entry["name"] for entry in await client.list()) == ["a", "b", "c"]

    use(own, task)
    assert sorted(item.name for item in (own.root / "work").iterdir()) == ["a", "b", "c"]


def test_a_listing_of_what_is_not_there_is_empty_and_warns(peer: FTPPeer) -> None:
    result, texts = warned(peer, lambda client: client.list("/missing"))
    assert (result, len(texts)) == ([], 1)


def test_an_empty_directory_is_empty_without_a_warning(peer: FTPPeer) -> None:
    (peer.root / "empty").mkdir()
    assert use(peer, lambda client: client.list("/empty")) == []


def test_existence_is_a_plain_question(peer: FTPPeer) -> None:
    (peer.root / "a").touch()

    async def task(client: FtpClient) -> list[bool]:
        return [await client.exists("/a"), await client.exists("/b")]

    assert use(peer, task) == [True, False]


def test_making_a_directory_that_is_there(own: FTPPeer) -> None:
    assert use(own, lambda client: client.mkdir("/a/b"))
    assert use(own, lambda client: client.mkdir("/a/b"))
    result, texts = warned(own, lambda client: client.mkdir("/a/b", parents=False))
    assert (result, len(texts)) == (False, 1)
    result, texts = warned(own, lambda client: client.mkdir("/no/deeper", parents=False))
    assert (result, len(texts)) == (False, 1)
    assert not (own.root / "no").exists()
    assert use(own, lambda client: client.mkdir("/one", parents=False))


def test_directories_that_are_not_empty_stay_unless_that_is_said(own: FTPPeer) -> None:
    (own.root / "full" / "deep").mkdir(parents=True)
    (own.root / "full" / "deep" / "file").touch()
    result, texts = warned(own, lambda client: client.rmdir("/full"))
    assert (result, len(texts)) == (False, 1)
    assert use(own, lambda client: client.rmdir("/full", recursive=True))
    assert not (own.root / "full").exists()


@pytest.mark.parametrize("path", ["/a\r\nDELE /b", "/a\nb", "/a\0b"])
def test_control_characters_never_reach_the_server(own: FTPPeer, local: Path, path: str) -> None:
    (own.root / "b").touch()
    (local / "x").touch()

    async def task(client: FtpClient) -> list[object]:
        return [
            await client.remove(path),
            await client.upload("x", path),
            await client.mkdir(path),
            await client.list(path),
            await client.metadata(path),
        ]

    results, texts = warned(own, task)
    assert results == [False, False, False, [], None]
    assert len(texts) == 5
    assert [item.name for item in own.root.iterdir()] == ["b"]


def test_a_guest_gets_in(own: FTPPeer) -> None:
    (own.root / "public.txt").write_text("public")

    async def task(client: FtpClient) -> int | None:
        return await client.size("/public.txt")

    assert use(own, task, auth=Guest("tests@example.org")) == 6
    assert use(own, task, auth=None) == 6


def test_active_mode_works(own: FTPPeer, local: Path) -> None:
    (local / "a").write_text("active")
    assert use(own, lambda client: client.upload("a", "/a"), passive=False)
    assert (own.root / "a").read_text() == "active"


def test_hooks_are_called_and_cannot_break_anything(own: FTPPeer, local: Path) -> None:
    (local / "a").write_text("a")
    heard: list[tuple[str, object]] = []

    def upload(source: object, target: object) -> None:
        heard.append(("upload", (source, target)))
        raise RuntimeError("the hook is broken")

    async def download(source: object, target: object) -> None:
        heard.append(("download", (source, target)))

    async def error(problem: BaseException) -> None:
        heard.append(("error", type(problem).__name__))

    async def task(client: FtpClient) -> list[object]:
        heard.append(("connected", client.connection is not None))
        return [
            await client.upload("a", "/b"),
            await client.fetch([("/b", "c"), ("/missing", "d")]),
            await client.exists("/nowhere"),
        ]

    hooks = {"upload": upload, "download": download, "error": error}
    results, texts = warned(own, task, hooks=hooks)
    assert results == [True, {"/b": True, "/missing": False}, False]
    assert ("upload", ("a", "/b")) in heard
    assert ("download", ("/b", "c")) in heard
    assert [name for kind, name in heard if kind == "error"] == ["NotFoundError"]
    assert any("the hook 'upload' failed" in text for text in texts)


def test_the_connect_hook_gets_the_connection(own: FTPPeer) -> None:
    seen: list[object] = []

    async def task(client: FtpClient) -> None:
        assert seen == [client.connection]
        await client.release(client.connection)

    use(own, task, hooks={"connect": seen.append})


def test_a_given_total_time_is_kept(own: FTPPeer, local: Path) -> None:
    # A listener that never answers: the connection stands, the greeting does not come.
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        async def main() -> None:
            ftp = FtpPy(f"ftp://127.0.0.1:{port}", timeout=Timeout(connect=20, read=20, pool=0.3))
            with pytest.raises(ConnectionError, match="Failed to connect"):
                async with ftp.client():
                    pytest.fail("it connected")

        asyncio.run(asyncio.wait_for(main(), 15))


def test_cancellation_is_not_swallowed(own: FTPPeer, local: Path) -> None:
    with open(local / "big", "wb") as file:
        file.truncate(1 << 30)

    async def task(client: FtpClient) -> None:
        upload = asyncio.ensure_future(client.upload("big", "/big"))
        await asyncio.sleep(0.05)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert await client.pwd() == "/"

    use(own, task)
    assert not (own.root / "big").exists()


def test_nothing_is_left_open_after_failures(own: FTPPeer) -> None:
    async def task(client: FtpClient) -> None:
        for _ in range(20):
            await client.list("/missing")
            await client.download("/missing", "x")

    use(own, lambda client: client.pwd())
    before = len(os.listdir("/proc/self/fd"))
    warned(own, task)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 2
