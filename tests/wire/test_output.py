"""The queue of what is to be written."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahnlike.wire.frames import BINARY, CONTINUATION, FIN, PING, TEXT
from autobahnlike.wire.masking import MaskSource
from autobahnlike.wire.output import OutputQueue

from .helpers import RSV1, Frame, deflate, parse_frames

LARGE = b"\x00\x01\x02\x03\x04\x05\x06" * 10_000
EVERYTHING = 1 << 40


def masked(*, apply_mask: bool = True) -> OutputQueue:
    return OutputQueue(MaskSource(random.Random(1).randbytes), apply_mask=apply_mask)


def written(output: OutputQueue, limit: int = EVERYTHING) -> bytes:
    return b"".join(output.take(limit))


class TestOrder:
    def test_what_was_queued_is_taken_in_order(self) -> None:
        output = OutputQueue(None)
        output.add(b"HTTP head")
        output.add_data(FIN | TEXT, b"hello")
        output.add(LARGE)
        output.add_control(PING, b"ping")
        assert written(output) == b"HTTP head\x81\x05hello" + LARGE + b"\x89\x04ping"

    def test_small_frames_become_one_chunk(self) -> None:
        output = OutputQueue(None)
        for _ in range(100):
            output.add_data(FIN | TEXT, b"hello")
        assert len(output.take(EVERYTHING)) == 1

    def test_a_large_payload_is_not_copied(self) -> None:
        output = OutputQueue(None)
        output.add_data(FIN | BINARY, LARGE)
        assert any(chunk is LARGE for chunk in output.take(EVERYTHING))

    def test_large_bytes_are_not_copied(self) -> None:
        output = OutputQueue(None)
        output.add(LARGE)
        assert any(chunk is LARGE for chunk in output.take(EVERYTHING))

    def test_what_was_taken_is_not_changed_by_what_is_queued_later(self) -> None:
        output = OutputQueue(None)
        output.add(b"first")
        chunks = output.take(EVERYTHING)
        output.add(b"second")
        assert b"".join(chunks) == b"first"
        assert written(output) == b"second"


class TestTaking:
    def test_nothing_is_in_an_empty_queue(self) -> None:
        output = OutputQueue(None)
        assert not output
        assert output.take(EVERYTHING) == []
        assert output.take(0) == []

    def test_nothing_is_taken_with_a_limit_of_nothing(self) -> None:
        output = OutputQueue(None)
        output.add(b"hello")
        assert output.take(0) == []
        assert output.size == 5

    @pytest.mark.parametrize("limit", [1, 2, 3, 100, 8192, 8193, 65536])
    def test_no_more_than_the_limit_is_taken_and_nothing_is_lost(self, limit: int) -> None:
        output = OutputQueue(None)
        output.add(b"head")
        output.add_data(FIN | BINARY, LARGE[: 40 * limit])
        output.add(b"tail")
        whole, pieces = output.size, []
        while output:
            pieces.append(written(output, limit))
            assert 0 < len(pieces[-1]) <= limit
        data = b"".join(pieces)
        assert len(data) == whole
        assert data.startswith(b"head\x82")
        assert data.endswith(b"tail")
        assert parse_frames(data[4:-4]) == [Frame(BINARY, LARGE[: 40 * limit])]

    def test_clear_forgets_what_waits(self) -> None:
        output = OutputQueue(None)
        output.add(LARGE)
        output.add(b"small")
        output.clear()
        assert not output
        assert output.take(EVERYTHING) == []

    @given(st.lists(st.one_of(st.binary(max_size=50), st.integers(8190, 8194), st.integers(1, 9000).map(lambda n: -n))))
    def test_any_order_of_queueing_and_taking_keeps_every_byte(self, steps: list[bytes | int]) -> None:
        output, queued, taken = OutputQueue(None), b"", b""
        for step in steps:
            if isinstance(step, int) and step < 0:
                taken += written(output, -step)
            else:
                data = bytes(step)
                output.add(data)
                queued += data
            assert output.size == len(queued) - len(taken)
        assert taken + written(output) == queued


class TestMasking:
    """RFC 6455, section 5.3."""

    @pytest.mark.parametrize("payload", [b"", b"hello", LARGE], ids=["empty", "small", "large"])
    def test_a_client_masks_every_frame(self, payload: bytes) -> None:
        output = masked()
        output.add_data(FIN | BINARY, payload)
        output.add_control(PING, b"ping")
        assert parse_frames(written(output)) == [
            Frame(BINARY, payload, masked=True),
            Frame(PING, b"ping", masked=True),
        ]

    def test_every_frame_has_a_new_key(self) -> None:
        # "The masking key is a 32-bit value chosen at random by the client."
        output = masked()
        for _ in range(1000):
            output.add_data(FIN | BINARY, b"\x00\x00\x00\x00")
        data = written(output)
        assert len({data[start + 2 : start + 6] for start in range(0, len(data), 10)}) == 1000

    def test_a_server_masks_nothing(self) -> None:
        output = OutputQueue(None)
        output.add_data(FIN | TEXT, b"hello")
        assert parse_frames(written(output)) == [Frame(TEXT, b"hello", masked=False)]

    def test_a_key_that_is_not_applied(self) -> None:
        output = masked(apply_mask=False)
        output.add_data(FIN | TEXT, b"hello")
        data = written(output)
        assert data[:2] == b"\x81\x85"
        assert data[6:] == b"hello"

    def test_bytes_that_are_queued_as_they_are_are_not_masked(self) -> None:
        output = masked()
        output.add(b"GET / HTTP/1.1\r\n")
        assert written(output) == b"GET / HTTP/1.1\r\n"


class TestMessages:
    """RFC 6455, sections 5.4 and 6.1; RFC 7692, section 6.1."""

    def test_a_message_is_one_frame(self) -> None:
        output = OutputQueue(None)
        output.add_message(b"text", False, None, 0)
        output.add_message(b"", True, None, 0)
        assert parse_frames(written(output)) == [Frame(TEXT, b"text"), Frame(BINARY, b"")]

    @pytest.mark.parametrize(
        ("size", "parts"),
        [(1, "a b c d e f"), (2, "ab cd ef"), (4, "abcd ef"), (5, "abcde f"), (6, "abcdef"), (7, "abcdef")],
    )
    def test_fragments_are_of_the_size_and_the_last_one_is_not_empty(self, size: int, parts: str) -> None:
        output = OutputQueue(None)
        output.add_message(b"abcdef", False, None, size)
        frames = parse_frames(written(output))
        assert [each.payload.decode() for each in frames] == parts.split()
        assert [each.opcode for each in frames] == [TEXT] + [0] * (len(frames) - 1)
        assert [each.fin for each in frames] == [False] * (len(frames) - 1) + [True]
        assert output.frames == len(frames)

    def test_an_empty_message_has_one_fragment(self) -> None:
        output = OutputQueue(None)
        output.add_message(b"", False, None, 3)
        assert parse_frames(written(output)) == [Frame(TEXT, b"")]

    @pytest.mark.parametrize("size", [0, 3])
    def test_a_compressed_message_has_rsv1_on_its_first_frame(self, size: int) -> None:
        output = OutputQueue(None)
        output.add_message(b"hello" * 100, True, deflate(True), size)
        frames = parse_frames(written(output))
        assert [each.rsv for each in frames] == [RSV1] + [0] * (len(frames) - 1)
        assert deflate(False).decompress(b"".join(each.payload for each in frames), True, 0) == b"hello" * 100
        assert (output.messages, output.message_octets) == (1, 500)
        assert output.payload_octets == sum(len(each.payload) for each in frames) < 500

    def test_a_prepared_message_is_queued_as_it_is(self) -> None:
        output = OutputQueue(None)
        output.add_prepared(b"\x81\x05hello", 5)
        assert (output.messages, output.message_octets, output.frames, output.payload_octets) == (1, 5, 1, 5)
        assert written(output) == b"\x81\x05hello"


class TestCounter:
    def test_data_frames_and_their_payloads_are_counted(self) -> None:
        output = masked()
        output.add(b"head")
        output.add_data(TEXT, b"hello")
        output.add_data(FIN, b"!")
        output.add_control(PING, b"not counted")
        assert (output.frames, output.payload_octets) == (2, 6)
        assert (output.messages, output.message_octets) == (0, 0), "these are frames of no message"

    def test_the_size_counts_headers_too(self) -> None:
        output = masked()
        output.add_data(FIN | TEXT, b"hello")
        assert output.size == 2 + 4 + 5


class TestTellingOfFrames:
    def test_each_frame_is_told_of_once(self) -> None:
        told: list[tuple[int, int]] = []
        output = OutputQueue(None, on_frame=lambda first_byte, length: told.append((first_byte, length)))
        output.add_message(b"abcde", False, None, 3)
        output.add_prepared(b"\x82\x01x", 1)
        output.add_control(PING, b"ping")
        output.add(b"not a frame")
        assert told == [(TEXT, 3), (CONTINUATION | FIN, 2), (BINARY | FIN, 1), (PING | FIN, 4)]
