"""No WebSocket at all: what comes goes back, which is the price of the loop itself."""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.servers.common import HOST, Arguments, run


class Echo(asyncio.Protocol):
    """Every byte goes back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Send it."""
        self.transport.write(data)


async def serve(arguments: Arguments) -> object:
    """Listen."""
    return await asyncio.get_running_loop().create_server(Echo, HOST, arguments.port)


if __name__ == "__main__":
    run(serve)
