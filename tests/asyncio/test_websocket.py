"""Protocols and factories on asyncio: fed by hand, and over sockets of this machine."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from autobahnlike.asyncio import websocket
from autobahnlike.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
    connectWS,
    listenWS,
)
from autobahnlike.exception import Disconnected, InvalidArgument
from tests.wire.helpers import CLOSE, MASK, REQUEST, TEXT, Frame, close_frame, frame, parse_frames

from .test_loop import Transport


class Echo(WebSocketServerProtocol):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def onOpen(self) -> None:
        self.events.append("open")

    async def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.events.append((wasClean, code, reason))


def server(**options: Any) -> tuple[Echo, Transport]:
    """An echo server on a transport that only keeps what is written."""
    factory = WebSocketServerFactory()
    factory.protocol = Echo
    factory.setProtocolOptions(**options)
    protocol = factory()
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, transport


def running(story: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that is a coroutine."""

    def test() -> None:
        asyncio.run(story())

    return test


async def a_request_and_a_message() -> None:
    protocol, transport = server()
    protocol.data_received(REQUEST)
    assert transport.data.startswith(b"HTTP/1.1 101 ")
    assert protocol.events == ["open"]
    assert protocol.peer == "tcp4:10.0.0.1:1"
    transport.data = b""
    protocol.data_received(frame(TEXT, b"hello", mask=MASK))
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    assert parse_frames(transport.data) == [Frame(TEXT, b"hello")]
    protocol.connection_lost(None)


test_a_request_and_a_message = running(a_request_and_a_message)


async def the_end() -> None:
    protocol, transport = server()
    protocol.data_received(REQUEST)
    protocol.data_received(close_frame(1000, b"bye", mask=MASK))
    assert transport.calls[-1] == "eof"
    assert protocol.eof_received() is None
    protocol.connection_lost(None)
    assert protocol.events[-1] == (True, 1000, "bye")


test_the_end = running(the_end)


async def a_transport_that_has_enough() -> None:
    protocol, transport = server()
    protocol.data_received(REQUEST)
    transport.data = b""
    protocol.pause_writing()
    protocol.sendMessage(b"waits")
    waiting = protocol.drained()
    await asyncio.sleep(0)
    assert transport.data == b""
    assert not waiting.done()
    protocol.resume_writing()
    assert parse_frames(transport.data) == [Frame(TEXT, b"waits")]
    assert await waiting is None
    protocol.connection_lost(None)


test_a_transport_that_has_enough = running(a_transport_that_has_enough)


async def what_comes_without_a_connection_is_ignored() -> None:
    protocol = WebSocketServerProtocol()
    protocol.data_received(b"x")
    protocol.pause_writing()
    protocol.resume_writing()
    protocol.connection_lost(None)
    assert protocol.state == protocol.STATE_CLOSED


test_what_comes_without_a_connection_is_ignored = running(what_comes_without_a_connection_is_ignored)


async def options_that_may_not_be_end_the_connection() -> None:
    factory = WebSocketServerFactory()
    factory.protocol = type("Server", (Echo,), {"autoPingSize": 3})
    protocol, transport = factory(), Transport()
    with pytest.raises(InvalidArgument):
        protocol.connection_made(transport)
    assert transport.calls == ["close"]
    protocol.connection_lost(None)
    assert protocol.events == []


test_options_that_may_not_be_end_the_connection = running(options_that_may_not_be_end_the_connection)


async def only_tls_is_worth_telling() -> None:
    dropped = "peer dropped the TCP connection without previous WebSocket closing handshake"
    for error, why in (
        (None, dropped),
        (ConnectionResetError(), dropped),
        (ssl.SSLError(1, "bad record mac"), f"SSL error: {ssl.SSLError(1, 'bad record mac')}"),
        (ssl.SSLCertVerificationError(1, "expired"), f"SSL error: {ssl.SSLCertVerificationError(1, 'expired')}"),
    ):
        protocol, _ = server()
        protocol.connection_lost(error)
        assert protocol.events == [(False, 1006, f'connection was closed uncleanly ("{why}")')]


test_only_tls_is_worth_telling = running(only_tls_is_worth_telling)


