"""The scope ``websocket``, in memory: what the application may do when, and what it is told."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.defer import Deferred

from autobahnlike.app import App, Room, WebSocket
from autobahnlike.exception import InvalidArgument, PayloadExceededError
from tests.asgi.kit import disconnected, echo_view, get, hello_app, read_body, respond, websocket_app
from tests.asgi.memory import Conversation, Site, start, websocket
from tests.conformance.kit import request
from tests.wire.helpers import BINARY, CLOSE, PING, PONG, TEXT, Frame

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Receive, Scope, Send


def failures(site: Site) -> list[str]:
    """What was logged of the application, and then no more."""
    taken = [f"{type(error).__name__}: {error}" for _, error in site.loop.failures]
    site.loop.failures.clear()
    return taken


def opened(site: Site, headers: str = "") -> Conversation:
    """A client whose WebSocket is open."""
    client = websocket(site, headers=headers)
    assert client.take().startswith(b"HTTP/1.1 101 ")
    return client


class Slow:
    """An application that receives when it is told to.

    Attributes:
        received: what it was given.
    """

    def __init__(self) -> None:
        self.received: list[Any] = []
        self._gates: list[Deferred[int]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            gate: Deferred[int] = Deferred()
            self._gates.append(gate)
            for _ in range(await gate):
                self.received.append(await receive())
                if self.received[-1]["type"] == "websocket.disconnect":
                    return

    def go_on(self, count: int) -> None:
        """Receive so many events."""
        self._gates.pop().callback(count)


class TestOpening:
    @pytest.mark.parametrize(
        ("event", "error"),
        [
            (
                {"type": "websocket.send", "text": "x"},
                "RuntimeError: 'websocket.send' cannot be sent now: the application",
            ),
            ({"type": "http.response.start", "status": 200}, "RuntimeError: 'http.response.start' cannot be sent now"),
            ({"type": "websocket.accept", "headers": [(b"Sec-WebSocket-Protocol", b"a")]}, "set subprotocol instead"),
            (
                {"type": "websocket.accept", "headers": [(b"connection", b"a")]},
                "connection of websocket.accept belongs",
            ),
            ({"type": "websocket.accept", "headers": [("x", "a")]}, "TypeError: headers are pairs of bytes"),
            ({"type": "websocket.accept", "headers": [(b"x", b"a\r\nb")]}, "RuntimeError"),
            ({"type": "websocket.accept", "subprotocol": "x"}, "the subprotocol 'x' (it offers: none)"),
            ({"type": "websocket.http.response.body", "body": b""}, "RuntimeError"),
            ({"type": "websocket.http.response.start", "status": 101}, "must be from 200 to 599, not 101"),
        ],
    )
    def test_what_may_not_be_sent_is_an_error_in_the_application(self, event: dict[str, Any], error: str) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(event)

        site = Site(app)
        assert websocket(site).answer().status == 500
        (failure,) = failures(site)
        assert error in failure

    def test_it_may_go_on_after_such_an_error(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            with pytest.raises(RuntimeError):
                await send({"type": "websocket.accept", "subprotocol": "x"})
            await send({"type": "websocket.accept"})
            with pytest.raises(RuntimeError):
                await send({"type": "websocket.accept"})
            await echo_view(receive, send)

        site = Site(app)
        client = opened(site)
        client.frame(TEXT, b"x")
        assert client.frames() == [Frame(TEXT, b"x")]

    def test_a_denial_larger_than_the_bound(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.http.response.start", "status": 403})
            while True:
                await send({"type": "websocket.http.response.body", "body": bytes(100), "more_body": True})

        site = Site(app, max_denial_size=1000)
        assert websocket(site).answer().status == 500
        assert failures(site) == ["RuntimeError: the body of a response that denies a WebSocket has 1000 bytes at most"]

    def test_a_denial_that_is_not_finished(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.http.response.start", "status": 403})
            await send({"type": "websocket.http.response.body", "body": b"x", "more_body": True})

        site = Site(app)
        assert websocket(site).answer().status == 500
        assert failures(site) == ["RuntimeError: the application returned, and it has begun to send a response instead"]

    @pytest.mark.parametrize("status", [200, 302, 403, 503])
    def test_any_status_may_deny(self, status: int) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.http.response.start", "status": status, "headers": [(b"location", b"/x")]})
            await send({"type": "websocket.http.response.body"})

        site = Site(app)
        answer = websocket(site).answer()
        assert (answer.status, answer.body, answer.header("location")) == (status, b"", "/x")
        assert failures(site) == []

    def test_the_client_goes_before_the_answer(self) -> None:
        told: list[Any] = []
        answers: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            told.extend([await receive(), await receive()])
            answers.append(Deferred())
            await answers[0]
            await send({"type": "websocket.accept"})

        site = Site(app)
        client = websocket(site)
        client.lose()
        assert told[1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        answers[0].callback(None)
        # The application ends with what send raises, an OSError, and that is no error.
        assert (failures(site), client.take()) == ([], b"")

    @pytest.mark.parametrize(
        ("options", "seconds"),
        [({}, 60), ({"accept_timeout": 7}, 7), ({"websocket": {"openHandshakeTimeout": 3}}, 3)],
    )
    def test_an_answer_that_takes_too_long(self, options: dict[str, Any], seconds: float) -> None:
        told: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            told.extend([await receive(), await receive()])

        site = Site(app, **options)
        client = websocket(site)
        site.advance(seconds - 0.1)
        assert not client.is_aborted
        site.advance(0.2)
        assert client.is_aborted
        client.lose()
        assert told[1]["code"] == 1006

    def test_requests_that_are_no_handshake(self) -> None:
        asked: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            asked.append(scope)

        site = Site(app)
        head = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        assert site.connect(head + b"\r\n").answer().status == 400
        wrong = site.connect(head + b"Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        answer = wrong.answer()
        assert (answer.status, answer.header("sec-websocket-version")) == (426, "13")
        assert asked == []

    def test_the_application_is_cancelled_while_it_accepts(self) -> None:
        """It has accepted by then, and there is nobody any more: the WebSocket is closed."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            accepting = start(send({"type": "websocket.accept"}))
            accepting.addErrback(lambda _: None)

        site = Site(app)
        client = websocket(site)
        data = client.take()
        assert data.startswith(b"HTTP/1.1 101 ")
        assert data.endswith(b"\x88\x02\x03\xe8")


