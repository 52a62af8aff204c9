"""What is to be written: frames, in order, until the transport takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from autobahnlike.wire.deflate import Codec
from autobahnlike.wire.frames import BINARY, CONTINUATION, FIN, RSV1, TEXT
from autobahnlike.wire.kernel import apply_mask, put_frame, put_header
from autobahnlike.wire.masking import MaskSource

__all__ = ("OutputQueue",)

# Up to this size a payload is copied behind its header; a larger one is queued as it is. Joining 64 KiB costs as much
# as writing it.
_COPY = 8192


class OutputQueue:
    """Frames waiting to be written.

    Args:
        masks: where masking keys come from; None if frames are not masked.
        apply_mask: False to send masking keys that are not applied.
        on_frame: called with first byte and payload length of each frame, if somebody wants to know.

    Attributes:
        size: bytes waiting.
        frames, messages, payload_octets, message_octets: counters of the data frames and messages queued.
            payload_octets counts what is in the frames, message_octets what the application gave.
    """

    __slots__ = (
        "_apply_mask",
        "_chunks",
        "_is_plain",
        "_masks",
        "_on_frame",
        "_tail",
        "frames",
        "message_octets",
        "messages",
        "payload_octets",
        "size",
    )

    def __init__(
        self,
        masks: MaskSource | None,
        *,
        apply_mask: bool = True,
        on_frame: Callable[[int, int], None] | None = None,
    ) -> None:
        self._masks = masks
        self._on_frame = on_frame
        # Whether nothing has to be done for a frame but to write it
        self._is_plain = masks is None and on_frame is None
        self._apply_mask = apply_mask
        # None while there are none: an empty deque would be a twelfth of an idle connection.
        self._chunks: deque[bytes | bytearray | memoryview] | None = None
        # Small frames are collected here, behind the chunks.
        self._tail = bytearray()
        self.size = 0
        self.frames = 0
        self.messages = 0
        self.payload_octets = 0
        self.message_octets = 0

    def __bool__(self) -> bool:
        return self.size > 0

    def add(self, data: bytes) -> None:
        """Queue bytes as they are."""
        self.size += len(data)
        if len(data) <= _COPY:
            self._tail += data
        else:
            self._append(data)

    def add_message(self, payload: bytes, is_binary: bool, codec: Codec | None, fragment_size: int) -> None:
        """Queue a message.

        Args:
            payload: the message.
            is_binary: whether it is binary.
            codec: what to compress it with, or None.
            fragment_size: the most payload to put into a frame, in bytes; 0 for no bound.
        """
        self.messages += 1
        self.message_octets += len(payload)
        first_byte = BINARY if is_binary else TEXT
        if codec is not None:
            payload = codec.compress(payload, True)
            first_byte |= RSV1
        if fragment_size and len(payload) > fragment_size:
            last = (len(payload) - 1) // fragment_size * fragment_size
            for start in range(0, last, fragment_size):
                self.add_data(first_byte, payload[start : start + fragment_size])
                first_byte = CONTINUATION
            payload = payload[last:]
        length = len(payload)
        self.frames += 1
        self.payload_octets += length
        if length <= _COPY and self._is_plain:
            put_frame(self._tail, first_byte | FIN, payload, None)
            self.size += length + (2 if length < 126 else 4)
        else:
            self._add_frame(first_byte | FIN, payload)

    def add_prepared(self, frame: bytes, size: int) -> None:
        """Queue a message that is a whole frame already.

        Args:
            frame: the frame.
            size: the length of the message in it, in bytes, before compression.
        """
        marker = frame[1]
        length = len(frame) - (2 if marker < 126 else 4 if marker == 126 else 10)
        self.messages += 1
        self.message_octets += size
        self.frames += 1
        self.payload_octets += length
        if self._on_frame is not None:
            self._on_frame(frame[0], length)
        self.add(frame)

    def add_control(self, opcode: int, payload: bytes) -> None:
        """Queue a control frame."""
        self._add_frame(FIN | opcode, payload)

    def add_data(self, first_byte: int, payload: bytes) -> None:
        """Queue a data frame: opcode with FIN and RSV bits, and its payload as it goes into the frame."""
        self.frames += 1
        self.payload_octets += len(payload)
        self._add_frame(first_byte, payload)

    def _add_frame(self, first_byte: int, payload: bytes) -> None:
        length = len(payload)
        if self._on_frame is not None:
            self._on_frame(first_byte, length)
        key = self._masks.next_key() if self._masks is not None else None
        tail = self._tail
        before = len(tail)
        if length <= _COPY and self._apply_mask:
            put_frame(tail, first_byte, payload, key)
            self.size += len(tail) - before
            return
        put_header(tail, first_byte, length, key)
        self.size += len(tail) - before
        self.add(apply_mask(payload, key) if key is not None and self._apply_mask else payload)

    def _append(self, chunk: bytes | bytearray | memoryview) -> None:
        """Queue a chunk behind the small frames."""
        if self._chunks is None:
            self._chunks = deque()
        if self._tail:
            self._chunks.append(self._tail)
            self._tail = bytearray()
        self._chunks.append(chunk)

    def take(self, limit: int) -> list[bytes | bytearray | memoryview]:
        """Take what is to be written next, in order.

        Args:
            limit: bytes to take at the most; a chunk across it is split.
        """
        if not self.size:
            return []
        tail = self._tail
        chunks: list[bytes | bytearray | memoryview]
        if self.size <= limit:
            chunks = [tail]
            if self._chunks is not None:
                chunks = [*self._chunks, tail] if tail else [*self._chunks]
            self.clear()
            return chunks
        if tail:
            self._tail = bytearray()
            self._append(tail)
        queue = self._chunks
        assert queue is not None
        chunks = []
        while limit:
            chunk = queue.popleft()
            if len(chunk) > limit:
                view = memoryview(chunk)
                queue.appendleft(view[limit:])
                chunk = view[:limit]
            chunks.append(chunk)
            limit -= len(chunk)
            self.size -= len(chunk)
        return chunks

    def clear(self) -> None:
        """Forget what is waiting."""
        self._chunks = None
        self._tail = bytearray()
        self.size = 0
