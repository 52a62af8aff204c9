"""The end of a connection: what ``onClose`` is told, once and last, and what comes after it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from autobahnlike.exception import Disconnected, InvalidArgument, LocalProtocolError
from tests.conformance.kit import Kit
from tests.conformance.registry import scenario
from tests.wire.helpers import BINARY, CLOSE, CONTINUATION, TEXT

BOTH = (False, True)


def unclean(why: str) -> tuple[bool, int, str]:
    return False, 1006, f'connection was closed uncleanly ("{why}")'


PEER_DROPPED = unclean("peer dropped the TCP connection without previous WebSocket closing handshake")


async def told_at_the_end(kit: Kit) -> tuple[Any, ...]:
    """What the server's onClose was told; it was the last hook, and called once."""
    told = await kit.server.wait("close")
    await kit.turns()
    assert kit.server.names.count("close") == 1
    assert kit.server.names[-1] == "close"
    kit.server.events.clear()
    return told


@scenario()
async def the_peer_closes(kit: Kit) -> None:
    for fail_by_drop in BOTH:
        where = await kit.serve(failByDrop=fail_by_drop)
        for sent, told in (
            ((1000, b"bye"), (True, 1000, "bye")),
            ((None, b""), (True, None, None)),
            ((1001, b""), (True, 1001, None)),
            ((4000, "é".encode()), (True, 4000, "é")),
        ):
            peer = await kit.open_peer(where)
            peer.send_close(*sent)
            assert await peer.read_close() == (1000, "")
            # "the server MUST close the underlying TCP connection" first (RFC 6455, section 7.1.1).
            assert await peer.read_rest() == b""
            assert await told_at_the_end(kit) == told


@scenario()
async def the_answer_repeats_code_and_reason_if_asked_to(kit: Kit) -> None:
    where = await kit.serve(echoCloseCodeReason=True)
    for sent, answer in (((1001, b"away"), (1001, "away")), ((None, b""), (None, ""))):
        peer = await kit.open_peer(where)
        peer.send_close(*sent)
        assert await peer.read_close() == answer


@scenario()
async def we_close_and_the_peer_answers(kit: Kit) -> None:
    for fail_by_drop in BOTH:
        for sent, seen in (
            ((), (None, "")),
            ((1000,), (1000, "")),
            ((1001, "away"), (1001, "away")),
            ((3000, "grün"), (3000, "grün")),
            ((1011, "x" * 200), (1011, "x" * 123)),
        ):

            class Server(kit.Server):  # type: ignore[misc, name-defined]
                def onOpen(self, sent: Any = sent) -> None:
                    self.sendClose(*sent)

            peer = await kit.open_peer(await kit.serve(Server, failByDrop=fail_by_drop))
            assert await peer.read_close() == seen
            peer.send_close(4321, b"mine")
            assert await peer.read_rest() == b""
            assert await told_at_the_end(kit) == (True, 4321, "mine")


