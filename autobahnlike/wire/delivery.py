"""What was received while the application was still busy with something else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ("ReadAhead",)

# What an entry is taken to cost beside its payload.
_ENTRY = 64


class ReadAhead:
    """Calls that wait for the application, in order.

    Attributes:
        size: bytes that they hold.
    """

    __slots__ = ("_calls", "size")

    def __init__(self) -> None:
        # None when nothing waits: an empty deque would be a twelfth of an idle connection.
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] | None = None
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, size: int, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Keep a call whose arguments hold a payload of ``size`` bytes."""
        if self._calls is None:
            self._calls = deque()
        self._calls.append((call, arguments))
        self.size += size + _ENTRY

    def call_next(self) -> None:
        """Make the call that has waited longest."""
        assert self._calls is not None
        call, arguments = self._calls.popleft()
        if not self._calls:
            self._calls = None
            self.size = 0
        call(*arguments)

    def forget(self, keep: Callable[..., None] | None = None) -> None:
        """Make no call any more but those of ``keep``."""
        kept = [entry for entry in self._calls or () if keep is not None and entry[0] == keep]
        self._calls = deque(kept) if kept else None
        self.size = _ENTRY * len(kept)
