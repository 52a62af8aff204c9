"""Between our server and an application: writes down what the application raises, and what its views note.

Also the programme that serves. Whoever asks for ``/seen`` gets what was written down since it was last asked for, as
soon as no WebSocket view is running.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

__all__ = ("Observer", "note")

_notes: list[str] = []


def note(text: str) -> None:
    """Write down what a view has found out."""
    _notes.append(text)


class Observer:
    """An ASGI application around another one.

    Args:
        app: the other one.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._running = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a connection."""
        if scope["type"] == "http" and scope["path"] == "/seen":
            await self._tell(send)
        elif scope["type"] == "websocket":
            self._running += 1
            try:
                await self._app(scope, receive, send)
            except Exception as error:
                note(f"raised {type(error).__name__}: {error}")
                raise
            finally:
                self._running -= 1
        else:
            await self._app(scope, receive, send)

    async def _tell(self, send: Any) -> None:
        if self._running:
            status, body = 503, b""
        else:
            status, body = 200, json.dumps(_notes).encode()
            _notes.clear()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    # The module of the same name that applications import from.
    from autobahnlike.asgi import run
    from tests.hosting.bocadillo import observer

    module, loop = sys.argv[1:]
    run(observer.Observer(importlib.import_module(module).app), listen="127.0.0.1:0", loop=loop)
