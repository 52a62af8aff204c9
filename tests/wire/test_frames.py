"""Frames: headers, and the payload of close frames (RFC 6455, sections 5.2, 5.5.1 and 7.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahnlike.exception import FrameError, InvalidArgument, InvalidUtf8
from autobahnlike.wire import frames
from autobahnlike.wire.frames import (
    MAX_CONTROL_PAYLOAD,
    close_payload,
    frame_header,
    is_valid_close_code,
    parse_close_payload,
)

VALID_CODES = [*range(1000, 1004), *range(1007, 1015), 3000, 3001, 3999, 4000, 4999]
INVALID_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


class TestFrameHeader:
    """RFC 6455, section 5.2."""

    @pytest.mark.parametrize(
        ("length", "header"),
        [
            (0, "82 00"),
            (1, "82 01"),
            (125, "82 7d"),
            (126, "82 7e 007e"),
            (127, "82 7e 007f"),
            (255, "82 7e 00ff"),
            (256, "82 7e 0100"),
            (65535, "82 7e ffff"),
            (65536, "82 7f 0000000000010000"),
            ((1 << 63) - 1, "82 7f 7fffffffffffffff"),
        ],
    )
    def test_the_length_is_written_in_its_shortest_form(self, length: int, header: str) -> None:
        assert frame_header(0x82, length) == bytes.fromhex(header)

    @pytest.mark.parametrize(
        ("length", "header"), [(5, "81 85"), (300, "81 fe 012c"), (65536, "81 ff 0000000000010000")]
    )
    def test_a_masking_key_sets_the_mask_bit_and_ends_the_header(self, length: int, header: str) -> None:
        assert frame_header(0x81, length, b"\x01\x02\x03\x04") == bytes.fromhex(header + "01020304")

    def test_the_first_byte_is_written_as_it_is(self) -> None:
        first = frames.FIN | frames.RSV1 | frames.TEXT
        assert frame_header(first, 0) == b"\xc1\x00"

    def test_opcodes(self) -> None:
        """The registry of section 11.8."""
        names = ("CONTINUATION", "TEXT", "BINARY", "CLOSE", "PING", "PONG")
        assert [getattr(frames, name) for name in names] == [0, 1, 2, 8, 9, 10]


class TestCloseCode:
    """RFC 6455, section 7.4, and the IANA registry."""

    @pytest.mark.parametrize("code", VALID_CODES)
    def test_may_be_sent(self, code: int) -> None:
        assert is_valid_close_code(code)
        assert parse_close_payload(close_payload(code, "why")) == (code, "why")

    @pytest.mark.parametrize("code", INVALID_CODES)
    def test_may_not_be_sent(self, code: int) -> None:
        assert not is_valid_close_code(code)
        with pytest.raises(InvalidArgument, match=f"invalid close code {code}"):
            close_payload(code)

    @pytest.mark.parametrize("code", INVALID_CODES)
    def test_may_not_be_received(self, code: int) -> None:
        with pytest.raises(FrameError, match=f"invalid close code {code}"):
            parse_close_payload(code.to_bytes(2, "big"))

    @pytest.mark.parametrize("code", [-1, 65536, 1 << 40])
    def test_a_number_of_another_size_may_not_be_sent(self, code: int) -> None:
        with pytest.raises(InvalidArgument):
            close_payload(code)


class TestClosePayload:
    """RFC 6455, section 5.5.1."""

    def test_without_a_code_it_is_empty(self) -> None:
        assert close_payload(None) == close_payload(None, "") == b""
        assert parse_close_payload(b"") == (None, None)

    def test_a_code_is_two_bytes_in_network_order(self) -> None:
        assert close_payload(1000) == b"\x03\xe8"
        assert parse_close_payload(b"\x03\xe8") == (1000, None)

    def test_the_reason_follows_in_utf8(self) -> None:
        assert close_payload(1001, "fini: é") == b"\x03\xe9fini: \xc3\xa9"
        assert parse_close_payload(b"\x03\xe9fini: \xc3\xa9") == (1001, "fini: é")

    def test_a_reason_without_a_code_is_an_error(self) -> None:
        with pytest.raises(InvalidArgument, match="needs a close code"):
            close_payload(None, "why")

    def test_a_long_reason_is_cut(self) -> None:
        assert close_payload(1000, "x" * 123) == b"\x03\xe8" + b"x" * 123
        assert close_payload(1000, "x" * 124) == b"\x03\xe8" + b"x" * 123

    @pytest.mark.parametrize("width", [1, 2, 3, 4])
    def test_a_long_reason_is_cut_at_a_character(self, width: int) -> None:
        character = {1: "a", 2: "é", 3: "€", 4: "😀"}[width]
        code, reason = parse_close_payload(close_payload(1000, character * 200))
        assert (code, reason) == (1000, character * (123 // width))

    def test_a_lone_surrogate_in_a_reason_is_replaced(self) -> None:
        assert close_payload(1000, "a\ud800b") == b"\x03\xe8a?b"

    def test_one_byte_is_neither_empty_nor_a_code(self) -> None:
        with pytest.raises(FrameError, match="one byte") as caught:
            parse_close_payload(b"\x03")
        assert caught.value.close_code == 1002

    @pytest.mark.parametrize("reason", [b"\xff", b"caf\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
    def test_a_reason_that_is_not_utf8(self, reason: bytes) -> None:
        with pytest.raises(InvalidUtf8) as caught:
            parse_close_payload(b"\x03\xe8" + reason)
        assert caught.value.close_code == 1007

    @given(st.sampled_from(VALID_CODES), st.text(st.characters(exclude_categories=["Cs"])))
    def test_whatever_is_sent_fits_and_is_read_back_as_far_as_it_fits(self, code: int, reason: str) -> None:
        payload = close_payload(code, reason)
        assert len(payload) <= MAX_CONTROL_PAYLOAD
        read_code, read_reason = parse_close_payload(payload)
        assert read_code == code
        assert reason.startswith(read_reason or "")
        assert len(payload) > MAX_CONTROL_PAYLOAD - 4 or (read_reason or "") == reason
