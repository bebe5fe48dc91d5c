"""What the FastDFS client does without a server: fields, file IDs, URLs, configuration, exceptions, refusals."""

from __future__ import annotations

import ast
import builtins
import errno
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer import fdfs
from fastxfer.fdfs import (
    AsyncClient,
    Client,
    ClientConfig,
    FileNotFoundError,
    InvalidArgumentError,
    InvalidFileIDError,
    InvalidMetadataError,
    InvalidResponseError,
    aio,
    build_url,
    connection,
    errors,
    http_token,
    parse_file_id,
    protocol,
    read_client_conf,
    types,
)
from fastxfer.fdfs.body import file_body
from fastxfer.fdfs.local_file import ArrivingFile
from fastxfer.fdfs.node import Node
from tests.fdfs.conftest import MakeClient

FILE_ID = "group1/M00/00/00/fwAAC2sEnZqACUquAAAACw1KEYU287.txt"


# --- the API that is taken over


def test_the_names_of_the_well_known_client_are_there() -> None:
    for name in [
        "Client",
        "ClientConfig",
        "FastDFSError",
        "ClientClosedError",
        "FileNotFoundError",
        "NoStorageServerError",
        "ConnectionTimeoutError",
        "NetworkTimeoutError",
        "InvalidFileIDError",
        "InvalidResponseError",
        "StorageServerOfflineError",
        "TrackerServerOfflineError",
        "InsufficientSpaceError",
        "FileAlreadyExistsError",
        "InvalidMetadataError",
        "OperationNotSupportedError",
        "InvalidArgumentError",
        "ProtocolError",
        "NetworkError",
        "FileInfo",
        "StorageServer",
        "MetadataFlag",
    ]:
        assert name in fdfs.__all__
    for module, names in {
        types: "TRACKER_DEFAULT_PORT STORAGE_DEFAULT_PORT FDFS_PROTO_HEADER_LEN FDFS_GROUP_NAME_MAX_LEN "
        "FDFS_FILE_EXT_NAME_MAX_LEN FDFS_MAX_META_NAME_LEN FDFS_MAX_META_VALUE_LEN FDFS_FILE_PREFIX_MAX_LEN "
        "FDFS_STORAGE_ID_MAX_SIZE FDFS_VERSION_SIZE IP_ADDRESS_SIZE FDFS_RECORD_SEPARATOR FDFS_FIELD_SEPARATOR "
        "TrackerCommand StorageCommand StorageStatus MetadataFlag FileInfo StorageServer TrackerHeader UploadResponse",
        errors: "map_status_to_error",
        protocol: "encode_header decode_header split_file_id join_file_id encode_metadata decode_metadata "
        "get_file_ext_name read_file_content write_file_content pad_string unpad_string encode_int64 decode_int64 "
        "encode_int32 decode_int32",
        connection: "Connection ConnectionPool",
    }.items():
        for name in names.split():
            assert hasattr(module, name), name


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("upload_file", ["local_filename", "metadata"]),
        ("upload_buffer", ["data", "file_ext_name", "metadata"]),
        ("upload_appender_file", ["local_filename", "metadata"]),
        ("upload_appender_buffer", ["data", "file_ext_name", "metadata"]),
        ("download_file", ["file_id"]),
        ("download_file_range", ["file_id", "offset", "length"]),
        ("download_to_file", ["file_id", "local_filename"]),
        ("delete_file", ["file_id"]),
        ("set_metadata", ["file_id", "metadata", "flag"]),
        ("get_metadata", ["file_id"]),
        ("get_file_info", ["file_id"]),
        ("file_exists", ["file_id"]),
    ],
)
def test_methods_take_what_they_took(method: str, parameters: list[str]) -> None:
    for face in (Client, AsyncClient):
        signature = inspect.signature(getattr(face, method))
        positional = [name for name, each in signature.parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
        assert positional[1 : len(parameters) + 1] == parameters
        others = list(signature.parameters.values())[len(parameters) + 1 :]
        assert all(each.default is not each.empty or each.kind is each.VAR_KEYWORD for each in others)
    assert inspect.signature(Client.set_metadata).parameters["flag"].default is types.MetadataFlag.OVERWRITE


def test_both_clients_have_the_same_operations() -> None:
    def operations(face: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(each).parameters)
            for name, each in inspect.getmembers(face, callable)
            if not name.startswith("_")
        }

    blocking, waiting = operations(Client), operations(AsyncClient)
    assert waiting.pop("aclose") == ["self"]
    assert set(blocking) == set(waiting)
    for name, parameters in blocking.items():
        if name.endswith("_many"):
            parameters.remove("cancel")
        assert waiting[name] == parameters


