"""Trunk files: many small files in slots of one large file, each with a 24-byte header that describes it.

The header's fields: type (``F`` a file, ``L`` a link, ``N`` a free slot), allocated size, file size, CRC-32,
modification time, and the tail of the file's name (the last 7 characters) as a check.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from fastxfer.fdfs.node.files import READ, UPDATE, read_at, write_at
from fastxfer.fdfs.node.names import TAIL, TRUNK_LENGTH, Location, decode_as_server
from fastxfer.fdfs.node.statuses import ENOENT, Refused
from fastxfer.fdfs.node.store import Store

ALIGNMENT = 256
_HEADER = struct.Struct(">cIIIi7s")
HEADER_SIZE = _HEADER.size
FILE, LINK, FREE = b"F", b"L", b"N"


@dataclass(frozen=True)
class Slot:
    """A place in a trunk file of a group: the same in every storage of the group."""

    store_path_index: int
    directory: str
    trunk_id: int
    offset: int
    size: int

    def path(self, store: Store) -> str:
        return f"{store.data_directory(self.store_path_index)}/{self.directory}/{self.trunk_id:06d}"


class TrunkSpace:
    """The slots of one group's trunk files. It is rebuilt from the files' own headers when the node starts."""

    def __init__(self, file_size: int) -> None:
        self._file_size = file_size
        self._lock = threading.Lock()
        self._free: list[Slot] = []
        self._last_id = 0

    @property
    def current_id(self) -> int:
        return self._last_id

    @property
    def free_bytes(self) -> int:
        with self._lock:
            return sum(slot.size for slot in self._free)

    def scan(self, stores: Iterable[Store]) -> None:
        """Learn what is taken and what is free from the trunk files of all storages."""
        taken: dict[tuple[int, str, int], dict[int, int]] = {}
        for store in stores:
            for index in range(store.count):
                data = store.data_directory(index)
                for folder, _, names in os.walk(data):
                    for name in names:
                        if len(name) == 6 and name.isdigit():
                            key = (index, os.path.relpath(folder, data).replace(os.sep, "/"), int(name))
                            taken.setdefault(key, {}).update(_taken_slots(os.path.join(folder, name)))
        for (index, directory, trunk_id), slots in taken.items():
            self._last_id = max(self._last_id, trunk_id)
            position = 0
            for offset, size in sorted(slots.items()):
                if offset > position:
                    self._free.append(Slot(index, directory, trunk_id, position, offset - position))
                position = offset + size
            if position < self._file_size:
                self._free.append(Slot(index, directory, trunk_id, position, self._file_size - position))

    def allocate(self, store_path_index: int, directory: tuple[int, int], size: int) -> Slot:
        """A slot for a file of *size* bytes: the smallest free one that is large enough, or one in a new trunk file."""
        wanted = -(-(HEADER_SIZE + size) // ALIGNMENT) * ALIGNMENT
        with self._lock:
            fitting = [slot for slot in self._free if slot.store_path_index == store_path_index and slot.size >= wanted]
            if fitting:
                chosen = min(fitting, key=lambda slot: (slot.size, slot.trunk_id, slot.offset))
                self._free.remove(chosen)
            else:
                self._last_id += 1
                text = f"{directory[0]:02X}/{directory[1]:02X}"
                chosen = Slot(store_path_index, text, self._last_id, 0, self._file_size)
            place = (chosen.store_path_index, chosen.directory, chosen.trunk_id)
            if chosen.size > wanted:
                self._free.append(Slot(*place, chosen.offset + wanted, chosen.size - wanted))
            return Slot(*place, chosen.offset, wanted)

    def release(self, slot: Slot) -> None:
        """Take a slot back, joined with free neighbours."""
        with self._lock:
            place = (slot.store_path_index, slot.directory, slot.trunk_id)
            start, end = slot.offset, slot.offset + slot.size
            for other in list(self._free):
                if (other.store_path_index, other.directory, other.trunk_id) != place:
                    continue
                if other.offset + other.size == start:
                    start = other.offset
                elif other.offset == end:
                    end = other.offset + other.size
                else:
                    continue
                self._free.remove(other)
            self._free.append(Slot(*place, start, end - start))


def _taken_slots(path: str) -> dict[int, int]:
    """Offsets and sizes of the slots in use."""
    taken: dict[int, int] = {}
    fd = os.open(path, READ)
    try:
        offset = 0
        while True:
            header = read_at(fd, HEADER_SIZE, offset)
            if len(header) < HEADER_SIZE:
                return taken
            kind, allocated = _HEADER.unpack(header)[:2]
            if allocated == 0:
                offset += ALIGNMENT
                continue
            if kind in (FILE, LINK):
                taken[offset] = allocated
            offset += allocated
    finally:
        os.close(fd)


def slot_of(group: str, location: Location) -> Slot | None:
    """Where the name says the file is; None where it is not inside a trunk file."""
    if len(location.filename) != TRUNK_LENGTH:
        return None
    file_id = decode_as_server(group, location.filename)
    if file_id is None or not file_id.trunk:
        return None
    assert file_id.trunk_file_id is not None
    assert file_id.trunk_offset is not None
    assert file_id.trunk_size is not None
    return Slot(
        location.store_path_index, location.directory, file_id.trunk_file_id, file_id.trunk_offset, file_id.trunk_size
    )


class SlotFile(NamedTuple):
    """What is in a slot: descriptor of the trunk file, size of the content, when it was written, whether it is the
    name of the file that is really meant."""

    fd: int
    size: int
    modified: int
    is_link: bool


def write_slot(store: Store, slot: Slot, tail: str, data: bytes, crc32: int, *, is_link: bool = False) -> None:
    """Put a file into its slot: the bytes first, then the header that makes them count."""
    path = slot.path(store)
    store.make_directory(path)
    fd = os.open(path, UPDATE | os.O_CREAT, 0o644)
    try:
        write_at(fd, data, slot.offset + HEADER_SIZE)
        kind = LINK if is_link else FILE
        header = _HEADER.pack(kind, slot.size, len(data), crc32, int(time.time()), tail.encode("ascii"))
        write_at(fd, header, slot.offset)
    finally:
        os.close(fd)


def open_slot(store: Store, slot: Slot, filename: str) -> SlotFile:
    """Open what is in a slot; Refused (ENOENT) if that is not the file of this name."""
    fd = os.open(slot.path(store), READ)
    try:
        header = read_at(fd, HEADER_SIZE, slot.offset)
        if len(header) == HEADER_SIZE:
            kind, allocated, size, _, modified, tail = _HEADER.unpack(header)
            if kind in (FILE, LINK) and allocated == slot.size and tail == filename[-TAIL:].encode("ascii"):
                return SlotFile(fd, size, modified, kind == LINK)
        raise Refused(ENOENT, f"{filename} is not in its trunk file")
    except BaseException:
        os.close(fd)
        raise


def clear_slot(store: Store, slot: Slot) -> None:
    """Mark a slot as free."""
    fd = os.open(slot.path(store), UPDATE)
    try:
        write_at(fd, _HEADER.pack(FREE, slot.size, 0, 0, 0, b""), slot.offset)
    finally:
        os.close(fd)
