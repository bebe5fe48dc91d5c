"""Listings as servers write them: the part of ``fastxfer._pure.ftpwire`` that reads MLSD, NLST and LIST."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastxfer._pure.ftplines import SAMPLE_LENGTH, Lines
from fastxfer._pure.ftpreplies import epoch, parse_time, valid_date

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_SAMPLES = 5
MAX_TOKENS = 16
MAX_INT64 = (1 << 63) - 1
FORMATS = ("auto", "mlsd", "list", "names")
DAY = 86400.0

_MONTHS = {
    name.encode(): number + 1
    for number, names in enumerate(
        (
            "jan january janv ene gen 1月 1월 янв",
            "feb february févr fev fév 2月 2월 фев",
            "mar march mär mrz mars mrt 3月 3월 мар",
            "apr april avr abr avril 4月 4월 апр",
            "may mai mag maj mei mayo 5月 5월 май мая",
            "jun june juin giu juni 6月 6월 июн",
            "jul july juil lug juli 7月 7월 июл",
            "aug august août aout ago 8月 8월 авг",
            "sep sept september set 9月 9월 сен",
            "oct october okt ott out 10月 10월 окт",
            "nov november 11月 11월 ноя",
            "dec december dez déc dic des 12月 12월 дек",
        )
    )
    for name in names.split()
}
_TOKEN = re.compile(rb"[^ \t]+")
_PERMISSIONS = re.compile(rb"[-dlbcpsDn][-rwxsStTlL]{9}[+.@]?")
_DAY_NUMBER = re.compile(rb"([0-9]{1,2})(?:[.,]|\xe6\x97\xa5|\xec\x9d\xbc)?")
_CLOCK = re.compile(rb"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]+)?)?")
_YEAR = re.compile(rb"[12][0-9]{3}")
_ISO_DATE = re.compile(rb"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_ZONE = re.compile(rb"[+-][0-9]{4}")
_SHORT_DATE = re.compile(rb"([0-9]{2}|[0-9]{4})([-/.])([0-9]{2})\2([0-9]{2}|[0-9]{4})")
_DOS_CLOCK = re.compile(rb"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?([AaPp][Mm])?")
_VMS_DATE = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_DIGITS = re.compile(rb"[0-9]{1,19}")
_OCTAL = re.compile(r"[0-7]{1,6}")


@dataclass(slots=True)
class Entry:
    """See ``fastxfer._ext.ftpwire.Entry``."""

    name: str
    type: str = "unknown"
    size: int | None = None
    mtime: float | None = None
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    target: str | None = None
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Found:
    """What a LIST line says, still in bytes."""

    name: bytes
    type: str
    size: int | None = None
    mtime: float | None = None
    mode: int | None = None
    owner: bytes | None = None
    group: bytes | None = None
    target: bytes | None = None


class ListingReader:
    def __init__(
        self, format: str = "auto", encoding: str = "utf-8", now: float | None = None, max_line: int = 65536
    ) -> None:
        if format not in FORMATS:
            raise ValueError(f"unknown listing format {format!r}: it is one of {', '.join(FORMATS)}")
        self._format = format
        self._encoding = encoding
        self._now = time.time() if now is None else float(now)
        self._lines = Lines(max_line, telnet=False)
        self.first = True
        self.vms_name: bytes | None = None
        self.unparsed = 0
        self.samples: list[str] = []

    def feed(self, data: Buffer, /) -> list[Entry]:
        entries: list[Entry] = []
        for line in self._lines.split(data):
            if line is None:
                self.reject(self._lines.sample)
            else:
                self._take(line, entries)
        return entries

    def finish(self) -> list[Entry]:
        entries: list[Entry] = []
        if self._lines.pending:
            self._take(self._lines.take(), entries)
        self.reject_pending()
        return entries

    def _take(self, line: bytes, entries: list[Entry]) -> None:
        line = line.removesuffix(b"\r")
        if not line:
            return
        entry = self._parse(line)
        if entry is not None:
            entries.append(entry)
        self.first = False

    def _parse(self, line: bytes) -> Entry | None:
        if self._format == "names":
            return Entry(self._text(line))
        if self._format != "list":
            entry = parse_facts(self._text(line), strict=self._format == "auto")
            if entry is not None or self._format == "mlsd":
                if entry is None:
                    self.reject(line)
                return entry
        return self.parse_list_line(line)

    def parse_list_line(self, line: bytes) -> Entry | None:
        tokens = [match.span() for _, match in zip(range(MAX_TOKENS), _TOKEN.finditer(line), strict=False)]
        words = [line[start:end] for start, end in tokens]
        if not words:
            return None
        if self.vms_name is not None:
            found = _vms(self.vms_name, words)
            if found is not None:
                self.vms_name = None
                return self._entry(found)
            self.reject_pending()
        found = self._unix_like(line, tokens, words) or _dos(line, tokens, words) or _os2(line, tokens, words)
        found = found or _as400(line, tokens, words)
        if found is None and _is_vms_name(words[0]):
            if len(words) == 1:
                self.vms_name = words[0]
                return None
            found = _vms(words[0], words[1:])
        if found is not None:
            return self._entry(found)
        heading = self.first and len(words) == 2 and words[1].isdigit()
        if not heading and not line.startswith((b"Directory ", b"Total of ")):
            self.reject(line)
        return None

    def _unix_like(self, line: bytes, tokens: list[tuple[int, int]], words: list[bytes]) -> _Found | None:
        if line.startswith(b"+"):
            return _eplf(line)
        if _PERMISSIONS.fullmatch(words[0]):
            return _unix(line, tokens, words, self._now)
        if words[0] in (b"d", b"-") and len(words) > 1 and words[1].startswith(b"["):
            return _netware(line, tokens, words, self._now)
        return None

    def _entry(self, found: _Found) -> Entry:
        kind = {b".": "cdir", b"..": "pdir"}.get(found.name, found.type) if found.type == "dir" else found.type
        owner = None if found.owner is None else self._text(found.owner)
        group = None if found.group is None else self._text(found.group)
        target = None if found.target is None else self._text(found.target)
        return Entry(self._text(found.name), kind, found.size, found.mtime, found.mode, owner, group, target)

    def _text(self, text: bytes) -> str:
        return text.decode(self._encoding, "surrogateescape")

    def reject_pending(self) -> None:
        """A VMS name whose other fields never came."""
        if self.vms_name is not None:
            self.reject(self.vms_name)
            self.vms_name = None

    def reject(self, line: bytes) -> None:
        self.unparsed += 1
        if len(self.samples) < MAX_SAMPLES:
            self.samples.append(line[:SAMPLE_LENGTH].decode("utf-8", "backslashreplace"))


def parse_listing(data: Buffer, format: str = "auto", encoding: str = "utf-8", now: float | None = None) -> list[Entry]:
    reader = ListingReader(format, encoding, now)
    return reader.feed(data) + reader.finish()


def parse_mlst(lines: Sequence[str]) -> Entry:
    for line in [*lines[1:-1], *lines[:1]]:
        entry = parse_facts(line.removeprefix(" "), strict=True)
        if entry is not None:
            return entry
    raise ValueError(f"no facts in MLST reply {' / '.join(lines)[:200]!r}")


def parse_facts(line: str, *, strict: bool) -> Entry | None:
    """The entry of an MLSD line; *strict*: only if it cannot be anything else (at least one fact, ``;`` at the end)."""
    written, space, name = line.partition(" ")
    if not space or not name or (strict and not (written.endswith(";") and "=" in written)):
        return None
    facts = {}
    for fact in written.split(";"):
        key, equals, value = fact.partition("=")
        if equals and key:
            facts[key.lower()] = value
        elif fact:
            return None
    kind, target = _mlsd_type(facts.get("type"))
    size = facts.get("size", "")
    mode = facts.get("unix.mode", "")
    try:
        mtime = parse_time(facts["modify"]) if "modify" in facts else None
    except ValueError:
        mtime = None
    return Entry(
        name=name,
        type=kind,
        size=int(size) if size.isascii() and size.isdigit() and len(size) <= 19 and int(size) <= MAX_INT64 else None,
        mtime=mtime,
        mode=int(mode, 8) & 0o7777 if _OCTAL.fullmatch(mode) else None,
        owner=facts.get("unix.owner", facts.get("unix.uid")),
        group=facts.get("unix.group", facts.get("unix.gid")),
        target=target,
        facts=facts,
    )


def _mlsd_type(value: str | None) -> tuple[str, str | None]:
    if value is None:
        return "unknown", None
    lowered = value.lower()
    if lowered in ("file", "dir", "cdir", "pdir"):
        return lowered, None
    if lowered.startswith(("os.unix=slink", "os.unix=symlink")):
        return "link", value.partition(":")[2] or None
    return "other", None


def _number(word: bytes) -> int | None:
    if not _DIGITS.fullmatch(word) or int(word) > MAX_INT64:
        return None
    return int(word)


def _month(word: bytes) -> int | None:
    return _MONTHS.get(word.removesuffix(b".").lower())


def _unix(line: bytes, tokens: list[tuple[int, int]], words: list[bytes], now: float) -> _Found | None:
    for at in range(2, len(words) - 2):
        if not words[at - 1].isdigit():
            continue
        dated = _ls_date(words, at, now)
        if dated is None:
            continue
        mtime, after = dated
        name = line[tokens[after - 1][1] + 1 :]
        if not name:
            return None
        device = words[at - 2].endswith(b",") and at > 2
        columns = words[1 : at - (2 if device else 1)]
        found = _Found(
            name=name,
            type={b"d": "dir", b"l": "link", b"-": "file"}.get(words[0][:1], "other"),
            size=None if device else _number(words[at - 1]),
            mtime=mtime,
            mode=_mode(words[0]),
            owner=columns[1] if len(columns) > 1 else None,
            group=b" ".join(columns[2:]) if len(columns) > 2 else None,
        )
        if found.type == "link":
            link, arrow, target = name.partition(b" -> ")
            if arrow and link:
                found.name, found.target = link, target
        return found
    return None


def _ls_date(words: list[bytes], at: int, now: float) -> tuple[float | None, int] | None:
    """The time that begins at word *at* and the number of the word after it; None if it is not a date."""
    iso = _ISO_DATE.fullmatch(words[at])
    if iso:
        clock = _CLOCK.fullmatch(words[at + 1])
        if not clock:
            return None
        zone = bool(clock[4]) and len(words) > at + 2 and bool(_ZONE.fullmatch(words[at + 2]))
        mtime = _moment(int(iso[1]), int(iso[2]), int(iso[3]), clock)
        if zone and mtime is not None:
            offset = int(words[at + 2][1:3]) * 3600 + int(words[at + 2][3:]) * 60
            mtime -= -offset if words[at + 2].startswith(b"-") else offset
        return mtime, at + (3 if zone else 2)
    month, day = _month(words[at]), _DAY_NUMBER.fullmatch(words[at + 1])
    if month is None or day is None:
        month, day = _month(words[at + 1]), _DAY_NUMBER.fullmatch(words[at])
        if month is None or day is None:
            return None
    clock = _CLOCK.fullmatch(words[at + 2])
    if clock:
        return _recent(month, int(day[1]), clock, now), at + 3
    if _YEAR.fullmatch(words[at + 2]):
        return _moment(int(words[at + 2]), month, int(day[1]), None), at + 3
    return None


def _moment(year: int, month: int, day: int, clock: re.Match[bytes] | None) -> float | None:
    hour, minute, second = (int(clock[1]), int(clock[2]), int(clock[3] or 0)) if clock else (0, 0, 0)
    if not valid_date(year, month, day) or hour > 23 or minute > 59 or second > 60:
        return None
    return epoch(year, month, day, hour, minute, second)


def _recent(month: int, day: int, clock: re.Match[bytes], now: float) -> float | None:
    """A date without a year: the last one that is not more than a day ahead."""
    this_year = time.gmtime(min(max(now, 0.0), 253402300799.0)).tm_year
    for year in range(this_year + 1, this_year - 8, -1):
        mtime = _moment(year, month, day, clock)
        if mtime is not None and mtime <= now + DAY:
            return mtime
    return None


def _mode(permissions: bytes) -> int:
    mode = 0
    for position, letter in enumerate(permissions[1:10]):
        bit = 0o400 >> position
        if letter in b"rwxst":
            mode |= bit
        if position % 3 == 2 and letter in b"sStTlL":
            mode |= 0o4000 >> position // 3
    return mode


def _netware(line: bytes, tokens: list[tuple[int, int]], words: list[bytes], now: float) -> _Found | None:
    for at in range(3, len(words) - 2):
        dated = _ls_date(words, at, now) if words[at - 1].isdigit() else None
        if dated is not None:
            name = line[tokens[dated[1] - 1][1] :].lstrip(b" ")
            kind = "dir" if words[0] == b"d" else "file"
            owner = words[at - 2] if at > 3 else None
            return _Found(name, kind, _number(words[at - 1]), dated[0], owner=owner) if name else None
    return None


def _eplf(line: bytes) -> _Found | None:
    facts, tab, name = line[1:].partition(b"\t")
    if not tab or not name:
        return None
    found = _Found(name, "unknown")
    for fact in facts.split(b","):
        letter, value = fact[:1], fact[1:]
        if letter == b"/":
            found.type = "dir"
        elif letter == b"r":
            found.type = "file"
        elif letter == b"s":
            found.size = _number(value)
        elif letter == b"m":
            seconds = _number(value)
            found.mtime = None if seconds is None else float(seconds)
        elif fact.startswith(b"up") and _OCTAL.fullmatch(value[1:].decode("latin-1")):
            found.mode = int(value[1:], 8) & 0o7777
    return found


def _short_date(word: bytes) -> tuple[int, int, int] | None:
    """Year, month, day of ``MM-DD-YY``, ``MM-DD-YYYY``, ``YYYY-MM-DD`` or, where only that makes sense, day first."""
    found = _SHORT_DATE.fullmatch(word)
    if not found:
        return None
    first, second, third = int(found[1]), int(found[3]), int(found[4])
    if len(found[1]) == 4 or first > 31:
        year, month, day, written = first, second, third, found[1]
    else:
        year, month, day, written = third, first, second, found[4]
        if month > 12 or found[2] == b".":
            month, day = day, month
    if len(written) == 2:
        year += 1900 if year >= 70 else 2000
    return year, month, day


def _short_time(date: tuple[int, int, int], clock: re.Match[bytes], half: bytes | None) -> float | None:
    hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[:1] in b"pP" else 0)
    if not valid_date(*date) or hour > 23 or minute > 59 or second > 60:
        return None
    return epoch(*date, hour, minute, second)


def _dos(line: bytes, tokens: list[tuple[int, int]], words: list[bytes]) -> _Found | None:
    date = _short_date(words[0])
    clock = _DOS_CLOCK.fullmatch(words[1]) if date and len(words) > 2 else None
    if date is None or clock is None:
        return None
    at, half = 2, clock[4]
    if not half and words[2].upper() in (b"AM", b"PM"):
        at, half = 3, words[2]
    if len(words) < at + 2:
        return None
    mtime = _short_time(date, clock, half)
    kind = words[at].upper()
    if kind in (b"<DIR>", b"<JUNCTION>", b"<SYMLINKD>", b"<SYMLINK>"):
        name = line[tokens[at + 1][0] :]
        if kind == b"<DIR>":
            return _Found(name, "dir", mtime=mtime)
        link, bracket, target = name.partition(b" [")
        if bracket and link and target.endswith(b"]"):
            return _Found(link, "link", mtime=mtime, target=target[:-1])
        return _Found(name, "link", mtime=mtime)
    size = words[at].replace(b",", b"")
    if not size.isdigit():
        return None
    return _Found(line[tokens[at][1] + 1 :], "file", _number(size), mtime)


def _os2(line: bytes, tokens: list[tuple[int, int]], words: list[bytes]) -> _Found | None:
    if not words[0].isdigit():
        return None
    for at in range(1, min(4, len(words) - 2)):
        date = _short_date(words[at])
        clock = _DOS_CLOCK.fullmatch(words[at + 1]) if date else None
        if date is None or clock is None:
            continue
        kind = "dir" if b"DIR" in words[1:at] else "file"
        return _Found(line[tokens[at + 2][0] :], kind, _number(words[0]), _short_time(date, clock, clock[4]))
    return None


def _as400(line: bytes, tokens: list[tuple[int, int]], words: list[bytes]) -> _Found | None:
    if len(words) < 6 or not words[1].isdigit() or not words[4].startswith(b"*"):
        return None
    date, clock = _short_date(words[2]), _DOS_CLOCK.fullmatch(words[3])
    if date is None or clock is None:
        return None
    name = line[tokens[5][0] :]
    directory = name.endswith(b"/") or words[4] in (b"*DIR", b"*LIB", b"*FLR", b"*DDIR")
    mtime = _short_time(date, clock, None)
    name = name.removesuffix(b"/")
    return _Found(name, "dir" if directory else "file", _number(words[1]), mtime, owner=words[0]) if name else None


def _is_vms_name(word: bytes) -> bool:
    name, semicolon, version = word.rpartition(b";")
    return bool(semicolon and name and b"." in name) and version.isdigit()


def _vms(name: bytes, words: list[bytes]) -> _Found | None:
    """*words* are those after the name: size in blocks, date, time, [owner], (permissions)."""
    if len(words) < 3 or not words[0][:1].isdigit():
        return None
    date = _VMS_DATE.fullmatch(words[1])
    clock = _CLOCK.fullmatch(words[2])
    month = _month(date[2]) if date else None
    if date is None or month is None or clock is None:
        return None
    base = name.rpartition(b";")[0]
    directory = base.upper().endswith(b".DIR")
    owner = words[3][1:-1] if len(words) > 3 and words[3][:1] == b"[" and words[3][-1:] == b"]" else None
    mtime = _moment(int(date[3]), month, int(date[1]), clock)
    return _Found(base[:-4] if directory else base, "dir" if directory else "file", mtime=mtime, owner=owner)
