"""What must hold against hostile peers, as far as the core decides it, with default options.

The ids are those of the cases in ``tests/hostile``, which prove the same over sockets: F01 to F26, C00 to C06, X03 to
X09 and H27 of servers, and R01 to R25 of clients. Every rule is tried on both roles where it makes sense on both.
"""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Callable, Iterable

import pytest

from autobahnlike.wire.connection import Connection, Disconnect
from autobahnlike.wire.messages import FRAMES_PER_TURN
from autobahnlike.wire.options import Options

from .helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE_TAIL,
    KEY,
    MASK,
    PING,
    PONG,
    REQUEST,
    RESPONSE,
    ROLES,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    Frame,
    Side,
    close_frame,
    deflate,
    frame,
    opened,
    parse_frames,
)

both_roles = pytest.mark.parametrize("is_server", ROLES.values(), ids=ROLES)

MIB = 1 << 20
INVALID_CODES = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
BAD_TEXT = (
    b"\xff",
    b"\x80",
    b"hello \xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf4\x90\x80\x80",
    b"\xce",
    b"\xe2\x82",
    b"\xf0\x9f",
)


def pack(data: bytes) -> bytes:
    """Compress a message by itself (RFC 7692, section 7.2.1)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(DEFLATE_TAIL)


def bomb_part() -> bytes:
    """About 1 KiB that inflates to 1 MiB, and can be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)


Maker = Callable[..., bytes]

# What each rule's attacks are, made with the frame function of the peer; and the close code.
ATTACKS: dict[str, tuple[Callable[[Maker], Iterable[bytes]], int]] = {
    "F02 R02 R15 reserved bits": (
        lambda f: [f(op, b"x", rsv=rsv) for op in (TEXT, BINARY, PING, CLOSE) for rsv in (RSV1, RSV2, RSV3)],
        1002,
    ),
    "F03 R03 reserved opcodes": (lambda f: [f(op, b"x") for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)], 1002),
    "F04 R04 fragmented control frames": (
        lambda f: [f(op, b"\x03\xe8", fin=False) for op in (CLOSE, PING, PONG)],
        1002,
    ),
    "F05 R05 long control frames": (
        lambda f: [f(op, b"\x03\xe8" + b"x" * size) for op in (CLOSE, PING, PONG) for size in (124, 70_000)],
        1002,
    ),
    "F06 lengths that are not minimal": (
        lambda f: [f(TEXT, b"x" * size, form=form) for size, form in ((5, 2), (5, 8), (125, 2), (300, 8))],
        1002,
    ),
    "F07 R14 top bit of the length": (
        lambda f: [f(BINARY, b"x" * 50, claim=c) for c in (1 << 63, (1 << 64) - 1)],
        1002,
    ),
    "F08 F09 F21 R13 R16 huge frames": (
        lambda f: [f(BINARY, b"x", claim=c) for c in ((1 << 63) - 1, 1 << 40, 1 << 30, 64 * MIB, 16 * MIB + 1)],
        1009,
    ),
    "F10 R06 bad UTF-8": (lambda f: [f(TEXT, text) for text in BAD_TEXT], 1007),
    "F11 R07 bad UTF-8 in a first fragment": (
        lambda f: [f(TEXT, b"good \xff bad", fin=False), f(TEXT, b"\xf4\x90", fin=False), f(TEXT, b"\xff", claim=9)],
        1007,
    ),
    "F12 bad UTF-8 over fragments": (
        lambda f: [f(TEXT, b"\xe2\x82", fin=False) + f(CONTINUATION, b"\x28"), f(TEXT, b"\xe2", fin=False) + f(0)],
        1007,
    ),
    "F13 R08 invalid close codes": (lambda f: [f(CLOSE, code.to_bytes(2, "big")) for code in INVALID_CODES], 1002),
    "F14 R09 close payload of one byte": (lambda f: [f(CLOSE, b"\x03")], 1002),
    "F14 R10 close reason not UTF-8": (lambda f: [f(CLOSE, b"\x03\xe8\xff"), f(CLOSE, b"\x03\xe8\xe2\x82")], 1007),
    "F15 R11 continuation of nothing": (lambda f: [f(CONTINUATION, b"x", fin=fin) for fin in (True, False)], 1002),
    "F16 R12 message within a message": (
        lambda f: [f(TEXT, b"a", fin=False) + f(op, b"b", fin=fin) for op in (TEXT, BINARY) for fin in (True, False)],
        1002,
    ),
    "F22 R17 huge messages": (
        lambda f: [f(BINARY, fin=False) + f(CONTINUATION, bytes(MIB), fin=False) * 16 + f(0, b"x", claim=1)],
        1009,
    ),
}

