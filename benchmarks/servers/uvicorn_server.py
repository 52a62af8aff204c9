"""uvicorn, with an ASGI application and the protocol that is built on the core of websockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from benchmarks.servers.common import HOST, Arguments, run

clients: set[Callable[[dict[str, Any]], Awaitable[None]]] = set()


async def serve(arguments: Arguments) -> object:
    """Serve, for ever."""

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        clients.add(send)
        while (event := await receive())["type"] == "websocket.receive":
            event["type"] = "websocket.send"
            if arguments.broadcast:
                for client in list(clients):
                    await client(event)
            else:
                await send(event)
        clients.discard(send)

    config = uvicorn.Config(
        application,
        host=HOST,
        port=arguments.port,
        ws="websockets-sansio",
        lifespan="off",
        log_level="error",
        access_log=False,
        ws_per_message_deflate=arguments.deflate,
    )
    await uvicorn.Server(config).serve()
    return None


if __name__ == "__main__":
    run(serve)
