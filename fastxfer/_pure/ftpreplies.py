"""What replies say: the parsers of ``fastxfer._pure.ftpwire`` for the text of single replies."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Sequence

_PASV = re.compile(r"(?<![0-9,])" + ",".join([r"([0-9]{1,3})"] * 6) + r"(?![0-9,])")
_EPSV = re.compile(r"\(([!-/:-~])\1\1([0-9]{1,5})\1\)")
_SIZE = re.compile(r"[ \t]*([0-9]{1,19})(?![0-9])")
_TIME = re.compile(r"[ \t]*(?:([0-9]{4})|19([0-9]{3}))([0-9]{10})(?:\.([0-9]+))?[ \t]*")
_MAX_INT64 = (1 << 63) - 1
_LATEST = 253402300799  # 9999-12-31 23:59:59


def parse_pasv(text: str) -> tuple[str, int]:
    found = _PASV.search(text)
    numbers = [int(number) for number in found.groups()] if found else []
    if not numbers or max(numbers) > 255:
        raise ValueError(f"no address in PASV reply {text[:200]!r}")
    port = numbers[4] << 8 | numbers[5]
    if not port:
        raise ValueError(f"port 0 in PASV reply {text[:200]!r}")
    return ".".join(map(str, numbers[:4])), port


def parse_epsv(text: str) -> int:
    found = _EPSV.search(text)
    port = int(found[2]) if found else 0
    if not 0 < port < 65536:
        raise ValueError(f"no port in EPSV reply {text[:200]!r}")
    return port


def parse_pwd(text: str) -> str:
    text = text.lstrip(" ")
    if not text.startswith('"'):
        path = text.partition(" ")[0]
        if not path:
            raise ValueError("no path in an empty reply")
        return path
    at = 1
    pieces = []
    while (end := text.find('"', at)) >= 0:
        pieces.append(text[at:end])
        if text[end + 1 : end + 2] != '"':
            return '"'.join(pieces)
        at = end + 2
    raise ValueError(f"the path has no closing quote: {text[:200]!r}")


def parse_size(text: str) -> int:
    found = _SIZE.match(text)
    size = int(found[1]) if found else -1
    if not 0 <= size <= _MAX_INT64:
        raise ValueError(f"no size in reply {text[:200]!r}")
    return size


def parse_time(text: str) -> float:
    found = _TIME.fullmatch(text)
    if found:
        year = int(found[1]) if found[1] else 1900 + int(found[2])
        month, day, hour, minute, second = (int(found[3][at : at + 2]) for at in range(0, 10, 2))
        if valid_date(year, month, day) and hour < 24 and minute < 60 and second <= 60:
            fraction = float("0." + found[4][:9]) if found[4] else 0.0
            return epoch(year, month, day, hour, minute, second) + fraction
    raise ValueError(f"not a time: {text[:200]!r}")


def format_time(seconds: float) -> str:
    whole = int(min(max(seconds, -62135596800), _LATEST) // 1)
    moment = time.gmtime(whole)
    return f"{moment.tm_year:04d}" + time.strftime("%m%d%H%M%S", moment)


def parse_feat(lines: Sequence[str]) -> dict[str, str]:
    features = {}
    for line in lines[1:-1]:
        name, _, parameters = line.strip(" \t").partition(" ")
        if name:
            features[name.upper()] = parameters
    return features


def valid_date(year: int, month: int, day: int) -> bool:
    return 1 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]


def epoch(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> float:
    """Seconds since 1970 of a moment in UTC."""
    return float(calendar.timegm((year, month, day, hour, minute, second)))
