from __future__ import annotations

import runpy
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahnlike.exception import InvalidArgument
from autobahnlike.wire import uri
from autobahnlike.wire.uri import (
    Origin,
    create_url,
    host_header,
    origin_allowed,
    parse_host,
    parse_origin,
    parse_url,
)


class TestParseUrl:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("ws://localhost", (False, "localhost", 80, "/", "/", {})),
            ("wss://localhost", (True, "localhost", 443, "/", "/", {})),
            ("WS://LOCALHOST:9000", (False, "localhost", 9000, "/", "/", {})),
            ("ws://localhost:", (False, "localhost", 80, "/", "/", {})),
            ("ws://a/b?", (False, "a", 80, "/b", "/b", {})),
            ("ws://a?b=c", (False, "a", 80, "/?b=c", "/", {"b": ["c"]})),
            ("ws://a/b%20c;d?e=%2F&e=2", (False, "a", 80, "/b%20c;d?e=%2F&e=2", "/b c;d", {"e": ["/", "2"]})),
            ("ws://127.0.0.1:1", (False, "127.0.0.1", 1, "/", "/", {})),
            ("ws://[::1]:65535/x", (False, "::1", 65535, "/x", "/x", {})),
            ("wss://[FE80::1%25eth0]", (True, "fe80::1%eth0", 443, "/", "/", {})),
            (
                "ws://bücher.example/ü?ü=ß",
                (False, "xn--bcher-kva.example", 80, "/%C3%BC?%C3%BC=%C3%9F", "/ü", {"ü": ["ß"]}),
            ),
            ("ws://unix:/tmp/a%20b", (False, "unix", "/tmp/a b", "/tmp/a%20b", "/tmp/a b", {})),
            ("wss://unix:/tmp/a:b?x=1", (True, "unix", "/tmp/a:b", "/tmp/a:b?x=1", "/tmp/a:b", {"x": ["1"]})),
        ],
    )
    def test_good(self, url: str, expected: tuple[object, ...]) -> None:
        assert parse_url(url) == expected

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("http://localhost", "ws or wss"),
            ("localhost:9000", "ws or wss"),
            ("", "ws or wss"),
            ("ws://", "host is missing"),
            ("ws:///path", "host is missing"),
            ("ws://:80", "host is missing"),
            ("ws://::1:80", "invalid WebSocket URL"),
            ("ws://a/#b", "fragment"),
            ("ws://a/#", "fragment"),
            ("ws://user:secret@a/", "Authorization"),
            ("ws://a:0/", "port 0"),
            ("ws://a:65536/", "invalid WebSocket URL"),
            ("ws://a:b/", "invalid WebSocket URL"),
            ("ws://[::1/", "invalid WebSocket URL"),
            ("ws://a\\b/", "not a host name"),
            ("ws://a..ü/", "not a host name"),
            ("ws://a/ b", "spaces"),
            ("ws://a/\r\nb", "control"),
            ("ws://a/\x7f", "control"),
            ("ws://a/\udc80", "invalid WebSocket URL"),
            ("ws://unix/tmp/x", "ws://unix:/"),
            ("ws://unix:9000/", "ws://unix:/"),
            ("ws://unix:", "ws://unix:/"),
            ("ws://unix:/", "ws://unix:/"),
            ("ws://unix:/a%00b", "ws://unix:/"),
            (None, "must be text"),
        ],
    )
    def test_bad(self, url: str, message: str) -> None:
        with pytest.raises(InvalidArgument, match=message):
            parse_url(url)

    def test_is_a_value_error(self) -> None:
        with pytest.raises(ValueError, match="port 0"):
            parse_url("ws://localhost:0")

    def test_names_of_the_parts(self) -> None:
        url = parse_url("wss://a:1/b?c=d")
        assert (url.secure, url.host, url.port, url.resource, url.path, url.params) == tuple(url)

    def test_leaves_urllib_alone(self) -> None:
        lists = [name for name in vars(urllib.parse) if name.startswith("uses_")]
        before = {name: list(getattr(urllib.parse, name)) for name in lists}
        runpy.run_path(uri.__file__)
        assert before == {name: list(getattr(urllib.parse, name)) for name in lists}


