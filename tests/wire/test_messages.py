"""From bytes to messages: framing, masking, fragments, UTF-8, limits, and what is skipped after a violation."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from autobahnlike.exception import (
    FrameError,
    InvalidUtf8,
    MessageTooBig,
    PayloadCorruptError,
    RemoteProtocolError,
)
from autobahnlike.wire.deflate import Codec
from autobahnlike.wire.messages import FRAMES_PER_TURN, INFLATED_PER_TURN, CloseSeeker, MessageReader
from autobahnlike.wire.options import Options

from .helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE_TAIL,
    MASK,
    PING,
    PONG,
    ROLES,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    close_frame,
    deflate,
    frame,
)

both_roles = pytest.mark.parametrize("is_server", ROLES.values(), ids=ROLES)

BAD_UTF8 = [
    b"\xff",
    b"\x80",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    "κόσμε".encode() + b"\xed\xa0\x80edited",
]
UNFINISHED_UTF8 = [b"\xce", b"\xe2\x82", b"\xf0\x9f\x98", b"text and \xf0"]


class Received:
    """A reader, and what it has reported: (payload, is_binary) of messages, (opcode, payload) of control frames.

    Args:
        is_server: whose reader it is.
        codec: the compression.
        options: what is not default.
    """

    def __init__(self, is_server: bool = True, codec: Codec | None = None, **options: Any) -> None:
        self.messages: list[tuple[bytes, bool]] = []
        self.controls: list[tuple[int, bytes]] = []
        self.mask = MASK if is_server else None
        self.hook: Callable[[], object] = bool
        self.reader = MessageReader(
            Options(**options),
            is_server=is_server,
            codec=codec,
            on_message=self._on_message,
            on_control=lambda opcode, payload: self.controls.append((opcode, payload)),
        )

    def _on_message(self, payload: bytes, is_binary: bool) -> None:
        self.messages.append((payload, is_binary))
        self.hook()

    def frame(self, opcode: int, payload: bytes = b"", **details: Any) -> bytes:
        details.setdefault("mask", self.mask)
        return frame(opcode, payload, **details)

    def feed_all(self, reads: list[bytes]) -> None:
        """Feed reads, each to its end."""
        for read in reads:
            self.reader.feed(read)
            while self.reader.halted:
                self.reader.proceed()

    def fails(self, error: type[RemoteProtocolError], match: str, *frames: bytes) -> tuple[int | None, bytes]:
        """These frames are a violation; returns what there is to be skipped, and what was behind."""
        with pytest.raises(error, match=match) as caught:
            self.reader.feed(b"".join(frames))
        assert type(caught.value) is error
        assert len(caught.value.reason) <= 123
        assert caught.value.reason.isascii()
        return self.reader.abandon()


class TestWholeMessages:
    """RFC 6455, sections 5.6 and 6.2."""

    @both_roles
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
    def test_a_message_in_one_frame(self, is_server: bool, size: int) -> None:
        got, payload = Received(is_server), (b"0123456789" * (size // 10 + 1))[:size]
        got.reader.feed(got.frame(TEXT, payload) + got.frame(BINARY, payload))
        assert got.messages == [(payload, False), (payload, True)]
        assert got.reader.buffered == 0

    @both_roles
    @pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 64])
    def test_however_it_was_cut(self, is_server: bool, step: int) -> None:
        got, payload = Received(is_server), "straße".encode() * 30
        data = got.frame(BINARY, payload) + got.frame(TEXT, payload) + got.frame(PING, b"p") + got.frame(TEXT, b"")
        for start in range(0, len(data), step):
            got.reader.feed(data[start : start + step])
        assert got.messages == [(payload, True), (payload, False), (b"", False)]
        assert got.controls == [(PING, b"p")]

    def test_the_counters(self) -> None:
        got = Received(codec=deflate(True))
        packed = deflate(False).compress(b"a" * 1000, True)
        got.reader.feed(got.frame(TEXT, b"hello") + got.frame(PING, b"ping"))
        got.reader.feed(got.frame(BINARY, packed[:2], rsv=RSV1, fin=False) + got.frame(CONTINUATION, packed[2:]))
        reader = got.reader
        assert (reader.messages, reader.frames) == (2, 3)
        assert reader.payload_octets == 5 + len(packed)
        assert reader.message_octets == 5 + 1000


class TestMasking:
    """RFC 6455, section 5.1."""

    @pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
    def test_a_server_refuses_frames_without_a_mask(self, opcode: int) -> None:
        Received(True).fails(FrameError, "client frame is not masked", frame(opcode))

    @pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
    def test_a_client_refuses_frames_with_a_mask(self, opcode: int) -> None:
        Received(False).fails(FrameError, "server frame is masked", frame(opcode, mask=MASK))

    def test_a_mask_of_zeros_is_a_mask(self) -> None:
        Received(False).fails(FrameError, "server frame is masked", frame(TEXT, b"x", mask=b"\0\0\0\0"))
        got = Received(True)
        got.reader.feed(frame(TEXT, b"x", mask=b"\0\0\0\0"))
        assert got.messages == [(b"x", False)]

    @pytest.mark.parametrize("mask", [None, MASK], ids=["plain", "masked"])
    @pytest.mark.parametrize("option", ["require_masked_client_frames", "accept_masked_server_frames"])
    def test_the_rule_can_be_switched_off(self, option: str, mask: bytes | None) -> None:
        is_server = option.startswith("require")
        options: dict[str, Any] = {option: not is_server}
        got = Received(is_server, **options)
        got.reader.feed(frame(TEXT, b"hello", mask=mask) + frame(PING, b"ping", mask=mask))
        assert got.messages == [(b"hello", False)]
        assert got.controls == [(PING, b"ping")]

    def test_masks_that_are_not_applied(self) -> None:
        got = Received(True, apply_mask=False)
        shown = frame(BINARY, b"\0\0\0\0", mask=MASK)[6:]
        got.reader.feed(frame(BINARY, b"\0\0\0\0", mask=MASK) + frame(PING, b"\0\0\0\0", mask=MASK))
        got.reader.feed(frame(BINARY, b"\0\0", mask=MASK, fin=False) + frame(CONTINUATION, b"\0\0", mask=MASK))
        assert got.messages == [(shown, True), (shown[:2] * 2, True)]
        assert got.controls == [(PING, shown)]


class TestHeaders:
    """RFC 6455, section 5.2."""

    @both_roles
    @pytest.mark.parametrize("rsv", [RSV1, RSV2, RSV3, RSV1 | RSV2, RSV1 | RSV2 | RSV3])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
    def test_reserved_bits_without_an_extension(self, is_server: bool, rsv: int, opcode: int) -> None:
        got = Received(is_server)
        got.fails(FrameError, "reserved bits", got.frame(opcode, rsv=rsv))

    @pytest.mark.parametrize("rsv", [RSV2, RSV3, RSV1 | RSV2])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_reserved_bits_that_compression_does_not_use(self, rsv: int, opcode: int) -> None:
        got = Received(codec=deflate(True))
        got.fails(FrameError, "reserved bits", got.frame(opcode, rsv=rsv))

    @both_roles
    @pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
    def test_reserved_opcodes(self, is_server: bool, opcode: int) -> None:
        got = Received(is_server)
        got.fails(FrameError, f"opcode {opcode}$", got.frame(opcode))

    @both_roles
    @pytest.mark.parametrize(
        ("size", "form"), [(0, 2), (5, 2), (125, 2), (0, 8), (5, 8), (125, 8), (126, 8), (300, 8), (65535, 8)]
    )
    def test_a_length_that_is_not_in_its_shortest_form(self, is_server: bool, size: int, form: int) -> None:
        got = Received(is_server)
        data = got.frame(BINARY, b"x" * size, form=form)
        skip, rest = got.fails(FrameError, "shortest form", data)
        assert skip == size == len(rest)

    @both_roles
    @pytest.mark.parametrize("claim", [1 << 63, (1 << 64) - 1])
    def test_a_length_with_the_top_bit_set(self, is_server: bool, claim: int) -> None:
        got = Received(is_server)
        skip, _ = got.fails(FrameError, "most significant bit", got.frame(BINARY, claim=claim))
        assert skip is None, "nobody can say where the next frame begins"


class TestControlFrames:
    """RFC 6455, section 5.5."""

    @both_roles
    @pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
    def test_up_to_125_bytes(self, is_server: bool, opcode: int) -> None:
        got = Received(is_server)
        got.reader.feed(got.frame(opcode, b"x" * 125) + got.frame(opcode))
        assert got.controls == [(opcode, b"x" * 125), (opcode, b"")]

    @both_roles
    @pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
    def test_not_more(self, is_server: bool, opcode: int) -> None:
        for size in (126, 70_000):
            got = Received(is_server)
            got.fails(FrameError, "more than 125 bytes", got.frame(opcode, claim=size))

    @both_roles
    @pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
    def test_not_in_fragments(self, is_server: bool, opcode: int) -> None:
        got = Received(is_server)
        got.fails(FrameError, "fragmented control frame", got.frame(opcode, fin=False))

    def test_between_fragments(self) -> None:
        got = Received()
        got.reader.feed(got.frame(TEXT, b"Hel", fin=False) + got.frame(PING, b"1") + got.frame(CONTINUATION, fin=False))
        got.reader.feed(got.frame(PONG, b"2") + got.frame(CONTINUATION, b"lo"))
        assert got.controls == [(PING, b"1"), (PONG, b"2")]
        assert got.messages == [(b"Hello", False)]


class TestFragmentation:
    """RFC 6455, section 5.4."""

    @both_roles
    @pytest.mark.parametrize("step", [1, 3, 1000])
    def test_fragments_become_one_message(self, is_server: bool, step: int) -> None:
        got = Received(is_server)
        parts = [got.frame(TEXT, b"", fin=False), got.frame(0, b"one ", fin=False), got.frame(0, b"", fin=False)]
        data = b"".join([*parts, got.frame(0, b"two", fin=False), got.frame(0, b"")])
        for start in range(0, len(data), step):
            got.reader.feed(data[start : start + step])
        assert got.messages == [(b"one two", False)]
        got.reader.feed(got.frame(BINARY, b"next"))
        assert got.messages[1:] == [(b"next", True)]

    @both_roles
    @pytest.mark.parametrize("fin", [True, False])
    def test_a_continuation_of_nothing(self, is_server: bool, fin: bool) -> None:
        got = Received(is_server)
        got.fails(FrameError, "continuation of no message", got.frame(CONTINUATION, b"x", fin=fin))

    def test_a_continuation_of_a_message_that_is_complete(self) -> None:
        got = Received()
        first = got.frame(TEXT, b"one", fin=False) + got.frame(CONTINUATION, b"two")
        got.fails(FrameError, "continuation of no message", first, got.frame(CONTINUATION))

    @both_roles
    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_a_message_within_a_message(self, is_server: bool, opcode: int) -> None:
        got = Received(is_server)
        first = got.frame(TEXT, b"one", fin=False)
        got.fails(FrameError, "message within a fragmented message", first, got.frame(opcode, b"two"))

    def test_a_hundred_thousand_fragments_are_one_message(self) -> None:
        got = Received()
        got.feed_all([got.frame(BINARY, fin=False) + got.frame(0, b"x", fin=False) * 100_000 + got.frame(0)])
        assert got.messages == [(b"x" * 100_000, True)]

    def test_many_small_fragments_keep_no_object_each(self) -> None:
        got = Received()
        got.reader.feed(got.frame(BINARY, fin=False))
        for _ in range(1000):
            got.reader.feed(got.frame(CONTINUATION, b"ab", fin=False))
        assert got.reader.buffered == 2000


class TestUtf8:
    """RFC 6455, section 8.1."""

    @both_roles
    @pytest.mark.parametrize("text", BAD_UTF8 + UNFINISHED_UTF8)
    def test_a_text_that_is_not_utf8(self, is_server: bool, text: bytes) -> None:
        got = Received(is_server)
        skip, rest = got.fails(InvalidUtf8, "not UTF-8", got.frame(TEXT, text), b"behind")
        assert (skip, rest) == (0, b"behind")
        assert got.messages == []

    @pytest.mark.parametrize("text", BAD_UTF8)
    def test_a_first_fragment_fails_at_once(self, text: bytes) -> None:
        got = Received()
        got.fails(InvalidUtf8, "not UTF-8", got.frame(TEXT, b"good " + text, fin=False))

    @pytest.mark.parametrize("text", BAD_UTF8)
    def test_a_frame_fails_before_it_is_complete(self, text: bytes) -> None:
        got = Received()
        data = got.frame(TEXT, b"good " + text + b"x" * 100)[:-100]
        skip, rest = got.fails(InvalidUtf8, "not UTF-8", data)
        assert (skip, rest) == (100, b"")

    def test_a_character_may_be_split_over_fragments(self) -> None:
        text = "κόσμε 😀".encode()
        for at in range(len(text) + 1):
            got = Received()
            got.reader.feed(got.frame(TEXT, text[:at], fin=False) + got.frame(CONTINUATION, text[at:]))
            assert got.messages == [(text, False)]

    @pytest.mark.parametrize("text", UNFINISHED_UTF8)
    def test_a_message_may_not_end_within_a_character(self, text: bytes) -> None:
        got = Received()
        got.fails(InvalidUtf8, "not UTF-8", got.frame(TEXT, text, fin=False), got.frame(CONTINUATION))

    def test_one_message_does_not_disturb_the_next(self) -> None:
        got = Received()
        text = got.frame(TEXT, b"\xc3", fin=False) + got.frame(CONTINUATION, b"\xa9")
        got.reader.feed(text * 3)
        assert got.messages == [(b"\xc3\xa9", False)] * 3

    def test_binary_messages_are_not_validated(self) -> None:
        got = Received()
        got.reader.feed(got.frame(BINARY, b"\xff") + got.frame(BINARY, b"\xff", fin=False) + got.frame(0, b"\x80"))
        assert got.messages == [(b"\xff", True), (b"\xff\x80", True)]

    def test_validation_can_be_switched_off(self) -> None:
        got = Received(validate_utf8=False)
        got.reader.feed(got.frame(TEXT, b"\xff") + got.frame(TEXT, b"\xff", fin=False) + got.frame(0, b"\x80"))
        assert got.messages == [(b"\xff", False), (b"\xff\x80", False)]


class TestLimits:
    """RFC 6455, sections 7.4.1 (1009) and 10.4."""

    def test_a_message_of_the_limit_is_taken(self) -> None:
        got = Received(max_message_size=1000)
        got.reader.feed(got.frame(BINARY, b"x" * 1000))
        got.reader.feed(got.frame(BINARY, b"x" * 600, fin=False) + got.frame(CONTINUATION, b"x" * 400))
        assert [len(payload) for payload, _ in got.messages] == [1000, 1000]

    @both_roles
    @pytest.mark.parametrize("claim", [1001, 1 << 30, 1 << 40, (1 << 63) - 1])
    def test_a_larger_one_is_refused_at_its_header(self, is_server: bool, claim: int) -> None:
        got = Received(is_server, max_message_size=1000)
        skip, rest = got.fails(MessageTooBig, "over the limit of 1000$", got.frame(BINARY, b"x", claim=claim))
        assert (skip, rest[-1:], len(rest)) == (claim if claim < 1 << 32 else None, rest[:1], 1)

    @pytest.mark.parametrize("claim", [16 * 1024 * 1024 + 1, 64 * 1024 * 1024, (1 << 63) - 1])
    def test_the_default_is_a_limit(self, claim: int) -> None:
        got = Received()
        got.fails(MessageTooBig, f"message of {claim} bytes", got.frame(BINARY, claim=claim))

    def test_fragments_count_together(self) -> None:
        got = Received(max_message_size=1000)
        first = got.frame(BINARY, b"x" * 600, fin=False) + got.frame(CONTINUATION, b"x" * 400, fin=False)
        got.fails(MessageTooBig, "message of 1001 bytes", first, got.frame(CONTINUATION, claim=1))

    def test_a_frame_of_its_own_limit(self) -> None:
        got = Received(max_frame_size=100)
        got.reader.feed(got.frame(BINARY, b"x" * 100, fin=False) + got.frame(CONTINUATION, b"x" * 100))
        got.fails(MessageTooBig, "frame of 101 bytes is over the limit of 100", got.frame(BINARY, claim=101))
        assert [len(payload) for payload, _ in got.messages] == [200]

    def test_a_message_of_too_many_fragments(self) -> None:
        got = Received(max_fragments=3)
        message = got.frame(BINARY, fin=False) + got.frame(0, fin=False) + got.frame(0, b"x")
        got.reader.feed(message * 2)
        more = got.frame(BINARY, fin=False) + got.frame(0, fin=False) * 2
        got.fails(MessageTooBig, "more than 3 fragments", more, got.frame(0))
        assert len(got.messages) == 2

    def test_limits_can_be_switched_off(self) -> None:
        got = Received(max_message_size=0, max_fragments=0, codec=deflate(True))
        got.reader.feed(got.frame(BINARY, claim=(1 << 63) - 1))
        assert got.reader.buffered == 0
        got = Received(max_message_size=0, max_fragments=0, codec=deflate(True))
        packed = deflate(False).compress(bytes(3_000_000), True)
        got.reader.feed(got.frame(BINARY, packed, rsv=RSV1))
        assert got.messages == [(bytes(3_000_000), True)]

    def test_a_claim_allocates_nothing(self) -> None:
        got = Received(max_message_size=0)
        got.reader.feed(got.frame(BINARY, b"x" * 50, claim=1 << 40))
        assert got.reader.buffered == 50


def pack(data: bytes) -> bytes:
    """Compress a message by itself, with zlib alone (RFC 7692, section 7.2.1)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(DEFLATE_TAIL)


