"""H01 to H42: the opening handshake."""

from __future__ import annotations

import contextlib
import itertools
import re
import ssl
import time
from collections.abc import Iterator

from .peers import DEFLATE, KEY, KIB, PING, TEXT, Ended, Peer, Weak, frame, request
from .processes import Server, mib
from .registry import MUST, SHOULD, Place, Report, case

OPENING = 5.0
HELLO = frame(TEXT, b"smuggled")


def _refused(server: Server, *requests: bytes, statuses: tuple[int, ...] = ()) -> None:
    """Each of these requests gets a whole error response, then the connection ends."""
    for data in requests:
        with server.ask(data) as peer:
            try:
                peer.expect_refusal(*statuses)
                peer.expect_end()
            except AssertionError as error:
                raise type(error)(f"{data[:120]!r}: {error}") from error


def _dropped_in_time(report: Report, start: float) -> None:
    report.figure("dropped after", time.monotonic() - start, "s", OPENING + 1, OPENING * 3)


def _flood(server: Server, report: Report, blocks: Iterator[bytes]) -> None:
    """Blocks without end are refused before 32 MiB of them were taken."""
    with server.connect() as peer:
        sent = peer.pump(itertools.islice(blocks, 512))
        report.figure("sent", mib(sent), "MiB", 31.9, 31.9)
        peer.expect_refusal()


