"""Every attack that the document lists is made by the tests that it names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"\| (\d+) \|.*\| ((?:`test_\w+`(?:, )?)+) \|")


def test_the_tests_that_are_named_exist() -> None:
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    lines = [LINE.fullmatch(line) for line in (ROOT / "docs" / "attacks.md").read_text().splitlines()]
    found = {int(line[1]): re.findall(r"test_\w+", line[2]) for line in lines if line is not None}
    assert len(found) >= 50
    assert sorted(found) == list(range(1, len(found) + 1))
    assert [(number, name) for number, names in found.items() for name in names if name not in defined] == []
