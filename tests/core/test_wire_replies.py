"""Reply fields, whichever width their addresses have, and metadata text."""

from __future__ import annotations

import random
import struct
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conftest import core_module

G16 = b"group1".ljust(16, b"\0")
PORT = struct.pack(">q", 23000)


def address(text: str, width: int) -> bytes:
    return text.encode().ljust(width, b"\0")


def test_headers_are_unpacked(wire: ModuleType) -> None:
    assert wire.HEADER_SIZE == 10
    assert wire.unpack_header(struct.pack(">qBB", 40, 100, 2) + b"more") == (40, 100, 2)
    assert wire.unpack_header(memoryview(struct.pack(">qBB", -5, 100, 255))) == (-5, 100, 255)
    with pytest.raises(ValueError, match="10 bytes, not 9"):
        wire.unpack_header(bytes(9))


@pytest.mark.parametrize(("ip", "width"), [("127.0.0.21", 15), ("255.255.255.255", 15), ("fd00::1234", 45)])
def test_addresses_have_the_width_that_the_length_tells(wire: ModuleType, ip: str, width: int) -> None:
    server = address(ip, width) + PORT
    assert wire.unpack_store_target(G16 + server + b"\x07") == ("group1", ip, 23000, 7)
    assert wire.unpack_fetch_target(bytearray(G16 + server)) == ("group1", ip, 23000)
    servers = [(ip, 23000)] * 3
    assert wire.unpack_store_targets(G16 + server * 3 + b"\xff") == ("group1", servers, 255)
    assert wire.unpack_fetch_targets(memoryview(G16 + server * 3)) == ("group1", servers)
    info = struct.pack(">qqq", 5, 1795464602, -2) + address(ip, width + 1)
    assert wire.unpack_file_info(info) == (5, 1795464602, 0xFFFFFFFE, ip)


@pytest.mark.parametrize("function", ["unpack_store_target", "unpack_fetch_target", "unpack_file_info"])
@pytest.mark.parametrize("length", [0, 1, 16, 38, 41, 71, 1000])
def test_other_lengths_are_refused(wire: ModuleType, function: str, length: int) -> None:
    with pytest.raises(ValueError, match=f"reply of {length} bytes is not"):
        getattr(wire, function)(bytes(length))


@pytest.mark.parametrize("length", [0, 1, 16, 17, 30, 41, 90])
def test_lists_of_other_lengths_are_refused(wire: ModuleType, length: int) -> None:
    with pytest.raises(ValueError, match="is not a list of"):
        wire.unpack_store_targets(bytes(length))
    with pytest.raises(ValueError, match="is not a list of"):
        wire.unpack_fetch_targets(bytes(length))


@pytest.mark.parametrize("port", [0, -1, 65536, 1 << 62])
def test_absurd_ports_are_refused(wire: ModuleType, port: int) -> None:
    with pytest.raises(ValueError, match="is not a port"):
        wire.unpack_fetch_target(G16 + address("10.0.0.1", 15) + struct.pack(">q", port))


def test_file_ids_are_checked(wire: ModuleType) -> None:
    assert wire.unpack_file_id(G16 + b"M00/00/00/abc") == "group1/M00/00/00/abc"
    for body in (b"", G16, bytes(16) + b"M00", G16 + b"a b", G16 + b"\xff"):
        with pytest.raises(ValueError, match=r"file ID|group name"):
            wire.unpack_file_id(body)


def test_fields_are_read_in_place(wire: ModuleType) -> None:
    data = b"x" + struct.pack(">qq", -1, 1 << 40) + struct.pack(">ii", -7, 7) + b"ab\0cd" + b"\xff"
    assert wire.unpack_int64s(data, 1, 2) == (-1, 1 << 40)
    assert wire.unpack_int32s(memoryview(data), 17, 2) == (-7, 7)
    assert wire.unpack_text(data, 25, 5) == "ab"
    assert wire.unpack_text(data, 28, 2) == "cd"
    assert wire.unpack_text(data, 30, 1) == "\udcff"
    assert wire.unpack_int64s(data, len(data), 0) == ()


