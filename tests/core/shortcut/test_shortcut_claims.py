"""The name of a small upload before it is whole: claimed, and nobody else's."""

from __future__ import annotations

import errno
import gc
import os
import stat

import pytest

from tests.core.shortcut.conftest import Staged, Upload, native


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
