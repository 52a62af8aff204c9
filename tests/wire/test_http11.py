from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autobahnlike.exception import HandshakeError, InvalidArgument, InvalidRequest, InvalidResponse
from autobahnlike.wire.headers import Headers
from autobahnlike.wire.http11 import (
    HeadReader,
    Request,
    RequestReader,
    Response,
    ResponseReader,
    clean_reason,
    reason_phrase,
    write_request,
    write_response,
)

REQUEST = b"GET /chat?a=b HTTP/1.1\r\nHost: example.com\r\nX-Empty:\r\nx: \t a b \t\r\n\r\n"
RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"

# Whatever str.splitlines() or str.strip() take for a line end or a space, and HTTP does not (CVE-2026-44546).
CONTROLS = [
    b"\x00",
    b"\x01",
    b"\x08",
    b"\x0b",
    b"\x0c",
    b"\x1b",
    b"\x1c",
    b"\x1d",
    b"\x1e",
    b"\x1f",
    b"\x7f",
    b"\r",
    b"\n",
]


def request(data: bytes, **bounds: int) -> Request:
    head = RequestReader(**bounds).feed(data)
    assert head is not None
    return head


def response(data: bytes, **bounds: int) -> Response:
    head = ResponseReader(**bounds).feed(data)
    assert head is not None
    return head


def refusal(reader: HeadReader[Any], data: bytes) -> tuple[HandshakeError, int]:
    """Feed byte by byte; gives the error and how many bytes had been fed when it was raised."""
    for index in range(len(data)):
        try:
            head = reader.feed(data[index : index + 1])
        except HandshakeError as error:
            return error, index + 1
        assert head is None
    raise AssertionError("nothing was refused")


def status_of(data: bytes, **bounds: int) -> int:
    error, _ = refusal(RequestReader(**bounds), data)
    assert isinstance(error, InvalidRequest)
    with pytest.raises(InvalidRequest) as caught:
        RequestReader(**bounds).feed(data)
    assert (caught.value.http_status, caught.value.reason) == (error.http_status, error.reason)
    return error.http_status


class TestRequest:
    def test_parts(self) -> None:
        headers = Headers([("Host", "example.com"), ("X-Empty", ""), ("x", "a b")])
        assert request(REQUEST) == Request("GET", "/chat?a=b", "HTTP/1.1", headers)

    def test_byte_by_byte(self) -> None:
        reader = RequestReader()
        heads = [reader.feed(REQUEST[index : index + 1]) for index in range(len(REQUEST))]
        assert heads == [None] * (len(REQUEST) - 1) + [request(REQUEST)]

    def test_nothing_is_fed(self) -> None:
        assert RequestReader().feed(b"") is None

    def test_rest(self) -> None:
        reader = RequestReader()
        assert reader.rest == b""
        assert reader.feed(REQUEST + b"\x81\x85\r\n\r\n\xff") is not None
        assert reader.rest == b"\x81\x85\r\n\r\n\xff"
        assert reader.head == REQUEST

    def test_no_rest(self) -> None:
        reader = RequestReader()
        reader.feed(REQUEST)
        assert reader.rest == b""

    def test_one_empty_line_before_it_is_ignored(self) -> None:
        assert request(b"\r\n" + REQUEST) == request(REQUEST)
        assert status_of(b"\r\n\r\n" + REQUEST) == 400
        assert status_of(b"\n" + REQUEST) == 400

    def test_bytes_above_ascii_in_a_value(self) -> None:
        head = request(b"GET / HTTP/1.1\r\nA: gr\xc3\xbcn\r\nB: gr\xfcn\r\nC: a\x85b\xc2\x85c\r\n\r\n")
        assert head.headers.items() == (("A", "grün"), ("B", "grün"), ("C", "a\x85bÂ\x85c"))

    def test_nel_ends_no_line(self) -> None:
        for nel in (b"\x85", b"\xc2\x85", b"\xe2\x80\xa8"):
            head = request(b"GET / HTTP/1.1\r\nA: b" + nel + b"Sec-WebSocket-Key: c\r\n\r\n")
            assert list(head.headers) == ["a"]

    def test_colons_in_a_value(self) -> None:
        assert request(b"GET / HTTP/1.1\r\nHost:a:80\r\n\r\n").headers.get("Host") == "a:80"

    def test_odd_targets(self) -> None:
        for target in (b"*", b"//x", b"foo", b"/%ff%00", b"/#x", b"http://a/b", b"/" + b"x" * 4096):
            assert request(b"GET " + target + b" HTTP/1.1\r\n\r\n").target == target.decode()


