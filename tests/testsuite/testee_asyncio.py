"""The testee on asyncio and uvloop, made with the public API only."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from autobahnlike.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from tests.testsuite.testee import case_url, main

if TYPE_CHECKING:
    from collections.abc import Callable


class EchoServer(WebSocketServerProtocol):
    """Send every message back."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class EchoClient(WebSocketClientProtocol):
    """Send every message back; remember the last one, and tell when the connection has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.last = b""
        self.ended = asyncio.get_running_loop().create_future()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.last = payload
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.ended.set_result(None)


class Listener(EchoClient):
    """Send nothing back."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.last = payload


async def visit(url: str, protocol: type[EchoClient]) -> bytes:
    """Connect, stay until the connection ends, and return the last message.

    Args:
        url: where to connect.
        protocol: what to do there.
    """
    factory = WebSocketClientFactory(url)
    factory.protocol = protocol
    _, connection = await asyncio.get_running_loop().create_connection(factory, factory.host, factory.port)
    assert isinstance(connection, EchoClient)
    await connection.ended
    return connection.last


async def run_client(url: str, agent: str) -> None:
    """Run every case that a fuzzing server has.

    Args:
        url: the fuzzing server.
        agent: the name to report under.
    """
    count = json.loads(await visit(f"{url}/getCaseCount", Listener))
    for number in range(1, count + 1):
        await visit(case_url(url, agent, number), EchoClient)
    await visit(f"{url}/updateReports?agent={agent}", Listener)


async def run_server() -> None:
    """Serve on a free port, which is printed, until the process is ended."""
    factory = WebSocketServerFactory()
    factory.protocol = EchoServer
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def loop_factory(name: str) -> Callable[[], Any] | None:
    """What makes the named loop.

    Args:
        name: "asyncio" or "uvloop".
    """
    if name == "asyncio":
        return None
    import uvloop

    return uvloop.new_event_loop


def serve(loop: str) -> None:
    """Be the server on a loop."""
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(run_server())


def connect(loop: str, url: str, agent: str) -> None:
    """Be the client on a loop."""
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(run_client(url, agent))


if __name__ == "__main__":
    main(serve, connect)
