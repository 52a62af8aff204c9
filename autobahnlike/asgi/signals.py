"""Ending on Ctrl-C and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

__all__ = ("leave_interrupts_to_the_parent", "on_first_signal")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def on_first_signal(
    stop: Callable[[], object], loop: asyncio.AbstractEventLoop | None = None, supervised: bool = False
) -> None:
    """Call a function on the first SIGINT or SIGTERM; the second one ends the process at once.

    Args:
        stop: has to be safe to be called at any time, as ``loop.call_soon_threadsafe`` is.
        loop: the asyncio loop that runs, if one does. Without its help a signal that comes just before the loop goes to
            sleep is noticed when something else wakes it; Twisted's reactors help anyway.
        supervised: whether a parent looks after the process: it sends SIGTERM, and SIGKILL where it has to be quick. A
            terminal sends SIGINT to both, which is the parent's business then.
    """
    signals = (signal.SIGTERM,) if supervised else _SIGNALS

    def first() -> None:
        for each in signals:
            if loop is not None:
                loop.remove_signal_handler(each)
            signal.signal(each, _ignore if supervised else signal.SIG_DFL)
        stop()

    if supervised:
        leave_interrupts_to_the_parent()
    if loop is not None:
        try:
            for each in signals:
                loop.add_signal_handler(each, first)
            return
        except NotImplementedError:
            # Windows
            loop = None
    for each in signals:
        signal.signal(each, lambda number, frame: first())


def leave_interrupts_to_the_parent() -> None:
    """Do nothing on SIGINT. Unlike SIG_IGN, that is not inherited by the programmes that the application starts."""
    signal.signal(signal.SIGINT, _ignore)


def _ignore(number: int, frame: object) -> None:
    pass
