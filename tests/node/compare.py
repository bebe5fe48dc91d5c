"""Whether the node's reply says what the recorded one says; what may differ: random, time, load, turn, space."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastxfer.core.wire import (
    decode_file_id,
    unpack_fetch_target,
    unpack_fetch_targets,
    unpack_file_id,
    unpack_file_info,
    unpack_store_target,
    unpack_store_targets,
)

if TYPE_CHECKING:
    from tests.node.replay import Exchange, Replay

MADE_FILES = {
    "UPLOAD_FILE",
    "UPLOAD_APPENDER_FILE",
    "UPLOAD_SLAVE_FILE",
    "REGENERATE_APPENDER_FILENAME",
    "CREATE_LINK",
}


def compare(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """AssertionError where the node's *body* differs in more than it may."""
    if not exchange.body:
        assert body == b"", f"{exchange}: a body of {len(body)} bytes instead of none"
        return
    checker = CHECKERS.get(exchange.command, same)
    checker(replay, exchange, body)


def same(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """Byte for byte, with the node's names and addresses."""
    assert body == replay.to_node(exchange.body), f"{exchange}: {body!r}"


def same_length(exchange: Exchange, body: bytes) -> None:
    assert len(body) == len(exchange.body), f"{exchange}: {len(body)} bytes instead of {len(exchange.body)}"


def made_file(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """The name has the same form and tells the same; salt, time and directory may differ."""
    same_length(exchange, body)
    recorded, actual = decode_file_id(unpack_file_id(exchange.body)), decode_file_id(unpack_file_id(body))
    replay.learn(exchange.body, body)
    told = ["group", "store_path_index", "appender", "slave", "trunk", "extension", "trunk_size", "storage_id"]
    if exchange.command != "CREATE_LINK":
        told += ["size", "crc32", "trunk_file_id", "trunk_offset"]
    for field in told:
        assert getattr(actual, field) == getattr(recorded, field), f"{exchange}: {field}"
    if recorded.source_ip is not None:
        assert actual.source_ip == replay.host(recorded.source_ip)
    assert abs(actual.created - time.time()) < 3600


def file_info(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """Size, CRC-32 and source; the time is now."""
    if ":" not in replay.host("127.0.0.11"):
        same_length(exchange, body)
    size, _, crc32, source = unpack_file_info(exchange.body)
    actual = unpack_file_info(body)
    assert (actual[0], actual[2], actual[3]) == (size, crc32, replay.host(source)), f"{exchange}: {actual}"
    assert abs(actual[1] - time.time()) < 3600
    assert body[16:24] == exchange.body[16:24], f"{exchange}: the CRC-32 is not sign-extended alike"


def store_one(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """Whose turn it is may differ."""
    same_length(exchange, body)
    group, host, port, index = unpack_store_target(body)
    assert index == unpack_store_target(exchange.body)[3]
    if exchange.command == "QUERY_STORE_WITH_GROUP_ONE":
        assert group == unpack_store_target(exchange.body)[0]
    assert f"{group} {host} {port}" in serving(replay)


def store_all(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """Every serving storage of the group, whichever it is."""
    group, servers, index = unpack_store_targets(body)
    recorded_group, recorded_servers, recorded_index = unpack_store_targets(exchange.body)
    if exchange.command == "QUERY_STORE_WITH_GROUP_ALL":
        same_length(exchange, body)
        assert group == recorded_group
    record = (len(body) - 17) // len(servers)
    assert record == (len(exchange.body) - 17) // len(recorded_servers), f"{exchange}: records of {record} bytes"
    assert index == recorded_index
    assert [f"{group} {host} {port}" for host, port in servers] == [
        line for line in serving(replay) if line.startswith(group)
    ]


def fetch_one(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """Whose turn it is may differ, except where only the source may answer."""
    same_length(exchange, body)
    group, host, port = unpack_fetch_target(body)
    assert group == unpack_fetch_target(exchange.body)[0]
    assert f"{group} {host} {port}" in serving(replay)
    if "always the source" in exchange.note or exchange.command == "QUERY_UPDATE":
        assert host == replay.host(unpack_fetch_target(exchange.body)[1])


def fetch_all(replay: Replay, exchange: Exchange, body: bytes) -> None:
    same_length(exchange, body)
    group, servers = unpack_fetch_targets(body)
    recorded_group, recorded_servers = unpack_fetch_targets(exchange.body)
    assert group == recorded_group
    assert {host for host, _ in servers} == {replay.host(host) for host, _ in recorded_servers}
    assert {port for _, port in servers} <= replay.ports()


def serving(replay: Replay) -> list[str]:
    return [f"{server.group} {server.host} {server.port}" for server in replay.node.storages if server.status in (6, 7)]


def groups(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """All but space, ports and whose turn it is."""
    same_length(exchange, body)
    layout = struct.Struct(">17s12q")
    for recorded, actual in zip(layout.iter_unpack(exchange.body), layout.iter_unpack(body), strict=True):
        name, *numbers = actual
        assert name == recorded[0]
        for position in (2, 4, 6, 7, 9, 10):
            assert numbers[position] == recorded[1 + position], f"{exchange}: number {position} of {name!r}"
        assert numbers[5] in replay.ports()
        assert numbers[0] >= numbers[1] > 0
        assert (numbers[11] == -1) == (recorded[12] == -1), f"{exchange}: trunk file ID"


def storages(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """State, rights, identity, version and settings of each; counters and times depend on what went before."""
    same_length(exchange, body)
    width = 517 if len(body) % 517 == 0 else 487
    for start in range(0, len(body), width):
        recorded, actual = exchange.body[start : start + width], body[start : start + width]
        address = width - 487 + 16
        layout = struct.Struct(f">BB16s{address}s16s8s10q")
        old, new = layout.unpack_from(recorded), layout.unpack_from(actual)
        text = [_text(field) for field in (old[2], old[3], old[5])]
        text[0], text[1] = replay.host(text[0]), replay.host(text[1])
        assert [new[0], new[1]] == [old[0], old[1]], f"{exchange}: state and rights"
        assert [_text(field) for field in (new[2], new[3], new[5])] == text, str(exchange)
        for position in (10, 11, 12, 13, 14):
            assert new[position] == old[position], f"{exchange}: number {position}"
        assert new[15] in replay.ports()
        assert actual[-1] in (0, 1)


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode()


def status(replay: Replay, exchange: Exchange, body: bytes) -> None:
    same_length(exchange, body)
    layout = struct.Struct(">Bi16s46s")
    old, new = layout.unpack(exchange.body), layout.unpack(body)
    assert new[0] == old[0], f"{exchange}: state"
    assert new[1] in replay.ports()
    assert [_text(new[2]), _text(new[3])] == [replay.host(_text(old[2])), replay.host(_text(old[3]))]


def tracker_status(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """Whether it leads; running times differ."""
    same_length(exchange, body)
    assert body[0] == exchange.body[0]


def my_ip(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """The address that the test connects from; the recorded client had one of its own in the IPv6 cluster."""
    assert body.decode() == ("::1" if b":" in exchange.body else "127.0.0.1")


def tracker_cluster(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """The trackers and who leads. In a node a tracker that follows is active at once."""
    same_length(exchange, body)
    assert body[0] == exchange.body[0]
    for start in range(1, len(body), 90):
        old, new = exchange.body[start : start + 90], body[start : start + 90]
        assert _text(new[:52]) == replay.to_node(_text(old[:52]).encode()).decode()
        assert new[52] == old[52], f"{exchange}: who leads"
        assert new[53] == 1
        assert _text(new[66:74]) == "6.16.1"


def storage_cluster(replay: Replay, exchange: Exchange, body: bytes) -> None:
    same_length(exchange, body)
    assert body[:6] == exchange.body[:6]
    for start in range(6, len(body), 106):
        old, new = exchange.body[start : start + 106], body[start : start + 106]
        assert _text(new[:16]) == replay.host(_text(old[:16]))
        assert _text(new[16:68]) == replay.to_node(_text(old[16:68]).encode()).decode()
        assert new[69] == old[69], f"{exchange}: state"
        assert _text(new[82:90]) == "6.16.1"


def volumes(replay: Replay, exchange: Exchange, body: bytes) -> None:
    """Names and what is available; space differs."""
    same_length(exchange, body)
    assert body[:5] == exchange.body[:5]
    for start in range(5, len(body), 59):
        old, new = exchange.body[start : start + 59], body[start : start + 59]
        assert _text(new[:17]) == _text(old[:17])
        assert new[57:] == old[57:], f"{exchange}: what is available"


CHECKERS: dict[str, Callable[[Any, Any, bytes], None]] = {
    **dict.fromkeys(MADE_FILES, made_file),
    "QUERY_FILE_INFO": file_info,
    "QUERY_STORE_WITHOUT_GROUP_ONE": store_one,
    "QUERY_STORE_WITH_GROUP_ONE": store_one,
    "HUGE_LENGTH": store_one,
    "QUERY_STORE_WITHOUT_GROUP_ALL": store_all,
    "QUERY_STORE_WITH_GROUP_ALL": store_all,
    "QUERY_FETCH_ONE": fetch_one,
    "QUERY_UPDATE": fetch_one,
    "QUERY_FETCH_ALL": fetch_all,
    "LIST_ONE_GROUP": groups,
    "LIST_ALL_GROUPS": groups,
    "LIST_STORAGE": storages,
    "GET_STATUS": status,
    "GET_MY_IP": my_ip,
    "TRACKER_GET_STATUS": tracker_status,
    "TRACKER_CLUSTER_STAT": tracker_cluster,
    "STORAGE_CLUSTER_STAT": storage_cluster,
    "STORAGE_VOLUME_STAT": volumes,
}
