"""Servers written with the API of websockets, which picows offers as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.servers.common import HOST, Arguments, run

__all__ = ("run_with",)

clients: set[Any] = set()


async def echo(connection: Any) -> None:
    """Send every message back."""
    async for message in connection:
        await connection.send(message)


def run_with(listen: Callable[..., Any], broadcast: Callable[[Any, Any], object]) -> None:
    """Run the server for ever.

    Args:
        listen: the library's ``serve``.
        broadcast: its ``broadcast``.
    """

    async def to_all(connection: Any) -> None:
        clients.add(connection)
        try:
            async for message in connection:
                broadcast(clients, message)
        finally:
            clients.discard(connection)

    async def serve(arguments: Arguments) -> object:
        handler = to_all if arguments.broadcast else echo
        return await listen(handler, HOST, arguments.port, compression="deflate" if arguments.deflate else None)

    run(serve)
