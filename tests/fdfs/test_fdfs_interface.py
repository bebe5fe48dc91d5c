"""The API that programs for the well-known client were written for: names, methods, exceptions, connections."""

from __future__ import annotations

import ast
import builtins
import errno
import inspect
from pathlib import Path

import pytest

from fastxfer import fdfs
from fastxfer.fdfs import (
    AsyncClient,
    Client,
    ClientConfig,
    FileNotFoundError,
    InvalidArgumentError,
    InvalidFileIDError,
    aio,
    connection,
    errors,
    protocol,
    types,
)
from fastxfer.fdfs.node import Node

FILE_ID = "group1/M00/00/00/fwAAC2sEnZqACUquAAAACw1KEYU287.txt"


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
