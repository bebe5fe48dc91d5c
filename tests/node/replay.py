"""Replays recorded exchanges against a node: what goes out, what came back, and what of it may differ."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

from fastxfer.core.wire import HEADER_SIZE, unpack_header
from fastxfer.fdfs.node import Node
from tests.node.compare import compare
from tests.node.raw import Raw, split_address

RECORDINGS = Path(__file__).parent.parent / "data" / "fastdfs" / "wire"
RECORDED_PORT = 23000
RECORDED_TRACKER_PORT = 22122


@dataclass(frozen=True)
class Exchange:
    """One recorded request and what the real server did."""

    index: int
    command: str
    peer: str
    address: str
    request: bytes
    reply: bytes | None
    closed: bool
    note: str

    @property
    def body(self) -> bytes:
        assert self.reply is not None
        return self.reply[HEADER_SIZE:]

    def __str__(self) -> str:
        return f"#{self.index} {self.command} ({self.note}) to {self.address}"


def load(variant: str) -> list[Exchange]:
    exchanges = []
    for index, line in enumerate((RECORDINGS / f"{variant}.jsonl").read_text().splitlines()):
        record = json.loads(line)
        exchanges.append(
            Exchange(
                index,
                record["command"],
                record["peer"],
                _bracketed(record["addr"]),
                bytes.fromhex(record["request_hex"]),
                bytes.fromhex(record["response_hex"]) or None,
                record["conn_after"] == "closed",
                record["note"],
            )
        )
    return exchanges


def _bracketed(address: str) -> str:
    """``host:port`` as recorded, with brackets around an IPv6 host."""
    host, _, port = address.rpartition(":")
    return f"[{host.strip('[]')}]:{port}" if ":" in host else address


@dataclass
class Replay:
    """The state of one replay: open connections, and the node's names for recorded names."""

    node: Node
    addresses: dict[str, str]
    """Recorded ``host:port`` to the node's."""
    names: dict[bytes, bytes] = field(default_factory=dict)
    connections: dict[str, Raw] = field(default_factory=dict)

    def close(self) -> None:
        for connection in self.connections.values():
            connection.socket.close()

    # Substitution

    def to_node(self, data: bytes) -> bytes:
        """Recorded text with the node's addresses and file names."""
        for recorded, actual in self.addresses.items():
            data = data.replace(recorded.encode(), actual.encode())
            data = data.replace(_host_and_port(recorded), _host_and_port(actual))
        for recorded_name, name in self.names.items():
            data = data.replace(recorded_name, name)
        return data

    def request(self, exchange: Exchange) -> bytes:
        """The recorded request for the node; a length that was right stays right."""
        header, body = exchange.request[:HEADER_SIZE], self.to_node(exchange.request[HEADER_SIZE:])
        if unpack_header(header)[0] == len(exchange.request) - HEADER_SIZE:
            header = struct.pack(">q", len(body)) + header[8:]
        return header + body

    def host(self, recorded: str) -> str:
        """The node's host for a recorded one."""
        for old, new in self.addresses.items():
            if split_address(old)[0] == recorded:
                return split_address(new)[0]
        return recorded

    def ports(self) -> set[int]:
        return {split_address(address)[1] for address in self.addresses.values()}

    def learn(self, recorded: bytes, actual: bytes) -> None:
        """Remember that the recorded file ID body stands for the node's."""
        self.names[_stem(recorded)] = _stem(actual)

    # One exchange

    def run(self, exchange: Exchange) -> None:
        """Send the request and compare. AssertionError where the node does something else."""
        address = self.addresses[exchange.address]
        connection = self.connections.pop(address, None) or Raw(address)
        try:
            connection.send(self.request(exchange))
            if exchange.reply is not None:
                status, body = connection.reply()
                assert status == exchange.reply[9], f"{exchange}: status {status}"
                compare(self, exchange, body)
            if not exchange.closed:
                assert not connection.closed_already(), f"{exchange}: the connection was closed"
                self.connections[address] = connection
                return
            assert connection.closed(), f"{exchange}: the connection was kept"
        except BaseException:
            connection.socket.close()
            raise
        connection.socket.close()

    def check_kept(self) -> None:
        """Every connection that should have been kept still answers."""
        assert all(connection.alive() for connection in self.connections.values())


def _host_and_port(address: str) -> bytes:
    """As GET_GROUP_NAME has them."""
    host, port = split_address(address)
    return host.encode() + struct.pack(">i", port)


def _stem(body: bytes) -> bytes:
    return body[16 + 10 :].partition(b".")[0]
