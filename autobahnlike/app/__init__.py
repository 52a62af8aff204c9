"""Applications written as coroutines: WebSocket and HTTP views in the manner of Bocadillo.

::

    from autobahnlike.app import App

    app = App()

    @app.websocket_route("/echo")
    async def echo(ws):
        async for message in ws:
            await ws.send(f"You said: {message}")

An :class:`App` is an ASGI 3 application. It is served with ``autobahnlike serve module:app``, ``app.run()`` or any
other ASGI server. It needs no asyncio: on Twisted it runs on every reactor, and its views may await Deferreds there.

The names are those that users of Bocadillo import from ``bocadillo``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autobahnlike.app import status
from autobahnlike.app.application import API, App
from autobahnlike.app.errors import (
    ExpectedAsync,
    HTTPError,
    ParameterError,
    RouteDeclarationError,
    WebSocketDisconnect,
)
from autobahnlike.app.http import Middleware, Redirect
from autobahnlike.app.messages import ClientDisconnect, Request, Response, server_event
from autobahnlike.app.origin import OriginPolicy
from autobahnlike.app.providers import discover_providers, provider, useprovider
from autobahnlike.app.routing import Router
from autobahnlike.app.settings import SettingsError, configure, settings
from autobahnlike.app.static import static
from autobahnlike.app.templates import Templates
from autobahnlike.app.websocket import WebSocket

if TYPE_CHECKING:
    from autobahnlike.app.rooms import Room
    from autobahnlike.backplane import BackplaneError, BackplaneUnavailable, PublishUncertain, RoomMessageTooLarge
    from autobahnlike.testing.app import LiveServer, create_client

__all__ = (
    "API",
    "App",
    "BackplaneError",
    "BackplaneUnavailable",
    "ClientDisconnect",
    "ExpectedAsync",
    "HTTPError",
    "LiveServer",
    "Middleware",
    "OriginPolicy",
    "ParameterError",
    "PublishUncertain",
    "Redirect",
    "Request",
    "Response",
    "Room",
    "RoomMessageTooLarge",
    "RouteDeclarationError",
    "Router",
    "SettingsError",
    "Templates",
    "WebSocket",
    "WebSocketDisconnect",
    "configure",
    "create_client",
    "discover_providers",
    "provider",
    "server_event",
    "settings",
    "static",
    "status",
    "useprovider",
)


def __getattr__(name: str) -> Any:
    # For tests, not for serving.
    if name in ("LiveServer", "create_client"):
        from autobahnlike.testing import app

        return getattr(app, name)
    if name == "Room":
        from autobahnlike.app.rooms import Room

        return Room
    if name in ("BackplaneError", "BackplaneUnavailable", "PublishUncertain", "RoomMessageTooLarge"):
        from autobahnlike import backplane

        return getattr(backplane, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
