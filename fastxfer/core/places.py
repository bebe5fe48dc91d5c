"""The hot steps of a connection pool's bookkeeping: see ``fastxfer/_ext/places.pyi``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastxfer.core._choose import select

__all__ = ["Book", "Guard", "Link", "Places", "Spin"]

if TYPE_CHECKING:
    from fastxfer._ext.places import Book, Guard, Link, Places, Spin
else:
    globals().update(select("places"))
