"""Ending on Ctrl-C and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

__all__ = ("on_first_signal",)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def on_first_signal(stop: Callable[[], object], loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Call a function on the first SIGINT or SIGTERM; the second one ends the process at once.

    Args:
        stop: has to be safe to be called at any time, as ``loop.call_soon_threadsafe`` is.
        loop: the asyncio loop that runs, if one does. Without its help a signal that comes just before the loop goes to
            sleep is noticed when something else wakes it; Twisted's reactors help anyway.
    """

    def first() -> None:
        for each in _SIGNALS:
            if loop is not None:
                loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        stop()

    if loop is not None:
        try:
            for each in _SIGNALS:
                loop.add_signal_handler(each, first)
            return
        except NotImplementedError:
            # Windows
            loop = None
    for each in _SIGNALS:
        signal.signal(each, lambda number, frame: first())
