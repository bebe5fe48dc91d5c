"""Who a request is from."""

from __future__ import annotations

import asyncio
import http.cookies
import json
import socket
from pathlib import Path

import pytest

from fastxfer.server import (
    Anonymous,
    Authenticator,
    Credentials,
    LimitsConfig,
    Permissions,
    ServerConfig,
    User,
    UserTable,
    WebConfig,
)
from fastxfer.server.web import logins
from tests.web.site import WAIT, Answer, Site, basic, serve

JSON = {"Content-Type": "application/json"}


def sign_in(site: Site, user: str, password: str, **headers: str) -> Answer:
    body = json.dumps({"user": user, "password": password})
    return site.post("/session", body, {**JSON, **headers}, user="")


def cookie_of(answer: Answer) -> str:
    (morsel,) = http.cookies.SimpleCookie(answer.headers["Set-Cookie"]).values()
    return f"{morsel.key}={morsel.value}"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("target", ["/files", "/files/", "/files/a", "/files/a?action=mkdir", "/files/a/?archive=zip"])
def test_nothing_is_open_without_a_login(site: Site, method: str, target: str) -> None:
    (site.root / "a").write_bytes(b"a")
    answer = site.request(method, target, user="")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="FTP Server", charset="UTF-8"'
    assert (site.root / "a").read_bytes() == b"a"


def test_the_own_session_is_closed_too(site: Site) -> None:
    assert site.get("/session", user="").status == 401
    assert site.get("/session").status == 200


def test_metrics_need_a_login_unless_they_are_opened(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(metrics=True)) as site:
        assert site.get("/metrics", user="").status == 401
        site.put("/files/a", b"12345")
        text = site.get("/metrics").body.decode()
        assert 'fastxfer_bytes_total{direction="upload",protocol="http"} 5.0' in text
    with serve(tmp_path, config=ServerConfig(metrics=True), authenticators=(Anonymous(),)) as site:
        assert site.get("/files/", user="").status == 200
        assert site.get("/metrics", user="").status == 401
    with serve(tmp_path, config=ServerConfig(metrics=True, web=WebConfig(metrics_open=True))) as site:
        assert b"fastxfer_transfers" in site.get("/metrics", user="").body
    with serve(tmp_path) as site:
        assert site.get("/metrics").status == 501
    with serve(tmp_path, config=ServerConfig(web=WebConfig(metrics=False))) as site:
        assert site.get("/metrics").status == 404


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic YWxpY2U=",
        "Basic /////w==",
        "Bearer abc",
        "Basic " + "A" * 9000,
        basic("a\0b:c"),
    ],
)
def test_credentials_that_cannot_be_read_are_wrong_credentials(site: Site, header: str) -> None:
    answer = site.get("/files/", {"Authorization": header}, user="")
    assert answer.status in {400, 401}


def test_a_page_with_its_own_form_gets_no_dialog_of_the_browser(site: Site) -> None:
    answer = site.get("/session", {"X-Requested-With": "fastxfer"}, user="")
    assert answer.status == 401
    assert "WWW-Authenticate" not in answer.headers


def test_names_and_passwords_may_have_any_letters(tmp_path: Path) -> None:
    users = [(User(name="zoë", permissions=Permissions("all")), "пароль:with:colons")]
    with serve(tmp_path, users=users) as site:
        assert site.get("/session", user="zoë:пароль:with:colons").json["user"] == "zoë"
        cookie = cookie_of(sign_in(site, "zoë", "пароль:with:colons"))
        assert site.get("/session", {"Cookie": cookie}, user="").json["user"] == "zoë"


def test_signing_in_gives_a_cookie_that_scripts_and_other_sites_cannot_use(site: Site) -> None:
    answer = sign_in(site, "alice", "wonderland")
    assert answer.status == 200
    assert answer.json["user"] == "alice"
    attributes = answer.headers["Set-Cookie"]
    assert "HttpOnly" in attributes
    assert "SameSite=Strict" in attributes
    assert "Path=/" in attributes
    assert "wonderland" not in attributes
    cookie = {"Cookie": cookie_of(answer)}
    assert site.get("/session", cookie, user="").json == {
        "user": "alice",
        "anonymous": False,
        "permissions": answer.json["permissions"],
    }
    assert site.put("/files/a", b"a", cookie, user="").status == 201


def test_signing_out_takes_the_cookie_away(site: Site) -> None:
    answer = site.delete("/session", user="")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]


