"""Where we differ from Bocadillo 0.18.3 on purpose, what is seen with us instead, and why."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("DIFFERENCES", "Difference")


@dataclass(frozen=True)
class Difference:
    """What is different with us.

    Attributes:
        reason: why.
        ours: what is seen.
    """

    reason: str
    ours: list[str]


DIFFERENCES: dict[str, Difference] = {}
