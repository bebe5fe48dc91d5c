"""The directories and the server that the documents' examples find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ftp_servers import Certificates
from tests.support.serving import Served, serving


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the files that the examples speak of."""
    directory = tmp_path / "here"
    for name in ("photos/one.jpg", "photos/two.jpg", "photos/cache.tmp", "work/mine.txt"):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for name in ("photo.jpg", "report.pdf", "more.log"):
        (directory / name).write_bytes(name.encode() * 1000)
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def served(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server whose certificate the system trusts, with the files that the examples speak of."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
    root = tmp_path / "served"
    for name in ("pub/big.iso", "pub/data/one.csv", "work/theirs.txt", "logs/today.log"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    (root / "inbox").mkdir()
    with serving(root, certificates, "me", "secret") as server:
        yield server
