"""The targets of the project, all of them ratios within one run."""

from __future__ import annotations

from benchmarks.macro.targets import Target

C, PYTHON = ("C library",), ("fastdfs-client", "py3Fdfs")
OURS, ASYNC = "fastxfer", "fastxfer asyncio"


def _fdfs() -> list[Target]:
    found = []
    for op in ("upload", "download", "info", "delete"):
        found += [
            Target("fdfs-small-1", op, "ops_per_s", OURS, C, 1.5),
            Target("fdfs-small-8", op, "ops_per_s", OURS, C, 1.2),
            Target("fdfs-small-64", op, "ops_per_s", ASYNC, C, 1.0),
            Target("fdfs-small-1", op, "client_cpu_ms_per_op", OURS, C, 1.0),
            Target("fdfs-small-8", op, "client_cpu_ms_per_op", OURS, C, 1.0),
            Target("fdfs-small-64", op, "client_cpu_ms_per_op", ASYNC, C, 1.5),
        ]
        if op != "info":
            found += [
                Target("fdfs-small-8", op, "ops_per_s", OURS, PYTHON, 3.0),
                Target("fdfs-small-8", op, "client_cpu_ms_per_op", OURS, PYTHON, 1 / 3),
            ]
    for scenario in ("fdfs-mib-1", "fdfs-mib-8"):
        for op in ("upload", "download"):
            found += [
                Target(scenario, op, "client_cpu_s_per_gb", OURS, C, 1.0),
                Target(scenario, op, "mb_per_s", OURS, ("bare loop, no tracker",), 0.95),
            ]
    for scenario in ("fdfs-file-1", "fdfs-file-8"):
        for op in ("upload_file", "download_file"):
            found += [
                Target(scenario, op, "client_cpu_s_per_gb", OURS, C, 1.0),
                Target(scenario, op, "mb_per_s", OURS, ("bare loop, no tracker",), 0.95),
            ]
    return found


TARGETS: tuple[Target, ...] = tuple(_fdfs())
