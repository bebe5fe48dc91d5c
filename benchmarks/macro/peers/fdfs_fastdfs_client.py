"""fastdfs-client from PyPI."""

from __future__ import annotations

from benchmarks.macro.worker import serve, version_of
from fastxfer.bench import Meter, Work, run_sync


class Store:
    unsupported = ("info",)

    def __init__(self, work: Work) -> None:
        from fastdfs_client import FastdfsClient

        addresses = [part.rpartition(":") for part in work.server["tracker"].split(",")]
        self._client = FastdfsClient(
            {
                "host_tuple": tuple(host for host, _, _ in addresses),
                "port": int(addresses[0][2]),
                "timeout": 30,
                "name": "Tracker Pool",
            }
        )

    def upload(self, data: bytes) -> str:
        return _text(self._client.upload_by_buffer(data, "bin")["Remote file_id"])

    def download(self, file_id: str) -> bytes:
        return self._client.download_to_buffer(file_id.encode())["Content"]

    def info(self, file_id: str) -> object:
        raise NotImplementedError

    def delete(self, file_id: str) -> object:
        return self._client.delete_file(file_id)

    def upload_file(self, path: str) -> str:
        return _text(self._client.upload_by_filename(path)["Remote file_id"])

    def download_file(self, file_id: str, path: str) -> object:
        return self._client.download_to_file(path, file_id.encode())


def _text(file_id: str | bytes) -> str:
    return file_id.decode() if isinstance(file_id, bytes) else file_id


def run(work: Work, meter: Meter) -> None:
    run_sync(work, Store(work), meter)


if __name__ == "__main__":
    serve(version_of("fastdfs-client"), run)
