"""The scope ``http``, in memory: what goes over one connection, what is refused, and what takes too long."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.defer import Deferred

from tests.asgi.kit import get, hello_app, read_body, respond
from tests.asgi.memory import Conversation, Site, start
from tests.conformance.kit import request
from tests.wire.helpers import CLOSE, TEXT, Frame

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Receive, Scope, Send


def failures(site: Site) -> list[str]:
    """What was logged of the application, and then no more."""
    taken = [f"{type(error).__name__}: {error}" for _, error in site.loop.failures]
    site.loop.failures.clear()
    return taken


def streaming(*pieces: bytes, headers: Any = (), status: int = 200) -> Any:
    """An application that answers in pieces."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    return app


class TestOneAfterTheOther:
    def test_a_connection_is_kept(self) -> None:
        site = Site(hello_app)
        client = site.connect(get("/a"))
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"GET /a ")
        assert answer.header("content-length") == "7"
        assert answer.header("server") == "autobahnlike"
        assert answer.header("connection") is None
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", answer.header("date") or "")
        client.receive(get("/b", method="POST", body=b"more"))
        assert client.answer().body == b"POST /b more"
        assert not client.is_over

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        site = Site(hello_app)
        client = site.connect(b"".join(get(f"/{number}", method="POST", body=b"x") for number in range(500)))
        for _ in range(500):
            site.advance(0)
        assert [answer.body for answer in client.answers()] == [b"POST /%d x" % number for number in range(500)]

    def test_every_way_to_cut_it_in_pieces(self) -> None:
        data = get("/a", method="PUT", body=b"one") + b"\r\n" + get("/b", headers="Transfer-Encoding: chunked\r\n")
        data += b"3\r\ntwo\r\n0\r\nTrailer: t\r\n\r\n" + get("/c")
        for size in (1, 2, 3, 7, 50):
            site = Site(hello_app)
            client = site.connect()
            for at in range(0, len(data), size):
                client.receive(data[at : at + size])
            for _ in range(5):
                site.advance(0)
            assert [answer.body for answer in client.answers()] == [b"PUT /a one", b"GET /b two", b"GET /c "]

    def test_connection_close(self) -> None:
        client = Site(hello_app).connect(get(headers="Connection: close\r\n") + get("/never"))
        answer = client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert client.link.calls == ["finish"]

    def test_the_application_closes(self) -> None:
        client = Site(streaming(b"x", headers=[(b"Connection", b"close")])).connect(get())
        assert client.answer().header("connection") == "close"
        assert client.link.calls == ["finish"]

    @pytest.mark.parametrize("headers", ["", "Connection: keep-alive\r\n"])
    def test_http_1_0(self, headers: str) -> None:
        client = Site(streaming(b"one", b"two")).connect(get(version="1.0", headers=headers))
        answer = client.answer()
        # No chunks, which it would not understand: the body goes on to the end of the connection.
        assert (answer.body, answer.header("transfer-encoding")) == (b"onetwo", None)
        assert client.link.calls == ["finish"]

    def test_a_websocket_on_a_connection_that_was_used(self) -> None:
        site = Site(hello_app)
        client = site.connect(get("/page") + request("/socket"))
        site.advance(0)
        page, upgrade = client.answers()
        assert (page.body, upgrade.status) == (b"GET /page ", 101)
        client.frame(TEXT, b"hello")
        assert client.frames() == [Frame(TEXT, b"hello")]
        client.frame(CLOSE)
        assert [each.opcode for each in client.frames()] == [CLOSE]

    def test_an_upgrade_to_something_else_is_plain_http(self) -> None:
        headers = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
        assert Site(hello_app).connect(get(headers=headers)).answer().body == b"GET / "

    def test_requests_behind_a_response_that_nobody_reads_wait(self) -> None:
        asked: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            asked.append(scope["path"])
            await respond(send, bytes(300_000))

        site = Site(app)
        client = site.connect()
        client.link.is_full = True
        client.receive(get("/1") + get("/2") + get("/3"))
        site.advance(1)
        assert asked == ["/1"]
        assert len(client.link.written) == 262144, "the transport is given a piece at a time"
        client.session.writing_resumed()
        client.link.is_full = False
        client.session.writing_resumed()
        site.advance(0)
        site.advance(0)
        assert asked == ["/1", "/2", "/3"]
        assert [len(answer.body) for answer in client.answers()] == [300_000] * 3


