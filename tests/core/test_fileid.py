"""File IDs are taken apart without asking a server, and made as a server makes them."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conftest import core_module

NORMAL = "group1/M00/00/00/fwAAC2sEnrKAE9mjAAAADg4Qul0798.txt"
TRUNK = "group1/M00/00/00/fwAAC2sEoKaIQ3V4AAAAAzUkQcIAAAAAQAABAAAAAEA.tar_gz"


def created_by(exchange: dict[str, Any]) -> str:
    body = bytes.fromhex(exchange["response_hex"])[10:]
    return f"{body[:16].rstrip(bytes(1)).decode()}/{body[16:].decode()}"


def test_a_normal_file(wire: ModuleType) -> None:
    parts = wire.decode_file_id(NORMAL)
    assert (parts.group, parts.filename) == ("group1", NORMAL[7:])
    assert (parts.store_path_index, parts.subdirs) == (0, (0, 0))
    assert (parts.source_ip, parts.storage_id) == ("127.0.0.11", None)
    assert (parts.created, parts.size, parts.crc32) == (0x6B049EB2, 14, 0x0E10BA5D)
    assert (parts.appender, parts.slave, parts.trunk) == (False, False, False)
    assert (parts.trunk_file_id, parts.trunk_offset, parts.trunk_size) == (None, None, None)
    assert parts.extension == "txt"


def test_a_file_inside_a_trunk_file(wire: ModuleType) -> None:
    parts = wire.decode_file_id(TRUNK)
    assert (parts.trunk, parts.slave) == (True, False)
    assert (parts.trunk_file_id, parts.trunk_offset, parts.trunk_size) == (1, 1024, 256)
    assert (parts.size, parts.crc32, parts.extension) == (3, 0x352441C2, "tar_gz")


def test_store_path_and_directories_are_hexadecimal(wire: ModuleType) -> None:
    parts = wire.decode_file_id(NORMAL.replace("M00/00/00", "Mff/0A/FE"))
    assert (parts.store_path_index, parts.subdirs) == (255, (10, 254))


def test_a_name_from_before_store_paths(wire: ModuleType) -> None:
    parts = wire.decode_file_id(NORMAL.replace("M00/", ""))
    assert (parts.store_path_index, parts.size, parts.slave) == (0, 14, False)


def test_a_source_address_or_a_storage_id(wire: ModuleType) -> None:
    by_id = wire.decode_file_id("group1/M00/00/00/oYYBAGsEnw-AOQNEAAAADg4Qul0690.txt")
    assert (by_id.source_ip, by_id.storage_id) == (None, 100001)


@pytest.mark.parametrize(
    ("slave", "extension"),
    [
        ("fwAAC2sEnrKAE9mjAAAADg4Qul0798_200x200.jpg", "jpg"),
        ("fwAAC2sEnrKAE9mjAAAADg4Qul0798-s", ""),
        ("fwAAC2sEnrOEAGI2AAAAAKaEx8Y719_s.log", "log"),
        ("fwAAC2sEnrKAE9mjAAAADg4Qul0798_0123456789abcde.txt", "txt"),
        ("fwAAC2sEoKaIadznAAAADg4Qul0AAAAAQAAAAAAAAEA278_200x200.tar.gz", "tar.gz"),
    ],
)
def test_a_slave_tells_neither_size_nor_crc(wire: ModuleType, slave: str, extension: str) -> None:
    parts = wire.decode_file_id(f"group1/M00/00/00/{slave}")
    assert parts.slave
    assert (parts.size, parts.crc32, parts.trunk, parts.appender) == (None, None, False, False)
    assert parts.extension == extension


def test_every_recorded_upload_is_understood(wire: ModuleType, uploads: list[dict[str, Any]]) -> None:
    assert len(uploads) > 70
    for exchange in uploads:
        file_id = created_by(exchange)
        parts = wire.decode_file_id(file_id)
        command = exchange["command"]
        assert parts.slave == (command == "UPLOAD_SLAVE_FILE"), file_id
        assert parts.appender == (command == "UPLOAD_APPENDER_FILE"), file_id
        assert (parts.size is None) == (parts.slave or parts.appender)
        request = bytes.fromhex(exchange["request_hex"])
        if command == "UPLOAD_FILE":
            assert parts.size == struct.unpack_from(">q", request, 11)[0]
            assert parts.crc32 == core_module("crc32", "py").crc32(request[25:])
            assert parts.extension == request[19:25].rstrip(b"\0").decode()
        elif command == "UPLOAD_SLAVE_FILE":
            master_length = struct.unpack_from(">q", request, 10)[0]
            prefix, extension = request[26:42].rstrip(b"\0").decode(), request[42:48].rstrip(b"\0").decode()
            master = f"{parts.group}/{request[48 : 48 + master_length].decode()}"
            assert wire.slave_file_id(master, prefix, extension) == file_id


def test_every_recorded_upload_is_made_again(wire: ModuleType, uploads: list[dict[str, Any]]) -> None:
    """From what was decoded, with the salt that its random parts had."""
    for exchange in uploads:
        file_id = created_by(exchange)
        parts = wire.decode_file_id(file_id)
        if parts.slave:
            continue
        tail = file_id.rpartition("/")[2][27 + 16 * parts.trunk :]
        digits = tail.partition(".")[0]
        masked = int.from_bytes(_decoded(file_id)[8:16], "big")
        crc = int.from_bytes(_decoded(file_id)[16:20], "big")
        made = wire.encode_file_id(
            parts.group,
            parts.source_ip or parts.storage_id,
            parts.created,
            parts.size or 0,
            crc,
            parts.extension,
            store_path_index=parts.store_path_index,
            subdirs=parts.subdirs,
            appender=parts.appender,
            trunk=(parts.trunk_file_id, parts.trunk_offset, parts.trunk_size) if parts.trunk else None,
            salt=int(digits or "0") << 23 | (masked >> 32 & 0x7FFFFF),
        )
        assert made == file_id


def _decoded(file_id: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(file_id.rpartition("/")[2][:27] + "=")


@pytest.mark.parametrize(
    ("file_id", "reason"),
    [
        ("", "no slash"),
        ("group1", "no slash"),
        ("/M00/00/00/x", "bad group name"),
        ("gröup/M00/00/00/x", "bad group name"),
        ("group1/", "1 to 127"),
        (NORMAL + "x" * 100, "1 to 127"),
        (NORMAL.replace("M00", "MxY"), "does not begin with store path"),
        (NORMAL.replace("00/00/fw", "0a/00/fw"), "does not begin with store path"),
        (NORMAL.replace("/00/00/", "/"), "does not begin with store path"),
        ("group1/M00", "does not begin with store path"),
        ("group1/M00/00/00/", "too short"),
        ("group1/M00/00/00/" + "A" * 27, "too short"),
        (NORMAL.replace("0798", "/798"), "too many slashes"),
        (NORMAL.replace("E9m", "E.m"), "not FastDFS base64"),
        (TRUNK[:-20], "too short for a file in a trunk file"),
        (TRUNK.replace("AAAAQAAB", "AAAAQ.AB"), "not FastDFS base64"),
        # 2**56 bytes, without the mark of a salt.
        ("group1/M00/00/00/fwAACwAAAAEBAAAAAAAAAAAAAAM123.txt", "absurd size"),
        ("../../etc/passwd", "bad group name"),
        ("group1/../../etc/passwd", "does not begin with store path"),
    ],
)
def test_malformed_ids_are_refused_with_the_reason(wire: ModuleType, file_id: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        wire.decode_file_id(file_id)


def test_ids_are_values(wire: ModuleType) -> None:
    parts = wire.decode_file_id(NORMAL)
    assert parts == wire.decode_file_id(NORMAL)
    assert parts != wire.decode_file_id(TRUNK)
    assert parts != NORMAL
    assert len({parts, wire.decode_file_id(NORMAL)}) == 1
    assert pickle.loads(pickle.dumps(parts)) == parts
    assert "127.0.0.11" in repr(parts)
    with pytest.raises((AttributeError, TypeError)):
        parts.size = 5


def test_splitting_checks_characters_only(wire: ModuleType) -> None:
    assert wire.split_file_id("group1/anything/at-all_1.x") == ("group1", "anything/at-all_1.x")
    with pytest.raises(ValueError, match="no slash"):
        wire.split_file_id("group1")


ADDRESSES = st.tuples(*[st.integers(0, 255)] * 3, st.integers(1, 255)).map(lambda octets: ".".join(map(str, octets)))


@given(
    group=st.text("abcXYZ019", min_size=1, max_size=16),
    source=st.one_of(ADDRESSES, st.integers(1, 0xFFFFFF)),
    created=st.integers(0, 0xFFFFFFFF),
    size=st.one_of(st.integers(0, 1 << 33), st.integers(0, (1 << 55) - 1)),
    crc=st.integers(0, 0xFFFFFFFF),
    extension=st.text("abcXYZ019._-", max_size=6).filter(lambda text: not text.startswith(".")),
    place=st.tuples(*[st.integers(0, 255)] * 3),
    salt=st.integers(0, (1 << 47) - 1),
    kind=st.sampled_from(["normal", "appender", "trunk"]),
)
def test_what_is_encoded_is_decoded(
    group: str,
    source: str | int,
    created: int,
    size: int,
    crc: int,
    extension: str,
    place: tuple[int, int, int],
    salt: int,
    kind: str,
) -> None:
    if kind == "trunk":
        size &= 0xFFFFFFFF
    ids = []
    for implementation in ("c", "py"):
        wire = core_module("wire", implementation)
        file_id = wire.encode_file_id(
            group,
            source,
            created,
            size,
            crc,
            extension,
            store_path_index=place[0],
            subdirs=place[1:],
            appender=kind == "appender",
            trunk=(1, 2, 3) if kind == "trunk" else None,
            salt=salt,
        )
        ids.append(file_id)
        parts = wire.decode_file_id(file_id)
        assert (parts.group, parts.created, parts.extension) == (group, created, extension)
        assert (parts.store_path_index, *parts.subdirs) == place
        assert source in (parts.source_ip, parts.storage_id)
        assert (parts.appender, parts.trunk, parts.slave) == (kind == "appender", kind == "trunk", False)
        assert (parts.size, parts.crc32) == ((None, None) if parts.appender else (size, crc))
    assert ids[0] == ids[1]


class Overlong(tuple[int, ...]):
    """Says that it has three items, and gives more."""

    __slots__ = ()

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        return iter([1] * 5000)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"trunk": Overlong((1, 2, 3))}, "three trunk fields"),
        ({"group": "bad group"}, "bad group name"),
        ({"source": "300.0.0.1"}, "not an IPv4 address"),
        ({"source": "::1"}, "not an IPv4 address"),
        ({"source": 0}, "storage ID 0"),
        ({"source": 1 << 24}, "storage ID 16777216"),
        ({"created": -1}, "creation time"),
        ({"size": -1}, "size"),
        ({"size": 1 << 55}, "size"),
        ({"crc32": 1 << 32}, "CRC-32"),
        ({"extension": "toolong"}, "bad extension"),
        ({"store_path_index": 256}, "store path index"),
        ({"subdirs": (0, 256)}, "directory"),
        ({"salt": -1}, "salt"),
        ({"appender": True, "trunk": (1, 2, 3)}, "appender file cannot be inside"),
        ({"size": 1 << 32, "trunk": (1, 2, 3)}, "cannot be inside a trunk file"),
        ({"trunk": (1, 2, -3)}, "trunk field"),
        ({"trunk": (1, 2)}, "three trunk fields"),
        ({"trunk": (1, 2, 3, 4)}, "three trunk fields"),
        ({"source": "1.2.3"}, "not an IPv4 address"),
        ({"source": "1.2.3.4.5"}, "not an IPv4 address"),
        ({"source": "1.2.3."}, "not an IPv4 address"),
        ({"source": "1.2.3.0004"}, "not an IPv4 address"),
        ({"source": "1.2.3.٤"}, "not an IPv4 address"),
    ],
)
def test_what_no_id_can_say_is_refused(wire: ModuleType, change: dict[str, Any], reason: str) -> None:
    arguments = {"group": "group1", "source": "10.0.0.1", "created": 1, "size": 2, "crc32": 3, **change}
    with pytest.raises(ValueError, match=reason):
        wire.encode_file_id(**arguments)


def test_ids_of_the_same_content_differ(wire: ModuleType) -> None:
    made = {wire.encode_file_id("group1", "10.0.0.1", 1, 2, 3, "txt") for _ in range(50)}
    assert len(made) == 50


def test_slaves_are_checked(wire: ModuleType) -> None:
    assert wire.slave_file_id(NORMAL, "_s", "jpg").endswith("0798_s.jpg")
    assert wire.slave_file_id(NORMAL, "-s").endswith("0798-s")
    with pytest.raises(ValueError, match="bad slave prefix"):
        wire.slave_file_id(NORMAL, "")
    with pytest.raises(ValueError, match="bad extension"):
        wire.slave_file_id(NORMAL, "_s", "jpg/..")
    longest = wire.slave_file_id(wire.slave_file_id(NORMAL, "x" * 16), "x" * 16)
    while len(longest) - len("group1/") < 112:
        longest = wire.slave_file_id(longest, "x")
    assert len(wire.slave_file_id(longest, "x" * 15)) == len("group1/") + 127
    with pytest.raises(ValueError, match="longer than 127"):
        wire.slave_file_id(longest, "x" * 16)


@given(st.text("ABCMabcxyz0189/._-", max_size=80))
def test_twins_agree_on_any_text(name: str) -> None:
    results = []
    for implementation in ("c", "py"):
        wire = core_module("wire", implementation)
        try:
            results.append(repr(wire.decode_file_id("group1/M00/00/00/" + name)))
        except ValueError as error:
            results.append(str(error))
    assert results[0] == results[1]