class TestCompression:
    """RFC 7692, section 6.2."""

    @both_roles
    @pytest.mark.parametrize("step", [1, 7, 1 << 20])
    def test_compressed_messages(self, is_server: bool, step: int) -> None:
        got, sender = Received(is_server, deflate(is_server)), deflate(not is_server)
        messages = ["hällo".encode() * 100, b"", b"hello" * 100]
        data = b"".join(got.frame(TEXT, sender.compress(message, True), rsv=RSV1) for message in messages)
        for start in range(0, len(data), step):
            got.reader.feed(data[start : start + step])
        assert got.messages == [(message, False) for message in messages]

    def test_plain_messages_among_them(self) -> None:
        got, sender = Received(codec=deflate(True)), deflate(False)
        for rsv in (RSV1, 0, RSV1, 0):
            payload = sender.compress(b"hello", True) if rsv else b"hello"
            got.reader.feed(got.frame(TEXT, payload, rsv=rsv))
        assert got.messages == [(b"hello", False)] * 4

    def test_compressed_fragments(self) -> None:
        got, packed = Received(codec=deflate(True)), pack(b"hello" * 50)
        got.reader.feed(got.frame(TEXT, packed[:3], rsv=RSV1, fin=False) + got.frame(CONTINUATION, fin=False))
        got.reader.feed(got.frame(PING) + got.frame(CONTINUATION, packed[3:]))
        assert got.messages == [(b"hello" * 50, False)]

    @pytest.mark.parametrize("rsv", [0, RSV1])
    def test_rsv1_on_a_continuation(self, rsv: int) -> None:
        got = Received(codec=deflate(True))
        first = got.frame(TEXT, b"", rsv=rsv, fin=False)
        got.fails(FrameError, "reserved bits set in a data frame", first, got.frame(CONTINUATION, rsv=RSV1))

    @pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
    def test_rsv1_on_a_control_frame(self, opcode: int) -> None:
        got = Received(codec=deflate(True))
        got.fails(FrameError, "reserved bits set in a control frame", got.frame(opcode, rsv=RSV1))

    @pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x06", pack(b"hello" * 100)[:-3] + b"\xff\xee\xdd"])
    def test_data_that_does_not_inflate(self, data: bytes) -> None:
        got = Received(codec=deflate(True))
        skip, rest = got.fails(PayloadCorruptError, "does not inflate", got.frame(BINARY, data, rsv=RSV1), b"behind")
        assert (skip, rest) == (0, b"behind")

    @pytest.mark.parametrize("text", BAD_UTF8 + UNFINISHED_UTF8)
    def test_inflated_text_that_is_not_utf8(self, text: bytes) -> None:
        got = Received(codec=deflate(True))
        got.fails(InvalidUtf8, "not UTF-8", got.frame(TEXT, pack(b"hello" * 100 + text), rsv=RSV1))

    @pytest.mark.parametrize("step", [1 << 30, 1000, 1])
    def test_a_message_of_the_limit_is_taken_and_one_byte_more_is_not(self, step: int) -> None:
        for size in (5000, 5001):
            got, packed = Received(codec=deflate(True), max_message_size=5000), pack(bytes(size))
            first = got.frame(BINARY, packed[:1], rsv=RSV1, fin=False)
            data = first + got.frame(CONTINUATION, packed[1:])
            reads = [data[start : start + step] for start in range(0, len(data), step)]
            if size == 5000:
                got.feed_all(reads)
                assert got.messages == [(bytes(5000), True)]
            else:
                with pytest.raises(MessageTooBig):
                    got.feed_all(reads)
                assert got.messages == []

    def test_a_message_that_is_full_takes_nothing_more(self) -> None:
        got = Received(codec=deflate(True), max_message_size=5000)
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(bytes(5000)) + packer.flush(zlib.Z_SYNC_FLUSH)
        got.reader.feed(got.frame(BINARY, packed, rsv=RSV1, fin=False))
        one_more = packer.compress(b"x") + packer.flush(zlib.Z_SYNC_FLUSH)
        got.fails(MessageTooBig, "limit of 5000", got.frame(CONTINUATION, one_more))

    def test_what_cannot_be_compressed_may_be_larger_on_the_wire(self) -> None:
        payload = bytes(range(256)) * 256
        stored = b"".join(
            b"\x00" + len(part).to_bytes(2, "little") + (65535 - len(part)).to_bytes(2, "little") + part
            for part in (payload[start : start + 128] for start in range(0, len(payload), 128))
        )
        got = Received(codec=deflate(True), max_message_size=len(payload))
        assert len(stored) > len(payload)
        got.reader.feed(got.frame(BINARY, stored + b"\x00", rsv=RSV1))
        assert got.messages == [(payload, True)]

    def test_it_may_not_be_larger_without_end(self) -> None:
        got = Received(codec=deflate(True), max_message_size=1600)
        first = got.frame(BINARY, b"", rsv=RSV1, fin=False)
        got.fails(MessageTooBig, "over the limit of 1600", first, got.frame(CONTINUATION, claim=1600 + 100 + 65))

    @pytest.mark.parametrize("size", [64, 960])
    def test_a_bomb_in_one_frame(self, size: int) -> None:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
        got = Received(codec=deflate(True))
        got.fails(MessageTooBig, "inflates to more than", got.frame(BINARY, block * size, rsv=RSV1))

    def test_a_bomb_in_fragments(self) -> None:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
        got = Received(codec=deflate(True))
        got.reader.feed(got.frame(BINARY, block, rsv=RSV1, fin=False))
        with pytest.raises(MessageTooBig):
            got.feed_all([got.frame(CONTINUATION, block, fin=False)] * 16)


