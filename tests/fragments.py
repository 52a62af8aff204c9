"""``python -m tests.fragments LOOP``: runs the pieces of programmes that the documentation shows.

Reads a list of them from standard input, as JSON, and writes a list of what went wrong with each, None for nothing. A
piece may use the names that a reader has imported at that point. Then each of its server protocols is served and talked
to, and each of its client protocols connects to an echo server.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from autobahnlike import exception

PATIENCE = 20.0


class Loop:
    """One of the two modules that applications import, and how it listens and connects."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.websocket: Any = importlib.import_module(f"autobahnlike.{name}.websocket")

    async def listen(self, factory: Any) -> tuple[int, Callable[[], Awaitable[object]]]:
        """Listen on a free port of the loopback interface. Returns the port and what ends it."""
        if self.name == "twisted":
            from twisted.internet import reactor
            from twisted.internet.defer import maybeDeferred

            listening: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
            return listening.getHost().port, lambda: maybeDeferred(listening.stopListening)
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)

        async def stop() -> None:
            server.close()

        return server.sockets[0].getsockname()[1], stop

    async def connect(self, factory: Any, port: int) -> Any:
        """Connect to a port of the loopback interface. Returns the protocol."""
        if self.name == "twisted":
            from twisted.internet import endpoints, reactor

            return await endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(factory)
        return (await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port))[1]

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that blocks."""
        if self.name == "twisted":
            from twisted.internet.threads import deferToThread

            return await deferToThread(function, *arguments)
        return await asyncio.to_thread(function, *arguments)

    def run(self, main: Callable[[], Any]) -> None:
        """Run until a coroutine function is done."""
        if self.name == "twisted":
            from twisted.internet.defer import Deferred
            from twisted.internet.task import react

            react(lambda reactor: Deferred.fromCoroutine(main()).addTimeout(PATIENCE, reactor))
        else:
            asyncio.run(asyncio.wait_for(main(), PATIENCE))


def fetch(port: int) -> bytes:
    """What a server answers to a plain GET."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(65536), b""))


async def talk(loop: Loop, server_factory: Any, client_factory: Any) -> None:
    """Serve, ask for the page, connect, say something, and close from the client unless something closes sooner."""
    port, stop = await loop.listen(server_factory)
    page = await loop.in_thread(fetch, port)
    assert page.startswith(b"HTTP/1.1 200 OK\r\n"), page
    client = await loop.connect(client_factory, port)
    await client.is_open
    for message in (b"[1, 2, 3]", b"\x00\xff", bytes(100_000)):
        if client.state == client.STATE_OPEN:
            client.sendMessage(message, message[0] == 0)
    if client.state == client.STATE_OPEN:
        client.sendClose(1000)
    await client.is_closed
    assert client.wasClean, client.wasNotCleanReason
    await server_factory.shutdown()
    await stop()


async def exercise(loop: Loop, source: str) -> None:
    """Execute a piece of a programme, and put its protocols to use."""
    websocket = loop.websocket
    factory = websocket.WebSocketServerFactory()
    names = {name: getattr(websocket, name) for name in websocket.__all__}
    names |= {name: getattr(exception, name) for name in exception.__all__}
    names |= {"factory": factory}
    known = set(names)
    exec(compile(source, "<piece>", "exec"), names)

    class Echo(websocket.WebSocketServerProtocol):  # type: ignore[misc, name-defined]
        def onConnect(self, request: Any) -> str | None:
            return request.protocols[0] if request.protocols else None

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.sendMessage(payload, isBinary)

    # Clients take part with the options that a piece gives to a factory of its own, and with a request that it admits.
    client_factory = names.get("client_factory") or websocket.WebSocketClientFactory(
        "ws://localhost/", protocols=["chat.v1"], headers={"Cookie": "session=abc"}, origin="https://www.example.com"
    )
    used = False
    for name in names.keys() - known:
        made = names[name]
        if isinstance(made, type) and issubclass(made, websocket.WebSocketServerProtocol):
            names["factory"].protocol = made
            used = True
        elif isinstance(made, type) and issubclass(made, websocket.WebSocketClientProtocol):
            client_factory.protocol = made
    if not used:
        names["factory"].protocol = Echo
    await talk(loop, names["factory"], client_factory)


def main(name: str) -> None:
    """Run all pieces, and write what went wrong."""
    loop = Loop(name)
    problems: list[str | None] = []
    pieces: list[str] = json.load(sys.stdin)
    # What a piece prints is for the reader.
    output, sys.stdout = sys.stdout, sys.stderr
    logged: list[str] = []
    listen_to_logs(name, logged)

    async def run_all() -> None:
        for piece in pieces:
            logged.clear()
            try:
                await exercise(loop, piece)
            except Exception:
                problems.append(traceback.format_exc())
            else:
                problems.append("\n".join(logged) or None)
        json.dump(problems, output)
        output.flush()

    loop.run(run_all)


def listen_to_logs(name: str, logged: list[str]) -> None:
    """Have every error that is logged appended to a list."""
    if name == "twisted":
        from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
        from zope.interface import implementer

        @implementer(ILogObserver)
        def observe(event: Any) -> None:
            if event.get("log_level", LogLevel.info) >= LogLevel.error:
                failure = event.get("log_failure")
                logged.append(f"{formatEvent(event)}\n{failure.getTraceback() if failure else ''}")

        globalLogPublisher.addObserver(observe)
    else:

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                logged.append(self.format(record))

        logging.getLogger().addHandler(Handler(logging.ERROR))


if __name__ == "__main__":
    main(sys.argv[1])
