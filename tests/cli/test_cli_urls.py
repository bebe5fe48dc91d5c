"""The URL commands on FTP, FastDFS and local paths."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastxfer.cli import _app
from fastxfer.cli._exit_codes import ExitCode
from fastxfer.cli.urls.location import parse_location
from fastxfer.fdfs.node import Fault, Node
from tests.server.dialogue import PASSWORD, USER, Running, running


class Cli:
    """Runs commands in this process."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.capture = capture
        self.error = ""

    def run(self, *arguments: object) -> tuple[int, str]:
        """Exit code and standard output; standard error is in ``error``."""
        code = _app.run([str(argument) for argument in arguments])
        shown = self.capture.readouterr()
        self.error = shown.err
        return code, shown.out

    def ok(self, *arguments: object) -> str:
        code, output = self.run(*arguments)
        assert code == ExitCode.OK, self.error
        return output.rstrip("\n")

    def json(self, *arguments: object) -> list[Any]:
        return [json.loads(line) for line in self.ok(*arguments, "--json").splitlines()]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    monkeypatch.setenv("FASTXFER_USER", USER)
    monkeypatch.setenv("FASTXFER_PASSWORD", PASSWORD)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    return Cli(capsys)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "served"
    path.mkdir()
    return path


@pytest.fixture
def server(root: Path) -> Iterator[Running]:
    with running(root) as server:
        yield server


@pytest.fixture
def url(server: Running) -> str:
    return f"ftp://127.0.0.1:{server.port}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A local directory with a few files."""
    path = tmp_path / "tree"
    (path / "sub" / "deep").mkdir(parents=True)
    (path / "empty").mkdir()
    (path / "a.txt").write_bytes(b"aaa")
    (path / "sub" / "b.bin").write_bytes(bytes(100_000))
    (path / "sub" / "deep" / "ünï côdé.txt").write_bytes(b"unicode")
    (path / "zero").write_bytes(b"")
    return path


def files_in(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}


# FTP


def test_put_and_get_a_file(cli: Cli, url: str, root: Path, tree: Path, tmp_path: Path) -> None:
    assert cli.ok("put", tree / "a.txt", f"{url}/new/dir/b.txt") == "/new/dir/b.txt"
    assert (root / "new/dir/b.txt").read_bytes() == b"aaa"
    target = tmp_path / "back.txt"
    assert cli.ok("get", f"{url}/new/dir/b.txt", "-o", target) == str(target)
    assert target.read_bytes() == b"aaa"


def test_put_into_a_directory(cli: Cli, url: str, root: Path, tree: Path) -> None:
    cli.ok("put", tree / "a.txt", f"{url}/by-slash/")
    (root / "there").mkdir()
    cli.ok("put", tree / "a.txt", f"{url}/there")
    cli.ok("put", tree / "a.txt", tree / "zero", f"{url}/several")
    assert set(files_in(root)) == {"by-slash/a.txt", "there/a.txt", "several/a.txt", "several/zero"}


