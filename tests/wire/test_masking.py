"""Tests of masking (RFC 6455, sections 5.3 and 10.3)."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahnlike.wire.masking import MaskSource, apply_mask, rotate_mask

LENGTHS = [*range(71), 125, 126, 127, *range(4090, 4103), 8191, 8192, 8193, 65535, 65536, 100003]
MASK = b"\x37\xfa\x21\x3d"


def naive_mask(data: bytes, mask: bytes) -> bytes:
    """Give what section 5.3 says: octet i is XORed with octet i modulo 4 of the key."""
    return bytes(octet ^ mask[index % 4] for index, octet in enumerate(data))


class TestMasking:
    def test_the_example_of_the_rfc(self) -> None:
        assert apply_mask(b"Hello", MASK) == b"\x7f\x9f\x4d\x51\x58"

    @pytest.mark.parametrize("length", LENGTHS)
    def test_every_length(self, length: int) -> None:
        data = os.urandom(length)
        masked = apply_mask(data, MASK)
        assert masked == naive_mask(data, MASK)
        assert apply_mask(masked, MASK) == data

    @pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\1\0\0\0"])
    def test_odd_keys(self, mask: bytes) -> None:
        data = bytes(range(256)) * 17
        assert apply_mask(data, mask) == naive_mask(data, mask)

    @pytest.mark.parametrize("length", [0, 5, 5000])
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_takes_any_buffer_and_leaves_it_alone(self, kind: type, length: int) -> None:
        data = os.urandom(length)
        buffer = kind(data)
        assert apply_mask(buffer, MASK) == naive_mask(data, MASK)
        assert bytes(buffer) == data


class TestRotation:
    @pytest.mark.parametrize("offset", range(10))
    def test_the_key_of_an_offset(self, offset: int) -> None:
        assert rotate_mask(b"abcd", offset) == (b"abcd" * 4)[offset : offset + 4]

    @given(st.lists(st.binary(max_size=50)), st.binary(min_size=4, max_size=4))
    def test_pieces_are_masked_as_the_whole(self, pieces: list[bytes], mask: bytes) -> None:
        masked = b""
        for piece in pieces:
            masked += apply_mask(piece, rotate_mask(mask, len(masked)))
        assert masked == apply_mask(b"".join(pieces), mask)


class TestMaskSource:
    def test_keys_are_the_random_bytes_each_used_once(self) -> None:
        drawn = bytearray()

        def random_bytes(size: int) -> bytes:
            data = os.urandom(size)
            drawn.extend(data)
            return data

        source = MaskSource(random_bytes)
        assert not drawn
        keys = [source.next_key() for _ in range(1000)]
        assert all(len(key) == 4 for key in keys)
        assert b"".join(keys) == drawn[:4000]

    def test_a_key_seldom_costs_a_call(self) -> None:
        sizes: list[int] = []

        def random_bytes(size: int) -> bytes:
            sizes.append(size)
            return bytes(size)

        source = MaskSource(random_bytes)
        for _ in range(2560):
            source.next_key()
        assert len(sizes) <= 10
        assert max(sizes) <= 4096

    def test_the_system_gives_the_keys_by_default(self) -> None:
        first, second = MaskSource(), MaskSource()
        keys = {source.next_key() for source in (first, second) for _ in range(500)}
        # 1000 of 2 ** 32 keys: two alike have a probability of 1 in 8000, four pairs of none.
        assert len(keys) > 996
