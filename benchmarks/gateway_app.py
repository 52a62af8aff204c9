"""The application that the nodes of :mod:`benchmarks.gateway_nodes` serve.

A client is told its id, and can have handlers send and publish; it is told what became of that.
"""

from __future__ import annotations

import os

from autobahnlike.backplane.redis import RedisBackplane
from autobahnlike.gateway import Gateway, WebsocketEvent

__all__ = ("REDIS_URL", "make_app")

REDIS_URL = "BENCHMARK_REDIS_URL"
"""The environment variable that says where Redis is."""


def make_app() -> Gateway:
    """Make the application; for ``serve --factory``."""
    app = Gateway("nodes", backplane=RedisBackplane(os.environ[REDIS_URL]))
    api = app.websocket_api

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> None:
        api.send(event.connection_id, f"id {event.connection_id}")

    @app.on_ws_disconnect()
    def disconnect(event: WebsocketEvent) -> None:
        """Nothing is to be done; that it is called is what it costs."""

    @app.on_ws_route("send")
    async def send(event: WebsocketEvent) -> None:
        asked = event.json_body
        verdict = "delivered"
        try:
            await api.send(asked["to"], asked["what"])
        except Exception as error:
            verdict = type(error).__name__
        await api.send(event.connection_id, f"verdict {asked['number']} {verdict}")

    @app.on_ws_route("send in a thread")
    def send_in_thread(event: WebsocketEvent) -> None:
        asked = event.json_body
        verdict = "delivered"
        try:
            api.send(asked["to"], asked["what"])
        except Exception as error:
            verdict = type(error).__name__
        api.send(event.connection_id, f"verdict {asked['number']} {verdict}")

    @app.on_ws_route("publish")
    async def publish(event: WebsocketEvent) -> None:
        asked = event.json_body
        verdict = "delivered"
        try:
            await app.rooms.publish(asked["to"], asked["what"])
        except Exception as error:
            verdict = type(error).__name__
        await api.send(event.connection_id, f"verdict {asked['number']} {verdict}")

    @app.on_ws_route("join")
    async def join(event: WebsocketEvent) -> None:
        await app.rooms.join(event.json_body["to"], event.connection_id)
        await api.send(event.connection_id, "verdict 0 joined")

    return app
