"""``fastxfer fdfs put`` and ``get``: directories up, lists down."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastxfer.cli import _app
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli.fdfs.batches import escape, unescape
from fastxfer.fdfs.node import Fault, Node

STRANGE = ["ünï côdé", "tab\tand\nline", "back\\slash\\t", " spaces ", "{brace}", "#hash"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture(autouse=True)
def trackers(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTXFER_TRACKERS", node.tracker_addrs[0])
    node.faults.clear()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for number, name in enumerate([*STRANGE, *map(str, range(20))]):
        path = root / f"d{number % 3}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * number)
    (root / ".hidden").write_bytes(b"h")
    (root / "link").symlink_to(root / "d0")
    return root


def contents(path: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(path)): each.read_bytes()
        for each in path.rglob("*")
        if each.is_file() and not each.name.startswith(".") and not each.relative_to(path).is_relative_to("link")
    }


def documents(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_directory_goes_up_and_its_list_brings_it_back(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    extra = ["--json"] if as_json else []
    assert _app.run(["fdfs", "put", str(tree), "--list", str(tmp_path / "list"), *extra]) == ExitCode.OK
    shown = capsys.readouterr()
    assert "26 files" in shown.err or documents(shown.out)[-1]["done"] == 26
    assert len((tmp_path / "list").read_text().splitlines()) == 26
    assert _app.run(["fdfs", "get", str(tmp_path / "list"), "-d", str(tmp_path / "out"), *extra]) == ExitCode.OK
    assert contents(tmp_path / "out") == contents(tree)


def test_the_list_goes_to_standard_output_and_comes_from_standard_input(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _app.run(["fdfs", "put", str(tree), "--hidden"]) == ExitCode.OK
    lines = capsys.readouterr().out
    assert len(lines.splitlines()) == 27
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert _app.run(["fdfs", "get", "-", "-d", str(tmp_path / "out")]) == ExitCode.OK
    assert (tmp_path / "out" / ".hidden").read_bytes() == b"h"


def test_a_journal_keeps_files_from_being_uploaded_twice(
    node: Node, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fdfs", "put", str(tree), "--journal", str(tmp_path / "journal"), "--json"]
    fault = node.inject(Fault(command=11, status=28, times=5))
    assert _app.run(command) == ExitCode.FAILED
    first = documents(capsys.readouterr().out)
    assert (first[-1]["failed"], first[-1]["done"], fault.hits) == (5, 21, 5)
    assert sum("error" in document for document in first) == 5
    assert _app.run(command) == ExitCode.OK
    second = documents(capsys.readouterr().out)
    assert (second[-1]["failed"], second[-1]["done"], second[-1]["skipped"]) == (0, 26, 21)
    ids = {document["path"]: document["file_id"] for document in first if "file_id" in document}
    again = {document["path"]: document["file_id"] for document in second if "file_id" in document}
    assert len(again) == 26
    assert all(again[path] == file_id for path, file_id in ids.items())


def test_a_missing_file_does_not_stop_the_rest(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _app.run(["fdfs", "put", str(tree)]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    gone = lines[0].partition("\t")[0]
    assert _app.run(["fdfs", "delete", gone]) == ExitCode.OK
    (tmp_path / "list").write_text("# a comment\n\n" + "\n".join(lines) + "\n")
    assert _app.run(["fdfs", "get", str(tmp_path / "list"), "-d", str(tmp_path / "out")]) == ExitCode.FAILED
    assert len(contents(tmp_path / "out")) == 25
    assert "1 failed" in capsys.readouterr().err
    (tmp_path / "list").write_text(gone)
    assert _app.run(["fdfs", "get", str(tmp_path / "list"), "-d", str(tmp_path / "out")]) == ExitCode.NOT_FOUND


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "nul\0"])
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "list").write_text(f"group1/M00/00/00/x\t{escape(path)}\n")
    assert _app.run(["fdfs", "get", str(tmp_path / "list"), "-d", str(tmp_path / "out")]) == ExitCode.USAGE
    assert not (tmp_path / "out").exists()


def test_a_list_that_is_not_there_is_a_local_error(tmp_path: Path) -> None:
    assert _app.run(["fdfs", "get", str(tmp_path / "missing")]) == ExitCode.LOCAL
    assert _app.run(["fdfs", "put", str(tmp_path / "missing")]) == ExitCode.USAGE


@given(st.text(alphabet=st.sampled_from("a\\tnr\t\n\r")))
def test_escaping_can_be_undone(path: str) -> None:
    assert unescape(escape(path)) == path
    assert "\n" not in escape(path)
    assert "\t" not in escape(path)
