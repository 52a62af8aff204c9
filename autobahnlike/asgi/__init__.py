"""ASGI: a server for any application of ASGI 3, on asyncio, uvloop and every reactor of Twisted.

``run`` serves until the process is told to stop; ``autobahnlike serve module:app`` is the same from the command line.
Within a programme it is ``autobahnlike.asgi.asyncio.serve``, an asynchronous context manager, or
``autobahnlike.asgi.twisted.ASGIService``, a service of Twisted. ``ServerOptions`` has what can be set.

The scopes ``http``, ``websocket`` and ``lifespan`` of the specification, version 2.5, are served, with the extension
for denial responses. WebSockets are ours (``autobahnlike.websocket``), HTTP/1.1 is h11's.

An application runs as a task where there is a loop of asyncio. On the other reactors of Twisted it is driven without
one: what it awaits must come from ``receive`` and ``send``, or be Deferreds, as it is with applications made with
``autobahnlike.app``. One that needs asyncio is told so, and needs the asyncio reactor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autobahnlike.asgi.errors import ClientDisconnected, LifespanFailed
from autobahnlike.asgi.options import ServerOptions

if TYPE_CHECKING:
    from autobahnlike.asgi.runner import run

__all__ = ("ClientDisconnected", "LifespanFailed", "ServerOptions", "run")


def __getattr__(name: str) -> Any:
    # Not before it is asked for: it needs h11, and what needs only the names above does not.
    if name == "run":
        from autobahnlike.asgi.runner import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
