"""Choosing by name."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

__all__ = ("chosen",)


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """Its name."""


T = TypeVar("T", bound=Named)


def chosen(kind: str, things: Iterable[T], patterns: Sequence[str]) -> list[T]:
    """Return those of which the name fits one of the patterns.

    Args:
        kind: what they are, for the error.
        things: what there is to choose from.
        patterns: as of shells.

    Raises:
        ValueError: a pattern fits none.
    """
    everything = list(things)
    for pattern in patterns:
        if not any(fnmatch.fnmatch(thing.name, pattern) for thing in everything):
            raise ValueError(f"no {kind} is called {pattern}")
    return [thing for thing in everything if any(fnmatch.fnmatch(thing.name, pattern) for pattern in patterns)]
