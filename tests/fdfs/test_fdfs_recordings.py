"""Exchanges recorded from real servers in seven configurations: our requests are theirs, byte for byte, and we
understand their replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fastxfer.core import wire
from fastxfer.fdfs.commands import cluster, storage, tracker
from fastxfer.fdfs.errors import map_status_to_error
from fastxfer.fdfs.types import FileInfo, GroupInfo, MetadataFlag, StorageInfo, StorageStatus
from fastxfer.net.address import parse_address

WIRE = Path(__file__).parents[1] / "data" / "fastdfs" / "wire"

REFUSED_HERE = {
    # Requests that no caller of ours can make: they are refused before anything is sent.
    "body not empty",
    "unexpected body",
    "short body (6)",
    "unknown command",
    "pkg_len=-1 [EOFError]",
    "pkg_len=2^40",
    "no port",
    "body too short",
    "file size does not match package length",
    "bad ext: slash",
    "bad ext: non-ascii",
    "bad ext: space",
    "no filename",
    "filename too long",
    "too long",
    "negative offset",
    "negative length",
    "negative",
    "bad flag",
    "empty prefix",
    "bad prefix",
    "name 70 / value 300: cut to 64/256",
    "duplicate names, empty value",
    "trailing 0x01: stored with NUL at the end",
    "record without 0x02",
    "two field separators",
    "NUL in the value",
}


def recorded() -> Iterator[Any]:
    for path in sorted(WIRE.glob("*.jsonl")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            entry = json.loads(line)
            yield pytest.param(entry, id=f"{path.stem}-{number}-{entry['command']}")


def body_of(entry: dict[str, Any]) -> bytes:
    return bytes.fromhex(entry["request_hex"])[10:]


def group(body: bytes) -> str:
    return body[:16].rstrip(b"\0").decode()


def file_id(body: bytes) -> str:
    return f"{group(body)}/{body[16:].decode()}"


def number(body: bytes, index: int) -> int:
    return int.from_bytes(body[8 * index : 8 * index + 8], "big", signed=True)


def from_metadata(body: bytes) -> dict[str, str]:
    return wire.decode_metadata(body)


def set_metadata(body: bytes) -> bytes:
    name = number(body, 0)
    head, text = body[17 : 17 + 16 + name], body[17 + 16 + name :]
    return storage.set_metadata(file_id(head), from_metadata(text), MetadataFlag(body[16])).request


def modify(body: bytes) -> bytes:
    name, offset, size = number(body, 0), number(body, 1), number(body, 2)
    return wire.modify_request("g/" + body[24 : 24 + name].decode(), offset, size) + body[24 + name :]


def append(body: bytes) -> bytes:
    name, size = number(body, 0), number(body, 1)
    return wire.append_request("g/" + body[16 : 16 + name].decode(), size) + body[16 + name :]


def truncate(body: bytes) -> bytes:
    return storage.truncate_file("g/" + body[16:].decode(), number(body, 1)).request


def upload(code: int) -> Callable[[bytes], bytes]:
    def encode(body: bytes) -> bytes:
        extension = body[9:15].rstrip(b"\0").decode("latin-1")
        return wire.upload_request(code, body[0], number(body[1:], 0), extension) + body[15:]

    return encode


def upload_slave(body: bytes) -> bytes:
    master, size = number(body, 0), number(body, 1)
    prefix, extension = body[16:32].rstrip(b"\0").decode(), body[32:38].rstrip(b"\0").decode()
    name = body[38 : 38 + master].decode()
    return wire.upload_slave_request("g/" + name, size, prefix, extension) + body[38 + master :]


def create_link(body: bytes) -> bytes:
    master, source, signature = number(body, 0), number(body, 1), number(body, 2)
    prefix, extension = body[40:56].rstrip(b"\0").decode(), body[56:62].rstrip(b"\0").decode()
    names = body[62:]
    return storage.create_link(
        f"g/{names[:master].decode()}" if master else "",
        f"{body[24:40].rstrip(bytes(1)).decode()}/{names[master : master + source].decode()}",
        names[master + source : master + source + signature],
        prefix,
        extension,
    ).request


def storage_stat(body: bytes) -> bytes:
    return cluster.storage_cluster_stat(
        trunk_server=bool(body[3]) if body[0] & 1 else None,
        status=StorageStatus(body[2]) if body[0] & 2 else None,
        status_is_not=body[1:2] == b"!",
    ).request


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "ACTIVE_TEST": lambda body: tracker.active_test().request,
    "QUIT": lambda body: wire.pack_header(0, 82),
    "QUERY_STORE_WITHOUT_GROUP_ONE": lambda body: tracker.query_store().request,
    "QUERY_STORE_WITHOUT_GROUP_ALL": lambda body: tracker.query_store_all().request,
    "QUERY_STORE_WITH_GROUP_ONE": lambda body: tracker.query_store(group(body)).request,
    "QUERY_STORE_WITH_GROUP_ALL": lambda body: tracker.query_store_all(group(body)).request,
    "QUERY_FETCH_ONE": lambda body: tracker.query_fetch_one(file_id(body)).request,
    "QUERY_FETCH_ALL": lambda body: tracker.query_fetch_all(file_id(body)).request,
    "QUERY_UPDATE": lambda body: tracker.query_update(file_id(body)).request,
    "LIST_ONE_GROUP": lambda body: cluster.list_one_group(group(body)).request,
    "LIST_ALL_GROUPS": lambda body: cluster.list_groups().request,
    "LIST_STORAGE": lambda body: cluster.list_storages(group(body), body[16:].decode()).request,
    "GET_STATUS": lambda body: cluster.get_storage_state(group(body), parse_address(body[16:].decode())).request,
    "GET_SERVER_ID": lambda body: cluster.get_storage_id(group(body), parse_address(body[16:].decode())).request,
    "GET_MY_IP": lambda body: (
        cluster.get_my_ip(body[:17].rstrip(b"\0").decode(), number(bytes(4) + body[17:], 0)).request
    ),
    "FETCH_STORAGE_IDS": lambda body: (
        cluster.fetch_storage_ids(int.from_bytes(body[:4], "big"), allow_empty=bool(body[4])).request
    ),
    "GET_GROUP_NAME": lambda body: cluster.get_group_name(body[:-4].decode(), int.from_bytes(body[-4:], "big")).request,
    "PARAMETER_REQ": lambda body: cluster.get_parameters().request,
    "TRACKER_GET_STATUS": lambda body: cluster.get_tracker_status().request,
    "GET_LEADER": lambda body: cluster.get_leader().request,
    "TRACKER_CLUSTER_STAT": lambda body: cluster.tracker_cluster_stat().request,
    "STORAGE_CLUSTER_STAT": storage_stat,
    "STORAGE_VOLUME_STAT": lambda body: cluster.storage_volume_stat().request,
    "SET_TRUNK_SERVER": lambda body: cluster.set_trunk_server(group(body), body[16:].decode()).request,
    "DELETE_STORAGE": lambda body: cluster.delete_storage(group(body), body[16:].decode()).request,
    "DELETE_GROUP": lambda body: cluster.delete_group(group(body)).request,
    "UPLOAD_FILE": upload(11),
    "UPLOAD_APPENDER_FILE": upload(23),
    "UPLOAD_SLAVE_FILE": upload_slave,
    "APPEND_FILE": append,
    "MODIFY_FILE": modify,
    "TRUNCATE_FILE": truncate,
    "REGENERATE_APPENDER_FILENAME": lambda body: storage.regenerate_appender("g/" + body.decode()).request,
    "DELETE_FILE": lambda body: storage.delete_file(file_id(body)).request,
    "SET_METADATA": set_metadata,
    "GET_METADATA": lambda body: storage.get_metadata(file_id(body)).request,
    "CREATE_LINK": create_link,
}


def encode(entry: dict[str, Any]) -> bytes:
    body = body_of(entry)
    if entry["command"] == "QUERY_FILE_INFO":
        flags = bytes.fromhex(entry["request_hex"])[9]
        return storage.query_file_info(file_id(body), flags).request
    if entry["command"] == "DOWNLOAD_FILE":
        return wire.download_request(file_id(body[16:]), number(body, 0), number(body, 1))
    return ENCODERS[entry["command"]](body)


@pytest.mark.parametrize("entry", list(recorded()))
def test_our_request_is_the_recorded_one(entry: dict[str, Any]) -> None:
    note = entry["note"].removeprefix("after: ")
    if note in REFUSED_HERE and entry["command"] not in ("GET_METADATA",):
        try:
            made = encode(entry)
        except (ValueError, KeyError, OverflowError):
            return
        assert made != bytes.fromhex(entry["request_hex"])
        return
    assert encode(entry) == bytes.fromhex(entry["request_hex"])


def reply(entry: dict[str, Any]) -> bytes:
    return bytes.fromhex(entry["response_hex"])[10:]


def check_groups(body: bytes) -> None:
    groups = cluster.list_groups().decode(body)
    assert groups
    for each in groups:
        assert isinstance(each, GroupInfo)
        assert each.group_name.startswith("group")
        assert each.storage_port == 23000
        assert each.total_mb >= each.free_mb > each.reserved_mb == 64


def check_storages(body: bytes) -> None:
    servers = cluster.list_storages("group1").decode(body)
    assert servers
    for each in servers:
        assert isinstance(each, StorageInfo)
        assert isinstance(each.status, StorageStatus)
        assert each.version == "6.16.1"
        assert each.storage_port == 23000
        assert each.ip_addr.startswith(("127.0.0.", "fd7f::"))
        assert each.id == each.ip_addr or each.id.isdigit()
        assert each.readable
        assert each.writable
        assert each.counters.total_upload_count >= each.counters.success_upload_count >= 0
        heard = each.counters.last_heart_beat_time
        assert heard == 0 or datetime.fromtimestamp(heard).year == 2026


def check_new_id(entry: dict[str, Any], body: bytes) -> None:
    made = wire.decode_file_id(wire.unpack_file_id(body))
    if entry["command"] == "UPLOAD_FILE":
        sent = body_of(entry)
        assert (made.size, made.crc32) == (len(sent) - 15, wire_crc(sent[15:]))
    assert made.slave is (entry["command"] == "UPLOAD_SLAVE_FILE" or made.slave)


def wire_crc(data: bytes) -> int:
    import zlib

    return zlib.crc32(data)


def check_info(body: bytes) -> None:
    info = storage.query_file_info("g/M00/00/00/x").decode(body)
    assert isinstance(info, FileInfo)
    assert info.file_size >= 0
    assert 0 <= info.crc32 <= 0xFFFFFFFF
    assert info.create_time.year == 2026
    assert info.source_ip_addr.startswith(("127.0.0.", "fd7f::"))


def check_fetch(body: bytes) -> None:
    ids = tracker.query_fetch_all("group1/M00/00/00/fwAAC2sEnZqACUquAAAACw1KEYU287.txt")
    for server in ids.decode(body):
        assert server.port == 23000
        assert server.host.startswith(("127.0.0.", "fd7f::"))


def check_store(command: tracker.Command[tracker.StoreTargets], body: bytes) -> None:
    name, servers, path = command.decode(body)
    assert name.startswith("group")
    assert path == 0
    assert all(server.port == 23000 for server in servers)


def check_ids(body: bytes) -> None:
    total, count, entries = cluster.fetch_storage_ids(0).decode(body)
    assert total == count == len(entries)
    for entry in entries:
        assert entry.id.startswith("100")
        assert entry.port == 23000
        assert "[" not in entry.ip_addrs[0]


def check_stat(entry: dict[str, Any], body: bytes) -> None:
    if entry["command"] == "TRACKER_CLUSTER_STAT":
        trackers = cluster.tracker_cluster_stat().decode(body)
        assert sum(one.is_leader for one in trackers) == 1
        assert all(parse_address(one.host).port == 22122 for one in trackers)
        return
    if entry["command"] == "STORAGE_CLUSTER_STAT":
        servers = cluster.storage_cluster_stat().decode(body)
        assert servers
        assert all(one.status == StorageStatus.ACTIVE and one.version == "6.16.1" for one in servers)
        return
    volumes = cluster.storage_volume_stat().decode(body)
    assert {one.group_name for one in volumes} <= {"group1", "group2"}
    assert all(one.is_disk_available and one.total_mb >= one.free_mb > 0 for one in volumes)


def check_text(command: Callable[[], Any], body: bytes) -> None:
    text = command().decode(body)
    assert text
    assert text.isprintable()


CHECKS: dict[str, Callable[[dict[str, Any], bytes], None]] = {
    "LIST_ONE_GROUP": lambda entry, body: check_groups(body),
    "LIST_ALL_GROUPS": lambda entry, body: check_groups(body),
    "LIST_STORAGE": lambda entry, body: check_storages(body),
    "UPLOAD_FILE": check_new_id,
    "UPLOAD_APPENDER_FILE": check_new_id,
    "UPLOAD_SLAVE_FILE": check_new_id,
    "CREATE_LINK": check_new_id,
    "REGENERATE_APPENDER_FILENAME": check_new_id,
    "QUERY_FILE_INFO": lambda entry, body: check_info(body),
    "QUERY_FETCH_ALL": lambda entry, body: check_fetch(body),
    "QUERY_STORE_WITHOUT_GROUP_ONE": lambda entry, body: check_store(tracker.query_store(), body),
    "QUERY_STORE_WITH_GROUP_ONE": lambda entry, body: check_store(tracker.query_store(), body),
    "QUERY_STORE_WITHOUT_GROUP_ALL": lambda entry, body: check_store(tracker.query_store_all(), body),
    "QUERY_STORE_WITH_GROUP_ALL": lambda entry, body: check_store(tracker.query_store_all(), body),
    "FETCH_STORAGE_IDS": lambda entry, body: check_ids(body) if len(body) > 8 else None,
    "TRACKER_CLUSTER_STAT": check_stat,
    "STORAGE_CLUSTER_STAT": check_stat,
    "STORAGE_VOLUME_STAT": check_stat,
    "GET_LEADER": lambda entry, body: check_text(cluster.get_leader, body),
    "GET_SERVER_ID": lambda entry, body: check_text(
        lambda: cluster.get_storage_id("group1", parse_address("h:1")), body
    ),
    "GET_GROUP_NAME": lambda entry, body: check_text(lambda: cluster.get_group_name("h", 1), body),
    "GET_MY_IP": lambda entry, body: check_text(lambda: cluster.get_my_ip("group1", 1), body),
}


def check_one_server(entry: dict[str, Any], body: bytes) -> None:
    (server,) = tracker.query_fetch_one("group1/M00/00/00/x").decode(body)
    assert server.port == 23000


CHECKS["QUERY_FETCH_ONE"] = CHECKS["QUERY_UPDATE"] = check_one_server


@pytest.mark.parametrize("entry", list(recorded()))
def test_we_understand_the_recorded_reply(entry: dict[str, Any]) -> None:
    status = entry["status"]
    if status is None:
        # The server closed without a word.
        assert entry["response_hex"] == ""
        return
    header = bytes.fromhex(entry["response_hex"])[:10]
    assert wire.unpack_header(header) == (entry["body_len"], 100, status)
    if status:
        error = map_status_to_error(status)
        assert error is not None
        assert type(error).__name__ != "ProtocolError"
        return
    assert map_status_to_error(status) is None
    if entry["note"].startswith("pkg_len"):
        return
    check = CHECKS.get(entry["command"])
    if check is not None:
        check(entry, reply(entry))


def test_details_that_a_recording_shows() -> None:
    entries = [json.loads(line) for line in (WIRE / "default.jsonl").read_text().splitlines()]
    by_note = {entry["note"]: entry for entry in entries}
    info = storage.query_file_info("g/M00/00/00/x").decode(
        reply(by_note["appender, flags 0: server reads the file for crc32"])
    )
    assert info.crc32 == 0xA684C7C6  # sent as a sign-extended int64
    state = next(entry for entry in entries if entry["command"] == "GET_STATUS" and entry["status"] == 0)
    decoded = cluster.get_storage_state("group1", parse_address("h:1")).decode(reply(state))
    assert (decoded.status, decoded.port, decoded.id) == (StorageStatus.ACTIVE, 23000, "127.0.0.11")
    parameters = next(entry for entry in entries if entry["command"] == "PARAMETER_REQ")
    settings = cluster.get_parameters().decode(reply(parameters))
    assert settings["use_storage_id"] == "0"
    assert settings["response_ip_addr_size"] == "16"
    status = next(entry for entry in entries if entry["command"] == "TRACKER_GET_STATUS")
    assert cluster.get_tracker_status().decode(reply(status)).restart_interval == 0
    metadata = reply(by_note["sorted by name"])
    assert storage.get_metadata("g/M00/00/00/x").decode(metadata) == {
        "author": "张三",
        "height": "768",
        "width": "1024",
    }


@pytest.mark.parametrize(
    ("decode", "width"),
    [
        (cluster.list_groups().decode, 113),
        (cluster.list_storages("g").decode, 487),
        (tracker.query_store().decode, 40),
        (tracker.query_store_all().decode, 40),
        (tracker.query_fetch_one("g/M00/00/00/x").decode, 39),
        (storage.query_file_info("g/M00/00/00/x").decode, 40),
        (cluster.storage_cluster_stat().decode, 112),
        (cluster.storage_volume_stat().decode, 64),
        (cluster.tracker_cluster_stat().decode, 91),
        (cluster.get_tracker_status().decode, 17),
    ],
)
def test_a_reply_of_another_length_is_refused(decode: Callable[[bytes], Any], width: int) -> None:
    with pytest.raises(ValueError, match=f"{width - 1}|not "):
        decode(bytes(width - 1))


def test_old_groups_and_storages_are_told_by_their_length() -> None:
    name = b"group1".ljust(17, b"\0")
    old = name + b"".join(value.to_bytes(8, "big") for value in (100, 60, 0, 2, 23000, 8888, 1, 0, 1, 256, 0))
    (group_info,) = cluster.list_groups().decode(old)
    assert (group_info.free_mb, group_info.storage_port, group_info.writable_count) == (60, 23000, 1)
    head = b"\x07" + b"10.0.0.1".ljust(16, b"\0") * 2 + bytes(128) + bytes(16) + b"5.12\0\0"
    numbers = b"".join(value.to_bytes(8, "big") for value in (1, 2, 300, 200, 10, 1, 256, 0, 23000, 8888))
    for counters in (bytes(4 * 3) + bytes(8 * 42), bytes(8 * 42)):
        (info,) = cluster.list_storages("group1").decode(head + numbers + counters + b"\x01")
        assert (info.id, info.version, info.free_mb, info.storage_port) == ("10.0.0.1", "5.12", 200, 23000)
        assert info.is_trunk_server
