"""E01 to E28: a client whose server answers the opening handshake wrongly."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable

from .handshake import OPENING
from .peers import KIB, TEXT, Peer, frame
from .processes import Client, Dial, mib
from .registry import MUST, SHOULD, Place, Report, case


def _fails(client: Client, *responses: bytes) -> None:
    """Each of these answers, on a connection that then stays open, makes the handshake fail."""
    for data in responses:
        with client.dial() as dial:
            dial.peer.try_send(data)
            try:
                dial.expect_failure()
            except AssertionError as error:
                raise type(error)(f"{data[:160]!r}: {error}") from error


def _accepting(client: Client, *lines: str | bytes, extensions: str = "", first: str = "", drop: str = "") -> None:
    """A 101 with something wrong about it makes the handshake fail."""
    with client.dial() as dial:
        dial.peer.try_send(dial.response(*lines, extensions=extensions, first=first, drop=drop))
        try:
            dial.expect_failure()
        except AssertionError as error:
            raise type(error)(f"{(lines, extensions, first, drop)}: {error}") from error


def _floods(client: Client, report: Report, head: str, blocks: Iterable[bytes], limit: float = 63) -> None:
    """An answer without end makes the handshake fail long before 64 MiB of it were taken."""
    with client.dial() as dial:
        first = dial.response(first=head)[:-2] if head.startswith("HTTP/1.1 101") else head.encode("latin-1")
        sent = dial.peer.pump(itertools.chain([first], itertools.islice(blocks, 1024)))
        report.figure("sent", mib(sent), "MiB", limit, limit)
        dial.expect_failure()


def _in_time(dial: Dial, report: Report) -> None:
    dial.expect_failure()
    report.figure("failed after", dial.elapsed, "s", OPENING + 1, OPENING * 3)


@case("E01", MUST, "a wrong Sec-WebSocket-Accept")
def wrong_accept(client: Client, report: Report) -> None:
    for value in ("AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "", "x"):
        _accepting(client, f"Sec-WebSocket-Accept: {value}", drop="Sec-WebSocket-Accept")


@case("E02", MUST, "no Sec-WebSocket-Accept")
def no_accept(client: Client, report: Report) -> None:
    _accepting(client, drop="Sec-WebSocket-Accept")


@case("E03", SHOULD, "two Sec-WebSocket-Accept, one of them wrong")
def two_accepts(client: Client, report: Report) -> None:
    _accepting(client, "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=")


@case("E04", MUST, "200 OK with all the WebSocket headers")
def wrong_status(client: Client, report: Report) -> None:
    _accepting(client, first="HTTP/1.1 200 OK")


@case("E05", MUST, "101 without Upgrade")
def no_upgrade(client: Client, report: Report) -> None:
    _accepting(client, drop="Upgrade")


@case("E06", MUST, "101 with Upgrade: h2c")
def wrong_upgrade(client: Client, report: Report) -> None:
    _accepting(client, "Upgrade: h2c", drop="Upgrade")


@case("E07", MUST, "101 without Connection: Upgrade")
def no_connection(client: Client, report: Report) -> None:
    _accepting(client, drop="Connection")
    _accepting(client, "Connection: close", drop="Connection")


@case("E08", MUST, "101 with an extension that was not offered")
def unoffered_extension(client: Client, report: Report) -> None:
    for extension in ("x-unknown", "permessage-foo; a=1", "permessage-deflate, x-unknown"):
        _accepting(client, extensions=extension)


@case("E09", MUST, "101 with a subprotocol that was not offered")
def unoffered_subprotocol(client: Client, report: Report) -> None:
    _accepting(client, "Sec-WebSocket-Protocol: unasked")


@case("E10", MUST, "101 with permessage-deflate parameters that are not valid")
def bad_deflate(client: Client, report: Report) -> None:
    for param in ("server_max_window_bits=7", "bogus", "server_max_window_bits=16", "client_max_window_bits=7", "a=1"):
        _accepting(client, extensions=f"permessage-deflate; {param}")


@case("E11", SHOULD, "101 with permessage-deflate twice")
def deflate_twice(client: Client, report: Report) -> None:
    _accepting(client, extensions="permessage-deflate, permessage-deflate")
    _accepting(client, "Sec-WebSocket-Extensions: permessage-deflate", extensions="permessage-deflate")


@case("E12", SHOULD, "101 in HTTP/1.0")
def http_1_0(client: Client, report: Report) -> None:
    _accepting(client, first="HTTP/1.0 101 Switching Protocols")


@case("E13", MUST, "4 KiB of garbage instead of HTTP", place=Place.PATIENT)
def garbage(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.peer.try_send(bytes(range(256)) * 16)
        _in_time(dial, report)


@case("E14", MUST, "101 and header lines without end")
def endless_lines(client: Client, report: Report) -> None:
    _floods(client, report, "HTTP/1.1 101 Switching Protocols", itertools.repeat(b"X-Many: abcdefgh\r\n" * 3641))


@case("E15", MUST, "101 and one header line without end")
def endless_line(client: Client, report: Report) -> None:
    _floods(client, report, "HTTP/1.1 101 Switching Protocols", itertools.repeat(b"X" * 64 * KIB))


@case("E16", SHOULD, "a complete 101 with 10,000 headers")
def many_headers(client: Client, report: Report) -> None:
    _accepting(client, *[f"X-{number}: v" for number in range(10_000)])


@case("E17", MUST, "a response head that comes one byte per second", place=Place.PATIENT)
def dripped_head(client: Client, report: Report) -> None:
    with client.dial() as dial:
        for byte in dial.response():
            dial.peer.try_send(bytes((byte,)))
            try:
                dial.peer.expect_no_data(1)
            except AssertionError:
                break
            assert dial.elapsed < OPENING * 3
        _in_time(dial, report)


@case("E18", MUST, "a request that is never answered", place=Place.PATIENT)
def never_answered(client: Client, report: Report) -> None:
    with client.dial() as dial:
        _in_time(dial, report)


@case("E19", MUST, "400 with a body without end")
def endless_body(client: Client, report: Report) -> None:
    _floods(client, report, "HTTP/1.1 400 Bad Request\r\n\r\n", itertools.repeat(b"b" * 64 * KIB))


@case("E20", MUST, "503 with a body of 1 GiB that trickles", place=Place.PATIENT)
def trickled_body(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.peer.try_send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 1073741824\r\n\r\n")
        while _still_open(dial.peer):
            dial.peer.try_send(b"trickle")
            assert dial.elapsed < OPENING * 3
        _in_time(dial, report)


def _still_open(peer: Peer) -> bool:
    try:
        peer.expect_no_data(0.1)
    except AssertionError:
        return False
    return True


@case("E21", SHOULD, "NUL in a header value")
def nul(client: Client, report: Report) -> None:
    _accepting(client, "X: a\0b")


@case("E22", SHOULD, "a bare CR in a header value")
def bare_cr(client: Client, report: Report) -> None:
    _accepting(client, "X: a\rb")


@case("E23", SHOULD, "a space before the colon, a folded line, a line without colon")
def malformed_lines(client: Client, report: Report) -> None:
    for line in ("Name : v", "X: v\r\n folded", "no colon", ": no name"):
        _accepting(client, line)


@case("E24", MUST, "100 Continue without end", place=Place.PATIENT)
def endless_continue(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.peer.pump(itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 10, 1_000_000))
        _in_time(dial, report)


@case("E25", MUST, "302 to itself, for ever")
def redirect_loop(client: Client, report: Report) -> None:
    with client.dial() as dial:
        location = dial.listener.getsockname()[1]
        answer = f"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:{location}/\r\nContent-Length: 0\r\n\r\n".encode()
        for _ in range(100):
            dial.peer.try_send(answer)
            if (again := _accept_again(dial.listener)) is None:
                break
            dial.peer.sock.close()
            dial.peer = again
        else:
            raise AssertionError("100 redirects were followed")
        dial.expect_failure()


def _accept_again(listener: socket.socket) -> Peer | None:
    """The next connection, if one is made soon."""
    listener.settimeout(0.5)
    try:
        return Peer(listener.accept()[0], client=False)
    except TimeoutError:
        return None


@case("E26", MUST, "302 to another origin: Authorization and Cookie do not follow")
def leaking_redirect(client: Client, report: Report) -> None:
    headers = {"Authorization": "Basic c2VjcmV0", "Cookie": "secret=1"}
    with socket.create_server(("127.0.0.1", 0)) as other, client.dial(headers=headers) as dial:
        assert dial.request.get("authorization") == headers["Authorization"]
        assert dial.request.get("cookie") == headers["Cookie"]
        target = f"ws://127.0.0.1:{other.getsockname()[1]}/"
        dial.peer.try_send(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
        if followed := _accept_again(other):
            with followed:
                head = followed.read_head()
                assert not head.all("authorization"), head
                assert not head.all("cookie"), head
        dial.outcome()


@case("E27", SHOULD, "302 with odd locations")
def odd_redirects(client: Client, report: Report) -> None:
    locations = [
        "/%0d%0aX:%201",
        "file:///etc/passwd",
        "http://[",
        "ws://",
        "javascript:alert(1)",
        "\xff",
        "",
        "gopher://a/",
    ]
    heads = [f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n" for location in locations]
    _fails(client, *[head.encode("latin-1") for head in heads])


@case("E28", MUST, "a frame in the segment of the 101 is not lost")
def early_frame(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.peer.send(dial.response() + frame(TEXT, b"early", mask=None))
        assert dial.await_event("message", "close", "failed") == {"event": "message", "length": 5}, dial.seen
        dial.expect_works(b"and on")
