"""The client's side of the opening handshake."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from autobahnlike.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept
from autobahnlike.websocket.types import ConnectingRequest

from .ends import End, NotingClient, answer_to


class TestRequest:
    def test_what_the_factory_says(self) -> None:
        end = End(NotingClient)
        end.factory.setSessionParameters(
            "wss://example.com/path?q=1", "http://origin.example", ["a", "b"], "me", {"X-Mine": "1"}
        )
        end.connect()
        head = end.take().decode()
        assert head.startswith("GET /path?q=1 HTTP/1.1\r\n")
        for line in ("Host: example.com", "User-Agent: me", "X-Mine: 1", "Origin: http://origin.example"):
            assert f"\r\n{line}" in head
        protocol = end.protocol
        assert protocol.websocket_protocols == ["a", "b"]
        assert protocol.websocket_origin == "http://origin.example"
        assert f"Sec-WebSocket-Key: {protocol.websocket_key}\r\n" in head
        assert protocol.websocket_version == 18

    def test_headers_changed_on_the_factory_count(self) -> None:
        end = End(NotingClient)
        end.factory.headers["X-Later"] = "yes"
        assert b"X-Later: yes\r\n" in end.connect().take()

    def test_every_key_is_another(self) -> None:
        assert End(NotingClient).connect().protocol.websocket_key != End(NotingClient).connect().protocol.websocket_key

    @pytest.mark.parametrize("is_async", [False, True])
    def test_what_on_connecting_says_instead(self, is_async: bool) -> None:
        asked: Deferred[Any] = Deferred()
        request = ConnectingRequest("other.example", 81, "/else", {"X-Mine": "1"}, "agent", "http://o.example", ["c"])

        class Client(NotingClient):
            def onConnecting(self, transport_details: Any) -> Any:
                self.events.append(("connecting", transport_details.is_server))
                return asked if is_async else request

        end = End(Client).connect()
        if is_async:
            assert end.take() == b""
            asked.callback(request)
        head = end.take().decode()
        assert head.startswith("GET /else HTTP/1.1\r\n")
        assert "Host: other.example:81\r\n" in head
        assert "X-Mine: 1\r\n" in head
        assert end.events == [("connecting", False)]
        assert end.protocol.websocket_protocols == ["c"]

    def test_on_connecting_that_returns_nothing_later(self) -> None:
        asked: Deferred[Any] = Deferred()

        class Client(NotingClient):
            def onConnecting(self, transport_details: Any) -> Any:
                return asked

        end = End(Client).connect()
        asked.callback(None)
        assert end.take().startswith(b"GET / HTTP/1.1\r\n")

    @pytest.mark.parametrize("result", [5, ConnectingRequest(headers={"X": "a\r\nb: c"}), ValueError()])
    def test_what_cannot_be_sent_is_logged_and_drops_the_connection(self, result: Any) -> None:
        class Client(NotingClient):
            def onConnecting(self, transport_details: Any) -> Any:
                if isinstance(result, Exception):
                    raise result
                return result

        end = End(Client).connect()
        assert end.take() == b""
        assert end.link.calls == ["abort"]
        ((text, _),) = end.loop.failures
        assert text == "onConnecting of Client raised an exception"

    def test_the_time_for_the_opening_handshake_includes_on_connecting(self) -> None:
        cancelled: list[Any] = []

        class Client(NotingClient):
            def onConnecting(self, transport_details: Any) -> Any:
                return Deferred(cancelled.append)

        end = End(Client, openHandshakeTimeout=1.0).connect()
        end.advance(1.1)
        assert end.link.calls == ["abort"]
        end.session.connection_lost()
        assert len(cancelled) == 1
        assert end.names() == ["close"]


class TestResponse:
    def test_what_the_application_is_told(self) -> None:
        class Client(NotingClient):
            def onConnect(self, response: Any) -> Any:
                self.events.append(("connect", response))

        end = End(Client)
        end.factory.protocols = ["a"]
        end.connect()
        end.receive(answer_to(end.take(), "Sec-WebSocket-Protocol: a\r\nSet-Cookie: c=d\r\n"))
        response = end.events[1][1]
        assert (response.peer, response.version, response.protocol) == ("tcp4:192.0.2.1:1234", 18, "a")
        assert response.headers["set-cookie"] == "c=d"
        assert response.extensions == []
        assert end.protocol.websocket_protocol_in_use == "a"
        assert end.protocol.http_headers == response.headers

    def test_compression(self) -> None:
        end = End(NotingClient).connect()
        head = end.take()
        assert b"Sec-WebSocket-Extensions: permessage-deflate" in head
        end.receive(answer_to(head, "Sec-WebSocket-Extensions: permessage-deflate\r\n"))
        (codec,) = end.protocol.websocket_extensions_in_use
        assert codec is end.session.connection.codec

    def test_no_compression(self) -> None:
        end = End(NotingClient, perMessageCompressionOffers=[]).connect()
        assert b"Sec-WebSocket-Extensions" not in end.take()

    def test_compression_as_the_application_wants_it(self) -> None:
        offers = [PerMessageDeflateOffer(accept_no_context_takeover=True)]
        end = End(
            NotingClient,
            perMessageCompressionOffers=offers,
            perMessageCompressionAccept=lambda answer: PerMessageDeflateResponseAccept(
                answer, no_context_takeover=True
            ),
        ).connect()
        end.receive(answer_to(end.take(), "Sec-WebSocket-Extensions: permessage-deflate\r\n"))
        assert end.names()[-1] == "open"

    @pytest.mark.parametrize(
        "extensions",
        ["unasked", "permessage-deflate; server_max_window_bits=7", "permessage-deflate, permessage-deflate"],
    )
    def test_compression_that_was_not_offered_fails_the_handshake(self, extensions: str) -> None:
        end = End(NotingClient).connect()
        end.receive(answer_to(end.take(), f"Sec-WebSocket-Extensions: {extensions}\r\n"))
        assert end.link.calls == ["abort"]
        end.session.connection_lost()
        assert end.names() == ["connecting", "close"]

    def test_an_accept_function_that_declines_fails_the_handshake(self) -> None:
        end = End(NotingClient, perMessageCompressionAccept=lambda answer: None).connect()
        end.receive(answer_to(end.take(), "Sec-WebSocket-Extensions: permessage-deflate\r\n"))
        assert end.link.calls == ["abort"]

    def test_an_accept_function_that_fails_is_logged_and_fails_the_handshake(self) -> None:
        def accept(answer: Any) -> Any:
            raise ValueError("secret")

        end = End(NotingClient, perMessageCompressionAccept=accept).connect()
        end.receive(answer_to(end.take(), "Sec-WebSocket-Extensions: permessage-deflate\r\n"))
        assert end.link.calls == ["abort"]
        assert len(end.loop.failures) == 1

    def test_a_refusal(self) -> None:
        end = End(NotingClient).connect()
        end.receive(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
        assert end.link.calls == ["abort"]
        end.session.connection_lost()
        assert end.events[-1] == (
            "close", False, 1006,
            'connection was closed uncleanly ("WebSocket connection upgrade failed [401]: Unauthorized")',
        )  # fmt: skip

    @pytest.mark.parametrize("is_async", [False, True])
    def test_on_connect_that_fails_closes_with_1011(self, is_async: bool) -> None:
        connected: Deferred[Any] = Deferred()

        class Client(NotingClient):
            def onConnect(self, response: Any) -> Any:
                if is_async:
                    return connected
                raise ValueError

        end = End(Client).connect()
        end.receive(answer_to(end.take()))
        if is_async:
            connected.errback(ValueError())
        (closing,) = end.sent()
        assert closing.payload[:2] == (1011).to_bytes(2, "big")
        end.session.connection_lost()
        assert end.names() == ["connecting", "close"]
        assert len(end.loop.failures) == 1
