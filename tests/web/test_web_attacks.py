"""Attacks on HTTP file interfaces, one after the other; each must fail in the way that is said."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from fastxfer.server import ServerConfig, UploadsConfig
from fastxfer.server.web import interface
from tests.web.site import WAIT, Site, basic, form, serve

FIELD = b'Content-Disposition: form-data; name="file"'
LOGIN = f"Authorization: {basic('alice:wonderland')}\r\n".encode()


@pytest.fixture
def sibling(site: Site) -> Path:
    """A directory beside the root whose name begins with the root's name, with a secret in it."""
    beside = site.root.with_name(site.root.name + "-evil")
    beside.mkdir()
    (beside / "secret").write_bytes(b"SECRET")
    (site.root / "public").mkdir()
    return beside


def escapes(sibling: Path) -> list[str]:
    name = sibling.name
    return [
        f"/files/../{name}/secret",
        f"/files/%2e%2e/{name}/secret",
        f"/files/%2E%2E%2F{name}%2Fsecret",
        f"/files/public/../../{name}/secret",
        f"/files/public/%2e%2e/%2e%2e/{name}/secret",
        f"/files/%252e%252e/{name}/secret",
        f"/files/..%5c{name}%5csecret",
        f"/files/..\\{name}\\secret",
        f"/files/{quote(str(sibling), safe='')}/secret",
        f"/files/{sibling}/secret",
        f"/files//{sibling}/secret",
        f"//{sibling}/secret",
        f"/files/public/..%00/{name}/secret",
        f"/files/%c0%ae%c0%ae/{name}/secret",
        f"/files/public;/../../{name}/secret",
        f"http://127.0.0.1/files/../{name}/secret",
        f"/static/../{name}/secret",
        f"/assets/../../{name}/secret",
        f"/assets/..%2f..%2f{name}%2fsecret",
    ]


@pytest.mark.parametrize("number", range(19))
def test_no_path_leads_out_of_the_root(site: Site, sibling: Path, number: int) -> None:
    target = escapes(sibling)[number]
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        sent = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n".encode()
        answer = site.raw(sent + LOGIN + b"\r\nX")
        assert b"SECRET" not in answer
        # A backslash is an ordinary letter here: such a name may be made inside the root.
        assert int(answer[9:12]) in {400, 403, 404, 405, 409} or "\\" in unquote(target)
    assert (sibling / "secret").read_bytes() == b"SECRET"
    assert os.listdir(sibling) == ["secret"]


def test_the_target_of_a_move_cannot_lead_out_either(site: Site, sibling: Path) -> None:
    (site.root / "a").write_bytes(b"a")
    for target in (f"/../{sibling.name}/a", f"/public/../../{sibling.name}/a", str(sibling / "a"), "/a%00b"):
        for action in ("move", "copy"):
            site.post(f"/files/a?action={action}&to={quote(target, safe='/%')}")
    assert os.listdir(sibling) == ["secret"]


def test_links_that_lead_out_are_not_followed(site: Site, sibling: Path) -> None:
    (site.root / "link").symlink_to(sibling / "secret")
    (site.root / "dir").symlink_to(sibling)
    (site.root / "relative").symlink_to(f"../{sibling.name}/secret")
    (site.root / "passwd").symlink_to("/etc/passwd")
    for target in ("link", "dir/secret", "relative", "passwd", "dir/"):
        assert site.get(f"/files/{target}").status in {403, 404}
        assert site.put(f"/files/{target.rstrip('/')}", b"OVER").status in {403, 404, 409}
    assert site.delete("/files/dir/secret").status in {403, 404}
    assert site.put("/files/dir/new", b"x").status in {403, 404, 409}
    assert b"SECRET" not in site.get("/files/?archive=tar").body
    assert {entry["size"] for entry in site.get("/files/").json["entries"] if entry["type"] == "link"} != {6}
    assert (sibling / "secret").read_bytes() == b"SECRET"
    assert os.listdir(sibling) == ["secret"]


