"""What hooks are given and may return."""

from __future__ import annotations

import json
import pickle
from http import HTTPStatus
from typing import Any

import pytest

from autobahnlike.exception import InvalidArgument
from autobahnlike.websocket.types import (
    ConnectingRequest,
    ConnectionAccept,
    ConnectionDeny,
    ConnectionRequest,
    ConnectionResponse,
    IncomingMessage,
    Message,
    OutgoingMessage,
    Ping,
    TransportDetails,
)


class Extension:
    def __json__(self) -> dict[str, Any]:
        return {"extension": "permessage-deflate"}


def a_request() -> ConnectionRequest:
    return ConnectionRequest(
        "tcp4:127.0.0.1:51234",
        {"host": "localhost", "cookie": "secret=1"},
        "localhost",
        "/chat",
        {"token": ["secret2"]},
        13,
        "http://example.com",
        ["a", "b"],
        [("permessage-deflate", {"client_max_window_bits": [True]})],
    )


class TestRequestsAndResponses:
    def test_request_takes_the_fields_in_autobahns_order(self) -> None:
        request = a_request()
        assert request.peer == "tcp4:127.0.0.1:51234"
        assert request.headers["host"] == "localhost"
        assert (request.host, request.path, request.version) == ("localhost", "/chat", 13)
        assert request.params == {"token": ["secret2"]}
        assert request.origin == "http://example.com"
        assert request.protocols == ["a", "b"]
        assert request.extensions[0][0] == "permessage-deflate"

    def test_request_as_json_has_every_field(self) -> None:
        fields = json.loads(json.dumps(a_request().__json__()))
        assert list(fields) == [
            *("peer", "headers", "host", "path", "params"),
            *("version", "origin", "protocols", "extensions"),
        ]
        assert fields["extensions"] == [["permessage-deflate", {"client_max_window_bits": [True]}]]

    def test_response_as_json_has_its_extensions_as_json(self) -> None:
        response = ConnectionResponse("tcp4:127.0.0.1:9000", {}, 18, "a", [Extension()])
        assert response.__json__() == {
            "peer": "tcp4:127.0.0.1:9000",
            "headers": {},
            "version": 18,
            "protocol": "a",
            "extensions": [{"extension": "permessage-deflate"}],
        }

    def test_str_shows_everything(self) -> None:
        text = str(a_request())
        assert "secret=1" in text
        assert "secret2" in text

    def test_repr_names_the_class_and_shows_no_credentials(self) -> None:
        text = repr(a_request())
        assert text.startswith("ConnectionRequest(peer='tcp4:127.0.0.1:51234', host='localhost', path='/chat'")
        assert "secret" not in text

    def test_requests_are_compared_and_hashed_by_identity(self) -> None:
        request = a_request()
        assert request != a_request()
        assert {request: 1}[request] == 1

    def test_there_are_no_other_attributes(self) -> None:
        with pytest.raises(AttributeError):
            a_request().cookie = "x"  # type: ignore[attr-defined]


class TestConnectingRequest:
    def test_defaults(self) -> None:
        assert ConnectingRequest().__json__() == {
            "host": "localhost",
            "port": 80,
            "resource": "/",
            "headers": {},
            "useragent": None,
            "origin": None,
            "protocols": [],
        }

    def test_takes_autobahns_arguments_by_position(self) -> None:
        request = ConnectingRequest("h", 9000, "/r", {"A": "b"}, "agent", "http://o", ["p"])
        assert (request.host, request.port, request.resource, request.headers) == ("h", 9000, "/r", {"A": "b"})
        assert (request.useragent, request.origin, request.protocols) == ("agent", "http://o", ["p"])

    def test_headers_are_its_own(self) -> None:
        headers = {"A": "b"}
        request = ConnectingRequest(headers=headers)
        request.headers["C"] = "d"
        assert headers == {"A": "b"}

    def test_port_0_and_an_empty_host_are_not_replaced(self) -> None:
        request = ConnectingRequest(host="", port=0, resource="")
        assert (request.host, request.port, request.resource) == ("", 0, "")