@pytest.mark.parametrize("place", [(-1, 1), (24, 1), (0, -1), (0, 4), (1 << 62, 1), (0, 1 << 62)])
def test_fields_outside_are_refused(wire: ModuleType, place: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not within"):
        wire.unpack_int64s(bytes(31), *place)
    with pytest.raises(ValueError, match="not within"):
        wire.unpack_text(bytes(3), *place)


def test_recorded_replies_are_understood(wire: ModuleType, exchanges: list[dict[str, Any]]) -> None:
    readers = {
        101: "unpack_store_target",
        104: "unpack_store_target",
        106: "unpack_store_targets",
        107: "unpack_store_targets",
        102: "unpack_fetch_target",
        103: "unpack_fetch_target",
        105: "unpack_fetch_targets",
        22: "unpack_file_info",
        15: "decode_metadata",
    }
    read = 0
    for exchange in exchanges:
        response = bytes.fromhex(exchange["response_hex"])
        if len(response) < 10:
            continue
        length, command, status = wire.unpack_header(response)
        assert (command, status) == (100, exchange["status"])
        assert length == exchange["body_len"]
        if not status and exchange["cmd"] in readers and length == len(response) - 10:
            getattr(wire, readers[exchange["cmd"]])(response[10:])
            read += 1
    assert read > 60


# --- metadata


def test_metadata_has_no_separator_at_its_end(wire: ModuleType) -> None:
    assert wire.encode_metadata({"b": "2", "a": "1"}) == b"b\x022\x01a\x021"
    assert wire.encode_metadata({"empty": ""}) == b"empty\x02"
    assert wire.encode_metadata({}) == b""


@pytest.mark.parametrize("byte", ["\0", "\x01", "\x02"])
def test_separators_in_metadata_are_refused(wire: ModuleType, byte: str) -> None:
    with pytest.raises(ValueError, match="holds one of the bytes"):
        wire.encode_metadata({f"a{byte}": "b"})
    with pytest.raises(ValueError, match="holds one of the bytes"):
        wire.encode_metadata({"a": f"{byte}b"})


def test_metadata_limits_are_bytes(wire: ModuleType) -> None:
    wire.encode_metadata({"ä" * 32: "ö" * 128})
    with pytest.raises(ValueError, match=r"name .* longer than 64 bytes"):
        wire.encode_metadata({"ä" * 33: ""})
    with pytest.raises(ValueError, match=r"value .* longer than 256 bytes"):
        wire.encode_metadata({"a": "ö" * 128 + "x"})
    with pytest.raises(ValueError, match="name is empty"):
        wire.encode_metadata({"": "x"})


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        (b"", {}),
        (b"a\x021\x01b\x022", {"a": "1", "b": "2"}),
        (b"a\x021\x01", {"a": "1"}),
        (b"a\x021\0", {"a": "1"}),
        (b"a\x02b\x02c", {"a": "b\x02c"}),
        (b"alone\x01b\x02", {"alone": "", "b": ""}),
        (b"a\x02\xff", {"a": "\udcff"}),
        (b"\0\x01\0", {}),
    ],
)
def test_stored_metadata_is_decoded_tolerantly(wire: ModuleType, text: bytes, metadata: dict[str, str]) -> None:
    assert wire.decode_metadata(text) == metadata


@given(st.dictionaries(st.text(min_size=1, max_size=16), st.text(max_size=40), max_size=5))
def test_metadata_comes_back(metadata: dict[str, str]) -> None:
    texts = []
    for implementation in ("c", "py"):
        wire = core_module("wire", implementation)
        try:
            texts.append(wire.encode_metadata(metadata))
        except ValueError:
            texts.append(None)
            continue
        assert wire.decode_metadata(texts[-1]) == metadata
    assert texts[0] == texts[1]


def test_random_bytes_never_do_more_than_raise_value_error() -> None:
    source = random.Random(3)
    functions = [
        "unpack_store_target",
        "unpack_store_targets",
        "unpack_fetch_target",
        "unpack_fetch_targets",
        "unpack_file_id",
        "unpack_file_info",
        "unpack_header",
        "decode_metadata",
    ]
    for _ in range(2000):
        body = source.randbytes(source.choice([0, 5, 17, 39, 40, 69, 70, 85, 86, source.randrange(300)]))
        for function in functions:
            results = []
            for implementation in ("c", "py"):
                try:
                    results.append(getattr(core_module("wire", implementation), function)(body))
                except ValueError as error:
                    results.append(str(error))
            assert results[0] == results[1], (function, body)