@case("H01", MUST, "a plain GET without upgrade gets a complete HTTP response")
def plain_get(server: Server, report: Report) -> None:
    with server.ask(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as peer:
        head = peer.read_response()
        assert 200 <= head.status < 600
        peer.read_body(head)


@case("H02", MUST, "slowloris: one byte of the head per second is dropped in time", place=Place.PATIENT)
def slowloris(server: Server, report: Report) -> None:
    start = time.monotonic()
    with server.connect() as peer:
        for byte in request():
            peer.try_send(bytes((byte,)))
            if not _quiet(peer, 1.0):
                break
            assert time.monotonic() - start < OPENING * 3
        peer.read_rest()
    _dropped_in_time(report, start)


def _quiet(peer: Peer, seconds: float) -> bool:
    try:
        peer.expect_no_data(seconds)
    except AssertionError:
        return False
    return True


@case("H03", MUST, "a connection on which nothing comes is dropped in time", place=Place.PATIENT)
def silence(server: Server, report: Report) -> None:
    start = time.monotonic()
    with server.connect() as peer:
        peer.read_rest()
    _dropped_in_time(report, start)


@case("H04", MUST, "a TLS ClientHello on the plain port is refused or dropped in time", place=Place.PATIENT)
def client_hello(server: Server, report: Report) -> None:
    start = time.monotonic()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    with server.ask(outgoing.read()) as peer:
        peer.read_rest()
    _dropped_in_time(report, start)


@case("H05", MUST, "an endless header line is refused")
def endless_line(server: Server, report: Report) -> None:
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: "
    _flood(server, report, itertools.chain([head], itertools.repeat(b"a" * 64 * KIB)))


@case("H06", MUST, "endless header lines are refused")
def endless_lines(server: Server, report: Report) -> None:
    line = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    _flood(server, report, itertools.chain([line], itertools.repeat(b"X-Many: abcdefgh\r\n" * 3641)))


@case("H07", MUST, "an endless request line is refused")
def endless_request_line(server: Server, report: Report) -> None:
    _flood(server, report, itertools.chain([b"GET /"], itertools.repeat(b"a" * 64 * KIB)))


@case("H08", SHOULD, "10,000 small headers in one complete request are refused")
def many_headers(server: Server, report: Report) -> None:
    _refused(server, request("GET / HTTP/1.1", *[f"X-{number}: v" for number in range(10_000)]))


@case("H09", SHOULD, "a single header of 64 KiB is refused")
def long_header(server: Server, report: Report) -> None:
    _refused(server, request("GET / HTTP/1.1", "X-Long: " + "a" * 64 * KIB))


@case("H10", MUST, "methods other than GET are refused")
def methods(server: Server, report: Report) -> None:
    _refused(server, *[request(f"{method} / HTTP/1.1") for method in ("POST", "get", "PUT", "HEAD", "BREW")])


@case("H11", MUST, "versions other than HTTP/1.1 are refused")
def versions(server: Server, report: Report) -> None:
    lines = ["GET / HTTP/1.0", "GET / HTTP/0.9", "GET /", "GET / HTTP/2.0", "GET / HTTP/9.9", "GET / XTTP/1.1"]
    _refused(server, *map(request, lines))


@case("H12", MUST, "a missing or repeated Sec-WebSocket-Key is refused")
def key_count(server: Server, report: Report) -> None:
    twice = request("GET / HTTP/1.1", f"Sec-WebSocket-Key: {KEY}")
    _refused(server, request(drop=["Sec-WebSocket-Key"]), twice, statuses=(400,))


@case("H13", MUST, "a Sec-WebSocket-Key that is not 16 bytes in base64 is refused")
def key_value(server: Server, report: Report) -> None:
    keys = [
        "",
        "x",
        "AAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAA=",
        KEY[:-2],
        KEY + KEY,
        KEY + "x",
        "!" * 22 + "==",
        "=" * 24,
    ]
    _refused(server, *[request(change={"Sec-WebSocket-Key": key}) for key in keys], statuses=(400,))


def _unsupported(server: Server, version: str) -> tuple[int, str]:
    with server.ask(request(change={"Sec-WebSocket-Version": version})) as peer:
        head = peer.expect_refusal()
        return head.status, head.get("sec-websocket-version")


@case("H14", MUST, "an unsupported Sec-WebSocket-Version is refused, and the response says which are supported")
def version_header(server: Server, report: Report) -> None:
    for version in ("7", "99"):
        assert "13" in _unsupported(server, version)[1]


@case("H15", SHOULD, "an unsupported Sec-WebSocket-Version is refused with 426")
def version_status(server: Server, report: Report) -> None:
    for version in ("7", "99"):
        status = _unsupported(server, version)[0]
        if status != 426:
            raise Weak(f"status {status}")


@case("H16", MUST, "a Sec-WebSocket-Version that is missing, garbage or repeated is refused")
def version_value(server: Server, report: Report) -> None:
    values = ["", "abc", "-13", "0x0d", "13.0", "13, 13", "+13", "1 3", "\xb9\xb3", "013"]
    twice = request("GET / HTTP/1.1", "Sec-WebSocket-Version: 13")
    garbage = [request(change={"Sec-WebSocket-Version": value}) for value in values]
    _refused(server, request(drop=["Sec-WebSocket-Version"]), twice, *garbage)


@case("H17", MUST, "a request without the right Upgrade and Connection is not accepted")
def no_upgrade(server: Server, report: Report) -> None:
    changes = [{"Upgrade": "h2c"}, {"Upgrade": "websockets"}, {"Connection": "keep-alive"}, {"Connection": "Upgraded"}]
    requests = [request(change=change) for change in changes] + [
        request(drop=[name]) for name in ("Upgrade", "Connection")
    ]
    for data in requests:
        with server.ask(data) as peer:
            assert peer.read_response().status != 101, data


@case("H18", MUST, "valid but unusual spellings are accepted")
def unusual(server: Server, report: Report) -> None:
    changes = [
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "UPGRADE"},
        {"Connection": ",\tkeep-alive ,, uPgrade,"},
        {"Upgrade": "WebSocket"},
        {"Upgrade": "h2c, WEBSOCKET"},
        {"Sec-WebSocket-Key": f"\t {KEY}\t "},
    ]
    requests = [request(change=change) for change in changes]
    requests.append(request().replace(b"Sec-WebSocket-Key: ", b"sEC-wEBsOCKET-kEY:"))
    requests.append(request("GET / HTTP/1.1", "Connection: keep-alive", "X-Empty:", "X-Utf8: gr\xc3\xbc\xc3\x9fe"))
    for data in requests:
        with server.ask(data) as peer:
            server.expect_accepted(peer)
            peer.expect_echo(b"unusual")