def test_get_several_by_pattern(cli: Cli, url: str, root: Path, tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt", "three.bin"):
        (root / name).write_bytes(name.encode())
    out = tmp_path / "out"
    documents = cli.json("get", f"{url}/*.txt", "-d", out)
    assert {document["path"] for document in documents} == {str(out / "one.txt"), str(out / "two.txt")}
    assert all(document["size"] == 7 and document["seconds"] >= 0 for document in documents)
    assert files_in(out) == {"one.txt": b"one.txt", "two.txt": b"two.txt"}
    assert cli.run("get", f"{url}/*.nothing", "-d", out)[0] == ExitCode.NOT_FOUND


def test_a_failure_among_several_does_not_stop_the_rest(cli: Cli, url: str, root: Path, tmp_path: Path) -> None:
    (root / "there").write_bytes(b"x")
    code, output = cli.run("get", f"{url}/there", f"{url}/missing", "-d", tmp_path / "out")
    assert code == ExitCode.FAILED
    assert output.splitlines() == [str(tmp_path / "out/there")]
    assert "missing" in cli.error
    assert cli.run("get", f"{url}/missing", "-d", tmp_path / "out")[0] == ExitCode.NOT_FOUND
    assert files_in(tmp_path / "out") == {"there": b"x"}


def test_no_clobber_and_preserve(cli: Cli, url: str, root: Path, tmp_path: Path) -> None:
    (root / "f").write_bytes(b"new")
    os.utime(root / "f", (1_000_000_000, 1_000_000_000))
    target = tmp_path / "f"
    target.write_bytes(b"old")
    assert cli.run("get", f"{url}/f", "-o", target, "-n")[0] != ExitCode.OK
    assert target.read_bytes() == b"old"
    cli.ok("get", f"{url}/f", "-o", target, "-p")
    assert (target.read_bytes(), target.stat().st_mtime) == (b"new", 1_000_000_000)


def test_verified_transfers_tell_what_was_compared(cli: Cli, url: str, tree: Path, tmp_path: Path) -> None:
    [document] = cli.json("put", tree / "sub/b.bin", f"{url}/b.bin", "--verify")
    assert document["verified"] not in ("", "size")
    [document] = cli.json("get", f"{url}/b.bin", "-o", tmp_path / "b", "--verify")
    assert document["verified"] not in ("", "size")


def test_a_tree_goes_up_and_comes_down(cli: Cli, url: str, root: Path, tree: Path, tmp_path: Path) -> None:
    cli.ok("put", "-r", tree, f"{url}/copy")
    assert files_in(root / "copy") == files_in(tree)
    assert (root / "copy" / "empty").is_dir()
    assert "4 download" in cli.ok("get", "-r", f"{url}/copy", "-d", tmp_path / "out")
    assert files_in(tmp_path / "out" / "copy") == files_in(tree)
    documents = cli.json("get", "-r", "-c", f"{url}/copy", "-d", tmp_path / "out")
    assert documents[-1]["summary"]
    assert documents[-1]["failed"] == 0


def test_ls_tree_stat_and_cat(cli: Cli, url: str, root: Path, tree: Path) -> None:
    cli.ok("put", "-r", tree, f"{url}/t")
    assert cli.ok("ls", f"{url}/t").splitlines() == ["a.txt", "empty/", "sub/", "zero"]
    long = cli.ok("ls", "-l", f"{url}/t")
    assert "drwx" in long
    assert " 3 " in long
    listed = {entry["name"]: entry for entry in cli.json("ls", f"{url}/t")}
    assert (listed["a.txt"]["type"], listed["a.txt"]["size"], listed["sub"]["type"]) == ("file", 3, "dir")
    assert [entry["name"] for entry in cli.json("ls", f"{url}/t/a.txt")] == ["a.txt"]
    shown = cli.ok("tree", f"{url}/t")
    assert "ünï côdé.txt" in shown
    assert "3 directories, 4 files" in shown
    paths = [entry["path"] for entry in cli.json("tree", f"{url}/t")]
    assert paths.index("sub") < paths.index("sub/deep/ünï côdé.txt")
    assert "deep" not in " ".join(entry["path"] for entry in cli.json("tree", f"{url}/t", "--depth", 1))
    [told] = cli.json("stat", f"{url}/t/sub/b.bin")
    assert (told["size"], told["type"]) == (100_000, "file")
    assert cli.run("stat", f"{url}/nothing")[0] == ExitCode.NOT_FOUND


def test_rm_mv_and_mkdir(cli: Cli, url: str, root: Path) -> None:
    cli.ok("mkdir", "-p", f"{url}/x/y")
    cli.ok("mkdir", f"{url}/x/z")
    assert cli.run("mkdir", f"{url}/x/z")[0] != ExitCode.OK
    for number in range(3):
        (root / "x" / f"{number}.tmp").write_bytes(b"x")
    cli.ok("mv", f"{url}/x/0.tmp", f"{url}/x/y")
    cli.ok("mv", f"{url}/x/1.tmp", f"{url}/x/renamed")
    assert set(files_in(root)) == {"x/y/0.tmp", "x/renamed", "x/2.tmp"}
    cli.ok("rm", f"{url}/x/*.tmp")
    assert set(files_in(root)) == {"x/y/0.tmp", "x/renamed"}
    assert cli.run("rm", f"{url}/x/missing")[0] == ExitCode.NOT_FOUND
    assert cli.json("rm", "-f", f"{url}/x/missing")[0]["removed"] == 0
    assert cli.run("rm", f"{url}/x")[0] != ExitCode.OK
    cli.ok("rm", "-r", f"{url}/x")
    assert list(root.iterdir()) == []


def test_sync_moves_what_differs_and_can_tell_beforehand(cli: Cli, url: str, root: Path, tree: Path) -> None:
    told = cli.ok("sync", tree, f"{url}/t", "--dry-run")
    assert told.startswith("would be done")
    assert not (root / "t").exists()
    cli.ok("sync", tree, f"{url}/t")
    assert files_in(root / "t") == files_in(tree)
    (tree / "a.txt").write_bytes(b"changed")
    (root / "t" / "extra").write_bytes(b"x")
    [*items, summary] = cli.json("sync", tree, f"{url}/t")
    assert [item["action"] for item in items if item["action"] != "skip"] == ["upload"]
    assert (summary["actions"]["upload"], summary["failed"]) == (1, 0)
    cli.ok("sync", tree, f"{url}/t", "--delete")
    assert files_in(root / "t") == files_in(tree)


def test_mirror_down_with_filters(cli: Cli, url: str, root: Path, tree: Path, tmp_path: Path) -> None:
    cli.ok("mirror", tree, f"{url}/t")
    out = tmp_path / "out"
    out.mkdir()
    (out / "stale").write_bytes(b"x")
    cli.ok("mirror", f"{url}/t", out, "--exclude", "*.bin")
    assert set(files_in(out)) == {"a.txt", "zero", "sub/deep/ünï côdé.txt"}
    assert cli.ok("mirror", f"{url}/t", out, "-v").splitlines()[0].startswith("download\t")


def test_verify_tells_differences_by_its_exit_code(cli: Cli, url: str, root: Path, tree: Path) -> None:
    cli.ok("put", "-r", tree, f"{url}/t")
    cli.ok("verify", tree, f"{url}/t", "--checksum")
    (root / "t" / "a.txt").write_bytes(b"aaX")
    cli.ok("verify", tree, f"{url}/t")
    assert cli.run("verify", tree, f"{url}/t", "--checksum")[0] == ExitCode.MISMATCH
    (root / "t" / "zero").unlink()
    assert cli.run("verify", tree, f"{url}/t")[0] == ExitCode.MISMATCH


def piped(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A real process with real pipes."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fastxfer", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_standard_input_and_output(cli: Cli, url: str, root: Path) -> None:
    content = bytes(range(256)) * 500
    assert piped("put", "-", f"{url}/piped.bin", stdin=content).returncode == 0
    assert (root / "piped.bin").read_bytes() == content
    assert piped("cat", f"{url}/piped.bin", f"{url}/piped.bin").stdout == content * 2
    assert cli.run("put", "-", f"{url}/")[0] == ExitCode.USAGE
    (root / "text").write_bytes(b"hello\n")
    assert cli.run("get", f"{url}/text", "-o", "-") == (0, "hello\n")


def test_a_rate_limit_is_kept(cli: Cli, url: str, root: Path, tmp_path: Path) -> None:
    (root / "f").write_bytes(bytes(600_000))
    [document] = cli.json("get", f"{url}/f", "-o", tmp_path / "f", "--rate", "400k")
    assert document["seconds"] > 0.4


# A shell starts what runs in the background with SIGINT ignored, and these tests may run there.
INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from fastxfer.cli import main; main()"
)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("count", [1, 3])
def test_ctrl_c_ends_transfers_and_leaves_nothing(cli: Cli, url: str, root: Path, tmp_path: Path, count: int) -> None:
    for number in range(count):
        (root / f"{number}.big").write_bytes(bytes(8 << 20))
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        INTERRUPTIBLE,
        "get",
        f"{url}/*.big",
        "-d",
        str(out),
        "--rate",
        "100k",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: out.exists() and len(list(out.iterdir())) == count)
            process.send_signal(signal.SIGINT)
            shown, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, shown) == (ExitCode.INTERRUPTED, b"")
    assert error.decode().strip() == "fastxfer: interrupted"
    assert list(out.iterdir()) == []


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# Credentials


