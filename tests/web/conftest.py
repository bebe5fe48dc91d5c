from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="the HTTP interface needs the extra `web`")

from tests.web.site import Site, serve


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An interface over an empty directory, whose user alice may do anything."""
    root = tmp_path / "root"
    root.mkdir()
    with serve(root) as running:
        yield running


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes event loops, of one kind after the other."""
    if request.param == "asyncio":
        return asyncio.new_event_loop
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make


@pytest.fixture(scope="module")
def tls() -> ssl.SSLContext:
    """What a server at 127.0.0.1 shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme = pytest.importorskip("trustme", reason="certificates for the tests are made by trustme")
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context
