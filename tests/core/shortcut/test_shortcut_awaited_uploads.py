"""Small files that native code waits for: how they end."""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import threading

import pytest

from tests.core.shortcut.conftest import DEADLINE, OPENING, Staged, Upload, native

resource = pytest.importorskip("resource", reason="the server needs a POSIX system")


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
