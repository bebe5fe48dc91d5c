"""What the FastDFS client makes of fields, file IDs, metadata and URLs, and what it refuses, without a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.core.wire import encode_file_id
from fastxfer.fdfs import (
    Client,
    ClientConfig,
    InvalidArgumentError,
    InvalidFileIDError,
    InvalidMetadataError,
    InvalidResponseError,
    build_url,
    http_token,
    parse_file_id,
    protocol,
    types,
)

FILE_ID = "group1/M00/00/00/fwAAC2sEnZqACUquAAAACw1KEYU287.txt"
APPENDER_ID = encode_file_id("group1", "127.0.0.11", 1795464602, 0, 0, "log", appender=True)
NO_NUMBERS: list[Any] = [-1, 1 << 63, 10**5000, 1.5, True, "1", float("nan")]
"""None of them can be an offset, a size or the like."""


def test_headers() -> None:
    data = protocol.encode_header(1024, 11, 3)
    assert data == b"\0\0\0\0\0\0\4\0\x0b\3"
    assert protocol.decode_header(data + b"more") == types.TrackerHeader(1024, 11, 3)
    with pytest.raises(InvalidResponseError, match="too short"):
        protocol.decode_header(data[:9])


def test_numbers_and_text() -> None:
    for number in (0, 1, 1 << 40, (1 << 63) - 1):
        assert protocol.decode_int64(protocol.encode_int64(number)) == number
    assert protocol.encode_int64(-1) == b"\xff" * 8
    assert protocol.decode_int64(b"short") == 0
    assert protocol.decode_int32(protocol.encode_int32(77)) == 77
    assert protocol.encode_int32(-1) == b"\xff" * 4
    assert protocol.decode_int32(b"") == 0
    assert protocol.pad_string("abc", 5) == b"abc\0\0"
    assert protocol.pad_string("abcdef", 3) == b"abc"
    assert protocol.unpad_string(b"abc\0\0") == "abc"


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("test.jpg", "jpg"),
        ("file.tar.gz", "gz"),
        ("noext", ""),
        ("file.verylongext", "verylo"),
        (".bashrc", ""),
        ("dir.d/file", ""),
        ("bad.ex t", ""),
        ("bad.ümlaut", ""),
        ("end.", ""),
        (Path("a/b.TXT"), "TXT"),
    ],
)
def test_extensions_of_file_names(name: str | Path, extension: str) -> None:
    assert protocol.get_file_ext_name(name) == extension


def test_file_ids_split_and_join() -> None:
    assert protocol.split_file_id(FILE_ID) == ("group1", FILE_ID[7:])
    assert protocol.join_file_id("group1", FILE_ID[7:]) == FILE_ID


BAD_IDS = [
    "",
    "group1",
    "group1/",
    "/M00/00/00/x",
    "group1234567890123/M00/00/00/x",
    "gro up/M00/00/00/x",
    "group1/M00",
    "group1/M00/00/00/" + "x" * 200,
    "group1/M00/00/00/../../../etc/passwd",
    "group1/M00/00/00/é",
    "group1/\0",
]


@pytest.mark.parametrize("file_id", BAD_IDS)
def test_what_is_no_file_id_is_refused_before_anything_is_sent(file_id: str) -> None:
    with Client(ClientConfig(["127.0.0.1:1"], connect_timeout=0.1)) as client:
        for operation in (
            client.download_file,
            client.delete_file,
            client.get_metadata,
            client.get_file_info,
            client.file_exists,
            client.truncate_file,
            lambda file_id: client.set_metadata(file_id, {}),
            lambda file_id: client.download_to_file(file_id, "/nowhere/file"),
            lambda file_id: client.append_buffer(file_id, b"x"),
            lambda file_id: client.upload_slave_buffer(file_id, "_s", b"x", "txt"),
            parse_file_id,
        ):
            with pytest.raises(InvalidFileIDError) as caught:
                operation(file_id)
            assert caught.value.file_id == file_id
        assert client.stats().connections == {}


def test_metadata_goes_there_and_back() -> None:
    metadata = {"width": "1024", "name": "ü", "empty": ""}
    text = protocol.encode_metadata(metadata)
    assert not text.endswith(b"\x01")
    assert protocol.decode_metadata(text) == metadata
    assert protocol.encode_metadata(None) == protocol.encode_metadata({}) == b""
    assert protocol.decode_metadata(b"") == {}
    assert protocol.decode_metadata(b"a\x02b\x01") == {"a": "b"}


@pytest.mark.parametrize(
    "metadata",
    [{"": "x"}, {"n" * 65: "x"}, {"é" * 33: "x"}, {"n": "v" * 257}, {"a\x01": "b"}, {"a": "b\x02"}, {"a": "\0"}],
)
def test_metadata_that_would_not_come_back_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidMetadataError):
        protocol.encode_metadata(metadata)
    with Client(ClientConfig(["127.0.0.1:1"], connect_timeout=0.1)) as client:
        for operation in (
            lambda: client.set_metadata(FILE_ID, metadata),
            lambda: client.upload_buffer(b"x", "txt", metadata),
            lambda: client.upload_file(__file__, metadata),
            lambda: client.upload_slave_buffer(FILE_ID, "_s", b"x", "txt", metadata),
        ):
            with pytest.raises(InvalidMetadataError):
                operation()
        assert client.stats().connections == {}


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, ["a"], "text"])
def test_metadata_of_other_types_is_refused(metadata: Any) -> None:
    with Client(ClientConfig(["127.0.0.1:1"])) as client, pytest.raises(InvalidMetadataError):
        client.set_metadata(FILE_ID, metadata)


REFUSALS: dict[str, Callable[[Client], object]] = {
    "extension too long": lambda client: client.upload_buffer(b"x", "1234567"),
    "extension with a slash": lambda client: client.upload_buffer(b"x", "a/b"),
    "extension not ASCII": lambda client: client.upload_file(__file__, file_ext_name="é"),
    "group name": lambda client: client.upload_buffer(b"x", "txt", group="no good"),
    "store path": lambda client: client.upload_buffer(b"x", "txt", store_path=256),
    "negative offset": lambda client: client.download_file_range(FILE_ID, -1, 5),
    "negative length": lambda client: client.download_file_range(FILE_ID, 0, -5),
    "offset past the end": lambda client: client.download_file_range(FILE_ID, 12, 0),
    "offset of a chunk": lambda client: list(client.download_iter(FILE_ID, offset=-1)),
    "chunk size": lambda client: list(client.download_iter(FILE_ID, 0)),
    "small buffer": lambda client: client.download_to_buffer(FILE_ID, bytearray(10)),
    "read-only buffer": lambda client: client.download_to_buffer(FILE_ID, bytes(100)),
    "text for bytes": lambda client: client.upload_buffer("text", "txt"),  # type: ignore[arg-type]
    "gaps in a buffer": lambda client: client.upload_buffer(memoryview(b"0123")[::2], "txt"),
    "no appender": lambda client: client.append_buffer(FILE_ID, b"x"),
    "no appender to truncate": lambda client: client.truncate_file(FILE_ID, 1),
    "no appender to regenerate": lambda client: client.regenerate_appender_file(FILE_ID),
    "no prefix": lambda client: client.upload_slave_buffer(FILE_ID, "", b"x", "txt"),
    "long prefix": lambda client: client.upload_slave_buffer(FILE_ID, "_" * 17, b"x", "txt"),
    "flag": lambda client: client.set_metadata(FILE_ID, {"a": "b"}, 3),  # type: ignore[arg-type]
    "group to list": lambda client: client.list_storages(""),
    "storage to delete": lambda client: client.delete_storage("group1", ""),
    "address": lambda client: client.active_test("nonsense"),
    "segments": lambda client: client.upload_segmented(__file__, segments=0),
    "signature": lambda client: client.create_link(FILE_ID, b"", "txt"),
    "text for a signature": lambda client: client.create_link(FILE_ID, "text", "txt"),  # type: ignore[arg-type]
    "extension of a link": lambda client: client.create_link(FILE_ID, b"x", None),  # type: ignore[arg-type]
    "number for an address": lambda client: client.active_test(5),  # type: ignore[arg-type]
    "list for an address": lambda client: client.active_test(["h:1"]),  # type: ignore[arg-type]
    "address of a storage": lambda client: client.get_storage_id("group1", 5),  # type: ignore[arg-type]
    "own group": lambda client: client.get_my_ip(5),  # type: ignore[arg-type]
    "long name of the own group": lambda client: client.get_my_ip("g" * 17),
    "own port": lambda client: client.get_my_ip("group1", 65536),
    "end of a modification": lambda client: client.modify_buffer(APPENDER_ID, (1 << 63) - 1, b"x"),
    "number for a buffer": lambda client: client.download_to_buffer(FILE_ID, 5),  # type: ignore[arg-type]
    "progress": lambda client: client.download_file(FILE_ID, progress=5),  # type: ignore[arg-type]
    "progress of a batch": lambda client: list(client.upload_many([], progress=5)),  # type: ignore[arg-type]
    "cancel": lambda client: client.download_file(FILE_ID, cancel=True),  # type: ignore[arg-type]
    "cancel of a batch": lambda client: list(client.upload_many([], cancel=True)),  # type: ignore[arg-type]
    "a path for a batch": lambda client: list(client.upload_many("photo.jpg")),
    "a file ID for a batch": lambda client: list(client.delete_many(FILE_ID)),
    "no name of a journal": lambda client: list(client.upload_many([], journal="")),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_wrong_calls_are_refused_before_anything_is_sent(name: str) -> None:
    with Client(ClientConfig(["127.0.0.1:1"], connect_timeout=0.1)) as client:
        with pytest.raises(InvalidArgumentError) as caught:
            REFUSALS[name](client)
        assert client.stats().connections == {}
        assert "Invalid" in str(caught.value)


WITH_NUMBERS: dict[str, Callable[[Client, Any], object]] = {
    "concurrency": lambda client, number: list(client.delete_many([], concurrency=number)),
    "flags": lambda client, number: client.get_file_info(FILE_ID, number),
    "length": lambda client, number: client.download_file_range(FILE_ID, 0, number),
    "length of a buffer": lambda client, number: client.download_to_buffer(APPENDER_ID, bytearray(9), 0, number),
    "length of a file": lambda client, number: client.download_to_file(FILE_ID, "never", length=number),
    "length of chunks": lambda client, number: list(client.download_iter(FILE_ID, length=number)),
    "offset": lambda client, number: client.download_file_range(APPENDER_ID, number, 5),
    "offset of a file": lambda client, number: client.download_to_file(FILE_ID, "never", offset=number),
    "offset of chunks": lambda client, number: list(client.download_iter(FILE_ID, offset=number)),
    "offset to modify": lambda client, number: client.modify_buffer(APPENDER_ID, number, b"x"),
    "offset to modify by a file": lambda client, number: client.modify_file(APPENDER_ID, number, __file__),
    "segments": lambda client, number: client.download_segmented(FILE_ID, "never", segments=number),
    "segments to upload": lambda client, number: client.upload_segmented(__file__, segments=number),
    "size": lambda client, number: client.truncate_file(APPENDER_ID, number),
    "size of chunks": lambda client, number: list(client.download_iter(FILE_ID, number)),
    "store path": lambda client, number: client.upload_buffer(b"x", "txt", store_path=number),
    "store path of a file": lambda client, number: client.upload_appender_file(__file__, store_path=number),
}


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_what_is_no_fitting_integer_is_refused_before_anything_is_sent(name: str) -> None:
    with Client(ClientConfig(["127.0.0.1:1"], connect_timeout=0.1)) as client:
        for number in NO_NUMBERS:
            with pytest.raises(InvalidArgumentError, match=name.split(maxsplit=1)[0].replace("store", "store_path")):
                WITH_NUMBERS[name](client, number)
        assert client.stats().connections == {}


@pytest.mark.parametrize("timeout", [True, "5", float("nan"), [5]], ids=repr)
def test_what_is_no_timeout_is_refused(timeout: Any) -> None:
    with Client(ClientConfig(["127.0.0.1:1"])) as client, pytest.raises(InvalidArgumentError, match="timeout"):
        client.download_file(FILE_ID, timeout=timeout)


@pytest.mark.parametrize("metadata", [[], "", 0, False], ids=repr)
def test_only_none_and_an_empty_mapping_remove_metadata(metadata: Any) -> None:
    with Client(ClientConfig(["127.0.0.1:1"])) as client, pytest.raises(InvalidMetadataError):
        client.set_metadata(FILE_ID, metadata)


def test_the_token_is_the_c_functions() -> None:
    remote = "M00/00/00/fwAAC2sEnZqACUquAAAACw1KEYU287.txt"
    assert http_token(remote, "FastDFS1234567890", 1795464602) == "91c71e306d55d2796241392a89c72db6"
    with pytest.raises(InvalidArgumentError, match="more than 320"):
        http_token("x" * 300, "y" * 20, 1795464602)


def test_urls() -> None:
    assert build_url(FILE_ID, "http://files.example/") == f"http://files.example/{FILE_ID}"
    url = build_url(FILE_ID, "https://h", secret_key="FastDFS1234567890", timestamp=1795464602, filename="a b.txt")
    assert url == f"https://h/{FILE_ID}?filename=a+b.txt&token=91c71e306d55d2796241392a89c72db6&ts=1795464602"
    assert "ts=1" in build_url(FILE_ID, "https://h", secret_key="k")
    with pytest.raises(InvalidFileIDError):
        build_url("nonsense", "http://h")
