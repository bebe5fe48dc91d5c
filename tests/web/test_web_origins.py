"""Pages of other sites, names of the server, proxies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig, ServerConfig, WebConfig
from tests.web.site import Site, basic, form, serve

ELSEWHERE = "https://elsewhere.example"
FRIEND = "https://friend.example"
CHANGES = [("PUT", "/files/a"), ("POST", "/files/a"), ("POST", "/files/d?action=mkdir"), ("DELETE", "/files/keep")]


@pytest.fixture
def friendly(tmp_path: Path) -> Iterator[Site]:
    """A site that lets the scripts of one other origin in."""
    with serve(tmp_path, config=ServerConfig(web=WebConfig(cors_origins=(FRIEND,)))) as site:
        yield site


@pytest.mark.parametrize(("method", "target"), CHANGES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ELSEWHERE},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_changes_nothing(site: Site, method: str, target: str, headers: dict[str, str]) -> None:
    (site.root / "keep").touch()
    assert site.request(method, target, None if method == "DELETE" else b"x", headers).status == 403
    assert os.listdir(site.root) == ["keep"]


def test_a_form_of_another_site_uploads_nothing_and_signs_nobody_in(site: Site) -> None:
    body, headers = form(("file", "a", b"a"))
    assert site.post("/files/", body, {**headers, "Origin": ELSEWHERE}).status == 403
    assert site.post("/session", b"{}", {"Origin": ELSEWHERE, "Content-Type": "application/json"}).status == 403
    assert site.delete("/session", {"Origin": ELSEWHERE}).status == 403
    assert os.listdir(site.root) == []


def test_the_own_page_and_programs_may_change(site: Site) -> None:
    assert site.put("/files/a", b"a", {"Origin": site.origin, "Sec-Fetch-Site": "same-origin"}).status == 201
    assert site.put("/files/b", b"b", {"Sec-Fetch-Site": "none"}).status == 201
    assert site.put("/files/c", b"c").status == 201


def test_no_other_site_may_read_unless_it_is_named(site: Site) -> None:
    answer = site.get("/files/", {"Origin": ELSEWHERE})
    assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    preflight = site.request(
        "OPTIONS", "/files/a", headers={"Origin": ELSEWHERE, "Access-Control-Request-Method": "PUT"}, user=""
    )
    assert preflight.status in {401, 403, 405}
    assert "Access-Control-Allow-Origin" not in preflight.headers


def test_a_named_site_may_read_and_change(friendly: Site) -> None:
    preflight = friendly.request(
        "OPTIONS", "/files/a", headers={"Origin": FRIEND, "Access-Control-Request-Method": "PUT"}, user=""
    )
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    stored = friendly.put("/files/a", b"a", {"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"})
    assert stored.status == 201
    assert stored.headers["Access-Control-Allow-Origin"] == FRIEND
    assert stored.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in stored.headers["Vary"]
    refused = friendly.put("/files/a", b"a", {"Origin": ELSEWHERE})
    assert refused.status == 403
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_errors_can_be_read_by_a_named_site_too(friendly: Site) -> None:
    for answer in (
        friendly.get("/files/missing", {"Origin": FRIEND}),
        friendly.get("/files/", {"Origin": FRIEND}, user=""),
        friendly.get("/nowhere", {"Origin": FRIEND}),
    ):
        assert answer.status >= 400
        assert answer.headers["Access-Control-Allow-Origin"] == FRIEND


def test_a_preflight_opens_nothing_by_itself(friendly: Site) -> None:
    assert friendly.put("/files/a", b"a", {"Origin": FRIEND}, user="").status == 401


def test_the_star_never_goes_with_credentials(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(web=WebConfig(cors_origins=("*",)))) as site:
        answer = site.get("/files/", {"Origin": ELSEWHERE})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        # A plain form post could carry what the browser remembers; a request with this header cannot.
        assert site.put("/files/a", b"a", {"Origin": ELSEWHERE}).status == 403
        assert site.put("/files/a", b"a", {"Origin": ELSEWHERE, "X-Requested-With": "script"}).status == 201


def test_the_server_answers_only_to_its_names(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(web=WebConfig(hosts=("files.example", "127.0.0.1")))) as site:
        assert site.get("/files/").status == 200
        assert site.get("/files/", {"Host": "FILES.example:8080"}).status == 200
        assert site.get("/files/", {"Host": "rebound.example"}).status == 421
        assert site.get("/", {"Host": "rebound.example"}).status == 421


def test_names_that_are_no_virtual_host_see_what_the_empty_name_stands_for(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    with serve(tmp_path, config=ServerConfig(hosts={"one.example": "/one", "": "/other"})) as site:
        for host, listed in (("one.example", "one"), ("ONE.example:80", "one"), ("two.example", "other")):
            assert [entry["name"] for entry in site.get("/files/", {"Host": host}).json["entries"]] == [listed]


FORWARDED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "files.example"}


def quick(*proxies: str) -> ServerConfig:
    return ServerConfig(limits=LimitsConfig(login_delay=0.0, ban_after=1), web=WebConfig(trusted_proxies=proxies))


def test_nobody_can_pretend_to_be_a_proxy(tmp_path: Path) -> None:
    with serve(tmp_path, config=quick()) as site:
        assert site.get("/", FORWARDED, user="").json["secure"] is False
        site.get("/files/", FORWARDED, user="alice:wrong")
        assert site.service.guard.banned("127.0.0.1")
        assert not site.service.guard.banned("203.0.113.9")


def test_behind_a_trusted_proxy_the_client_is_banned_and_not_the_proxy(tmp_path: Path) -> None:
    with serve(tmp_path, config=quick("127.0.0.0/8")) as site:
        assert site.get("/", FORWARDED, user="").json["secure"] is True
        assert site.get("/", {"X-Forwarded-Proto": "https, http"}, user="").json["secure"] is False
        site.get("/files/", {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}, user="alice:wrong")
        assert site.service.guard.banned("203.0.113.9")
        assert not site.service.guard.banned("198.51.100.1")
        assert not site.service.guard.banned("127.0.0.1")
        assert site.get("/files/", {"X-Forwarded-For": "203.0.113.9"}).status == 401
        assert site.get("/files/", {"X-Forwarded-For": "203.0.113.8"}).status == 200
        own = {**FORWARDED, "X-Forwarded-For": "203.0.113.8", "Origin": "https://files.example"}
        assert site.put("/files/a", b"a", own).status == 201


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["[2001:DB8::9]"], "2001:db8::9"),
        (["[2001:db8::9]:4711"], "2001:db8::9"),
        (["2001:db8::9"], "2001:db8::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 127.0.0.2"], "203.0.113.9"),
        (["203.0.113.9", "127.0.0.2, "], "203.0.113.9"),
        (["203.0.113.9, unknown"], "127.0.0.1"),
        (["203.0.113.9, 1.2.3"], "127.0.0.1"),
        (["203.0.113.9, 127.0.0.3, x y z"], "127.0.0.1"),
        (["203.0.113.9, unknown, 127.0.0.3"], "127.0.0.3"),
        (["[203.0.113.9"], "127.0.0.1"),
        (["203.0.113.9:http"], "127.0.0.1"),
        (["fe80::1%eth0"], "127.0.0.1"),
        ([""], "127.0.0.1"),
    ],
)
def test_the_client_is_who_the_last_proxy_saw(tmp_path: Path, sent: list[str], address: str) -> None:
    lines = "".join(f"X-Forwarded-For: {line}\r\n" for line in sent)
    with serve(tmp_path, config=quick("127.0.0.0/8")) as site:
        assert b" 401 " in ask(site, f"Authorization: {basic('alice:wrong')}\r\n{lines}")
        assert site.service.guard.banned(address)
        assert not site.service.guard.banned("198.51.100.1")


def test_of_several_lines_the_nearest_proxy_wrote_the_last(tmp_path: Path) -> None:
    with serve(tmp_path, config=quick("127.0.0.0/8")) as site:
        assert b'"secure": false' in ask(site, "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", "/")


def ask(site: Site, lines: str, target: str = "/files/") -> bytes:
    """A GET with the header *lines*."""
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nConnection: close\r\n"
    return site.raw(f"{head}{lines}\r\n".encode("ascii"))


def test_a_network_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nonsense"), serve(tmp_path, config=quick("nonsense")):
        pass
