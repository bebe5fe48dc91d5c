"""The node answers every recorded request as the real server did: status, length, fields, connection kept or closed.

What a reply may differ in stands in ``compare.py``: random salts, times, counters, free space, whose turn it is.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fastxfer.fdfs.node import Node, NodeConfig, StorageSpec
from fastxfer.fdfs.types import StorageStatus
from tests.node.replay import RECORDINGS, Exchange, Replay, load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8 on the loopback interface")


@dataclass(frozen=True)
class Variant:
    """How a recorded cluster was set up."""

    trackers: tuple[str, ...] = ("127.0.0.2", "127.0.0.3")
    storages: tuple[tuple[str, str, int], ...] = (
        ("group1", "127.0.0.11", 100001),
        ("group1", "127.0.0.12", 100002),
        ("group2", "127.0.0.21", 100021),
    )
    config: NodeConfig = field(default_factory=lambda: NodeConfig(subdir_count=16))
    not_joined: tuple[str, ...] = ()
    before: dict[int, Callable[[Node], None]] = field(default_factory=dict)
    """What happened to the cluster before an exchange."""

    @property
    def ipv6(self) -> bool:
        return ":" in self.trackers[0]


def set_status(name: str, status: StorageStatus) -> Callable[[Node], None]:
    def act(node: Node) -> None:
        node.storage(name).status = status

    return act


def kill(*names: str) -> Callable[[Node], None]:
    def act(node: Node) -> None:
        for name in names:
            node.storage(name).kill()

    return act


VARIANTS = {
    "default": Variant(),
    "ipv6size": Variant(config=NodeConfig(subdir_count=16, wide_addresses=True)),
    "slavelink": Variant(config=NodeConfig(subdir_count=16, store_slave_file_use_link=True)),
    "storageid": Variant(
        config=NodeConfig(subdir_count=16, use_storage_id=True),
        before={
            0: set_status("group1/storage2", StorageStatus.OFFLINE),
            16: set_status("group1/storage2", StorageStatus.ACTIVE),
        },
    ),
    "trunk": Variant(trackers=("127.0.0.2",), config=NodeConfig(subdir_count=16, use_trunk_file=True)),
    "ipv6": Variant(
        trackers=("fd7f::2",),
        storages=(("group1", "fd7f::11", 100001), ("group1", "fd7f::12", 100002), ("group2", "fd7f::21", 100021)),
        config=NodeConfig(subdir_count=16, use_storage_id=True),
        not_joined=("fd7f::12",),
    ),
    "admin": Variant(
        before={
            0: kill("group1/storage2", "group2/storage1"),
            17: kill("group1/storage1"),
        },
    ),
    "extra": Variant(),
}


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def build(variant: Variant, directory: Path) -> Node:
    specs = [
        StorageSpec(group, "::1" if variant.ipv6 else host, 0, number, joined=host not in variant.not_joined)
        for group, host, number in variant.storages
    ]
    hosts = ["::1" if variant.ipv6 else host for host in variant.trackers]
    return Node(directory, tracker_hosts=hosts, storages=specs, config=variant.config)


def recorded_addresses(variant: Variant, node: Node) -> dict[str, str]:
    addresses = {}
    for host, tracker in zip(variant.trackers, node.trackers, strict=True):
        addresses[f"[{host}]:22122" if variant.ipv6 else f"{host}:22122"] = tracker.address
    for (_, host, _), storage in zip(variant.storages, node.storages, strict=True):
        addresses[f"[{host}]:23000" if variant.ipv6 else f"{host}:23000"] = storage.address
    return addresses


def test_every_recording_is_replayed() -> None:
    assert {path.stem for path in RECORDINGS.glob("*.jsonl")} == set(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_node_answers_as_recorded(name: str, tmp_path: Path) -> None:
    variant = VARIANTS[name]
    if variant.ipv6 and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback address")
    exchanges = load(name)
    with build(variant, tmp_path) as node:
        replay = Replay(node, recorded_addresses(variant, node))
        try:
            failures = []
            for exchange in exchanges:
                variant.before.get(exchange.index, lambda node: None)(node)
                failures += attempt(replay, exchange)
            assert failures == []
            replay.check_kept()
        finally:
            replay.close()


def attempt(replay: Replay, exchange: Exchange) -> list[str]:
    try:
        replay.run(exchange)
    except (AssertionError, EOFError, ConnectionError) as error:
        return [f"{exchange}: {error!r}"]
    return []
