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
from fastxfer.bench._ftp import (
    FtpBatch,
    FtpSession,
    check_received,
    download_pairs,
    file_names,
    ftp_async,
    ftp_sync,
    received_folder,
    run_ftp_batch,
    run_ftp_sessions,
    source_folder,
    sources_folder,
    target_folder,
    upload_pairs,
)
from fastxfer.bench._loops import in_tasks, in_threads, run_in_loop
from fastxfer.bench._measure import Measurement, Meter, Recorder
from fastxfer.bench._target import Target
from fastxfer.bench._work import Work

__all__ = [
    "AsyncStore",
    "FtpBatch",
    "FtpSession",
    "Measurement",
    "Meter",
    "Recorder",
    "SyncStore",
    "Target",
    "Work",
    "check_received",
    "download_pairs",
    "fdfs_async",
    "fdfs_sync",
    "file_names",
    "ftp_async",
    "ftp_sync",
    "in_tasks",
    "in_threads",
    "moved",
    "payload",
    "received_folder",
    "run_async",
    "run_ftp_batch",
    "run_ftp_sessions",
    "run_in_loop",
    "run_sync",
    "source_file",
    "source_folder",
    "sources_folder",
    "target_folder",
    "upload_pairs",
]