class TestHalting:
    def test_nothing_is_parsed_while_halted(self) -> None:
        got = Received()
        got.reader.halted = True
        got.reader.feed(got.frame(TEXT, b"one"))
        got.reader.feed(got.frame(TEXT, b"two"))
        assert got.messages == []
        assert got.reader.unparsed == got.reader.buffered == 2 * (6 + 3)
        got.reader.proceed()
        assert got.messages == [(b"one", False), (b"two", False)]
        assert got.reader.unparsed == 0

    def test_a_callback_may_halt_after_its_message(self) -> None:
        got = Received()

        def halt() -> None:
            got.reader.halted = True

        got.hook = halt
        got.reader.feed(got.frame(TEXT, b"one") + got.frame(TEXT, b"two", fin=False) + got.frame(0) + got.frame(PING))
        assert len(got.messages) == 1
        got.reader.proceed()
        assert len(got.messages) == 2
        assert got.controls == []
        got.reader.proceed()
        assert got.controls == [(PING, b"")]

    def test_a_read_of_many_frames_yields(self) -> None:
        got = Received()
        got.reader.feed(got.frame(PING) * (FRAMES_PER_TURN + 10))
        assert got.reader.halted
        assert got.reader.yielded
        assert len(got.controls) == FRAMES_PER_TURN
        got.reader.proceed()
        assert not got.reader.halted
        assert not got.reader.yielded
        assert len(got.controls) == FRAMES_PER_TURN + 10

    def test_a_read_that_inflates_much_yields(self) -> None:
        got = Received(codec=deflate(True))
        bomb = got.frame(BINARY, pack(bytes(1 << 20)), rsv=RSV1)
        got.reader.feed(bomb * 6)
        assert got.reader.yielded
        assert len(got.messages) == INFLATED_PER_TURN >> 20
        got.reader.proceed()
        assert len(got.messages) == 6

    def test_an_abandoned_reader_holds_nothing(self) -> None:
        got = Received()
        got.reader.feed(got.frame(BINARY, b"fragment", fin=False) + got.frame(CONTINUATION, claim=100) + b"1234")
        assert got.reader.buffered == 12
        assert got.reader.abandon() == (96, b"")
        assert got.reader.buffered == 0

    @pytest.mark.parametrize(("fin", "rsv", "size"), [(True, 0, 126), (False, 0, 2), (True, RSV2, 2)])
    def test_nothing_is_sought_behind_a_close_frame_that_breaks_the_rules(self, fin: bool, rsv: int, size: int) -> None:
        got = Received()
        skip, _ = got.fails(FrameError, "control frame", got.frame(CLOSE, bytes(size), fin=fin, rsv=rsv))
        assert skip is None


