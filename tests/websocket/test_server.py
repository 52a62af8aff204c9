"""The server's side of the opening handshake: what the application is told, and what becomes of what it says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from autobahnlike.websocket import server
from autobahnlike.websocket.compress import PerMessageDeflateOfferAccept
from autobahnlike.websocket.protocol import WebSocketServerProtocol
from autobahnlike.websocket.server import extension_parameters
from autobahnlike.websocket.types import ConnectionAccept, ConnectionDeny
from autobahnlike.wire.headers import parse_extensions
from tests.conformance.kit import request

from .ends import End, NotingServer


class Telling(NotingServer):
    """Returns or raises, in onConnect, what it is told to."""

    result: Any = None

    def onConnect(self, request: Any) -> Any:
        self.events.append(("connect", request))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def connect(result: Any = None, headers: str = "", target: str = "/", **options: Any) -> tuple[End, str]:
    """An end that has got a request, and the head of its response."""
    end = End(type("Server", (Telling,), {"result": result}), **options).connect()
    end.receive(request(target, headers))
    return end, end.take().partition(b"\r\n\r\n")[0].decode()


class TestRequest:
    def test_what_the_application_is_told(self) -> None:
        end, _ = connect(
            headers="Origin: http://example.com\r\nSec-WebSocket-Protocol: a, b\r\n"
            "Sec-WebSocket-Extensions: x; y=1; y; z\r\n",
            target="/path?q=1&q=2",
        )
        ((_, told), _) = end.events
        assert (told.peer, told.host, told.path) == ("tcp4:192.0.2.1:1234", "localhost", "/path")
        assert told.params == {"q": ["1", "2"]}
        assert (told.version, told.origin, told.protocols) == (13, "http://example.com", ["a", "b"])
        assert told.extensions == [("x", {"y": ["1", True], "z": [True]})]
        assert told.headers["host"] == "localhost"

    def test_no_request_is_made_for_an_application_that_does_not_ask(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[Any] = []
        monkeypatch.setattr(server, "ConnectionRequest", lambda *details: made.append(details))

        class Silent(WebSocketServerProtocol):
            pass

        asked = type("Asked", (Silent,), {"onConnect": lambda self, request: None})
        for protocol, count in ((Silent, 0), (asked, 1)):
            end = End(protocol).connect()
            end.receive(request("/"))
            assert end.take().startswith(b"HTTP/1.1 101 ")
            assert len(made) == count
        end = End(Silent).connect()
        end.protocol.onConnect = lambda request: None
        end.receive(request("/"))
        assert len(made) == 2

    def test_what_the_protocol_has_of_it(self) -> None:
        end, _ = connect(headers="Origin: http://example.com\r\n", target="/path?q=1")
        protocol = end.protocol
        assert protocol.http_request_uri == "/path?q=1"
        assert protocol.http_request_path == "/path"
        assert protocol.http_request_params == {"q": ["1"]}
        assert protocol.http_request_host == "localhost"
        assert protocol.websocket_version == 13
        assert protocol.websocket_origin == "http://example.com"
        assert protocol.http_headers["upgrade"] == "websocket"

    @pytest.mark.parametrize(
        ("hops", "forwarded", "peer"),
        [
            (0, "1.1.1.1", "tcp4:192.0.2.1:1234"),
            (1, "1.1.1.1, 2.2.2.2", "2.2.2.2"),
            (2, "1.1.1.1, 2.2.2.2", "1.1.1.1"),
            (3, "1.1.1.1, 2.2.2.2", "1.1.1.1"),
            (1, "", "tcp4:192.0.2.1:1234"),
            (1, None, "tcp4:192.0.2.1:1234"),
        ],
    )
    def test_the_peer_behind_trusted_proxies(self, hops: int, forwarded: str | None, peer: str) -> None:
        headers = "" if forwarded is None else f"X-Forwarded-For: {forwarded}\r\n"
        end, _ = connect(headers=headers, trustXForwardedFor=hops)
        assert end.events[0][1].peer == peer
        assert end.protocol.peer == peer
        assert end.protocol.transport_details.peer == "tcp4:192.0.2.1:1234"

    def test_extension_parameters(self) -> None:
        (extension,) = parse_extensions(["name; a; b=1; b=2"])
        assert extension_parameters(extension) == {"a": [True], "b": ["1", "2"]}


class TestAccepting:
    @pytest.mark.parametrize(
        ("result", "subprotocol", "header"),
        [
            (None, None, None),
            ("b", "b", None),
            (("b", None), "b", None),
            ((None, {"X-Mine": "1"}), None, "1"),
            (("a", {"X-Mine": "1"}), "a", "1"),
            (ConnectionAccept(), None, None),
            (ConnectionAccept("b", {"X-Mine": "1"}), "b", "1"),
        ],
    )
    @pytest.mark.parametrize("is_async", [False, True])
    def test_ways(self, result: Any, subprotocol: str | None, header: str | None, is_async: bool) -> None:
        answer: Deferred[Any] = Deferred()
        end = End(type("Server", (Telling,), {"result": answer if is_async else result})).connect()
        end.receive(request(headers="Sec-WebSocket-Protocol: a, b\r\n"))
        if is_async:
            assert end.take() == b""
            answer.callback(result)
        head = end.take().decode()
        assert head.startswith("HTTP/1.1 101 ")
        assert re.findall(r"Sec-WebSocket-Protocol: (.*)\r", head) == ([subprotocol] if subprotocol else [])
        assert re.findall(r"X-Mine: (.*)\r", head) == ([header] if header else [])
        assert end.protocol.websocket_protocol_in_use == subprotocol
        assert end.names() == ["connect", "open"]

    def test_headers_of_the_factory_come_first(self) -> None:
        end = End(type("Server", (Telling,), {"result": (None, {"X-Two": "2"})}))
        end.factory.headers["X-One"] = ["1", "1"]
        end.factory.server = "me"
        end.connect()
        end.receive(request())
        head = end.take().decode()
        assert re.findall(r"X-(\w+): ", head) == ["One", "One", "Two"]
        assert "Server: me\r\n" in head

    def test_no_server_header(self) -> None:
        end = End()
        end.factory.server = None
        end.connect()
        end.receive(request())
        assert b"Server:" not in end.take()

    def test_compression(self) -> None:
        end, head = connect(headers="Sec-WebSocket-Extensions: permessage-deflate\r\n")
        assert "Sec-WebSocket-Extensions: permessage-deflate" in head
        (codec,) = end.protocol.websocket_extensions_in_use
        assert codec is end.session.connection.codec

    def test_compression_as_the_application_wants_it(self) -> None:
        def accept(offers: list[Any]) -> Any:
            return PerMessageDeflateOfferAccept(offers[0], request_no_context_takeover=True)

        _, head = connect(
            headers="Sec-WebSocket-Extensions: permessage-deflate\r\n", perMessageCompressionAccept=accept
        )
        assert "client_no_context_takeover" in head

    def test_no_compression(self) -> None:
        end, head = connect(
            headers="Sec-WebSocket-Extensions: permessage-deflate\r\n", perMessageCompressionAccept=lambda _: None
        )
        assert "Sec-WebSocket-Extensions" not in head
        assert end.protocol.websocket_extensions_in_use == []


class TestRefusing:
    @pytest.mark.parametrize(
        ("deny", "line"),
        [
            (ConnectionDeny(403, "because"), "HTTP/1.1 403 because"),
            (ConnectionDeny(404), "HTTP/1.1 404 Not Found"),
            (ConnectionDeny(599), "HTTP/1.1 599 "),
        ],
    )
    def test_connection_deny(self, deny: ConnectionDeny, line: str) -> None:
        end, head = connect(deny)
        assert head.startswith(line)
        assert end.link.calls == ["finish"]
        assert end.loop.failures == []
        end.session.connection_lost()
        assert end.names() == ["connect", "close"]

    @pytest.mark.parametrize(
        "result",
        [
            5,
            ("a", {}, "more"),
            ("unasked", None),
            (5, None),
            (None, {"X": "a\r\nb: c"}),
            ValueError("secret"),
            ConnectionDeny(200),
            ConnectionDeny(1000),
        ],
    )
    def test_what_is_not_understood_is_500_and_logged(self, result: Any) -> None:
        end, head = connect(result)
        assert head.startswith("HTTP/1.1 500 Internal Server Error")
        assert "secret" not in head
        ((text, _),) = end.loop.failures
        assert text == "onConnect of Server raised an exception"

    def test_an_accept_function_that_fails_is_500_and_logged(self) -> None:
        def accept(offers: list[Any]) -> Any:
            raise ValueError

        end, head = connect(
            headers="Sec-WebSocket-Extensions: permessage-deflate\r\n", perMessageCompressionAccept=accept
        )
        assert head.startswith("HTTP/1.1 500 ")
        assert len(end.loop.failures) == 1

    def test_a_factory_that_is_shutting_down(self) -> None:
        end = End().connect()
        end.factory._stopping = True
        end.receive(request())
        assert end.take().startswith(b"HTTP/1.1 503 ")
        assert end.events == []

    def test_too_many_connections(self) -> None:
        end = End(maxConnections=1).connect()
        others = NotingServer()
        end.factory._add(others)
        end.receive(request())
        assert end.take().startswith(b"HTTP/1.1 503 ")
        end.session.connection_lost()
        assert end.events == [
            ("close", False, 1006, 'connection was closed uncleanly ("maximum number of connections reached")')
        ]

    def test_the_port_that_clients_have_to_name(self) -> None:
        for port, status in ((80, b"101"), (81, b"400")):
            end = End()
            end.factory.externalPort = port
            end.connect()
            end.receive(request().replace(b"Host: localhost", b"Host: localhost:80"))
            assert end.take().startswith(b"HTTP/1.1 " + status)

    def test_a_plain_request_without_a_page(self) -> None:
        end = End(webStatus=False).connect()
        end.receive(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert end.take().startswith(b"HTTP/1.1 426 ")
        assert end.protocol.http_request_uri == "/x"

    def test_on_connect_that_drops_the_connection_itself(self) -> None:
        class Server(NotingServer):
            def onConnect(self, request: Any) -> Any:
                self.dropConnection(abort=True)

        end = End(Server).connect()
        end.receive(request())
        assert end.take() == b""
        assert end.link.calls == ["abort"]
        end.session.connection_lost()
        assert end.names() == ["close"]
