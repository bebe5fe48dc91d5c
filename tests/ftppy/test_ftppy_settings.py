"""What the FtpPy API can be told, before anything is connected."""

from __future__ import annotations

import base64
import inspect
import ssl
import warnings

import pytest

import fastxfer.ftppy
from fastxfer.ftppy import SSL, Basic, FtpClient, FtpPy, FtpPyWarning, FtpServer, Guest, Limits, Retry, Timeout
from fastxfer.ftppy.config import Redirects
from fastxfer.ftppy.connection import make_connection
from fastxfer.ftppy.endpoint import read_endpoint
from fastxfer.ftppy.hooks import Hooks
from tests.ftppy import readme


def basic(user: str = "user", password: str = "a long enough one") -> Basic:
    return Basic(user, password)


def underneath(**settings: object) -> fastxfer.ftppy.connection.Connection:
    options: dict[str, object] = {
        "limits": Limits(),
        "retry": Retry(),
        "timeout": Timeout(),
        "ssl": None,
        "auth": None,
        **settings,
    }
    where = read_endpoint(options.pop("endpoint", "ftp://localhost"))
    return make_connection(
        where,
        options["auth"],  # type: ignore[arg-type]
        options["limits"],  # type: ignore[arg-type]
        options["retry"],  # type: ignore[arg-type]
        options["timeout"],  # type: ignore[arg-type]
        options["ssl"],  # type: ignore[arg-type]
        Hooks(None),
        passive=bool(options.get("passive", True)),
        encoding=str(options.get("encoding", "utf-8")),
    )


def test_the_public_names_are_there() -> None:
    for name in fastxfer.ftppy.__all__:
        assert hasattr(fastxfer.ftppy, name)
    assert fastxfer.ftppy.__version__ == "1.0.0"
    assert fastxfer.ftppy.codes[226] == "Closing data connection"
    assert fastxfer.ftppy.types[".txt"] == "text/plain"
    assert fastxfer.ftppy.auth.Basic is Basic
    assert fastxfer.ftppy.config.Limits is Limits
    assert fastxfer.ftppy.settings.SSL is SSL


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (FtpPy, "endpoint auth limits retry timeout ssl hooks passive encoding"),
        (FtpClient, "endpoint auth limits retry timeout ssl hooks passive encoding"),
        (FtpServer, "endpoint auth limits retry timeout ssl hooks passive encoding path"),
        (Basic, "user password auth"),
        (Guest, "key"),
        (Limits, "connections keepalive host"),
        (Retry, "total backoff status"),
        (Timeout, "connect read write pool"),
        (Redirects, "limit"),
        (SSL, "verify cert key bundle ciphers context"),
        (FtpClient.upload, "self source target dirs replace"),
        (FtpClient.download, "self source target dirs replace"),
        (FtpClient.batch, "self pairs dirs replace limit"),
        (FtpClient.fetch, "self pairs dirs replace limit"),
        (FtpClient.sync, "self local remote direction"),
        (FtpClient.mirror, "self local remote"),
        (FtpClient.backup, "self paths target"),
        (FtpClient.restore, "self backup target"),
        (FtpClient.verify, "self local remote"),
        (FtpClient.search, "self pattern path"),
        (FtpClient.list, "self path deep"),
        (FtpClient.mkdir, "self path parents"),
        (FtpClient.rmdir, "self path recursive"),
        (FtpClient.chmod, "self path mode"),
        (FtpClient.move, "self old new"),
        (FtpClient.copy, "self source target"),
    ],
)
def test_arguments_have_their_names_and_order(kind: object, names: str) -> None:
    assert list(inspect.signature(kind).parameters) == names.split()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["AUTHENTICATION", "LIMITS", "TIMEOUTS", "RETRIES", "TLS"])
def test_everything_that_is_configured_in_the_examples_can_be(name: str) -> None:
    noted, warned = readme.run(getattr(readme, name))
    assert {type(item) for item in noted.values()} == {FtpPy}
    assert [str(item.message) for item in warned] == []