def test_wrong_password_is_denied(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTXFER_PASSWORD", "wrong")
    assert cli.run("ls", url)[0] == ExitCode.DENIED
    assert "wrong" not in cli.error


def test_credentials_from_the_url_and_from_netrc(
    cli: Cli, server: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("FASTXFER_USER", "FASTXFER_PASSWORD"):
        monkeypatch.delenv(name)
    plain = f"ftp://127.0.0.1:{server.port}/"
    assert cli.run("ls", plain)[0] == ExitCode.DENIED
    cli.ok("ls", f"ftp://{USER}:{PASSWORD}@127.0.0.1:{server.port}/")
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    netrc.chmod(0o600)
    cli.ok("ls", plain, "--netrc", netrc)
    monkeypatch.setenv("NETRC", str(netrc))
    cli.ok("ls", plain)
    cli.ok("ls", f"ftp://{USER}@127.0.0.1:{server.port}/")
    netrc.write_text("machine 127.0.0.1 nonsense\n")
    assert cli.run("ls", plain)[0] == ExitCode.LOCAL
    assert cli.run("ls", plain, "--netrc", tmp_path / "missing")[0] == ExitCode.LOCAL


def test_a_netrc_that_others_may_read_is_not_used(
    cli: Cli, server: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("FASTXFER_USER", "FASTXFER_PASSWORD", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    plain = f"ftp://127.0.0.1:{server.port}/"
    assert cli.run("ls", plain)[0] == ExitCode.DENIED
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    netrc.chmod(0o644)
    assert cli.run("ls", plain)[0] == ExitCode.LOCAL
    assert "permissive" in cli.error
    assert PASSWORD not in cli.error
    netrc.chmod(0o600)
    cli.ok("ls", plain)


def test_a_password_in_a_url_is_not_shown_again(cli: Cli, server: Running) -> None:
    code, _ = cli.run("stat", f"ftp://{USER}:{PASSWORD}@127.0.0.1:{server.port}/missing", "--json")
    assert code == ExitCode.NOT_FOUND
    assert f"{USER}:{PASSWORD}" not in json.dumps(parse_location(f"ftp://u:{PASSWORD}@h/").text) + cli.error


def test_no_server_is_unreachable(cli: Cli) -> None:
    assert cli.run("ls", "ftp://127.0.0.1:1/", "--retries", 1)[0] == ExitCode.UNREACHABLE


# FastDFS


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


# Local paths


def test_local_paths(cli: Cli, tree: Path, tmp_path: Path) -> None:
    assert cli.ok("ls", tree).splitlines() == ["a.txt", "empty/", "sub/", "zero"]
    assert "4 files" in cli.ok("tree", tree)
    assert cli.json("stat", tree / "a.txt")[0]["size"] == 3
    cli.ok("get", tree / "a.txt", "-d", tmp_path / "copies")
    cli.ok("put", tree / "zero", tmp_path / "copies")
    assert files_in(tmp_path / "copies") == {"a.txt": b"aaa", "zero": b""}
    cli.ok("mkdir", "-p", tmp_path / "m" / "n")
    cli.ok("mv", tmp_path / "copies" / "zero", tmp_path / "m" / "n")
    assert cli.json("rm", "-r", tmp_path / "m")[0]["removed"] == 3
    assert cli.run("rm", tmp_path / "m")[0] == ExitCode.LOCAL
    assert cli.run("ls", tmp_path / "missing")[0] == ExitCode.LOCAL
    assert cli.ok("ls", f"file://{tree}").splitlines()[0] == "a.txt"


def test_a_local_copy_that_cannot_be_finished_leaves_nothing(cli: Cli, tree: Path, tmp_path: Path) -> None:
    assert cli.run("get", tree / "a.txt", "-o", tree / "a.txt")[0] != ExitCode.OK
    assert cli.run("put", tree, tmp_path / "x")[0] == ExitCode.LOCAL
    (tmp_path / "there").write_bytes(b"old")
    assert cli.run("get", "-n", tree / "a.txt", "-o", tmp_path / "there")[0] == ExitCode.LOCAL
    assert (tmp_path / "there").read_bytes() == b"old"
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_local_trees_are_copied_synced_mirrored_and_verified(cli: Cli, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli.ok("get", "-r", tree, "-d", out)
    copy = out / "tree"
    assert files_in(copy) == files_in(tree)
    assert (copy / "empty").is_dir()
    cli.ok("verify", tree, copy, "--checksum")
    (copy / "a.txt").write_bytes(b"aaX")
    (copy / "extra").write_bytes(b"x")
    os.utime(copy / "a.txt", (tree / "a.txt").stat()[7:9])
    assert cli.run("verify", tree, copy)[0] == ExitCode.MISMATCH
    assert "extra: only there" in cli.error
    assert cli.ok("sync", tree, copy, "--compare", "checksum", "--dry-run").startswith("would be done: 1 copy, 3 skip")
    [*items, summary] = cli.json("sync", tree, copy, "--compare", "checksum")
    assert [item["local"] for item in items if item["action"] == "copy"] == [str(tree / "a.txt")]
    assert summary["bytes"] == 3
    cli.ok("mirror", tree, copy)
    assert files_in(copy) == files_in(tree)
    (copy / "stale" / "deep").mkdir(parents=True)
    (copy / "stale" / "deep" / "x").write_bytes(b"x")
    cli.ok("mirror", tree, copy, "--exclude", "stale/")
    assert (copy / "stale").exists()
    cli.ok("mirror", tree, copy, "--dry-run")
    assert (copy / "stale").exists()
    assert "delete\t" in cli.ok("mirror", tree, copy, "-v")
    assert files_in(copy) == files_in(tree)
    cli.ok("verify", tree / "a.txt", copy / "a.txt")


@pytest.mark.parametrize(
    ("compare", "moved"),
    [("newer", False), ("exact", True), ("size", False), ("newer-only", False), ("checksum", False), ("always", True)],
)
def test_an_older_local_source_of_the_same_content(cli: Cli, tmp_path: Path, compare: str, moved: bool) -> None:
    for name, moment in (("source", 1_000_000_000), ("target", 1_100_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(b"x")
        os.utime(tmp_path / name / "f", (moment, moment))
    summary = cli.json("sync", tmp_path / "source", tmp_path / "target", "--compare", compare)[-1]
    assert ("copy" in summary["actions"]) == moved


def test_local_links_are_left_alone_unless_followed(cli: Cli, tree: Path, tmp_path: Path) -> None:
    (tree / "link").symlink_to(tree / "a.txt")
    cli.ok("sync", tree, tmp_path / "one")
    assert not (tmp_path / "one" / "link").exists()
    cli.ok("sync", tree, tmp_path / "two", "--follow-links")
    assert (tmp_path / "two" / "link").read_bytes() == b"aaa"


def test_local_errors_in_a_tree_do_not_stop_the_rest(cli: Cli, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "a.txt").mkdir(parents=True)
    code, _ = cli.run("sync", tree, tmp_path / "out")
    assert code == ExitCode.FAILED
    assert "a.txt" in cli.error
    assert (tmp_path / "out" / "zero").exists()
    assert cli.run("sync", tree, tmp_path / "out", "--stop-on-error")[0] == ExitCode.LOCAL
    assert cli.run("sync", tmp_path / "missing", tmp_path / "x")[0] == ExitCode.LOCAL
    assert cli.run("sync", tree, tmp_path / "x", "--both")[0] == ExitCode.USAGE


# Arguments


@pytest.mark.parametrize(
    ("text", "scheme", "server", "path"),
    [
        ("a/b", "file", "", "a/b"),
        ("file:///a%20b", "file", "", "/a b"),
        ("ftp://host", "ftp", "host", "/"),
        ("ftps://me@host:990/a%2Fb", "ftps", "host:990", "/a/b"),
        ("ftpes://[::1]:21/x", "ftpes", "[::1]:21", "/x"),
        ("fdfs://a:1,b:2/group1/M00/x", "fdfs", "a:1,b:2", "group1/M00/x"),
        ("fdfs:///group1/M00/x", "fdfs", "", "group1/M00/x"),
    ],
)
def test_what_an_argument_means(text: str, scheme: str, server: str, path: str) -> None:
    location = parse_location(text)
    assert (location.scheme, location.server, location.path) == (scheme, server, path)


def test_a_password_is_kept_out_of_what_is_shown() -> None:
    location = parse_location("ftp://me:se%40cret@host/x")
    assert (location.user, location.password, location.text) == ("me", "se@cret", "ftp://me@host/x")
    assert "cret" not in repr(location)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "http://host/"],
        ["ls", "ftp://"],
        ["ls", "ftp://host:port/"],
        ["ls", "ftp://host/\r\nDELE x"],
        ["get", "ftp://a/x", "ftp://a/y", "-o", "z"],
        ["get", "ftp://a/x", "-o", "-", "--json"],
        ["mv", "ftp://a/x", "ftp://b/x"],
        ["sync", "ftp://a/x", "ftp://b/x"],
        ["sync", "a", "ftp://b/x", "--both", "--delete"],
        ["get", "ftp://a/x", "--rate", "fast"],
        ["get"],
    ],
)
def test_wrong_usage(cli: Cli, arguments: list[str]) -> None:
    code, output = cli.run(*arguments)
    assert (code, output) == (ExitCode.USAGE, "")
    assert cli.error


def test_tls_with_a_private_authority(
    cli: Cli, root: Path, tmp_path_factory: pytest.TempPathFactory, make_certificate: Callable[[Path], tuple[str, str]]
) -> None:
    from fastxfer.server import TlsConfig

    certificate, authority = make_certificate(tmp_path_factory.mktemp("tls"))
    (root / "f").write_bytes(b"x")
    with running(root, tls=TlsConfig(cert=certificate)) as server:
        secure = f"ftpes://127.0.0.1:{server.port}/"
        assert cli.run("ls", secure, "--retries", 1)[0] == ExitCode.UNREACHABLE
        assert cli.ok("ls", secure, "--ca-file", authority) == "f"
        assert cli.ok("ls", secure, "--insecure") == "f"


@pytest.fixture
def make_certificate() -> Callable[[Path], tuple[str, str]]:
    """Writes a certificate for 127.0.0.1 and its authority's, and returns their paths."""
    trustme = pytest.importorskip("trustme", reason="certificates for the tests are made by trustme")

    def make(directory: Path) -> tuple[str, str]:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        return str(directory / "server.pem"), str(directory / "ca.pem")

    return make
