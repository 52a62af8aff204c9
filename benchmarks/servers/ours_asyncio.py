"""autobahnlike on asyncio and uvloop."""

from __future__ import annotations

import asyncio

from autobahnlike.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol
from benchmarks.servers.common import HOST, Arguments, run
from benchmarks.servers.ours import behaviour, configure


async def serve(arguments: Arguments) -> object:
    """Listen."""

    class Server(behaviour(arguments), WebSocketServerProtocol):  # type: ignore[misc]
        pass

    factory = WebSocketServerFactory()
    factory.protocol = Server
    configure(factory, arguments)
    return await asyncio.get_running_loop().create_server(factory, HOST, arguments.port)


if __name__ == "__main__":
    run(serve)
