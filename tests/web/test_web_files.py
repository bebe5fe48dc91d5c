"""Reading and changing the tree over HTTP."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import FileInfo, Permissions, ServerConfig, User, WebConfig, localfs
from fastxfer.server.account import REMOVE_TURN
from fastxfer.server.web import listing
from tests.web.site import Site, form, serve

BIG = random.Random(7).randbytes(3_000_001)


def test_the_front_tells_programs_the_state_of_the_server(site: Site) -> None:
    answer = site.get("/", user="")
    assert answer.status == 200
    assert answer.json == {
        "server": "FTP Server",
        "version": answer.json["version"],
        "secure": False,
        "path": "/",
        "ports": {"ftp": 2121, "web": site.port},
        "endpoints": answer.json["endpoints"],
        "status": "active",
    }
    assert set(answer.json["endpoints"]) == {"files", "upload", "download", "delete"}


def test_the_front_shows_browsers_the_file_manager(site: Site) -> None:
    answer = site.get("/", {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, user="")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"<!doctype html>" in answer.body
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


def test_the_file_manager_can_be_switched_off(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(web=WebConfig(ui=False))) as site:
        assert site.get("/", {"Accept": "text/html"}, user="").json["status"] == "active"
        assert site.get("/assets/app.js", user="").status == 404


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_001])
def test_what_is_uploaded_is_downloaded(site: Site, size: int) -> None:
    stored = site.put("/files/data.bin", BIG[:size])
    assert stored.status == 201
    assert stored.json == {
        "status": "success",
        "path": "/data.bin",
        "message": "File uploaded successfully",
        "size": size,
    }
    answer = site.get("/files/data.bin")
    assert (answer.status, answer.body) == (200, BIG[:size])
    assert answer.headers["Content-Length"] == str(size)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="data.bin"'
    assert (site.root / "data.bin").read_bytes() == BIG[:size]


def test_one_connection_serves_many_requests(site: Site) -> None:
    (site.root / "big").write_bytes(BIG)
    (site.root / "small").write_bytes(b"small")
    connection = site.connect()
    try:
        for name, content in [("big", BIG), ("small", b"small")] * 3:
            connection.request("GET", f"/files/{name}", headers={"Authorization": "Basic YWxpY2U6d29uZGVybGFuZA=="})
            assert connection.getresponse().read() == content
    finally:
        connection.close()


def test_head_tells_what_get_would_send(site: Site) -> None:
    (site.root / "big").write_bytes(BIG)
    head, whole = site.request("HEAD", "/files/big"), site.get("/files/big")
    assert head.body == b""
    for name in ("Content-Length", "ETag", "Last-Modified", "Content-Disposition", "Accept-Ranges"):
        assert head.headers[name] == whole.headers[name]


def test_a_directory_is_listed_with_what_one_needs_to_know(site: Site) -> None:
    (site.root / "sub").mkdir()
    (site.root / "notes.txt").write_bytes(b"four")
    os.utime(site.root / "notes.txt", (1_700_000_000, 1_700_000_000))
    answer = site.get("/files/")
    assert answer.json["path"] == "/"
    assert answer.json["total"] == 2
    notes, sub = answer.json["entries"]
    assert notes == {
        "name": "notes.txt",
        "path": "/notes.txt",
        "href": "/files/notes.txt",
        "dir": False,
        "type": "file",
        "size": 4,
        "modified": "2023-11-14T22:13:20Z",
        "mode": "0644",
        "etag": site.get("/files/notes.txt").headers["ETag"],
    }
    assert (sub["name"], sub["dir"], sub["type"], sub["size"]) == ("sub", True, "directory", 0)
    assert set(answer.json["permissions"]) == {
        *("list", "read", "write", "overwrite", "append", "delete", "rename", "mkdir", "chmod")
    }


@pytest.mark.parametrize("target", ["/files", "/files/", "/files/sub", "/files/sub/"])
def test_a_directory_is_listed_with_or_without_the_slash(site: Site, target: str) -> None:
    (site.root / "sub").mkdir()
    assert site.get(target).json["entries"] is not None


def test_a_listing_can_be_sorted_and_cut(site: Site) -> None:
    for number, name in enumerate("cab"):
        (site.root / name).write_bytes(b"x" * number)

    def names(query: str) -> list[str]:
        return [entry["name"] for entry in site.get(f"/files/?{query}").json["entries"]]

    assert names("sort=name") == ["a", "b", "c"]
    assert names("sort=size&order=desc") == ["b", "a", "c"]
    assert names("limit=2") == ["a", "b"]
    assert names("offset=1&limit=1") == ["b"]
    assert names("offset=9") == []
    for bad in ("sort=colour", "order=up", "limit=-1", "limit=x", "offset=" + "9" * 30):
        assert site.get(f"/files/?{bad}").status == 400


def test_ten_thousand_entries_are_listed(site: Site) -> None:
    for number in range(10_000):
        (site.root / f"file {number:05}.txt").touch()
    listing = site.get("/files/").json
    assert listing["total"] == len(listing["entries"]) == 10_000
    assert listing["entries"][-1]["name"] == "file 09999.txt"


def test_names_of_all_kinds_come_and_go(site: Site) -> None:
    for name in ("naïve.txt", "データ.bin", "a b+c%d&e=f#g?h", "-rf", "'\"<script>", "back\\slash"):
        from urllib.parse import quote

        target = "/files/" + quote(name, safe="")
        assert site.put(target, name.encode()).status == 201
        assert (site.root / name).read_bytes() == name.encode()
        assert site.get(target).body == name.encode()
        (entry,) = site.get("/files/").json["entries"]
        assert entry["name"] == name
        assert site.get(entry["href"]).body == name.encode()
        assert site.delete(target).status == 200


def test_names_that_are_no_text_can_still_be_read_moved_and_removed(site: Site) -> None:
    (Path(os.fsdecode(os.fsencode(site.root) + b"/bad\xff.txt"))).write_bytes(b"old")
    (entry,) = site.get("/files/").json["entries"]
    assert entry["href"] == "/files/bad%FF.txt"
    assert site.get(entry["href"]).body == b"old"
    assert site.post(entry["href"] + "?action=move&to=/worse%FE.txt").status == 200
    assert site.get("/files/worse%FE.txt").body == b"old"
    assert site.delete("/files/worse%FE.txt").status == 200
    assert list(site.root.iterdir()) == []


def test_links_inside_the_tree_are_shown_as_what_they_lead_to(site: Site) -> None:
    (site.root / "real").mkdir()
    (site.root / "real" / "file").write_bytes(b"12345")
    (site.root / "to-dir").symlink_to("real")
    (site.root / "to-file").symlink_to("real/file")
    (site.root / "to-nothing").symlink_to("missing")
    entries = {entry["name"]: entry for entry in site.get("/files/").json["entries"]}
    assert entries["to-dir"]["dir"]
    assert entries["to-file"]["size"] == 5
    assert entries["to-nothing"]["type"] == "link"
    assert site.get("/files/to-dir/file").body == b"12345"


def test_a_search_looks_below_the_directory(site: Site) -> None:
    (site.root / "a" / "b").mkdir(parents=True)
    (site.root / "a" / "Report.PDF").touch()
    (site.root / "a" / "b" / "report.txt").touch()
    (site.root / "other.txt").touch()

    def found(query: str) -> list[str]:
        return sorted(entry["path"] for entry in site.get(f"/files/{query}").json["entries"])

    assert found("?search=report") == ["/a/Report.PDF", "/a/b/report.txt"]
    assert found("a/b/?search=report") == ["/a/b/report.txt"]
    assert found("?search=*.txt") == ["/a/b/report.txt", "/other.txt"]
    assert found("?search=r?port.pdf") == ["/a/Report.PDF"]
    assert site.get("/files/missing/?search=x").status == 404


def test_directories_are_made_and_removed(site: Site) -> None:
    made = site.post("/files/new?action=mkdir")
    assert (made.status, made.headers["Location"]) == (201, "/files/new/")
    assert (site.root / "new").is_dir()
    assert site.post("/files/new?action=mkdir").status == 409
    assert site.post("/files/a/b/c?action=mkdir").status == 404
    assert site.post("/files/a/b/c?action=mkdir&parents=true").status == 201
    assert site.delete("/files/a").status == 409
    assert site.delete("/files/new").json == {
        "status": "success",
        "path": "/new",
        "message": "Directory deleted successfully",
    }
    assert site.delete("/files/a?recursive=true").status == 200
    assert list(site.root.iterdir()) == []


def test_a_file_is_removed(site: Site) -> None:
    (site.root / "old.txt").touch()
    assert site.delete("/files/old.txt").json == {
        "status": "success",
        "path": "/old.txt",
        "message": "File deleted successfully",
    }
    assert site.delete("/files/old.txt").status == 404


def test_a_path_with_a_slash_at_its_end_means_a_directory(site: Site) -> None:
    (site.root / "a").write_bytes(b"a")
    (site.root / "b").mkdir()
    assert site.delete("/files/a/").status == 404
    assert site.delete("/files/a/?recursive=1").status == 404
    assert (site.root / "a").exists()
    assert site.delete("/files/b/").status == 200


def test_removing_a_tree_takes_links_and_leaves_what_they_lead_to(site: Site) -> None:
    (site.root / "keep").mkdir()
    (site.root / "keep" / "file").touch()
    (site.root / "tree").mkdir()
    (site.root / "tree" / "link").symlink_to("../keep")
    assert site.delete("/files/tree?recursive=true").status == 200
    assert (site.root / "keep" / "file").exists()
    (site.root / "link").symlink_to("keep")
    assert site.delete("/files/link").status == 200
    assert (site.root / "keep" / "file").exists()


async def turns_during(work: Coroutine[Any, Any, Any]) -> int:
    """How many turns somebody else gets until *work* is done."""
    turns = 0
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    await task
    return turns


def test_others_have_turns_while_a_large_tree_is_removed_or_read(site: Site) -> None:
    for number in range(2000):
        (site.root / f"tree/{number % 4}").mkdir(parents=True, exist_ok=True)
        (site.root / f"tree/{number % 4}/{number}").touch()
        (site.root / f"{number}").touch()
    account = site.service.account(User(name="alice"))
    assert site.run(turns_during(account.entries("/"))) >= 2000 / localfs.LIST_TURN
    assert site.run(turns_during(account.remove_tree("/tree"))) >= 2000 / REMOVE_TURN
    assert not (site.root / "tree").exists()


def test_a_tree_may_be_removed_by_two_at_once(site: Site) -> None:
    for number in range(1000):
        (site.root / f"tree/{number % 4}").mkdir(parents=True, exist_ok=True)
        (site.root / f"tree/{number % 4}/{number}").touch()

    async def both() -> list[int]:
        account = site.service.account(User(name="alice"))
        return list(await asyncio.gather(account.remove_tree("/tree"), account.remove_tree("/tree")))

    assert sum(site.run(both())) == 1005
    assert list(site.root.iterdir()) == []


def test_the_root_stays(site: Site) -> None:
    assert site.delete("/files/?recursive=true").status == 403
    assert site.root.is_dir()


def test_files_and_directories_are_moved(site: Site) -> None:
    (site.root / "a").write_bytes(b"a")
    (site.root / "dir").mkdir()
    assert site.post("/files/a?action=move&to=/dir/b").json["path"] == "/dir/b"
    assert site.post("/files/dir?action=move&to=/new%20name").status == 200
    assert (site.root / "new name" / "b").read_bytes() == b"a"
    assert site.post("/files/new%20name?action=move&to=/x/y&parents=true").status == 200
    assert (site.root / "x" / "y" / "b").exists()


@pytest.mark.parametrize("action", ["move", "copy"])
def test_moving_and_copying_replace_nothing_unless_told_to(site: Site, action: str) -> None:
    (site.root / "a").write_bytes(b"a")
    (site.root / "b").write_bytes(b"b")
    assert site.post(f"/files/a?action={action}&to=/b").status == 409
    assert (site.root / "b").read_bytes() == b"b"
    assert site.post(f"/files/a?action={action}&to=/b&overwrite=true").status == 200
    assert (site.root / "b").read_bytes() == b"a"
    assert (site.root / "a").exists() == (action == "copy")


@pytest.mark.parametrize(
    "query",
    ["action=fly", "action=move", "action=move&to=relative", "action=move&to=/", "action=move&to=/a%0Ab", "action="],
)
def test_actions_that_make_no_sense_are_refused(site: Site, query: str) -> None:
    (site.root / "a").touch()
    assert site.post(f"/files/a?{query}").status == 400
    assert [entry.name for entry in site.root.iterdir()] == ["a"]


def test_a_directory_cannot_move_into_itself(site: Site) -> None:
    (site.root / "d").mkdir()
    assert site.post("/files/d?action=move&to=/d/e").status == 400


def test_a_form_stores_its_file_under_the_name_in_the_url(site: Site) -> None:
    body, headers = form(("comment", None, b"hello"), ("file", "whatever.txt", BIG))
    assert site.post("/files/remote.txt", body, headers).json == {
        "status": "success",
        "path": "/remote.txt",
        "message": "File uploaded successfully",
    }
    assert (site.root / "remote.txt").read_bytes() == BIG


def test_a_form_stores_several_files_in_a_directory(site: Site) -> None:
    (site.root / "in").mkdir()
    body, headers = form(("file", "a.txt", b"a"), ("file", "b.txt", b""))
    assert site.post("/files/in", body, headers).json["files"] == ["/in/a.txt", "/in/b.txt"]
    assert (site.root / "in" / "a.txt").read_bytes() == b"a"
    assert (site.root / "in" / "b.txt").read_bytes() == b""


def test_a_user_can_do_only_what_is_granted(site: Site) -> None:
    (site.root / "a").write_bytes(b"a")
    reader = {"user": "reader:library"}
    assert site.get("/files/a", **reader).body == b"a"
    assert site.get("/files/", **reader).json["permissions"] == ["list", "read"]
    assert site.put("/files/b", b"b", **reader).status == 403
    assert site.put("/files/a", b"b", **reader).status == 403
    assert site.delete("/files/a", **reader).status == 403
    assert site.post("/files/d?action=mkdir", **reader).status == 403
    assert site.post("/files/a?action=move&to=/b", **reader).status == 403
    assert site.post("/files/a?action=copy&to=/b", **reader).status == 403
    body, headers = form(("file", "b", b"b"))
    assert site.post("/files/b", body, headers, **reader).status == 403
    assert [entry.name for entry in site.root.iterdir()] == ["a"]
    assert (site.root / "a").read_bytes() == b"a"


def test_a_user_who_may_only_deliver_learns_nothing(site: Site) -> None:
    (site.root / "there").write_bytes(b"secret")
    courier = {"user": "courier:letterbox"}
    assert site.get("/files/", **courier).status == 403
    assert site.get("/files/there", **courier).status == 403
    assert site.put("/files/there", b"x", **courier).status in {403, 409}
    assert (site.root / "there").read_bytes() == b"secret"
    assert site.put("/files/letter", b"dear", **courier).status == 201
    assert (site.root / "letter").read_bytes() == b"dear"
    assert site.get("/files/letter", **courier).status == 403
    assert site.request("HEAD", "/files/letter", **courier).status == 403


def test_each_user_sees_his_own_root(tmp_path: Path) -> None:
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / "mine").write_bytes(b"mine")
    (tmp_path / "other").write_bytes(b"other")
    users = [(User(name="bob", root="/bob", permissions=Permissions("all")), "builder")]
    with serve(tmp_path, users=users) as site:
        assert [entry["path"] for entry in site.get("/files/", user="bob:builder").json["entries"]] == ["/mine"]
        assert site.get("/files/other", user="bob:builder").status == 404
        assert site.get("/files/bob/mine", user="bob:builder").status == 404


def test_a_read_only_server_changes_nothing(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(read_only=True)) as site:
        assert site.put("/files/a", b"a").status == 403
        assert site.get("/files/").json["permissions"] == ["list", "read"]


def test_others_have_their_turns_while_a_huge_directory_is_listed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1000):
        (site.root / f"{number:03}").touch()
    turns = 0
    seen = []
    plain = listing.describe

    def noting(info: FileInfo, path: str) -> dict[str, object]:
        seen.append(turns)
        return plain(info, path)

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    monkeypatch.setattr(listing, "describe", noting)
    assert site.loop is not None
    counting = asyncio.run_coroutine_threadsafe(count(), site.loop)
    try:
        entries = site.get("/files/").json["entries"]
    finally:
        counting.cancel()
    assert [entry["name"] for entry in entries] == [f"{number:03}" for number in range(1000)]
    assert len(set(seen)) == 1000 / listing.AT_ONCE