@case("H19", MUST, "a missing or repeated Host is refused with 400")
def host(server: Server, report: Report) -> None:
    _refused(server, request(drop=["Host"]), request("GET / HTTP/1.1", "Host: localhost"), statuses=(400,))


@case("H20", MUST, "NUL and a bare CR in a header value are refused")
def forbidden_bytes(server: Server, report: Report) -> None:
    _refused(server, request("GET / HTTP/1.1", "X: a\0b"), request("GET / HTTP/1.1", "X: a\rb"), statuses=(400,))


@case("H21", MUST, "shapes that smuggle headers are refused")
def smuggling(server: Server, report: Report) -> None:
    lines = ["X : v", "X: v\r\n folded", "X: v\r\n\tfolded", "no colon", ": no name", "X\tY: v", " X: first"]
    _refused(server, *[request("GET / HTTP/1.1", line) for line in lines], statuses=(400,))
    first = request().replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\n X-Folded: at the start\r\n", 1)
    _refused(server, first, statuses=(400,))


@case("H22", SHOULD, "bare LF line ends are answered or dropped in time", place=Place.PATIENT)
def bare_lf(server: Server, report: Report) -> None:
    start = time.monotonic()
    with server.ask(request().replace(b"\r\n", b"\n")) as peer, contextlib.suppress(Ended):
        status = peer.read_head().status
        assert status == 101 or 400 <= status < 600
    _dropped_in_time(report, start)


def _not_smuggled(server: Server, data: bytes) -> None:
    with server.ask(data) as peer:
        head = peer.read_response()
        if head.status == 101:
            assert b"smuggled" not in _ping_and_rest(peer), "the body was taken for frames"


def _ping_and_rest(peer: Peer) -> bytes:
    peer.try_send(frame(PING, b"still there?") + frame(8, b"\x03\xe8"))
    return peer.read_rest()


@case("H23", MUST, "a body announced by Content-Length is refused, or not taken for frames")
def body(server: Server, report: Report) -> None:
    _not_smuggled(server, request("GET / HTTP/1.1", f"Content-Length: {len(HELLO)}") + HELLO)


@case("H24", MUST, "a chunked body is refused, or not taken for frames")
def chunked_body(server: Server, report: Report) -> None:
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HELLO), HELLO)
    _not_smuggled(server, request("GET / HTTP/1.1", "Transfer-Encoding: chunked") + chunk)


@case("H25", MUST, "ambiguous body lengths are refused")
def body_lengths(server: Server, report: Report) -> None:
    shapes = [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: 0", "Transfer-Encoding: chunked"),
        ("Content-Length: 5", "Content-Length: 6"),
        *[
            (f"Content-Length: {value}",)
            for value in ("-1", "1_0", "+5", "0x5", "5, 6", "abc", "", "99999999999999999999")
        ],
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
    ]
    for lines in shapes:
        with server.ask(request("GET / HTTP/1.1", *lines)) as peer:
            assert peer.read_response().status != 101, lines


@case("H26", MUST, "garbage behind the handshake: 101, then the connection is failed")
def garbage_behind(server: Server, report: Report) -> None:
    with server.ask(request() + b"\xff" * 512) as peer:
        server.expect_accepted(peer)
        peer.expect_close(1002)


@case("H27", SHOULD, "a frame in the segment of the handshake is not lost")
def early_frame(server: Server, report: Report) -> None:
    with server.ask(request() + frame(TEXT, b"early")) as peer:
        server.expect_accepted(peer)
        peer.expect_message(b"early")


@case("H28", SHOULD, "a target in absolute form is accepted")
def absolute_form(server: Server, report: Report) -> None:
    with server.ask(request("GET http://localhost/chat?a=b HTTP/1.1")) as peer:
        server.expect_accepted(peer)
        peer.expect_echo(b"absolute")


