"""What proxies in front say, and how much of it is believed."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from autobahnlike.asgi.forwarded import believe_proxies, peer_of
from tests.asgi.kit import get, hello_app, respond
from tests.asgi.memory import Site, websocket
from tests.asgi.test_scope import http
from tests.asgi.test_scope import websocket as websocket_of

CONNECTION = ("192.0.2.1", 1234)


def fields(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in pairs]


def scope_of(proxies: int, *pairs: tuple[str, str]) -> dict[str, Any]:
    return http(headers=fields(("host", "x"), *pairs), proxies=proxies)


@pytest.mark.parametrize(
    ("proxies", "client"),
    [
        (0, CONNECTION),
        (1, ("3.3.3.3", 0)),
        (2, ("2.2.2.2", 0)),
        (3, ("1.1.1.1", 0)),
        (4, ("1.1.1.1", 0)),
    ],
)
def test_addresses_are_counted_from_the_right(proxies: int, client: Any) -> None:
    together = scope_of(proxies, ("x-forwarded-for", "1.1.1.1, 2.2.2.2,3.3.3.3"))
    apart = scope_of(proxies, ("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("a", "b"), ("x-forwarded-for", "3.3.3.3"))
    assert together["client"] == apart["client"] == client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:DB8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("made up, 198.51.100.7", "198.51.100.7"),
    ],
)
def test_how_addresses_are_written(value: str, client: str) -> None:
    assert scope_of(1, ("x-forwarded-for", value))["client"] == (client, 0)


@pytest.mark.parametrize(
    "value", ["", " , ", "unknown", "_hidden", "unix:", "1.2.3", "[1.2.3.4", "999.1.1.1", "1.2.3.4:x"]
)
def test_what_is_no_address_is_not_believed(value: str) -> None:
    assert scope_of(1, ("x-forwarded-for", value))["client"] == CONNECTION


@pytest.mark.parametrize(
    ("proxies", "said", "is_secure", "schemes"),
    [
        (0, "https", False, ("http", "ws")),
        (1, "https", False, ("https", "wss")),
        (1, "WSS", False, ("https", "wss")),
        (1, "http", True, ("http", "ws")),
        (1, "ws", True, ("http", "ws")),
        (1, "gopher", True, ("https", "wss")),
        (1, "gopher", False, ("http", "ws")),
        # A client has made up the first one; and one that is set and not appended to counts for all.
        (1, "https, http", False, ("http", "ws")),
        (2, "https, http", False, ("https", "wss")),
        (2, "https", False, ("https", "wss")),
    ],
)
def test_schemes(proxies: int, said: str, is_secure: bool, schemes: tuple[str, str]) -> None:
    head = f"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: {said}\r\n\r\n".encode()
    of_request = http(headers=fields(("x-forwarded-proto", said)), proxies=proxies, is_secure=is_secure)
    of_websocket = websocket_of(head=head, proxies=proxies, is_secure=is_secure)
    assert (of_request["scheme"], of_websocket["scheme"]) == schemes


def test_who_is_behind_a_proxy_on_a_unix_domain_socket() -> None:
    scope = http(peer="unix:", headers=fields(("x-forwarded-for", "2001:db8::7")), proxies=1)
    assert (scope["client"], peer_of(scope, "unix:")) == (("2001:db8::7", 0), "tcp6:2001:db8::7:0")
    silent = http(peer="unix:", proxies=1)
    assert (silent["client"], peer_of(silent, "unix:")) == (None, "unix:")


def test_applications_see_that_proxies_were_believed() -> None:
    shared: dict[str, Any] = {"websocket.http.response": {}}
    scope = websocket_of(proxies=2, extensions=shared)
    assert scope["extensions"] == {"websocket.http.response": {}, "autobahnlike.proxies": 2}
    assert shared == {"websocket.http.response": {}}
    assert "autobahnlike.proxies" not in websocket_of()["extensions"]
    believe_proxies(scope, 1)
    assert scope["extensions"]["autobahnlike.proxies"] == 1


@pytest.fixture
def access(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "autobahnlike.access")
    return caplog


def test_a_server_believes_what_it_was_told_to(access: pytest.LogCaptureFixture) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], scope["scheme"], scope["client"]))
        if scope["type"] == "websocket":
            await hello_app(scope, receive, send)
        else:
            await respond(send, b"here")

    said = "X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\nX-Forwarded-Proto: https\r\n"
    site = Site(app, proxies=1, access_log=True)
    assert websocket(site, headers=said).take().startswith(b"HTTP/1.1 101 ")
    assert site.connect(get(headers=said)).take().endswith(b"here")
    assert seen == [("websocket", "wss", ("198.51.100.7", 0)), ("http", "https", ("198.51.100.7", 0))]
    assert [line.split()[0] for line in access.messages] == ["198.51.100.7:0"] * 2


def test_a_server_believes_nobody_by_itself(access: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["scheme"], scope["client"]))
        await respond(send)

    site = Site(app, access_log=True)
    plain = site.connect(get())
    forged = site.connect(get(headers="X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"))
    assert plain.take() != b""
    assert forged.take() != b""
    assert seen[0] == seen[1]
    assert seen[0][0] == "http"
    assert not any("6.6.6.6" in line for line in access.messages)
