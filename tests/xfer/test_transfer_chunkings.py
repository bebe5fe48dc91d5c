"""Any content, cut anywhere, in any sequence of steps, comes through as it is."""

from __future__ import annotations

import socket
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

relaxed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def sockets():
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.settimeout(60)
    yield ours, peer
    ours.close()
    peer.close()


@relaxed
@given(
    body=st.binary(max_size=3000),
    status=st.sampled_from([0, 0, 0, 2]),
    cuts=st.lists(st.integers(1, 700), max_size=12),
    budget=st.integers(1, 900),
    crc=st.booleans(),
    sink=st.sampled_from(["memory", "buffer"]),
)
def test_replies(twin, sockets, tools, body, status, cuts, budget, crc, sink):
    ours, peer = sockets
    message = tools.reply(body, status)
    target = bytearray(len(body)) if sink == "buffer" else None
    transfer = twin.Transfer(ours.fileno(), framing=twin.FASTDFS, recv_into=target, crc=crc)
    for cut in cuts:
        peer.sendall(message[:cut])
        message = message[cut:]
        transfer.advance(budget)
    peer.sendall(message)
    while not transfer.advance(budget):
        pass
    wanted = b"" if status else body
    assert (transfer.error, transfer.status, transfer.length) == (0, status, len(body))
    assert transfer.received == len(wanted)
    assert (transfer.body if target is None else bytes(target)[: len(wanted)]) == wanted
    assert transfer.crc32 == (zlib.crc32(wanted) if crc else 0)


@relaxed
@given(
    parts=st.lists(st.binary(max_size=400), max_size=80),
    content=st.binary(max_size=3000),
    window=st.tuples(st.integers(0, 3000), st.integers(0, 3000)),
    budgets=st.lists(st.integers(1, 900), min_size=1, max_size=20),
    crc=st.booleans(),
    zero_copy=st.booleans(),
    memory=st.booleans(),
)
def test_requests(twin, sockets, tools, make_file, parts, content, window, budgets, crc, zero_copy, memory):
    ours, peer = sockets
    start = min(window[0], len(content))
    count = min(window[1], len(content) - start)
    if memory:
        body = {"send_from": memoryview(content)[start : start + count]}
    else:
        body = {"send_fd": make_file(content), "send_offset": start, "send_count": count, "zero_copy": zero_copy}
    transfer = twin.Transfer(ours.fileno(), send=parts, crc=crc, **body)
    expected = b"".join(parts) + content[start : start + count]
    got = bytearray()
    turn = 0
    while not transfer.advance(budgets[turn % len(budgets)]):
        turn += 1
        got += tools.read_exactly(peer, transfer.sent - len(got))
    got += tools.read_exactly(peer, transfer.sent - len(got))
    assert (transfer.error, bytes(got)) == (0, expected)
    assert transfer.crc32 == (zlib.crc32(content[start : start + count]) if crc else 0)


@relaxed
@given(noise=st.binary(min_size=10, max_size=200))
def test_noise_ends_a_transfer_one_way_or_the_other(twin, tools, noise):
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        peer.sendall(noise)
        peer.shutdown(socket.SHUT_WR)
        transfer = twin.Transfer(ours.fileno(), framing=twin.FASTDFS, recv_limit=1 << 16)
        assert transfer.advance()
        length = int.from_bytes(noise[:8], "big", signed=True)
        whole = noise[8] == 100 and 0 <= length <= len(noise) - 10
        assert (transfer.error == 0) <= whole
