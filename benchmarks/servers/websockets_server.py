"""websockets, its asyncio implementation."""

from __future__ import annotations

from websockets.asyncio.connection import broadcast
from websockets.asyncio.server import serve

from benchmarks.servers.websockets_common import run_with

if __name__ == "__main__":
    run_with(serve, broadcast)
