"""``python -m benchmarks.macro.docs [RESULTS.json]``: write docs/performance.md from the reference results.

With a file of results as argument that one becomes the reference first. The page is never typed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.macro.report import render

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "benchmarks" / "reference.json"
PAGE = ROOT / "docs" / "performance.md"
CHARTS = ROOT / "docs" / "performance"
NOTE = "<!-- Written by `python -m benchmarks.macro.docs` from benchmarks/reference.json; do not edit. -->\n"


def main() -> None:
    if len(sys.argv) > 1:
        document = json.loads(Path(sys.argv[1]).read_text())
        REFERENCE.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    document = json.loads(REFERENCE.read_text())
    CHARTS.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(NOTE + render(document, CHARTS, "Performance", prefix=f"{CHARTS.name}/"))
    print(PAGE)


if __name__ == "__main__":
    main()
