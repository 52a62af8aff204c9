"""Runs a coroutine beside the one that is running, by whatever runs that one.

An ASGI application has no loop of its own. A coroutine of it is run as a task of asyncio, or by a Deferred of Twisted;
what it waits for is of the same kind. So a second coroutine has to be run in the same way as the first.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import Any

__all__ = ("start",)


def start(coroutine: Coroutine[Any, Any, None]) -> Any:
    """Run a coroutine beside the current one, if possible up to where it first has to wait.

    Args:
        coroutine: what to run; should not raise, since nobody is told.

    Returns:
        An object that must be held until the coroutine has ended, as asyncio itself does not hold its tasks.

    Raises:
        RuntimeError: neither a task of asyncio nor Twisted runs the current coroutine.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and _current_task(asyncio) is not None:
        if sys.version_info >= (3, 12):
            return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)
        return asyncio.get_running_loop().create_task(coroutine)
    defer = sys.modules.get("twisted.internet.defer")
    if defer is None:
        coroutine.close()
        raise RuntimeError("the application is run neither by a task of asyncio nor by a Deferred of Twisted")
    return defer.Deferred.fromCoroutine(coroutine)


def _current_task(asyncio: Any) -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:
        # No loop of asyncio is running in this thread.
        return None
