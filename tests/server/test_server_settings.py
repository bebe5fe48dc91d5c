"""Settings, by whatever way they come."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastxfer.server import LimitsConfig, ListenerConfig, PassiveConfig, ServerConfig, TlsConfig, WebConfig
from fastxfer.server.settings import build, load_toml, settings_of
from tests.server.dialogue import USER, Dialogue, Running


def test_every_setting_has_one_name_in_code_file_and_flags(tmp_path: Path) -> None:
    flags = [setting.flag for setting in settings_of()]
    assert len(flags) == len(set(flags))
    assert {"--tls-cert", "--limits-sessions", "--passive-ports", "--user", "--web-enabled"} <= set(flags)
    file = tmp_path / "server.toml"
    file.write_text(
        """
        root = "/srv"
        hosts = { "a.example" = "/a" }
        [passive]
        ports = [50000, 50100]
        address_by_network = { "10.0.0.0/8" = "10.0.0.1" }
        [rates]
        download = "10M"
        [timeouts]
        idle = 60
        [uploads]
        umask = "027"
        [[listeners]]
        port = 2121
        [[listeners]]
        host = "::1"
        port = 990
        implicit_tls = true
        """
    )
    config = build(load_toml(file), ServerConfig)
    assert config.passive.ports == (50000, 50100)
    assert config.rates.download == 10 << 20
    assert config.timeouts.idle == 60.0
    assert config.uploads.umask == 0o027
    assert config.hosts == {"a.example": "/a"}
    assert [(entry.port, entry.implicit_tls) for entry in config.listeners] == [(2121, False), (990, True)]
    from_flags = build({"passive": {"ports": "50000-50100"}, "hosts": ("a.example=/a",)}, ServerConfig)
    assert (from_flags.passive.ports, from_flags.hosts) == (config.passive.ports, config.hosts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense = 1", "nonsense"),
        ("[tls]\nnonsense = 1", "tls.nonsense"),
        ("port = 'many'", "port"),
        ("port = -1", "port"),
        ("port = true", "port"),
        ("read_only = 3", "read_only"),
        ("tls = 3", "tls"),
        ("[passive]\nports = [1]", "passive.ports"),
        ("banner = 3", "banner"),
        ("port = ", "toml"),
        ("port = 70000", "port"),
        ("port = inf", "port"),
        ("port = nan", "port"),
        ("workers = 0", "workers"),
        ("backlog = 0", "backlog"),
        ("[passive]\nports = [0, 9]", "passive.ports"),
        ("[passive]\nports = [9, 8]", "passive.ports"),
        ("[passive]\nports = [9000, 99999]", "passive.ports"),
        ("[passive]\nmin_active_port = 99999", "passive.min_active_port"),
        ("[timeouts]\nidle = nan", "timeouts.idle"),
        ("[timeouts]\nidle = inf", "timeouts.idle"),
        ("[uploads]\numask = 4096", "uploads.umask"),
        ("[web]\nport = 99999", "web.port"),
        ("[[listeners]]\nport = 99999", "port"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        build(load_toml(file), ServerConfig)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("passive.address", {"passive": PassiveConfig(address="nonsense")}),
        ("passive.address_by_network", {"passive": PassiveConfig(address_by_network={"nonsense": "192.0.2.1"})}),
        ("passive.address_by_network", {"passive": PassiveConfig(address_by_network={"192.0.2.0/24": "nonsense"})}),
        ("passive.congestion", {"passive": PassiveConfig(congestion="nonsense")}),
        ("trusted_proxies", {"trusted_proxies": ("nonsense",)}),
        ("web.trusted_proxies", {"web": WebConfig(enabled=True, trusted_proxies=("nonsense",))}),
        ("anonymous_permissions", {"anonymous": True, "anonymous_permissions": "nonsense"}),
        ("tls.require_session_reuse", {"tls": TlsConfig(require_session_reuse=True)}),
        ("tls.require_client_cert", {"tls": TlsConfig(require_client_cert=True)}),
        ("tls.key", {"tls": TlsConfig(key="nonsense.pem")}),
        ("tls.cert", {"listeners": (ListenerConfig(port=0, require_tls=True),)}),
    ],
)
def test_what_nobody_could_be_served_by_is_refused_at_the_start(
    serve: Callable[..., Running], name: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=re.escape(name)):
        serve(**settings)


def test_no_limit_is_no_limit(serve: Callable[..., Running], root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").touch()
    limits = LimitsConfig(
        sessions=0,
        line=0,
        pipeline=0,
        unread_replies=0,
        login_attempts=0,
        login_delay=0.0,
        ban_after=0,
        list_entries=0,
        list_depth=0,
        inflate_ratio=0,
    )
    with Dialogue(serve(limits=limits).address) as client:
        for _ in range(10):
            client.expect(331, f"USER {USER}")
            client.expect(530, "PASS wrong")
        client.login()
        assert b"file" in client.fetch("LIST -R")
        assert client.fetch("NLST *") == b"a\r\n"
        assert client.fetch("LIST").count(b"\r\n") == 1
        client.expect(553, "SIZE " + "x" * 10_000)
        client.send(b"NOOP\r\n" * 300)
        assert [client.read().code for _ in range(300)] == [200] * 300
