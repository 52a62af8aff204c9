"""WebSocket URLs, under the name they have in Autobahn; ``tests/wire/test_uri.py`` has the rest."""

from __future__ import annotations

import inspect

from autobahnlike.websocket import util
from autobahnlike.wire import uri


def test_names_are_autobahns() -> None:
    assert set(util.__all__) == {"create_url", "parse_url"}
    assert util.create_url is uri.create_url
    assert util.parse_url is uri.parse_url


def test_signatures_are_autobahns() -> None:
    assert list(inspect.signature(util.create_url).parameters) == ["hostname", "port", "isSecure", "path", "params"]
    assert list(inspect.signature(util.parse_url).parameters) == ["url"]


def test_a_url_can_be_taken_apart_and_put_together() -> None:
    secure, host, port, resource, path, params = util.parse_url("wss://example.com/a?b=c")
    assert (secure, host, port, resource, path, params) == (True, "example.com", 443, "/a?b=c", "/a", {"b": ["c"]})
    assert util.create_url(host, port, secure, path, params) == "wss://example.com:443/a?b=c"
