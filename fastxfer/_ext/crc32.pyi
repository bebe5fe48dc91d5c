from typing_extensions import Buffer

def crc32(data: Buffer, value: int = 0, /) -> int:
    """CRC-32 (IEEE 802.3, zlib's) of *data*, continuing from *value*; the GIL is released on large buffers."""

def copy_crc32(target: Buffer, source: Buffer, value: int = 0, /) -> int:
    """Copy *source* over the beginning of *target* and return its CRC-32, in one pass. The two may overlap.

    Raises ValueError where *target* is smaller than *source*, BufferError where it is read-only.
    """

def crc32_combine(first: int, second: int, second_length: int, /) -> int:
    """The CRC-32 of two pieces laid end to end, from the CRC-32 of each and the length of the second."""

def implementation() -> str:
    """The variant in use: ``vpclmul512``, ``vpclmul``, ``pclmul``, ``armv8``, ``table`` or (twin) ``zlib``.

    ``FASTXFER_CRC32`` in the environment forces one of those that the processor has.
    """