def test_what_is_no_regular_file_blocks_nobody(site: Site) -> None:
    os.mkfifo(site.root / "fifo")
    (site.root / "socket").touch()
    (site.root / "socket").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(site.root)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        for name in ("fifo", "socket"):
            assert site.get(f"/files/{name}").status in {400, 403, 404}
            assert site.put(f"/files/{name}", b"x").status in {400, 403, 409}
        assert site.get("/files/").status == 200


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_no_header_turns_one_method_into_another(site: Site, header: str) -> None:
    (site.root / "a").write_bytes(b"a")
    site.get("/files/a", {header: "DELETE"})
    site.post("/files/b", b"b", {header: "DELETE"})
    assert (site.root / "a").exists()


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PATCH", "get", "G\tET"])
def test_no_other_method_gets_round_the_login(site: Site, method: str) -> None:
    (site.root / "a").write_bytes(b"CONTENT")
    answer = site.raw(f"{method} /files/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert re.match(rb"HTTP/1\.[01] (400|401|404|405|501)", answer)
    assert b"CONTENT" not in answer
    assert b"Content-Length: 7\r\n" not in answer


SMUGGLED = b"DELETE /files/keep HTTP/1.1\r\nHost: x\r\n" + LOGIN + b"\r\n"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", id="both-lengths"),
        pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", id="both-lengths-other-order"),
        pytest.param(b"Content-Length: 3\r\nContent-Length: 200\r\n", id="two-lengths"),
        pytest.param(b"Content-Length: 3, 200\r\n", id="list-of-lengths"),
        pytest.param(b"Content-Length: +3\r\n", id="signed-length"),
        pytest.param(b"Content-Length: 0x3\r\n", id="hexadecimal-length"),
        pytest.param(b"Content-Length: -1\r\n", id="negative-length"),
        pytest.param(b"Content-Length : 3\r\n", id="space-before-colon"),
        pytest.param(b"Content-Length: 99999999999999999999999\r\n", id="huge-length"),
        pytest.param(b"Transfer-Encoding: identity, chunked, gzip\r\n", id="chunked-not-last"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n", id="unknown-encoding"),
        pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", id="two-encodings"),
        pytest.param(b"Transfer-Encoding:\x0bchunked\r\n", id="control-before-value"),
        pytest.param(b"X: a\r\n Content-Length: 3\r\n", id="folded-header"),
        pytest.param(b"X: a\rContent-Length: 3\r\n", id="bare-return"),
        pytest.param(b"X: a\0b\r\n", id="nul-in-header"),
        pytest.param(b"No colon here\r\n", id="no-colon"),
        pytest.param(b": empty name\r\n", id="no-name"),
    ],
)
def test_requests_of_two_meanings_are_refused_and_carry_no_other_inside(site: Site, head: bytes) -> None:
    (site.root / "keep").touch()
    body = b"0\r\n\r\n" + SMUGGLED
    request = b"PUT /files/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + LOGIN + head + b"\r\n" + body
    answer = site.raw(request, close=True)
    assert re.match(rb"HTTP/1\.[01] (400|413|501)", answer) or answer == b""
    assert (site.root / "keep").exists()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n", id="huge-extension"),
        pytest.param(b"-5\r\nhello\r\n0\r\n\r\n", id="negative-size"),
        pytest.param(b"0x5\r\nhello\r\n0\r\n\r\n", id="prefixed-size"),
        pytest.param(b"5 \r\nhello\r\n0\r\n\r\n", id="space-after-size"),
        pytest.param(b"FFFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", id="huge-size"),
        pytest.param(b"5\nhello\n0\n\n", id="bare-line-feeds"),
        pytest.param(b"5\r\nhelloXX0\r\n\r\n", id="no-line-end-after-data"),
    ],
)
def test_chunks_that_are_none_store_nothing(site: Site, body: bytes) -> None:
    (site.root / "keep").touch()
    head = b"PUT /files/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n" + LOGIN + b"\r\n"
    answer = site.raw(head + body, close=True)
    stored = (site.root / "a").read_bytes() if (site.root / "a").exists() else None
    # An extension may be ignored, and a space after the size forgiven; a wrong body may not.
    assert stored in {None, b"hello"}
    assert re.match(rb"HTTP/1\.[01] (400|201)", answer) or answer == b""
    assert (site.root / "keep").exists()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="long-target"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", id="long-header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n", id="many-headers"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="tls-on-a-plain-port"),
        pytest.param(b"\0" * 1000 + b"\r\n\r\n", id="zeros"),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="version"),
        pytest.param(b"USER alice\r\nPASS wonderland\r\n", id="ftp"),
    ],
)
def test_heads_without_measure_or_sense_are_refused(site: Site, sent: bytes) -> None:
    answer = site.raw(sent, close=True)
    assert re.match(rb"HTTP/1\.[01] 4\d\d", answer) or answer == b""
    assert b"aiohttp" not in answer
    assert b"Traceback" not in answer
    assert site.get("/healthz", user="").status == 200


def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    for name in "abc":
        (site.root / name).write_bytes(name.encode() * 3)
    requests = b"".join(f"GET /files/{name} HTTP/1.1\r\nHost: x\r\n".encode() + LOGIN + b"\r\n" for name in "abcabc")
    last = b"GET /files/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + LOGIN + b"\r\n"
    bodies = re.findall(rb"\r\n\r\n(aaa|bbb|ccc)", site.raw(requests + last))
    assert bodies == [b"aaa", b"bbb", b"ccc", b"aaa", b"bbb", b"ccc", b"aaa"]


def test_a_client_that_never_finishes_its_head_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interface, "FIRST_REQUEST_SECONDS", 0.3)
    with serve(tmp_path) as site:
        assert site.raw(b"GET / HTTP/1.1\r\nX-Slow: ") == b""
        assert site.raw() == b""


def test_a_head_that_drips_after_a_first_request_is_cut_off_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interface, "KEEP_ALIVE_SECONDS", 0.3)
    with serve(tmp_path) as site:
        answer = site.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        assert answer.count(b"HTTP/1.1 200") == 1