def test_a_forged_cookie_is_no_login(site: Site) -> None:
    cookie = cookie_of(sign_in(site, "alice", "wonderland"))
    name = cookie.partition("=")[0]
    for forged in (cookie[:-4] + "xxxx", f"{name}=", f"{name}=" + "a" * 5000, f"{name}=gAAAAA", "other" + cookie):
        assert site.get("/session", {"Cookie": forged}, user="").status == 401


def test_a_changed_password_ends_the_session_and_takes_the_cookie_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "REMEMBER", 0.0)
    table = UserTable([(User(name="eve"), "first password")])
    with serve(tmp_path, config=quick(), users=[], authenticators=(table,)) as site:
        cookie = {"Cookie": cookie_of(sign_in(site, "eve", "first password"))}
        assert site.get("/session", cookie, user="").status == 200
        table.add(User(name="eve"), "second password")
        refused = site.get("/session", cookie, user="")
        assert refused.status == 401
        assert refused.headers["Set-Cookie"].startswith(cookie["Cookie"].partition("=")[0] + "=; Max-Age=0")


def test_two_servers_of_one_host_do_not_take_each_others_cookies(tmp_path: Path) -> None:
    with serve(tmp_path) as first, serve(tmp_path) as second:
        names = {cookie_of(sign_in(site, "alice", "wonderland")).partition("=")[0] for site in (first, second)}
        assert names == {f"fastxfer-{first.port}", f"fastxfer-{second.port}"}


def test_a_cookie_ends(tmp_path: Path) -> None:
    with serve(tmp_path, config=ServerConfig(web=WebConfig(session=-1.0))) as site:
        cookie = cookie_of(sign_in(site, "alice", "wonderland"))
        assert site.get("/session", {"Cookie": cookie}, user="").status == 401


def test_a_cookie_of_another_server_is_none_here_unless_they_share_the_secret(tmp_path: Path) -> None:
    def worth_elsewhere(config: ServerConfig) -> int:
        with serve(tmp_path, config=config) as site:
            cookie = cookie_of(sign_in(site, "alice", "wonderland", Host="files.example"))
        with serve(tmp_path, config=config) as site:
            return site.get("/session", {"Cookie": cookie, "Host": "files.example"}, user="").status

    assert worth_elsewhere(ServerConfig()) == 401
    assert worth_elsewhere(ServerConfig(web=WebConfig(secret="between us"))) == 200


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"user": 1, "password": 2}', "nonsense", '{"user": "a"}'])
def test_a_sign_in_that_makes_no_sense_is_refused(site: Site, body: str) -> None:
    assert site.post("/session", body, JSON, user="").status in {400, 401}


def test_a_sign_in_must_be_json_and_small(site: Site) -> None:
    body = json.dumps({"user": "alice", "password": "wonderland"})
    assert site.post("/session", body, {"Content-Type": "text/plain"}, user="").status == 415
    assert site.post("/session", " " * 10_000, JSON, user="").status == 413


def quick(**limits: object) -> ServerConfig:
    return ServerConfig(limits=LimitsConfig(login_delay=0.0, **limits))  # type: ignore[arg-type]


def test_an_unknown_user_looks_like_a_wrong_password(tmp_path: Path) -> None:
    with serve(tmp_path, config=quick()) as site:
        wrong, unknown = site.get("/files/", user="alice:wrong"), site.get("/files/", user="nobody:wrong")
        assert (wrong.status, wrong.body) == (unknown.status, unknown.body)


def test_too_many_wrong_passwords_ban_the_address_for_ftp_as_well(tmp_path: Path) -> None:
    with serve(tmp_path, config=quick(ban_after=3)) as site:
        for _ in range(3):
            assert site.get("/files/", user="alice:wrong").status == 401
        assert site.service.guard.banned("127.0.0.1")
        assert site.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""


def test_wrong_passwords_in_the_form_count_too(tmp_path: Path) -> None:
    with serve(tmp_path, config=quick(ban_after=2)) as site:
        for _ in range(2):
            assert sign_in(site, "alice", "wrong").status == 401
        assert site.service.guard.banned("127.0.0.1")


def test_a_ban_reaches_those_who_were_in_already(tmp_path: Path) -> None:
    with serve(tmp_path, config=quick(ban_after=1)) as site:
        connection = site.connect()
        try:
            connection.request("GET", "/session", headers={"Authorization": basic("alice:wonderland")})
            assert connection.getresponse().read()
            assert site.get("/files/", user="alice:wrong").status == 401
            connection.request("GET", "/session", headers={"Authorization": basic("alice:wonderland")})
            assert connection.getresponse().status == 401
        finally:
            connection.close()


