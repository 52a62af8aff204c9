"""Reading and writing without the transport, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import ssl
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from autobahnlike.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
    connectWS,
)
from tests.conformance.certificates import authority, certificate
from tests.websocket.direct_kit import Arena, Noting, Peer, Script, Visit, client_frame, descriptors
from tests.websocket.direct_scenarios import Scenarios
from tests.wire.helpers import MASK, REQUEST, close_frame

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


class AsyncioArena(Arena):
    """An asyncio loop."""

    server_protocol = WebSocketServerProtocol
    server_factory = WebSocketServerFactory
    client_protocol = WebSocketClientProtocol
    client_factory = WebSocketClientFactory

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.loop: asyncio.AbstractEventLoop

    def another(self) -> Arena:
        return AsyncioArena(self.name)

    def in_loop(self, call: Callable[[], None]) -> None:
        self.loop.call_soon_threadsafe(call)

    def soon(self, call: Callable[[], None]) -> None:
        self.loop.call_soon(call)

    def is_direct(self, protocol: Any) -> bool:
        return bool(protocol._session.link._fd >= 0)

    def run(self, factory: Any, script: Script, **how: Any) -> None:
        with asyncio.Runner(loop_factory=LOOPS[self.name]) as runner:
            self.loop = runner.get_loop()
            self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
            runner.run(self._main(factory, script, **how))

    async def _main(self, factory: Any, script: Script, path: str = "", **how: Any) -> None:
        if path:
            server: Any = await self.loop.create_unix_server(factory, path, **how)
            address: int | str = path
        else:
            server = await self.loop.create_server(factory, "127.0.0.1", 0, **how)
            address = server.sockets[0].getsockname()[1]
        finished: asyncio.Future[BaseException | None] = self.loop.create_future()
        self.start(script, address, finished.set_result)
        failure = await finished
        server.close()
        await factory.shutdown()
        await server.wait_closed()
        if failure is not None:
            raise failure


@pytest.fixture(params=LOOPS)
def arena(request: pytest.FixtureRequest) -> Arena:
    """Where the server runs."""
    return AsyncioArena(request.param)


class TestScenarios(Scenarios):
    """Those of all loops."""


def echoes(arena: Arena, is_direct: bool, how: dict[str, Any] | None = None) -> None:
    """Have 30 messages echoed, and look whether the socket was left to the session."""

    def script(visit: Visit) -> None:
        peer = visit.open()
        for number in range(30):
            peer.echo(b"%d" % number * 1000)
        assert visit.is_direct() is is_direct
        peer.send(close_frame(1000, mask=MASK))
        peer.end()

    arena.serve(script, how=how)
    assert arena.ended == [(True, 1000, None)]
    assert arena.errors == []


def test_unix_sockets(arena: Arena) -> None:
    with tempfile.TemporaryDirectory() as folder:
        echoes(arena, True, {"path": f"{folder}/socket"})


def test_not_tls(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority().configure_trust(client)
    connect = Visit.connect

    def connect_with_tls(visit: Visit, receive_buffer: int = 0) -> Peer:
        peer = connect(visit, receive_buffer)
        peer.sock = client.wrap_socket(peer.sock, server_hostname="localhost")
        return peer

    monkeypatch.setattr(Visit, "connect", connect_with_tls)
    echoes(arena, False, {"ssl": server})


def test_not_without_a_second_descriptor(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    def dup(fd: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("autobahnlike.asyncio.loop.os.dup", dup)
    echoes(arena, False)


def test_not_when_half_of_the_descriptors_are_taken(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (8, 8))
    echoes(arena, False)


def test_when_descriptors_are_not_limited(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    echoes(arena, True)


def test_not_a_transport_of_somebody_else(arena: Arena) -> None:
    class Wrapped:
        """Passes everything on."""

        def __init__(self, transport: Any) -> None:
            self._transport = transport

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)

    class Wrapping(Noting):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(Wrapped(transport))  # type: ignore[misc]

    def script(visit: Visit) -> None:
        peer = visit.open()
        for number in range(30):
            peer.echo(b"%d" % number * 1000)
        assert not visit.is_direct()

    arena.serve(script, Wrapping)
    assert arena.errors == []


def test_a_loop_that_is_closed_leaves_no_descriptor(arena: Arena) -> None:
    """As when an application ends without closing anything."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(arena.factory(), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        sock = socket.create_connection(address)
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(20):
            writer.write(client_frame(2, b"x"))
            await reader.readexactly(3)
        assert arena.is_direct(arena.opened[0])
        server.close()
        return [server, reader, writer]

    def counted() -> int:
        loop = LOOPS[arena.name]()
        kept = loop.run_until_complete(main())
        loop.close()
        arena.opened.clear()
        arena.serving = None
        del kept, loop
        gc.collect()
        return descriptors()

    with warnings.catch_warnings():
        # The transports say that nobody has closed them, and nobody has.
        warnings.simplefilter("ignore", ResourceWarning)
        # The first loop of a process may open what the process keeps.
        assert counted() == counted()


def test_clients_go_direct_too(arena: Arena) -> None:
    async def main() -> None:
        factory = arena.factory()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        received: asyncio.Queue[bytes] = asyncio.Queue()

        class Client(WebSocketClientProtocol):
            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                received.put_nowait(payload)

        clients = WebSocketClientFactory(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        clients.protocol = Client
        _, client = await connectWS(clients)
        await client.is_open
        for number in range(30):
            payload = bytes(range(256)) * number * 50
            client.sendMessage(payload, True)
            assert await received.get() == payload
        assert arena.is_direct(client)
        assert arena.is_direct(arena.opened[0])
        client.sendClose(1000)
        await client.is_closed
        server.close()
        await factory.shutdown()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=LOOPS[arena.name]) as runner:
        runner.run(main())
    assert arena.ended == [(True, 1000, None)]


def test_a_connection_that_is_to_be_closed_reads_no_more(arena: Arena) -> None:
    """A peer that neither reads what is left for it, nor stops to send."""

    class Dropping(Noting):
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            app: Any = self
            if payload == b"drop":
                app.sendMessage(bytes(20_000_000))
                app.dropConnection()
            else:
                app.sendMessage(payload, isBinary)

    def script(visit: Visit) -> None:
        peer = visit.open(receive_buffer=4096)
        for _ in range(10):
            peer.echo(b"x")
        server = visit.server()
        assert visit.is_direct()
        peer.message(b"drop")
        visit.until(lambda: bool(server.transport.is_closing()))
        received = visit.ask(lambda: server._session.connection.octets_received)
        peer.message(bytes(100_000))
        peer.end()
        visit.outcome()
        assert server._session.connection.octets_received == received

    arena.serve(script, Dropping, maxMessagePayloadSize=0, maxSendQueueSize=0, writeBufferHighWater=1 << 30)
    assert arena.errors == []