class TestRequestLine:
    @pytest.mark.parametrize(
        "line",
        [
            b"GET /",
            b"GET",
            b"GET / HTTP/1.1 x",
            b"GET  / HTTP/1.1",
            b"GET /  HTTP/1.1",
            b"GET  HTTP/1.1",
            b"GET / XTTP/1.1",
            b"GET / http/1.1",
            b"GET / ",
            b"GET\t/\tHTTP/1.1",
            b"GET / HTTP/1.1\t",
            b"GET /\xff HTTP/1.1",
            b" GET / HTTP/1.1",
            b"{}",
            b"hello:",
        ],
    )
    def test_malformed(self, line: bytes) -> None:
        assert status_of(line + b"\r\n\r\n") == 400

    @pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.10", b"HTTP/", b"HTTP/1.1x"])
    def test_version(self, version: bytes) -> None:
        assert status_of(b"GET / " + version + b"\r\n\r\n") == 505

    def test_preface_of_http2(self) -> None:
        assert status_of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505

    @pytest.mark.parametrize("method", [b"POST", b"get", b"PUT", b"HEAD", b"BREW", b"CONNECT", b"GETX", b"GE"])
    def test_method(self, method: bytes) -> None:
        error, count = refusal(RequestReader(), method + b" / HTTP/1.1\r\n\r\n")
        assert error.http_status == 405
        assert error.headers == (("Allow", "GET"),)
        assert count == len(method) + 1

    @pytest.mark.parametrize(
        ("data", "count"),
        [
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 1),  # TLS ClientHello
            (b"\x80\x2e\x01\x00\x02", 1),  # SSL 2
            (b"SSH-2.0-OpenSSH_9.6\r\n", 21),
            (b"\x00" * 20, 1),
            (b"<policy-file-request/>\0", 1),
            (b'{"jsonrpc": "2.0"}', 1),
            (b"A" * 1000, 25),
            (b" GET / HTTP/1.1", 1),
            (b"\rGET / HTTP/1.1", 2),
        ],
    )
    def test_what_is_not_http_is_refused_early(self, data: bytes, count: int) -> None:
        error, fed = refusal(RequestReader(), data)
        assert error.http_status == 400
        assert fed == count


