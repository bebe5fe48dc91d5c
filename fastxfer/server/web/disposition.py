"""Content-Disposition for names of any kind (RFC 6266, RFC 8187)."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from urllib.parse import quote

__all__ = ["attachment"]

_ATTR_CHARS = "!#$&+-.^_`|~"


@lru_cache(maxsize=1024)
def attachment(name: str) -> str:
    """The header value that makes a browser save the body as *name*.

    Carries an ASCII fall-back and, where that differs, the exact name as ``filename*``. Nothing of the name can end
    the quoted string or the header: controls, quotes, backslashes and slashes become ``_`` in the fall-back.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    if not plain.strip(" ."):
        plain = "download"
    fallback = "".join("_" if char in '"\\/%;' or not char.isprintable() else char for char in plain)
    value = f'attachment; filename="{fallback}"'
    if fallback != name:
        value += f"; filename*=UTF-8''{quote(name.encode('utf-8', 'surrogateescape'), safe=_ATTR_CHARS)}"
    return value
