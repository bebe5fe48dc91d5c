"""The user's guide says what is so, and the examples run."""

from __future__ import annotations

import doctest
import inspect
import re
import runpy
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import fastxfer.fdfs
from fastxfer.fdfs import AsyncClient, Client, ClientConfig

ROOT = Path(__file__).parent.parent.parent
GUIDE = ROOT / "docs" / "fastdfs.md"
EXAMPLES = ROOT / "examples"

EXPECTED = {
    "fastdfs_basic": ["the copy is the same: True", "still there: False", "as expected: File not found"],
    "fastdfs_metadata": ["merged: {'author': 'Łukasz', 'height': '768', 'width': '1024'}", "refused:", "removed: {}"],
    "fastdfs_appender": ["modified and cut: b'BEGIN\\nline 0\\n'", "sealed as a normal file: b'BEGIN\\nline 0\\n'"],
    "fastdfs_async_batch": ["uploaded 200", "nothing is uploaded twice: True", "all the same: True", "deleted"],
}

here = pytest.mark.skipif(not GUIDE.exists(), reason="the guide and the examples are not beside the tests")


@here
@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_does_what_it_says(
    trackers: list[str], name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, *trackers])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    shown = capsys.readouterr().out
    for line in EXPECTED[name]:
        assert line in shown


@here
def test_what_the_guide_shows_happens(
    trackers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = GUIDE.read_text(encoding="utf-8")
    for number, address in enumerate(["192.168.1.100:22122", "192.168.1.101:22122"]):
        text = text.replace(address, trackers[number % len(trackers)])
    sessions = "\n\n".join(re.findall(r"```pycon\n(.*?)```", text, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(sessions, {}, "fastdfs.md", str(GUIDE), 0)
    assert len(test.examples) > 40
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(
        test, clear_globs=False
    )
    test.globs["client"].close()
    assert failed == 0, capsys.readouterr().out


@here
def test_the_guide_knows_all_settings_errors_and_operations() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    named = set(re.findall(r"\w+", text))
    operations = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")} & set(
        dir(AsyncClient)
    )
    settings = {field.name for field in fields(ClientConfig)}
    errors = {name for name in fastxfer.fdfs.__all__ if name.endswith("Error")}
    assert (operations | settings | errors) - named == set()
