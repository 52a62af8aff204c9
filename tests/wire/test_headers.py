from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahnlike.exception import InvalidArgument
from autobahnlike.wire.headers import (
    Headers,
    check_header,
    decode_value,
    flatten_headers,
    format_extension,
    has_member,
    is_token,
    is_visible,
    parse_extensions,
    parse_token_list,
    quote_text,
)

tokens = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1, max_size=8)


class TestHeaders:
    headers = Headers([("Host", "a"), ("Cookie", "x=1"), ("cookie", "y=2")])

    def test_get_ignores_case(self) -> None:
        assert self.headers.get("HOST") == "a"

    def test_get_joins_a_repeated_field(self) -> None:
        assert self.headers.get("Cookie") == "x=1,y=2"

    def test_get_gives_the_default(self) -> None:
        assert self.headers.get("Origin") is None
        assert self.headers.get("Origin", "") == ""

    def test_get_all(self) -> None:
        assert self.headers.get_all("COOKIE") == ["x=1", "y=2"]
        assert self.headers.get_all("Origin") == []

    def test_get_all_gives_a_copy(self) -> None:
        self.headers.get_all("Cookie").clear()
        assert self.headers.get_all("Cookie") == ["x=1", "y=2"]

    def test_contains(self) -> None:
        assert "hOST" in self.headers
        assert "Origin" not in self.headers
        assert 1 not in self.headers

    def test_iterates_over_names_once(self) -> None:
        assert list(self.headers) == ["host", "cookie"]

    def test_items_are_the_lines(self) -> None:
        assert self.headers.items() == (("Host", "a"), ("Cookie", "x=1"), ("cookie", "y=2"))

    def test_joined(self) -> None:
        assert self.headers.joined() == {"host": "a", "cookie": "x=1, y=2"}
        assert self.headers.joined("; ") == {"host": "a", "cookie": "x=1; y=2"}

    def test_without_a_repeated_field(self) -> None:
        headers = Headers([("Host", "a"), ("Cookie", "x=1")])
        assert (headers.get("HOST"), headers.get("Origin"), headers.get("Origin", "")) == ("a", None, "")
        assert (headers.get_all("cookie"), headers.get_all("Origin")) == (["x=1"], [])
        joined = headers.joined()
        assert joined == {"host": "a", "cookie": "x=1"}
        joined.clear()
        assert headers.get_all("Host") == ["a"]
        assert (list(headers), "Origin" in headers) == (["host", "cookie"], False)

    def test_equality(self) -> None:
        same = Headers(self.headers.items())
        assert same == self.headers
        assert hash(same) == hash(self.headers)
        assert self.headers != Headers()
        assert self.headers != "headers"

    def test_representation_hides_values(self) -> None:
        assert repr(Headers([("Authorization", "secret"), ("Host", "a")])) == "<Headers Authorization, Host>"


class TestText:
    def test_decode_utf8(self) -> None:
        assert decode_value("grün".encode()) == "grün"

    def test_decode_falls_back_to_latin1(self) -> None:
        assert decode_value("grün".encode("latin-1")) == "grün"

    @given(st.binary())
    def test_decode_never_fails(self, value: bytes) -> None:
        assert len(decode_value(value)) <= len(value)

    def test_quote_escapes(self) -> None:
        assert quote_text("\x1b[31m\r\n\x85ü") == r"'\x1b[31m\r\n\x85\xfc'"

    def test_quote_is_bounded(self) -> None:
        assert quote_text("x" * 65) == "'" + "x" * 64 + "'..."
        assert quote_text("xyz", 2) == "'xy'..."

    @pytest.mark.parametrize("text", ["a", "Sec-WebSocket-Key", "!#$%&'*+-.^_`|~", "0"])
    def test_token(self, text: str) -> None:
        assert is_token(text)

    @pytest.mark.parametrize("text", ["", " ", "a b", "a:", "a\n", "ü", "\u212a", "a/b", '"a"', "a\x00", "\udc80"])
    def test_not_a_token(self, text: str) -> None:
        assert not is_token(text)

    def test_visible(self) -> None:
        assert is_visible("/a?b=%20~!")
        for text in ("", "/a b", "/a\t", "/\0", "/\x7f", "/ü", "/\udc80", "/\x85"):
            assert not is_visible(text)


class TestLists:
    @pytest.mark.parametrize(
        "value", ["upgrade", "keep-alive, Upgrade", "a,\t UPGRADE ,b", ",,upgrade,,", "h2c/1, upgrade"]
    )
    def test_has_member(self, value: str) -> None:
        assert has_member([value], "upgrade")

    @pytest.mark.parametrize("value", ["", "upgraded", "up grade", "\x85upgrade", "upgrade;q=1"])
    def test_has_no_member(self, value: str) -> None:
        assert not has_member([value], "upgrade")

    def test_has_member_on_another_line(self) -> None:
        assert has_member(["close", "upgrade"], "upgrade")

    def test_only_ascii_letters_lose_their_case(self) -> None:
        assert "webSoc\u212aet".lower() == "websocket"
        assert not has_member(["webSoc\u212aet"], "websocket")

    def test_token_list(self) -> None:
        assert parse_token_list(" chat ,\tsuperchat,, Chat") == ["chat", "superchat", "Chat"]
        assert parse_token_list("") == []

    @pytest.mark.parametrize("value", ["a b", "a;b", "ä", '"a"', "a,\x85"])
    def test_malformed_token_list(self, value: str) -> None:
        with pytest.raises(ValueError, match="is not a token"):
            parse_token_list(value)


