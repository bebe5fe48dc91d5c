"""What other clients of FastDFS get wrong, one test for each that no other test is about."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastxfer.fdfs import FastDFSError, FileNotFoundError
from fastxfer.fdfs.node import Fault, Node
from tests.fdfs.conftest import MakeClient

DOWNLOAD = 14
QUERY_FETCH, QUERY_UPDATE = 102, 103
EINVAL = 22


def test_a_connection_that_the_server_closes_after_einval_is_not_used_again(
    node: Node, make_client: MakeClient
) -> None:
    client = make_client(node.tracker_addrs, retry_count=1)
    small, large = client.upload_buffer(b"x", "txt"), client.upload_buffer(bytes(300_000), "bin")
    for file_id, size in ((small, 1), (large, 300_000)):
        before = sum(each.dropped for each in client.stats().connections.values())
        fault = node.inject(Fault("group1", DOWNLOAD, status=EINVAL, times=None))
        for number in range(1, 4):
            with pytest.raises(FastDFSError) as caught:
                client.download_file(file_id)
            assert caught.value.status == EINVAL
            dropped = sum(each.dropped for each in client.stats().connections.values())
            assert dropped - before == fault.hits >= number
        node.faults.clear()
        assert len(client.download_file(file_id)) == size


def test_a_missing_file_is_told_without_a_pause(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs, retry_delay=3600.0, retry_max_delay=3600.0)
    gone = client.upload_buffer(b"x", "txt")
    node.wait_replicated()
    client.delete_file(gone)
    node.wait_replicated()
    for operation in (client.download_file, client.get_file_info, client.get_metadata, client.delete_file):
        with pytest.raises(FileNotFoundError):
            operation(gone)
    assert not client.file_exists(gone)


def test_changes_are_not_sent_where_reads_go(node: Node, make_client: MakeClient) -> None:
    client = make_client(node.tracker_addrs, reads="tracker")
    file_id = client.upload_buffer(b"x", "txt")
    reads = node.inject(Fault("tracker", QUERY_FETCH, status=EINVAL, times=None))
    changes = node.inject(Fault("tracker", QUERY_UPDATE, delay=0.001, times=None))
    client.set_metadata(file_id, {"a": "b"})
    client.delete_file(file_id)
    assert (reads.hits, changes.hits) == (0, 2)


CHILD = """
import signal, sys
from fastxfer.fdfs import Client, ClientConfig
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
with Client(ClientConfig(sys.argv[1].split(","), retry_delay=0.01)) as client:
    for path in sys.argv[2:]:
        client.upload_file(path)
    print("uploaded", flush=True)
    sys.stdin.readline()
    for path in sys.argv[2:]:
        client.upload_file(path)
print("uploaded again")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="no SIGPIPE here")
def test_a_peer_that_hangs_up_does_not_end_the_process(node: Node, tmp_path: Path) -> None:
    paths = [tmp_path / "small", tmp_path / "large"]
    paths[0].write_bytes(b"x" * 1000)
    paths[1].write_bytes(b"x" * 5_000_000)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, ",".join(node.tracker_addrs), *map(str, paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "uploaded\n"
        node.storages[0].kill(noticed=False)
        rest, errors = child.communicate("\n", timeout=100)
        assert (child.returncode, rest) == (0, "uploaded again\n"), errors