class TestCreateUrl:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({"hostname": "localhost"}, "ws://localhost:80/"),
            ({"hostname": "localhost", "isSecure": True}, "wss://localhost:443/"),
            ({"hostname": "localhost", "port": 8090}, "ws://localhost:8090/"),
            ({"hostname": "localhost", "port": 65535, "path": "ws"}, "ws://localhost:65535/ws"),
            ({"hostname": "localhost", "path": "/a b/ü"}, "ws://localhost:80/a%20b/%C3%BC"),
            ({"hostname": "localhost", "path": ""}, "ws://localhost:80/"),
            ({"hostname": "a", "path": "b", "params": {"c": "d e", "f": 1}}, "ws://a:80/b?c=d+e&f=1"),
            ({"hostname": "a", "params": {"b": ["1", "2"]}}, "ws://a:80/?b=1&b=2"),
            ({"hostname": "a", "params": {}}, "ws://a:80/"),
            ({"hostname": "::1"}, "ws://[::1]:80/"),
            ({"hostname": "[::1]", "port": 9}, "ws://[::1]:9/"),
            ({"hostname": "fe80::1%eth0"}, "ws://[fe80::1%25eth0]:80/"),
            ({"hostname": "unix", "port": "/tmp/a b"}, "ws://unix:/tmp/a%20b"),
            ({"hostname": "unix", "port": "/x", "isSecure": True, "params": {"a": "b"}}, "wss://unix:/x?a=b"),
        ],
    )
    def test_good(self, arguments: dict[str, object], expected: str) -> None:
        assert create_url(**arguments) == expected  # type: ignore[arg-type]
        assert parse_url(expected).secure is bool(arguments.get("isSecure"))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"hostname": "a", "port": 0}, "1 to 65535"),
            ({"hostname": "a", "port": 65536}, "1 to 65535"),
            ({"hostname": "a", "port": "80"}, "1 to 65535"),
            ({"hostname": "a", "port": True}, "1 to 65535"),
            ({"hostname": ""}, "not a host name"),
            ({"hostname": "a/b"}, "not a host name"),
            ({"hostname": "a\r\nb"}, "not a host name"),
            ({"hostname": "::1%a/b"}, "not a host name"),
            ({"hostname": "g::1"}, "not a host name"),
            ({"hostname": "unix"}, "absolute path"),
            ({"hostname": "unix", "port": 80}, "absolute path"),
            ({"hostname": "unix", "port": "tmp"}, "absolute path"),
            ({"hostname": "unix", "port": "/tmp", "path": "/x"}, "absolute path"),
        ],
    )
    def test_bad(self, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(InvalidArgument, match=message):
            create_url(**arguments)  # type: ignore[arg-type]

    @given(
        port=st.integers(1, 65535),
        secure=st.booleans(),
        path=st.text(max_size=9),
        params=st.dictionaries(st.text(min_size=1), st.lists(st.text(min_size=1), min_size=1, max_size=2), max_size=3),
    )
    def test_round_trip(self, port: int, secure: bool, path: str, params: dict[str, list[str]]) -> None:
        path = "/" + path.encode("utf-8", "ignore").decode()
        params = {
            key.encode("utf-8", "replace").decode(): [value.encode("utf-8", "replace").decode() for value in values]
            for key, values in params.items()
        }
        url = parse_url(create_url("example.com", port, secure, path, params))
        assert (url.secure, url.host, url.port, url.path, url.params) == (secure, "example.com", port, path, params)


class TestHost:
    @pytest.mark.parametrize(
        ("host", "port", "secure", "expected"),
        [
            ("a.example", 80, False, "a.example"),
            ("a.example", 443, False, "a.example:443"),
            ("a.example", 443, True, "a.example"),
            ("a.example", 80, True, "a.example:80"),
            ("::1", 9000, False, "[::1]:9000"),
            ("[::1]", 80, False, "[::1]"),
            ("fe80::1%eth0", 80, False, "[fe80::1]"),
            ("unix", "/tmp/x", False, "localhost"),
        ],
    )
    def test_header(self, host: str, port: int | str, secure: bool, expected: str) -> None:
        assert host_header(host, port, secure) == expected

    @pytest.mark.parametrize("host", ["", "a b", "a\r\nb", "ü", "a/b", "::1]"])
    def test_header_refuses(self, host: str) -> None:
        with pytest.raises(InvalidArgument, match="not a host name"):
            host_header(host, 80, False)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("Example.COM", ("example.com", None)),
            ("a_b:1", ("a_b", 1)),
            ("a:65535", ("a", 65535)),
            ("a:", ("a", None)),
            ("a,b", ("a,b", None)),  # RFC 3986, section 3.2.2
            ("[::1]", ("::1", None)),
            ("[::FFFF:1.2.3.4]:80", ("::ffff:1.2.3.4", 80)),
        ],
    )
    def test_parse(self, value: str, expected: tuple[str, int | None]) -> None:
        assert parse_host(value) == expected

    @pytest.mark.parametrize(
        "value",
        [
            *("", ":80", "a b", "a/b", "u@a", "ü", "a\x00"),
            *("a:b", "a:0", "a:-1", "a:65536", "a:+1", "a:1_0", "a:\u0663", "a:" + "9" * 5000),
            *("::1", "::1:80", "a:1:2", "[::1", "[]", "[a]", "[::1]x", "[::1]x:80", "[::g]", "[::1]]"),
        ],
    )
    def test_parse_refuses(self, value: str) -> None:
        with pytest.raises(ValueError, match="is malformed"):
            parse_host(value)