class TestCloseSeeker:
    """What a failed connection reads with."""

    @staticmethod
    def sought(skip: int, data: bytes, step: int) -> list[bytes]:
        found: list[bytes] = []
        seeker = CloseSeeker(skip, found.append)
        for start in range(0, len(data), step):
            seeker.feed(data[start : start + step])
        return found

    @pytest.mark.parametrize("step", [1, 2, 3, 1 << 20])
    @pytest.mark.parametrize("mask", [None, MASK], ids=["plain", "masked"])
    def test_the_close_frame_is_found_behind_any_frames(self, step: int, mask: bytes | None) -> None:
        data = b"left of the bad frame" + b"".join(
            frame(opcode, payload, mask=mask)
            for opcode, payload in [(TEXT, b"x" * 5), (7, b"x" * 300), (BINARY, b"x" * 70_000), (PING, b""), (0, b"")]
        )
        data += close_frame(1002, b"you too", mask=mask)
        assert self.sought(21, data, step) == [b"\x03\xeayou too"]

    @pytest.mark.parametrize("step", [1, 1 << 20])
    def test_only_the_first_one_counts(self, step: int) -> None:
        assert self.sought(0, close_frame() + close_frame(1000), step) == [b""]

    @pytest.mark.parametrize("step", [1, 1 << 20])
    def test_a_close_frame_that_is_too_long_is_none_and_ends_the_search(self, step: int) -> None:
        assert self.sought(0, frame(CLOSE, b"\x03\xe8" + b"x" * 124) + close_frame(1000), step) == []

    def test_it_holds_no_more_than_a_close_frame(self) -> None:
        seeker = CloseSeeker(0, lambda payload: None)
        for _ in range(100):
            seeker.feed(frame(BINARY, claim=1 << 62) + b"x" * 1000)
        assert len(seeker._data) == 0
        seeker = CloseSeeker(0, lambda payload: None)
        seeker.feed(frame(CLOSE, b"x" * 124, mask=MASK)[:-1])
        assert len(seeker._data) == 129


