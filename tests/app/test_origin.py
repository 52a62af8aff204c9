"""Which web pages may connect."""

from __future__ import annotations

from typing import Any

import pytest

from autobahnlike.app.origin import SAME_ORIGIN, OriginPolicy
from autobahnlike.app.routing import Router
from autobahnlike.app.websocket import WebSocket
from tests.app.harness import Way, as_app, both_ways, websocket_scope


def allows(policy: OriginPolicy, origin: str | None, host: str | None = "example.com") -> bool:
    scope = websocket_scope("/ws")
    fields = {b"host": host, b"origin": origin}
    scope["headers"] = [(name, value.encode()) for name, value in fields.items() if value is not None]
    return policy.refusal(scope) is None


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "example.com", True),
        (None, None, True),
        ("http://example.com", "example.com", True),
        ("https://example.com", "example.com", True),
        ("HTTPS://Example.COM", "example.com", True),
        ("https://example.com", "EXAMPLE.com:443", True),
        ("http://example.com:80", "example.com", True),
        ("http://example.com:8080", "example.com:8080", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://example.com:8080", "example.com", False),
        ("http://example.com", "example.com:8080", False),
        ("https://example.com", "example.com:80", False),
        ("http://evil.example.com", "example.com", False),
        ("http://example.com.evil.org", "example.com", False),
        ("http://example.com@evil.org", "evil.org", False),
        ("http://example.com/", "example.com", False),
        ("http://example.com?", "example.com", False),
        ("example.com", "example.com", False),
        ("//example.com", "example.com", False),
        ("moz-extension://example.com", "example.com", False),
        ("null", "null", False),
        ("null", "example.com", False),
        ("", "", False),
        ("", "example.com", False),
        ("http://", "", False),
        ("http://example.com", None, False),
        ("http://example.com:99999", "example.com:99999", False),
        ("http://example.com", "example.com/x", False),
    ],
)
def test_the_same_origin(origin: str | None, host: str | None, allowed: bool) -> None:
    assert allows(SAME_ORIGIN, origin, host) is allowed


@pytest.mark.parametrize(
    ("listed", "origin", "allowed"),
    [
        ("*", "http://anything.org", True),
        ("*", "null", True),
        (["*"], "no origin at all", True),
        ([], "http://other.org", False),
        (["https://other.org"], "https://other.org", True),
        (["https://other.org"], "https://OTHER.org:443", True),
        (["https://Other.org:443"], "https://other.org", True),
        (["https://other.org"], "http://other.org", False),
        (["https://other.org"], "https://other.org:8443", False),
        (["https://other.org"], "https://other.org.evil.org", False),
        (["https://other.org"], "https://otherXorg", False),
        (["https://other.org"], "http://example.com", True),
        (["https://*.other.org"], "https://a.b.other.org", True),
        (["https://*.other.org"], "https://other.org", False),
        (["https://*.other.org"], "https://.other.org", False),
        (["https://*.other.org"], "https://evil.org/.other.org", False),
        (["https://*.other.org"], "https://evil.org:1.other.org", False),
        (["http://localhost:*"], "http://localhost:5173", True),
        (["http://localhost:*"], "http://localhost", False),
        (["null"], "null", True),
        (["null"], "http://null", False),
        (["moz-extension://12-34"], "moz-extension://12-34", True),
        ("https://other.org", "https://other.org", True),
    ],
)
def test_listed_origins(listed: Any, origin: str, allowed: bool) -> None:
    assert allows(OriginPolicy(listed), origin) is allowed


@pytest.mark.parametrize(
    "listed",
    [
        "example.com",
        "https://example.com/",
        "https://example.com/path",
        "https://user@example.com",
        "https://",
        "http://example.com:port",
        "",
        7,
    ],
)
def test_what_is_no_origin(listed: Any) -> None:
    with pytest.raises(ValueError, match=r"is no origin|is text like"):
        OriginPolicy([listed])


def test_two_origins_are_none() -> None:
    scope = websocket_scope("/ws", headers=[("Origin", "http://testserver"), ("Origin", "http://testserver")])
    assert SAME_ORIGIN.refusal(scope) == "it has 2 Origin headers"


def test_of() -> None:
    assert OriginPolicy.of(None) is SAME_ORIGIN
    policy = OriginPolicy("*")
    assert OriginPolicy.of(policy) is policy
    assert repr(OriginPolicy.of(["http://a.org"])) == "OriginPolicy(('http://a.org',))"


@both_ways
async def test_who_decides(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    router = Router()

    async def view(ws: WebSocket) -> None: ...

    router.websocket_route("/default")(view)
    router.websocket_route("/listed", allowed_origins=["http://other.org"])(view)
    router.websocket_route("/all", allowed_origins="*", auto_accept=True)(view)
    router.websocket_route("/own", allowed_origins=())(view)

    class App:
        origin_policy = OriginPolicy(["http://third.org"])

    async def answer(path: str, origin: str, **scope: Any) -> int:
        talk = await way.talk(as_app(router), path, headers={"Origin": origin}, **scope)
        assert talk.error is None
        status: int = talk.wire[0]
        return status

    assert await answer("/default", "http://testserver") == 101
    assert await answer("/default", "http://other.org") == 403
    assert await answer("/default", "http://third.org", app=App()) == 101
    assert await answer("/default", "http://other.org", app=App()) == 403
    assert await answer("/listed", "http://other.org") == 101
    assert await answer("/listed", "http://third.org", app=App()) == 403
    assert await answer("/all", "http://third.org") == 101
    assert await answer("/own", "http://third.org", app=App()) == 403
    assert caplog.records[0].name == "autobahnlike.app"
    assert caplog.messages[0] == (
        "WebSocket to '/default' refused with HTTP 403: a page of 'http://other.org' is not of this server, which the "
        "client calls 'testserver'; to let it in, add allowed_origins=['http://other.org'] to App() or to the route"
    )
