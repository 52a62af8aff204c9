"""Use that is not as intended, but common: what Autobahn's users do, and it works there."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import dataclasses
import gc
import weakref
from typing import Any

import pytest

from autobahnlike.websocket.interfaces import IWebSocketChannel
from tests.conformance.kit import Kit
from tests.conformance.peers import Listener
from tests.conformance.registry import ASYNCIO, TWISTED, scenario
from tests.wire.helpers import TEXT


async def echoes(kit: Kit, where: Listener) -> None:
    """A client gets its message back."""
    peer = await kit.open_peer(where)
    peer.send_frame(TEXT, b"hello")
    assert (await peer.read_frame()).payload == b"hello"
    peer.send_close(1000)
    assert await peer.read_close() == (1000, "")
    await peer.read_rest()


def echo_class(kit: Kit) -> Any:
    class Server(kit.websocket.WebSocketServerProtocol):  # type: ignore[misc, name-defined]
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.sendMessage(payload, isBinary=isBinary)

    return Server


@scenario()
async def a_protocol_whose_init_does_not_call_ours(kit: Kit) -> None:
    class Server(echo_class(kit)):  # type: ignore[misc]
        def __init__(self) -> None:
            self.mine = 1

    await echoes(kit, await kit.serve(Server))


@scenario()
async def a_factory_whose_init_does_not_call_ours(kit: Kit) -> None:
    class Factory(kit.websocket.WebSocketServerFactory):  # type: ignore[misc, name-defined]
        protocol = echo_class(kit)

        def __init__(self) -> None:
            self.mine = 1

    factory = Factory()
    kit.factories.append(factory)
    await echoes(kit, await kit.listen(factory))


@scenario()
async def a_protocol_that_is_any_callable(kit: Kit) -> None:
    server = echo_class(kit)

    class WithArguments(server):  # type: ignore[misc, valid-type]
        def __init__(self, argument: int) -> None:
            super().__init__()
            self.argument = argument

    await echoes(kit, await kit.serve(lambda: WithArguments(5)))


@scenario()
async def a_protocol_that_is_a_dataclass(kit: Kit) -> None:
    @dataclasses.dataclass
    class Server(echo_class(kit)):  # type: ignore[misc]
        mine: int = 1

    await echoes(kit, await kit.serve(Server))


@scenario()
async def a_protocol_with_slots_and_attributes_of_its_own(kit: Kit) -> None:
    class Server(echo_class(kit)):  # type: ignore[misc]
        def onConnect(self, request: Any) -> None:
            self.name = "x"
            self.data = b"y"
            self.send = self.sendMessage

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.send(payload, isBinary)

    await echoes(kit, await kit.serve(Server))


@scenario(*TWISTED)
async def a_factory_whose_build_protocol_only_sets_the_factory(kit: Kit) -> None:
    server = echo_class(kit)

    class Factory(kit.websocket.WebSocketServerFactory):  # type: ignore[misc, name-defined]
        def buildProtocol(self, address: Any) -> Any:
            made = server()
            made.factory = self
            return made

    factory = Factory()
    kit.factories.append(factory)
    await echoes(kit, await kit.listen(factory))


@scenario(*ASYNCIO)
async def a_factory_whose_call_only_sets_the_factory(kit: Kit) -> None:
    server = echo_class(kit)

    class Factory(kit.websocket.WebSocketServerFactory):  # type: ignore[misc, name-defined]
        def __call__(self) -> Any:
            made = server()
            made.factory = self
            return made

    factory = Factory()
    kit.factories.append(factory)
    await echoes(kit, await kit.listen(factory))


@scenario(*TWISTED)
async def overridden_methods_of_twisted_that_call_ours(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            super().connectionMade()
            self.note("made")

        def dataReceived(self, data: bytes) -> None:
            self.note("data")
            super().dataReceived(data)

        def connectionLost(self, reason: Any) -> None:
            self.note("lost")
            super().connectionLost(reason)

    peer = await kit.open_peer(await kit.serve(Server))
    peer.close()
    await kit.server.wait("close")
    assert kit.server.names == ["made", "data", "connect", "open", "lost", "close"]


@scenario(*TWISTED)
async def a_connection_lost_that_does_not_call_ours_costs_only_its_own_on_close(kit: Kit) -> None:
    left: list[weakref.ref[Any]] = []

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def connectionLost(self, reason: Any) -> None:
            left.append(weakref.ref(self))
            self.note("lost")

    # Keepalive finds out that there is nobody any more.
    factory = kit.server_factory(Server, autoPingInterval=0.02, autoPingTimeout=0.02)
    peer = await kit.open_peer(await kit.listen(factory))
    peer.close()
    await kit.server.wait("lost")
    await kit.until(lambda: bool(gc.collect()) and left[0]() is None, "the protocol is garbage")
    assert kit.server.names == ["connect", "open", "lost"]
    await kit.within(factory.shutdown(), "a shutdown")


@scenario(*TWISTED)
async def a_reconnecting_client_factory(kit: Kit) -> None:
    from twisted.internet.protocol import ReconnectingClientFactory

    from tests.conformance.kit_twisted import reactor

    class Client(kit.Client):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.factory.resetDelay()
            self.note("open")
            self.sendClose(1000)

    class Factory(kit.websocket.WebSocketClientFactory, ReconnectingClientFactory):  # type: ignore[misc, name-defined]
        protocol = Client
        initialDelay = 0.01
        noisy = False

        def clientConnectionLost(self, connector: Any, reason: Any) -> None:
            self.retry(connector)

    class OtherOrder(ReconnectingClientFactory, kit.websocket.WebSocketClientFactory):  # type: ignore[misc, name-defined]
        protocol = Client
        initialDelay = 0.01
        noisy = False

        def __init__(self, *args: Any) -> None:
            kit.websocket.WebSocketClientFactory.__init__(self, *args)

    where = await kit.serve()
    for kind in (Factory, OtherOrder):
        kit.client.events.clear()
        factory = kind("ws://localhost")
        kit.factories.append(factory)
        connector = reactor.connectTCP(where.host, where.port, factory)
        await kit.client.wait("open", 2)
        factory.stopTrying()
        connector.disconnect()
    kit.take_errors()


@scenario()
async def a_channel_is_what_the_interface_says(kit: Kit) -> None:
    from zope.interface.verify import verifyObject

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.note("is a channel", bool(verifyObject(IWebSocketChannel, self)))

    await kit.open_peer(await kit.serve(Server))
    assert kit.server.all("is a channel") == [(True,)]


@scenario()
async def one_factory_may_listen_in_several_places(kit: Kit) -> None:
    factory = kit.server_factory(echo_class(kit))
    places = [await kit.listen(factory) for _ in range(3)]
    for where in places:
        await echoes(kit, where)


@scenario()
async def arguments_are_called_what_they_are_called_in_autobahn(kit: Kit) -> None:
    protocol, peer = await kit.accept_client()
    await kit.client.wait("open")
    # The name of long ago
    with pytest.raises(TypeError):
        protocol.sendMessage(b"old", binary=True)
    for payload in (bytearray(b"bytearray"), memoryview(b"memoryview")):
        protocol.sendMessage(payload=payload, isBinary=True, fragmentSize=4, sync=True, doNotCompress=True)
        got = b""
        while len(got) < len(payload):
            got += (await peer.read_frame()).payload
        assert got == bytes(payload)
    protocol.sendPing(payload=b"x")
    protocol.sendPong(payload=b"y")
    protocol.sendClose(code=3000, reason="z")
    assert [(await peer.read_frame()).payload for _ in range(3)] == [b"x", b"y", b"\x0b\xb8z"]
    protocol.dropConnection(abort=True)
