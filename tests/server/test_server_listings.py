"""LIST, NLST, MLSD, MLST, STAT with a path, and globs (RFC 959, RFC 3659 section 7)."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig, PassiveConfig, Permissions, User, listing
from fastxfer.server.sendlisting import stepwise
from tests.server.dialogue import PASSWORD, USER, Dialogue, Running, read_all, wait_for


@pytest.fixture
def tree(root: Path) -> Path:
    """``a.txt``, ``b.txt``, ``.hidden``, ``dir/inner.txt``, ``dir/deep/bottom.txt`` and a link."""
    (root / "dir" / "deep").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"12345")
    (root / "b.txt").write_bytes(b"")
    (root / ".hidden").write_bytes(b"")
    (root / "dir" / "inner.txt").write_bytes(b"")
    (root / "dir" / "deep" / "bottom.txt").write_bytes(b"")
    (root / "link").symlink_to("a.txt")
    os.utime(root / "a.txt", (1_000_000_000, 1_000_000_000))
    return root


def names(listing: bytes) -> list[str]:
    return sorted(line.split(maxsplit=8)[8] for line in listing.decode().splitlines())


def test_list_has_the_form_of_ls(client: Dialogue, tree: Path) -> None:
    lines = client.fetch("LIST").decode().split("\r\n")
    assert lines.pop() == ""
    by_name = {line.split(maxsplit=8)[8]: line for line in lines}
    assert set(by_name) == {".hidden", "a.txt", "b.txt", "dir", "link -> a.txt"}
    assert by_name["a.txt"] == "-rw-r--r--   1 ftp      ftp                 5 Sep  9  2001 a.txt"
    assert by_name["dir"].startswith("drwxr-xr-x")
    assert by_name["link -> a.txt"].startswith("lrwxrwxrwx")


@pytest.mark.parametrize("argument", ["/dir", "dir", "dir/", "-la dir", "-a -l dir", "./dir", "dir/../dir", "//dir//"])
def test_list_takes_paths_and_options(client: Dialogue, tree: Path, argument: str) -> None:
    assert names(client.fetch(f"LIST {argument}")) == ["deep", "inner.txt"]


@pytest.mark.parametrize("options", ["", "-t "])
@pytest.mark.parametrize("argument", ["dir", "dir/", "/dir", "./dir", "dir/../dir", "dir/deep", ".", "/", ""])
def test_other_commands_take_what_nlst_names(client: Dialogue, tree: Path, options: str, argument: str) -> None:
    listed = client.fetch(f"NLST {options}{argument}".rstrip()).decode().splitlines()
    assert listed
    for name in listed:
        client.expect(250, f"MLST {name}")


def test_list_of_a_file_is_that_file(client: Dialogue, tree: Path) -> None:
    assert names(client.fetch("LIST a.txt")) == ["a.txt"]
    assert client.fetch("NLST dir/inner.txt") == b"dir/inner.txt\r\n"


def test_a_name_may_begin_with_a_dash(client: Dialogue, root: Path) -> None:
    (root / "-weird name").mkdir()
    (root / "-weird name" / "x").write_text("")
    for argument in ("-- -weird name", "./-weird name", "-weird name", "/-weird name"):
        named = argument.removeprefix("-- ")
        assert client.fetch(f"NLST {argument}") == f"{named}/x\r\n".encode()


def test_a_missing_directory_is_refused(client: Dialogue, tree: Path) -> None:
    client.passive()
    for command in ("LIST nothing", "NLST nothing", "MLSD nothing", "MLST nothing", "STAT nothing", "LIST no*thing"):
        client.expect(550, command)


def test_an_empty_directory_is_an_empty_listing(client: Dialogue, root: Path) -> None:
    assert client.fetch("LIST") == b""
    assert client.fetch("NLST") == b""
    assert client.fetch("MLSD") == b""


def test_recursive_order_and_reverse_options(client: Dialogue, tree: Path) -> None:
    text = client.fetch("NLST -R").decode()
    assert "./dir/deep:\r\nbottom.txt" in text
    (tree / "largest").write_bytes(b"x" * 100_000)
    assert client.fetch("NLST -S").startswith(b"largest\r\n")
    assert client.fetch("NLST -tr").startswith(b"a.txt\r\n")
    assert names(client.fetch("LIST -d dir")) == ["dir"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", ["a.txt", "b.txt"]),
        ("?.txt", ["a.txt", "b.txt"]),
        ("[ac].txt", ["a.txt"]),
        ("*/*.txt", ["dir/inner.txt"]),
        ("/d*/deep/*", ["/dir/deep/bottom.txt"]),
        (".h*", [".hidden"]),
    ],
)
def test_wildcards(client: Dialogue, tree: Path, pattern: str, found: list[str]) -> None:
    assert client.fetch(f"NLST {pattern}").decode().split() == found


def test_a_name_with_wildcard_characters_can_be_listed(client: Dialogue, root: Path) -> None:
    (root / "a[1]").mkdir()
    (root / "a[1]" / "x").write_text("")
    assert client.fetch("NLST a[1]") == b"a[1]/x\r\n"


def test_mlsd_tells_the_facts(client: Dialogue, tree: Path) -> None:
    lines = client.fetch("MLSD").decode().split("\r\n")
    assert "type=file;size=5;modify=20010909014640;perm=adfrw;UNIX.mode=0644; a.txt" in lines
    directory = next(line for line in lines if line.endswith(" dir"))
    assert directory.startswith("type=dir;modify=")
    assert "perm=cdeflmp;" in directory
    assert any(line.startswith("type=OS.unix=symlink;") and line.endswith(" link") for line in lines)


def test_opts_mlst_chooses_facts(client: Dialogue, tree: Path) -> None:
    assert client.expect(200, "OPTS MLST size;type;nonsense;") == "200 MLST OPTS type;size;"
    assert "type=file;size=5; a.txt" in client.fetch("MLSD").decode().split("\r\n")
    assert any("type*;size*;modify;" in line for line in client.expect(211, "FEAT").lines)
    client.expect(200, "OPTS MLST")
    assert " a.txt" in client.fetch("MLSD").decode().split("\r\n")


def test_mlst_is_one_entry_on_the_control_connection(client: Dialogue, tree: Path) -> None:
    reply = client.expect(250, "MLST a.txt")
    assert reply.lines[1] == " type=file;size=5;modify=20010909014640;perm=adfrw;UNIX.mode=0644; /a.txt"
    assert client.expect(250, "MLST").lines[1].endswith(" /")


def test_mlsd_of_a_file_is_an_error(client: Dialogue, tree: Path) -> None:
    client.passive()
    client.expect(501, "MLSD a.txt")


def test_the_perm_fact_follows_the_permissions(serve: Callable[..., Running], tree: Path) -> None:
    server = serve(users=[(User(name=USER, permissions=Permissions("read-only")), PASSWORD)])
    with Dialogue(server.address) as client:
        lines = client.login().fetch("MLSD").decode().splitlines()
    assert any("type=file;" in line and "perm=r;" in line for line in lines)
    assert any("type=dir;" in line and "perm=el;" in line for line in lines)


def test_stat_lists_on_the_control_connection(client: Dialogue, tree: Path) -> None:
    lines = client.expect(212, "STAT dir").lines
    assert sorted(line.split()[-1] for line in lines[1:-1]) == ["deep", "inner.txt"]
    assert client.expect(213, "STAT a.txt").lines[1].endswith("a.txt")


def test_stat_takes_wildcards(client: Dialogue, tree: Path) -> None:
    lines = client.expect(212, "STAT *.txt").lines
    assert [line.split()[-1] for line in lines[1:-1]] == ["a.txt", "b.txt"]
    client.expect(550, "STAT *.none")


def test_ten_thousand_entries(client: Dialogue, root: Path) -> None:
    for number in range(10_000):
        (root / f"file-{number:05}-ünïcode").touch()
    expected = sorted(entry.name for entry in root.iterdir())
    assert sorted(client.fetch("NLST").decode().split("\r\n")[:-1]) == expected
    assert names(client.fetch("LIST")) == expected
    assert sorted(line.split("; ", 1)[1] for line in client.fetch("MLSD").decode().splitlines()) == expected


def test_listings_of_one_command_are_limited(serve: Callable[..., Running], root: Path) -> None:
    for number in range(50):
        (root / f"{number:02}").touch()
    server = serve(limits=LimitsConfig(list_entries=20))
    with Dialogue(server.address) as client:
        client.login()
        assert len(client.fetch("NLST").splitlines()) == 20
        assert len(client.fetch("NLST *").splitlines()) <= 20
        assert len(client.fetch("LIST -R").splitlines()) <= 21
        assert len(client.fetch("MLSD").splitlines()) == 50, "mirrors depend on MLSD being whole"


@pytest.mark.parametrize("command", ["LIST", "MLSD", "NLST", "LIST -R"])
def test_the_opening_reply_comes_before_a_listing_that_the_client_does_not_read_yet(
    serve: Callable[..., Running], root: Path, command: str
) -> None:
    """Clients read the 150 before any of the data: more than the system keeps for them must not come first."""
    for number in range(4000):
        (root / f"{'n' * 60}{number:04}").touch()
    server = serve(passive=PassiveConfig(buffer=4096))
    with Dialogue(server.address) as client:
        listed = client.login().fetch(command)
    assert listed.count(b"n" * 60) == 4000


def test_other_sessions_have_their_turns_while_a_client_takes_a_whole_listing_at_once() -> None:
    async def turns_between(pieces: int) -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        assert [piece async for piece in stepwise(iter([b"x"] * pieces))] == [b"x"] * pieces
        task.cancel()
        return turns

    assert asyncio.run(turns_between(20)) >= 20


@pytest.mark.parametrize("command", ["LIST", "NLST", "MLSD"])
@pytest.mark.parametrize("read", [0, 200])
def test_a_directory_that_cannot_be_read_to_its_end_is_no_shorter_listing(
    client: Dialogue, monkeypatch: pytest.MonkeyPatch, command: str, read: int, descriptors: Callable[[], int]
) -> None:
    def failing(*arguments: object, **options: object) -> Iterator[bytes]:
        for _ in range(read):
            yield b"name\r\n" * 11000
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    held = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(listing, "DirectoryLister", failing)
        with client.data_after(command) as data:
            assert len(read_all(data)) == 66000 * read
        assert client.read().code == 451
    wait_for(lambda: descriptors() <= held)
    assert client.fetch("NLST") == b""
