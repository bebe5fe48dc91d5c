"""A small file from the line to the reply in one call, compiled and pure."""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.core.conftest import core_module

pytest.importorskip("fcntl", reason="the server needs a POSIX system")
resource = pytest.importorskip("resource", reason="the server needs a POSIX system")

DEADLINE = 60.0
OPENING = b"150 opening\r\n"


class Stage:
    """A shortcut with both ends of its control connection, a directory and a passive port."""

    def __init__(self, module: Any, root: Path, stack: ExitStack, **settings: Any) -> None:
        self.module = module
        self.root = root
        self.client, self.control = (stack.enter_context(sock) for sock in socket.socketpair())
        self.client.settimeout(DEADLINE)
        self.control.setblocking(False)
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.listener.setblocking(False)
        self.top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, self.top)
        self._stack = stack
        wanted = {
            "address": "127.0.0.1",
            "epsv": b"229 port\r\n",
            "pasv": b"227 port\r\n",
            "sending": b"150 ",
            "sent": b" bytes\r\n226 done\r\n",
            "opening": OPENING,
            "cwd": "/",
            "suffix": ".part",
            "partial_name": lambda name: b".%b.part" % name,
            "reads": True,
            "writes": True,
            "beneath": True,
            "mode": 0o640,
            "uses": 3,
            "max_line": 200,
        }
        self.shortcut = module.Shortcut(
            self.control.fileno(), self.listener.fileno(), self.top, **{**wanted, **settings}
        )

    def told(self) -> bytes:
        """What the client was told."""
        return self.client.recv(4096)

    def connect(self) -> socket.socket:
        """Ask for the port and connect to it."""
        assert self.shortcut.serve(b"EPSV\r\n") is True
        assert self.told() == b"229 port\r\n"
        return self._stack.enter_context(socket.create_connection(self.listener.getsockname(), timeout=DEADLINE))

    def still_waits(self) -> bool:
        """Whether the client's connection can still be taken."""
        found = self.shortcut.take() or self.module.accept(self.listener.fileno())
        if found is None:
            return False
        os.close(found[0])
        return bool(found[1] == "127.0.0.1")


Staged = Callable[..., Stage]


@pytest.fixture
def stage(implementation: str, tmp_path: Path) -> Iterator[Staged]:
    root = tmp_path / "root"
    root.mkdir()
    module = core_module("ftpserve", implementation)
    with ExitStack() as stack:
        yield lambda **settings: Stage(module, root, stack, **settings)


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_what_was_sent_is_told_and_what_was_not_is_not(stage: Staged) -> None:
    told: list[Any] = []
    at = stage(ended=lambda *what: told.append(what))
    (at.root / "ünï").write_bytes(b"12345")
    at.connect()
    before = time.monotonic()
    assert at.shortcut.serve(b"RETR missing\r\n") is False
    assert at.shortcut.serve("RETR ünï\r\n".encode()) is True
    ((*what, started),) = told
    assert what == ["RETR", "/ünï", 5]
    assert before <= started <= time.monotonic()


@pytest.mark.parametrize("size", [0, 1, 4096, 16384, 16385])
def test_a_small_file_is_sent_and_its_end_told(stage: Staged, size: int) -> None:
    at = stage()
    content = os.urandom(size)
    (at.root / "ünï").write_bytes(content)
    data = at.connect()
    assert at.shortcut.prepared
    assert at.shortcut.serve("RETR ünï\r\n".encode()) is True
    assert read_all(data) == content
    assert at.told() == b"150 %d bytes\r\n226 done\r\n" % size
    assert not at.shortcut.prepared
    assert at.shortcut.kept_since > 0


