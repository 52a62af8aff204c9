"""Autobahn on asyncio."""

from __future__ import annotations

import asyncio

from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol

from benchmarks.servers.autobahn_common import configure, make_protocol
from benchmarks.servers.common import HOST, Arguments, run


async def serve(arguments: Arguments) -> object:
    """Listen."""
    loop = asyncio.get_running_loop()
    factory = WebSocketServerFactory(f"ws://{HOST}:{arguments.port}", loop=loop)
    factory.protocol = make_protocol(WebSocketServerProtocol, arguments)
    configure(factory, arguments)
    return await loop.create_server(factory, HOST, arguments.port)


if __name__ == "__main__":
    run(serve)
