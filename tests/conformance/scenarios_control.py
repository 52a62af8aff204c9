"""Pings and pongs, ours and the peer's."""

from __future__ import annotations

from typing import Any

from tests.conformance.kit import Kit
from tests.conformance.registry import scenario
from tests.wire.helpers import PING, PONG, TEXT, Frame


@scenario()
async def a_ping_is_answered(kit: Kit) -> None:
    where = await kit.serve()
    for payload in (b"", b"hello", bytes(125)):
        peer = await kit.open_peer(where)
        peer.send_frame(PING, payload)
        assert await peer.read_frame() == Frame(PONG, payload)
    assert "message" not in kit.server.names


@scenario()
async def who_overrides_on_ping_answers_itself(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onPing(self, payload: bytes) -> None:
            self.note("ping", payload)
            if payload != b"ignore":
                self.sendPong(payload + b"!")

    class Calling(kit.Server):  # type: ignore[misc, name-defined]
        def onPing(self, payload: bytes) -> None:
            super().onPing(payload)

    peer = await kit.open_peer(await kit.serve(Server))
    peer.send(peer.frame(PING, b"ignore"), peer.frame(PING, b"answer"))
    assert await peer.read_frame() == Frame(PONG, b"answer!")
    assert kit.server.all("ping") == [(b"ignore",), (b"answer",)]
    peer = await kit.open_peer(await kit.serve(Calling))
    peer.send_frame(PING, b"as usual")
    assert await peer.read_frame() == Frame(PONG, b"as usual")


@scenario()
async def pings_and_pongs_are_sent_and_pongs_are_told(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.sendPing(b"ours")
            self.sendPing()
            self.sendPong(b"unasked")

        def onPong(self, payload: bytes) -> None:
            self.note("pong", payload)

    peer = await kit.open_peer(await kit.serve(Server))
    got = [await peer.read_frame() for _ in range(3)]
    assert got == [Frame(PING, b"ours"), Frame(PING, b""), Frame(PONG, b"unasked")]
    peer.send(peer.frame(PONG, b"ours"), peer.frame(PONG, b"unsolicited"))
    await kit.server.wait("pong", 2)
    assert kit.server.all("pong") == [(b"ours",), (b"unsolicited",)]


@scenario()
async def pings_are_answered_while_a_slow_hook_runs(kit: Kit) -> None:
    done = kit.future()

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            await done
            self.note("done")

    peer = await kit.open_peer(await kit.serve(Server))
    peer.send_frame(TEXT, b"slow")
    peer.send_frame(PING, b"alive?")
    assert await peer.read_frame() == Frame(PONG, b"alive?")
    assert "done" not in kit.server.names
    kit.fire(done, None)
    await kit.server.wait("done")


@scenario()
async def a_silent_peer_is_dropped(kit: Kit) -> None:
    told = (
        False,
        1006,
        'connection was closed uncleanly ("WebSocket ping timeout (peer did not respond with pong in time)")',
    )
    options: dict[str, Any] = {"autoPingInterval": 0.05, "autoPingTimeout": 0.05, "autoPingSize": 20}
    peer = await kit.open_peer(await kit.serve(**options))
    ping = await peer.read_frame()
    assert (ping.opcode, len(ping.payload)) == (PING, 20)
    await peer.read_rest()
    assert await kit.server.wait("close") == told
    _, peer = await kit.accept_client(**options)
    assert (await peer.read_frame()).opcode == PING
    await peer.read_rest()
    assert await kit.client.wait("close") == told


@scenario()
async def a_peer_that_answers_pings_is_kept(kit: Kit) -> None:
    peer = await kit.open_peer(await kit.serve(autoPingInterval=0.03, autoPingTimeout=5.0))
    for _ in range(4):
        ping = await peer.read_frame()
        assert ping.opcode == PING
        peer.send_frame(PONG, ping.payload)
    assert "close" not in kit.server.names


@scenario()
async def any_traffic_is_a_sign_of_life_unless_it_is_not(kit: Kit) -> None:
    for any_traffic in (True, False):
        kit.server.events.clear()
        where = await kit.serve(autoPingInterval=0.05, autoPingTimeout=0.5, autoPingRestartOnAnyTraffic=any_traffic)
        peer = await kit.open_peer(where)
        begin = kit.now()
        while kit.now() < begin + 0.9 and not peer.is_over:
            peer.send_frame(TEXT, b"here I am")
            await kit.sleep(0.03)
        assert peer.is_over is not any_traffic


@scenario()
async def two_sides_of_ours_keep_each_other_alive(kit: Kit) -> None:
    options: dict[str, Any] = {"autoPingInterval": 0.02, "autoPingTimeout": 2.0}
    protocol = await kit.pair(**options)
    await kit.until(lambda: protocol.trafficStats.incomingOctetsWireLevel > 200, "several pings and pongs")
    assert protocol.state == protocol.STATE_OPEN