def test_type_checkers_are_told_of_the_same_operations() -> None:
    stub = ast.parse(Path(aio.__file__).with_suffix(".pyi").read_text())
    (declared,) = (node for node in stub.body if isinstance(node, ast.ClassDef) and node.name == "AsyncClient")
    methods = {node.name: node for node in declared.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    batches = {name for name, _ in inspect.getmembers(AsyncClient, callable) if name.endswith("_many")}
    public = {name for name, _ in inspect.getmembers(AsyncClient, callable) if not name.startswith("_")}
    assert {name for name in methods if not name.startswith("_")} == public - batches
    for name in public - batches:
        arguments = methods[name].args
        names = [each.arg for each in (*arguments.args, *arguments.kwonlyargs)]
        names += [arguments.kwarg.arg] if arguments.kwarg else []
        assert names == list(inspect.signature(getattr(AsyncClient, name)).parameters), name
        waited = isinstance(methods[name], ast.AsyncFunctionDef)
        assert waited is (name not in ("stats", "download_iter"))


def test_the_configuration_is_as_it_was() -> None:
    config = ClientConfig(["10.0.0.1:22122"], 7, 1.0, 2.0, 3.0, 4)
    assert (config.max_conns, config.connect_timeout, config.network_timeout) == (7, 1.0, 2.0)
    assert (config.idle_timeout, config.retry_count) == (3.0, 4)
    default = ClientConfig(tracker_addrs=["10.0.0.1:22122"])
    assert (default.max_conns, default.connect_timeout, default.network_timeout) == (10, 5.0, 30.0)
    assert (default.idle_timeout, default.retry_count) == (60.0, 3)


@pytest.mark.parametrize(
    "settings",
    [
        {"tracker_addrs": []},
        {"tracker_addrs": ["host"]},
        {"tracker_addrs": [""]},
        {"tracker_addrs": ["host:port"]},
        {"tracker_addrs": ["::1:22122"]},
        {"tracker_addrs": "10.0.0.1:22122"},
        {"max_conns": 0},
        {"retry_count": 0},
        {"connect_timeout": 0},
        {"network_timeout": -1},
        {"reads": "somewhere"},
        {"upload_target_age": -1},
    ],
)
def test_a_configuration_that_makes_no_sense(settings: dict[str, Any]) -> None:
    config = ClientConfig(**{"tracker_addrs": ["10.0.0.1:22122"], **settings})
    for face in (Client, AsyncClient):
        with pytest.raises(InvalidArgumentError):
            face(config)


def test_no_configuration() -> None:
    with pytest.raises(InvalidArgumentError, match="Config is required"):
        Client(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="takes a ClientConfig, not list"):
        Client(["10.0.0.1:22122"])  # type: ignore[arg-type]


# --- exceptions


def test_exceptions_are_what_they_seem() -> None:
    assert issubclass(FileNotFoundError, builtins.FileNotFoundError)
    assert issubclass(errors.FileAlreadyExistsError, FileExistsError)
    assert issubclass(errors.InvalidArgumentError, ValueError)
    assert issubclass(InvalidFileIDError, InvalidArgumentError)
    for kind in (errors.ConnectionTimeoutError, errors.NetworkTimeoutError, errors.PoolTimeoutError):
        assert issubclass(kind, TimeoutError)
        assert issubclass(kind, errors.NetworkError)
    assert issubclass(errors.NetworkError, OSError)
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert name == "map_status_to_error" or issubclass(kind, errors.FastDFSError)


def test_exceptions_tell_where_they_come_from() -> None:
    error = errors.status_error(2, "10.0.0.1:23000", 12, FILE_ID)
    assert isinstance(error, FileNotFoundError)
    assert (error.errno, error.status, error.command, error.server) == (
        errno.ENOENT,
        2,
        "DELETE_FILE",
        "10.0.0.1:23000",
    )
    assert error.file_id == FILE_ID
    for part in ("File not found", FILE_ID, "10.0.0.1:23000", "DELETE_FILE"):
        assert part in str(error)
    plain = errors.ProtocolError(5)
    assert (plain.code, str(plain)) == (5, "Protocol error (code 5): Unknown error code: 5")
    network = errors.NetworkError("read", "h:1", ConnectionResetError(104, "reset"))
    assert (network.operation, network.addr, network.errno) == ("read", "h:1", 104)
    assert str(network) == "Network error during read to h:1: [Errno 104] reset"
    assert str(errors.ConnectionTimeoutError("h:1")) == "Connection timeout to h:1"
    assert str(errors.NetworkTimeoutError("read")) == "Network timeout during read"
    assert str(InvalidFileIDError("x")) == "Invalid file ID: x"
    assert str(errors.ClientClosedError()) == "Client is closed"
    network.bytes_done = 7
    assert "7 bytes done" in str(network)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (2, "FileNotFoundError"),
        (16, "ServerBusyError"),
        (17, "FileAlreadyExistsError"),
        (22, "InvalidArgumentError"),
        (28, "InsufficientSpaceError"),
        (95, "OperationNotSupportedError"),
        (114, "AlreadyDoneError"),
        (5, "ProtocolError"),
        (255, "ProtocolError"),
    ],
)
def test_each_status_has_its_exception(status: int, kind: str) -> None:
    assert type(errors.map_status_to_error(status)).__name__ == kind


