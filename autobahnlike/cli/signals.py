"""Ending on Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

__all__ = ("on_first_signal",)


def on_first_signal(stop: Callable[[], object]) -> None:
    """Call a function on the first SIGINT or SIGTERM; the second one ends the process at once.

    ``signal.signal`` and not ``loop.add_signal_handler``, which Windows does not have.

    Args:
        stop: has to be safe to be called at any time, as ``loop.call_soon_threadsafe`` is.
    """
    signals = (signal.SIGINT, signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_DFL)
        stop()

    for each in signals:
        signal.signal(each, handle)
