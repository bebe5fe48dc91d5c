"""The URL commands on FastDFS clusters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastxfer.cli._exit_codes import ExitCode
from fastxfer.fdfs.node import Fault, Node
from tests.cli.calling import Cli, files_in


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node"), groups={"group1": 1, "group2": 1}) as node:
        yield node


@pytest.fixture
def cluster(node: Node) -> Iterator[str]:
    yield f"fdfs://{node.tracker_addrs[0]}"
    node.faults.clear()


def test_fastdfs_files_by_url(cli: Cli, cluster: str, tree: Path, tmp_path: Path) -> None:
    file_id = cli.ok("put", tree / "sub/b.bin", f"{cluster}/group2")
    assert file_id.startswith("group2/M00/")
    [told] = cli.json("stat", f"{cluster}/{file_id}")
    assert (told["size"], told["type"]) == (100_000, "file")
    cli.ok("get", f"{cluster}/{file_id}", "-o", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == bytes(100_000)
    assert cli.ok("ls", f"{cluster}/").splitlines() == ["group1", "group2"]
    assert [entry["storages"] for entry in cli.json("ls", f"{cluster}/")] == [1, 1]
    cli.ok("rm", f"{cluster}/{file_id}")
    assert cli.run("rm", f"{cluster}/{file_id}")[0] == ExitCode.NOT_FOUND
    assert cli.json("rm", "-f", f"{cluster}/{file_id}")[0]["removed"] == 0


@pytest.mark.parametrize("where", ["ftp", "fdfs"])
def test_a_large_file_in_segments(cli: Cli, url: str, cluster: str, tmp_path: Path, where: str) -> None:
    content = os.urandom(10 << 20)
    source = tmp_path / "large.bin"
    source.write_bytes(content)
    if where == "ftp":
        cli.ok("put", source, f"{url}/large.bin")
        remote = f"{url}/large.bin"
        assert cli.run("put", "-s", 3, source, f"{url}/x")[0] == ExitCode.USAGE
    else:
        remote = f"{cluster}/{cli.ok('put', '-s', 3, source, cluster)}"
    cli.ok("get", "-s", 3, remote, "-o", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert cli.run("get", "-s", 3, "-c", remote, "-o", tmp_path / "back")[0] == ExitCode.USAGE


def test_trackers_from_the_environment(
    cli: Cli, node: Node, tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FASTXFER_TRACKERS", node.tracker_addrs[0])
    file_id = cli.ok("put", tree / "a.txt", "fdfs:///")
    cli.ok("get", f"fdfs:///{file_id}", "-d", tmp_path / "out")
    assert list(files_in(tmp_path / "out").values()) == [b"aaa"]


def test_a_fastdfs_download_goes_on_where_it_stopped(cli: Cli, node: Node, cluster: str, tmp_path: Path) -> None:
    content = os.urandom(500_000)
    (tmp_path / "source.bin").write_bytes(content)
    file_id = cli.ok("put", tmp_path / "source.bin", cluster)
    target = tmp_path / "target.bin"
    part = tmp_path / "target.bin.fastxfer-part"
    part.write_bytes(content[:300_000])
    downloads = node.inject(Fault(command=14, times=None, delay=0.001))
    cli.ok("get", "-c", f"{cluster}/{file_id}", "-o", target)
    assert (target.read_bytes() == content, part.exists()) == (True, False)
    assert downloads.hits >= 1
    part.write_bytes(b"x" * 300_000)
    assert cli.run("get", "-c", f"{cluster}/{file_id}", "-o", target)[0] == ExitCode.MISMATCH
    assert not part.exists()
    cli.ok("get", "-c", f"{cluster}/{file_id}", "-o", target)
    assert target.read_bytes() == content


@pytest.mark.parametrize(
    "arguments",
    [
        ["mkdir", "{}/group1/x"],
        ["mv", "{}/group1/x", "{}/group1/y"],
        ["ls", "{}/group1/M00"],
        ["put", "a", "{}/group1/name.txt"],
        ["put", "-c", "a", "{}/"],
        ["sync", ".", "{}/"],
        ["get", "{}/group1/x", "--rate", "1k"],
    ],
)
def test_what_fastdfs_cannot_do_is_wrong_usage(
    cli: Cli, cluster: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, tree: Path
) -> None:
    monkeypatch.chdir(tree)
    (tree / "a").write_bytes(b"x")
    code, _ = cli.run(*(argument.format(cluster) for argument in arguments))
    assert code in (ExitCode.USAGE, ExitCode.NOT_FOUND)
    assert cli.error
