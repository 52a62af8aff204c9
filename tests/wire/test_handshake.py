from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahnlike.exception import InvalidArgument, InvalidRequest, InvalidResponse, NotAnUpgrade
from autobahnlike.wire.handshake import (
    Acceptance,
    Opening,
    accept_key,
    accept_response,
    build_request,
    new_key,
    read_request,
    read_response,
    refuse_response,
)
from autobahnlike.wire.headers import Headers
from autobahnlike.wire.http11 import Request, RequestReader, Response, ResponseReader
from autobahnlike.wire.options import Options

# The example of RFC 6455, section 1.3.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

GOOD = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


Changes: TypeAlias = Mapping[str, str | list[str] | None]


def request(changes: Changes = MappingProxyType({}), target: str = "/", **fields: str) -> Request:
    pairs = []
    for name, value in {**GOOD, **changes}.items():
        lines = value if isinstance(value, list) else [value]
        pairs += [(name, line) for line in lines if line is not None]
    return Request(fields.get("method", "GET"), target, fields.get("version", "HTTP/1.1"), Headers(pairs))


def opening(changes: Changes = MappingProxyType({}), target: str = "/", **options: Any) -> Opening:
    return read_request(request(changes, target), Options(**options))


def refusal(changes: Changes = MappingProxyType({}), target: str = "/", **options: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        opening(changes, target, **options)
    return caught.value


def status(changes: Changes = MappingProxyType({}), target: str = "/", **options: Any) -> int:
    return refusal(changes, target, **options).http_status


def answer(changes: Changes = MappingProxyType({}), target: str = "/") -> bytes:
    """The response to a request, good or bad."""
    try:
        return accept_response(opening(changes, target))
    except InvalidRequest as error:
        return refuse_response(error.http_status, error.reason, error.headers)


class TestReadRequest:
    """RFC 6455, section 4.2.1."""

    def test_least(self) -> None:
        assert opening() == Opening(
            key=KEY,
            version=13,
            host="example.com",
            port=80,
            resource="/",
            path="/",
            params={},
            origin="",
            protocols=[],
            extensions=[],
            headers=request().headers,
        )

    def test_everything(self) -> None:
        result = opening(
            {
                "Host": "[::1]:9000",
                "Origin": "https://example.com",
                "Sec-WebSocket-Protocol": ["a, b", "c"],
                "Sec-WebSocket-Extensions": ["x; y=1, z", 'x; y="2"'],
            },
            "/a%20b;c?d=e%2F&d=f&g=",
        )
        assert (result.host, result.port) == ("::1", 9000)
        assert (result.resource, result.path) == ("/a%20b;c?d=e%2F&d=f&g=", "/a%20b;c")
        assert result.params == {"d": ["e/", "f"]}
        assert result.origin == "https://example.com"
        assert result.protocols == ["a", "b", "c"]
        assert result.extensions == [("x", [("y", "1")]), ("z", []), ("x", [("y", "2")])]

    def test_default_port(self) -> None:
        assert read_request(request(), Options(), is_secure=True).port == 443

    @pytest.mark.parametrize("method", ["POST", "get", "HEAD", ""])
    def test_method(self, method: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            read_request(request(method=method), Options())
        assert caught.value.http_status == 405
        assert caught.value.headers == (("Allow", "GET"),)

    @pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/2", "\x1b"])
    def test_version_of_http(self, version: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            read_request(request(version=version), Options())
        assert caught.value.http_status == 505
        assert caught.value.reason.isprintable()


class TestTarget:
    @pytest.mark.parametrize(
        ("target", "resource", "host"),
        [
            ("/", "/", "example.com"),
            ("//x/y", "//x/y", "example.com"),
            ("/%00%ff", "/%00%ff", "example.com"),
            ("/?", "/?", "example.com"),
            ("/a://b", "/a://b", "example.com"),
            ("http://other.example/a?b", "/a?b", "other.example"),
            ("WSS://other.example", "/", "other.example"),
            ("ws://other.example?a=/b", "/?a=/b", "other.example"),
        ],
    )
    def test_good(self, target: str, resource: str, host: str) -> None:
        result = opening(target=target)
        assert (result.resource, result.host) == (resource, host)

    @pytest.mark.parametrize(
        "target",
        [
            *("", "*", "foo", "foo/bar", "example.com:80", "/a#b", "/#", "/a b", "/\x1b", "/ü", "/\x85", "/\udc80"),
            *("ftp://a/", "://a/", "http:/a", "http://", "http:///a", "http://u@a/", "http://a:x/", "http://?a"),
        ],
    )
    def test_bad(self, target: str) -> None:
        error = refusal(target=target)
        assert error.http_status == 400
        assert error.reason.isascii()
        assert error.reason.isprintable()

    @given(st.text())
    def test_any_target_is_answered(self, target: str) -> None:
        assert answer(target=target)[:12] in (b"HTTP/1.1 101", b"HTTP/1.1 400")


class TestHost:
    @pytest.mark.parametrize("host", [None, ["a", "a"], "", "a b", "a:x", "a:99999", "::1:80", "u@a", "a\x1b"])
    def test_bad(self, host: str | list[str] | None) -> None:
        assert status({"Host": host}) == 400

    def test_of_an_absolute_target_wins_but_ours_must_be_good(self) -> None:
        assert opening({"Host": "a:1"}, "http://b:2/").port == 2
        assert status({"Host": "a b"}, "http://b:2/") == 400

    @pytest.mark.parametrize("host", ["a:1", "a"])
    def test_external_port(self, host: str) -> None:
        assert read_request(request({"Host": host}), Options(), external_port=1).host == "a"

    def test_another_port_than_the_external_one(self) -> None:
        with pytest.raises(InvalidRequest, match="port 2 ") as caught:
            read_request(request({"Host": "a:2"}), Options(), external_port=1)
        assert caught.value.http_status == 400


class TestUpgrade:
    def test_a_plain_get(self) -> None:
        with pytest.raises(NotAnUpgrade) as caught:
            opening({"Upgrade": None, "Connection": "keep-alive"})
        assert caught.value.http_status == 426
        assert caught.value.headers == (("Upgrade", "websocket"), ("Connection", "Upgrade"))

    @pytest.mark.parametrize("upgrade", ["h2c", "", "websockets", "webSoc\u212aet", "web socket"])
    def test_to_something_else(self, upgrade: str) -> None:
        assert status({"Upgrade": upgrade}) == 400

    @pytest.mark.parametrize("connection", [None, "", "keep-alive", "upgraded", ["close", "x"]])
    def test_without_the_option_of_the_connection(self, connection: str | list[str] | None) -> None:
        assert status({"Connection": connection}) == 400

    @pytest.mark.parametrize(
        ("upgrade", "connection"),
        [
            ("WebSocket", "upgrade"),
            ("h2c/1, WEBSOCKET", "keep-alive,\tUPGRADE"),
            (["a", "websocket"], ["b", "upgrade"]),
        ],
    )
    def test_unusual(self, upgrade: str | list[str], connection: str | list[str]) -> None:
        assert opening({"Upgrade": upgrade, "Connection": connection}).key == KEY


class TestBody:
    """A body would be taken for frames, or the frames for a body (GHSA-mfx4-hv73-q22v)."""

    def test_of_no_length(self) -> None:
        assert opening({"Content-Length": "0"}).key == KEY

    @pytest.mark.parametrize("length", ["1", "", "-1", "+0", "00", "1_0", "0, 0", ["0", "0"], ["0", "5"], "\u0660"])
    def test_of_some_length(self, length: str | list[str]) -> None:
        assert status({"Content-Length": length}) == 400

    @pytest.mark.parametrize("coding", ["chunked", "", "identity"])
    def test_with_a_transfer_coding(self, coding: str) -> None:
        assert status({"Transfer-Encoding": coding}) == 400
        assert status({"Transfer-Encoding": coding, "Content-Length": "0"}) == 400

    def test_of_a_plain_get(self) -> None:
        assert not isinstance(refusal({"Upgrade": None, "Content-Length": "5"}), NotAnUpgrade)


class TestVersion:
    @pytest.mark.parametrize(
        "version", [None, ["13", "13"], "", "x", "-1", "+13", "013", "13.0", "13, 8", "1" * 5000, "\u0661\u0663"]
    )
    def test_bad(self, version: str | list[str] | None) -> None:
        assert status({"Sec-WebSocket-Version": version}) == 400

    @pytest.mark.parametrize("version", ["0", "7", "8", "14", "99", "255"])
    def test_unsupported(self, version: str) -> None:
        error = refusal({"Sec-WebSocket-Version": version})
        assert error.http_status == 426
        assert dict(error.headers)["Sec-WebSocket-Version"] == "13"
        assert not isinstance(error, NotAnUpgrade)

    def test_all_supported_ones_are_named(self) -> None:
        error = refusal({"Sec-WebSocket-Version": "7"}, versions=(8, 13))
        assert dict(error.headers)["Sec-WebSocket-Version"] == "13, 8"

    def test_8_if_it_is_allowed(self) -> None:
        assert opening({"Sec-WebSocket-Version": "8"}, versions=(8, 13)).version == 8


class TestKey:
    @pytest.mark.parametrize(
        "key",
        [
            *(None, [KEY, KEY], "", KEY[:-1], KEY[:-2], KEY + "=", "*" * 24, "x" * 24, KEY[:-2] + "=A", "=" * 24),
            *(
                KEY[:10] + " " + KEY[11:],
                KEY[:10] + "-" + KEY[11:],
                "ü" + KEY[1:],
                KEY[:20] + "====",
                KEY[:10] + "\x85" + KEY[11:],
            ),
            *(base64.b64encode(b"x" * 15).decode(), base64.b64encode(b"x" * 17).decode()),
        ],
    )
    def test_bad(self, key: str | list[str] | None) -> None:
        assert status({"Sec-WebSocket-Key": key}) == 400

    @given(st.binary(min_size=16, max_size=16))
    def test_good(self, random_bytes: bytes) -> None:
        key = new_key(random_bytes)
        assert opening({"Sec-WebSocket-Key": key}).key == key

    def test_new_key_needs_16_bytes(self) -> None:
        with pytest.raises(InvalidArgument, match="16 bytes"):
            new_key(b"x" * 15)

    def test_accept(self) -> None:
        assert accept_key(KEY) == ACCEPT


class TestOrigin:
    def test_any_by_default(self) -> None:
        for origin in ("http://evil.example", "null", "chrome-extension://abc"):
            assert opening({"Origin": origin}).origin == origin

    def test_not_allowed(self) -> None:
        error = refusal({"Origin": "http://evil.example"}, allowed_origins=("http://good.example:80",))
        assert error.http_status == 403
        assert "'http://evil.example' not allowed" in error.reason

    def test_allowed(self) -> None:
        assert opening({"Origin": "http://a.good.example"}, allowed_origins=("*://*.good.example:*",)).origin

    def test_absent(self) -> None:
        assert opening(allowed_origins=()).origin == ""

    def test_null(self) -> None:
        assert opening({"Origin": "null"}, allowed_origins=()).origin == "null"
        assert status({"Origin": "null"}, allow_null_origin=False) == 403

    @pytest.mark.parametrize("origin", ["", "x", "//x", "http://a http://b", "\x1b", ["http://a", "http://a"]])
    def test_bad(self, origin: str | list[str]) -> None:
        error = refusal({"Origin": origin})
        assert error.http_status == 400
        assert error.reason.isprintable()

    def test_of_version_8(self) -> None:
        options: dict[str, Any] = {"versions": (8, 13), "allowed_origins": ("http://good:80",)}
        version = {"Sec-WebSocket-Version": "8"}
        for name in ("Origin", "Sec-WebSocket-Origin"):
            assert opening(version | {name: "http://good"}, **options).origin == "http://good"
            assert status(version | {name: "http://evil"}, **options) == 403
        both = {"Origin": "http://evil", "Sec-WebSocket-Origin": "http://good"}
        assert status(version | both, **options) == 400

    def test_version_13_has_one_name_for_it(self) -> None:
        assert opening({"Sec-WebSocket-Origin": "http://evil"}, allowed_origins=()).origin == ""


class TestOffers:
    @pytest.mark.parametrize("value", ["a b", "a;b", "ä", '"a"', "a, a", ["a", "b, a"]])
    def test_bad_protocols(self, value: str | list[str]) -> None:
        assert status({"Sec-WebSocket-Protocol": value}) == 400

    @pytest.mark.parametrize("value", ["a b", "a;", 'a; b="', "ä", "a; b=", ["a", ";"]])
    def test_bad_extensions(self, value: str | list[str]) -> None:
        assert status({"Sec-WebSocket-Extensions": value}) == 400

    def test_empty_lists(self) -> None:
        result = opening({"Sec-WebSocket-Protocol": ["", ","], "Sec-WebSocket-Extensions": " , "})
        assert (result.protocols, result.extensions) == ([], [])

    @given(
        st.dictionaries(
            st.sampled_from([*GOOD, "Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"]), st.text()
        )
    )
    def test_any_values_are_answered(self, changes: dict[str, Any]) -> None:
        head = ResponseReader().feed(answer(changes))
        assert head is not None
        assert head.status in (101, 400, 426)


class TestAccept:
    """RFC 6455, section 4.2.2."""

    def test_least(self) -> None:
        assert accept_response(opening()) == (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        ).encode("ascii")

    def test_everything(self) -> None:
        data = accept_response(
            opening({"Sec-WebSocket-Protocol": "a, b"}),
            subprotocol="b",
            extensions="x; y=1",
            headers={"Set-Cookie": ["c=1", "d=2"], "X": 3},
            server="Tests",
        )
        assert data == (
            "HTTP/1.1 101 Switching Protocols\r\nServer: Tests\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
            "Set-Cookie: c=1\r\nSet-Cookie: d=2\r\nX: 3\r\nSec-WebSocket-Protocol: b\r\n"
            f"Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Extensions: x; y=1\r\n\r\n"
        ).encode("ascii")

    def test_server_of_the_application(self) -> None:
        data = accept_response(opening(), headers=[("server", "theirs")], server="ours")
        assert b"server: theirs" in data
        assert b"ours" not in data

    @pytest.mark.parametrize("subprotocol", ["b", "", "A"])
    def test_subprotocol_that_was_not_offered(self, subprotocol: str) -> None:
        with pytest.raises(InvalidArgument, match="was not offered"):
            accept_response(opening({"Sec-WebSocket-Protocol": "a"}), subprotocol=subprotocol)

    @pytest.mark.parametrize(
        "name",
        [
            *("Upgrade", "connection", "Content-Length", "Transfer-Encoding", "SEC-WEBSOCKET-ACCEPT"),
            *("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Sec-WebSocket-Key", "Sec-WebSocket-Version"),
        ],
    )
    def test_headers_of_the_handshake_cannot_be_given(self, name: str) -> None:
        with pytest.raises(InvalidArgument, match="belongs to the handshake"):
            accept_response(opening(), headers={name: "x"})
        with pytest.raises(InvalidArgument, match="belongs to the handshake"):
            build(headers={name: "x"})

    @pytest.mark.parametrize(
        "wish",
        [{"headers": {"A": "b\r\nC: d"}}, {"headers": {"A\r\nB": "c"}}, {"server": "a\r\nb"}, {"extensions": "a\nb"}],
    )
    def test_nothing_is_injected(self, wish: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument):
            accept_response(opening(), **wish)


class TestRefuse:
    def test_least(self) -> None:
        assert refuse_response(403) == (
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
            b"Content-Length: 14\r\n\r\n403 Forbidden\n"
        )

    def test_everything(self) -> None:
        data = refuse_response(401, "Who?", {"Content-Type": "text/html", "A": ["b", "c"]}, b"<p>", "Tests")
        assert data == (
            b"HTTP/1.1 401 Who?\r\nServer: Tests\r\nContent-Type: text/html\r\nA: b\r\nA: c\r\nConnection: close\r\n"
            b"Content-Length: 3\r\n\r\n<p>"
        )

    def test_server_of_the_application(self) -> None:
        assert b"ours" not in refuse_response(400, server="ours", headers={"Server": "theirs"})

    def test_empty_body(self) -> None:
        assert refuse_response(400, body=b"").endswith(b"Content-Length: 0\r\n\r\n")

    def test_empty_reason(self) -> None:
        assert refuse_response(404, "").startswith(b"HTTP/1.1 404 Not Found\r\n")

    def test_a_reason_injects_nothing(self) -> None:
        data = refuse_response(400, "a\r\nSet-Cookie: b\r\n\r\n<script>")
        assert b"HTTP/1.1 400 a??Set-Cookie: b????<script>\r\n" in data
        assert b"\nSet-Cookie" not in data

    @pytest.mark.parametrize("status", [0, 100, 101, 199, 600, -1, None, "400", "400 OK\r\n"])
    def test_bad_status(self, status: Any) -> None:
        with pytest.raises(InvalidArgument, match="200 to 599"):
            refuse_response(status)

    @pytest.mark.parametrize(
        "headers", [{"Content-Length": "5"}, {"transfer-encoding": "chunked"}, {"A": "\n"}, {"A": b"x"}]
    )
    def test_bad_headers(self, headers: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument):
            refuse_response(400, headers=headers)

    def test_every_refusal_can_be_written(self) -> None:
        error = refusal({"Sec-WebSocket-Version": "7"})
        data = refuse_response(error.http_status, error.reason, error.headers)
        head = ResponseReader().feed(data)
        assert head is not None
        assert head.status == 426
        assert head.headers.get_all("Connection") == ["Upgrade", "close"]


def build(**changes: Any) -> bytes:
    wishes: dict[str, Any] = {"host": "example.com", "port": 80, "secure": False, "resource": "/", "key": KEY}
    return build_request(**(wishes | changes))


def lines_of(data: bytes) -> list[str]:
    return data.decode().split("\r\n")[:-2]


class TestBuildRequest:
    """RFC 6455, section 4.1."""

    def test_least(self) -> None:
        assert lines_of(build()) == [
            "GET / HTTP/1.1",
            "Host: example.com",
            "Upgrade: WebSocket",
            "Connection: Upgrade",
            "Pragma: no-cache",
            "Cache-Control: no-cache",
            f"Sec-WebSocket-Key: {KEY}",
            "Sec-WebSocket-Version: 13",
        ]

    def test_everything(self) -> None:
        data = build(
            host="::1",
            port=9000,
            secure=True,
            resource="/a?b=c",
            origin="http://d",
            protocols=["e", "f"],
            extensions="g; h",
            headers={"Cookie": "i=j", "K": ["l", "m"]},
            useragent="Tests",
        )
        assert lines_of(data) == [
            "GET /a?b=c HTTP/1.1",
            "User-Agent: Tests",
            "Host: [::1]:9000",
            "Upgrade: WebSocket",
            "Connection: Upgrade",
            "Pragma: no-cache",
            "Cache-Control: no-cache",
            "Cookie: i=j",
            "K: l",
            "K: m",
            f"Sec-WebSocket-Key: {KEY}",
            "Origin: http://d",
            "Sec-WebSocket-Protocol: e,f",
            "Sec-WebSocket-Extensions: g; h",
            "Sec-WebSocket-Version: 13",
        ]

    def test_headers_of_the_application_replace_ours(self) -> None:
        given = {"host": "a", "user-agent": "b", "pragma": "c", "cache-control": "d", "origin": "e"}
        lines = lines_of(build(headers=given, useragent="Tests"))
        assert lines[1:3] == ["Upgrade: WebSocket", "Connection: Upgrade"]
        assert lines[3:8] == [f"{name}: {value}" for name, value in given.items()]

    @pytest.mark.parametrize(("version", "wire"), [(10, 8), (11, 8), (12, 8), (13, 13), (17, 13), (18, 13)])
    def test_versions(self, version: int, wire: int) -> None:
        lines = lines_of(build(version=version, origin="http://a"))
        assert lines[-1] == f"Sec-WebSocket-Version: {wire}"
        assert lines[-2] == f"{'Sec-WebSocket-Origin' if version == 10 else 'Origin'}: http://a"

    def test_unix_domain_socket(self) -> None:
        assert "Host: localhost" in lines_of(build(host="unix", port="/tmp/x", resource="/tmp/x"))

    @pytest.mark.parametrize(
        "wish",
        [
            {"version": 9},
            {"version": 19},
            {"resource": ""},
            {"resource": "a"},
            {"resource": "/a#b"},
            {"resource": "/a b"},
            {"resource": "/\r\nA: b"},
            {"resource": "/ü"},
            {"host": "a\r\nb"},
            {"host": ""},
            {"key": "a\r\nb"},
            {"origin": "a\r\nb"},
            {"useragent": "a\r\nb"},
            {"extensions": "a\r\nb"},
            {"protocols": ["a b"]},
            {"protocols": ["a", "a"]},
            {"protocols": [""]},
            {"protocols": ["a\r\n"]},
            {"headers": {"A": "b\r\n"}},
            {"headers": {"Host": ["a", "b"]}},
            {"headers": {"Host": "a b"}},
            {"headers": {"Origin": "a"}, "origin": "b"},
        ],
    )
    def test_what_may_not_be_sent(self, wish: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument):
            build(**wish)

    def test_a_server_reads_it(self) -> None:
        data = build(
            host="::1", port=9, resource="/a?b=c", origin="http://d", protocols=("e", "f"), extensions="g; h=1"
        )
        head = RequestReader().feed(data)
        assert head is not None
        result = read_request(head, Options())
        assert (result.host, result.port, result.resource) == ("::1", 9, "/a?b=c")
        assert (result.key, result.version, result.origin) == (KEY, 13, "http://d")
        assert (result.protocols, result.extensions) == (["e", "f"], [("g", [("h", "1")])])


REPLY = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": ACCEPT}


def acceptance(
    changes: Changes = MappingProxyType({}), status: int = 101, reason: str = "", offered: Any = ()
) -> Acceptance:
    pairs = []
    for name, value in {**REPLY, **changes}.items():
        lines = value if isinstance(value, list) else [value]
        pairs += [(name, line) for line in lines if line is not None]
    return read_response(Response(status, reason, Headers(pairs)), key=KEY, protocols=offered)


class TestReadResponse:
    """RFC 6455, section 4.1."""

    def test_least(self) -> None:
        assert acceptance() == Acceptance(None, [], Headers(REPLY.items()))

    def test_everything(self) -> None:
        result = acceptance(
            {
                "Upgrade": "WebSocket",
                "Connection": ["keep-alive", "UPGRADE"],
                "Sec-WebSocket-Protocol": "b",
                "Sec-WebSocket-Extensions": ["x; y=1", "z"],
            },
            offered=["a", "b"],
        )
        assert result.subprotocol == "b"
        assert result.extensions == [("x", [("y", "1")]), ("z", [])]

    def test_empty_subprotocol_is_none(self) -> None:
        assert acceptance({"Sec-WebSocket-Protocol": ""}).subprotocol is None

    @pytest.mark.parametrize(
        ("status", "reason", "text"),
        [
            (403, "Forbidden", "[403]: Forbidden"),
            (403, "", "[403]: Forbidden"),
            (200, "OK", "[200]: OK"),
            (302, "a\x85b", "[302]: a?b"),
            (499, "", "[499]: Client Error"),
        ],
    )
    def test_refused(self, status: int, reason: str, text: str) -> None:
        with pytest.raises(InvalidResponse) as caught:
            acceptance(status=status, reason=reason)
        assert caught.value.reason == f"WebSocket connection upgrade failed {text}"
        assert caught.value.http_status == status
        assert ("Sec-WebSocket-Accept", ACCEPT) in caught.value.headers

    @pytest.mark.parametrize(
        "changes",
        [
            {"Upgrade": None},
            {"Upgrade": "h2c"},
            {"Upgrade": ""},
            {"Upgrade": "websocket, h2c"},
            {"Upgrade": ["websocket", "websocket"]},
            {"Upgrade": "webSoc\u212aet"},
            {"Connection": None},
            {"Connection": "keep-alive"},
            {"Sec-WebSocket-Accept": None},
            {"Sec-WebSocket-Accept": ""},
            {"Sec-WebSocket-Accept": KEY},
            {"Sec-WebSocket-Accept": ACCEPT.swapcase()},
            {"Sec-WebSocket-Accept": [ACCEPT, ACCEPT]},
            {"Sec-WebSocket-Accept": ["x", ACCEPT]},
            {"Sec-WebSocket-Protocol": "c"},
            {"Sec-WebSocket-Protocol": "A"},
            {"Sec-WebSocket-Protocol": "a, b"},
            {"Sec-WebSocket-Protocol": ["a", "b"]},
            {"Sec-WebSocket-Extensions": "a;"},
            {"Sec-WebSocket-Extensions": 'a; b="'},
        ],
    )
    def test_bad(self, changes: dict[str, Any]) -> None:
        with pytest.raises(InvalidResponse) as caught:
            acceptance(changes, offered=["a", "b"])
        assert caught.value.http_status == 101
        assert caught.value.reason.isprintable()

    def test_a_client_reads_what_a_server_writes(self) -> None:
        data = accept_response(opening({"Sec-WebSocket-Protocol": "a"}), subprotocol="a", extensions="x; y")
        head = ResponseReader().feed(data)
        assert head is not None
        result = read_response(head, key=KEY, protocols=["a"])
        assert (result.subprotocol, result.extensions) == ("a", [("x", [("y", None)])])

    @given(st.dictionaries(st.sampled_from([*REPLY, "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"]), st.text()))
    def test_any_values_are_judged(self, changes: dict[str, Any]) -> None:
        with contextlib.suppress(InvalidResponse):
            assert acceptance(changes).subprotocol is None


class TestData:
    def test_are_frozen(self) -> None:
        for value, name in ((opening(), "key"), (acceptance(), "subprotocol"), (request(), "method")):
            with pytest.raises(AttributeError):
                setattr(value, name, "x")
