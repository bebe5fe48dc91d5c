from __future__ import annotations

from collections.abc import Iterator
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
