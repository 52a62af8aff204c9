"""Tests of UTF-8 validation (RFC 6455, section 8.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahnlike.wire.utf8 import Utf8Decoder, is_utf8

SAMPLES = [
    "",
    "a",
    "aé",
    "κόσμε",
    "中文",
    "a😀b",
    "\x00",
    "\x7f\x80",
    "\u07ff\u0800",
    "\ud7ff\ue000\uffff",
    "\U00010000\U0010ffff",
]

# (data, the index of the first byte after which nothing can be valid)
BAD = [
    (b"\x80", 0),
    (b"a\xbf", 1),
    (b"\xc0\x80", 0),
    (b"\xc1\xbf", 0),
    (b"\xc3(", 1),
    (b"\xe0\x80\x80", 1),
    (b"\xe0\x9f\xbf", 1),
    (b"\xed\xa0\x80", 1),
    (b"\xed\xbf\xbf", 1),
    (b"\xe4\xb8a", 2),
    (b"\xf0\x80\x80\x80", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    (b"\xf4\x90\x80\x80", 1),
    (b"\xf5\x80\x80\x80", 0),
    (b"\xff", 0),
    (b"\xf0\x9f\x98a", 3),
    (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", 12),
]


def feed_bytewise(data: bytes) -> int:
    """Feed byte by byte and give the index of the byte that was refused, or -1."""
    decoder = Utf8Decoder()
    for index in range(len(data)):
        if not decoder.feed(data[index : index + 1]):
            return index
    return -1


class TestIsUtf8:
    @pytest.mark.parametrize("text", SAMPLES)
    def test_valid(self, text: str) -> None:
        assert is_utf8(text.encode())
        assert is_utf8(bytearray(text.encode()))

    @pytest.mark.parametrize(("data", "index"), BAD)
    def test_invalid(self, data: bytes, index: int) -> None:
        assert not is_utf8(data)

    @pytest.mark.parametrize("text", ["é", "中", "😀"])
    def test_cut_off(self, text: str) -> None:
        for size in range(1, len(text.encode())):
            assert not is_utf8(text.encode()[:size])

    @pytest.mark.parametrize("lead", range(5))
    def test_large_messages_are_validated_to_the_end(self, lead: int) -> None:
        data = b"x" * lead + "é中😀".encode() * 30000
        assert is_utf8(data)
        assert not is_utf8(data + b"\xf0\x9f\x98")
        assert not is_utf8(data + b"\xff")
        assert not is_utf8(data[:70000] + b"\xc0" + data[70000:])

    @given(st.binary())
    def test_agrees_with_the_decoder(self, data: bytes) -> None:
        try:
            data.decode()
        except UnicodeDecodeError:
            assert not is_utf8(data)
        else:
            assert is_utf8(data)


class TestIncrementalValidation:
    @pytest.mark.parametrize(("data", "index"), BAD)
    def test_fails_at_the_first_bad_byte(self, data: bytes, index: int) -> None:
        assert feed_bytewise(data) == index
        assert Utf8Decoder().feed(data[:index])
        assert not Utf8Decoder().feed(data[: index + 1])

    def test_every_sequence_that_is_accepted_can_be_completed(self) -> None:
        completions = [b"", b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xbf", b"\xbf\xbf", b"\xbf\xbf\xbf"]
        for first in range(256):
            for second in range(256):
                data = bytes((first, second))
                possible = any(is_utf8(data + rest) for rest in completions)
                assert Utf8Decoder().feed(data) == possible, data

    @pytest.mark.parametrize("text", SAMPLES)
    def test_any_cut_is_valid(self, text: str) -> None:
        data = text.encode()
        for cut in range(len(data) + 1):
            decoder = Utf8Decoder()
            assert decoder.feed(data[:cut])
            assert decoder.feed(data[cut:])
            assert decoder.complete()

    def test_complete_only_at_the_end_of_a_code_point(self) -> None:
        decoder = Utf8Decoder()
        assert decoder.complete()
        for byte, complete in zip(b"a\xf0\x9f\x98\x80", (True, False, False, False, True), strict=True):
            assert decoder.feed(bytes((byte,)))
            assert decoder.complete() == complete

    def test_empty_pieces_change_nothing(self) -> None:
        decoder = Utf8Decoder()
        assert decoder.feed(b"\xc3")
        assert decoder.feed(b"")
        assert not decoder.complete()
        assert decoder.feed(b"\xa9")
        assert decoder.complete()

    def test_stays_bad_until_reset(self) -> None:
        decoder = Utf8Decoder()
        assert not decoder.feed(b"\xff")
        assert not decoder.feed(b"a")
        assert not decoder.complete()
        decoder.reset()
        assert decoder.complete()
        assert decoder.feed(b"a")

    def test_reset_forgets_a_code_point_that_has_begun(self) -> None:
        decoder = Utf8Decoder()
        assert decoder.feed(b"\xe4\xb8")
        decoder.reset()
        assert decoder.complete()
        assert not decoder.feed(b"\xad")

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_takes_any_buffer(self, kind: type) -> None:
        decoder = Utf8Decoder()
        assert decoder.feed(kind(b"abc"))
        assert decoder.feed(kind(b"\xe4\xb8"))
        assert decoder.feed(kind(b"\xad"))
        assert decoder.complete()
        assert not decoder.feed(kind(b"\xc0"))

    @pytest.mark.parametrize("lead", range(4))
    def test_large_pieces(self, lead: int) -> None:
        data = b"x" * lead + "中😀".encode() * 30000
        decoder = Utf8Decoder()
        assert decoder.feed(data[:100001])
        assert decoder.feed(data[100001:])
        assert decoder.complete()

    @given(st.lists(st.binary(max_size=6)))
    def test_pieces_say_the_same_as_the_whole(self, pieces: list[bytes]) -> None:
        decoder = Utf8Decoder()
        good = all(decoder.feed(piece) for piece in pieces)
        assert (good and decoder.complete()) == is_utf8(b"".join(pieces))

    @given(st.text(), st.data())
    def test_valid_text_in_any_pieces(self, text: str, data: st.DataObject) -> None:
        raw = text.encode()
        decoder = Utf8Decoder()
        while raw:
            size = data.draw(st.integers(1, len(raw)))
            assert decoder.feed(raw[:size])
            raw = raw[size:]
        assert decoder.complete()