def test_one_port_serves_as_often_as_it_may(stage: Staged) -> None:
    at = stage(uses=2)
    (at.root / "file").write_bytes(b"x")
    for verb, reply in (b"PASV", b"227 port\r\n"), (b"EPSV", b"229 port\r\n"):
        assert at.shortcut.serve(verb + b"\r\n") is True
        assert at.told() == reply
        assert at.shortcut.serve(b"EPSV\r\n") is False, "it has told its port already"
        with socket.create_connection(at.listener.getsockname(), timeout=DEADLINE) as data:
            assert at.shortcut.serve(b"RETR /file\r\n") is True
            assert read_all(data) == b"x"
        at.told()
    assert at.shortcut.uses == 0
    assert at.shortcut.serve(b"EPSV\r\n") is False


def test_who_has_connected_before_the_port_was_told_is_turned_away(stage: Staged) -> None:
    at = stage()
    with socket.create_connection(at.listener.getsockname(), timeout=DEADLINE) as early:
        at.connect()
        assert early.recv(1) == b""


@pytest.mark.parametrize(
    "line",
    [
        b"RETR missing\r\n",
        b"RETR directory\r\n",
        b"RETR fifo\r\n",
        b"RETR out\r\n",
        b"RETR large\r\n",
        b"RETR file/\r\n",
        b"RETR ./file\r\n",
        b"RETR a/../file\r\n",
        b"RETR ../file\r\n",
        b"RETR ..\r\n",
        b"RETR //file\r\n",
        b"RETR /\r\n",
        b"RETR \r\n",
        b"RETR hidden.part\r\n",
        b"RETR fi\x01le\r\n",
        b"RETR fi\0le\r\n",
        b"RETR fi\rle\r\n",
        b"RETR fi\x7fle\r\n",
        b"RETR fi\xff\xffle\r\n",
        b"RETR " + b"x" * 300 + b"\r\n",
        b"retr file\r\n",
        b"RETR file\n",
        b"RETR file\r\nNOOP\r\n",
        b"RETR file",
        b"RETRfile\r\n",
        b"SIZE file\r\n",
        b" RETR file\r\n",
        b"EPSV 1\r\n",
        b"NOOP\r\n",
        b"STOR directory\r\n",
        b"STOR missing/file\r\n",
        b"STOR out\r\n",
        b"STOR upload.part\r\n",
        b"",
    ],
)
def test_all_else_is_left_as_it_stands(stage: Staged, line: bytes) -> None:
    at = stage()
    for name in "file", "hidden.part", "fi\x01le":
        (at.root / name).write_bytes(b"x")
    (at.root / "directory").mkdir()
    (at.root / "out").symlink_to("/etc/passwd")
    (at.root / "large").write_bytes(bytes(65537))
    os.mkfifo(at.root / "fifo")
    before = sorted(os.listdir(at.root))
    at.connect()
    assert at.shortcut.serve(line) is False
    assert at.still_waits()
    assert sorted(os.listdir(at.root)) == before
    at.client.setblocking(False)
    with pytest.raises(BlockingIOError):
        at.told()


def test_what_is_not_its_business_is_left(stage: Staged) -> None:
    at = stage(reads=False, writes=False, epsv=b"", pasv=b"")
    (at.root / "file").write_bytes(b"x")
    for line in b"EPSV\r\n", b"PASV\r\n", b"RETR file\r\n", b"STOR file\r\n":
        assert at.shortcut.serve(line) is False


def test_without_a_connection_nothing_is_done(stage: Staged) -> None:
    at = stage()
    (at.root / "file").write_bytes(b"x")
    assert at.shortcut.serve(b"RETR file\r\n") is False, "no port was told"
    assert at.shortcut.serve(b"EPSV\r\n") is True
    assert at.shortcut.serve(b"RETR file\r\n") is False
    assert at.shortcut.serve(b"STOR new\r\n") is False
    assert os.listdir(at.root) == ["file"]