def test_status_0_is_no_error() -> None:
    assert errors.map_status_to_error(0) is None


# --- fields


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
}


@pytest.mark.parametrize("name", REFUSALS)
def test_wrong_calls_are_refused_before_anything_is_sent(name: str) -> None:
    with Client(ClientConfig(["127.0.0.1:1"], connect_timeout=0.1)) as client:
        with pytest.raises(InvalidArgumentError) as caught:
            REFUSALS[name](client)
        assert client.stats().connections == {}
        assert "Invalid" in str(caught.value)


def test_local_files_that_cannot_be_read(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(["127.0.0.1:1"])
    missing = tmp_path / "missing.txt"
    for upload in (client.upload_file, client.upload_appender_file, client.upload_segmented):
        with pytest.raises(FileNotFoundError) as caught:
            upload(missing)
        assert caught.value.filename == str(missing)
        assert str(missing) in str(caught.value)
        with pytest.raises(builtins.FileNotFoundError):
            upload(missing)
        with pytest.raises(IsADirectoryError) as refused:
            upload(tmp_path)
        assert refused.value.filename == str(tmp_path)
    if os.geteuid() != 0:
        missing.write_bytes(b"secret")
        missing.chmod(0)
        with pytest.raises(PermissionError):
            client.upload_file(missing)


def test_local_files_that_cannot_be_written(shared_node: Node, make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(shared_node.tracker_addrs)
    file_id = client.upload_buffer(bytes(300_000), "bin")
    with pytest.raises(IsADirectoryError):
        client.download_to_file(file_id, tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"Not a directory|File exists") as caught:
        client.download_to_file(file_id, tmp_path / "file" / "below")
    assert "file" in str(caught.value.filename)
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="No space left") as full:
            client.download_to_file(file_id, "/dev/full")
        assert full.value.errno == errno.ENOSPC
        assert full.value.filename == "/dev/full"
        assert all(stats.busy == 0 for stats in client.stats().connections.values())
    client.delete_file(file_id)


# --- URLs and tokens


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


# --- client.conf


def test_a_client_conf(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "more.conf").write_text("tracker_server = [fd7f::2]:22122\nnetwork_timeout = 2m\n")
    path = tmp_path / "client.conf"
    path.write_text(
        "# a comment\n[section]\nconnect_timeout = 3\nconnection_pool_max_idle_time = 3600\n"
        "tracker_server = 10.0.0.1:22122\ntracker_server=tracker.example\nmax_connections_per_server = 0\n"
        "base_path = /tmp\n#include sub/more.conf\nuse_connection_pool = true\n"
    )
    config = read_client_conf(path, retry_count=9)
    assert config.tracker_addrs == ["10.0.0.1:22122", "tracker.example:22122", "[fd7f::2]:22122"]
    assert (config.connect_timeout, config.network_timeout, config.idle_timeout) == (3.0, 120.0, 3600.0)
    assert (config.max_conns, config.retry_count) == (10, 9)
    Client(config).close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("connect_timeout = 3\n", "names no tracker_server"),
        ("tracker_server = :::\n", "line 1"),
        ("tracker_server = h:1\nconnect_timeout = soon\n", "line 2"),
        ("#include client.conf\n", "too deep"),
    ],
)
def test_a_client_conf_that_makes_no_sense(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "client.conf"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=message):
        read_client_conf(path)