COMPRESSED_ATTACKS: dict[str, tuple[Callable[[Maker], Iterable[bytes]], int]] = {
    "C00 R18 bomb of 64 MiB": (lambda f: [f(BINARY, bomb_part() * 64, rsv=RSV1)], 1009),
    "C01 R19 bomb of 960 MiB": (lambda f: [f(BINARY, bomb_part() * 960, rsv=RSV1)], 1009),
    "C02 bomb in fragments": (
        lambda f: [f(BINARY, bomb_part(), rsv=RSV1, fin=False) + f(CONTINUATION, bomb_part(), fin=False) * 960],
        1009,
    ),
    "C04 R20 invalid deflate data": (
        lambda f: [f(TEXT, data, rsv=RSV1) for data in (b"\xff\xff\xff\xff", b"\x06", b"\x00\x05\x00\x00\x00")],
        1007,
    ),
    "C05 RSV1 where it may not be": (
        lambda f: [
            f(TEXT, pack(b"hello")[:3], rsv=RSV1, fin=False) + f(CONTINUATION, pack(b"hello")[3:], rsv=RSV1),
            f(TEXT, b"hello", fin=False) + f(CONTINUATION, pack(b"hello"), rsv=RSV1),
            *[f(op, b"\x03\xe8", rsv=RSV1) for op in (CLOSE, PING, PONG)],
        ],
        1002,
    ),
    "C06 inflated text is not UTF-8": (
        lambda f: [f(TEXT, pack(text), rsv=RSV1) for text in (b"\xff", b"hello" * 1000 + b"\xed\xa0\x80")],
        1007,
    ),
}


def assert_answered(side: Side, attack: bytes, code: int, step: int) -> None:
    """The attack is answered with one close frame with that code, and nothing of it is delivered."""
    for start in range(0, len(attack), step):
        side.receive(attack[start : start + step])
        assert side.connection.buffered <= 16 * MIB + step + 200
    closing = [each for each in side.sent() if each.opcode != PONG]
    assert [(each.opcode, int.from_bytes(each.payload[:2], "big")) for each in closing] == [(CLOSE, code)], attack[:40]
    assert side.messages == []
    assert side.connection.buffered == 0


@both_roles
class TestViolations:
    """RFC 6455, sections 5, 7.4 and 8.1."""

    @pytest.mark.parametrize("step", [1 << 40, 65536])
    @pytest.mark.parametrize("rule", ATTACKS)
    def test_are_answered(self, is_server: bool, rule: str, step: int) -> None:
        attacks, code = ATTACKS[rule]
        mask = MASK if is_server else None
        for attack in attacks(lambda *given, **details: frame(*given, mask=mask, **details)):
            assert_answered(opened(is_server=is_server), attack, code, step)

    @pytest.mark.parametrize("rule", [rule for rule in ATTACKS if "F22" not in rule])
    def test_are_answered_when_they_come_byte_by_byte(self, is_server: bool, rule: str) -> None:
        attacks, code = ATTACKS[rule]
        mask = MASK if is_server else None
        for attack in attacks(lambda *given, **details: frame(*given, mask=mask, **details)):
            assert_answered(opened(is_server=is_server), attack[:400], code, 1)

    @pytest.mark.parametrize("step", [1 << 40, 1000])
    @pytest.mark.parametrize("rule", COMPRESSED_ATTACKS)
    def test_are_answered_with_compression(self, is_server: bool, rule: str, step: int) -> None:
        attacks, code = COMPRESSED_ATTACKS[rule]
        mask = MASK if is_server else None
        for attack in attacks(lambda *given, **details: frame(*given, mask=mask, **details)):
            assert_answered(opened(is_server=is_server, codec=deflate(is_server)), attack, code, step)

    def test_f01_r01_frames_with_the_wrong_mask(self, is_server: bool) -> None:
        for opcode in (TEXT, BINARY, PING, CLOSE):
            wrong = frame(opcode, b"", mask=None if is_server else MASK)
            assert_answered(opened(is_server=is_server), wrong, 1002, 1000)

    def test_the_peers_close_frame_behind_a_violation_is_heard(self, is_server: bool) -> None:
        """X06."""
        side = opened(is_server=is_server)
        side.receive(side.frame(3, b"bad") + side.frame(TEXT, b"ignored") + side.close_frame(1002))
        side.lose()
        assert side.handler.events == [("closed", True, 1002, None)]


