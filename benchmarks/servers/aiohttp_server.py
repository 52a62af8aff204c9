"""aiohttp."""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from benchmarks.servers.common import HOST, Arguments, run

clients: set[web.WebSocketResponse] = set()


async def send(connection: web.WebSocketResponse, opcode: WSMsgType, payload: str | bytes) -> None:
    """Send a message."""
    if isinstance(payload, str):
        await connection.send_str(payload)
    else:
        await connection.send_bytes(payload)


async def serve(arguments: Arguments) -> object:
    """Listen."""

    async def handler(request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse(compress=arguments.deflate, max_msg_size=16 << 20)
        await connection.prepare(request)
        clients.add(connection)
        try:
            async for message in connection:
                if arguments.broadcast:
                    await asyncio.gather(*(send(client, message.type, message.data) for client in clients))
                else:
                    await send(connection, message.type, message.data)
        finally:
            clients.discard(connection)
        return connection

    application = web.Application()
    application.router.add_get("/", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, arguments.port).start()
    return runner


if __name__ == "__main__":
    run(serve)