@pytest.mark.parametrize(
    ("kind", "defaults"),
    [
        (FtpPy, {"auth": None, "hooks": None, "passive": True, "encoding": "utf-8"}),
        (Basic, {"auth": ""}),
        (Limits, {"connections": 50, "keepalive": 10, "host": 20}),
        (Retry, {"total": 3, "backoff": 1.0, "status": None}),
        (Timeout, {"connect": 5.0, "read": 30.0, "write": 10.0}),
        (Redirects, {"limit": 10}),
        (SSL, {"verify": True, "cert": None, "key": None, "bundle": None, "ciphers": None, "context": None}),
        (FtpClient.upload, {"dirs": True, "replace": True}),
        (FtpClient.download, {"dirs": True, "replace": True}),
        (FtpClient.batch, {"dirs": True, "replace": True, "limit": 5}),
        (FtpClient.fetch, {"dirs": True, "replace": True, "limit": 5}),
        (FtpClient.sync, {"direction": "up"}),
        (FtpClient.search, {"path": "."}),
        (FtpClient.list, {"path": ".", "deep": False}),
        (FtpClient.mkdir, {"parents": True}),
        (FtpClient.rmdir, {"recursive": False}),
    ],
)
def test_arguments_have_their_defaults(kind: object, defaults: dict[str, object]) -> None:
    parameters = inspect.signature(kind).parameters  # type: ignore[arg-type]
    assert {name: parameters[name].default for name in defaults} == defaults


def test_clients_and_servers_can_be_made_directly_with_the_same_arguments() -> None:
    settings = {
        "endpoint": "ftps://example.org",
        "auth": basic(),
        "limits": Limits(connections=3),
        "retry": Retry(total=1),
        "timeout": Timeout(read=1.0),
        "ssl": SSL(verify=False),
        "hooks": {"error": print},
        "passive": False,
        "encoding": "utf-8",
    }
    for kind in (FtpPy, FtpClient, FtpServer):
        made = kind(**settings)  # type: ignore[arg-type]
        assert {name: getattr(made, name) for name in settings} == settings
        assert (made.host, made.port, made.secure) == ("example.org", 990, True)
    assert isinstance(FtpPy(**settings).client(), FtpClient)  # type: ignore[arg-type]
    assert isinstance(FtpPy(**settings).server(), FtpServer)  # type: ignore[arg-type]


def test_the_factory_shows_what_it_was_told() -> None:
    hooks = {"connect": print}
    ftp = FtpPy("ftp://example.org:2121", auth=basic(), hooks=hooks, passive=False, encoding="latin-1")
    for made in (ftp, ftp.client()):
        assert (made.host, made.port, made.secure) == ("example.org", 2121, False)
        assert (made.passive, made.encoding, made.hooks) == (False, "latin-1", hooks)
        assert (made.limits, made.retry, made.timeout) == (Limits(), Retry(), Timeout())
    assert repr(ftp) == "<FtpPy example.org:2121 secure=False>"


@pytest.mark.parametrize(
    ("endpoint", "port", "secure", "tls"),
    [
        ("ftp://host", 21, False, "none"),
        ("ftps://host", 990, True, "implicit"),
        ("ftps://host:2121", 2121, True, "implicit"),
        ("ftps://host:21", 21, True, "explicit"),
        ("ftpes://host", 21, True, "explicit"),
        ("ftpes://host:2121", 2121, True, "explicit"),
        ("ftp://[::1]:2121", 2121, False, "none"),
    ],
)
def test_endpoints_are_read(endpoint: str, port: int, secure: bool, tls: str) -> None:
    ftp = FtpPy(endpoint)
    assert (ftp.port, ftp.secure) == (port, secure)
    assert read_endpoint(endpoint).tls == tls


@pytest.mark.parametrize("endpoint", ["http://host", "host", "ftp://", "", "ftp://host:99999", "sftp://u:secret@host"])
def test_endpoints_that_make_no_sense_are_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        FtpPy(endpoint)
    assert "secret" not in str(caught.value)


def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match="endpoint must be a string"):
        FtpPy(21)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="auth must be"):
        FtpPy("ftp://host", auth="user:password")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="hook 'upload'"):
        FtpPy("ftp://host", hooks={"upload": "print"})  # type: ignore[dict-item]


def test_basic_makes_its_header_and_hides_its_password() -> None:
    auth = basic()
    assert base64.b64decode(auth.auth.removeprefix("Basic ")) == b"user:a long enough one"
    assert "enough" not in repr(auth)