@both_roles
class TestLegalOddities:
    def test_f17_interleaving_and_empty_fragments(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        data = side.frame(TEXT, fin=False) + side.frame(0, b"frag", fin=False) + side.frame(PING, b"middle")
        data += side.frame(0, fin=False) + side.frame(PONG) + side.frame(0, b"ments")
        side.receive(data)
        side.receive_bytewise(data)
        assert side.messages == [b"fragments"] * 2
        side.assert_sent(Frame(PONG, b"middle"), Frame(PONG, b"middle"))

    def test_f12_a_character_over_fragments(self, is_server: bool) -> None:
        side, text = opened(is_server=is_server), "κόσμε 😀".encode()
        for at in range(len(text)):
            side.receive(side.frame(TEXT, text[:at], fin=False) + side.frame(0, text[at:]))
        assert side.messages == [text] * len(text)

    def test_f18_r21_a_hundred_thousand_fragments(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.receive(side.frame(BINARY, fin=False) + side.frame(0, b"x", fin=False) * 99_998 + side.frame(0))
        assert side.messages == [b"x" * 99_998]

    def test_f19_r22_empty_fragments_without_end(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.receive(side.frame(BINARY, fin=False))
        many = side.frame(0, fin=False) * FRAMES_PER_TURN
        for _ in range(40):
            side.receive(many)
        side.assert_failed(1009)

    def test_f23_small_segments(self, is_server: bool) -> None:
        side, payload = opened(is_server=is_server), os.urandom(900_000)
        data = side.frame(BINARY, payload)
        side.receive(*(data[start : start + 450] for start in range(0, len(data), 450)))
        assert side.messages == [payload]

    def test_f24_a_burst_is_answered_in_order(self, is_server: bool) -> None:
        side = opened(is_server=is_server, high_water=65536)
        side.handler.hooks["message"] = side.connection.send_message
        messages = [b"message %d" % number for number in range(20_000)]
        received = b""
        for start in range(0, len(messages), 1000):
            side.receive(b"".join(side.frame(TEXT, message) for message in messages[start : start + 1000]))
            while data := side.take():
                received += data
        assert [each.payload for each in parse_frames(received)] == messages

    def test_x09_a_close_frame_within_a_message(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.receive(side.frame(TEXT, b"never", fin=False) + side.close_frame(1000))
        side.assert_sent(Frame(CLOSE, b"\x03\xe8"))


def test_h27_a_frame_in_the_segment_of_the_handshake() -> None:
    side = Side()
    side.handler.hooks["message"] = side.connection.send_message
    side.receive(REQUEST + side.frame(TEXT, b"early"))
    head, _, rest = side.take().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert parse_frames(rest) == [Frame(TEXT, b"early")]


class TestBoundedMemory:
    @both_roles
    def test_f20_r23_a_flood_of_pings_whose_pongs_are_never_read(self, is_server: bool) -> None:
        side = opened(is_server=is_server, high_water=65536)
        pings = side.frame(PING, b"p" * 125) * 500
        while side.connection.wants_read:
            side.receive(pings)
        assert len(side.outgoing) + side.connection.output.size < 4 * 65536
        assert side.connection.buffered <= len(pings)
        side.advance(41)
        assert side.asked() is Disconnect.ABORT

    @both_roles
    def test_f25_a_frame_in_tiny_segments(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.receive(side.frame(BINARY, claim=1_000_000))
        for _ in range(2500):
            side.receive(b"drib")
        assert side.connection.buffered == 10_000

    @both_roles
    def test_f26_fragments_that_never_end(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.receive(side.frame(BINARY, fin=False) + side.frame(0, b"ab", fin=False) * 20_000)
        assert side.connection.buffered == 40_000

    @both_roles
    def test_c03_inflated_messages_whose_echoes_are_never_read(self, is_server: bool) -> None:
        side = opened(is_server=is_server, codec=deflate(is_server), high_water=65536)
        side.handler.hooks["message"] = lambda payload, is_binary: side.connection.send_message(
            payload, is_binary, False
        )
        side.receive(side.frame(BINARY, pack(bytes(900 * 1024)), rsv=RSV1) * 400)
        assert len(side.messages) == 2
        assert len(side.outgoing) + side.connection.output.size < 2 * MIB
        assert not side.connection.wants_read

    @both_roles
    def test_r24_a_busy_application(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.connection.pause_delivery()
        message = side.frame(BINARY, bytes(1000))
        reads = 0
        while side.connection.wants_read:
            side.receive(message * 65)
            reads += 1
        assert reads == 1
        assert side.connection.buffered < 2 * 65536

    @both_roles
    def test_r24_a_busy_application_and_inflated_messages(self, is_server: bool) -> None:
        side = opened(is_server=is_server, codec=deflate(is_server))
        side.connection.pause_delivery()
        side.receive(side.frame(BINARY, pack(bytes(16 * MIB)), rsv=RSV1) * 3)
        assert not side.connection.wants_read
        assert side.connection.buffered < 17 * MIB


@both_roles
class TestEnding:
    def failed(self, is_server: bool) -> Side:
        side = opened(is_server=is_server)
        side.receive(side.frame(3))
        side.assert_failed(1002)
        return side

    def test_x03_a_peer_that_never_answers_our_close_frame(self, is_server: bool) -> None:
        side = self.failed(is_server)
        side.advance(5)
        side.assert_dropped("I failed the WebSocket connection: reserved data opcode 3")

    def test_x04_a_peer_that_goes_on_sending(self, is_server: bool) -> None:
        side = self.failed(is_server)
        data = itertools.cycle([side.frame(TEXT, b"x"), side.frame(PING), side.frame(BINARY, claim=1000), bytes(1000)])
        for read in itertools.islice(data, 39):
            side.receive(read)
            side.advance(0.125)
        assert side.sent() == []
        assert side.connection.buffered == 0
        side.advance(0.125)
        side.assert_dropped("I failed the WebSocket connection: reserved data opcode 3")

    def test_l02_the_same_after_an_orderly_close(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.connection.close(1000, None, 0)
        for _ in range(39):
            side.receive(side.frame(TEXT, b"x" * 10_000))
            side.advance(0.125)
        side.advance(0.125)
        assert side.asked() is Disconnect.ABORT

    def test_x05_l04_data_behind_the_peers_close_frame(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.receive(side.close_frame(1000) + side.frame(TEXT, b"x") + side.frame(PING), side.frame(TEXT, b"y"))
        side.assert_sent(Frame(CLOSE, b"\x03\xe8"))
        assert side.messages == []

    def test_x07_x08_the_end_without_a_close_frame(self, is_server: bool) -> None:
        for data in (b"", b"\x81", b"\x01\x85" + MASK + b"abc"):
            side = opened(is_server=is_server, require_masked_client_frames=False, accept_masked_server_frames=True)
            side.connection.receive_data(data, 0)
            side.lose()
            assert side.closed[:2] == (False, 1006)

    def test_x08_the_end_within_the_handshake(self, is_server: bool) -> None:
        side = Side(is_server=is_server)
        side.receive((REQUEST if is_server else RESPONSE)[:50])
        side.lose()
        assert side.closed[:2] == (False, 1006)

    def test_l01_the_peer_does_not_answer_our_close_frame(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.connection.close(1000, None, 0)
        side.settle()
        side.take()
        side.advance(5)
        assert side.asked() is Disconnect.ABORT

    def test_l03_the_peer_closes_and_does_not_end_the_tcp_connection(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.receive(side.close_frame(1000))
        side.take()
        side.advance(5)
        assert side.asked() is Disconnect.ABORT

    def test_k01_l07_silence(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.advance(45)
        assert side.asked() is Disconnect.ABORT


def masks(side: Side) -> list[bytes]:
    """The masking keys of 800 frames."""
    for _ in range(800):
        side.connection.send_ping(b"\0\0\0\0")
    data = b"".join(map(bytes, side.connection.data_to_send()))
    return [data[start + 2 : start + 6] for start in range(0, len(data), 10)]


def test_r25_masks_cannot_be_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bytes] = []
    urandom = os.urandom

    def draw(size: int) -> bytes:
        drawn.append(urandom(size))
        return drawn[-1]

    monkeypatch.setattr(os, "urandom", draw)
    side = Side(is_server=False)
    side.connection = Connection(side.handler, Options(), is_server=False, now=0)
    side.connection.send_request(REQUEST, key=KEY)
    side.receive(RESPONSE)
    side.take()
    assert b"".join(masks(side)) == b"".join(drawn)[:3200], "every key is drawn, and none is used twice"


@both_roles
def test_close_frames_are_what_the_application_asked_for(is_server: bool) -> None:
    side = opened(is_server=is_server)
    side.connection.close(4000, "bye", 0)
    side.settle()
    assert [each[:2] for each in side.sent()] == [(CLOSE, b"\x0f\xa0bye")]
    side.receive(close_frame(4000, mask=side.mask))
    side.lose()
    assert side.closed == (True, 4000, None)
