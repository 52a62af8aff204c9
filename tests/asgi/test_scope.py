"""The scopes, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from autobahnlike.asgi.scope import http_scope, parse_head, split_target, websocket_scope

HEAD = b"GET /a%20b/?c=d%20e HTTP/1.1\r\nHost: x\r\nX-Two:  a \r\nx-two:b\r\nEmpty:\r\n\r\n"


def websocket(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "head": HEAD,
        "subprotocols": ["a", "b"],
        "peer": "tcp4:192.0.2.1:1234",
        "own": "tcp4:192.0.2.2:80",
        "root_path": "",
        "is_secure": False,
        "state": {"n": 1},
        "extensions": {"websocket.http.response": {}},
    }
    return websocket_scope(**(arguments | changes))


def http(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "method": "GET",
        "http_version": "1.1",
        "target": b"/a",
        "headers": [(b"host", b"x")],
        "peer": "tcp4:192.0.2.1:1234",
        "own": "tcp4:192.0.2.2:80",
        "root_path": "",
        "is_secure": False,
        "state": {},
    }
    return http_scope(**(arguments | changes))


def test_websocket() -> None:
    assert websocket() == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/a b/",
        "raw_path": b"/a%20b/",
        "query_string": b"c=d%20e",
        "root_path": "",
        "headers": [(b"host", b"x"), (b"x-two", b"a"), (b"x-two", b"b"), (b"empty", b"")],
        "client": ("192.0.2.1", 1234),
        "server": ("192.0.2.2", 80),
        "subprotocols": ["a", "b"],
        "state": {"n": 1},
        "extensions": {"websocket.http.response": {}},
    }


def test_http() -> None:
    assert http() == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a",
        "raw_path": b"/a",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"x")],
        "client": ("192.0.2.1", 1234),
        "server": ("192.0.2.2", 80),
        "state": {},
        "extensions": {},
    }


def test_secure() -> None:
    assert (websocket(is_secure=True)["scheme"], http(is_secure=True)["scheme"]) == ("wss", "https")


def test_mounted() -> None:
    scope = http(target=b"/b%2F?c", root_path="/api")
    assert (scope["path"], scope["raw_path"], scope["root_path"]) == ("/api/b/", b"/api/b%2F", "/api")
    assert http(target=b"*", root_path="/api")["path"] == "*"


@pytest.mark.parametrize(
    ("address", "client", "server"),
    [
        ("tcp6:::1:80", ("::1", 80), ("::1", 80)),
        ("tcp6:fe80::1%eth0:80", ("fe80::1%eth0", 80), ("fe80::1%eth0", 80)),
        ("unix:/run/x.sock", None, ("/run/x.sock", None)),
        ("unix:", None, ("", None)),
    ],
)
def test_addresses(address: str, client: Any, server: Any) -> None:
    scope = http(peer=address, own=address)
    assert (scope["client"], scope["server"]) == (client, server)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"/a?http://b/c", b"/a", b"http://b/c"),
        (b"http://a/b?c", b"/b", b"c"),
        (b"HTTPS://a:1?c/d", b"/", b"c/d"),
        (b"http://a", b"/", b""),
        (b"*", b"*", b""),
    ],
)
def test_targets(target: bytes, path: bytes, query: bytes) -> None:
    assert split_target(target) == (path, query)


def test_bytes_that_are_no_utf_8() -> None:
    assert http(target=b"/%ff%C3%A9\xc3\xa9")["path"] == "/\ufffdéé"


def test_a_head_with_empty_lines_before() -> None:
    assert parse_head(b"\r\nGET /a HTTP/1.1\r\nA: b\r\n\r\n") == (b"/a", [(b"a", b"b")])


def test_each_scope_is_the_applications_own() -> None:
    state = {"n": 1}
    first, second = websocket(state=state), websocket(state=state)
    first["state"]["n"] = 2
    first["asgi"]["version"] = "4"
    assert (second["state"], second["asgi"]["version"], state) == ({"n": 1}, "3.0", {"n": 1})
