"""The rest of large frames, received into the place where it belongs (RFC 6455, sections 5.2, 5.4 and 8.1)."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahnlike.exception import FrameError, InvalidUtf8, MessageTooBig, RemoteProtocolError
from autobahnlike.speed import COMPILED
from autobahnlike.wire import messages
from autobahnlike.wire.kernel import Assembly
from autobahnlike.wire.masking import apply_mask
from autobahnlike.wire.messages import MessageReader
from autobahnlike.wire.options import Options

from .helpers import BINARY, CONTINUATION, MASK, PING, RSV1, TEXT, deflate, frame


def large_frame(opcode: int, payload: bytes, mask: bytes | None = MASK, **details: Any) -> bytes:
    """A frame whose payload is masked in reasonable time."""
    head = frame(opcode, b"", claim=len(payload), mask=mask, **details)
    return head + (payload if mask is None else apply_mask(payload, mask))


def have_memory_lent(patch: pytest.MonkeyPatch) -> None:
    """Have the assembly in Python lend memory, as the compiled one does, so that what is built on it can be tested."""
    if COMPILED:
        return

    class Lending(Assembly):
        __slots__ = ("_lent",)

        def room(self, wanted: int) -> memoryview | None:
            self._lent = bytearray(min(wanted, 3 * self.size))
            return memoryview(self._lent)

        def filled(self, count: int) -> bool:
            return self.add(bytes(self._lent), 0, count)

    patch.setattr(messages, "Assembly", Lending)


@pytest.fixture(autouse=True, scope="module")
def _memory_is_lent() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        have_memory_lent(patch)
        yield


class Received:
    """A reader, and what it has told.

    Args:
        is_server: whether it expects masked frames.
        compressed: whether compression was agreed on.
        **options: its options.
    """

    def __init__(self, *, is_server: bool = True, compressed: bool = False, **options: Any) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.reader = MessageReader(
            Options(**options),
            is_server=is_server,
            codec=deflate(is_server) if compressed else None,
            on_message=lambda payload, is_binary: self.told.append((payload, is_binary)),
            on_control=lambda opcode, payload: self.told.append(("control", opcode, payload)),
        )
        self.in_place = 0
        self.lent = 0

    def read(self, data: bytes) -> None:
        """Have a piece arrive, as it would be read: into its place as long as there is one."""
        while data:
            view = self.reader.room()
            if view is None:
                self.reader.feed(data)
                return
            count = min(len(view), len(data))
            assert count > 0
            self.lent = max(self.lent, len(view))
            view[:count] = data[:count]
            data = data[count:]
            self.in_place += count
            self.reader.filled(count)

    def reads(self, data: bytes, size: int) -> None:
        """Have it arrive in pieces of one size."""
        for start in range(0, len(data), size):
            self.read(data[start : start + size])


PAYLOAD = bytes(range(251)) * 1400


class TestWhatIsDelivered:
    @pytest.mark.parametrize("size", [1000, 4099, 16384, 20_001, 65536, 1 << 20])
    @pytest.mark.parametrize("mask", [MASK, None])
    def test_a_large_message(self, size: int, mask: bytes | None) -> None:
        received = Received(is_server=mask is not None)
        received.reads(large_frame(BINARY, PAYLOAD, mask), size)
        assert received.told == [(PAYLOAD, True)]
        assert received.in_place > 0 or size >= len(PAYLOAD)
        assert received.reader.buffered == 0
        assert received.reader.message_octets == received.reader.payload_octets == len(PAYLOAD)

    @given(
        sizes=st.lists(st.integers(1, 150_000), min_size=1, max_size=4),
        cuts=st.lists(st.integers(1, 40_000), min_size=1, max_size=30),
        fragments=st.booleans(),
        is_text=st.booleans(),
        masked=st.booleans(),
    )
    def test_wherever_the_reads_are_cut(
        self, sizes: list[int], cuts: list[int], fragments: bool, is_text: bool, masked: bool
    ) -> None:
        mask = MASK if masked else None
        text = "aä€😀".encode() * 15_001
        parts = [(text if is_text else PAYLOAD)[:size] for size in sizes]
        opcode = TEXT if is_text else BINARY
        if is_text:
            parts = [part.decode(errors="ignore").encode() for part in parts]
        if fragments:
            wire = b"".join(
                large_frame(opcode if index == 0 else CONTINUATION, part, mask, fin=index == len(parts) - 1)
                + large_frame(PING, b"between", mask)
                for index, part in enumerate(parts)
            )
            expected: list[Any] = [(b"".join(parts), not is_text)]
            controls = len(parts)
        else:
            wire = b"".join(large_frame(opcode, part, mask) for part in parts)
            expected = [(part, not is_text) for part in parts]
            controls = 0
        received = Received(is_server=masked)
        position = turn = 0
        while position < len(wire):
            cut = cuts[turn % len(cuts)]
            received.read(wire[position : position + cut])
            position += cut
            turn += 1
        assert [each for each in received.told if each[0] != "control"] == expected
        assert received.told.count(("control", PING, b"between")) == controls
        assert received.reader.buffered == 0

    def test_what_follows_the_frame_is_not_read_into_it(self) -> None:
        received = Received()
        data = large_frame(BINARY, PAYLOAD)
        received.reads(data[:300_000], 50_000)
        while (view := received.reader.room()) is not None:
            assert len(view) <= len(data) - 300_000
            break
        received.reads(data[300_000:] + large_frame(TEXT, b"next"), 20_000)
        assert received.told == [(PAYLOAD, True), (b"next", False)]


class TestWhereThereIsNoRoom:
    def test_before_anything_has_come(self) -> None:
        received = Received()
        assert received.reader.room() is None
        received.reader.feed(large_frame(BINARY, PAYLOAD)[:14])
        assert received.reader.room() is None

    def test_between_frames(self) -> None:
        received = Received()
        received.reads(large_frame(BINARY, PAYLOAD, fin=False), 20_000)
        assert received.reader.room() is None

    def test_when_little_is_left(self) -> None:
        received = Received()
        data = large_frame(BINARY, PAYLOAD)
        received.reader.feed(data[:-16_383])
        assert received.reader.room() is None
        received = Received()
        received.reader.feed(data[:-16_384])
        view = received.reader.room()
        assert view is not None
        assert len(view) == 16_384

    def test_when_it_is_compressed(self) -> None:
        received = Received(compressed=True)
        payload = deflate(is_server=False).compress(os.urandom(100_000), True)
        received.reader.feed(large_frame(BINARY, payload, rsv=RSV1)[:50_000])
        assert received.reader.buffered > 40_000
        assert received.reader.room() is None

    def test_while_it_is_halted(self) -> None:
        received = Received()
        received.reader.feed(large_frame(BINARY, PAYLOAD)[:100_000])
        assert received.reader.room() is not None
        received.reader.halted = True
        assert received.reader.room() is None
        received.reader.proceed()
        assert received.reader.room() is not None

    def test_after_it_was_abandoned(self) -> None:
        received = Received()
        received.reader.feed(large_frame(BINARY, PAYLOAD)[:100_000])
        view = received.reader.room()
        assert view is not None
        skip, rest = received.reader.abandon()
        assert (skip, rest) == (len(PAYLOAD) - 100_000 + 14, b"")
        # The memory is still there for whoever is writing to it.
        view[:] = bytes(len(view))
        assert received.reader.room() is None
        assert received.reader.buffered == 0

    def test_what_came_otherwise_meanwhile_is_not_mixed_up(self) -> None:
        received = Received()
        data = large_frame(BINARY, PAYLOAD)
        received.reader.feed(data[:100_000])
        view = received.reader.room()
        assert view is not None
        received.reader.feed(data[100_000:])
        assert received.told == [(PAYLOAD, True)]


class TestText:
    TEXT = "aä€😀".encode() * 30_000

    @pytest.mark.parametrize("size", [10_000, 16_385, 65_537])
    def test_valid(self, size: int) -> None:
        received = Received()
        received.reads(large_frame(TEXT, self.TEXT), size)
        assert received.told == [(self.TEXT, False)]
        assert received.in_place > 0

    @pytest.mark.parametrize("bad", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90"])
    @pytest.mark.parametrize("place", [0, 20_000, 100_000, 150_000])
    def test_fails_with_the_read_that_is_invalid(self, bad: bytes, place: int) -> None:
        text = b"x" * place + bad + b"x" * 150_000
        received = Received()
        data = large_frame(TEXT, text)
        received.reads(data[: 14 + place], 10_000)
        with pytest.raises(InvalidUtf8):
            received.read(data[14 + place : 14 + place + 10_000])
        assert received.told == []
        skip, rest = received.reader.abandon()
        assert skip is not None
        assert skip + len(rest) <= len(text) - place

    def test_that_ends_within_a_character(self) -> None:
        received = Received()
        with pytest.raises(InvalidUtf8):
            received.reads(large_frame(TEXT, self.TEXT[:-1]), 20_000)
        assert received.told == []
        assert received.reader.abandon() == (0, b"")

    def test_in_fragments_that_are_cut_within_a_character(self) -> None:
        received = Received()
        received.reads(
            large_frame(TEXT, self.TEXT[:100_001], fin=False) + large_frame(CONTINUATION, self.TEXT[100_001:]), 7001
        )
        assert received.told == [(self.TEXT, False)]

    def test_is_not_looked_at_if_nobody_wants_it(self) -> None:
        received = Received(validate_utf8=False)
        received.reads(large_frame(TEXT, b"\xff" * 100_000), 20_000)
        assert received.told == [(b"\xff" * 100_000, False)]


class TestViolations:
    def test_behind_what_was_received_in_place(self) -> None:
        received = Received()
        with pytest.raises(FrameError):
            received.reads(large_frame(BINARY, PAYLOAD) + frame(3, mask=MASK) + b"behind", 30_000)
        assert received.told == [(PAYLOAD, True)]
        assert received.reader.abandon() == (0, b"behind")

    def test_a_fragment_too_much(self) -> None:
        received = Received(max_message_size=400_000)
        with pytest.raises(MessageTooBig):
            received.reads(large_frame(BINARY, PAYLOAD, fin=False) + large_frame(CONTINUATION, bytes(100_000)), 30_000)

    def test_more_than_there_was_room_for_is_refused(self) -> None:
        received = Received()
        received.reader.feed(large_frame(BINARY, PAYLOAD)[:100_000])
        view = received.reader.room()
        assert view is not None
        if COMPILED:
            with pytest.raises(ValueError, match="no room"):
                received.reader.filled(len(view) + 1)
        assert received.told == []
        assert issubclass(FrameError, RemoteProtocolError)


class TestMemory:
    @pytest.mark.parametrize("sent", [5_000, 70_000, 300_000])
    def test_is_not_taken_for_what_is_only_announced(self, sent: int) -> None:
        received = Received(max_message_size=1 << 40)
        data = frame(BINARY, b"", claim=1 << 39, mask=MASK) + bytes(sent)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            received.reads(data, 5_000)
            received.reader.room()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert received.lent <= 3 * sent
        # Four times what has arrived, and what it is copied from on the way; in Python, also what the test lends.
        assert peak - before < (6 if COMPILED else 9) * sent + 20_000

    def test_what_arrives_slowly_is_not_moved_for_each_piece(self) -> None:
        received = Received()
        data = large_frame(BINARY, PAYLOAD)
        received.read(data[:100_000])
        moved = 0
        address = None
        for start in range(100_000, len(data) - 20_000, 100):
            view = received.reader.room()
            assert view is not None
            view[:100] = data[start : start + 100]
            here = len(view)
            moved += address is not None and here > address
            address = here
            received.reader.filled(100)
        if COMPILED:
            assert moved < 20
        assert received.reader.buffered == start + 100 - 14
