"""Layers import downwards only, and every public name of a package is declared."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import fastxfer

ROOT = Path(fastxfer.__file__).parent

MAY_IMPORT: dict[str, set[str]] = {
    "_ext": {"_ext"},
    "_pure": {"_pure"},
    "core": {"core", "_ext", "_pure"},
    "net": {"net", "core", "_ext"},
    "fdfs": {"fdfs", "net", "core", "_ext"},
    "ftp": {"ftp", "net", "core", "_ext"},
    "server": {"server", "net", "core", "_ext"},
    "ftppy": {"ftppy", "ftp", "server", "net", "core", "_ext"},
    "bench": {"bench", "ftp", "fdfs", "net", "core", "_ext"},
    "cli": {"cli", "bench", "ftppy", "ftp", "server", "fdfs", "net", "core", "_ext"},
}
"""By folder: the folders it may import from (``_ext`` only for the types of its stubs)."""

SOURCES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))


def imported_folders(path: Path) -> set[str]:
    folders = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        folders |= {name.split(".")[1] for name in names if name.startswith("fastxfer.")}
    return folders


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_layer_imports_downwards_only(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    assert imported_folders(path) <= MAY_IMPORT[folder]


@pytest.mark.parametrize("path", sorted((ROOT / "fdfs").glob("*.py")), ids=lambda path: path.name)
def test_the_fastdfs_client_does_not_need_the_node(path: Path) -> None:
    assert "fastxfer.fdfs.node" not in path.read_text("utf-8")


@pytest.mark.parametrize("name", ["fastxfer", "fastxfer.fdfs", "fastxfer.ftp", "fastxfer.server", "fastxfer.ftppy"])
def test_every_exported_name_exists(name: str) -> None:
    if not (ROOT / Path(*name.split(".")[1:]) / "__init__.py").exists():
        pytest.skip(f"{name} is not part of this build")
    module = importlib.import_module(name)
    missing = [exported for exported in module.__all__ if not hasattr(module, exported)]
    assert missing == []
    assert len(set(module.__all__)) == len(module.__all__)
