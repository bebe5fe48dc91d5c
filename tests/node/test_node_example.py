"""The example of the node runs."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "fastdfs_node.py"


@pytest.mark.skipif(not EXAMPLE.exists(), reason="the examples are not beside the tests")
def test_the_example_does_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    shown = capsys.readouterr().out
    assert "group1/storage2 has b'Hello, FastDFS!'" in shown
    assert "still serves b'Hello, FastDFS!'" in shown
    assert "refused: Integrity check failed" in shown
