"""Gateways that tests serve as processes."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from autobahnlike.gateway import AWS, Gateway, WebsocketDisconnectedError, WebsocketEvent

SUBPROTOCOL = "My-Protocol"

KEYS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
"""The key of AWS's own examples, which is no secret."""

# What lets two handlers meet, each in its thread.
MEETING = threading.Barrier(2, timeout=20)


def make(**options: Any) -> Gateway:
    """Return a gateway with handlers of all kinds."""
    app = Gateway("served", **options)

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> dict[str, Any]:
        if "refuse" in (event.to_dict().get("queryStringParameters") or {}):
            return {"statusCode": 403}
        print(f"{event.connection_id} connects", flush=True)
        app.websocket_api.send(event.connection_id, event.connection_id)
        return {"headers": {"Sec-WebSocket-Protocol": SUBPROTOCOL}}

    @app.on_ws_message()
    def message(event: WebsocketEvent) -> None:
        assert threading.current_thread() is not threading.main_thread()
        app.websocket_api.send(event.connection_id, event.body or "")

    @app.on_ws_disconnect()
    def disconnect(event: WebsocketEvent) -> None:
        code = event.to_dict()["requestContext"]["disconnectStatusCode"]
        try:
            app.websocket_api.send(event.connection_id, "too late")
        except WebsocketDisconnectedError as error:
            print(f"{error.connection_id} disconnects {code}", flush=True)

    @app.on_ws_route("info", response=True)
    def info(event: WebsocketEvent) -> dict[str, Any]:
        known = app.websocket_api.info(event.connection_id)
        assert known["LastActiveAt"] >= known["ConnectedAt"]
        return {"body": json.dumps(known["Identity"])}

    @app.on_ws_route("tell")
    async def tell(event: WebsocketEvent) -> None:
        assert threading.current_thread() is threading.main_thread()
        await app.websocket_api.send(event.json_body["whom"], event.json_body["what"])

    @app.on_ws_route("close")
    def close(event: WebsocketEvent) -> None:
        app.websocket_api.close(event.connection_id, 4000, "as you wish")

    @app.on_ws_route("meet", response=True)
    def meet(event: WebsocketEvent) -> dict[str, Any]:
        MEETING.wait()
        return {"body": "met"}

    @app.on_ws_route("fail")
    def fail(event: WebsocketEvent) -> None:
        raise SystemExit("a handler does not end the server")

    @app.on_ws_route("join")
    def join(event: WebsocketEvent) -> None:
        app.rooms.join("room", event.connection_id)
        app.rooms.publish("room", f"{event.json_body['name']} is here", exclude=event.connection_id)

    @app.on_ws_route("say")
    async def say(event: WebsocketEvent) -> None:
        await app.rooms.publish("room", event.json_body["what"])

    return app


def on_redis() -> Gateway:
    """Return a gateway on the Redis that the environment names, for ``serve --factory``."""
    from autobahnlike.backplane.redis import RedisBackplane
    from autobahnlike.backplane.redis.options import RedisOptions

    options = RedisOptions(heartbeat_interval=0.2, node_timeout=1.0)
    return make(backplane=RedisBackplane(os.environ["TEST_REDIS_URL"], options=options))


app = make()
signed = make(keys=KEYS)
aws = make(limits=AWS)
