"""Streams whose length is not known before: gathered in memory, or in a temporary file."""

from __future__ import annotations

import os

import pytest

from fastxfer.fdfs.body import Body, Spool

MIB = 1 << 20


def bytes_of(body: Body) -> bytes:
    return os.pread(body.fd, body.size, body.offset) if body.data is None else bytes(body.data)


def test_nothing_at_all() -> None:
    with Spool() as spool:
        assert (spool.body().size, bytes_of(spool.body())) == (0, b"")


def test_a_stream_of_one_chunk_is_not_copied() -> None:
    chunk = b"x" * MIB
    with Spool() as spool:
        spool.write(chunk)
        assert spool.body().data is chunk


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_chunk_that_its_reader_uses_again_is_copied(kind: type) -> None:
    reused = bytearray(b"first")
    with Spool() as spool:
        spool.write(kind(reused))
        reused[:] = b"later"
        spool.write(kind(reused))
        assert bytes_of(spool.body()) == b"firstlater"


@pytest.mark.parametrize(
    "sizes",
    [(1, 1), (0, 5, 0, 7), (MIB, 1), (5, MIB), (8 * MIB, 0), (8 * MIB, 1), (9 * MIB,), (9 * MIB, 5), (3 * MIB,) * 4],
    ids=str,
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_chunks_of_any_size_come_out_in_order(kind: type, sizes: tuple[int, ...]) -> None:
    chunks = [bytes([65 + at]) * size for at, size in enumerate(sizes)]
    with Spool() as spool:
        for chunk in chunks:
            spool.write(kind(chunk))
        body = spool.body()
        assert body.size == sum(sizes)
        assert bytes_of(body) == b"".join(chunks)


def test_much_is_kept_in_a_file_and_not_in_memory() -> None:
    with Spool() as spool:
        for _ in range(9):
            spool.write(bytes(MIB))
        body = spool.body()
        assert body.data is None
        assert os.fstat(body.fd).st_size == 9 * MIB
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(body.fd)
