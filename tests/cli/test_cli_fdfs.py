"""``fastxfer fdfs``: every command against a node, its output for people and for scripts, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.cli._exit_codes import ExitCode
from fastxfer.fdfs.node import Fault, Node, NodeConfig
from tests.cli.calling import Cli, piped


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    config = NodeConfig(use_storage_id=True)
    with Node(tmp_path_factory.mktemp("node"), groups={"group1": 2, "group2": 1}, config=config) as node:
        yield node


class ClusterCli(Cli):
    """Runs commands in this process against the node."""

    def __init__(self, node: Node, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(capture, "fdfs")
        self.node = node

    def json(self, *arguments: object) -> Any:
        documents = super().json(*arguments)
        return documents[0] if len(documents) == 1 else documents


@pytest.fixture
def cli(node: Node, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> ClusterCli:
    monkeypatch.setenv("FASTXFER_TRACKERS", ",".join(node.tracker_addrs))
    node.faults.clear()
    return ClusterCli(node, capsys)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_bytes(b"hello fastdfs\n")
    return path


def test_upload_writes_the_file_id_alone(cli: ClusterCli, local: Path, tmp_path: Path) -> None:
    file_id = cli.ok("upload", str(local))
    assert file_id.startswith("group")
    assert file_id.endswith(".txt")
    target = tmp_path / "back"
    assert cli.ok("download", file_id, "-o", str(target)) == str(target)
    assert target.read_bytes() == local.read_bytes()


def test_upload_as_json(cli: ClusterCli, local: Path) -> None:
    told = cli.json("upload", str(local), "--group", "group2", "--ext", "md")
    assert (told["path"], told["size"]) == (str(local), 14)
    assert told["file_id"].startswith("group2/M00/")
    assert told["file_id"].endswith(".md")
    assert told["seconds"] >= 0


def test_several_files_are_told_one_by_one(cli: ClusterCli, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.bin" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * number)
    lines = dict(reversed(line.split("\t")) for line in cli.ok("upload", *map(str, paths)).splitlines())
    assert set(lines) == set(map(str, paths))
    out = tmp_path / "out"
    saved = cli.ok("download", *lines.values(), "-d", str(out)).splitlines()
    assert sorted(Path(path).read_bytes() for path in saved) == sorted(path.read_bytes() for path in paths)


def test_a_failure_among_several_does_not_stop_the_rest(cli: ClusterCli, local: Path, tmp_path: Path) -> None:
    code, output = cli.run("upload", str(local), str(tmp_path / "missing"), str(tmp_path))
    assert code == ExitCode.FAILED
    assert len(output.splitlines()) == 1
    assert f"{tmp_path / 'missing'}: No such file or directory" in cli.error
    assert f"{tmp_path}: is a directory" in cli.error


def test_standard_input_and_output(node: Node) -> None:
    content = bytes(range(256)) * 1000
    trackers = ",".join(node.tracker_addrs)
    uploaded = piped("fdfs", "upload", "-", "--ext", "bin", stdin=content, FASTXFER_TRACKERS=trackers)
    assert uploaded.returncode == 0, uploaded.stderr
    file_id = uploaded.stdout.decode().strip()
    downloaded = piped("fdfs", "download", file_id, "-o", "-", FASTXFER_TRACKERS=trackers)
    assert (downloaded.returncode, downloaded.stdout) == (0, content)


def test_a_range_is_downloaded(cli: ClusterCli, local: Path, tmp_path: Path) -> None:
    file_id = cli.ok("upload", str(local))
    cli.ok("download", file_id, "-o", str(tmp_path / "part"), "--offset", "6", "--length", "4")
    assert (tmp_path / "part").read_bytes() == b"fast"


def test_info_and_parse(cli: ClusterCli, local: Path, node: Node) -> None:
    file_id = cli.ok("upload", str(local), "--group", "group1")
    told = cli.json("info", file_id)
    assert (told["size"], told["crc32"], told["kind"]) == (14, "0e10ba5d", "normal")
    assert told["source"] == "127.0.0.1"
    parsed = cli.json("parse", file_id)
    assert (parsed["group"], parsed["size"], parsed["crc32"]) == ("group1", 14, "0e10ba5d")
    assert parsed["source"] in {int(storage.id) for storage in node.storages}
    assert "0e10ba5d" in cli.ok("info", file_id)
    assert "extension" in cli.ok("parse", file_id)


def test_metadata_is_set_merged_shown_and_cleared(cli: ClusterCli, local: Path) -> None:
    file_id = cli.ok("upload", str(local), "--meta", "author=张三", "--meta", "width=1024")
    assert cli.json("meta", file_id) == {"author": "张三", "width": "1024"}
    cli.ok("meta", file_id, "width=800", "height=600", "--merge")
    assert cli.ok("meta", file_id).splitlines() == ["author=张三", "height=600", "width=800"]
    cli.ok("meta", file_id, "only=one")
    assert cli.json("meta", file_id) == {"only": "one"}
    cli.ok("meta", file_id, "--clear")
    assert cli.json("meta", file_id) == {}
    assert cli.ok("meta", file_id) == ""


def test_exists_answers_by_its_exit_code(cli: ClusterCli, local: Path) -> None:
    file_id = cli.ok("upload", str(local))
    assert cli.run("exists", file_id)[0] == ExitCode.OK
    cli.ok("delete", file_id)
    assert cli.run("exists", file_id) == (ExitCode.NOT_FOUND, "")
    assert json.loads(cli.run("exists", file_id, "--json")[1]) == {"file_id": file_id, "exists": False}


def test_delete(cli: ClusterCli, local: Path) -> None:
    file_id = cli.ok("upload", str(local))
    assert cli.json("delete", file_id) == {"file_id": file_id, "deleted": True}
    assert cli.run("delete", file_id)[0] == ExitCode.NOT_FOUND
    assert file_id in cli.error
    assert cli.json("delete", file_id, "--missing-ok") == {"file_id": file_id, "deleted": False}


def test_appender_files(cli: ClusterCli, local: Path, tmp_path: Path) -> None:
    file_id = cli.ok("upload", str(local), "--appender")
    cli.ok("append", file_id, str(local))
    cli.ok("modify", file_id, "6", str(local))
    cli.ok("truncate", file_id, "20")
    assert cli.json("parse", file_id)["kind"] == "appender"
    new_id = cli.ok("regenerate", file_id)
    cli.ok("download", new_id, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"hello hello fastdfs\n"
    assert cli.run("append", new_id, str(local))[0] == ExitCode.USAGE


def test_a_slave_goes_beside_its_master(cli: ClusterCli, local: Path) -> None:
    master = cli.ok("upload", str(local))
    slave = cli.ok("upload", str(local), "--slave-of", master, "--prefix", "_small", "--ext", "jpg")
    assert slave == master.removesuffix(".txt") + "_small.jpg"
    assert cli.run("upload", str(local), "--slave-of", master, "--prefix", "_small", "--ext", "jpg")[0] == 1


def test_list_and_monitor(cli: ClusterCli, node: Node) -> None:
    assert [group["group_name"] for group in cli.json("list")[0:2]] == ["group1", "group2"]
    storages = cli.json("list", "group1")
    assert [storage["id"] for storage in storages] == [storage.id for storage in node.storages[:2]]
    assert storages[0]["status"] == "ACTIVE"
    assert len(cli.json("list", "group1", node.storages[0].id)) == 1
    shown = cli.ok("monitor")
    assert "group2" in shown
    assert node.storages[2].id in shown
    document = cli.json("monitor")
    assert document["trackers"] == node.tracker_addrs
    assert [len(group["storages"]) for group in document["groups"]] == [2, 1]
    assert cli.run("list", "nogroup")[0] == ExitCode.NOT_FOUND


def test_ping(cli: ClusterCli, node: Node) -> None:
    assert cli.ok("ping") == f"{node.tracker_addrs[0]} answers"
    assert cli.json("ping", node.storages[0].address)["server"] == node.storages[0].address
    assert cli.run("ping", "127.0.0.1:1", "--retries", "1")[0] == ExitCode.UNREACHABLE


def test_deleting_storages_and_groups(tmp_path: Path, cli: ClusterCli) -> None:
    with Node(tmp_path / "other", groups={"group1": 2}, config=NodeConfig(use_storage_id=True)) as other:
        where = ["--tracker", other.tracker_addrs[0]]
        storage = other.storages[1]
        assert cli.run("delete-storage", "group1", storage.id, *where)[0] == ExitCode.FAILED
        storage.kill()
        cli.ok("delete-storage", "group1", storage.id, *where)
        assert cli.json("list", "group1", storage.id, *where)[0]["status"] == "DELETED"
        assert cli.run("delete-group", "group1", *where)[0] == ExitCode.FAILED
        assert cli.run("delete-group", "nogroup", *where)[0] == ExitCode.NOT_FOUND


def test_url(cli: ClusterCli) -> None:
    name = "M00/00/00/fwAAC2sEnZqACUquAAAACw1KEYU287.txt"
    arguments = ["url", f"group1/{name}", "--base", "http://files.example/", "--timestamp", "1795464602"]
    assert cli.ok(*arguments) == f"http://files.example/group1/{name}"
    assert cli.ok(*arguments, "--key", "FastDFS1234567890").endswith(
        "?token=91c71e306d55d2796241392a89c72db6&ts=1795464602"
    )


def test_a_client_conf_names_the_trackers(
    cli: ClusterCli, node: Node, tmp_path: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTXFER_TRACKERS")
    conf = tmp_path / "client.conf"
    conf.write_text(f"tracker_server = {node.tracker_addrs[0]}\n")
    assert cli.ok("upload", str(local), "--conf", str(conf)).startswith("group")
    monkeypatch.setenv("FASTXFER_FDFS_CONF", str(conf))
    assert cli.ok("upload", str(local)).startswith("group")


# What goes wrong


def test_no_tracker_is_told_as_unreachable(cli: ClusterCli, local: Path) -> None:
    code, output = cli.run("upload", str(local), "-t", "127.0.0.1:1", "--retries", "1")
    assert (code, output) == (ExitCode.UNREACHABLE, "")
    assert "127.0.0.1:1" in cli.error


def test_errors_as_json(cli: ClusterCli) -> None:
    code, output = cli.run("info", "group1/M00/00/00/nonsense", "--json")
    assert code == ExitCode.USAGE
    told = json.loads(output)
    assert (told["type"], told["exit_code"]) == ("InvalidFileIDError", 2)
    code, output = cli.run("meta", "group1/M00/00/00/nonsense", "--json")
    assert (code, output) == (ExitCode.USAGE, "")
    assert json.loads(cli.error)["type"] == "InvalidFileIDError"


def test_a_corrupted_download_is_a_mismatch_and_leaves_no_file(cli: ClusterCli, local: Path, tmp_path: Path) -> None:
    file_id = cli.ok("upload", str(local))
    cli.node.inject(Fault(command=14, corrupt=0, times=None))
    assert cli.run("download", file_id, "-o", str(tmp_path / "out"))[0] == ExitCode.MISMATCH
    assert sorted(path.name for path in tmp_path.iterdir()) == ["note.txt"]


def test_a_target_that_cannot_be_written_is_a_local_error(cli: ClusterCli, local: Path, tmp_path: Path) -> None:
    file_id = cli.ok("upload", str(local))
    assert cli.run("download", file_id, "-o", str(local / "below-a-file"))[0] == ExitCode.LOCAL


@pytest.mark.parametrize(
    "arguments",
    [
        ["upload"],
        ["upload", "x", "--slave-of", "group1/x"],
        ["upload", "x", "y", "--slave-of", "group1/x", "--prefix", "_s"],
        ["upload", "x", "--meta", "no equals sign"],
        ["upload", "x", "--store-path", "256"],
        ["download", "a", "b", "-o", "x"],
        ["download", "a", "-o", "-", "--json"],
        ["truncate", "a", "12 parsecs"],
        ["meta", "a", "--merge"],
        ["meta", "a", "b=c", "--clear"],
        ["info", "a", "--tracker", "host:notaport"],
        ["info", "a", "--conf", "/nonexistent/client.conf", "--tracker", ""],
        ["url", "group1/M00/00/00/x"],
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(cli: ClusterCli, arguments: list[str]) -> None:
    code, output = cli.run(*arguments)
    assert (code, output) == (ExitCode.USAGE, "")
    assert cli.error


def test_output_into_a_closed_pipe_is_no_traceback(node: Node) -> None:
    command = f"{sys.executable} -W ignore -m fastxfer fdfs monitor --json | true"
    env = {**os.environ, "FASTXFER_TRACKERS": node.tracker_addrs[0]}
    result = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False, env=env)
    assert b"Traceback" not in result.stderr
