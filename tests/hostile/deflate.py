"""C00 to C11: permessage-deflate (RFC 7692)."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import zlib
from collections.abc import Iterable

from .peers import BINARY, CONTINUATION, DEFLATE, KIB, MIB, PING, PONG, RSV1, TEXT, Frame, Peer, frame, request
from .processes import Server, mib
from .registry import MUST, SHOULD, Place, Report, case

TAIL = b"\x00\x00\xff\xff"
HELD = 8 + 2 * 16
"""MiB: what every case may take, a message of the greatest size, and one inflated piece of it."""


def compress(data: bytes, bits: int = 15, level: int = 9) -> bytes:
    """One message as RFC 7692, section 7.2.1, compresses it, in a context of its own."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, -bits)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


@functools.cache
def bomb_part() -> bytes:
    """About 1 KiB that inflates to 1 MiB, refers to nothing before it, and can be repeated."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(bytes(MIB)) + deflater.flush(zlib.Z_FULL_FLUSH)


def bomb(size: int, mask: bytes | None) -> bytes:
    """One frame that inflates to that many MiB."""
    return frame(BINARY, bomb_part() * size, rsv=RSV1, mask=mask)


def fragmented_bomb(size: int, mask: bytes | None) -> Iterable[bytes]:
    """Fragments that inflate to 1 MiB each, without an end."""
    first = frame(BINARY, bomb_part(), rsv=RSV1, fin=False, mask=mask)
    return itertools.chain([first], itertools.repeat(frame(CONTINUATION, bomb_part(), fin=False, mask=mask), size))


def _detonate(server: Server, report: Report, blocks: Iterable[bytes]) -> None:
    with server.open(extensions=DEFLATE) as peer:
        _expect_deflate(peer)
        report.figure("sent", mib(peer.pump(blocks)), "MiB")
        peer.expect_close(1009)


def _expect_deflate(peer: Peer) -> dict[str, str]:
    """The parameters of the negotiated permessage-deflate."""
    name, *params = [part.strip() for part in peer.head.get("sec-websocket-extensions").split(";")]
    assert name == DEFLATE, f"permessage-deflate was not accepted: {peer.head}"
    return {key: value for key, _, value in (param.partition("=") for param in params)}


@case("C00", MUST, "a bomb in one frame, 65 KB for 64 MiB: 1009", place=Place.FRESH, rss=HELD)
def small_bomb(server: Server, report: Report) -> None:
    _detonate(server, report, [bomb(64, b"abcd")])


@case("C01", MUST, "a bomb in one frame, less than 1 MiB for 960 MiB: 1009", place=Place.FRESH, rss=HELD)
def big_bomb(server: Server, report: Report) -> None:
    _detonate(server, report, [bomb(960, b"abcd")])


@case("C02", MUST, "a bomb in fragments of 1 KiB for 1 MiB each: 1009", place=Place.FRESH, rss=HELD)
def fragments_bomb(server: Server, report: Report) -> None:
    _detonate(server, report, fragmented_bomb(960, b"abcd"))


@case("C03", MUST, "400 messages of 1 KiB for 900 KiB, and the echoes are never read", place=Place.FRESH)
def unread_inflated(server: Server, report: Report) -> None:
    messages = frame(BINARY, compress(bytes(900 * KIB)), rsv=RSV1) * 400
    with server.open(extensions=DEFLATE, receive_buffer=4096) as peer:
        _expect_deflate(peer)
        report.figure("sent", mib(peer.pump([messages], reading=False, patience=1)), "MiB")
        peer.pump(itertools.repeat(frame(PONG), 50), reading=False, patience=1)


@case("C04", MUST, "data that does not inflate: 1007 or 1002")
def corrupt(server: Server, report: Report) -> None:
    for data in (
        b"\xff\xff\xff\xff",
        b"\x06",
        compress(b"hello" * 100)[:-3] + b"\xff\xee\xdd",
        b"\x00\x05\x00\x00\x00",
    ):
        with server.open(extensions=DEFLATE) as peer:
            peer.send_frame(TEXT, data, rsv=RSV1)
            peer.expect_close(1007, 1002)


@case("C05", MUST, "RSV1 on a continuation or a control frame: 1002")
def misplaced_rsv1(server: Server, report: Report) -> None:
    data = compress(b"hello" * 10)
    continued = frame(TEXT, data[:3], rsv=RSV1, fin=False) + frame(CONTINUATION, data[3:], rsv=RSV1)
    plain = frame(TEXT, b"hello", fin=False) + frame(CONTINUATION, data, rsv=RSV1)
    for attack in (continued, plain, *[frame(opcode, b"\x03\xe8", rsv=RSV1) for opcode in (8, PING, PONG)]):
        with server.open(extensions=DEFLATE) as peer:
            peer.send(attack)
            peer.expect_close(1002)


@case("C06", MUST, "inflated text that is not UTF-8: 1007")
def inflated_bad_text(server: Server, report: Report) -> None:
    for text in (b"\xff", b"hello" * 1000 + b"\xed\xa0\x80"):
        with server.open(extensions=DEFLATE) as peer:
            peer.send_frame(TEXT, compress(text), rsv=RSV1)
            peer.expect_close(1007)


INVALID_OFFERS = [
    *[f"server_max_window_bits={bits}" for bits in ("7", "16", "abc", "", "08", "-9", "1 0", "+9", "9999999999", '"')],
    "server_max_window_bits",
    *[f"client_max_window_bits={bits}" for bits in ("7", "16", "abc", "", "015")],
    "server_no_context_takeover=1",
    "client_no_context_takeover=true",
    "unknown_parameter",
    "server_max_window_bits=9; server_max_window_bits=10",
    "client_no_context_takeover; client_no_context_takeover",
]


@case("C07", MUST, "invalid offers are declined, or refused with 400")
def invalid_offers(server: Server, report: Report) -> None:
    for offer in INVALID_OFFERS:
        with server.ask(request("GET / HTTP/1.1", f"Sec-WebSocket-Extensions: {DEFLATE}; {offer}")) as peer:
            head = peer.read_head()
            accepted = head.status == 101 and not head.all("sec-websocket-extensions")
            assert accepted or head.status == 400, f"{offer!r} is answered {head}"


class Codec:
    """The client's end of a negotiated permessage-deflate, which keeps exactly to what was answered.

    Args:
        params: the parameters of the response.
        bits: the window this client compresses with, if it is smaller than what the response allows.
    """

    def __init__(self, params: dict[str, str], bits: int = 15) -> None:
        self._params = params
        self._out_bits = min(bits, int(params.get("client_max_window_bits") or 15))
        self._in_bits = int(params.get("server_max_window_bits") or 15)
        self._renew_out()
        self._renew_in()

    def _renew_out(self) -> None:
        self._deflater = zlib.compressobj(9, zlib.DEFLATED, -self._out_bits)

    def _renew_in(self) -> None:
        self._inflater = zlib.decompressobj(-self._in_bits)

    def deflate(self, data: bytes) -> bytes:
        """Compress a message."""
        if "client_no_context_takeover" in self._params:
            self._renew_out()
        return (self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)

    def inflate(self, message: Frame) -> bytes:
        """Decompress a message that may be compressed."""
        if not message.rsv & RSV1:
            return message.payload
        if "server_no_context_takeover" in self._params:
            self._renew_in()
        return self._inflater.decompress(message.payload + TAIL)

    def expect_echo(self, peer: Peer, payload: bytes) -> None:
        """Send a message compressed, and read it back."""
        peer.send_frame(BINARY, self.deflate(payload), rsv=RSV1)
        assert self.inflate(peer.read_message()) == payload


def _distant(bits: int) -> bytes:
    """Data in which matches are worth it at every distance up to that window and far beyond."""
    source = random.Random(bits)
    near = source.randbytes(2 ** min(bits, 14) * 3 // 4)
    far = source.randbytes(20_000)
    return near + near + far + far + near


@case("C08", MUST, "server_max_window_bits is kept to")
def server_window(server: Server, report: Report) -> None:
    for bits in range(8, 16):
        with server.open(extensions=f"{DEFLATE}; server_max_window_bits={bits}") as peer:
            if not peer.head.all("sec-websocket-extensions"):
                report.note(f"{bits} declined")
                continue
            params = _expect_deflate(peer)
            assert 8 <= int(params["server_max_window_bits"]) <= bits
            codec = Codec(params)
            for _ in range(3):
                codec.expect_echo(peer, _distant(bits))


@case("C09", MUST, "client_max_window_bits is answered only when offered, and kept to")
def client_window(server: Server, report: Report) -> None:
    with server.open(extensions=DEFLATE) as peer:
        assert "client_max_window_bits" not in _expect_deflate(peer)
    offers = [(f"; client_max_window_bits={bits}", bits) for bits in range(9, 16)]
    for offer, bits in [("; client_max_window_bits", 15), *offers]:
        with server.open(extensions=DEFLATE + offer) as peer:
            params = _expect_deflate(peer)
            assert 8 <= int(params.get("client_max_window_bits", bits)) <= bits
            codec = Codec(params, bits)
            for _ in range(3):
                codec.expect_echo(peer, _distant(bits))


def _negotiated(server: Server, report: Report) -> None:
    takeover = ("server_no_context_takeover", "client_no_context_takeover")
    offers = ["", f"; {takeover[0]}", f"; {takeover[1]}", f"; {takeover[0]}; {takeover[1]}"]
    fallbacks = [f"; server_max_window_bits=99, {DEFLATE}", f"; x=1, x-other, {DEFLATE}; {takeover[0]}"]
    for offer in offers + fallbacks:
        with server.open(extensions=DEFLATE + offer) as peer:
            params = _expect_deflate(peer)
            assert takeover[0] in params or takeover[0] not in offer
            codec = Codec(params)
            for payload in (
                b"again and again " * 50,
                b"",
                b"again and again " * 50,
                random.Random(1).randbytes(70_000),
            ):
                codec.expect_echo(peer, payload)


def _odd_streams() -> list[list[bytes]]:
    """Messages of "odd" as fragments: all are legal (RFC 7692, section 7.2.3)."""
    data = b"odd stream " * 20
    plain = compress(data)
    stored = compress(data, level=0)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    final = deflater.compress(data) + deflater.flush(zlib.Z_FINISH) + b"\x00"
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    flushed = b"".join(
        deflater.compress(data[at : at + 50]) + deflater.flush(zlib.Z_SYNC_FLUSH) for at in range(0, len(data), 50)
    )
    return [
        [plain],
        [stored],
        [final],
        [flushed.removesuffix(TAIL)],
        [plain[at : at + 1] for at in range(len(plain))],
        [b"", plain, b""],
        [plain[:5], b"", plain[5:]],
        [TAIL[:1] + TAIL + plain],
    ]


def _send_fragments(peer: Peer, parts: list[bytes]) -> None:
    for number, part in enumerate(parts):
        first, last = number == 0, number == len(parts) - 1
        peer.send_frame(BINARY if first else CONTINUATION, part, rsv=RSV1 if first else 0, fin=last)


@case("C10", MUST, "context takeover or not, fallback offers and odd streams: what was answered holds")
def negotiated_as_answered(server: Server, report: Report) -> None:
    _negotiated(server, report)
    for parts in _odd_streams():
        with server.open(extensions=DEFLATE) as peer:
            codec = Codec(_expect_deflate(peer))
            for _ in range(2):
                _send_fragments(peer, parts)
                assert codec.inflate(peer.read_message()) == b"odd stream " * 20, parts
            peer.send_frame(TEXT, b"not compressed")
            assert codec.inflate(peer.read_message()) == b"not compressed"


@case("C11", SHOULD, "what 200 compressed sessions take after one message each", place=Place.FRESH, rss=25)
def session_memory(server: Server, report: Report) -> None:
    payload = b"a message of some length, as they are " * 20
    with contextlib.ExitStack() as stack:
        before = server.rss()
        for _ in range(200):
            peer = stack.enter_context(server.open(extensions=DEFLATE))
            Codec(_expect_deflate(peer)).expect_echo(peer, payload)
        report.figure("per connection", (server.rss() - before) * 1024 / 200, "KiB", 32, 128)
