"""Settings, in code and in client.conf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastxfer.fdfs import (
    AsyncClient,
    Client,
    ClientConfig,
    FileNotFoundError,
    InvalidArgumentError,
    read_client_conf,
)
from fastxfer.fdfs.node import Node


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
        {"tracker_addrs": [5]},
        {"tracker_addrs": [b"host:1"]},
        {"max_conns": "10"},
        {"max_conns": 2.5},
        {"engine_threads": 1.5},
        {"network_timeout": None},
        {"connect_timeout": "5"},
        {"idle_timeout": float("nan")},
        {"topology_age": None},
        {"pool_timeout": -1},
        {"pool_timeout": "x"},
        {"spin": -5},
        {"spin": "x"},
        {"send_buffer": -1},
        {"receive_buffer": "x"},
        {"max_buffered": -1},
        {"rate_limit": "x"},
        {"tcp_congestion": 5},
        {"tracker_addrs": 5},
        {"tracker_addrs": b"10.0.0.1:22122"},
        {"connect_timeout": 1e10},
        {"idle_timeout": 10**400},
        {"pool_timeout": 1e300},
        {"rate_limit": 10**400},
        {"engine_threads": 1 << 31},
        {"send_buffer": 1 << 31},
        {"receive_buffer": 1 << 63},
    ],
    ids=str,
)
def test_a_configuration_that_makes_no_sense(settings: dict[str, Any]) -> None:
    config = ClientConfig(**{"tracker_addrs": ["10.0.0.1:22122"], **settings})
    for face in (Client, AsyncClient):
        with pytest.raises(InvalidArgumentError, match=next(iter(settings)) + "|[Tt]racker address"):
            face(config)


def test_no_configuration() -> None:
    with pytest.raises(InvalidArgumentError, match="Config is required"):
        Client(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="takes a ClientConfig, not list"):
        Client(["10.0.0.1:22122"])  # type: ignore[arg-type]


def test_a_client_conf(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "more.conf").write_text("tracker_server = [fd7f::2]:22122\nnetwork_timeout = 2m\n")
    path = tmp_path / "client.conf"
    path.write_text(
        "# a comment\nconnect_timeout = 3\nconnection_pool_max_idle_time = 3600\n"
        "tracker_server = 10.0.0.1:22122\ntracker_server=tracker.example\nmax_connections_per_server = 0\n"
        "base_path = /tmp\n#include sub/more.conf\nuse_connection_pool = true\n"
    )
    config = read_client_conf(path, retry_count=9)
    assert config.tracker_addrs == ["10.0.0.1:22122", "tracker.example:22122", "[fd7f::2]:22122"]
    assert (config.connect_timeout, config.network_timeout, config.idle_timeout) == (3.0, 120.0, 3600.0)
    assert (config.max_conns, config.retry_count) == (10, 9)
    Client(config).close()


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("192.168.2.100,122.244.141.46:22122", ["192.168.2.100:22122", "122.244.141.46:22122"]),
        ("inner.example, outer.example", ["inner.example:22122", "outer.example:22122"]),
        ("[2409:8a20::ad8e,fe80::436c]:22123", ["[2409:8a20::ad8e]:22123", "[fe80::436c]:22123"]),
        ("2409:8a20::ad8e,fe80::436c", ["[2409:8a20::ad8e]:22122", "[fe80::436c]:22122"]),
    ],
)
def test_a_tracker_with_two_addresses(tmp_path: Path, value: str, addresses: list[str]) -> None:
    path = tmp_path / "client.conf"
    path.write_text(f"tracker_server = {value}\n")
    assert read_client_conf(path).tracker_addrs == addresses


def test_the_other_address_of_a_tracker_serves_where_one_cannot_be_reached(shared_node: Node, tmp_path: Path) -> None:
    host, port = shared_node.tracker_addrs[0].split(":")
    path = tmp_path / "client.conf"
    path.write_text(f"tracker_server = unheard.invalid,{host}:{port}\n")
    with Client(read_client_conf(path)) as client:
        client.delete_file(client.upload_buffer(b"x", "txt"))


def test_times_that_are_none_and_a_mark_in_front_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "client.conf"
    path.write_text("\ufefftracker_server = h:1\nconnect_timeout = 0\nnetwork_timeout = -5\n", encoding="utf-8")
    config = read_client_conf(path)
    assert config == ClientConfig(["h:1"])


def test_sections_are_not_the_clients_and_end_as_the_c_client_has_them(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("[other]\nnetwork_timeout = 2\n")
    path = tmp_path / "client.conf"
    path.write_text(
        "tracker_server = h:1\n"
        "[group-1]\n"
        "tracker_server = other:2\n"
        "connect_timeout = 3\n"
        "[]\n"
        "connect_timeout = 4\n"
        "[__config__]\n"
        "connection_pool_max_idle_time = 8\n"
        "[x]\n"
        "#include more.conf\n"
        "network_timeout = 7\n"
    )
    assert read_client_conf(path) == ClientConfig(["h:1"], connect_timeout=4, network_timeout=7, idle_timeout=8)


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