@pytest.mark.parametrize("password", ["short", "password", "Password1", "qwerty123"])
def test_passwords_that_are_easily_guessed_are_warned_of(password: str) -> None:
    with pytest.warns(UserWarning, match="password"):
        Basic("user", password)


@pytest.mark.parametrize(("user", "password"), [("", "x"), ("x", ""), (" ", "x"), ("x", "\t")])
def test_blank_credentials_are_refused(user: str, password: str) -> None:
    with pytest.raises(ValueError, match="blank"):
        Basic(user, password)


def test_a_guest_logs_in_as_anonymous_with_his_key() -> None:
    connection = underneath(auth=Guest("webapp-client-v1.0"))
    assert (connection._credentials.user, connection._credentials.password) == ("anonymous", "webapp-client-v1.0")
    with pytest.raises(ValueError, match="blank"):
        Guest(" ")


def test_nobody_named_is_anonymous() -> None:
    assert underneath()._credentials.user == "anonymous"


def test_ten_connections_are_a_sensible_limit() -> None:
    assert underneath(limits=Limits(connections=10)).config.limits.connections == 10
    assert underneath(limits=Limits(connections=50, host=3)).config.limits.connections == 3
    assert underneath(limits=Limits(connections=50, keepalive=2)).config.limits.idle == 2


@pytest.mark.parametrize("limits", [{"connections": 0}, {"host": 0}, {"keepalive": -1}])
def test_limits_that_allow_nothing_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Limits(**limits)


def test_reply_codes_of_ftp_may_be_retried_without_complaint() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        retry = Retry(total=5, backoff=2.0, status=[421, 450, 500, 502])
    config = underneath(retry=retry).config
    assert config.retry_codes == {421, 450, 500, 502}
    assert config.retry.attempts == 6
    assert [config.retry.delay(failures) <= 2.0 * 2 ** (failures - 1) for failures in range(1, 6)] == [True] * 5


def test_permanent_refusals_are_not_retried_unless_asked_for() -> None:
    assert not [code for code in underneath().config.retry_codes if code >= 500]


@pytest.mark.parametrize("arguments", [{"total": -1}, {"backoff": -1}, {"status": [200]}, {"status": [999]}])
def test_retries_that_make_no_sense_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"negative|status"):
        Retry(**arguments)  # type: ignore[arg-type]


def test_times_go_where_they_belong() -> None:
    timeouts = underneath(timeout=Timeout(connect=1.0, read=2.0, write=3.0, pool=4.0)).config.timeouts
    assert (timeouts.connect, timeouts.reply, timeouts.data, timeouts.sending) == (1.0, 2.0, 2.0, 3.0)
    assert timeouts.total == 4.0


def test_the_total_time_limits_nothing_unless_it_is_given() -> None:
    assert Timeout().pool == 60.0
    assert underneath().total is None
    assert underneath(timeout=Timeout(pool=60.0)).total == 60.0
    with pytest.raises(ValueError, match="above zero"):
        Timeout(read=0)


def test_equal_settings_are_equal() -> None:
    assert Timeout(read=5) == Timeout(read=5) != Timeout(read=6)
    assert Retry(total=1) == Retry(total=1) != Retry(total=2)
    assert hash(Timeout(read=5)) == hash(Timeout(read=5))
    assert hash(Retry(total=1)) == hash(Retry(total=1))


def test_verification_needs_no_context_and_can_be_switched_off() -> None:
    assert underneath(endpoint="ftps://host", ssl=SSL(verify=True)).config.tls_settings.client_context().check_hostname
    context = underneath(endpoint="ftps://host", ssl=SSL(verify=False)).config.tls_settings.client_context()
    assert context.verify_mode is ssl.CERT_NONE
    assert underneath(endpoint="ftps://host").config.tls_settings.verify
    ready = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert underneath(ssl=SSL(context=ready)).config.tls_settings.client_context() is ready
    with pytest.raises(ValueError, match="certificate"):
        SSL(key="/path/to/key")


def test_modes_and_encodings_are_not_ignored() -> None:
    config = underneath(passive=False, encoding="latin-1").config
    assert (config.passive, config.encoding) == (False, "latin-1")


def test_warnings_can_be_told_from_others() -> None:
    assert issubclass(FtpPyWarning, UserWarning)