class Counting(Authenticator):
    """Knows one user and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[Credentials] = []

    async def authenticate(self, credentials: Credentials) -> User | None:
        self.asked.append(credentials)
        return User(name="c") if (credentials.name, credentials.password) == ("c", "pw") else None


def test_right_credentials_are_not_judged_anew_for_every_request(tmp_path: Path) -> None:
    authenticator = Counting()
    with serve(tmp_path, config=quick(), users=[], authenticators=(authenticator,)) as site:
        for _ in range(5):
            assert site.get("/session", user="c:pw").status == 200
        assert len(authenticator.asked) == 1
        for _ in range(3):
            assert site.get("/session", user="c:wrong").status == 401
        assert len(authenticator.asked) == 4
        seen = authenticator.asked[0]
        assert (seen.address, seen.protocol, seen.tls, seen.host) == ("127.0.0.1", "http", False, "127.0.0.1")


def test_every_request_of_a_connection_is_judged_by_what_it_shows(tmp_path: Path) -> None:
    authenticator = Counting()
    users = [(User(name="alice"), "wonderland")]
    with serve(tmp_path, config=quick(), users=users, authenticators=(authenticator,)) as site:
        connection = site.connect()
        try:

            def asks(user: str, **headers: str) -> object:
                shown = {"Authorization": basic(user)} if user else {}
                connection.request("GET", "/session", headers={**shown, **headers})
                response = connection.getresponse()
                body = json.loads(response.read())
                return body["user"] if response.status == 200 else response.status

            assert [asks("c:pw"), asks("c:pw"), asks("alice:wonderland"), asks("c:pw")] == ["c", "c", "alice", "c"]
            assert [asks(""), asks("c:wrong"), asks("c:pw"), asks("c:pw", Host="other")] == [401, 401, "c", "c"]
            assert [seen.host for seen in authenticator.asked if seen.password == "pw"] == ["127.0.0.1", "other"]
        finally:
            connection.close()


def test_a_ban_and_the_end_of_what_is_remembered_reach_open_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = Counting()
    config = quick(ban_after=2, ban_time=60)
    with serve(tmp_path, config=config, users=[], authenticators=(authenticator,)) as site:
        connection = site.connect()
        try:

            def asks() -> int:
                connection.request("GET", "/session", headers={"Authorization": basic("c:pw")})
                response = connection.getresponse()
                response.read()
                return response.status

            monkeypatch.setattr(logins, "REMEMBER", 0.0)
            assert (asks(), asks(), len(authenticator.asked)) == (200, 200, 2)
            monkeypatch.undo()
            assert (asks(), asks(), len(authenticator.asked)) == (200, 200, 3)
            for _ in range(2):
                assert site.get("/session", user="c:wrong").status == 401
            assert asks() == 401
        finally:
            connection.close()


def test_a_login_that_waits_to_be_asked_for_its_body_is_asked(site: Site) -> None:
    body = json.dumps({"user": "alice", "password": "wonderland"}).encode()
    head = "POST /session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain:
        plain.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        assert plain.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        plain.sendall(body)
        assert plain.recv(12) == b"HTTP/1.1 200"


def test_guests_come_in_only_where_the_server_has_a_guest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    with serve(tmp_path, authenticators=(Anonymous(),)) as site:
        assert site.get("/session", user="").json == {
            "user": "anonymous",
            "anonymous": True,
            "permissions": ["list", "read"],
        }
        assert site.get("/files/a", user="").body == b"a"
        assert site.put("/files/b", b"b", user="").status == 403
        assert site.put("/files/b", b"b").status == 201
        assert site.get("/files/a", user="alice:wrong").status == 401
        assert not site.service.guard.banned("127.0.0.1")


def test_a_user_may_be_bound_to_networks_and_to_tls(tmp_path: Path) -> None:
    users = [
        (User(name="far", networks=["192.0.2.0/24"]), "pw"),
        (User(name="safe", require_tls=True), "pw"),
        (User(name="gone", enabled=False), "pw"),
    ]
    with serve(tmp_path, config=quick(), users=users) as site:
        for name in ("far", "safe", "gone"):
            assert site.get("/files/", user=f"{name}:pw").status == 401


def test_the_body_of_a_login_may_come_in_pieces(site: Site) -> None:
    body = b'{"user": "alice", "password": "wonderland"}'
    head = b"POST /session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(head + body[:10])
        # The handler has the first piece when it has begun.
        while not site.interface.active:
            site.run(asyncio.sleep(0.01))
        client.sendall(body[10:])
        assert client.recv(12) == b"HTTP/1.1 200"
