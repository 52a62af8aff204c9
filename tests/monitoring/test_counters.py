"""What a server counts, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autobahnlike.asgi.counters import ServerCounters
from tests.asgi.kit import disconnected, echo_view, get, hello_app, respond, websocket_app
from tests.asgi.memory import Conversation, Site, websocket
from tests.conformance.kit import request
from tests.wire.helpers import BINARY, TEXT, close_frame

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Receive, Scope, Send

CLOSE = 8


def opened(site: Site) -> Conversation:
    client = websocket(site)
    assert client.take().startswith(b"HTTP/1.1 101 ")
    return client


def end(client: Conversation) -> None:
    """The connection ends, as both sides want."""
    client.lose()


class TestMessages:
    def test_those_of_clients_and_of_the_application(self) -> None:
        site = Site(websocket_app(echo_view))
        client = opened(site)
        for opcode, payload in ((TEXT, "grüße".encode()), (BINARY, b"\x00" * 1000), (TEXT, b"")):
            client.frame(opcode, payload)
        counters = site.server.counters
        assert (counters.messages_in, counters.bytes_in) == (3, 1007)
        assert (counters.messages_out, counters.bytes_out) == (3, 1007)

    def test_of_one_that_cannot_be_sent_nothing_is_counted(self) -> None:
        async def view(receive: Receive, send: Send) -> None:
            for event in ({"type": "websocket.send"}, {"type": "websocket.send", "text": 1}):
                with pytest.raises((ValueError, TypeError)):
                    await send(event)
            await disconnected(receive)

        site = Site(websocket_app(view))
        opened(site)
        assert (site.server.counters.messages_out, site.server.counters.bytes_out) == (0, 0)

    def test_what_waits_to_be_written(self) -> None:
        async def view(receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.send", "bytes": b"x" * 5000})
            await disconnected(receive)

        site = Site(websocket_app(view))
        client = opened(site)
        other = opened(site)
        assert site.server.counters.queued_bytes == 0
        client.session.writing_paused()
        client.frame(TEXT, b"go")
        other.frame(TEXT, b"go")
        assert 5000 <= site.server.counters.queued_bytes < 5100
        assert len(site.server.counters.congested) == 1
        client.session.writing_resumed()
        assert (site.server.counters.queued_bytes, len(site.server.counters.congested)) == (0, 0)
        for each in (client, other):
            each.session.writing_paused()
        assert len(site.server.counters.congested) == 2
        for each in (client, other):
            each.lose()
        assert (site.server.counters.queued_bytes, len(site.server.counters.congested)) == (0, 0)


class TestClosing:
    def test_by_the_client(self) -> None:
        site = Site(websocket_app(echo_view))
        for code in (1000, 4001, None):
            client = opened(site)
            client.receive(close_frame(code, mask=b"mask") if code else close_frame(mask=b"mask"))
            assert site.server.counters.websockets == 1
            end(client)
        assert site.server.counters.closed == {(1000, "client"): 1, (4001, "client"): 1, (1005, "client"): 1}
        assert site.server.counters.websockets == 0
        assert site.server.counters.accepted == 3

    @pytest.mark.parametrize("answers", [True, False])
    def test_by_the_application(self, answers: bool) -> None:
        async def view(receive: Receive, send: Send) -> None:
            await send({"type": "websocket.close", "code": 1008, "reason": "not like this"})

        site = Site(websocket_app(view))
        client = opened(site)
        if answers:
            client.receive(close_frame(1008, mask=b"mask"))
        end(client)
        assert site.server.counters.closed == {(1008, "server"): 1}

    def test_an_application_that_fails(self) -> None:
        async def view(receive: Receive, send: Send) -> None:
            raise ZeroDivisionError

        site = Site(websocket_app(view))
        end(opened(site))
        assert site.server.counters.closed == {(1011, "server"): 1}

    def test_a_client_that_breaks_the_protocol(self) -> None:
        site = Site(websocket_app(echo_view), websocket={"maxMessagePayloadSize": 10})
        for payload in (b"x" * 11, b"\xff"):
            client = opened(site)
            client.frame(TEXT, payload)
            end(client)
        assert site.server.counters.closed == {(1009, "server"): 1, (1007, "server"): 1}

    def test_one_that_is_lost(self) -> None:
        site = Site(websocket_app(echo_view))
        opened(site).lose()
        assert site.server.counters.closed == {(1006, "lost"): 1}

    def test_one_that_answers_no_ping(self) -> None:
        site = Site(websocket_app(echo_view), websocket={"autoPingInterval": 1, "autoPingTimeout": 1})
        client = opened(site)
        site.advance(5)
        assert client.is_aborted
        client.lose()
        assert site.server.counters.closed == {(1006, "lost"): 1}

    def test_the_end_of_the_server(self) -> None:
        site = Site(websocket_app(echo_view))
        client = opened(site)
        stopping = site.run(site.server.shutdown())
        client.receive(close_frame(1001, mask=b"mask"))
        end(client)
        assert stopping.called
        assert site.server.counters.closed == {(1001, "server"): 1}

    def test_the_codes_of_clients_are_bounded(self) -> None:
        counters = ServerCounters()
        for code in range(4000, 4100):
            counters.count_opened()
            counters.count_closed(code, "client")
        counters.count_opened()
        counters.count_closed(4000, "client")
        assert len(counters.closed) == 65
        assert counters.closed[4000, "client"] == 2
        assert counters.closed[0, "client"] == 36
        assert counters.websockets == 0


class TestHandshakes:
    def refused(self, site: Site) -> dict[tuple[str, int], int]:
        assert site.server.counters.accepted == site.server.counters.websockets == 0
        assert site.server.counters.closed == {}
        return site.server.counters.refused

    def test_denied_by_the_application(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            if scope["path"] == "/":
                await send({"type": "websocket.close"})
            else:
                await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
                await send({"type": "websocket.http.response.body", "body": b"who are you?"})

        site = Site(app)
        for target in ("/", "/", "/private"):
            websocket(site, target).lose()
        assert self.refused(site) == {("denied", 403): 2, ("denied", 401): 1}

    @pytest.mark.parametrize("raises", [True, False])
    def test_failed(self, raises: bool) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if raises:
                raise ZeroDivisionError

        site = Site(app)
        websocket(site).lose()
        assert self.refused(site) == {("failed", 500): 1}

    def test_invalid(self) -> None:
        site = Site(hello_app)
        good = request("/", "")
        for bad in (
            good.replace(b"Version: 13", b"Version: 7"),
            good.replace(b"Sec-WebSocket-Key", b"Sec-WebSocket-Kex"),
            good.replace(b"GET ", b"PUT "),
            good.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ):
            site.connect(bad).lose()
        assert self.refused(site) == {
            ("invalid", 426): 1,
            ("invalid", 400): 1,
            ("invalid", 405): 1,
            ("invalid", 505): 1,
        }

    def test_an_application_that_takes_too_long(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await disconnected(receive)

        site = Site(app, accept_timeout=2.0)
        client = websocket(site)
        site.advance(3)
        assert client.is_aborted
        client.lose()
        assert self.refused(site) == {("timeout", 0): 1}

    def test_a_client_that_goes_before_the_answer(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await disconnected(receive)

        site = Site(app)
        websocket(site).lose()
        assert self.refused(site) == {("lost", 0): 1}

    def test_the_end_of_the_server(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await disconnected(receive)

        site = Site(app)
        client = websocket(site)
        site.run(site.server.shutdown())
        client.lose()
        assert self.refused(site) == {("unavailable", 0): 1}

    def test_too_many_connections(self) -> None:
        site = Site(hello_app, websocket={"maxConnections": 1})
        client = opened(site)
        websocket(site).lose()
        assert site.server.counters.refused == {("unavailable", 503): 1}
        client.lose()


class TestHttp:
    def test_requests_by_their_status(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await respond(send, b"", int(scope["path"][1:]))

        site = Site(app)
        client = site.connect(get("/200"), get("/200"), get("/404"))
        site.advance(0)
        site.advance(0)
        assert [answer.status for answer in client.answers()] == [200, 200, 404]
        site.connect(b"nonsense\r\n\r\n")
        assert site.server.counters.requests == {200: 2, 404: 1, 400: 1}

    def test_an_application_that_fails(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise ZeroDivisionError

        site = Site(app)
        site.connect(get())
        assert site.server.counters.requests == {500: 1}
        assert site.server.counters.requests_in_progress == 0

    def test_a_client_that_goes_has_no_response(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await disconnected(receive)

        site = Site(app)
        client = site.connect(get())
        assert site.server.counters.requests_in_progress == 1
        client.lose()
        assert site.server.counters.requests_in_progress == 0
        assert site.server.counters.requests == {}

    def test_connections(self) -> None:
        site = Site(hello_app)
        counters = site.server.counters
        client, other = site.connect(), opened(site)
        assert (counters.connections, counters.open_connections) == (2, 2)
        client.lose()
        assert (counters.connections, counters.open_connections) == (2, 1)
        other.lose()
        assert (counters.connections, counters.open_connections) == (2, 0)


class TestPhase:
    def test_of_a_server(self) -> None:
        site = Site(hello_app)
        counters = site.server.counters
        phases: list[str] = [counters.phase]
        counters.has_started = True
        phases.append(counters.phase)
        site.run(site.server.shutdown())
        phases.append(counters.phase)
        assert phases == ["starting", "serving", "draining"]

    def test_of_none(self) -> None:
        counters = ServerCounters()
        assert counters.phase == "starting"
        assert (counters.open_connections, counters.queued_bytes) == (0, 0)

    def test_a_server_that_is_started_again_goes_on_counting(self) -> None:
        from autobahnlike.asgi import ServerOptions
        from autobahnlike.asgi.server import Server

        first = Site(hello_app)
        first.connect(get())
        counters: Any = first.server.counters
        Server(hello_app, first.loop, ServerOptions(), counters=counters)
        assert counters.requests == {200: 1}
        assert counters.open_connections == 0