class TestHeaderLines:
    @pytest.mark.parametrize(
        "line",
        [
            b"no colon",
            b": no name",
            b"Space : before the colon",
            b" Folded: x",
            b"\tFolded: x",
            b"B\xe4d: name",
            b"B(d: name",
            b'"Bad": name',
        ],
    )
    def test_malformed(self, line: bytes) -> None:
        assert status_of(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n") == 400
        assert status_of(b"GET / HTTP/1.1\r\nGood: line\r\n" + line + b"\r\n\r\n") == 400

    @pytest.mark.parametrize("control", CONTROLS)
    def test_control_characters_are_refused_at_once(self, control: bytes) -> None:
        start = b"GET / HTTP/1.1\r\nA: b"
        for data in (start + control + b"Sec-WebSocket-Key: c\r\n\r\n", b"GET /" + control + b"x HTTP/1.1\r\n\r\n"):
            error, count = refusal(RequestReader(), data)
            assert error.http_status == 400
            # Only with the next byte it is known that a CR does not end the line.
            assert count == data.index(control, 5 if b"A: b" not in data else len(start)) + (
                2 if control == b"\r" else 1
            )
            assert status_of(data) == 400

    def test_lone_lf(self) -> None:
        assert status_of(REQUEST.replace(b"\r\n", b"\n")) == 400
        assert status_of(b"GET / HTTP/1.1\r\nA: b\n\n") == 400
        assert status_of(b"GET / HTTP/1.1\r\nA: b\r\n\n") == 400

    def test_two_crs(self) -> None:
        assert status_of(b"GET / HTTP/1.1\r\r\n\r\n") == 400
        assert status_of(b"GET / HTTP/1.1\r\n\r\r\n") == 400


class TestBounds:
    def test_request_line(self) -> None:
        line = b"GET /" + b"x" * 11 + b" HTTP/1.1"  # 25 bytes
        assert request(line + b"\r\n\r\n", max_size=100).target == "/" + "x" * 11
        error, count = refusal(RequestReader(max_size=100), b"GET /" + b"x" * 12 + b" HTTP/1.1\r\n")
        assert (error.http_status, count) == (414, 26)
        assert status_of(b"GET /" + b"x" * 1000, max_size=100) == 414

    def test_header_line(self) -> None:
        start = b"GET / HTTP/1.1\r\n"
        assert request(start + b"A: " + b"x" * 22 + b"\r\n\r\n", max_size=100).headers.get("A") == "x" * 22
        error, count = refusal(RequestReader(max_size=100), start + b"A: " + b"x" * 23 + b"\r\n\r\n")
        assert (error.http_status, count) == (431, len(start) + 26)
        assert status_of(start + b"A" * 1000, max_size=100) == 431

    def test_size(self) -> None:
        data = b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\nG: 7\r\nH: 8\r\n\r\n"
        assert len(data) == 66
        assert len(request(data, max_size=66).headers.items()) == 8
        assert status_of(data, max_size=65) == 431
        assert status_of(data, max_size=64) == 431
        assert status_of(data, max_size=62) == 431

    def test_size_of_what_follows_does_not_count(self) -> None:
        reader = RequestReader(max_size=len(REQUEST) * 2)
        assert reader.feed(REQUEST + b"\0" * 1000) is not None
        assert len(reader.rest) == 1000

    def test_number_of_headers(self) -> None:
        start = b"GET / HTTP/1.1\r\n"
        assert len(request(start + b"A: b\r\n" * 128 + b"\r\n").headers.items()) == 128
        assert status_of(start + b"A: b\r\n" * 129 + b"\r\n") == 431
        assert status_of(start + b"A: b\r\n" * 3, max_headers=2) == 431

    def test_zero_is_no_bound(self) -> None:
        data = b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n"
        assert len(request(data, max_size=0, max_headers=0).headers.items()) == 1000

    def test_what_is_too_long_is_not_kept(self) -> None:
        reader = RequestReader(max_size=400)
        with pytest.raises(InvalidRequest):
            reader.feed(b"GET /" + b"x" * 10000)
        assert len(reader.head) <= 102

    def test_a_tiny_bound(self) -> None:
        for size in range(1, 8):
            assert status_of(REQUEST, max_size=size) == 414


class TestResponse:
    def test_parts(self) -> None:
        expected = Response(101, "Switching Protocols", Headers([("Upgrade", "websocket")]))
        assert response(RESPONSE) == expected

    def test_rest(self) -> None:
        reader = ResponseReader()
        assert reader.feed(RESPONSE + b"\x81\x01a") is not None
        assert reader.rest == b"\x81\x01a"

    @pytest.mark.parametrize(
        ("line", "status", "reason"),
        [
            (b"HTTP/1.1 403 Forbidden", 403, "Forbidden"),
            (b"HTTP/1.1 403 ", 403, ""),
            (b"HTTP/1.1 403", 403, ""),
            (b"HTTP/1.1 599 gr\xc3\xbcn \t!", 599, "grün \t!"),
            (b"HTTP/1.1 599 gr\xfcn", 599, "grün"),
        ],
    )
    def test_status_line(self, line: bytes, status: int, reason: str) -> None:
        assert response(line + b"\r\n\r\n") == Response(status, reason, Headers())

    @pytest.mark.parametrize(
        ("data", "count"),
        [
            (b"\r\nHTTP/1.1 101 x\r\n", 2),
            (b"HTTP/1.0 101 Switching Protocols\r\n", 8),
            (b"HTTP/2 101\r\n", 6),
            (b"http/1.1 101", 1),
            (b"ICY 200 OK", 1),
            (b"\x15\x03\x01", 1),
            (b"HTTP/1.1  101", 10),
            (b"HTTP/1.1 099", 10),
            (b"HTTP/1.1 600", 10),
            (b"HTTP/1.1 10x", 12),
            (b"HTTP/1.1 10\r\n", 13),
            (b"HTTP/1.1 1010\r\n", 15),
            (b"HTTP/1.1 101-x\r\n", 16),
            (b"HTTP/1.1 101 a\x00", 15),
        ],
    )
    def test_what_is_not_http_is_refused_early(self, data: bytes, count: int) -> None:
        error, fed = refusal(ResponseReader(), data)
        assert isinstance(error, InvalidResponse)
        assert (error.http_status, fed) == (0, count)

    @pytest.mark.parametrize("line", [b"Name : v", b" folded", b"no colon", b"A: \x00", b"A: a\rb", b"A: b\n"])
    def test_malformed_header(self, line: bytes) -> None:
        error, _ = refusal(ResponseReader(), b"HTTP/1.1 101 x\r\nB: c\r\n" + line + b"\r\n\r\n")
        assert isinstance(error, InvalidResponse)
        assert error.http_status == 101
        assert error.reason.startswith("invalid HTTP response: ")

    def test_bounds(self) -> None:
        for data in (b"A: b\r\n" * 10000, b"A" * 100000):
            with pytest.raises(InvalidResponse, match="too"):
                ResponseReader().feed(b"HTTP/1.1 101 x\r\n" + data)

    def test_interim_responses_are_skipped(self) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
        assert response(interim + RESPONSE) == response(RESPONSE)

    def test_interim_responses_are_bounded_together(self) -> None:
        reader = ResponseReader(max_size=1000)
        interim = b"HTTP/1.1 100 Continue\r\n\r\n" * 20
        assert reader.feed(interim) is None
        assert reader.feed(interim[:499]) is None
        with pytest.raises(InvalidResponse, match="too long"):
            reader.feed(interim)
        assert len(reader.head) <= 1000


heads = st.lists(
    st.sampled_from(
        [
            *(b"GET / HTTP/1.1", b"GET ", b"/", b" ", b"HTTP/1.1 101 x", b"HTTP/1.1 100 x", b"PRI * HTTP/2.0", b"POST"),
            *(b"A: b", b"Name", b":", b"x" * 30, b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\0", b"\x85", b"\xff"),
        ]
    )
    | st.binary(max_size=3),
    max_size=12,
).map(b"".join)


def outcome(reader: HeadReader[Any], pieces: list[bytes]) -> object:
    for index, piece in enumerate(pieces):
        try:
            head = reader.feed(piece)
        except HandshakeError as error:
            return type(error), error.http_status, error.reason, error.headers
        if head is not None:
            return head, reader.rest + b"".join(pieces[index + 1 :])
    return None


class TestAnySplit:
    @pytest.mark.parametrize("byte", b"\r\n\0 \t:;P\x80\xff")
    def test_gives_the_same_whichever_byte_is_wrong(self, byte: int) -> None:
        """Also with the limits at their edge: a head in one piece is read in another way than one in pieces."""
        lines = REQUEST.split(b"\r\n")
        limits = [(0, 0), (len(REQUEST), 3), (len(REQUEST) - 1, 3), (0, 2)]
        limits += [(4 * max(map(len, lines)) + less, 0) for less in (0, -4)]
        for index in range(len(REQUEST)):
            for data in (
                REQUEST[:index] + bytes((byte,)) + REQUEST[index + 1 :],
                REQUEST[:index] + REQUEST[index + 1 :],
            ):
                single = [data[position : position + 1] for position in range(len(data))]
                for size, headers in limits:
                    whole = outcome(RequestReader(size, headers), [data])
                    assert outcome(RequestReader(size, headers), single) == whole

    @given(data=heads, cuts=st.lists(st.integers(0, 80)), size=st.integers(0, 120), headers=st.integers(0, 3))
    @example(data=b"GET / HTTP/1.1\r\n\r\nrest", cuts=[5, 17], size=0, headers=0)
    @example(data=b"POST\0", cuts=[4], size=12, headers=0)
    def test_gives_the_same(self, data: bytes, cuts: list[int], size: int, headers: int) -> None:
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
        single = [data[index : index + 1] for index in range(len(data))]
        for kind in (RequestReader, ResponseReader):
            whole = outcome(kind(size, headers), [data])
            assert outcome(kind(size, headers), pieces) == whole
            assert outcome(kind(size, headers), single) == whole


class TestWriting:
    def test_request(self) -> None:
        data = write_request("GET", "/a?b", [("Host", "c"), ("X", "ü")])
        assert data == "GET /a?b HTTP/1.1\r\nHost: c\r\nX: ü\r\n\r\n".encode()
        assert request(data).headers.items() == (("Host", "c"), ("X", "ü"))

    @pytest.mark.parametrize("target", ["", "/a b", "/\r\nX: y", "/ü", "/\udc80", "/\0"])
    def test_target(self, target: str) -> None:
        with pytest.raises(InvalidArgument, match="percent-encode"):
            write_request("GET", target, [])

    def test_switching_protocols(self) -> None:
        data = write_response(101, None, [("Upgrade", "WebSocket")], b"no body")
        assert data == b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n"

    def test_response_with_a_body(self) -> None:
        data = write_response(404, None, [("A", "b")], b"gone")
        assert data == b"HTTP/1.1 404 Not Found\r\nA: b\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngone"

    def test_response_without_a_body(self) -> None:
        assert write_response(400) == b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    @pytest.mark.parametrize("status", [204, 304])
    def test_statuses_that_have_no_body(self, status: int) -> None:
        assert write_response(status, "x", (), b"body") == b"HTTP/1.1 %d x\r\nConnection: close\r\n\r\n" % status

    def test_a_reason_injects_nothing(self) -> None:
        data = write_response(400, "a\r\nSet-Cookie: b\x85\u2028ü")
        assert data.startswith(b"HTTP/1.1 400 a??Set-Cookie: b???\r\nConnection")

    @given(st.text())
    def test_any_reason_is_one_line(self, reason: str) -> None:
        assert response(write_response(400, reason)).headers.items() == (
            ("Connection", "close"),
            ("Content-Length", "0"),
        )

    @pytest.mark.parametrize("header", [("A", "b\r\nC: d"), ("A\r\n", "b"), ("A:", "b")])
    def test_a_header_injects_nothing(self, header: tuple[str, str]) -> None:
        with pytest.raises(InvalidArgument):
            write_response(400, None, [header])
        with pytest.raises(InvalidArgument):
            write_request("GET", "/", [header])

    def test_clean_reason(self) -> None:
        assert clean_reason("plain ~") == "plain ~"
        assert clean_reason("\t\0\x7fü") == "????"
        assert len(clean_reason("x" * 1000)) == 256

    def test_reason_phrase(self) -> None:
        assert reason_phrase(426) == "Upgrade Required"
        assert reason_phrase(499) == "Client Error"
        assert reason_phrase(999) == "Unknown"
