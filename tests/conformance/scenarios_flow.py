"""Flow control in both directions: nobody has to hold without end what somebody else does not take."""

from __future__ import annotations

from typing import Any

import pytest

from autobahnlike.exception import Disconnected
from tests.conformance.kit import Kit
from tests.conformance.peers import RawPeer
from tests.conformance.registry import TWISTED, scenario
from tests.wire.helpers import BINARY, CLOSE, PING, PONG, TEXT

MIB = 1024 * 1024

# What the kernel takes for two sockets on this machine, and our own buffers beside it.
BETWEEN = 24 * MIB


def numbered(number: int, size: int = 64 * 1024) -> bytes:
    return number.to_bytes(8, "big") * (size // 8)


async def send_until_stuck(kit: Kit, peer: RawPeer, limit: int = 4096) -> int:
    """Send numbered messages until the other side has stopped to read; returns how many."""
    sent = 0
    while peer.unsent < MIB:
        assert sent < limit, "it reads without end"
        peer.send_frame(BINARY, numbered(sent))
        sent += 1
        if peer.unsent >= MIB:
            # It may only be slow.
            await kit.sleep(0.1)
        await kit.turns(1)
    return sent


@scenario()
async def a_client_that_does_not_read_is_not_read_and_nothing_is_lost(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.sendMessage(payload, isBinary)
            self.note("buffered", self.bufferedAmount)

    peer = await kit.open_peer(await kit.serve(Server))
    peer.pause()
    sent = await send_until_stuck(kit, peer)
    assert sent * 64 * 1024 < BETWEEN
    assert max(amount for (amount,) in kit.server.all("buffered")) < MIB
    peer.resume()
    for number in range(sent):
        assert (await peer.read_frame()).payload == numbered(number)


@scenario()
async def a_slow_hook_stops_the_reading_and_nothing_is_lost(kit: Kit) -> None:
    released = kit.future()

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            if not kit.server.all("message"):
                await released
            self.note("message", int.from_bytes(payload[:8], "big"))

    peer = await kit.open_peer(await kit.serve(Server))
    sent = await send_until_stuck(kit, peer)
    assert sent * 64 * 1024 < BETWEEN
    kit.fire(released, None)
    await kit.server.wait("message", sent)
    assert [number for (number,) in kit.server.all("message")] == list(range(sent))


@scenario()
async def pings_are_answered_while_messages_are_read_ahead(kit: Kit) -> None:
    released = kit.future()

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.note("message", payload)
            await released

    peer = await kit.open_peer(await kit.serve(Server, readAhead=1000))
    for number in range(9):
        peer.send_frame(TEXT, b"%d" % number)
    peer.send_frame(PING, b"alive?")
    assert (await peer.read_frame()).opcode == PONG
    assert kit.server.all("message") == [(b"0",)]
    kit.fire(released, None)
    await kit.server.wait("message", 9)


@scenario()
async def drained_waits_for_the_peer_to_read(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            for number in range(200):
                self.sendMessage(numbered(number, MIB // 8), True)
                await self.drained()
                self.note("drained", self.bufferedAmount)
            self.sendClose(1000)

    peer = await kit.open_peer(await kit.serve(Server))
    peer.pause()
    peer.send_frame(TEXT, b"go!")
    await kit.server.wait("drained")
    before = -1
    while before != len(kit.server.all("drained")):
        before = len(kit.server.all("drained"))
        await kit.sleep(0.1)
    assert before < 200, "it did not wait"
    assert max(amount for (amount,) in kit.server.all("drained")) < MIB
    peer.resume()
    for number in range(200):
        assert (await peer.read_frame()).payload == numbered(number, MIB // 8)
    assert (await peer.read_frame()).opcode == CLOSE


@scenario()
async def drained_is_done_at_once_when_there_is_nothing_to_wait_for(kit: Kit) -> None:
    protocol = await kit.pair()
    assert await kit.within(protocol.drained(), "nothing to wait for") is None
    protocol.sendMessage(b"little")
    await kit.within(protocol.drained(), "little to wait for")
    assert protocol.bufferedAmount == 0


@scenario()
async def drained_fails_when_the_connection_is_lost(kit: Kit) -> None:
    protocol, peer = await kit.accept_client()
    await kit.within(protocol.is_open, "an open connection")
    peer.pause()
    protocol.sendMessage(bytes(15 * MIB), True)
    assert protocol.bufferedAmount > MIB
    waiting = protocol.drained()
    await kit.sleep(0.05)
    peer.abort()
    for future in (waiting, None):
        with pytest.raises(Disconnected):
            await kit.within(future or protocol.drained(), "a failure")
        await kit.client.wait("close")
    assert protocol.bufferedAmount == 0


@scenario()
async def a_peer_that_takes_nothing_is_dropped_when_too_much_was_sent_to_it(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            while self.state == self.STATE_OPEN:
                self.sendMessage(bytes(MIB), True)
                self.note("buffered", self.bufferedAmount)

    peer = await kit.open_peer(await kit.serve(Server, maxSendQueueSize=4 * MIB), wait=False)
    peer.pause()
    told = await kit.server.wait("close")
    assert "peer did not take what was sent" in told[2]
    assert max(amount for (amount,) in kit.server.all("buffered")) < 7 * MIB


@scenario()
async def a_peer_that_does_not_read_is_dropped_by_keepalive(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.sendMessage(bytes(15 * MIB), True)

    where = await kit.serve(Server, autoPingInterval=0.05, autoPingTimeout=0.1)
    peer = await kit.open_peer(where)
    peer.pause()
    told = await kit.server.wait("close")
    assert "ping timeout" in told[2]


@scenario()
async def ten_thousand_messages_stay_in_order(kit: Kit) -> None:
    class Client(kit.Client):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            for number in range(10000):
                self.sendMessage(b"%d" % number)

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.sendMessage(payload, isBinary)

    await kit.connect(kit.client_factory(Client), await kit.serve(Server))
    await kit.client.wait("message", 10000)
    assert [payload for payload, _ in kit.client.all("message")] == [b"%d" % number for number in range(10000)]


@scenario()
async def prepared_messages_go_to_all_kinds_of_connections(kit: Kit) -> None:
    for options in ({}, {"perMessageCompressionAccept": lambda offers: None}, {"autoFragmentSize": 3}):

        class Server(kit.Server):  # type: ignore[misc, name-defined]
            def onOpen(self) -> None:
                self.sendPreparedMessage(self.factory.prepareMessage(b"prepared"))
                self.sendPreparedMessage(self.factory.prepareMessage(b"plain", isBinary=True, doNotCompress=True))

        kit.client.events.clear()
        await kit.connect(kit.client_factory(), await kit.serve(Server, **options))
        await kit.client.wait("message", 2)
        assert kit.client.all("message") == [(b"prepared", False), (b"plain", True)]
    client, peer = await kit.accept_client()
    await kit.within(client.is_open, "an open connection")
    client.sendPreparedMessage(client.factory.prepareMessage(b"masked"))
    got = await peer.read_frame()
    assert (got.payload, got.masked) == (b"masked", True)


@scenario(*TWISTED)
async def an_application_may_register_a_producer_of_its_own(kit: Kit) -> None:
    from twisted.internet.interfaces import IPushProducer
    from zope.interface import implementer

    @implementer(IPushProducer)
    class Producer:
        """Sends while it is not paused, as twisted.protocols.basic.FileSender and relays do."""

        def __init__(self, protocol: Any) -> None:
            self.protocol = protocol
            self.is_paused = False
            self.sent = 0

        def run(self) -> None:
            while not self.is_paused and self.sent < 400:
                self.protocol.sendMessage(numbered(self.sent), True)
                self.sent += 1
            if self.sent == 400:
                self.protocol.transport.unregisterProducer()
                self.protocol.note("finished")
                self.protocol.sendMessage(b"finished", True)

        def pauseProducing(self) -> None:
            self.is_paused = True
            self.protocol.note("paused")

        def resumeProducing(self) -> None:
            self.is_paused = False
            self.run()

        def stopProducing(self) -> None:
            self.is_paused = True

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            producer = Producer(self)
            self.transport.registerProducer(producer, True)
            producer.run()

    peer = await kit.open_peer(await kit.serve(Server))
    for round_of in (1, 2):
        peer.send_frame(TEXT, b"go!")
        for number in range(400):
            assert (await peer.read_frame()).payload == numbered(number)
        assert (await peer.read_frame()).payload == b"finished"
        assert len(kit.server.all("finished")) == round_of
    assert kit.server.all("paused")


@scenario(*TWISTED)
async def a_relay_of_producers_paces_a_fast_sender(kit: Kit) -> None:
    """The way of a transit relay: each transport is the producer of the other."""
    where_out, accepted = await kit.listen_raw()

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            if payload == b"relay":
                outgoing = self.outgoing
                outgoing._transport.registerProducer(self.transport, True)
                self.transport.registerProducer(outgoing._transport, True)
                self.note("relaying")
            else:
                self.outgoing.send(payload)

    peer = await kit.open_peer(await kit.serve(Server))
    Server.outgoing = await kit.open_raw(where_out)
    sink = await accepted()
    sink.pause()
    peer.send_frame(TEXT, b"relay")
    await kit.server.wait("relaying")
    sent = await send_until_stuck(kit, peer)
    assert sent * 64 * 1024 < 2 * BETWEEN
    sink.resume()
    await kit.until(lambda: len(sink.received) == sent * 64 * 1024, "all of it")
    assert bytes(sink.received) == b"".join(map(numbered, range(sent)))