@pytest.mark.parametrize("line", [b"RETR file\r\n", b"STOR new\r\n"])
def test_a_connection_from_elsewhere_is_given_back(stage: Staged, line: bytes) -> None:
    at = stage(address="127.0.0.9")
    (at.root / "file").write_bytes(b"x")
    data = at.connect()
    assert at.shortcut.serve(line) is False
    assert at.shortcut.serve(line) is False
    found = at.shortcut.take()
    assert found is not None
    assert found[1] == "127.0.0.1"
    assert at.shortcut.take() is None
    os.close(found[0])
    assert data.recv(1) == b""
    assert os.listdir(at.root) == ["file"]


def test_a_connection_that_nobody_takes_is_closed_with_it(stage: Staged) -> None:
    at = stage(address="127.0.0.9")
    (at.root / "file").write_bytes(b"x")
    data = at.connect()
    assert at.shortcut.serve(b"RETR file\r\n") is False
    del at.shortcut
    assert data.recv(1) == b""


def test_what_the_connection_does_not_take_at_once_is_left(stage: Staged) -> None:
    at = stage()
    at.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    content = os.urandom(65536)
    (at.root / "file").write_bytes(content)
    assert at.shortcut.serve(b"EPSV\r\n") is True
    at.told()
    with socket.socket() as data:
        data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        data.settimeout(DEADLINE)
        data.connect(at.listener.getsockname())
        verb, path, fd, connection, moved = at.shortcut.serve(b"RETR file\r\n")
        assert (verb, path) == ("RETR", "/file")
        assert 0 <= moved < len(content)
        assert os.pread(fd, len(content), 0) == content
        os.close(fd)
        os.close(connection)
        assert read_all(data) == content[:moved]
    assert at.shortcut.prepared


def test_what_the_client_does_not_take_of_a_reply_is_given_back(stage: Staged) -> None:
    at = stage()
    (at.root / "file").write_bytes(b"x")
    at.connect()
    try:
        while True:
            at.control.send(bytes(65536))
    except BlockingIOError:
        pass
    assert at.shortcut.serve(b"RETR file\r\n") == b"150 1 bytes\r\n226 done\r\n"


def test_an_upload_is_opened_beside_its_name_and_landed_on_it(stage: Staged) -> None:
    at = stage()
    data = at.connect()
    verb, path, fd, connection, directory, partial, unsent, _ = at.shortcut.serve("STOR ünï\r\n".encode())
    assert (verb, path, directory, partial, unsent) == ("STOR", "/ünï", at.top, ".ünï.part", b"")
    assert at.told() == OPENING
    assert at.shortcut.prepared
    assert os.listdir(at.root) == [".ünï.part"]
    with pytest.raises(OSError, match=r"ünï\.part"):
        at.module.open_partial(at.top, ".ünï.part", 0o600)
    os.write(fd, b"content")
    assert at.module.land(directory, partial, "ünï", fd, connection, at.control.fileno(), b"226 done\r\n") == 10
    assert at.told() == b"226 done\r\n"
    assert data.recv(1) == b""
    assert os.listdir(at.root) == ["ünï"]
    assert (at.root / "ünï").read_bytes() == b"content"
    assert stat.S_IMODE((at.root / "ünï").stat().st_mode) == 0o640
    at.shortcut.keep()
    assert not at.shortcut.prepared


def test_an_upload_begins_empty_with_the_mode_of_what_it_replaces(stage: Staged) -> None:
    at = stage()
    (at.root / "file").write_bytes(b"old")
    (at.root / "file").chmod(0o604)
    (at.root / ".file.part").write_bytes(b"what an earlier one has left")
    at.connect()
    *_, fd, connection, _, _, _, _ = at.shortcut.serve(b"STOR file\r\n")
    status = os.fstat(fd)
    assert (status.st_size, stat.S_IMODE(status.st_mode)) == (0, 0o604)
    assert (at.root / "file").read_bytes() == b"old"
    os.close(fd)
    os.close(connection)


