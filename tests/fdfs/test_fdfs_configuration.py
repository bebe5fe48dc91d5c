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
