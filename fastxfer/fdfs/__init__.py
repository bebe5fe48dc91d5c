"""A FastDFS client: pooled, safe for threads, verified, and fast.

>>> from fastxfer.fdfs import Client, ClientConfig                              # doctest: +SKIP
>>> with Client(ClientConfig(tracker_addrs=["192.168.1.100:22122"])) as client:  # doctest: +SKIP
...     file_id = client.upload_buffer(b"Hello, FastDFS!", "txt")
...     data = client.download_file(file_id)
"""

from fastxfer.core.wire import FileId
from fastxfer.fdfs.aio import AsyncClient
from fastxfer.fdfs.batch import BatchProgress, BatchResult, UploadItem
from fastxfer.fdfs.client import Client
from fastxfer.fdfs.conf import read_client_conf
from fastxfer.fdfs.config import ClientConfig
from fastxfer.fdfs.errors import (
    AlreadyDoneError,
    ClientClosedError,
    ConnectionTimeoutError,
    FastDFSError,
    FileAlreadyExistsError,
    FileNotFoundError,
    InsufficientSpaceError,
    IntegrityError,
    InvalidArgumentError,
    InvalidFileIDError,
    InvalidMetadataError,
    InvalidResponseError,
    MetadataNotSetError,
    NetworkError,
    NetworkTimeoutError,
    NoStorageServerError,
    OperationNotSupportedError,
    PoolTimeoutError,
    ProtocolError,
    ServerBusyError,
    StorageServerOfflineError,
    TrackerServerOfflineError,
    TransferCancelledError,
)
from fastxfer.fdfs.local import build_url, http_token, parse_file_id
from fastxfer.fdfs.stats import ClientStats
from fastxfer.fdfs.types import (
    FileInfo,
    GroupInfo,
    MetadataFlag,
    StorageInfo,
    StorageServer,
    StorageStatus,
)
from fastxfer.net.cancel import CancelToken
from fastxfer.net.progress import Progress

__all__ = [
    "AlreadyDoneError",
    "AsyncClient",
    "BatchProgress",
    "BatchResult",
    "CancelToken",
    "Client",
    "ClientClosedError",
    "ClientConfig",
    "ClientStats",
    "ConnectionTimeoutError",
    "FastDFSError",
    "FileAlreadyExistsError",
    "FileId",
    "FileInfo",
    "FileNotFoundError",
    "GroupInfo",
    "InsufficientSpaceError",
    "IntegrityError",
    "InvalidArgumentError",
    "InvalidFileIDError",
    "InvalidMetadataError",
    "InvalidResponseError",
    "MetadataFlag",
    "MetadataNotSetError",
    "NetworkError",
    "NetworkTimeoutError",
    "NoStorageServerError",
    "OperationNotSupportedError",
    "PoolTimeoutError",
    "Progress",
    "ProtocolError",
    "ServerBusyError",
    "StorageInfo",
    "StorageServer",
    "StorageServerOfflineError",
    "StorageStatus",
    "TrackerServerOfflineError",
    "TransferCancelledError",
    "UploadItem",
    "build_url",
    "http_token",
    "parse_file_id",
    "read_client_conf",
]