class TestResponses:
    def test_in_pieces(self) -> None:
        answer = Site(streaming(b"one ", b"", b"two")).connect(get()).answer()
        assert (answer.body, answer.header("transfer-encoding")) == (b"one two", "chunked")

    def test_in_pieces_of_a_known_length(self) -> None:
        answer = Site(streaming(b"one ", b"two", headers=[(b"content-length", b"7")])).connect(get()).answer()
        assert (answer.body, answer.header("transfer-encoding")) == (b"one two", None)

    def test_headers_are_sent_as_they_are(self) -> None:
        headers = [(b"set-cookie", b"a=1"), (b"Set-Cookie", b"b=2"), (b"date", b"today"), (b"server", b"mine")]
        answer = Site(streaming(headers=headers)).connect(get()).answer()
        assert answer.headers[:4] == [
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("date", "today"),
            ("server", "mine"),
        ]

    def test_no_server_header(self) -> None:
        assert Site(streaming(), server_header=None).connect(get()).answer().header("server") is None

    def test_head(self) -> None:
        site = Site(hello_app)
        client = site.connect(get("/a", method="HEAD") + get("/b"))
        site.advance(0)
        head, page = client.answers("HEAD")
        assert (head.header("content-length"), page.body) == ("8", b"GET /b ")

    def test_head_of_unknown_length(self) -> None:
        """A body that was left out says nothing about the length of the one that GET brings."""
        answer = Site(streaming()).connect(get(method="HEAD")).answer("HEAD")
        assert answer.header("content-length") is None

    @pytest.mark.parametrize("status", [204, 304])
    def test_without_a_body(self, status: int) -> None:
        headers = [(b"content-length", b"5")] if status == 204 else [(b"etag", b'"x"')]
        site = Site(streaming(b"never", headers=headers, status=status))
        client = site.connect(get() + get())
        site.advance(0)
        assert [answer.status for answer in client.answers()] == [status, status]
        assert b"never" not in client.take()

    def test_204_has_no_length(self) -> None:
        answer = Site(streaming(headers=[(b"content-length", b"0")], status=204)).connect(get()).answer()
        assert answer.header("content-length") is None
        assert answer.header("transfer-encoding") is None

    def test_a_client_that_does_not_read_suspends_send(self) -> None:
        sent: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200})
            for number in range(10):
                await send({"type": "http.response.body", "body": bytes(1000), "more_body": True})
                sent.append(number)
            await send({"type": "http.response.body"})

        client = Site(app).connect()
        client.link.is_full = True
        client.receive(get())
        assert sent == []
        for count in range(1, 10):
            client.session.writing_resumed()
            assert sent == list(range(count))
        client.link.is_full = False
        client.session.writing_resumed()
        assert len(client.answer().body) == 10_000

    def test_a_client_that_takes_nothing_is_given_up(self) -> None:
        errors: list[BaseException] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200})
            try:
                while True:
                    await send({"type": "http.response.body", "body": bytes(1000), "more_body": True})
            except OSError as error:
                errors.append(error)
                raise

        site = Site(app, write_timeout=60.0)
        client = site.connect()
        client.link.is_full = True
        client.receive(get())
        site.advance(50)
        # As long as it takes some, it has the time.
        client.session.writing_resumed()
        site.advance(59)
        assert not client.is_over
        site.advance(2)
        assert client.is_aborted
        client.lose()
        assert len(errors) == 1
        assert site.loop.failures == []

    def test_a_large_response_may_take_longer_than_the_wait_for_the_next_request(self) -> None:
        """Its end is not cut off, although the application has finished long ago."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await respond(send, bytes(3_000_000))

        site = Site(app)
        client = site.connect()
        client.link.is_full = True
        client.receive(get(headers="Connection: close\r\n"))
        pieces = 3_000_000 // 262144 + 1
        for _ in range(pieces):
            assert not client.is_over
            site.advance(30)
            client.session.writing_resumed()
        assert client.link.calls == ["finish"]
        assert len(client.answer().body) == 3_000_000

    def test_an_endless_response_lets_others_have_a_turn(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200})
            for _ in range(300):
                await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
            await send({"type": "http.response.body"})

        site = Site(app)
        client = site.connect(get())
        assert len(client.link.written) < 1_100_000
        site.advance(0)
        assert len(client.answer().body) == 3_000_000


class TestApplicationsThatAreWrong:
    def test_raises_before_the_response(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200})
            raise LookupError("on purpose")

        site = Site(app)
        client = site.connect(get("/%0ax"))
        assert (client.answer().status, client.link.calls) == (500, ["finish"])
        assert site.loop.failures[0][0] == "the application raised an exception for the request /%0ax"
        assert failures(site) == ["LookupError: on purpose"]

    def test_raises_within_the_response(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            raise LookupError("on purpose")

        site = Site(app)
        client = site.connect(get())
        assert client.is_aborted, "so that the client does not take what it has for all there is"
        assert failures(site) == ["LookupError: on purpose"]

    def test_raises_after_the_response(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await respond(send, b"done")
            raise LookupError("on purpose")

        site = Site(app)
        client = site.connect(get())
        assert (client.answer().body, client.is_over) == (b"done", False)
        assert failures(site) == ["LookupError: on purpose"]

    @pytest.mark.parametrize(
        ("events", "error"),
        [
            ([], "RuntimeError: the application returned, and http.response.start is expected"),
            ([{"type": "http.response.start", "status": 200}], "the application returned, and http.response.body is"),
            ([{"type": "http.response.body"}], "'http.response.body' cannot be sent now: http.response.start is"),
            ([{"type": "websocket.accept"}], "'websocket.accept' cannot be sent now: http.response.start is expected"),
            (
                [{"type": "http.response.start", "status": 200}] * 2,
                "cannot be sent now: http.response.body is expected",
            ),
            (
                [{"type": "http.response.start", "status": 99}],
                "the status of a response must be from 200 to 599, not 99",
            ),
            ([{"type": "http.response.start", "status": "200"}], "must be from 200 to 599, not '200'"),
            ([{"type": "http.response.start", "status": 200, "trailers": True}], "trailers are an extension that"),
            ([{"type": "http.response.start", "status": 200, "headers": [("a", "b")]}], "headers are pairs of bytes"),
            ([{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nc: d")]}], "cannot be sent"),
            (
                [{"type": "http.response.start", "status": 200}, {"type": "http.response.body", "body": "text"}],
                "TypeError: the body of a response must be bytes, not str",
            ),
            (
                [
                    {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]},
                    {"type": "http.response.body", "body": b"four"},
                ],
                "this response cannot be sent: Too much data for declared Content-Length",
            ),
            (
                [
                    {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]},
                    {"type": "http.response.body", "body": b"four"},
                ],
                "this response cannot be sent: Too little data for declared Content-Length",
            ),
            ([{}], "KeyError: 'type'"),
        ],
    )
    def test_sends_what_it_may_not(self, events: list[dict[str, Any]], error: str) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for event in events:
                await send(event)

        site = Site(app)
        client = site.connect(get())
        assert (client.answer().status, client.link.calls) == (500, ["finish"])
        (failure,) = failures(site)
        assert error in failure

    def test_sends_too_much_in_the_end(self) -> None:
        site = Site(streaming(b"abc", b"d", headers=[(b"content-length", b"3")]))
        client = site.connect(get())
        assert client.is_aborted
        assert "Too much data" in failures(site)[0]

    def test_sends_too_little_in_the_end(self) -> None:
        site = Site(streaming(b"ab", headers=[(b"content-length", b"3")]))
        client = site.connect(get())
        assert client.is_aborted
        assert "Too little data" in failures(site)[0]

    def test_goes_on_after_the_end(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await respond(send, b"done")
            await respond(send, b"again")

        site = Site(app)
        assert site.connect(get()).answer().body == b"done"
        assert failures(site) == ["RuntimeError: 'http.response.start' cannot be sent now: the response is complete"]

    def test_is_no_coroutine(self) -> None:
        def app(scope: Scope, receive: Receive, send: Send) -> Any:
            return None

        site = Site(app)
        assert site.connect(get()).answer().status == 500
        assert "TypeError" in failures(site)[0]

    def test_never_answers(self) -> None:
        """It may; the client goes when it has waited enough."""
        told: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while not told or told[-1]["type"] != "http.disconnect":
                told.append(await receive())

        site = Site(app)
        client = site.connect(get())
        site.advance(1000)
        assert not client.is_over
        client.lose()
        assert [event["type"] for event in told] == ["http.request", "http.disconnect"]
        assert site.loop.failures == []

    def test_harms_only_its_own_connection(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/bad":
                raise LookupError("on purpose")
            await hello_app(scope, receive, send)

        site = Site(app)
        other = site.connect()
        assert site.connect(get("/bad")).answer().status == 500
        other.receive(get("/good"))
        assert other.answer().body == b"GET /good "


class TestBodies:
    def test_expect_100_continue(self) -> None:
        client = Site(hello_app).connect(get(method="PUT", headers="Expect: 100-continue\r\nContent-Length: 3\r\n"))
        assert client.answer().status == 100
        client.receive(b"abc")
        assert client.answer().body == b"PUT / abc"

    def test_expect_without_reading(self) -> None:
        """What the client was going to send is not wanted, so the connection cannot be used any more."""
        client = Site(streaming(b"no")).connect(
            get(method="PUT", headers="Expect: 100-continue\r\nContent-Length: 3\r\n")
        )
        answer = client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert client.link.calls == ["finish"]

    def test_expect_more_than_the_bound(self) -> None:
        headers = "Expect: 100-continue\r\nContent-Length: 101\r\n"
        assert Site(hello_app, max_body_size=100).connect(get(method="PUT", headers=headers)).answer().status == 413

    def test_more_than_the_bound_is_announced(self) -> None:
        site = Site(hello_app, max_body_size=100)
        client = site.connect(get(method="PUT", body=bytes(101)))
        assert (client.answer().status, client.link.calls) == (413, ["finish"])
        assert site.connect(get(method="PUT", body=bytes(100))).answer().status == 200

    def test_more_than_the_bound_in_chunks(self) -> None:
        site = Site(hello_app, max_body_size=100)
        client = site.connect(get(method="PUT", headers="Transfer-Encoding: chunked\r\n"))
        client.receive(b"64\r\n" + bytes(100) + b"\r\n")
        assert client.take() == b""
        client.receive(b"1\r\nx\r\n")
        assert (client.answer().status, client.link.calls) == (413, ["finish"])
        client.lose()
        assert site.loop.failures == []

    def test_chunks_that_are_none(self) -> None:
        site = Site(hello_app)
        client = site.connect(get(method="PUT", headers="Transfer-Encoding: chunked\r\n"), b"xyz\r\n")
        assert (client.answer().status, client.link.calls) == (400, ["finish"])
        assert site.loop.failures == []

    def test_trailers_longer_than_the_head(self) -> None:
        client = Site(hello_app).connect(get(method="PUT", headers="Transfer-Encoding: chunked\r\n"))
        client.receive(b"1\r\nx\r\n0\r\nT: ", b"t" * 1000, b"\r\n\r\n")
        assert client.answer().body == b"PUT / x"

    def test_a_body_that_stalls(self) -> None:
        site = Site(hello_app, body_timeout=30.0)
        client = site.connect(get(method="PUT", headers="Content-Length: 3\r\n"))
        for _ in range(2):
            site.advance(29)
            client.receive(b"x")
        assert client.take() == b""
        site.advance(29)
        assert client.take() == b""
        site.advance(2)
        assert (client.answer().status, client.link.calls) == (408, ["finish"])
        assert site.loop.failures == []

    def test_an_application_that_waits_no_longer_has_all_the_time(self) -> None:
        """``receive`` with a time-out, over and over, leaves no timer behind."""
        answers: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            waiting = start(receive())
            waiting.addErrback(lambda _: None)
            waiting.cancel()
            pause: Deferred[None] = Deferred()
            answers.append(pause)
            await pause
            await respond(send, await read_body(receive) or b"")

        site = Site(app)
        client = site.connect(get(method="PUT", headers="Content-Length: 3\r\n"))
        site.advance(100)
        assert not client.is_over
        client.receive(b"abc")
        answers[0].callback(None)
        assert client.answer().body == b"abc"

    def test_a_body_that_is_not_read_stops_the_client(self) -> None:
        begun: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            begun.append(Deferred())
            await begun[0]
            await respond(send, str(len(await read_body(receive) or b"")).encode())

        client = Site(app).connect(get(method="PUT", headers="Content-Length: 1000000\r\n"))
        for _ in range(6):
            client.receive(bytes(10_000))
        assert client.link.calls == []
        client.receive(bytes(10_000))
        assert client.link.calls == ["pause"]
        begun[0].callback(None)
        assert client.link.calls == ["pause", "resume"]
        client.receive(bytes(930_000))
        assert client.answer().body == b"1000000"

    def test_an_answer_before_the_end_of_the_body(self) -> None:
        site = Site(streaming(b"enough"))
        client = site.connect(get(method="PUT", headers="Content-Length: 1000\r\n"), bytes(10))
        answer = client.answer()
        assert (answer.body, answer.header("connection")) == (b"enough", "close")
        # It is listened to for a while, so that it sees the response and not that the connection was reset.
        assert client.link.calls == ["finish"]
        client.receive(bytes(990))
        site.advance(1.9)
        assert not client.is_aborted
        site.advance(0.2)
        assert client.is_aborted

    def test_who_never_stops_sending_is_not_listened_to_for_ever(self) -> None:
        client = Site(streaming(b"enough")).connect(get(method="PUT", headers="Content-Length: 100000000\r\n"))
        for _ in range(11):
            client.receive(bytes(100_000))
        assert client.is_aborted

    def test_disconnect_within_a_body(self) -> None:
        told: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            told.extend([await receive(), await receive(), await receive()])

        site = Site(app)
        client = site.connect(get(method="PUT", headers="Content-Length: 10\r\n"), b"abc")
        client.lose()
        assert told == [
            {"type": "http.request", "body": b"abc", "more_body": True},
            {"type": "http.disconnect"},
            {"type": "http.disconnect"},
        ]
        assert site.loop.failures == []

    def test_receive_after_the_response(self) -> None:
        told: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await respond(send)
            told.append(await receive())

        Site(app).connect(get())
        assert told == [{"type": "http.disconnect"}]

    def test_send_when_the_client_is_gone(self) -> None:
        errors: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            try:
                await respond(send)
            except OSError as error:
                errors.append(error)
                raise

        site = Site(app)
        site.connect(get()).lose()
        assert len(errors) == 1
        assert site.loop.failures == []


def test_the_last_bytes_have_time_to_leave() -> None:
    site = Site(streaming(b"x"))
    client = site.connect()
    client.link.buffered = 60_000
    client.receive(get(headers="Connection: close\r\n"))
    for left in (50_000, 40_000, 30_000):
        client.link.buffered = left
        site.advance(2)
        assert not client.is_aborted
    site.advance(2)
    assert client.is_aborted


def test_nothing_is_left_of_a_connection() -> None:
    site = Site(hello_app)
    clients: list[Conversation] = [site.connect(get()), site.connect(b"GET"), site.connect(), site.connect(b"()")]
    for client in clients:
        client.lose()
    site.advance(0)
    assert site.loop.clock.getDelayedCalls() == []
    assert not site.server._http
    assert not site.server._running
