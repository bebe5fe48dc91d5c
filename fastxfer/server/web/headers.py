"""Headers that every answer carries, and those that tell browsers how far to trust the page."""

from __future__ import annotations

from collections.abc import MutableMapping
from http import HTTPStatus

__all__ = ["API_POLICY", "PAGE_POLICY", "secure"]

API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
"""For data: should a browser ever show it, nothing in it may run or load anything."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""For the file manager: its own files and nothing inline."""

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": API_POLICY,
    "Cache-Control": "no-store",
}


def secure(headers: MutableMapping[str, str], status: int = HTTPStatus.OK) -> None:
    """Add what is missing. The server's name is told, its version and what it is made of are not."""
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    headers["Server"] = "fastxfer"
    if status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("Vary", "X-Requested-With")
