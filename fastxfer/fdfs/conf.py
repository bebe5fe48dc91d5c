"""Reads a ``client.conf`` as the C client has it."""

from __future__ import annotations

import os
from typing import Any

from fastxfer.fdfs.config import ClientConfig
from fastxfer.fdfs.errors import InvalidArgumentError
from fastxfer.fdfs.local_file import LocalFile
from fastxfer.fdfs.types import TRACKER_DEFAULT_PORT
from fastxfer.net.address import parse_address

__all__ = ["read_client_conf"]

_DEEPEST_INCLUDE = 16
_TIMES = {
    "connect_timeout": "connect_timeout",
    "network_timeout": "network_timeout",
    "connection_pool_max_idle_time": "idle_timeout",
}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "ms": 0.001}


def read_client_conf(path: str | os.PathLike[str], **settings: Any) -> ClientConfig:
    """The :class:`ClientConfig` that the file at *path* describes.

    ``tracker_server`` (any number of times), ``connect_timeout``, ``network_timeout`` and the settings of the
    connection pool are used; ``#include`` lines are followed; the rest concerns the C client only. A tracker with two
    addresses (``inner,outer:port``) is tried by one after the other. A time of 0 or less means the default. What stands
    in a ``[section]`` is not the client's; as for the C client, ``[]`` and an ``#include`` end one, and so does
    ``[__config__]``, as Python clients name what stands in none.

    Args:
        settings: taken instead of those in the file, by the names of :class:`ClientConfig`.

    Raises :class:`FileNotFoundError` where the file is missing, :class:`InvalidArgumentError`, with file and line,
    where it makes no sense or names no tracker.
    """
    values: dict[str, Any] = {"tracker_addrs": []}
    _read(os.fspath(path), values, 0)
    if not values["tracker_addrs"]:
        raise InvalidArgumentError(f"{os.fspath(path)} names no tracker_server")
    return ClientConfig(**{**values, **settings})


def _read(path: str, values: dict[str, Any], depth: int) -> None:
    if depth > _DEEPEST_INCLUDE:
        raise InvalidArgumentError(f"{path} is included too deep, or by itself")
    with LocalFile(path) as local, open(local.fd, encoding="utf-8-sig", errors="replace", closefd=False) as lines:
        of_all = True
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text.startswith("#include "):
                included = text[len("#include ") :].strip().strip('"')
                _read(os.path.join(os.path.dirname(path), included), values, depth + 1)
                of_all = True
            elif text.startswith("[") and text.endswith("]"):
                of_all = text[1:-1].strip() in ("", "__config__")
            elif of_all and not text.startswith("#") and "=" in text:
                name, _, value = (part.strip() for part in text.partition("="))
                try:
                    _take(name, value, values)
                except ValueError as reason:
                    raise InvalidArgumentError(f"{path}, line {number}: {reason}") from None


def _take(name: str, value: str, values: dict[str, Any]) -> None:
    if name == "tracker_server":
        values["tracker_addrs"] += [str(parse_address(text, TRACKER_DEFAULT_PORT)) for text in _each_host(value)]
    elif name in _TIMES:
        seconds = _seconds(value)
        if seconds > 0:
            values[_TIMES[name]] = seconds
    elif name == "max_connections_per_server" and int(value) > 0:
        values["max_conns"] = int(value)


def _each_host(text: str) -> list[str]:
    """``a,b:port`` and ``[a,b]:port`` with each of their hosts."""
    if text.startswith("["):
        hosts, bracket, port = text[1:].partition("]")
        return [f"[{host.strip()}{bracket}{port}" for host in hosts.split(",")]
    hosts, colon, port = text.partition(":") if text.count(":") == 1 else (text, "", "")
    return [f"{host.strip()}{colon}{port}" for host in hosts.split(",")]


def _seconds(text: str) -> float:
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(digits) :].strip()
    if unit not in ("", *_UNITS) or not digits:
        raise ValueError(f"{text!r} is not a time")
    return float(digits) * _UNITS.get(unit, 1.0)
