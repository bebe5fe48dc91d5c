"""Settings, by whatever way they come."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import PassiveConfig, ServerConfig
from fastxfer.server.settings import build, load_toml, settings_of
from tests.server.dialogue import Running


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
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        build(load_toml(file), ServerConfig)


@pytest.mark.parametrize(
    "passive", [PassiveConfig(address="nonsense"), PassiveConfig(address_by_network={"nonsense": "192.0.2.1"})]
)
def test_addresses_that_are_none_are_refused_at_the_start(
    serve: Callable[..., Running], passive: PassiveConfig
) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        serve(passive=passive)