class TestOpen:
    def test_messages_of_every_kind(self) -> None:
        async def view(receive: Receive, send: Send) -> None:
            for data in (b"a", bytearray(b"b"), memoryview(b"c")):
                await send({"type": "websocket.send", "bytes": data})
            await send({"type": "websocket.send", "text": "grüße", "bytes": None})

        client = websocket(Site(websocket_app(view)))
        data = client.take()
        assert data.partition(b"\r\n\r\n")[2].startswith(b"\x82\x01a\x82\x01b\x82\x01c\x81\x07gr\xc3\xbc\xc3\x9fe")

    @pytest.mark.parametrize(
        ("event", "error"),
        [
            ({"type": "websocket.send", "text": b"x"}, "TypeError: the text of websocket.send must be str, not bytes"),
            ({"type": "websocket.send", "bytes": "x"}, "TypeError: the bytes of websocket.send must be bytes, not str"),
            (
                {"type": "websocket.accept"},
                "RuntimeError: 'websocket.accept' cannot be sent now: the WebSocket is open",
            ),
            ({"type": "http.response.body"}, "RuntimeError: 'http.response.body' cannot be sent now"),
            ({"type": "websocket.close", "code": 1005}, "ValueError: websocket.close: "),
            ({"type": "websocket.close", "code": 1000, "reason": b"x"}, "ValueError: websocket.close: "),
        ],
    )
    def test_what_may_not_be_sent(self, event: dict[str, Any], error: str) -> None:
        async def view(receive: Receive, send: Send) -> None:
            await send(event)

        site = Site(websocket_app(view))
        data = websocket(site).take()
        assert data.partition(b"\r\n\r\n")[2].startswith(b"\x88\x02\x03\xf3")
        assert error in failures(site)[0]

    def test_a_message_over_the_limit(self) -> None:
        errors: list[BaseException] = []

        async def view(receive: Receive, send: Send) -> None:
            try:
                await send({"type": "websocket.send", "text": "x" * 101})
            except PayloadExceededError as error:
                errors.append(error)
            await echo_view(receive, send)

        client = opened(Site(websocket_app(view), websocket={"maxMessagePayloadSize": 100}))
        assert len(errors) == 1
        client.frame(TEXT, b"x")
        assert client.frames() == [Frame(TEXT, b"x")]

    def test_a_prepared_message(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            preparer = scope["extensions"]["autobahnlike.broadcast"]
            await receive()
            await send({"type": "websocket.accept"})
            for message in ("text", b"bytes"):
                await send({"type": "websocket.send", "prepared": preparer.prepare(message)})
            await disconnected(receive)

        data = websocket(Site(app)).take()
        assert data.partition(b"\r\n\r\n")[2] == b"\x81\x04text\x82\x05bytes"

    def test_a_room_has_one_frame_for_all_its_members(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = App()
        room = Room()

        @app.websocket_route("/")
        async def view(ws: WebSocket) -> None:
            async with room.joined(ws):
                async for message in ws:
                    await room.broadcast(message)

        site = Site(app)
        prepared: list[bytes] = []
        prepare = site.server.websockets.prepareMessage

        def count(payload: bytes, is_binary: bool) -> Any:
            prepared.append(payload)
            return prepare(payload, is_binary)

        monkeypatch.setattr(site.server.websockets, "prepareMessage", count)
        clients = [opened(site) for _ in range(3)]
        clients[0].frame(TEXT, b"hello")
        assert [client.frames() for client in clients] == [[Frame(TEXT, b"hello")]] * 3
        assert prepared == [b"hello"]

    def test_an_application_that_closed_may_go_on(self) -> None:
        told: list[Any] = []

        async def view(receive: Receive, send: Send) -> None:
            await send({"type": "websocket.close"})
            with pytest.raises(RuntimeError, match="once a close message has been sent"):
                await send({"type": "websocket.send", "text": "x"})
            while not told or told[-1]["type"] != "websocket.disconnect":
                told.append(await receive())

        site = Site(websocket_app(view))
        client = websocket(site)
        client.frame(TEXT, b"sent before it knew")
        client.frame(CLOSE, b"\x03\xe8")
        client.lose()
        assert told == [
            {"type": "websocket.receive", "text": "sent before it knew"},
            {"type": "websocket.disconnect", "code": 1000, "reason": ""},
        ]
        assert failures(site) == []

    def test_the_end_is_told_where_the_application_is_not_looking(self) -> None:
        """It answers a message when the client has closed, and TCP is still there."""
        slow = Slow()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await slow(scope, receive, send)
            await send({"type": "websocket.send", "text": "too late"})

        site = Site(app)
        client = opened(site)
        client.frame(CLOSE, b"\x03\xe8")
        client.lose()
        slow.go_on(1)
        assert failures(site) == []

    def test_an_answer_after_the_close_frame_is_no_error(self) -> None:
        gate: Deferred[None] = Deferred()

        async def view(receive: Receive, send: Send) -> None:
            await gate
            await send({"type": "websocket.send", "text": "too late"})

        site = Site(websocket_app(view))
        client = opened(site)
        client.frame(CLOSE, b"\x03\xe8")
        assert client.frames() == [Frame(CLOSE, b"\x03\xe8")]
        # The TCP connection is still there.
        gate.callback(None)
        assert failures(site) == []

    def test_what_another_client_does_is_an_error_if_nobody_cares(self) -> None:
        """A chat that does not expect its other members to go has to hear of it."""
        sends: list[Any] = []
        gate: Deferred[None] = Deferred()

        async def view(receive: Receive, send: Send) -> None:
            sends.append(send)
            if len(sends) == 2:
                await gate
                await sends[0]({"type": "websocket.send", "text": "x"})
            await disconnected(receive)

        site = Site(websocket_app(view))
        first, second = opened(site), opened(site)
        first.lose()
        gate.callback(None)
        assert second.frames()[0].payload[:2] == b"\x03\xf3"
        assert failures(site) == ["ClientDisconnected: the client has disconnected"]

    def test_what_comes_when_the_application_has_returned_is_nobodys(self) -> None:
        """However much it is: the client has its closing handshake, and a clean end."""
        for error in (None, LookupError("on purpose")):

            async def view(receive: Receive, send: Send, error: Any = error) -> None:
                if error is not None:
                    raise error

            site = Site(websocket_app(view))
            client = websocket(site)
            client.take()
            for _ in range(200):
                client.frame(TEXT, bytes(1000))
            assert not client.protocol._conversation._events
            client.frame(CLOSE, b"\x03\xe8")
            assert client.link.calls == ["finish"]
            assert client.protocol.remoteCloseCode == 1000

    def test_what_comes_when_the_application_has_closed_holds_up_nothing(self) -> None:
        gate: Deferred[None] = Deferred()

        async def view(receive: Receive, send: Send) -> None:
            await send({"type": "websocket.close"})
            await gate

        client = websocket(Site(websocket_app(view)))
        for _ in range(200):
            client.frame(TEXT, bytes(1000))
        assert client.protocol._conversation._size < 70_000
        client.frame(CLOSE, b"\x03\xe8")
        assert client.link.calls == ["finish"]
        gate.callback(None)

    def test_a_receive_that_is_cancelled_loses_nothing(self) -> None:
        told: list[Any] = []

        async def view(receive: Receive, send: Send) -> None:
            for _ in range(1000):
                waiting = start(receive())
                waiting.addErrback(lambda _: None)
                waiting.cancel()
            while True:
                told.append(await receive())

        client = opened(Site(websocket_app(view)))
        assert len(client.protocol._conversation._came._waiters) == 1, "nothing is left of the thousand"
        client.frame(TEXT, b"x")
        assert told == [{"type": "websocket.receive", "text": "x"}]

    def test_two_that_receive(self) -> None:
        told: list[Any] = []

        async def view(receive: Receive, send: Send) -> None:
            async def reader() -> None:
                told.append(await receive())

            readers = [Deferred.fromCoroutine(reader()) for _ in range(2)]
            for each in readers:
                await each

        client = opened(Site(websocket_app(view)))
        client.frame(TEXT, b"a")
        client.frame(BINARY, b"b")
        assert [event.get("text") or event.get("bytes") for event in told] == ["a", b"b"]

    def test_an_endless_stream_lets_others_have_a_turn(self) -> None:
        sent: list[int] = []

        async def view(receive: Receive, send: Send) -> None:
            for number in range(6000):
                await send({"type": "websocket.send", "text": ""})
                sent.append(number)

        site = Site(websocket_app(view))
        websocket(site)
        assert 0 < len(sent) < 6000
        site.advance(0)
        assert len(sent) == 6000

    def test_answers_to_what_has_waited_go_out_in_one_piece(self) -> None:
        gate: Deferred[None] = Deferred()

        async def view(receive: Receive, send: Send) -> None:
            await gate
            await echo_view(receive, send)

        site = Site(websocket_app(view))
        client = opened(site)
        for number in range(10):
            client.frame(TEXT, b"%d" % number)
        before = client.link.writes
        gate.callback(None)
        site.advance(0)
        assert client.link.writes == before + 1
        assert [each.payload for each in client.frames()] == [b"%d" % number for number in range(10)]
        # One by one, they go out at once.
        client.frame(TEXT, b"x")
        assert client.frames() == [Frame(TEXT, b"x")]
        assert site.loop.clock.getDelayedCalls()[1:] == [], "only keepalive's"

    def test_an_answer_does_not_wait_for_the_application(self) -> None:
        """What it answers goes out although there is more to receive, and it does not."""
        gate: Deferred[None] = Deferred()

        async def view(receive: Receive, send: Send) -> None:
            await gate
            await receive()
            await send({"type": "websocket.send", "text": "first"})
            await Deferred()

        site = Site(websocket_app(view))
        client = opened(site)
        client.frame(TEXT, b"a")
        client.frame(TEXT, b"b")
        gate.callback(None)
        site.advance(0)
        assert client.frames() == [Frame(TEXT, b"first")]


class TestSlow:
    def test_an_application_that_does_not_receive_stops_its_client(self) -> None:
        """What is held for it is bounded; keepalive does not take the client for dead; nothing is lost."""
        slow = Slow()
        site = Site(slow, websocket={"autoPingInterval": 20, "autoPingTimeout": 20})
        client = opened(site)
        count = 0
        while "pause" not in client.link.calls:
            client.frame(BINARY, count.to_bytes(4, "big") + bytes(996))
            count += 1
            assert count < 300
        held = client.protocol._conversation._size + client.session.connection.buffered
        assert held < 65536 * 2 + 2000
        site.advance(300)
        assert not client.is_over
        # A ping that was sent before the client was stopped is all that there may be.
        assert len(client.frames()) <= 1
        while "resume" not in client.link.calls:
            slow.go_on(1)
        assert len(slow.received) > 1, "not for each message that makes room for one"
        slow.go_on(count - len(slow.received))
        numbers = [int.from_bytes(event["bytes"][:4], "big") for event in slow.received]
        assert numbers == list(range(count))
        client.frame(PING, b"?")
        assert Frame(PONG, b"?") in client.frames()

    def test_many_small_messages_are_bounded_too(self) -> None:
        slow = Slow()
        client = opened(Site(slow))
        count = 0
        while "pause" not in client.link.calls:
            client.frame(TEXT)
            count += 1
        assert count < 2000
        slow.go_on(count)
        assert len(slow.received) == count

    def test_no_bound(self) -> None:
        slow = Slow()
        client = opened(Site(slow, receive_queue_size=0))
        for _ in range(200):
            client.frame(BINARY, bytes(1000))
        assert client.link.calls == []
        slow.go_on(200)
        assert len(slow.received) == 200

    @pytest.mark.parametrize("clean", [True, False])
    def test_it_gets_everything_and_the_end_however_late(self, clean: bool) -> None:
        slow = Slow()
        site = Site(slow)
        client = opened(site)
        for _ in range(100):
            client.frame(BINARY, bytes(1000))
        if clean:
            client.frame(CLOSE, b"\x0f\xa0bye")
        client.lose()
        site.advance(100)
        slow.go_on(101)
        assert [len(event.get("bytes", b"")) for event in slow.received] == [1000] * 100 + [0]
        end = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        if clean:
            end |= {"code": 4000, "reason": "bye"}
        assert slow.received[-1] == end
        assert failures(site) == []
        assert site.loop.clock.getDelayedCalls() == []

    def test_it_raises_while_its_client_is_stopped(self) -> None:
        gate: Deferred[None] = Deferred()

        async def view(receive: Receive, send: Send) -> None:
            await gate
            raise LookupError("on purpose")

        site = Site(websocket_app(view))
        client = opened(site)
        for _ in range(200):
            client.frame(BINARY, bytes(1000))
        gate.callback(None)
        assert client.frames() == [Frame(CLOSE, b"\x03\xf3")]
        assert client.link.calls == ["pause", "resume"]

    def test_a_client_that_does_not_read_suspends_send(self) -> None:
        sent: list[int] = []

        async def view(receive: Receive, send: Send) -> None:
            for number in range(100):
                await send({"type": "websocket.send", "bytes": bytes(10_000)})
                sent.append(number)
            await echo_view(receive, send)

        site = Site(websocket_app(view), websocket={"autoPingInterval": 20, "autoPingTimeout": 20})
        client = websocket(site)
        client.take()
        assert len(sent) == 100
        sent.clear()
        client = site.connect()
        client.link.is_full = True
        client.receive(request())
        assert len(sent) < 20
        # It reads a little now and then: it lives.
        for _ in range(6):
            site.advance(15)
            client.session.writing_resumed()
        assert not client.is_over
        # It reads no more: it is given up, and the application is told.
        site.advance(45)
        assert client.is_aborted
        client.lose()
        assert len(sent) < 100
        assert failures(site) == []

    def test_a_send_that_waits_ends_with_the_connection(self) -> None:
        errors: list[Any] = []

        async def view(receive: Receive, send: Send) -> None:
            try:
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(10_000)})
            except OSError as error:
                errors.append(error)
                assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
                raise

        site = Site(websocket_app(view))
        client = site.connect()
        client.link.is_full = True
        client.receive(request())
        client.lose()
        assert len(errors) == 1
        assert failures(site) == []


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _chat(client: Conversation) -> None:
    client.frame(TEXT, b"x")
    client.frame(CLOSE, b"\x03\xe8")


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("talk", [_chat, lambda client: None], ids=["closed", "dropped"])
def test_nothing_is_left_for_the_garbage_collector(talk: Any) -> None:
    site = Site(hello_app)
    client = opened(site)
    talk(client)
    client.lose()
    site.advance(10)
    references = [weakref.ref(client.protocol), weakref.ref(client.link)]
    client.link.end = None
    del client
    assert [reference() for reference in references] == [None] * 2
    assert failures(site) == []


@pytest.mark.usefixtures("without_collector")
def test_nothing_is_left_of_a_request() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await respond(send, b"x")
        await receive()

    site = Site(app)
    client = site.connect(get(method="PUT", body=b"x"), get())
    client.lose()
    site.advance(10)
    references = [weakref.ref(client.session), weakref.ref(client.link)]
    client.link.end = None
    del client
    assert [reference() for reference in references] == [None] * 2


def test_options_of_websockets_are_checked() -> None:
    with pytest.raises((InvalidArgument, TypeError)):
        Site(hello_app, websocket={"noSuchOption": 1})
