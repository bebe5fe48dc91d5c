"""Measuring work against servers: what ``fastxfer bench`` and the project's own benchmarks share."""

from fastxfer.bench._fdfs import (
    AsyncStore,
    SyncStore,
    fdfs_async,
    fdfs_sync,
    moved,
    payload,
    run_async,
    run_sync,
    source_file,
)
from fastxfer.bench._loops import in_tasks, in_threads, run_in_loop
from fastxfer.bench._measure import Measurement, Meter, Recorder
from fastxfer.bench._work import Work

__all__ = [
    "AsyncStore",
    "Measurement",
    "Meter",
    "Recorder",
    "SyncStore",
    "Work",
    "fdfs_async",
    "fdfs_sync",
    "in_tasks",
    "in_threads",
    "moved",
    "payload",
    "run_async",
    "run_in_loop",
    "run_sync",
    "source_file",
]