class TestExtensions:
    """RFC 6455, section 9.1."""

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("", []),
            (" , ,", []),
            ("foo", [("foo", [])]),
            ("Foo , BAR", [("foo", []), ("bar", [])]),
            ("foo;A=B; c ;d = 1", [("foo", [("a", "B"), ("c", None), ("d", "1")])]),
            ('foo; x="10"', [("foo", [("x", "10")])]),
            (r'foo; x="1\0", bar', [("foo", [("x", "10")]), ("bar", [])]),
            ('foo; x="10";y,bar', [("foo", [("x", "10"), ("y", None)]), ("bar", [])]),
            ("foo; x=1; x=2", [("foo", [("x", "1"), ("x", "2")])]),
            ("__proto__; constructor=toString", [("__proto__", [("constructor", "toString")])]),
        ],
    )
    def test_parse(self, value: str, expected: list[object]) -> None:
        assert parse_extensions([value]) == expected

    def test_several_lines_are_one_list(self) -> None:
        assert parse_extensions(["foo, bar", "", "foo;x"]) == [("foo", []), ("bar", []), ("foo", [("x", None)])]

    @pytest.mark.parametrize(
        "value",
        [
            ";",
            "foo;",
            "foo;;x",
            "; x",
            "foo bar",
            "foo; x=",
            "foo; =1",
            "foo; x=1=2",
            'foo; x="',
            'foo; x=""',
            'foo; x="1',
            'foo; x="1"2',
            'foo; x="1""2"',
            r'foo; x="1\"',
            'foo; x="a b"',
            'foo; x="a,b"',
            'foo; x="a;b"',
            r'foo; x="\"a"',
            '"foo"',
            "föö",
            "foo\x85",
        ],
    )
    def test_malformed(self, value: str) -> None:
        with pytest.raises(ValueError, match=r"token|quoted string"):
            parse_extensions([value])

    @pytest.mark.parametrize("unit", [" ", '"', "\\", ",", ";", "=", 'a="\\"', " ,", '",', "a;"])
    def test_long_lists_cost_no_more_than_their_length(self, unit: str) -> None:
        # Nothing is measured here: a backtracking parser would not come to an end (CVE-2020-7662, CVE-2021-32640).
        for prefix in ("", "a;b=", 'a;b="'):
            value = prefix + unit * 16384
            try:
                parsed = parse_extensions([value])
            except ValueError:
                parsed = []
            assert len(parsed) <= len(value)

    @given(st.lists(st.tuples(tokens, st.lists(st.tuples(tokens, st.none() | tokens), max_size=3)), max_size=4))
    def test_round_trip(self, extensions: list[tuple[str, list[tuple[str, str | None]]]]) -> None:
        value = ", ".join(format_extension(name, params) for name, params in extensions)
        lower = [(name.lower(), [(key.lower(), text) for key, text in params]) for name, params in extensions]
        assert parse_extensions([value]) == lower

    @given(st.text('a"\\,;= \t', max_size=40))
    def test_anything_is_parsed_or_refused(self, value: str) -> None:
        try:
            parsed = parse_extensions([value])
        except ValueError:
            return
        assert parse_extensions([format_extension(*extension) for extension in parsed]) == parsed

    def test_format(self) -> None:
        assert format_extension("foo") == "foo"
        assert format_extension("foo", [("a", None), ("b", "1")]) == "foo; a; b=1"

    @pytest.mark.parametrize(
        ("name", "params"),
        [
            ("", []),
            ("a b", []),
            ("a", [("b;", None)]),
            ("a", [("", "1")]),
            ("a", [("b", "")]),
            ("a", [("b", "x\r\ny")]),
        ],
    )
    def test_format_refuses(self, name: str, params: list[tuple[str, str | None]]) -> None:
        with pytest.raises(InvalidArgument, match="is not a token"):
            format_extension(name, params)


class TestHeadersOfTheApplication:
    @pytest.mark.parametrize("value", ["", "plain", "tab\there", "grün", "a\x85b"])
    def test_good(self, value: str) -> None:
        check_header("X-Name", value)

    @pytest.mark.parametrize("name", ["", "X Name", "X:", "X\r\nY", "Ü", None, b"X"])
    def test_bad_name(self, name: str) -> None:
        with pytest.raises(InvalidArgument, match="is not a token"):
            check_header(name, "value")

    @pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\n", "\r", "\0", "\x1b", "\x7f", "\x0b", None, b"x"])
    def test_bad_value(self, value: str) -> None:
        with pytest.raises(InvalidArgument, match="without line ends"):
            check_header("X-Name", value)

    def test_value_that_cannot_be_encoded(self) -> None:
        with pytest.raises(InvalidArgument, match="UTF-8"):
            check_header("X-Name", "\udc80")

    def test_flatten_nothing(self) -> None:
        assert flatten_headers(None) == []
        assert flatten_headers({}) == []

    def test_flatten_a_mapping(self) -> None:
        headers = {"A": "1", "B": ["2", 3], "C": 4, "D": [], "E": ("5",)}
        assert flatten_headers(headers) == [("A", "1"), ("B", "2"), ("B", "3"), ("C", "4"), ("E", "5")]

    def test_flatten_pairs(self) -> None:
        assert flatten_headers([("A", "1"), ("A", "2")]) == [("A", "1"), ("A", "2")]

    @pytest.mark.parametrize("value", [b"1", bytearray(b"1"), [b"1"]])
    def test_flatten_refuses_bytes(self, value: object) -> None:
        with pytest.raises(InvalidArgument, match="not bytes"):
            flatten_headers({"A": value})

    def test_flatten_checks(self) -> None:
        with pytest.raises(InvalidArgument, match="without line ends"):
            flatten_headers({"A": "1\r\nB: 2"})