def test_overlapping_ranges_do_not_multiply_the_answer(site: Site) -> None:
    (site.root / "a").write_bytes(bytes(100_000))
    answer = site.get("/files/a", {"Range": "bytes=" + ",".join(["0-"] * 16)})
    assert (answer.status, len(answer.body)) == (206, 100_000)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("../../evil", "evil"),
        ("/etc/evil", "evil"),
        ("dir/evil", "evil"),
        ("..\\\\..\\\\evil", "evil"),
        ("..\\..\\evil", "....evil"),
    ],
)
def test_the_file_name_in_a_form_chooses_no_directory(site: Site, sent: str, name: str) -> None:
    body, headers = form(("file", sent, b"x"))
    assert site.post("/files/", body, headers).json["files"] == [f"/{name}"]
    assert os.listdir(site.root) == [name]
    assert os.listdir(site.root.parent) == [site.root.name]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--b\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=", b"--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 200, b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"no boundary at all"),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + FIELD + b"\r\n\r\nx"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + FIELD.replace(b"file", b"other") + b"\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"x" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
        ),
        ("multipart/mixed; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
    ],
)
def test_forms_that_are_none_store_nothing(site: Site, content_type: str, body: bytes) -> None:
    answer = site.post("/files/a", body, {"Content-Type": content_type})
    assert 400 <= answer.status < 500, answer
    assert os.listdir(site.root) == []


def test_a_form_of_endless_preamble_or_parts_is_cut_short(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(uploads=UploadsConfig(max_size=1000))) as site:
        part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n'
        answer = site.post("/files/a", part * 5000 + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status in {400, 413}
        answer = site.post("/files/a", b"preamble\r\n" * 300_000, {"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status in {400, 413}
        assert os.listdir(tmp_path) == []


def test_a_broken_form_leaves_no_half_file(site: Site) -> None:
    (site.root / "a").write_bytes(b"old")
    head = b"POST /files/a HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain:
        plain.sendall(head + LOGIN + b"Content-Length: 9000000\r\n\r\n--b\r\n" + FIELD + b"\r\n\r\n")
        plain.sendall(bytes(3_000_000))
        deadline = time.monotonic() + WAIT
        while len(os.listdir(site.root)) == 1:
            assert time.monotonic() < deadline, "it has not begun"
            time.sleep(0.01)
    while os.listdir(site.root) != ["a"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (site.root / "a").read_bytes() == b"old"


def test_names_put_nothing_into_headers(site: Site) -> None:
    name = 'a"; filename=evil.exe\r\nSet-Cookie: stolen=1\r\n\r\n<script>.txt'
    (site.root / name).write_bytes(b"x")
    (entry,) = site.get("/files/").json["entries"]
    answer = site.get(entry["href"])
    assert "Set-Cookie" not in answer.headers
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="')
    assert disposition.count('"') == 2
    assert site.delete(entry["href"]).status == 200


def test_no_name_with_line_ends_is_made(site: Site) -> None:
    assert site.put("/files/a%0d%0aSet-Cookie:x", b"x").status == 400
    assert site.post("/files/a%0ab?action=mkdir").status == 400
    (site.root / "a").touch()
    assert site.post("/files/a?action=move&to=/x%0d%0ay").status == 400
    assert os.listdir(site.root) == ["a"]


def test_what_is_uploaded_never_runs_in_the_browser(site: Site) -> None:
    site.put("/files/evil.html", b"<script>alert(1)</script>", {"Content-Type": "text/html"})
    site.put("/files/evil.svg", b"<svg onload=alert(1)>")
    for name in ("evil.html", "evil.svg"):
        answer = site.get(f"/files/{name}", {"Accept": "text/html"})
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "target", ["/", "/files/", "/files/missing", "/nowhere", "/session", "/healthz", "/openapi.json", "/assets/app.js"]
)
def test_every_answer_carries_the_protective_headers(site: Site, target: str) -> None:
    for user in ("", "alice:wonderland"):
        headers = site.get(target, user=user).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"] == "fastxfer"


def test_errors_and_the_status_tell_nothing_of_the_machine(site: Site, sibling: Path) -> None:
    (site.root / "locked").mkdir()
    (site.root / "passwd").symlink_to("/etc/passwd")
    answers = [
        site.get("/", user=""),
        site.get("/files/missing/deep"),
        site.get("/files/passwd"),
        site.get("/files/%00"),
        site.put("/files/locked", b"x"),
        site.put("/files/a/b", b"x"),
        site.delete("/files/"),
        site.post("/files/x?action=move&to=/y"),
        site.request("PATCH", "/files/x"),
    ]
    for answer in answers:
        text = answer.body.decode()
        assert str(site.root) not in text
        assert "Errno" not in text
        assert "Traceback" not in text
        assert "fastxfer/" not in text
    assert answers[0].json["path"] == "/"


def test_a_fault_of_the_server_is_logged_and_not_shown(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(path: str) -> None:
        raise RuntimeError("the secret of the machine")

    monkeypatch.setattr(site.service.filesystem, "entries", broken)
    answer = site.get("/files/")
    assert (answer.status, answer.json) == (500, {"status": "error", "code": 500, "message": "The server failed"})
    assert "the secret of the machine" in caplog.text
