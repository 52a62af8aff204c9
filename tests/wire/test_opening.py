"""The opening handshake as it is received: one head, and what is behind it."""

from __future__ import annotations

from typing import Any

import pytest

from autobahnlike.exception import InvalidRequest, InvalidResponse, NotAnUpgrade
from autobahnlike.wire.handshake import Acceptance, Opening
from autobahnlike.wire.opening import OpeningHandshake
from autobahnlike.wire.options import Options

from .helpers import KEY, REQUEST, RESPONSE


def handshake(is_server: bool = True, **details: Any) -> OpeningHandshake:
    """A handshake with default options; on a client, of a request with the usual key."""
    given = {"is_secure": False, "external_port": None} | details
    opening = OpeningHandshake(given.pop("options", Options()), is_server=is_server, **given)
    opening.key = KEY
    return opening


class TestServer:
    """RFC 6455, section 4.2.1."""

    def test_a_request(self) -> None:
        opening = handshake()
        request = opening.receive(REQUEST)
        assert isinstance(request, Opening)
        assert (request.key, request.resource, request.host, request.port) == (KEY, "/chat", "localhost", 80)
        assert opening.rest == b""

    def test_byte_by_byte(self) -> None:
        opening = handshake()
        assert [opening.receive(bytes([byte])) for byte in REQUEST[:-1]] == [None] * (len(REQUEST) - 1)
        assert isinstance(opening.receive(REQUEST[-1:]), Opening)

    def test_what_is_behind_is_kept(self) -> None:
        opening = handshake()
        assert opening.receive(REQUEST + b"one ") is not None
        assert opening.receive(b"two") is None
        assert opening.rest == b"one two"

    def test_what_is_behind_a_refused_one_is_kept_for_whoever_serves_pages(self) -> None:
        opening = handshake()
        with pytest.raises(NotAnUpgrade):
            opening.receive(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\nmore")
        assert opening.request is not None
        assert opening.request.target == "/page"
        assert opening.rest == b"more"

    def test_a_bad_request(self) -> None:
        opening = handshake()
        with pytest.raises(InvalidRequest) as caught:
            opening.receive(REQUEST.replace(b"Version: 13", b"Version: 7"))
        assert caught.value.http_status == 426

    def test_a_request_that_is_no_request(self) -> None:
        opening = handshake()
        with pytest.raises(InvalidRequest):
            opening.receive(b"\x16\x03\x01")
        assert opening.request is None

    @pytest.mark.parametrize(
        ("options", "status"),
        [(Options(max_handshake_size=100), 431), (Options(max_handshake_headers=2), 431)],
        ids=["size", "headers"],
    )
    def test_the_bounds_are_those_of_the_options(self, options: Options, status: int) -> None:
        with pytest.raises(InvalidRequest) as caught:
            handshake(options=options).receive(REQUEST)
        assert caught.value.http_status == status

    def test_the_default_port_depends_on_the_transport(self) -> None:
        request = handshake(is_secure=True).receive(REQUEST)
        assert isinstance(request, Opening)
        assert request.port == 443

    def test_a_port_that_is_not_that_of_the_server(self) -> None:
        with pytest.raises(InvalidRequest, match="port 9001"):
            handshake(external_port=9000).receive(REQUEST.replace(b"localhost", b"localhost:9001"))


class TestClient:
    """RFC 6455, section 4.1."""

    def test_a_response(self) -> None:
        opening = handshake(False)
        acceptance = opening.receive(RESPONSE + b"frame")
        assert isinstance(acceptance, Acceptance)
        assert acceptance.subprotocol is None
        assert opening.rest == b"frame"

    def test_a_subprotocol_that_was_offered(self) -> None:
        opening = handshake(False)
        opening.protocols = ("chat",)
        acceptance = opening.receive(RESPONSE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: chat\r\n\r\n"))
        assert isinstance(acceptance, Acceptance)
        assert acceptance.subprotocol == "chat"

    def test_a_response_to_another_key(self) -> None:
        opening = handshake(False)
        opening.key = KEY.lower()
        with pytest.raises(InvalidResponse, match="does not match the key"):
            opening.receive(RESPONSE)

    def test_a_response_that_is_none(self) -> None:
        with pytest.raises(InvalidResponse, match="does not answer with HTTP"):
            handshake(False).receive(b"220 mail.example.com ESMTP\r\n")
