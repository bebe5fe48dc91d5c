"""Conditional requests and ranges of files."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from fastxfer.server import FileInfo, FileKind, ServerConfig, UploadsConfig, User, localfiles
from fastxfer.server.sharedbooks import SharedBooks, WorkerBooks
from fastxfer.server.web.conditions import Validators
from fastxfer.server.web.ranges import MAX_RANGES
from tests.web.site import WAIT, Site, basic, serve

CONTENT = bytes(range(256)) * 1000
LATER = "Fri, 01 Jan 2100 00:00:00 GMT"
EARLIER = "Thu, 01 Jan 2015 00:00:00 GMT"


@pytest.fixture
def tag(site: Site) -> str:
    """The entity tag of /file."""
    (site.root / "file").write_bytes(CONTENT)
    os.utime(site.root / "file", (1_700_000_000, 1_700_000_000))
    return str(site.request("HEAD", "/files/file").headers["ETag"])


def test_the_tag_is_strong_and_follows_the_content(site: Site, tag: str) -> None:
    assert re.fullmatch(r'"[0-9a-f]+"', tag)
    assert site.request("HEAD", "/files/file").headers["ETag"] == tag
    site.put("/files/file", CONTENT)
    assert site.request("HEAD", "/files/file").headers["ETag"] != tag


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_a_client_that_has_the_file_is_told_so(site: Site, tag: str, method: str, form: str) -> None:
    answer = site.request(method, "/files/file", headers={"If-None-Match": form.format(tag)})
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["ETag"] == tag


def test_a_client_that_has_another_file_gets_this_one(site: Site, tag: str) -> None:
    assert site.get("/files/file", {"If-None-Match": '"other"'}).body == CONTENT


def test_dates_are_conditions_too_but_tags_go_before(site: Site, tag: str) -> None:
    assert site.get("/files/file", {"If-Modified-Since": LATER}).status == 304
    assert site.get("/files/file", {"If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"}).status == 304
    assert site.get("/files/file", {"If-Modified-Since": EARLIER}).status == 200
    assert site.get("/files/file", {"If-Modified-Since": LATER, "If-None-Match": '"other"'}).status == 200
    assert site.get("/files/file", {"If-Unmodified-Since": EARLIER}).status == 412
    assert site.get("/files/file", {"If-Unmodified-Since": EARLIER, "If-Match": tag}).status == 200
    assert site.get("/files/file", {"If-Modified-Since": "yesterday"}).status == 200


def test_a_file_that_must_be_the_same_is_checked_strongly(site: Site, tag: str) -> None:
    assert site.get("/files/file", {"If-Match": tag}).status == 200
    assert site.get("/files/file", {"If-Match": "*"}).status == 200
    assert site.get("/files/file", {"If-Match": f"W/{tag}"}).status == 412
    assert site.get("/files/file", {"If-Match": '"other"'}).status == 412


def test_an_upload_replaces_only_the_version_it_means(site: Site, tag: str) -> None:
    assert site.put("/files/file", b"mine", {"If-Match": '"other"'}).status == 412
    assert (site.root / "file").read_bytes() == CONTENT
    first = site.put("/files/file", b"mine", {"If-Match": tag})
    assert first.status == 200
    assert site.put("/files/file", b"late", {"If-Match": tag}).status == 412
    assert site.put("/files/file", b"next", {"If-Match": first.headers["ETag"]}).status == 200
    assert site.put("/files/none", b"x", {"If-Match": "*"}).status == 412
    assert not (site.root / "none").exists()


def test_an_upload_can_insist_on_a_free_name(site: Site, tag: str) -> None:
    assert site.put("/files/file", b"x", {"If-None-Match": "*"}).status == 412
    assert site.put("/files/free", b"x", {"If-None-Match": "*"}).status == 201
    assert (site.root / "file").read_bytes() == CONTENT


def test_a_delete_means_one_version(site: Site, tag: str) -> None:
    assert site.delete("/files/file", {"If-Match": '"other"'}).status == 412
    assert site.delete("/files/file", {"If-Match": tag}).status == 200


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("0-0", 0, 0),
        ("100-199", 100, 199),
        ("-5", 255_995, 255_999),
        ("1000-", 1000, 255_999),
        ("9-999999", 9, 255_999),
    ],
)
def test_one_range_is_sent_alone(site: Site, tag: str, asked: str, first: int, last: int) -> None:
    answer = site.get("/files/file", {"Range": f"bytes={asked}"})
    assert (answer.status, answer.body) == (206, CONTENT[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/256000"
    assert answer.headers["Content-Length"] == str(last - first + 1)


def test_several_ranges_are_sent_as_parts(site: Site, tag: str) -> None:
    answer = site.get("/files/file", {"Range": "bytes=0-9,100000-199999,-3"})
    assert answer.status == 206
    kind, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    assert answer.headers["Content-Length"] == str(len(answer.body))
    parts = answer.body.split(f"\r\n--{boundary}".encode())
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    bodies = []
    for part in parts[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        bodies.append((re.search(rb"Content-Range: bytes (\d+-\d+)/256000", head).group(1), body))  # type: ignore[union-attr]
    assert bodies == [
        (b"0-9", CONTENT[:10]),
        (b"100000-199999", CONTENT[100_000:200_000]),
        (b"255997-255999", CONTENT[-3:]),
    ]


def test_a_range_past_the_end_is_not_satisfiable(site: Site, tag: str) -> None:
    answer = site.get("/files/file", {"Range": "bytes=256000-"})
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */256000")


def test_too_many_ranges_get_the_whole_file_once(site: Site, tag: str) -> None:
    many = ",".join(f"{2 * at}-{2 * at}" for at in range(MAX_RANGES + 1))
    answer = site.get("/files/file", {"Range": f"bytes={many}"})
    assert (answer.status, answer.body) == (200, CONTENT)


def test_a_range_of_an_older_version_gets_the_new_file_whole(site: Site, tag: str) -> None:
    part = {"Range": "bytes=0-1"}
    assert site.get("/files/file", {**part, "If-Range": tag}).status == 206
    assert site.get("/files/file", {**part, "If-Range": "Tue, 14 Nov 2023 22:13:20 GMT"}).status == 206
    for other in ('"other"', f"W/{tag}", LATER, "nonsense"):
        answer = site.get("/files/file", {**part, "If-Range": other})
        assert (answer.status, answer.body) == (200, CONTENT), other


def test_a_range_of_a_huge_file_is_found(site: Site) -> None:
    with open(site.root / "huge", "wb") as file:
        file.truncate(5 << 30)
        file.seek((4 << 30) + 7)
        file.write(b"here")
    answer = site.get("/files/huge", {"Range": f"bytes={(4 << 30) + 7}-{(4 << 30) + 10}"})
    assert (answer.status, answer.body) == (206, b"here")
    assert site.request("HEAD", "/files/huge").headers["Content-Length"] == str(5 << 30)


def test_an_upload_whose_condition_no_longer_holds_when_it_ends_replaces_nothing(site: Site, tag: str) -> None:
    path = site.root / "file"
    with begin_conditional(site, f"If-Match: {tag}") as plain:
        path.write_bytes(b"by somebody else")
        plain.sendall(b"rest")
        assert plain.recv(12) == b"HTTP/1.1 412"
    assert path.read_bytes() == b"by somebody else"
    assert os.listdir(site.root) == ["file"]


def test_of_two_uploads_that_mean_the_same_version_the_second_is_refused(tmp_path: Path) -> None:
    users = [(User(name="alice"), "wonderland"), (User(name="bob"), "builder")]
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    with serve(tmp_path, users=users) as site:
        tag = site.get("/files/file").headers["ETag"]
        with (
            begin_conditional(site, f"If-Match: {tag}") as first,
            begin_conditional(site, f"If-Match: {tag}", "bob:builder") as second,
        ):
            first.sendall(b"one.")
            assert first.recv(12) == b"HTTP/1.1 200"
            second.sendall(b"two.")
            assert second.recv(12) == b"HTTP/1.1 412"
    assert path.read_bytes() == b"halfone."


class Late(SharedBooks):
    """The books where another worker is in the middle of a change when this one asks."""

    def __init__(self, file: Path) -> None:
        super().__init__(2)
        self._file = file
        self._asked = False

    def begin_change(self) -> bool:
        if not self._asked:
            self._asked = True
            self._file.write_bytes(b"by another worker")
            return False
        return super().begin_change()


@pytest.mark.parametrize("target", ["PUT /files/file", "DELETE /files/file", "POST /files/file?action=move&to=/new"])
def test_a_change_waits_for_that_of_another_worker_and_looks_then(tmp_path: Path, target: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = root / "file"
    path.write_bytes(b"before")
    books = Late(path)
    with serve(root, books=WorkerBooks(books, 0)) as site:
        seen = {"If-Match": site.get("/files/file").headers["ETag"]}
        method, _, url = target.partition(" ")
        assert site.request(method, url, b"mine" if method == "PUT" else None, seen).status == 412
        assert path.read_bytes() == b"by another worker"
        seen = {"If-Match": site.get("/files/file").headers["ETag"]}
        assert site.request(method, url, b"mine" if method == "PUT" else None, seen).status == 200
    books.close()


def test_the_name_is_taken_right_after_the_look_where_uploads_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = root / "file"
    path.write_bytes(b"before")
    sync = localfiles.sync_to_disk

    async def slow_disk(descriptor: int) -> None:
        if path.read_bytes() == b"before":
            path.write_bytes(b"by somebody else")
        await sync(descriptor)

    monkeypatch.setattr(localfiles, "sync_to_disk", slow_disk)
    with serve(root, config=ServerConfig(uploads=UploadsConfig(fsync=True))) as site:
        seen = {"If-Match": site.get("/files/file").headers["ETag"]}
        assert site.put("/files/file", b"mine", seen).status == 412
        assert path.read_bytes() == b"by somebody else"


def test_an_upload_through_a_link_is_not_refused_for_its_own_changes(site: Site, tag: str) -> None:
    (site.root / "link").symlink_to("file")
    assert site.put("/files/link", b"mine", {"If-Match": tag}).status == 200
    assert (site.root / "file").read_bytes() == b"mine"


def begin_conditional(site: Site, condition: str, user: str = "alice:wonderland") -> socket.socket:
    """Send half of an upload of eight bytes, and wait until the server has judged the condition."""
    plain = socket.create_connection(("127.0.0.1", site.port), timeout=WAIT)
    head = (
        f"PUT /files/file HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nExpect: 100-continue\r\n"
        f"{condition}\r\nAuthorization: {basic(user)}\r\n\r\n"
    )
    plain.sendall(head.encode())
    assert plain.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    plain.sendall(b"half")
    return plain


def test_an_upload_that_must_not_replace_one_version_replaces_another(site: Site, tag: str) -> None:
    refused = site.put("/files/file", b"x", {"If-None-Match": f'"other", {tag}'})
    assert (refused.status, refused.json["message"]) == (412, "The file is already there")
    assert site.put("/files/file", b"x", {"If-None-Match": '"other"'}).status == 200
    assert (site.root / "file").read_bytes() == b"x"


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("value", ["", ",", "abc", '"a" "b"', '"a', 'w/"a"', '"a", *', '*, "a"', '"a\x01"'])
def test_a_condition_that_cannot_be_understood_is_not_passed_over(
    site: Site, tag: str, header: str, value: str
) -> None:
    lines = f"{header}: {value}\r\nConnection: close\r\nContent-Length: 0\r\nAuthorization: {basic('alice:wonderland')}"
    for request in ("PUT /files/file", "DELETE /files/file", "POST /files/file?action=move&to=/new"):
        assert b" 400 " in site.raw(f"{request} HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n".encode()).partition(b"\r")[0]
    assert (site.root / "file").read_bytes() == CONTENT


def test_tags_may_stand_in_several_lines_and_a_quoted_star_is_one_of_them(site: Site, tag: str) -> None:
    def status(*lines: str) -> str:
        fields = [*lines, "Connection: close", f"Authorization: {basic('alice:wonderland')}"]
        answer = site.raw(("HEAD /files/file HTTP/1.1\r\nHost: x\r\n" + "\r\n".join(fields) + "\r\n\r\n").encode())
        return answer[9:12].decode()

    assert status('If-None-Match: "a"', f"If-None-Match: W/{tag}") == "304"
    assert status('If-None-Match: ,"a", ,', f"If-None-Match: {tag},") == "304"
    assert status('If-Match: "a"', f"If-Match: {tag}") == "200"
    assert status('If-Match: "*"') == "412"
    assert status('If-None-Match: "*"') == "200"
    assert status("If-None-Match: nonsense") == "200"


def test_every_change_heeds_its_conditions(site: Site, tag: str) -> None:
    for condition in ({"If-Match": '"other"'}, {"If-None-Match": tag}, {"If-None-Match": "*"}):
        assert site.delete("/files/file", condition).status == 412
        for action in ("move&to=/new", "copy&to=/new", "mkdir"):
            assert site.post(f"/files/file?action={action}", None, condition).status == 412
    assert os.listdir(site.root) == ["file"]
    assert site.post("/files/file?action=copy&to=/copy", None, {"If-Match": tag}).status == 200
    assert site.post("/files/file?action=move&to=/new", None, {"If-Match": tag}).status == 200
    assert site.post("/files/dir?action=mkdir", None, {"If-None-Match": "*"}).status == 201


def test_a_file_from_beyond_the_last_year_that_dates_can_name_has_no_date() -> None:
    assert list(Validators(FileInfo("a", FileKind.FILE, 1, 1e12)).headers()) == ["ETag"]


@pytest.mark.parametrize(
    "target", ["/", "/healthz", "/openapi.json", "/session", "/assets/app.js", "/files/file", "/files/"]
)
def test_head_tells_what_get_does(site: Site, tag: str, target: str) -> None:
    known, asked = site.get(target), site.request("HEAD", target)
    assert (asked.status, asked.body) == (200, b"")
    for answer in (known, asked):
        del answer.headers["Date"]
    assert dict(asked.headers) == dict(known.headers)