class TestParseOrigin:
    """RFC 6454, section 7."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("http://example.com", Origin("http", "example.com", 80)),
            ("hTTpS://Example.com", Origin("https", "example.com", 443)),
            ("http://example.com:8080/path", Origin("http", "example.com", 8080)),
            ("http://[::1]:1", Origin("http", "::1", 1)),
            ("chrome-extension://abc", Origin("chrome-extension", "abc", None)),
            ("null", None),
            ("NULL", None),
            ("file:///etc/passwd", None),
        ],
    )
    def test_good(self, text: str, expected: Origin | None) -> None:
        assert parse_origin(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            *("", "example.com", "//example.com", "://example.com", "http://", "http:///x", "http://u@a", "http://a b"),
            *("http://a http://b", "http://evil\\.good", "http://a?b", "http://a#b", "http://a:x", "file:"),
            *("ht/tp://a", "\u017f://a"),
        ],
    )
    def test_bad(self, text: str) -> None:
        with pytest.raises(ValueError, match="malformed"):
            parse_origin(text)


class TestOriginAllowed:
    @pytest.mark.parametrize(
        ("origin", "pattern"),
        [
            ("http://example.com", "*"),
            ("http://example.com", "http://example.com:80"),
            ("http://example.com", "HTTP://Example.com:80"),
            ("https://www.example.com", "*://*.example.com:*"),
            ("http://example.com", "*example.com:*"),
            ("http://a.b.example.com:1", "http://a.*.com:1"),
            ("http://aXbXc", "http://a*b*c:80"),
            ("http://example.com", "http://**example.com:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("chrome-extension://abc", "chrome-extension://abc"),
            ("chrome-extension://abc", "chrome-extension://abc:*"),
        ],
    )
    def test_match(self, origin: str, pattern: str) -> None:
        assert origin_allowed(parse_origin(origin), ["nothing", pattern], allow_null=False)

    @pytest.mark.parametrize(
        ("origin", "pattern"),
        [
            ("http://b.com", "http://b.com"),
            ("https://example.com:80", "http://*example.com:80"),
            ("http://example.com:81", "http://*example.com:80"),
            ("http://www.example.com.evil.com", "*://*.example.com:*"),
            ("http://examplexcom", "http://example.com:80"),
            ("http://1:80", "http://[::1]:80"),
            ("http://example.com", "http://example.com:80*x"),
            ("http://aba", "http://ab*ba:80"),
            ("http://ab", "http://a*x*b:80"),
            ("http://a-c-b", "http://a*b*c*:80"),
            ("http://example.com", ""),
            ("http://example.com", "null"),
        ],
    )
    def test_no_match(self, origin: str, pattern: str) -> None:
        assert not origin_allowed(parse_origin(origin), [pattern], allow_null=True)

    def test_no_patterns(self) -> None:
        assert not origin_allowed(parse_origin("http://a"), [], allow_null=True)

    def test_null_is_decided_apart(self) -> None:
        assert origin_allowed(None, [], allow_null=True)
        assert not origin_allowed(None, ["*", "null"], allow_null=False)

    def test_many_wildcards_end(self) -> None:
        # Nothing is measured: a backtracking matcher would not come to an end.
        assert not origin_allowed(Origin("http", "a" * 200, 80), ["*a" * 60 + "b*"], allow_null=False)