ODD_TARGETS = [
    b"/\xff",
    b"/%ff",
    b"//x",
    b"*",
    b"x",
    b"/#fragment",
    b"/" + b"a" * 4096,
    b"/%00",
    b"/%",
    b"/%zz",
    b"?",
    b"http://[",
]


@case("H29", MUST, "odd targets are answered")
def odd_targets(server: Server, report: Report) -> None:
    for target in ODD_TARGETS:
        for data in (request(b"GET %b HTTP/1.1" % target), b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % target):
            with server.ask(data) as peer:
                assert 101 <= peer.read_response().status < 600


def _page(server: Server, target: str) -> tuple[list[str], str]:
    """The names of the fields and the text of what a target is answered."""
    with server.ask(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("latin-1")) as peer:
        head = peer.read_response()
        return [f"{name.lower()}: {value}" for name, value in head.fields], peer.read_body(head).decode("latin-1")


@case("H30", MUST, "no header can be injected through the target")
def header_injection(server: Server, report: Report) -> None:
    injection = "%0d%0aX-Injected:%201%0d%0a%0d%0abody"
    for target in (f"/{injection}", f"/?redirect=http://a/{injection}", f"/?redirect={injection}&after=0"):
        fields, _ = _page(server, target)
        assert not [field for field in fields if field.startswith("x-injected")], target
        with server.ask(request(f"GET {target} HTTP/1.1")) as peer:
            assert not peer.read_response().all("x-injected"), target
    _page(server, "/?redirect=http://a&after=abc")


@case("H31", SHOULD, "no open redirect")
def open_redirect(server: Server, report: Report) -> None:
    for target in ("/?redirect=http://evil.example", "/?redirect=http://evil.example&after=1", "//evil.example/"):
        fields, text = _page(server, target)
        assert not [field for field in fields if re.match("(location|refresh):.*evil", field)], target
        assert not re.search("(href|url|src|location) ?= ?.{0,3}http://evil", text, re.IGNORECASE), target


@case("H32", SHOULD, "markup in the target is not reflected into an HTML page")
def reflected_markup(server: Server, report: Report) -> None:
    markup = "<script>alert(1)</script>"
    for target in (f"/{markup}", f"/?q={markup}", f"/?redirect={markup}", '/?"><img/src=x/onerror=alert(1)>'):
        fields, text = _page(server, target)
        html = any(field.startswith("content-type: text/html") for field in fields)
        assert not (html and (markup in text or "<img/src=x" in text)), target


@case("H33", MUST, "the 101 names no subprotocol and no extension that was not offered")
def unknown_offers(server: Server, report: Report) -> None:
    with server.open(
        "Sec-WebSocket-Protocol: unknown.a, unknown.b", extensions="x-unknown; a=1, permessage-foo"
    ) as peer:
        assert not peer.head.all("sec-websocket-protocol")
        assert not peer.head.all("sec-websocket-extensions")
        peer.expect_echo(b"unknown")


MALFORMED = {
    "Sec-WebSocket-Extensions": [
        f"{DEFLATE}; ;", ";", ",", '"', "__proto__", "constructor; toString", f'{DEFLATE}; x="', "a=b=c", "\xff\xfe",
        f"{DEFLATE} {DEFLATE}", f"{DEFLATE}; a=\xff", "=", "a; =b", f"{DEFLATE}; server_max_window_bits==9", '"a"; b',
    ],
    "Sec-WebSocket-Protocol": ["a,,b", "", " ", "a b", "a@b", "a, a", "\xff", '"a"', ",", "a;b"],
    "Origin": ["null", "", "http://", "://", "http://[::1", "http://a:99999", "\xff", "http://a b", "http://a:b"],
}  # fmt: skip


