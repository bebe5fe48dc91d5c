from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.server.dialogue import Dialogue, Running, running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that is served."""
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


@pytest.fixture
def serve(root: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers of ``root`` with the settings given; they are stopped at the end."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Running:
            directory = settings.pop("root", root)
            return stack.enter_context(running(directory, **settings))

        yield start


@pytest.fixture
def server(serve: Callable[..., Running]) -> Running:
    """A server with the settings that it has by itself."""
    return serve()


@pytest.fixture
def client(server: Running) -> Iterator[Dialogue]:
    """A control connection of alice, logged in, TYPE I."""
    with Dialogue(server.address) as dialogue:
        yield dialogue.login()


@dataclass
class Tls:
    """A certificate for localhost and what trusts it."""

    cert: str
    ca: str
    directory: Path

    def context(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for localhost, 127.0.0.1 and ::1."""
    trustme = pytest.importorskip("trustme", reason="certificates for the tests are made by trustme")
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1", "::1", key_type=trustme.KeyType.ECDSA)
    issued.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    return Tls(str(directory / "server.pem"), str(directory / "ca.pem"), directory)


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """How many descriptors this process has open."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("counting descriptors needs /proc")
    return lambda: len(os.listdir("/proc/self/fd"))
