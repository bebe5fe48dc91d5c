"""What a client is told once, when it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from numbers import Integral, Real
from typing import Any, Literal

from fastxfer.core.xfer import RateLimit
from fastxfer.fdfs.errors import InvalidArgumentError
from fastxfer.fdfs.types import TRACKER_DEFAULT_PORT
from fastxfer.net.address import Address, parse_address
from fastxfer.net.connection import SocketOptions
from fastxfer.net.retry import RetryPolicy

__all__ = ["ClientConfig", "Settings"]


_LONGEST = 1e9
"""Seconds: longer times than these 31 years are a slip, and more than some systems count."""

_LARGEST_BUFFER = (1 << 31) - 1
_MOST_THREADS = 1024


@dataclass
class ClientConfig:
    """Configuration of a FastDFS client. All times are seconds.

    Attributes:
        tracker_addrs: trackers, ``host:port`` or ``[ipv6]:port``; the first that answers is used.
        max_conns: connections to one server at most.
        connect_timeout: for opening a connection.
        network_timeout: for a small exchange; for a large transfer, the longest time without a byte moving.
        idle_timeout: after so long in the pool a connection is closed.
        retry_count: how often an operation is tried in all, where trying again is safe.
        pool_timeout: how long a caller waits for a connection when all are busy; None for ever.
        retry_delay: longest pause before the second try; doubled before each further one.
        retry_max_delay: longest pause at all.
        reads: where files are read from: ``"source"``, the server that the file ID names, without asking a tracker;
            ``"replicas"``, all servers of its group in turn; ``"tracker"``, wherever the tracker says, each time.
        topology_age: how long what a tracker said of a group's servers is used before it is asked again.
        upload_target_age: how long a group's upload servers are used before a tracker is asked again (beside the
            uploads, not before them); 0 asks a tracker before each upload and uses the store path it names.
        verify: check size and CRC-32 of whole files moved against their IDs. (Where a cluster deduplicates through
            FastDHT, the ID of a duplicate has a CRC-32 of no meaning, and a slave whose prefix is of digits may have
            an ID that looks like a normal file's: switch this off there.)
        at_least_once: repeat uploads and appends even where the server may have acted on them (and may store twice).
        spin: microseconds to poll busily for a reply before sleeping; None learns when and how long, 0 never does.
        tcp_no_delay: send small requests at once.
        tcp_congestion: congestion control, e.g. ``"cubic"`` (Linux); None for the system's.
        send_buffer, receive_buffer: socket buffers, bytes; None lets the system tune them.
        rate_limit: bytes per second for all files moved by the client together; None for no limit.
        max_buffered: longest body taken into memory where its size is not known beforehand, bytes.
        engine_threads: native threads of an :class:`AsyncClient`.
    """

    tracker_addrs: list[str]
    max_conns: int = 10
    connect_timeout: float = 5.0
    network_timeout: float = 30.0
    idle_timeout: float = 60.0
    retry_count: int = 3
    pool_timeout: float | None = field(default=30.0, kw_only=True)
    retry_delay: float = field(default=0.1, kw_only=True)
    retry_max_delay: float = field(default=5.0, kw_only=True)
    reads: Literal["source", "replicas", "tracker"] = field(default="source", kw_only=True)
    topology_age: float = field(default=30.0, kw_only=True)
    upload_target_age: float = field(default=10.0, kw_only=True)
    verify: bool = field(default=True, kw_only=True)
    at_least_once: bool = field(default=False, kw_only=True)
    spin: int | None = field(default=None, kw_only=True)
    tcp_no_delay: bool = field(default=True, kw_only=True)
    tcp_congestion: str | None = field(default=None, kw_only=True)
    send_buffer: int | None = field(default=None, kw_only=True)
    receive_buffer: int | None = field(default=None, kw_only=True)
    rate_limit: float | None = field(default=None, kw_only=True)
    max_buffered: int = field(default=1 << 30, kw_only=True)
    engine_threads: int = field(default=2, kw_only=True)


class Settings:
    """A checked :class:`ClientConfig`, in the form that the client uses.

    Raises :class:`InvalidArgumentError`, naming the setting, where one is wrong.
    """

    def __init__(self, config: ClientConfig) -> None:
        if not config:
            raise InvalidArgumentError("Config is required")
        given: object = config
        if not isinstance(given, ClientConfig):
            raise InvalidArgumentError(f"the client takes a ClientConfig, not {type(given).__name__}")
        if not config.tracker_addrs:
            raise InvalidArgumentError("Tracker addresses are required")
        addresses: object = config.tracker_addrs
        if isinstance(addresses, (str, bytes)):
            raise InvalidArgumentError("tracker_addrs is a list of addresses, not one text")
        if not isinstance(addresses, Iterable):
            raise InvalidArgumentError(f"tracker_addrs is a list of addresses, not {addresses!r}")
        self.trackers = [_tracker(text) for text in config.tracker_addrs]
        for name in ("connect_timeout", "network_timeout", "idle_timeout"):
            _check(config, name, "greater than 0, at most 1e9 or infinite", lambda value: _is_time(value) and value > 0)
        for name in ("max_conns", "retry_count", "max_buffered"):
            _check(config, name, "an integer, at least 1", lambda value: _is(value, Integral) and value >= 1)
        for name in ("retry_delay", "retry_max_delay", "topology_age", "upload_target_age"):
            _check(config, name, "not negative, at most 1e9 or infinite", _is_time)
        for name in ("send_buffer", "receive_buffer"):
            rule = f"an integer from 1 to {_LARGEST_BUFFER}"
            _check(config, name, rule, lambda v: v is None or (_is(v, Integral) and 1 <= v <= _LARGEST_BUFFER))
        rule = f"an integer from 1 to {_MOST_THREADS}"
        _check(config, "engine_threads", rule, lambda v: _is(v, Integral) and 1 <= v <= _MOST_THREADS)
        rule = "not negative, at most 1e9 or infinite"
        _check(config, "pool_timeout", rule, lambda value: value is None or _is_time(value))
        _check(config, "spin", "an integer, not negative", lambda v: v is None or (_is(v, Integral) and v >= 0))
        rule = "greater than 0, at most 1e18 or infinite"
        _check(config, "rate_limit", rule, lambda v: v is None or (_is(v, Real) and (0 < v <= 1e18 or v == inf)))
        _check(config, "tcp_congestion", "a name", lambda value: value is None or isinstance(value, str))
        _check(config, "reads", "source, replicas or tracker", lambda v: v in ("source", "replicas", "tracker"))
        self.config = config
        self.limits = () if config.rate_limit is None else (RateLimit(config.rate_limit),)
        self.retry = RetryPolicy(config.retry_count, config.retry_delay, config.retry_max_delay)
        self.options = SocketOptions(
            no_delay=config.tcp_no_delay,
            congestion=config.tcp_congestion,
            send_buffer=config.send_buffer,
            receive_buffer=config.receive_buffer,
        )


def _tracker(text: object) -> Address:
    if not isinstance(text, str) or not text or ":" not in text:
        raise InvalidArgumentError(f"Invalid tracker address: {text}")
    try:
        return parse_address(text, TRACKER_DEFAULT_PORT if text.endswith("]") else None)
    except ValueError as error:
        raise InvalidArgumentError(f"Invalid tracker address: {error}") from None


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    return _is(value, Real) and (0 <= value <= _LONGEST or value == inf)


def _check(config: ClientConfig, name: str, rule: str, holds: Callable[[Any], bool]) -> None:
    value = getattr(config, name)
    if not holds(value):
        raise InvalidArgumentError(f"{name} must be {rule}, not {value!r}")