@case("H34", SHOULD, "malformed extensions, subprotocols and origins are no server error")
def malformed_fields(server: Server, report: Report) -> None:
    for name, values in MALFORMED.items():
        for value in values:
            with server.ask(request("GET / HTTP/1.1", f"{name}: {value}")) as peer:
                status = peer.read_response().status
                assert status in (101, 400, 403), f"{name}: {value!r} is answered {status}"


@case("H35", MUST, "list headers made for backtracking parsers cost nothing", cpu=1)
def backtracking(server: Server, report: Report) -> None:
    parts = [" ", '"', "\\", ",", ";", '"\\', 'a;b="', " ,", "; ", '\\"', "a=", "\t "]
    for name in ("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Connection", "Upgrade", "Origin", "Host"):
        for part in parts:
            value = "a" + part * (7 * KIB // len(part)) + "!"
            with server.ask(request(change={name: value})) as peer:
                assert 101 <= peer.read_response().status < 600


@case("H36", SHOULD, "untrusted text is escaped in the log")
def log_injection(server: Server, report: Report) -> None:
    evil = "\x1b[31mRED\x07 %0aFORGED"
    for line in (
        "GET /\x1b[31mRED%0aFORGED%0d%0aFORGED HTTP/1.1",
        "GET /%1b%0aFORGED HTTP/1.1",
        f"GET /{evil} HTTP/1.1",
    ):
        with server.ask(request(line)) as peer:
            peer.try_send(frame(8, b"\x03\xe8\x1b[31mRED\nFORGED"))
            peer.read_rest()
    for name in ("Origin", "User-Agent", "Sec-WebSocket-Protocol", "Upgrade", "Host", "X-\x1b[31m"):
        with server.ask(request(change={name: evil})) as peer:
            peer.try_send(frame(8, b"\x0b\xb8\x1b[31mRED\rFORGED\nFORGED"))
            peer.read_rest()
    log = server.log()
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", log), "control bytes in the log"
    assert not re.search(rb"^FORGED", log, re.MULTILINE), "forged lines in the log"


@case("H37", MUST, "a valid handshake that comes byte by byte is accepted")
def dribble(server: Server, report: Report) -> None:
    with server.connect() as peer:
        for byte in request():
            peer.send(bytes((byte,)))
        server.expect_accepted(peer)
        peer.expect_echo(b"dribble")


@case("H38", SHOULD, "an HTTP/2 preface is answered or dropped in time", place=Place.PATIENT)
def http2_preface(server: Server, report: Report) -> None:
    start = time.monotonic()
    with server.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0") as peer:
        peer.read_rest()
    _dropped_in_time(report, start)


@case("H39", SHOULD, "recorded: whether a foreign Origin is accepted by default")
def foreign_origin(server: Server, report: Report) -> None:
    with server.ask(request("GET / HTTP/1.1", "Origin: http://evil.example")) as peer:
        status = peer.read_response().status
        report.note(f"status {status}")
        assert status in (101, 403)


@case("H40", SHOULD, "after a refusal the connection ends, or serves HTTP")
def after_refusal(server: Server, report: Report) -> None:
    with server.ask(request(drop=["Sec-WebSocket-Key"])) as peer:
        peer.expect_refusal()
        peer.try_send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = peer.read_rest()
        assert not answer or answer.startswith(b"HTTP/1.1 ")


@case("H41", SHOULD, "one empty line before the request line is ignored")
def empty_line(server: Server, report: Report) -> None:
    with server.ask(b"\r\n" + request()) as peer:
        server.expect_accepted(peer)


@case("H42", MUST, "no byte but CR LF ends a header line")
def hidden_header(server: Server, report: Report) -> None:
    for separator in (b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x85", b"\xc2\x85", b"\r", b"\n", b"\xe2\x80\xa8"):
        hidden = b"X: a" + separator + b"Sec-WebSocket-Key: " + KEY.encode()
        _refused(server, request("GET / HTTP/1.1", hidden, drop=["Sec-WebSocket-Key"]), statuses=(400,))
