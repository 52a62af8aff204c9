"""What has to be the same on every loop, and whether or not the socket was left to the session."""

from __future__ import annotations

import gc
import random
import socket
from typing import Any

import pytest

from autobahnlike.websocket.compress import PerMessageDeflateOfferAccept
from autobahnlike.wire.messages import FRAMES_PER_TURN
from autobahnlike.wire.state import State
from tests.wire.helpers import CONTINUATION, PONG, RSV1, TEXT, Frame, deflate

from .direct_endings import BROKE_OFF, ENDINGS, Doing
from .direct_kit import PATIENCE, Arena, Noting, Peer, Visit, client_frame, descriptors

AT_ONCE, NEVER = 1, 10**9


def warm_up(monkeypatch: pytest.MonkeyPatch, reads: int) -> None:
    """Have connections go direct after so many reads."""
    monkeypatch.setattr("autobahnlike.websocket.session._WARM_UP", reads)


def traffic(random_source: random.Random, messages: int) -> tuple[list[Frame], bytes]:
    """Messages of all kinds: what they are, and as a client sends them."""
    expected, wire = [], []
    for _ in range(messages):
        size = random_source.choice([0, 1, 5, 125, 126, 300, 1000, 4000])
        if random_source.random() < 0.004:
            size = random_source.randrange(60_000, 300_000)
        opcode = random_source.choice([TEXT, 2])
        payload = random_source.randbytes(size)
        if opcode == TEXT:
            payload = ("ä€" + payload.hex()).encode()[: len("ä€".encode()) + size]
        expected.append(Frame(opcode, payload))
        cut = random_source.randrange(len(payload) + 1)
        if random_source.random() < 0.1:
            wire += [
                client_frame(opcode, payload[:cut], fin=False),
                client_frame(PONG, b"unasked"),
                client_frame(CONTINUATION, payload[cut:]),
            ]
        else:
            wire.append(client_frame(opcode, payload))
    return expected, b"".join(wire)


def wait_for(visit: Visit, gates: list[Any], number: int) -> None:
    """Wait until a hook waits."""
    visit.until(lambda: len(gates) > number)


def open_gate(visit: Visit, session: Any, gate: Any) -> None:
    """Let a hook go on."""
    visit.ask(lambda: session.loop.txaio.resolve(gate, None))