class TestLoops:
    def test_a_factory_is_made_before_any_loop_and_serves_one_after_the_other(self) -> None:
        factory = WebSocketServerFactory()
        factory.protocol = Echo

        async def serve() -> None:
            protocol = factory()
            protocol.connection_made(Transport())
            waiting = protocol.is_open
            protocol.data_received(REQUEST)
            await waiting
            protocol.connection_lost(None)

        for _ in range(2):
            asyncio.run(serve())

    def test_it_may_be_shut_down_on_a_loop_that_it_never_served(self) -> None:
        factory = WebSocketServerFactory()

        async def serve() -> None:
            protocol = factory()
            protocol.connection_made(Transport())
            protocol.connection_lost(None)

        async def shut_down() -> None:
            await factory.shutdown()

        asyncio.run(serve())
        asyncio.run(shut_down())

    def test_it_may_be_shut_down_from_outside_of_the_loop_that_it_has_served(self) -> None:
        factory, loop = WebSocketServerFactory(), asyncio.new_event_loop()
        server: Any
        factory.protocol = Echo
        server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0))
        client = WebSocketClientFactory()
        made = loop.create_connection(client, *server.sockets[0].getsockname())
        _, protocol = loop.run_until_complete(made)
        loop.run_until_complete(protocol.is_open)
        loop.run_until_complete(factory.shutdown())
        assert protocol.wasClean
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    def test_outside_of_any_loop_it_is_the_one_that_was_given(self) -> None:
        loop = asyncio.new_event_loop()
        for factory in (WebSocketServerFactory(loop=loop), WebSocketClientFactory(loop=loop)):
            protocol = factory()
            assert factory.loop is loop
            waiting = protocol.is_closed
            assert waiting.get_loop() is loop
            with pytest.raises(Disconnected):
                loop.run_until_complete(protocol.drained())
        loop.close()

    def test_without_any_there_is_nothing_to_wait_on(self) -> None:
        protocol = WebSocketServerFactory()()
        with pytest.raises(RuntimeError, match="no running event loop"):
            _ = protocol.is_open


class TestNoDelay:
    @pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
    @pytest.mark.parametrize("value", [True, False])
    def test_it_is_set_where_there_is_such_a_thing(self, family: int, value: bool) -> None:
        async def story() -> None:
            factory = WebSocketServerFactory()
            factory.setProtocolOptions(tcpNoDelay=value)
            with socket.socket(family) as sock:
                protocol = factory()
                protocol.connection_made(Transport(socket=sock))
                if family != socket.AF_UNIX:
                    assert bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is value
                protocol.connection_lost(None)

        asyncio.run(story())


async def exchange(server_url: str, client_url: str, **arguments: Any) -> None:
    """Listen, connect, echo and close, by ``listenWS`` and ``connectWS``."""
    ours, theirs = WebSocketServerFactory(server_url), WebSocketClientFactory(client_url)
    ours.protocol = Echo
    listening = await listenWS(ours, **arguments)
    got: asyncio.Queue[Any] = asyncio.Queue()

    class Client(WebSocketClientProtocol):
        def onOpen(self) -> None:
            self.sendMessage(b"hello")

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            got.put_nowait(payload)

    theirs.protocol = Client
    transport, protocol = await connectWS(theirs)
    assert transport is protocol.transport
    assert await got.get() == b"hello"
    protocol.sendClose(1000)
    await protocol.is_closed
    listening.close()
    await ours.shutdown()


def test_listen_ws_and_connect_ws_on_a_unix_socket() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"ws://unix:{Path(folder) / 'socket'}"
        asyncio.run(exchange(url, url))


def test_listen_ws_and_connect_ws_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        url = f"ws://127.0.0.1:{found.getsockname()[1]}"
    asyncio.run(exchange(url, url, interface="127.0.0.1", backlog=5))


@pytest.mark.parametrize("given", [None, "a context"])
def test_connect_ws_verifies_unless_told_otherwise(given: Any) -> None:
    async def story() -> None:
        seen: list[Any] = []

        async def create_connection(*arguments: Any, **keywords: Any) -> tuple[Any, Any]:
            seen.append((arguments[1:], keywords))
            return None, None

        loop: Any = asyncio.get_running_loop()
        loop.create_connection = create_connection
        await connectWS(WebSocketClientFactory("wss://example.com:444"), given, local_addr=("10.0.0.1", 0))
        expected = {"ssl": True if given is None else given, "local_addr": ("10.0.0.1", 0)}
        assert seen == [(("example.com", 444), expected)]

    asyncio.run(story())


async def connecting_takes_too_long() -> None:
    async def create_connection(*arguments: Any, **keywords: Any) -> tuple[Any, Any]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("it never ends")

    loop: Any = asyncio.get_running_loop()
    loop.create_connection = create_connection
    with pytest.raises(TimeoutError):
        await connectWS(WebSocketClientFactory("ws://example.com"), timeout=0)


test_connecting_takes_too_long = running(connecting_takes_too_long)


async def what_cannot_be_done_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="proxy"):
        await connectWS(WebSocketClientFactory(proxy={"host": "localhost", "port": 8080}))
    with pytest.raises(InvalidArgument, match="SSLContext"):
        await listenWS(WebSocketServerFactory("wss://localhost"))


test_what_cannot_be_done_is_refused = running(what_cannot_be_done_is_refused)


async def a_shutdown() -> None:
    protocol, transport = server()
    protocol.data_received(REQUEST)
    transport.data = b""
    done = protocol.factory.shutdown()
    (closing,) = parse_frames(transport.data)
    assert (closing.opcode, closing.payload) == (CLOSE, (1001).to_bytes(2, "big"))
    assert not done.done()
    protocol.data_received(close_frame(1001, mask=MASK))
    protocol.connection_lost(None)
    await done


test_a_shutdown = running(a_shutdown)


def test_defaults() -> None:
    assert WebSocketServerFactory().protocol is WebSocketServerProtocol
    assert WebSocketClientFactory().protocol is WebSocketClientProtocol
    assert all(hasattr(websocket, name) for name in websocket.__all__)
