"""CRC-32 is zlib's, however it is computed."""

from __future__ import annotations

import random
import threading
import zlib
from array import array
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conftest import core_module, run_python

VARIANTS = ("vpclmul512", "vpclmul", "pclmul", "armv8", "table")
# Around every block size of every variant, then sizes at which the GIL is released.
LENGTHS = [*range(300), *range(500, 530), *range(1020, 1030), 3071, 3072, 3073, 6150, 65535, 65536, 65537, 1 << 20]

CHECK_FORCED = """
import random, sys, zlib
from fastxfer._ext import crc32 as m
data = random.Random(5).randbytes(9000)
target = bytearray(9002)
for length in (*range(600), *range(1000, 9000, 97)):
    for start in (0, 1, 3):
        piece = data[start : start + length]
        assert m.crc32(piece, length) == zlib.crc32(piece, length), length
        assert m.copy_crc32(target, piece) == zlib.crc32(piece), length
        assert target[: len(piece)] == piece, length
first, second = data[:4000], data[4000:]
assert m.crc32_combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(data)
print(m.implementation())
"""


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(1).randbytes((1 << 20) + 8)


def test_known_value(crc32: ModuleType) -> None:
    assert crc32.crc32(b"123456789") == 0xCBF43926
    assert crc32.crc32(b"") == 0
    assert crc32.crc32(b"", 77) == 77


def test_agrees_with_zlib_at_every_length_and_alignment(crc32: ModuleType, data: bytes) -> None:
    view = memoryview(data)
    for length in LENGTHS:
        for start in (0, 1, 7):
            piece = view[start : start + length]
            assert crc32.crc32(piece, 0xDEADBEEF) == zlib.crc32(piece, 0xDEADBEEF), (length, start)


def test_agrees_with_zlib_where_much_is_begun_at_a_cache_line(crc32: ModuleType) -> None:
    data = random.Random(2).randbytes(33_100)
    for begin in range(0, 130, 3):
        for size in (32_767, 32_768, *range(32_900, 32_970)):
            piece = memoryview(data)[begin : begin + size]
            assert crc32.crc32(piece, begin) == zlib.crc32(piece, begin), (begin, size)
    target = bytearray(len(data))
    for size in range(32_900, 32_970):
        assert crc32.copy_crc32(target, data[:size]) == zlib.crc32(data[:size])
        assert target[:size] == data[:size]


def test_continues_from_a_value(crc32: ModuleType, data: bytes) -> None:
    value = 0
    for start in range(0, 5000, 617):
        value = crc32.crc32(data[start : start + 617], value)
    assert value == zlib.crc32(data[:5553])


def test_the_value_is_taken_modulo_2_to_32(crc32: ModuleType) -> None:
    assert crc32.crc32(b"abc", (7 << 32) + 5) == zlib.crc32(b"abc", 5)
    assert crc32.crc32(b"abc", -1) == zlib.crc32(b"abc", 0xFFFFFFFF)


@pytest.mark.parametrize("wrap", [bytearray, memoryview, lambda b: array("H", b), lambda b: memoryview(b).cast("I")])
def test_takes_anything_with_the_buffer_protocol(crc32: ModuleType, data: bytes, wrap: object) -> None:
    assert callable(wrap)
    assert crc32.crc32(wrap(data[:4096])) == zlib.crc32(data[:4096])


def test_takes_numpy_arrays(crc32: ModuleType) -> None:
    numpy = pytest.importorskip("numpy")
    values = numpy.arange(100_000, dtype="f8")
    assert crc32.crc32(values) == zlib.crc32(values.tobytes())


@pytest.mark.parametrize("wrong", ["text", 5, None, memoryview(b"abcdef")[::2]])
def test_refuses_what_is_no_contiguous_buffer(crc32: ModuleType, wrong: object) -> None:
    with pytest.raises((TypeError, BufferError)):
        crc32.crc32(wrong)


def test_refuses_a_value_that_is_no_integer(crc32: ModuleType) -> None:
    with pytest.raises(TypeError):
        crc32.crc32(b"abc", "5")


def test_copies_while_folding(crc32: ModuleType, data: bytes) -> None:
    for length in LENGTHS:
        target = bytearray(b"\xaa" * (length + 3))
        piece = data[1 : 1 + length]
        assert crc32.copy_crc32(target, piece, 9) == zlib.crc32(piece, 9), length
        assert target == piece + b"\xaa\xaa\xaa", length


@pytest.mark.parametrize("size", [10, 5000, 200_000])
@pytest.mark.parametrize(("start", "target"), [(0, 7), (7, 0), (3, 3)])
def test_a_copy_within_one_buffer(crc32: ModuleType, data: bytes, size: int, start: int, target: int) -> None:
    buffer = bytearray((data * (size // len(data) + 2))[: size + 10])
    piece = bytes(buffer[start : start + size])
    with memoryview(buffer) as view:
        assert crc32.copy_crc32(view[target : target + size], view[start : start + size]) == zlib.crc32(piece)
    assert buffer[target : target + size] == piece


def test_copy_checks_its_target(crc32: ModuleType) -> None:
    with pytest.raises(ValueError, match="target of 2 bytes is smaller than source of 3"):
        crc32.copy_crc32(bytearray(2), b"abc")
    with pytest.raises(BufferError):
        crc32.copy_crc32(b"abc", b"abc")


@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_combines_two_pieces(first: bytes, second: bytes) -> None:
    for implementation in ("c", "py"):
        module = core_module("crc32", implementation)
        combined = module.crc32_combine(zlib.crc32(first), zlib.crc32(second), len(second))
        assert combined == zlib.crc32(first + second)


def test_combines_pieces_too_long_to_hold(crc32: ModuleType) -> None:
    # Zeros appended one power of two after the other: 2**40 of them by doubling.
    zeros = zlib.crc32(b"\0")
    for power in range(40):
        zeros = crc32.crc32_combine(zeros, zeros, 1 << power)
    assert crc32.crc32_combine(0x12345678, zeros, 1 << 40) == core_module("crc32", "py").crc32_combine(
        0x12345678, zeros, 1 << 40
    )
    assert crc32.crc32_combine(zlib.crc32(b"ab"), 0, 0) == zlib.crc32(b"ab")


def test_combine_refuses_a_negative_length(crc32: ModuleType) -> None:
    with pytest.raises((ValueError, OverflowError)):
        crc32.crc32_combine(1, 2, -1)


def test_many_threads_agree(crc32: ModuleType, data: bytes) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        for step in range(20):
            length = 60_000 + (seed * 7919 + step * 104729) % 100_000
            if crc32.crc32(data[:length]) != zlib.crc32(data[:length]):
                wrong.append(length)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_can_be_forced(variant: str) -> None:
    core_module("crc32", "c")
    ran = run_python("-c", CHECK_FORCED, FASTXFER_CRC32=variant)
    assert ran.returncode == 0, ran.stderr
    if ran.stdout.strip() != variant:
        pytest.skip(f"this processor has no {variant}; {ran.stdout.strip()} was used")


def test_an_unknown_variant_is_ignored() -> None:
    core_module("crc32", "c")
    code = "from fastxfer._ext.crc32 import implementation; print(implementation())"
    forced = run_python("-c", code, FASTXFER_CRC32="nonsense")
    assert forced.stdout.strip() in VARIANTS


def test_implementation_is_named(crc32: ModuleType, implementation: str) -> None:
    assert crc32.implementation() in (VARIANTS if implementation == "c" else ("zlib",))