class Scenarios:
    """The tests."""

    def test_a_warm_connection_goes_direct(self, arena: Arena) -> None:
        seen: list[bool] = []

        def script(visit: Visit) -> None:
            peer = visit.open()
            for number in range(20):
                peer.echo(b"%d" % number * number)
                seen.append(visit.is_direct())

        arena.serve(script)
        # The opening handshake was a read and a write, and so is each message.
        assert seen == [False] * 6 + [True] * 14
        assert arena.ended == [BROKE_OFF]
        assert arena.errors == []

    @pytest.mark.parametrize("name", ENDINGS)
    def test_the_end_is_the_same(self, arena: Arena, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        for reads in (AT_ONCE, NEVER):
            warm_up(monkeypatch, reads)
            fresh = arena.another()
            seen.append(ENDINGS[name].happens(fresh))
        assert seen[0] == seen[1], seen

    @pytest.mark.slow
    @pytest.mark.parametrize("reads", [AT_ONCE, 8])
    def test_everything_arrives_in_order(self, arena: Arena, reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
        warm_up(monkeypatch, reads)
        source = random.Random(6455)
        expected, wire = traffic(source, 10_000)

        def script(visit: Visit) -> None:
            peer = visit.open()
            position = 0
            received: list[Frame] = []
            server = visit.server()
            while position < len(wire):
                size = source.choice([1, 100, 5000, 70_000, 300_000])
                peer.send(wire[position : position + size])
                position += size
                # Never more on the way than the buffers of the system take.
                whole = visit.ask(lambda: server._session.connection.reader.messages)
                while len(received) < whole:
                    received.append(peer.frame())
            while len(received) < len(expected):
                received.append(peer.frame())
            assert visit.is_direct()
            assert received == expected

        arena.serve(script)
        assert arena.errors == []

    def test_compressed(self, arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
        warm_up(monkeypatch, AT_ONCE)
        codec = deflate(False)
        source = random.Random(7692)
        payloads = [source.randbytes(50) * source.randrange(5000) for _ in range(50)]

        def accept(offers: list[Any]) -> Any:
            return PerMessageDeflateOfferAccept(offers[0])

        def script(visit: Visit) -> None:
            peer = visit.open("Sec-WebSocket-Extensions: permessage-deflate\r\n")
            for payload in payloads:
                peer.send(client_frame(2, codec.compress(payload, True), rsv=RSV1))
                answer = peer.frame()
                assert answer.rsv == RSV1
                assert codec.decompress(answer.payload, True, 0) == payload
            assert visit.is_direct()

        arena.serve(script, perMessageCompressionAccept=accept)
        assert arena.errors == []

    def test_more_frames_than_one_turn_takes(self, arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
        warm_up(monkeypatch, AT_ONCE)
        count = 3 * FRAMES_PER_TURN

        def script(visit: Visit) -> None:
            peer = visit.open()
            peer.send(client_frame(2) * count, client_frame(2, b"last"))
            assert [peer.payload() for _ in range(count)] == [b""] * count
            assert peer.payload() == b"last"

        arena.serve(script)
        assert arena.errors == []

    @pytest.mark.parametrize("reads", [AT_ONCE, 8])
    def test_a_peer_that_does_not_read(self, arena: Arena, reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
        warm_up(monkeypatch, reads)
        sizes = [100, 5000, 70_000, 20_000]
        most: list[int] = []

        def script(visit: Visit) -> None:
            peer = visit.open(receive_buffer=4096)
            for number in range(10):
                peer.echo(b"%d" % number)
            server = visit.server()
            session = server._session
            assert visit.is_direct()
            for _ in range(2):
                sent = self._send_until_it_stops(visit, peer, session, sizes)
                most.append(visit.ask(lambda: server.bufferedAmount + session.connection.buffered))
                for number in range(sent):
                    assert peer.payload() == number.to_bytes(4, "big") * (sizes[number % 4] // 4)
                peer.echo(b"between")

        arena.serve(script, writeBufferHighWater=65536)
        # The high-water mark, one more write, one message and one read.
        assert min(most) > 65536
        assert max(most) < 1_000_000
        assert arena.errors == []

    def _send_until_it_stops(self, visit: Visit, peer: Peer, session: Any, sizes: list[int]) -> int:
        """Send numbered messages until the server does not read any more, and the last one is whole; count them."""
        sent = 0
        waiting = b""
        peer.sock.setblocking(False)
        while True:
            if not waiting:
                size = sizes[sent % 4]
                waiting = client_frame(2, sent.to_bytes(4, "big") * (size // 4))
                sent += 1
            try:
                waiting = waiting[peer.sock.send(waiting) :]
            except BlockingIOError:
                if not visit.ask(lambda: session.connection.wants_read):
                    break
        peer.sock.settimeout(PATIENCE)
        peer.send_meanwhile(waiting)
        return sent

    def test_an_application_that_waits_until_all_is_taken(self, arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
        warm_up(monkeypatch, AT_ONCE)
        most = 0

        class Flooding(Noting):
            async def onMessage(self, payload: bytes, isBinary: bool) -> None:
                nonlocal most
                app: Any = self
                for number in range(100):
                    app.sendMessage(number.to_bytes(4, "big") * 25_000, True)
                    most = max(most, app.bufferedAmount)
                    await app.drained()
                app.sendMessage(b"done")

        def script(visit: Visit) -> None:
            peer = visit.open(receive_buffer=4096)
            peer.message(b"go")
            server = visit.server()
            # The hook is stuck.
            visit.until(lambda: server.bufferedAmount > 0)
            for number in range(100):
                assert peer.payload() == number.to_bytes(4, "big") * 25_000
            assert peer.payload() == b"done"
            assert visit.is_direct()

        arena.serve(script, Flooding)
        assert most <= 65536 + 262_144 + 100_010
        assert arena.errors == []

    def test_a_hook_that_takes_its_time(self, arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
        warm_up(monkeypatch, AT_ONCE)
        gates: list[Any] = []

        class Slow(Noting):
            async def onMessage(self, payload: bytes, isBinary: bool) -> None:
                app: Any = self
                if payload == b"wait":
                    gates.append(app._session.loop.txaio.create_future())
                    await gates[-1]
                app.sendMessage(payload, isBinary)

        def script(visit: Visit) -> None:
            peer = visit.open()
            server = visit.server()
            for number in range(3):
                peer.message(b"wait")
                wait_for(visit, gates, number)
                for _ in range(10):
                    peer.message(bytes(10_000))
                visit.until(lambda: not server._session.connection.wants_read)
                assert visit.ask(lambda: server._session.connection.buffered) < 100_000
                open_gate(visit, server._session, gates[-1])
                assert peer.payload() == b"wait"
                assert [peer.payload() for _ in range(10)] == [bytes(10_000)] * 10
            assert visit.is_direct()

        arena.serve(script, Slow, readAhead=20_000)
        assert arena.errors == []

    def test_a_hook_that_is_busy_when_the_peer_goes(self, arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
        warm_up(monkeypatch, AT_ONCE)
        gates: list[Any] = []

        class Slow(Noting):
            async def onMessage(self, payload: bytes, isBinary: bool) -> None:
                app: Any = self
                self.events.append(payload)
                gates.append(app._session.loop.txaio.create_future())
                await gates[-1]

        def script(visit: Visit) -> None:
            peer = visit.open()
            peer.send(client_frame(2, b"one"), client_frame(2, b"two"))
            visit.until(lambda: len(gates) == 1)
            server = visit.server()
            session = server._session
            peer.reset()
            visit.until(lambda: session.connection.state is State.CLOSED)
            for number in (0, 1):
                wait_for(visit, gates, number)
                open_gate(visit, session, gates[number])
            assert visit.outcome() == BROKE_OFF
            assert server.events == [b"one", b"two"]

        arena.serve(script, Slow)
        assert arena.errors == []

    def test_no_descriptor_is_left(self, arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
        warm_up(monkeypatch, AT_ONCE)
        names = [name for name in ENDINGS if "large" not in name and ENDINGS[name].hooks is Doing]

        def script(visit: Visit) -> None:
            for round_ in range(3):
                for name in names:
                    peer = visit.open()
                    peer.echo(b"first")
                    ENDINGS[name].script(visit, peer)
                    peer.close()
                visit.until(lambda: not arena.living())
                visit.until(lambda: True)
                counts.append(visit.ask(descriptors))
                assert len(arena.ended) == (round_ + 1) * len(names)

        counts: list[int] = []
        arena.serve(script, Doing)
        assert counts[0] == counts[1] == counts[2]
        assert arena.errors == []
        gc.collect()

    def test_nothing_is_written_to_who_has_the_descriptor_next(
        self, arena: Arena, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        warm_up(monkeypatch, AT_ONCE)
        taken: list[socket.socket] = []

        class Late(Doing):
            def late(self) -> None:
                """Called when the connection is lost, and our own methods do not know yet."""
                taken.extend(end for _ in range(8) for end in socket.socketpair())
                self.sendMessage(b"late")  # type: ignore[attr-defined]

            def connectionLost(self, reason: Any) -> None:
                self.late()
                super().connectionLost(reason)  # type: ignore[misc]

            def connection_lost(self, exc: Any) -> None:
                self.late()
                super().connection_lost(exc)  # type: ignore[misc]

        def script(visit: Visit) -> None:
            peer = visit.open()
            peer.echo(b"first")
            peer.reset()
            assert visit.outcome() == BROKE_OFF

        arena.serve(script, Late)
        assert taken
        for sock in taken:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
        for sock in taken:
            sock.close()
        assert arena.errors == []

    @pytest.mark.parametrize("where", ["class", "instance"])
    def test_not_where_the_application_wants_what_was_read(
        self, arena: Arena, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        warm_up(monkeypatch, AT_ONCE)
        name = "data_received" if hasattr(arena.server_protocol, "data_received") else "dataReceived"
        original: Any = getattr(arena.server_protocol, name)
        reads: list[int] = []

        def received(protocol: Any, data: bytes) -> None:
            reads.append(len(data))
            original(protocol, data)

        class Reading(Noting):
            def __init__(self) -> None:
                super().__init__()
                if where == "instance":
                    setattr(self, name, lambda data: received(self, data))

        if where == "class":
            setattr(Reading, name, received)

        def script(visit: Visit) -> None:
            peer = visit.open()
            for number in range(20):
                peer.echo(b"%d" % number)
            assert not visit.is_direct()

        arena.serve(script, Reading)
        assert len(reads) > 20
        assert arena.errors == []

    def test_not_where_octets_are_logged(self, arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
        warm_up(monkeypatch, AT_ONCE)

        def script(visit: Visit) -> None:
            peer = visit.open()
            for number in range(20):
                peer.echo(b"%d" % number)
            assert not visit.is_direct()

        arena.serve(script, type("Logging", (Noting,), {"logOctets": True}))
        assert arena.errors == []

    def test_an_error_that_is_no_exception_ends_the_connection(
        self, arena: Arena, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Odd(BaseException):
            """What no handler of exceptions catches."""

        class Failing(Noting):
            def onMessage(self, payload: bytes, isBinary: bool) -> Any:
                if payload == b"fail":
                    raise Odd
                super().onMessage(payload, isBinary)

        def script(visit: Visit) -> None:
            peer = visit.open()
            peer.echo(b"first")
            peer.send(client_frame(2, b"fail"), client_frame(2, b"behind"))
            peer.end()
            assert visit.outcome() == BROKE_OFF

        # Transports do the same where they read; not that of Twisted's asyncio reactor, which leaves it half dead.
        warm_up(monkeypatch, AT_ONCE)
        arena.serve(script, Failing)
        assert arena.errors
