"""The blocking forms of operations: with the same signatures and documentation, run wherever a client has them run."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

__all__ = ["Place", "blocking", "iterating"]

P = ParamSpec("P")
T = TypeVar("T")
Owner = TypeVar("Owner")
Operations = TypeVar("Operations")
Operations_co = TypeVar("Operations_co", covariant=True)


class Place(Protocol[Operations_co]):
    """Where operations run."""

    @property
    def client(self) -> Operations_co:
        """Whose methods are run."""

    @property
    def piece(self) -> int:
        """As many items of an iterator are fetched at a time."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end while the calling thread waits."""


def blocking(
    place_of: Callable[[Owner], Place[Operations]],
    operation: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Owner, P], T]:
    """The blocking form of *operation*, a method for the class whose *place_of* is given."""

    @functools.wraps(operation)
    def run(self: Owner, /, *arguments: P.args, **named: P.kwargs) -> T:
        place = place_of(self)
        return place.run(operation(place.client, *arguments, **named))

    return run


def iterating(
    place_of: Callable[[Owner], Place[Operations]],
    operation: Callable[Concatenate[Operations, P], AsyncIterator[T]],
) -> Callable[Concatenate[Owner, P], Iterator[T]]:
    """The same for an iterator."""

    @functools.wraps(operation)
    def iterate(self: Owner, /, *arguments: P.args, **named: P.kwargs) -> Iterator[T]:
        place = place_of(self)
        items = operation(place.client, *arguments, **named)
        try:
            while piece := place.run(_some(items, place.piece)):
                yield from piece
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                place.run(close())

    return iterate


async def _some(items: AsyncIterator[T], most: int) -> list[T]:
    piece: list[T] = []
    async for item in items:
        piece.append(item)
        if len(piece) == most:
            break
    return piece
