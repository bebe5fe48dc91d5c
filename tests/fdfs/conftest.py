"""A node and a client of each kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.fdfs import ClientConfig
from fastxfer.fdfs.node import Node
from tests.fdfs.faces import FACES

MakeClient = Callable[..., Any]


def quick_config(trackers: list[str], **settings: Any) -> ClientConfig:
    """Short pauses, so that tests of failures are quick; generous timeouts, so that a slow machine does not matter."""
    settings = {"retry_delay": 0.01, "retry_max_delay": 0.05, "network_timeout": 60.0, **settings}
    return ClientConfig(trackers, **settings)


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Two trackers, two groups, one of them with two storages; nothing goes wrong in it."""
    with Node(tmp_path_factory.mktemp("node"), groups={"group1": 2, "group2": 1}, trackers=2) as node:
        yield node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node of the test's own, to be maltreated: two trackers, one group with two storages."""
    with Node(tmp_path / "node", groups={"group1": 2}, trackers=2) as node:
        yield node


@pytest.fixture(params=FACES, ids=lambda face: face.__name__)
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Makes clients of one kind and closes them."""
    made: list[Any] = []

    def make(trackers: list[str], **settings: Any) -> Any:
        client = request.param(quick_config(trackers, **settings))
        made.append(client)
        return client

    yield make
    for client in made:
        with client:
            pass


@pytest.fixture
def trackers(request: pytest.FixtureRequest) -> list[str]:
    """Of the cluster that the environment names in ``FASTXFER_TEST_TRACKERS`` (comma-separated), else of a node."""
    named = os.environ.get("FASTXFER_TEST_TRACKERS")
    if named:
        return named.split(",")
    node: Node = request.getfixturevalue("shared_node")
    return node.tracker_addrs


@pytest.fixture
def client(trackers: list[str], make_client: MakeClient) -> Any:
    return make_client(trackers)