@scenario()
async def we_close_and_the_peer_does_not_answer(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.sendClose(1000)

    for fail_by_drop in BOTH:
        peer = await kit.open_peer(await kit.serve(Server, failByDrop=fail_by_drop, closeHandshakeTimeout=0.05))
        await peer.read_close()
        await peer.read_rest()
        assert await told_at_the_end(kit) == unclean(
            "WebSocket closing handshake timeout (peer did not finish the closing handshake in time)"
        )
        peer = await kit.open_peer(await kit.serve(Server, failByDrop=fail_by_drop))
        await peer.read_close()
        peer.close()
        assert await told_at_the_end(kit) == PEER_DROPPED


@scenario()
async def the_peer_vanishes(kit: Kit) -> None:
    where = await kit.serve()
    for end in ("close", "abort"):
        peer = await kit.open_peer(where)
        await kit.server.wait("open")
        getattr(peer, end)()
        assert await told_at_the_end(kit) == PEER_DROPPED


@scenario()
async def the_application_ends_the_transport(kit: Kit) -> None:
    transports = []

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            transports.append(self.transport)

    peer = await kit.open_peer(await kit.serve(Server))
    (transport,) = transports
    (transport.close if hasattr(transport, "close") else transport.loseConnection)()
    assert await peer.read_rest() == b""
    assert await told_at_the_end(kit) == PEER_DROPPED


@scenario()
async def the_application_drops_the_connection(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.sendMessage(b"last words")
            self.dropConnection(abort=payload == b"abort")

    where = await kit.serve(Server)
    for how in (b"abort", b"close"):
        peer = await kit.open_peer(where)
        peer.send(peer.frame(TEXT, how), peer.frame(TEXT, b"ignored"))
        rest = await peer.read_rest()
        assert how == b"abort" or rest == b"\x81\x0alast words"
        assert await told_at_the_end(kit) == unclean("None")


VIOLATIONS: dict[str, Any] = {
    "reserved bits": ((TEXT, b"", {"rsv": 3}), 1002),
    "a reserved opcode": ((3, b"", {}), 1002),
    "no mask": ((TEXT, b"", {"mask": None}), 1002),
    "a continuation of nothing": ((CONTINUATION, b"", {}), 1002),
    "text that is not UTF-8": ((TEXT, b"\xff", {}), 1007),
    "a message too big": ((BINARY, bytes(1001), {}), 1009),
}


@scenario()
async def the_peer_violates_the_protocol_and_is_told(kit: Kit) -> None:
    where = await kit.serve(failByDrop=False, maxMessagePayloadSize=1000)
    for what, ((opcode, payload, details), code) in VIOLATIONS.items():
        peer = await kit.open_peer(where)
        peer.send_frame(opcode, payload, **details)
        sent = await peer.read_close()
        assert sent[0] == code, what
        assert sent[1], "it says why"
        peer.send_close(code)
        assert await peer.read_rest() == b""
        told = await told_at_the_end(kit)
        assert told == (True, code, None), (what, told)


@scenario()
async def the_peer_violates_the_protocol_and_is_dropped_if_so_desired(kit: Kit) -> None:
    where = await kit.serve(failByDrop=True, maxMessagePayloadSize=1000)
    for what, ((opcode, payload, details), _) in VIOLATIONS.items():
        peer = await kit.open_peer(where)
        peer.send_frame(opcode, payload, **details)
        assert await peer.read_rest() == b"", what
        told = await told_at_the_end(kit)
        assert told[:2] == (False, 1006)
        assert "I dropped the WebSocket TCP connection: " in told[2], what


@scenario()
async def the_peer_sends_a_close_frame_that_may_not_be(kit: Kit) -> None:
    gentle, harsh = await kit.serve(failByDrop=False), await kit.serve(failByDrop=True)
    for payload, code, told in (
        (b"\x03\xed", 1002, (True, 1000, None)),
        (b"\x03", 1002, (True, None, None)),
        (b"\x03\xe8\xff", 1007, (True, 1000, None)),
    ):
        peer = await kit.open_peer(gentle)
        peer.send_frame(CLOSE, payload)
        assert (await peer.read_close())[0] == code
        assert await told_at_the_end(kit) == told
        peer = await kit.open_peer(harsh)
        peer.send_frame(CLOSE, payload)
        assert await peer.read_rest() == b""
        assert (await told_at_the_end(kit))[:2] == (False, 1006)


@scenario()
async def nothing_behind_a_close_frame_is_delivered(kit: Kit) -> None:
    peer = await kit.open_peer(await kit.serve())
    peer.send(peer.frame(CLOSE, b"\x03\xe8"), peer.frame(TEXT, b"too late"))
    await kit.server.wait("close")
    assert kit.server.names == ["connect", "open", "close"]


@scenario()
async def what_is_sent_after_our_close_is_refused_and_what_is_received_is_delivered(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.sendClose(1000)
            self.sendClose(4000, "ignored")
            self.sendPing(b"ignored")
            self.try_to_send()

        def try_to_send(self) -> None:
            for send in (
                self.sendMessage,
                lambda payload: self.sendPreparedMessage(self.factory.prepareMessage(payload)),
            ):
                try:
                    send(b"too late")
                except Disconnected:
                    self.note("refused")

        def onClose(self, *told: Any) -> None:
            self.try_to_send()
            self.sendPing()
            self.sendClose()
            self.dropConnection()
            super().onClose(*told)

    peer = await kit.open_peer(await kit.serve(Server))
    peer.send_frame(TEXT, b"on its way")
    assert await peer.read_close() == (1000, "")
    peer.send_close(1000)
    assert await peer.read_rest() == b""
    await kit.server.wait("close")
    assert kit.server.names == ["connect", "refused", "refused", "message", "refused", "refused", "close"]


@scenario()
async def what_may_not_be_sent_is_refused_and_the_connection_lives_on(kit: Kit) -> None:
    protocol, peer = await kit.accept_client()
    await kit.client.wait("open")
    for method, arguments in (
        (protocol.sendClose, (1005,)),
        (protocol.sendClose, (999,)),
        (protocol.sendClose, (5000,)),
        (protocol.sendClose, ("1000",)),
        (protocol.sendClose, (None, "a reason")),
        (protocol.sendClose, (1000, b"bytes")),
        (protocol.sendPing, (bytes(126),)),
        (protocol.sendPong, (bytes(126),)),
        (protocol.sendMessage, ("text",)),
    ):
        with pytest.raises(InvalidArgument):
            method(*arguments)
    protocol.sendMessage(b"alive")
    assert (await peer.read_frame()).payload == b"alive"


@scenario()
async def closing_during_the_opening_handshake_is_refused(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onConnect(self, request: Any) -> None:
            for call in (self.sendClose, lambda: self.sendMessage(b"")):
                try:
                    call()
                except LocalProtocolError as error:
                    self.note("refused", isinstance(error, Disconnected))

    await kit.open_peer(await kit.serve(Server))
    assert kit.server.all("refused") == [(False,), (True,)]


@scenario()
async def a_client_waits_for_the_server_to_end_the_connection(kit: Kit) -> None:
    protocol, peer = await kit.accept_client(serverConnectionDropTimeout=0.05)
    await kit.client.wait("open")
    protocol.sendClose(1000)
    await peer.read_close()
    peer.send_close(1000)
    assert await peer.read_rest() == b""
    assert await kit.client.wait("close") == unclean(
        "WebSocket closing handshake timeout (server did not drop TCP connection in time)"
    )


@scenario()
async def a_client_that_was_closed_does_not_wait_for_ever(kit: Kit) -> None:
    _, peer = await kit.accept_client(serverConnectionDropTimeout=0.05)
    await kit.client.wait("open")
    peer.send_close(1000, b"bye")
    await peer.read_close()
    assert await peer.read_rest() == b""
    assert await kit.client.wait("close") == (True, 1000, "bye")


@scenario()
async def both_sides_of_ours_close_cleanly(kit: Kit) -> None:
    for closing in ("client", "server"):
        kit.client.events.clear()
        kit.server.events.clear()

        class Server(kit.Server):  # type: ignore[misc, name-defined]
            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                self.sendClose(3333, "server")

        protocol = await kit.pair(Server)
        if closing == "client":
            protocol.sendClose(4444, "client")
        else:
            protocol.sendMessage(b"close!")
        told = {"client": (True, 4444, "client"), "server": (True, 3333, "server")}[closing]
        answered = (True, 1000, None)
        assert await kit.server.wait("close") == (told if closing == "client" else answered)
        assert await kit.client.wait("close") == (told if closing == "server" else answered)
        assert protocol.wasClean is True
        assert protocol.state == protocol.STATE_CLOSED


@scenario()
async def the_states_of_a_connection(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onConnect(self, request: Any) -> None:
            self.note("state", self.state == self.STATE_CONNECTING)

        def onOpen(self) -> None:
            self.note("state", self.state == self.STATE_OPEN)
            self.sendClose(1000, "enough")
            self.note("state", self.state == self.STATE_CLOSING)
            self.note("local", self.localCloseCode, self.localCloseReason, self.remoteCloseCode)

        def onClose(self, *told: Any) -> None:
            self.note("state", self.state == self.STATE_CLOSED)
            self.note("remote", self.remoteCloseCode, self.remoteCloseReason, self.wasClean, self.wasNotCleanReason)
            super().onClose(*told)

    fresh = Server()
    assert fresh.state == fresh.STATE_CLOSED
    peer = await kit.open_peer(await kit.serve(Server))
    await peer.read_close()
    peer.send_close(4001, b"yes")
    await kit.server.wait("close")
    assert kit.server.all("state") == [(True,)] * 4
    assert kit.server.all("local") == [(1000, "enough", None)]
    assert kit.server.all("remote") == [(4001, "yes", True, None)]


@scenario()
async def a_protocol_is_garbage_when_its_connection_is_over(kit: Kit) -> None:
    dead: list[weakref.ref[Any]] = []

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            dead.append(weakref.ref(self))
            self.note("open")

    class Client(kit.Client):  # type: ignore[misc, name-defined]
        onOpen = Server.onOpen

    where = await kit.serve(Server)
    for ending, count in (("clean", 1), ("unclean", 2)):
        client = await kit.connect(kit.client_factory(Client), where)
        await kit.within(client.is_open, "an open connection")
        await kit.server.wait("open", count)
        if ending == "clean":
            client.sendClose(1000)
        else:
            client.dropConnection(abort=True)
        await kit.server.wait("close", count)
        await kit.client.wait("close", count)
        del client
    await kit.turns(10)
    gc.collect()
    assert [reference() for reference in dead] == [None] * 4


@scenario()
async def every_connection_has_a_protocol_of_its_own(kit: Kit) -> None:
    made = []

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            made.append(self)

    where = await kit.serve(Server)
    for _ in range(3):
        peer = await kit.open_peer(where)
        peer.send_close(1000)
        await peer.read_rest()
    assert len(set(map(id, made))) == 3


@scenario()
async def a_shutdown_says_1001_refuses_with_503_and_drops_who_does_not_answer(kit: Kit) -> None:
    factory = kit.server_factory()
    where = await kit.listen(factory)
    polite, stubborn = [await kit.open_peer(where) for _ in range(2)]
    opening = await kit.open_raw(where)
    opening.send(b"GET / HTTP/1.1\r\n")
    await kit.until(lambda: factory.countConnections == 3, "three connections")
    done = factory.shutdown(timeout=1)
    assert await opening.read_rest() == b""
    assert (await polite.read_close())[0] == 1001
    assert (await stubborn.read_close())[0] == 1001
    polite.send_close(1001)
    assert await polite.read_rest() == b""
    late = await kit.open_peer(where, wait=False)
    assert (await late.read_rest()).startswith(b"HTTP/1.1 503 ")
    assert not stubborn.is_over
    await kit.within(done, "the end of the shutdown")
    assert await stubborn.read_rest() == b""
    assert factory.countConnections == 0
    assert sorted(kit.server.all("close"), key=str) == sorted(
        [
            unclean("None"),
            (True, 1001, None),
            unclean("the server is shutting down"),
            unclean("None"),
        ],
        key=str,
    )


@scenario()
async def a_shutdown_of_clients_closes_them(kit: Kit) -> None:
    protocol = await kit.pair()
    await kit.within(protocol.factory.shutdown(), "the end of the shutdown")
    assert await kit.server.wait("close") == (True, 1001, None)
    assert kit.client.all("close") == [(True, 1000, None)]


@scenario()
async def a_shutdown_waits_for_an_async_on_close(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onClose(self, *told: Any) -> None:
            await kit.turns(20)
            self.note("closed")

    protocol = await kit.pair(Server)
    await kit.within(kit.factories[0].shutdown(), "the end of the shutdown")
    assert kit.server.names[-1] == "closed"
    assert protocol.state != protocol.STATE_OPEN
