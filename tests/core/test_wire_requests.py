"""Request heads: what goes before the file's bytes, and what is refused before anything is sent."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conftest import core_module

FILE_ID = "group1/M00/00/00/fwAAC2sEnrKAE9mjAAAADg4Qul0798.txt"
NAME = FILE_ID.partition("/")[2].encode()
G16 = b"group1".ljust(16, b"\0")
MAX = (1 << 63) - 1

HEADS: list[tuple[str, tuple[Any, ...], bytes]] = [
    ("pack_header", (0, 111), struct.pack(">qBB", 0, 111, 0)),
    ("pack_header", (MAX, 255, 255), struct.pack(">qBB", MAX, 255, 255)),
    ("group_request", (104, "group1"), struct.pack(">qBB", 16, 104, 0) + G16),
    ("group_request", (92, "group1", "100001"), struct.pack(">qBB", 22, 92, 0) + G16 + b"100001"),
    ("file_request", (22, FILE_ID, 3), struct.pack(">qBB", 16 + len(NAME), 22, 3) + G16 + NAME),
    ("upload_request", (11, 255, 5, "txt"), struct.pack(">qBBBq6s", 20, 11, 0, 255, 5, b"txt")),
    ("upload_request", (23, 0, 0), struct.pack(">qBBBq6s", 15, 23, 0, 0, 0, b"")),
    (
        "upload_slave_request",
        (FILE_ID, 9, "_s", "tar.gz"),
        struct.pack(">qBBqq16s6s", 38 + len(NAME) + 9, 21, 0, len(NAME), 9, b"_s", b"tar.gz") + NAME,
    ),
    ("append_request", (FILE_ID, 7), struct.pack(">qBBqq", 16 + len(NAME) + 7, 24, 0, len(NAME), 7) + NAME),
    ("append_request", (FILE_ID, 0), struct.pack(">qBBqq", 16 + len(NAME), 24, 0, len(NAME), 0) + NAME),
    ("modify_request", (FILE_ID, 4, 7), struct.pack(">qBBqqq", 24 + len(NAME) + 7, 34, 0, len(NAME), 4, 7) + NAME),
    ("truncate_request", (FILE_ID, 1 << 40), struct.pack(">qBBqq", 16 + len(NAME), 36, 0, len(NAME), 1 << 40) + NAME),
    ("truncate_request", (FILE_ID, MAX), struct.pack(">qBBqq", 16 + len(NAME), 36, 0, len(NAME), MAX) + NAME),
    ("regenerate_request", (FILE_ID,), struct.pack(">qBB", len(NAME), 38, 0) + NAME),
    ("download_request", (FILE_ID,), struct.pack(">qBBqq", 32 + len(NAME), 14, 0, 0, 0) + G16 + NAME),
    ("download_request", (FILE_ID, 5, 6), struct.pack(">qBBqq", 32 + len(NAME), 14, 0, 5, 6) + G16 + NAME),
]

REFUSED: list[tuple[str, tuple[Any, ...], str]] = [
    ("pack_header", (-1, 1), "length -1"),
    ("pack_header", (0, 256), "command 256"),
    ("pack_header", (0, 1, -1), "status -1"),
    ("group_request", (104, ""), "bad group name"),
    ("group_request", (104, "g" * 17), "bad group name"),
    ("group_request", (104, "grüp"), "bad group name"),
    ("group_request", (104, "a/b"), "bad group name"),
    ("group_request", (104, "group1", "x" * 128), "bad server"),
    ("group_request", (104, "group1", "a\0b"), "bad server"),
    ("file_request", (22, ""), "no slash"),
    ("file_request", (22, "group1"), "no slash"),
    ("file_request", (22, "group1/"), "1 to 127"),
    ("file_request", (22, "/M00/00/00/x"), "bad group name"),
    ("file_request", (22, "group1/" + "x" * 128), "1 to 127"),
    ("file_request", (22, "group1/M00/00/00/a b"), "1 to 127"),
    ("file_request", (22, "group1/M00/00/00/a\0b"), "1 to 127"),
    ("file_request", (22, "group1/M00/00/00/a\nb"), "1 to 127"),
    ("file_request", (22, "group1/M00/00/00/ä"), "1 to 127"),
    ("upload_request", (11, 256, 1), "store path index 256"),
    ("upload_request", (11, -1, 1), "store path index -1"),
    ("upload_request", (11, 0, -1), "size -1"),
    ("upload_request", (11, 0, MAX), "size"),
    ("upload_request", (11, 0, 1, "seven77"), "bad extension"),
    ("upload_request", (11, 0, 1, "a/b"), "bad extension"),
    ("upload_request", (11, 0, 1, "a\0"), "bad extension"),
    ("upload_request", (11, 0, 1, "éé"), "bad extension"),
    ("upload_request", (11, 0, 1, ".toolong"), "bad extension"),
    ("upload_slave_request", (FILE_ID, 1, ""), "bad slave prefix"),
    ("upload_slave_request", (FILE_ID, 1, "x" * 17), "bad slave prefix"),
    ("upload_slave_request", (FILE_ID, 1, "a/b"), "bad slave prefix"),
    ("append_request", (FILE_ID, -1), "size -1"),
    ("append_request", (FILE_ID, MAX), "size"),
    ("modify_request", (FILE_ID, -1, 1), "offset -1"),
    ("truncate_request", (FILE_ID, -1), "size -1"),
    ("download_request", (FILE_ID, -1), "offset -1"),
    ("download_request", (FILE_ID, 0, -1), "length -1"),
    ("set_metadata_request", (FILE_ID, "X", b""), "metadata flag"),
]


@pytest.mark.parametrize(("function", "arguments", "expected"), HEADS, ids=lambda value: str(value)[:30])
def test_heads_are_packed(wire: ModuleType, function: str, arguments: tuple[Any, ...], expected: bytes) -> None:
    assert getattr(wire, function)(*arguments) == expected


@pytest.mark.parametrize(("function", "arguments", "expected"), HEADS, ids=lambda value: str(value)[:30])
def test_a_buffer_is_packed_alike(wire: ModuleType, function: str, arguments: tuple[Any, ...], expected: bytes) -> None:
    buffer = wire.RequestBuffer()
    method = getattr(buffer, "header" if function == "pack_header" else function)
    assert method(*arguments) == len(expected) == len(buffer)
    assert bytes(buffer) == expected


@pytest.mark.parametrize(("function", "arguments", "reason"), REFUSED, ids=lambda value: str(value)[:30])
def test_what_cannot_be_carried_is_refused(
    wire: ModuleType, function: str, arguments: tuple[Any, ...], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        getattr(wire, function)(*arguments)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 31, 32, 33, 44, 48, 126, 127])
def test_one_wrong_character_is_seen_wherever_it_stands(wire: ModuleType, length: int) -> None:
    """Those just outside the ranges of characters that are allowed, which are looked at many at a time."""
    for position in range(length):
        for wrong in "\0,:@[^`{\x7f":
            name = "x" * position + wrong + "x" * (length - position - 1)
            with pytest.raises(ValueError, match="1 to 127"):
                wire.file_request(22, f"group1/{name}")


@pytest.mark.parametrize("length", [1, 44])
def test_each_character_is_allowed_or_not(wire: ModuleType, length: int) -> None:
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/")
    for code in range(0x180):
        name = chr(code).rjust(length, "x")
        if chr(code) in allowed:
            assert wire.file_request(22, f"group1/{name}").endswith(name.encode())
        else:
            with pytest.raises(ValueError, match="1 to 127"):
                wire.file_request(22, f"group1/{name}")


@pytest.mark.parametrize("size", [1 << 63, -(1 << 63) - 1, 1 << 200])
def test_integers_that_no_field_holds_are_refused(wire: ModuleType, size: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        wire.append_request(FILE_ID, size)


@pytest.mark.parametrize(
    "call",
    [
        lambda wire: wire.file_request(22, None),
        lambda wire: wire.file_request(22, FILE_ID.encode()),
        lambda wire: wire.append_request(FILE_ID, "5"),
        lambda wire: wire.upload_request(11, 0, 1.5),
        lambda wire: wire.set_metadata_request(FILE_ID, "O", "text"),
    ],
)
def test_wrong_types_are_type_errors(wire: ModuleType, call: Callable[[ModuleType], object]) -> None:
    with pytest.raises((TypeError, AttributeError, struct.error)):
        call(wire)


def test_metadata_head_carries_its_text(wire: ModuleType) -> None:
    text = wire.encode_metadata({"width": "1920", "höhe": "1080"})
    head = struct.pack(">qBBqq", 17 + 16 + len(NAME) + len(text), 13, 0, len(NAME), len(text))
    assert wire.set_metadata_request(FILE_ID, "M", text) == head + b"M" + G16 + NAME + text
    assert wire.set_metadata_request(FILE_ID, "O", bytearray())[-len(NAME) :] == NAME


def test_a_buffer_refuses_to_change_while_somebody_holds_it(wire: ModuleType) -> None:
    buffer = wire.RequestBuffer()
    buffer.header(0, 111)
    with memoryview(buffer) as view:
        assert view.tobytes() == wire.pack_header(0, 111)
        with pytest.raises(BufferError):
            buffer.header(0, 82)
        assert view.tobytes() == wire.pack_header(0, 111)
    buffer.header(0, 82)
    assert bytes(buffer) == wire.pack_header(0, 82)


def test_a_refused_head_leaves_the_buffer_as_it_was(wire: ModuleType) -> None:
    buffer = wire.RequestBuffer()
    buffer.file_request(12, FILE_ID)
    with pytest.raises(ValueError, match="no slash"):
        buffer.file_request(12, "nonsense")
    assert bytes(buffer) == wire.file_request(12, FILE_ID)


def test_text_fields_are_padded(wire: ModuleType) -> None:
    assert wire.pack_text("ab", 4) == b"ab\0\0"
    assert wire.pack_text("\udcff", 2) == b"\xff\0"
    with pytest.raises(ValueError, match="longer than 3 bytes"):
        wire.pack_text("äö", 3)
    with pytest.raises(ValueError, match="NUL"):
        wire.pack_text("a\0", 4)


def test_recorded_requests_are_made_byte_for_byte(wire: ModuleType, exchanges: list[dict[str, Any]]) -> None:
    """Wherever a recorded request is well formed, the functions make the same bytes from its fields."""
    made = 0
    for exchange in exchanges:
        request = bytes.fromhex(exchange["request_hex"])
        if exchange["cmd"] in (12, 15, 22, 102, 103, 105) and exchange["status"] == 0:
            group = request[10:26].rstrip(b"\0").decode()
            file_id = f"{group}/{request[26:].decode()}"
            assert wire.file_request(request[8], file_id, request[9]) == request
        elif exchange["cmd"] in (11, 23) and exchange["status"] == 0:
            size = int.from_bytes(request[11:19], "big")
            head = wire.upload_request(request[8], request[10], size, request[19:25].rstrip(b"\0").decode())
            assert request.startswith(head)
        elif exchange["cmd"] == 14 and exchange["status"] == 0:
            offset, length = struct.unpack(">qq", request[10:26])
            file_id = f"{request[26:42].rstrip(bytes(1)).decode()}/{request[42:].decode()}"
            assert wire.download_request(file_id, offset, length) == request
        else:
            continue
        made += 1
    assert made > 100


@given(
    command=st.integers(0, 255),
    index=st.integers(0, 255),
    size=st.integers(0, (1 << 63) - 16),
    extension=st.text("abcXYZ019._-", max_size=6).filter(lambda text: text[:1] != "."),
    dot=st.sampled_from(["", "."]),
)
def test_uploads_agree_with_struct(command: int, index: int, size: int, extension: str, dot: str) -> None:
    expected = struct.pack(">qBBBq6s", 15 + size, command, 0, index, size, extension.encode())
    for implementation in ("c", "py"):
        assert core_module("wire", implementation).upload_request(command, index, size, dot + extension) == expected


@given(st.text(max_size=160))
def test_twins_agree_on_what_a_file_id_may_be(file_id: str) -> None:
    results = []
    for implementation in ("c", "py"):
        try:
            results.append(core_module("wire", implementation).file_request(22, file_id))
        except ValueError as error:
            results.append(type(error).__name__.encode())
    assert results[0] == results[1] or {*results} <= {b"ValueError", b"UnicodeEncodeError"}
