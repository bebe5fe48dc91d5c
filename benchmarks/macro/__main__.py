"""``python -m benchmarks.macro``: run the scenarios and write the results and the report."""

from __future__ import annotations

import argparse
import json
import signal
import time
from pathlib import Path
from typing import Any

from benchmarks.macro import machine
from benchmarks.macro.run import run_scenario, say
from benchmarks.macro.scenario import Scenario
from benchmarks.macro.scenarios import SCENARIOS

RESULTS = Path(__file__).resolve().parents[1] / "results"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.macro", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="fewer repetitions and smaller work (default)")
    length.add_argument("--full", action="store_true", help="everything")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="scenarios whose name starts so")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of the work is done (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=0, metavar="N", help="instead of those declared")
    parser.add_argument(
        "--go-on", action="store_true", help="keep the scenarios that a run that was broken off has done"
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and leave")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where results go (%(default)s)")
    return parser.parse_args()


def chosen(only: list[str]) -> list[Scenario]:
    """The scenarios whose names start with one of *only*; all when it is empty."""
    found = [scenario for scenario in SCENARIOS if not only or any(scenario.name.startswith(part) for part in only)]
    if not found:
        raise SystemExit(f"no scenario starts with {', '.join(only)}; see --list")
    return found


def already_done(path: Path, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The scenarios in the results at *path*, which must come from the same kind of run of the same commit."""
    if not path.exists():
        return []
    earlier = json.loads(path.read_text())
    for key in ("mode", "scale", "repetitions"):
        if earlier[key] != document[key]:
            raise SystemExit(f"{path} is of a run with {key} {earlier[key]}, not {document[key]}")
    if earlier["machine"]["fastxfer"] != document["machine"]["fastxfer"]:
        raise SystemExit(f"{path} is of {earlier['machine']['fastxfer']}, not {document['machine']['fastxfer']}")
    done: list[dict[str, Any]] = earlier["scenarios"]
    return done


def main() -> None:
    arguments = parse()
    scenarios = chosen(arguments.only)
    if arguments.list:
        for scenario in scenarios:
            print(f"{scenario.name:28} {scenario.title}")
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "mode": "full" if arguments.full else "short",
        "scale": arguments.scale,
        "repetitions": arguments.repetitions,
        "machine": machine.describe(),
        "interpreter_kib": machine.interpreter_kib(),
        "scenarios": [],
    }
    # So that the servers and workers are ended too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    results = arguments.out / "results.json"
    if arguments.go_on:
        document["scenarios"] = already_done(results, document)
    done = {scenario["name"] for scenario in document["scenarios"]}
    for scenario in scenarios:
        if scenario.name in done:
            continue
        say(f"{scenario.name}: {scenario.title}")
        document["scenarios"].append(run_scenario(scenario, not arguments.full, arguments.scale, arguments.repetitions))
        results.write_text(json.dumps(document, indent=1) + "\n")
    document["seconds"] = round(time.monotonic() - started, 1)
    results.write_text(json.dumps(document, indent=1) + "\n")
    from benchmarks.macro import report

    say(f"wrote {report.write(document, arguments.out)}")


if __name__ == "__main__":
    main()