@both_roles
def test_each_frame_is_told_of_once_however_it_arrives(is_server: bool) -> None:
    mask = MASK if is_server else None
    told: list[tuple[int, int]] = []
    messages: list[tuple[bytes, bool]] = []
    reader = MessageReader(
        Options(),
        is_server=is_server,
        codec=None,
        on_message=lambda payload, is_binary: messages.append((payload, is_binary)),
        on_control=lambda opcode, payload: None,
        on_frame=lambda first_byte, length: told.append((first_byte, length)),
    )
    frames = [
        frame(BINARY, b"whole", mask=mask),
        frame(TEXT, b"te", fin=False, mask=mask),
        frame(PING, b"between", mask=mask),
        frame(CONTINUATION, b"xt", mask=mask),
    ]
    for byte in b"".join(frames):
        reader.feed(bytes((byte,)))
    assert told == [(0x82, 5), (0x01, 2), (0x89, 7), (0x80, 2)]
    assert messages == [(b"whole", True), (b"text", False)]


def test_a_reader_lets_go_of_whom_it_called() -> None:
    got = Received()
    reader = got.reader
    reader.feed(got.frame(TEXT, b"hello"))
    listener = weakref.ref(got)
    reader.forget()
    del got
    assert listener() is None
    assert (reader.messages, reader.message_octets) == (1, 5)
