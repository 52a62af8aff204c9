"""Heads of requests, in memory: malformed, too long, too slow; and clients that end their side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.defer import Deferred

from tests.asgi.kit import get, hello_app, respond
from tests.asgi.memory import Site
from tests.conformance.kit import request

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Receive, Scope, Send


class TestHeads:
    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (b"GET / HTTP/1.1\nHost: a\n\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET /\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00", 400),
            (b"(nonsense)", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ],
    )
    def test_malformed(self, head: bytes, status: int) -> None:
        asked: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            asked.append(scope)

        site = Site(app)
        client = site.connect(head)
        assert (client.answer().status, client.link.calls) == (status, ["finish"])
        assert asked == []
        assert site.loop.failures == []

    @pytest.mark.parametrize(
        ("target", "path", "raw_path", "query"),
        [
            ("http://other.example/a?b=c", "/a", b"/a", b"b=c"),
            ("http://other.example", "/", b"/", b""),
            ("http://other.example?b", "/", b"/", b"b"),
            ("/a%2Fb%20c?d=%20", "/a/b c", b"/a%2Fb%20c", b"d=%20"),
            ("/%ff", "/\ufffd", b"/%ff", b""),
            ("//a", "//a", b"//a", b""),
        ],
    )
    def test_targets(self, target: str, path: str, raw_path: bytes, query: bytes) -> None:
        scopes: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scopes.append(scope)
            await respond(send)

        assert Site(app).connect(get(target)).answer().status == 200
        (scope,) = scopes
        assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)

    def test_options_of_the_server(self) -> None:
        for root_path in ("", "/api"):
            client = Site(hello_app, root_path=root_path).connect(get("*", method="OPTIONS"))
            assert client.answer().body == b"OPTIONS * "

    def test_a_head_that_stalls(self) -> None:
        site = Site(hello_app, head_timeout=5.0)
        client = site.connect(b"GET / HTTP/1.1\r\nHo")
        site.advance(4.9)
        client.receive(b"st: a\r\n")
        site.advance(0.2)
        assert (client.answer().status, client.link.calls) == (408, ["finish"])

    def test_slow_loris(self) -> None:
        """However often it sends a little, the head as a whole has its time."""
        site = Site(hello_app, head_timeout=5.0)
        client = site.connect(get())
        client.take()
        site.advance(3)
        for byte in b"GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyy":
            client.receive(bytes([byte]))
            site.advance(0.2)
            if client.is_over:
                break
        assert client.answer().status == 408

    def test_empty_lines_are_no_head(self) -> None:
        site = Site(hello_app, head_timeout=5.0)
        client = site.connect()
        for _ in range(30):
            client.receive(b"\r\n" * 100)
            site.advance(0.2)
        assert client.link.calls == ["close"]

    def test_nothing_at_all(self) -> None:
        site = Site(hello_app, head_timeout=5.0)
        client = site.connect()
        site.advance(5.1)
        assert (client.take(), client.link.calls) == (b"", ["close"])
        site.advance(2.1)
        assert client.is_aborted
        client.lose()
        assert site.loop.clock.getDelayedCalls() == []

    def test_no_next_request(self) -> None:
        site = Site(hello_app, keep_alive_timeout=15.0)
        client = site.connect(get())
        client.take()
        site.advance(14.9)
        assert client.link.calls == []
        site.advance(0.2)
        assert client.link.calls == ["close"]

    def test_no_next_request_of_one_that_does_not_wait_for_responses(self) -> None:
        """The request that may be on its way must not cost it a response that it has not read yet."""
        site = Site(hello_app, keep_alive_timeout=15.0)
        client = site.connect(get() + get())
        site.advance(0)
        assert len(client.answers()) == 2
        site.advance(15.1)
        assert client.link.calls == ["finish"]

    def test_no_bounds(self) -> None:
        options: dict[str, Any] = {"head_timeout": 0, "keep_alive_timeout": 0, "body_timeout": 0, "write_timeout": 0}
        site = Site(hello_app, max_head_size=0, max_body_size=0, **options)
        client = site.connect(get(headers=f"X: {'y' * 100_000}\r\n"))
        assert client.answer().status == 200
        client.receive(get(method="PUT", headers="Content-Length: 3\r\n"))
        client.link.is_full = True
        site.advance(1000)
        client.receive(b"abc")
        site.advance(1000)
        assert client.answer().status == 200
        assert client.link.calls == []

    @pytest.mark.parametrize("whole", [True, False])
    def test_too_long(self, whole: bool) -> None:
        site = Site(hello_app, max_head_size=1000)
        head = get(headers=f"X: {'y' * 1000}\r\n")
        client = site.connect(head if whole else head[:-4])
        assert (client.answer().status, client.link.calls) == (431, ["finish"])

    def test_a_bare_line_feed_anywhere(self) -> None:
        """It is seen wherever one read ends and the next begins."""
        head = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\nZ"
        for cut in range(1, len(head)):
            client = Site(hello_app).connect(head[:cut], head[cut:])
            assert client.answer().status == 400


class TestHalfClosed:
    def test_it_gets_its_response(self) -> None:
        """``printf ... | nc -N`` wants one."""
        waiting: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            waiting.append(Deferred())
            await waiting[-1]
            await respond(send, scope["path"].encode())

        site = Site(app)
        client = site.connect(get("/1") + get("/2"))
        client.session.peer_ended()
        client.session.peer_ended()
        waiting[0].callback(None)
        site.advance(0)
        waiting[1].callback(None)
        assert [answer.body for answer in client.answers()] == [b"/1", b"/2"]
        assert client.link.calls == ["close"]

    def test_a_long_poll_is_told(self) -> None:
        told: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            told.extend([await receive(), await receive(), await receive()])
            await respond(send, b"perhaps")

        site = Site(app)
        client = site.connect(get())
        assert told == []
        client.session.peer_ended()
        assert [event["type"] for event in told] == ["http.request", "http.disconnect", "http.disconnect"]
        assert client.answer().body == b"perhaps"
        assert client.link.calls == ["close"]

    def test_within_a_body(self) -> None:
        site = Site(hello_app)
        client = site.connect(get(method="PUT", headers="Content-Length: 3\r\n"))
        client.session.peer_ended()
        assert client.is_aborted
        client.lose()
        assert site.server._running == {}

    @pytest.mark.parametrize("data", [b"", b"GET / HT", get() + b"GET"])
    def test_between_requests(self, data: bytes) -> None:
        site = Site(hello_app)
        client = site.connect(data)
        client.session.peer_ended()
        site.advance(0)
        assert client.link.calls == ["close"]

    def test_while_we_end(self) -> None:
        client = Site(hello_app).connect(b"(nonsense)")
        client.session.peer_ended()
        assert client.link.calls == ["finish", "close"]

    def test_a_websocket_behind_a_request(self) -> None:
        site = Site(hello_app)
        client = site.connect(get() + request())
        client.session.peer_ended()
        site.advance(0)
        assert [answer.status for answer in client.answers()] == [200, 101]
        assert client.link.calls == []