class TestAcceptAndDeny:
    def test_accept(self) -> None:
        assert ConnectionAccept().__json__() == {"subprotocol": None, "headers": None}
        accept = ConnectionAccept("chat", {"Set-Cookie": ("a=1", "b=2")})
        assert (accept.subprotocol, accept.headers) == ("chat", {"Set-Cookie": ("a=1", "b=2")})

    def test_deny_is_raised_and_carries_code_and_reason(self) -> None:
        with pytest.raises(ConnectionDeny) as caught:
            raise ConnectionDeny(ConnectionDeny.FORBIDDEN, "not you")
        assert (caught.value.code, caught.value.reason) == (403, "not you")
        assert str(caught.value) == "403 not you"

    def test_deny_without_a_reason(self) -> None:
        assert ConnectionDeny(404).reason is None
        assert str(ConnectionDeny(404)) == "404"

    def test_deny_takes_any_number(self) -> None:
        assert ConnectionDeny(401).code == 401
        assert ConnectionDeny(999).code == 999
        assert type(ConnectionDeny(HTTPStatus.UNAUTHORIZED).code) is int

    @pytest.mark.parametrize(("code", "reason"), [("403", None), (None, None), (True, None), (403, b"no")])
    def test_deny_refuses_what_is_no_status_or_no_text(self, code: Any, reason: Any) -> None:
        with pytest.raises(InvalidArgument):
            ConnectionDeny(code, reason)

    def test_deny_can_be_pickled(self) -> None:
        copy = pickle.loads(pickle.dumps(ConnectionDeny(503, "later")))
        assert (copy.code, copy.reason) == (503, "later")

    def test_constants(self) -> None:
        names = "BAD_REQUEST FORBIDDEN NOT_FOUND NOT_ACCEPTABLE REQUEST_TIMEOUT INTERNAL_SERVER_ERROR NOT_IMPLEMENTED"
        codes = [getattr(ConnectionDeny, name) for name in (*names.split(), "SERVICE_UNAVAILABLE")]
        assert codes == [400, 403, 404, 406, 408, 500, 501, 503]


class TestMessages:
    def test_messages(self) -> None:
        incoming, outgoing = IncomingMessage(b"x"), OutgoingMessage(b"x", True, skip_compress=True)
        assert isinstance(incoming, Message)
        assert isinstance(outgoing, Message)
        assert (incoming.payload, incoming.is_binary) == (b"x", False)
        assert (outgoing.payload, outgoing.is_binary, outgoing.skip_compress) == (b"x", True, True)
        assert OutgoingMessage(b"").skip_compress is False

    @pytest.mark.parametrize("kind", [IncomingMessage, OutgoingMessage, Ping])
    def test_text_must_be_encoded(self, kind: Any) -> None:
        with pytest.raises(InvalidArgument, match="must be bytes, not str"):
            kind("text")

    def test_ping_holds_up_to_125_bytes(self) -> None:
        assert Ping().payload is None
        assert Ping(bytes(125)).payload == bytes(125)
        with pytest.raises(InvalidArgument, match="126 bytes"):
            Ping(bytes(126))


class TestTransportDetails:
    def test_everything_is_unknown_at_first(self) -> None:
        details = TransportDetails()
        assert details.peer is None
        assert details.channel_typeid == "null-null-null"
        assert set(details.marshal().values()) == {None, "null"}

    def test_everything_can_be_set(self) -> None:
        details = TransportDetails()
        for name in details.marshal():
            setattr(details, name, 1)
            assert getattr(details, name) == 1

    def test_marshal_names_the_channel(self) -> None:
        details = TransportDetails(
            channel_type=TransportDetails.CHANNEL_TYPE_TLS,
            channel_framing=TransportDetails.CHANNEL_FRAMING_WEBSOCKET,
            peer="tcp4:127.0.0.1:9000",
            is_secure=True,
            websocket_extensions_in_use=[Extension()],
        )
        fields = details.marshal()
        assert (fields["channel_type"], fields["channel_framing"]) == ("tls", "websocket")
        assert fields["websocket_extensions_in_use"] == [{"extension": "permessage-deflate"}]
        assert details.channel_typeid == "tls-websocket-null"
        assert "'peer': 'tcp4:127.0.0.1:9000'" in str(details)

    def test_equal_details_are_equal(self) -> None:
        assert TransportDetails(peer="a") == TransportDetails(peer="a")
        assert TransportDetails(peer="a") != TransportDetails(peer="b")

    def test_the_names_of_the_numbers(self) -> None:
        assert TransportDetails.CHANNEL_TYPE_TO_STR[TransportDetails.CHANNEL_TYPE_TCP] == "tcp"
        assert TransportDetails.CHANNEL_TYPE_TO_STR[TransportDetails.CHANNEL_TYPE_DTLS] == "dtls"
        assert TransportDetails.CHANNEL_FRAMING_TO_STR[TransportDetails.CHANNEL_FRAMING_RAWSOCKET] == "rawsocket"
        assert TransportDetails.CHANNEL_SERIALIZER_TO_STR[TransportDetails.CHANNEL_SERIALIZER_NONE] == "null"
