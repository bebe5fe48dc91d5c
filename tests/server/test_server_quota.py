"""Quotas hold whatever a user does, and take nothing that is not used."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import (
    FsspecFilesystem,
    LocalFilesystem,
    ServerConfig,
    Service,
    TlsConfig,
    UploadsConfig,
    User,
    UserTable,
)
from fastxfer.server.account import Account
from fastxfer.server.quota import Ledger, Quota
from tests.server.conftest import Tls
from tests.server.dialogue import PASSWORD, USER, Dialogue, Running, reset, wait_for

QUOTA = 1000


@pytest.fixture
def limited(serve: Callable[..., Running]) -> Running:
    """A server whose user may have 1000 bytes."""
    return serve(users=[(User(name=USER, quota_bytes=QUOTA), PASSWORD)])


@pytest.fixture
def alice(limited: Running) -> Iterator[Dialogue]:
    with Dialogue(limited.address) as client:
        yield client.login()


def held(root: Path) -> int:
    """Bytes on the disk, unfinished uploads included."""
    return sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def begin(client: Dialogue, command: str, body: bytes, root: Path) -> socket.socket:
    """Begin an upload, and wait until *body* is on the disk."""
    before = held(root)
    data = client.data_after(command)
    data.sendall(body)
    wait_for(lambda: held(root) >= before + len(body))
    return data


def break_off(client: Dialogue, command: str, body: bytes, root: Path) -> None:
    """An upload that brings *body* and breaks off."""
    reset(begin(client, command, body, root))
    assert client.read().code == 426


def free(client: Dialogue) -> int:
    return int(client.expect(213, "AVBL").split()[1])


# Not to be dodged


def test_a_link_that_is_renamed_over_gives_nothing_back(alice: Dialogue, root: Path) -> None:
    assert alice.put("STOR big", bytes(900)).code == 226
    alice.expect(200, "SITE SYMLINK /big /link")
    assert alice.put("STOR small", b"").code == 226
    alice.expect(350, "RNFR small")
    alice.expect(250, "RNTO link")
    assert free(alice) == 100
    alice.passive()
    assert alice.put("STOR more", bytes(900)).code == 552
    assert held(root) == 900


def test_what_broken_uploads_leave_is_counted(alice: Dialogue, root: Path) -> None:
    break_off(alice, "STOR first", bytes(600), root)
    assert free(alice) == 400
    alice.passive()
    assert alice.put("STOR second", bytes(500)).code == 552
    break_off(alice, "STOR third", bytes(300), root)
    assert free(alice) == 100
    assert held(root) == 900


def test_what_broken_uploads_left_before_is_counted(serve: Callable[..., Running], root: Path) -> None:
    with Dialogue(serve().address) as client:
        break_off(client.login(), "STOR file", bytes(700), root)
    with Dialogue(serve(users=[(User(name=USER, quota_bytes=QUOTA), PASSWORD)]).address) as client:
        assert free(client.login()) == 300


def test_uploads_under_way_count_for_each_other(limited: Running, root: Path) -> None:
    with Dialogue(limited.address) as one, Dialogue(limited.address) as two:
        one.login()
        two.login()
        with begin(one, "STOR one", bytes(700), root):
            wait_for(lambda: free(two) == 300)
            assert two.put("STOR two", bytes(400)).code == 552
            assert two.put("STOR two", bytes(300)).code == 226
        assert one.read().code == 226
    assert held(root) == QUOTA


def test_a_file_deleted_while_it_is_replaced_is_given_back_once(limited: Running, root: Path) -> None:
    with Dialogue(limited.address) as one, Dialogue(limited.address) as two:
        one.login()
        two.login()
        assert two.put("STOR file", bytes(900)).code == 226
        with begin(one, "STOR file", bytes(900), root):
            two.expect(250, "DELE file")
            assert two.put("STOR other", bytes(900)).code == 226
        assert one.read().code == 552
        assert free(two) == 100
    assert held(root) == 900


def test_a_file_deleted_while_it_grows_is_given_back_once(limited: Running, root: Path) -> None:
    with Dialogue(limited.address) as one, Dialogue(limited.address) as two:
        one.login()
        two.login()
        assert two.put("STOR file", b"").code == 226
        with begin(one, "APPE file", bytes(900), root):
            wait_for(lambda: free(two) == 100)
            two.expect(250, "DELE file")
            assert free(two) == QUOTA
        assert one.read().code == 226
        assert free(two) == QUOTA


def test_links_count_as_files(serve: Callable[..., Running], root: Path) -> None:
    server = serve(users=[(User(name=USER, quota_files=2), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        assert client.put("STOR file", b"x").code == 226
        client.expect(200, "SITE SYMLINK /file /link")
        client.expect(552, "SITE SYMLINK /file /other")
        client.expect(250, "DELE link")
        client.expect(257, "MKD dir")


def test_broken_uploads_count_as_files(serve: Callable[..., Running], root: Path) -> None:
    server = serve(users=[(User(name=USER, quota_files=2), PASSWORD)])
    with Dialogue(server.address) as client:
        client.login()
        break_off(client, "STOR one", b"x", root)
        break_off(client, "STOR two", b"x", root)
        client.passive()
        client.expect(552, "STOR three")
        assert client.put("APPE one", b"y").code == 226
        client.passive()
        client.expect(552, "STOR three")
    assert len(list(root.iterdir())) == 2


def test_a_tree_that_two_users_share_has_one_quota(serve: Callable[..., Running], root: Path) -> None:
    users = [(User(name=name, quota_bytes=QUOTA), PASSWORD) for name in ("alice", "bob")]
    server = serve(users=users)
    with Dialogue(server.address) as alice, Dialogue(server.address) as bob:
        alice.login("alice")
        bob.login("bob")
        assert free(bob) == QUOTA
        assert alice.put("STOR a", bytes(600)).code == 226
        assert free(bob) == 400
        assert bob.put("STOR b", bytes(600)).code == 552


def test_a_tree_that_is_counted_twice_at_the_same_time_counts_once(root: Path) -> None:
    """Two workers that are asked for the first time do so, and two users of one tree with limits of their own."""

    class Slow(LocalFilesystem):
        async def measure(self) -> tuple[int, int]:
            found = await super().measure()
            counting.append(found)
            if len(counting) == 2:
                both.set()
            await both.wait()
            return found

    async def main() -> None:
        ledger = Ledger()
        quotas = [Quota(Slow(root), QUOTA + number, 0, ledger) for number in range(2)]
        await asyncio.gather(*(quota.refresh() for quota in quotas))
        assert ledger.read()[:2] == (300, 2)
        assert [quota.room() for quota in quotas] == [QUOTA - 300, QUOTA + 1 - 300]

    counting: list[tuple[int, int]] = []
    both = asyncio.Event()
    (root / "one").write_bytes(bytes(100))
    (root / "two").write_bytes(bytes(200))
    asyncio.run(main())


def test_users_of_one_name_in_different_trees_have_their_own_quotas(root: Path) -> None:
    for name in ("north", "south"):
        (root / name).mkdir()
    user = User(name="alice", quota_bytes=QUOTA)

    async def go(service: Service) -> None:
        north, south = service.account(user, "north.test"), service.account(user, "south.test")
        await write(north, bytes(900))
        assert await room(north) == 100
        assert await room(south) == QUOTA
        await write(south, bytes(900))

    with_service(root, go, ServerConfig(hosts={"north.test": "/north", "south.test": "/south"}))
    assert held(root) == 1800


# Not too strict


def test_what_is_appended_to_counts_once(alice: Dialogue, root: Path) -> None:
    assert alice.put("STOR file", bytes(600)).code == 226
    assert alice.put("APPE file", bytes(300)).code == 226
    assert free(alice) == 100
    assert alice.put("APPE file", bytes(101)).code == 552
    assert (root / "file").stat().st_size == 900, "what was there is left, what was too much is not"
    assert free(alice) == 100


def test_a_file_that_is_replaced_gives_its_bytes_back(alice: Dialogue, root: Path) -> None:
    assert alice.put("STOR file", bytes(900)).code == 226
    assert alice.put("STOR file", bytes(1000)).code == 226
    assert free(alice) == 0
    assert alice.put("STOR file", bytes(10)).code == 226
    assert free(alice) == 990
    assert alice.put("STOR file", bytes(1001)).code == 552
    assert (root / "file").stat().st_size == 10
    assert free(alice) == 990


def test_a_copy_over_a_file_gives_its_bytes_back(alice: Dialogue, root: Path) -> None:
    assert alice.put("STOR one", bytes(400)).code == 226
    assert alice.put("STOR two", bytes(500)).code == 226
    alice.expect(350, "SITE CPFR one")
    alice.expect(250, "SITE CPTO two")
    assert free(alice) == 200
    alice.expect(350, "SITE CPFR one")
    alice.expect(552, "SITE CPTO three")
    assert free(alice) == 200
    assert held(root) == 800


def test_a_resumed_upload_counts_once(alice: Dialogue, root: Path) -> None:
    break_off(alice, "STOR file", bytes(600), root)
    assert alice.expect(213, "SIZE file") == "213 600"
    alice.expect(350, "REST 600")
    assert alice.put("STOR file", bytes(400)).code == 226
    assert free(alice) == 0
    assert (root / "file").stat().st_size == QUOTA


def test_an_upload_begun_anew_gives_back_what_the_broken_one_left(alice: Dialogue, root: Path) -> None:
    break_off(alice, "STOR file", bytes(600), root)
    assert alice.put("STOR file", bytes(800)).code == 226
    assert free(alice) == 200


def test_a_broken_upload_over_a_file_keeps_no_more_than_there_is_room_for(alice: Dialogue, root: Path) -> None:
    assert alice.put("STOR file", bytes(700)).code == 226
    break_off(alice, "STOR file", bytes(700), root)
    assert free(alice) == 0
    assert held(root) == QUOTA
    assert alice.put("STOR file", bytes(700)).code == 226
    assert free(alice) == 300
    assert held(root) == 700


def test_what_a_broken_upload_has_left_can_be_deleted(alice: Dialogue, root: Path) -> None:
    break_off(alice, "STOR file", bytes(600), root)
    alice.expect(250, "DELE file")
    assert held(root) == 0
    assert free(alice) == QUOTA
    alice.expect(550, "DELE file")


def test_what_is_being_uploaded_cannot_be_deleted(limited: Running, root: Path) -> None:
    with Dialogue(limited.address) as one, Dialogue(limited.address) as two:
        one.login()
        two.login()
        with begin(one, "STOR file", bytes(100), root):
            two.expect(450, "DELE file")
        assert one.read().code == 226


def test_an_upload_that_is_refused_leaves_nothing_in_the_books(alice: Dialogue, root: Path) -> None:
    for _ in range(3):
        assert alice.put("STOR file", bytes(1001)).code == 552
    (root / "dir").mkdir()
    alice.passive()
    alice.expect(550, "STOR dir")
    alice.expect(550, "SITE SYMLINK /file /dir")
    assert free(alice) == QUOTA
    assert [path.name for path in root.iterdir()] == ["dir"]


def test_uploads_through_tls_and_in_ascii_count_alike(serve: Callable[..., Running], root: Path, tls: Tls) -> None:
    server = serve(users=[(User(name=USER, quota_bytes=QUOTA), PASSWORD)], tls=TlsConfig(cert=tls.cert))
    with Dialogue(server.address) as client:
        client.login()
        client.expect(200, "TYPE A")
        assert client.put("STOR text", b"line\r\n" * 100).code == 226
        size = (root / "text").stat().st_size
        assert client.put("APPE text", b"more\r\n" * 10).code == 226
        client.expect(200, "TYPE I")
        assert free(client) == QUOTA - size - size // 10
        assert client.put("APPE text", bytes(QUOTA)).code == 552
        assert free(client) == QUOTA - size - size // 10


def test_files_written_in_place_count_once(serve: Callable[..., Running], root: Path) -> None:
    users = [(User(name=USER, quota_bytes=QUOTA, quota_files=2), PASSWORD)]
    with Dialogue(serve(users=users, uploads=UploadsConfig(atomic=False)).address) as client:
        client.login()
        assert client.put("STOR file", bytes(900)).code == 226
        assert client.put("STOR file", bytes(400)).code == 226
        assert free(client) == 600
        break_off(client, "STOR other", bytes(500), root)
        assert free(client) == 100
        client.passive()
        client.expect(552, "STOR third")


def test_many_uploads_at_the_same_time_end_with_true_books(limited: Running, root: Path) -> None:
    def upload(number: int) -> None:
        with Dialogue(limited.address) as client:
            client.login()
            for turn in range(5):
                client.put(f"STOR file{number}", bytes(50 + turn)) if turn % 2 else break_off_plainly(client, number)
            client.say(f"DELE file{number}")
            client.put(f"STOR file{number}", bytes(50))

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Dialogue(limited.address) as client:
        client.login()
        wait_for(lambda: free(client) == QUOTA - held(root))


def break_off_plainly(client: Dialogue, number: int) -> None:
    data = client.data_after(f"STOR file{number}")
    data.sendall(bytes(40))
    reset(data)
    client.read()


# Below


def test_a_filesystem_without_descriptors_counts_too(root: Path) -> None:
    pytest.importorskip("fsspec", reason="needs fsspec")
    filesystem = FsspecFilesystem(f"file://{root}")
    user = User(name="alice", quota_bytes=QUOTA, filesystem=filesystem)

    async def go(service: Service) -> None:
        account = service.account(user)
        await write(account, bytes(400))
        await account.copy("/file", "/copy")
        assert await room(account) == 200
        await write(account, bytes(600))
        assert await room(account) == 0
        with pytest.raises(OSError, match="quota"):
            await write(account, bytes(601))
        with pytest.raises(OSError, match="quota"):
            await account.copy("/file", "/another")
        assert await room(account) == 0
        await account.copy("/copy", "/file")
        await account.remove("/copy")
        assert await room(account) == 600
        await filesystem.close()

    with_service(root, go)


def test_a_recount_in_the_middle_of_an_upload_counts_it_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = User(name="alice", quota_bytes=QUOTA)

    async def go(service: Service) -> None:
        account = service.account(user)
        await write(account, bytes(200))
        writer = await account.open_write("/file")
        await writer.write(bytes(400))
        with monkeypatch.context() as patched:
            patched.setattr("fastxfer.server.quota.RECOUNT_AFTER", 0.0)
            assert await room(account) == 400
        await writer.write(bytes(300))
        await writer.commit()
        assert await room(account) == 300

    with_service(root, go)


def with_service(
    root: Path, go: Callable[[Service], Coroutine[Any, Any, None]], config: ServerConfig | None = None
) -> None:
    async def run() -> None:
        service = Service(config or ServerConfig(), LocalFilesystem(root), UserTable())
        try:
            await go(service)
        finally:
            await service.close()

    asyncio.run(run())


async def write(account: Account, data: bytes) -> None:
    """Make *data* the content of ``/file``."""
    writer = await account.open_write("/file")
    try:
        await writer.write(data)
    except BaseException:
        await writer.abort()
        raise
    await writer.commit()


async def room(account: Account) -> int:
    """Bytes that may still come."""
    quota = account._quota
    assert quota is not None
    await quota.refresh()
    return quota.room()