def test_a_client_conf_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_client_conf(tmp_path / "client.conf")


# --- the old connection classes


def test_the_pool_of_the_well_known_client(shared_node: Node) -> None:
    address = shared_node.tracker_addrs[0]
    pool = connection.ConnectionPool([address], max_conns=2, connect_timeout=5.0, idle_timeout=60.0)
    link = pool.get()
    assert link.get_addr() == address
    link.send(protocol.encode_header(0, 111))
    assert protocol.decode_header(link.receive_full(10)).status == 0
    assert link.is_alive()
    before = link.get_last_used()
    pool.put(link)
    assert pool.get(address) is link
    link.send(protocol.encode_header(0, 111), 5.0)
    assert link.receive(4) + link.receive_full(6) == b"\0\0\0\0\0\0\0\0\x64\0"
    assert link.get_last_used() >= before
    link.close()
    assert not link.is_alive()
    pool.put(link)
    pool.put(None)
    other = pool.get()
    assert other is not link
    pool.put(other)
    pool.add_addr("127.0.0.1:1")
    with pytest.raises(errors.NetworkError):
        pool.get("127.0.0.1:1")
    pool.close()
    pool.close()
    with pytest.raises(errors.ClientClosedError):
        pool.get()


def test_reading_from_a_peer_that_says_nothing(shared_node: Node) -> None:
    pool = connection.ConnectionPool([shared_node.tracker_addrs[0]])
    link = pool.get()
    with pytest.raises(errors.NetworkError, match="read"):
        link.receive_full(10, 0.05)
    pool.put(link)
    link = pool.get()
    link.send(protocol.encode_header(0, 82))
    with pytest.raises(errors.NetworkError, match="closed by peer"):
        link.receive_full(10, 30)
    link.close()
    pool.close()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_file_that_is_replaced_does_not_pass_on_the_right_to_act_as_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o4751)
    with ArrivingFile(path) as arriving:
        os.write(arriving.fd, b"new")
        arriving.keep()
    assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (b"new", 0o751)


def test_a_file_that_has_become_shorter_is_not_taken_for_a_smaller_one(tmp_path: Path) -> None:
    """It is left to the transfer, which fails where the file ends."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with path.open("rb") as file:
        assert file_body(file.fileno(), 5).small is not None
        body = file_body(file.fileno(), 10)
    assert (body.size, body.small, body.data) == (10, None, None)