def test_an_upload_to_a_name_that_is_taken_or_being_written_is_left_to_others(stage: Staged) -> None:
    at = stage()
    (at.root / "taken").mkdir()
    busy, _, _ = at.module.open_partial(at.top, ".busy.part", 0o600)
    at.connect()
    assert at.shortcut.serve(b"STOR taken\r\n") is False
    assert at.still_waits()
    at.shortcut.keep()
    at.connect()
    assert at.shortcut.serve(b"STOR busy\r\n") is False
    assert at.still_waits()
    os.close(busy)
    assert sorted(os.listdir(at.root)) == [".busy.part", "taken"]


def test_an_upload_that_cannot_have_its_name_stays_open(stage: Staged) -> None:
    at = stage()
    at.connect()
    *_, fd, connection, directory, partial, _, _ = at.shortcut.serve(b"STOR file\r\n")
    at.told()
    (at.root / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        at.module.land(directory, partial, "file", fd, connection, at.control.fileno(), b"226 done\r\n")
    os.write(fd, b"still open")
    os.close(fd)
    os.close(connection)
    at.client.setblocking(False)
    with pytest.raises(BlockingIOError):
        at.told()


@pytest.mark.parametrize(("cwd", "name"), [("/a/b", "file"), ("/", "a/b/file"), ("/elsewhere", "/a/b/file")])
def test_paths_with_directories_stay_below_the_top(implementation: str, stage: Staged, cwd: str, name: str) -> None:
    at = stage(cwd=cwd)
    (at.root / "a" / "b").mkdir(parents=True)
    (at.root / "a" / "b" / "file").write_bytes(b"x")
    data = at.connect()
    done = at.shortcut.serve(f"RETR {name}\r\n".encode())
    if implementation == "py" or not done:
        assert done is False, "only openat2(2) opens such paths at once"
        return
    assert read_all(data) == b"x"
    at.told()
    at.connect()
    *_, path, fd, connection, directory, partial, _, _ = at.shortcut.serve(f"STOR {name}2\r\n".encode())
    assert path == "/a/b/file2"
    at.module.land(directory, partial, "file2", fd, connection, at.control.fileno(), b"226 done\r\n")
    os.close(directory)
    assert (at.root / "a" / "b" / "file2").exists()
    at.shortcut.keep()
    at.told()
    (at.root / "a" / "out").symlink_to(at.root.parent)
    (at.root.parent / "secret").write_bytes(b"x")
    at.connect()
    assert at.shortcut.serve(b"RETR /a/out/secret\r\n") is False
    assert at.shortcut.serve(b"STOR /a/out/new\r\n") is False
    assert not (at.root.parent / "new").exists()


def test_wrong_arguments_are_refused(implementation: str) -> None:
    module = core_module("ftpserve", implementation)
    with pytest.raises(TypeError):
        module.Shortcut(1, 2, 3)


class Transport:
    """What a shortcut asks of the control connection's transport."""

    def __init__(self) -> None:
        self.closing = False
        self.waiting = 0

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.waiting


class Upload:
    """An upload that native code waits for."""

    def __init__(self, stage: Staged, name: str = "file", *, folder: str = "", left: bytes = b"") -> None:
        module = core_module("ftpserve", "c")
        self.told: list[Any] = []
        self.transport = Transport()
        self.uploads = module.Uploads(b"226 done\r\n")
        self.at = stage(
            uploads=self.uploads, owner="owner", transport=self.transport, ended=lambda *what: self.told.append(what)
        )
        if folder:
            (self.at.root / folder).mkdir()
        if left:
            (self.at.root / f".{name}.part").write_bytes(left)
        self.data = self.at.connect()
        assert self.at.shortcut.serve(f"STOR {name}\r\n".encode()) is None
        assert self.at.told() == OPENING
        assert self.at.shortcut.uploading_since > 0

    def collect(self) -> Any:
        """How it ends, where others are left something to do; else b"" once it has ended, and None before."""
        with select.epoll() as poll:
            poll.register(self.uploads.fileno(), select.EPOLLIN)
            assert poll.poll(DEADLINE)
        found = self.uploads.collect()
        if not found:
            return None if self.at.shortcut.uploading_since else b""
        ((owner, end),) = found
        assert owner == "owner"
        return end


native = pytest.mark.parametrize("implementation", ["c"], indirect=True)


@native
def test_a_small_upload_takes_its_name_when_it_has_come_whole(stage: Staged) -> None:
    upload = Upload(stage)
    began = upload.at.shortcut.uploading_since
    assert upload.uploads.collect() == []
    upload.data.sendall(b"first, ")
    assert upload.collect() is None
    assert upload.told == []
    assert os.listdir(upload.at.root) == []
    upload.data.sendall(b"second")
    upload.data.close()
    end = None
    while end is None:
        end = upload.collect()
    assert end == b""
    assert upload.at.told() == b"226 done\r\n"
    assert os.listdir(upload.at.root) == ["file"]
    assert (upload.at.root / "file").read_bytes() == b"first, second"
    assert upload.told == [("STOR", "/file", 13, began)]
    assert upload.at.shortcut.uploading_since == 0
    assert not upload.at.shortcut.prepared
    assert upload.at.shortcut.release() is None
    upload.at.connect()


def taken_from(data: socket.socket) -> int:
    """The descriptor of this process's other end of *data*."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            with socket.socket(fileno=os.dup(fd)) as found:
                if found.getpeername() == data.getsockname():
                    return fd
        except OSError:
            continue
    raise AssertionError("nobody has taken the connection")


@native
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are looked for in /proc")
def test_an_upload_is_over_though_another_process_still_has_its_connection(stage: Staged) -> None:
    upload = Upload(stage)
    # As a child has it between fork and exec.
    kept = os.dup(taken_from(upload.data))
    try:
        upload.data.close()
        assert upload.collect() == b""
        with select.epoll() as poll:
            poll.register(upload.uploads.fileno(), select.EPOLLIN)
            assert poll.poll(0) == [], "the end would be told again and again"
        assert upload.uploads.collect() == []
    finally:
        os.close(kept)


@native
@pytest.mark.parametrize("state", ["closing", "waiting"])
def test_the_reply_is_left_where_it_cannot_be_sent_past_the_transport(stage: Staged, state: str) -> None:
    upload = Upload(stage)
    setattr(upload.transport, state, 1)
    upload.data.close()
    assert upload.collect() == b"226 done\r\n"
    assert (upload.at.root / "file").read_bytes() == b""


@native
def test_a_large_upload_is_left_to_others_with_all_that_has_come(stage: Staged) -> None:
    upload = Upload(stage)
    content = os.urandom(4 << 20)
    end = None
    sender = threading.Thread(target=upload.data.sendall, args=(content,))
    sender.start()
    while end is None:
        end = upload.collect()
    rest, error, _ = end
    *_, fd, connection, directory, partial, unsent, received = rest
    assert (error, directory, partial, unsent) == (0, upload.at.top, ".file.part", b"")
    assert 0 < received < len(content)
    assert os.pread(fd, len(content), 0) == content[:received]
    with socket.socket(fileno=connection) as taken:
        taken.setblocking(True)
        while received < len(content):
            received += len(taken.recv(1 << 20))
    sender.join(DEADLINE)
    os.close(fd)
    assert upload.uploads.collect() == []
    assert upload.told == []


@native
def test_a_connection_that_breaks_is_not_taken_for_the_end(stage: Staged) -> None:
    upload = Upload(stage)
    upload.data.sendall(b"half")
    assert upload.collect() is None
    upload.data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    upload.data.close()
    rest, error, of_file = upload.collect()
    assert (error, of_file) == (errno.ECONNRESET, False)
    assert rest[-1] == 4
    os.close(rest[2])
    os.close(rest[3])
    assert os.listdir(upload.at.root) == [".file.part"]


@native
def test_a_name_that_cannot_be_had_is_the_files_failure(stage: Staged) -> None:
    upload = Upload(stage)
    (upload.at.root / "file").mkdir()
    upload.data.close()
    rest, error, of_file = upload.collect()
    assert (error, of_file) == (errno.EISDIR, True)
    os.close(rest[2])
    os.close(rest[3])


@native
def test_what_is_released_is_waited_for_no_longer(stage: Staged) -> None:
    upload = Upload(stage)
    upload.data.sendall(b"more")
    verb, path, fd, connection, directory, partial, unsent, received = upload.at.shortcut.release()
    assert (verb, path, directory, partial, unsent, received) == ("STOR", "/file", upload.at.top, ".file.part", b"", 0)
    assert upload.uploads.collect() == []
    assert upload.at.shortcut.release() is None
    os.close(fd)
    os.close(connection)
    upload.uploads.close()
    upload.uploads.close()
    assert upload.uploads.fileno() == -1
    assert upload.uploads.collect() == []


@native
def test_nothing_stays_open_of_an_upload_that_nobody_ends(stage: Staged) -> None:
    upload = Upload(stage)
    data = upload.data
    upload.at.shortcut = None
    del upload.uploads
    del upload
    gc.collect()
    assert data.recv(1) == b""


@native
def test_a_small_upload_has_no_name_but_a_claim_to_it_before_it_is_whole(stage: Staged) -> None:
    upload = Upload(stage)
    upload.data.sendall(b"half")
    assert upload.collect() is None
    assert os.listdir(upload.at.root) == []
    with pytest.raises(OSError, match=r"file\.part") as refused:
        upload.at.module.open_partial(upload.at.top, ".file.part", 0o600)
    assert refused.value.errno == errno.EBUSY
    assert os.listdir(upload.at.root) == []
    other, _, _ = upload.at.module.open_partial(upload.at.top, ".other.part", 0o600)
    os.close(other)
    upload.data.close()
    while upload.collect() is None:
        pass
    free, size, _ = upload.at.module.open_partial(upload.at.top, ".file.part", 0o600)
    os.close(free)
    assert size == 0
    assert (upload.at.root / "file").read_bytes() == b"half"
    assert stat.S_IMODE((upload.at.root / "file").stat().st_mode) == 0o640


@native
def test_a_name_claimed_in_another_directory_is_free_in_this(stage: Staged) -> None:
    upload = Upload(stage)
    (upload.at.root / "a").mkdir()
    below = os.open(upload.at.root / "a", os.O_RDONLY | os.O_DIRECTORY)
    try:
        free, _, _ = upload.at.module.open_partial(below, ".file.part", 0o600)
        os.close(free)
    finally:
        os.close(below)


@native
def test_a_second_small_upload_of_a_name_is_left_to_those_who_refuse_it(stage: Staged) -> None:
    upload = Upload(stage)
    second = stage(uploads=upload.uploads, owner="second", transport=upload.transport)
    second.connect()
    assert second.shortcut.serve(b"STOR file\r\n") is False
    assert second.still_waits()
    assert os.listdir(second.root) == []


@native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="another process is made by fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_claim_holds_in_other_processes(stage: Staged) -> None:
    upload = Upload(stage)
    child = os.fork()
    if not child:
        code = 1
        try:
            upload.at.module.open_partial(upload.at.top, ".file.part", 0o600)
        except OSError as error:
            code = 0 if error.errno == errno.EBUSY else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    upload.data.close()
    while upload.collect() is None:
        pass
    assert os.listdir(upload.at.root) == ["file"]


@native
def test_an_upload_that_is_released_has_its_hidden_name_and_is_locked(stage: Staged) -> None:
    upload = Upload(stage)
    upload.data.sendall(b"half")
    assert upload.collect() is None
    *_, fd, connection, _, partial, _, received = upload.at.shortcut.release()
    assert (partial, received) == (".file.part", 4)
    assert (upload.at.root / ".file.part").read_bytes() == b"half"
    with pytest.raises(OSError, match=r"file\.part"):
        upload.at.module.open_partial(upload.at.top, ".file.part", 0o600)
    os.close(fd)
    os.close(connection)
    again, size, _ = upload.at.module.open_partial(upload.at.top, ".file.part", 0o600)
    os.close(again)
    assert size == 4


@native
def test_what_an_earlier_upload_has_left_is_replaced_by_the_next(stage: Staged) -> None:
    upload = Upload(stage, left=b"what an earlier one has left")
    assert os.listdir(upload.at.root) == [".file.part"]
    upload.data.sendall(b"new")
    upload.data.close()
    while upload.collect() is None:
        pass
    assert os.listdir(upload.at.root) == ["file"]
    assert (upload.at.root / "file").read_bytes() == b"new"


@native
def test_a_name_taken_meanwhile_is_replaced(stage: Staged) -> None:
    upload = Upload(stage)
    (upload.at.root / "file").write_bytes(b"somebody else's")
    upload.data.sendall(b"later")
    upload.data.close()
    while upload.collect() is None:
        pass
    assert (upload.at.root / "file").read_bytes() == b"later"
    assert os.listdir(upload.at.root) == ["file"]


@native
def test_a_directory_removed_meanwhile_is_the_files_failure(stage: Staged) -> None:
    upload = Upload(stage, name="a/file", folder="a")
    (upload.at.root / "a").rmdir()
    upload.data.sendall(b"lost")
    upload.data.close()
    end = None
    while end is None:
        end = upload.collect()
    rest, error, of_file = end
    assert (error, of_file) == (errno.ENOENT, True)
    verb, path, fd, connection, directory, _, unsent, number = rest
    assert (verb, path, fd, directory, unsent, number) == ("STOR", "/a/file", -1, -1, b"", errno.ENOENT)
    os.close(connection)
    assert upload.at.shortcut.release() is None
    upload.at.client.setblocking(False)
    with pytest.raises(BlockingIOError):
        upload.at.told()


@native
def test_a_claim_that_nobody_ends_goes_with_its_shortcut(stage: Staged) -> None:
    upload = Upload(stage)
    module, top = upload.at.module, os.dup(upload.at.top)
    upload.at.shortcut = None
    del upload.uploads
    del upload
    gc.collect()
    free, _, _ = module.open_partial(top, ".file.part", 0o600)
    os.close(free)
    os.close(top)


@native
def test_a_file_that_takes_no_more_is_left_with_what_it_took(stage: Staged) -> None:
    upload = Upload(stage)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    upload.data.sendall(b"more than that")
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
    try:
        rest, error, of_file = upload.collect()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (error, of_file, rest[-1]) == (errno.EFBIG, True, 4)
    assert os.listdir(upload.at.root) == [".file.part"]
    assert (upload.at.root / ".file.part").read_bytes() == b"more"
    os.close(rest[2])
    os.close(rest[3])


@native
def test_a_file_that_cannot_be_made_any_more_is_told_of_behind_the_opening(stage: Staged) -> None:
    upload = Upload(stage)
    upload.data.close()
    while upload.collect() is None:
        pass
    at = upload.at
    assert at.told() == b"226 done\r\n"
    data = at.connect()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(at.top)
    os.close(free)
    # There is room for the connection and for nothing else.
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))
    try:
        rest = at.shortcut.serve(b"STOR next\r\n")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert at.told() == OPENING
    verb, path, fd, connection, directory, _, unsent, number = rest
    assert (verb, path, fd, directory, unsent, number) == ("STOR", "/next", -1, -1, b"", errno.EMFILE)
    os.close(connection)
    assert data.recv(1) == b""
    assert os.listdir(at.root) == ["file"]
    free, _, _ = at.module.open_partial(at.top, ".next.part", 0o600)
    os.close(free)
