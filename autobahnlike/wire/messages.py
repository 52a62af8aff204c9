"""Bytes become messages here: frames are parsed, checked, unmasked, inflated, validated and put together.

``MessageReader`` is fed with what the peer sent after the opening handshake and calls back with every message and every
control frame. It knows the rules of framing (RFC 6455, sections 5 and 6.2; RFC 7692, section 6.2) and nothing else: no
state of the connection, no answers, no time. A violation is raised as a ``RemoteProtocolError``.

It can be halted between any two frames, keeps what it has not parsed, and goes on from there: that is how a slow
application, or a peer that does not read our answers, stops us from reading it.

Once a connection has failed there is one thing left to find: the peer's close frame. ``CloseSeeker`` skips everything
else.
"""

from __future__ import annotations

from collections.abc import Callable

from autobahnlike.exception import FrameError, InvalidUtf8, MessageTooBig, RemoteProtocolError
from autobahnlike.wire.deflate import Codec
from autobahnlike.wire.frames import BINARY, CLOSE, CONTINUATION, FIN, MAX_CONTROL_PAYLOAD, PONG, RSV1, TEXT
from autobahnlike.wire.masking import apply_mask, rotate_mask
from autobahnlike.wire.options import Options
from autobahnlike.wire.utf8 import Utf8Decoder, is_utf8

__all__ = ("CloseSeeker", "MessageReader")

_UNLIMITED = 1 << 63

# "the most significant bit MUST be 0" (section 5.2)
_MAX_LENGTH = (1 << 63) - 1

# What is left of a frame that nobody will wait for the end of
_ENDLESS = 1 << 32

# After this many frames, or this much inflated data, in one read the reader halts once, so that one connection cannot
# keep the loop to itself: 4096 small frames are some ten milliseconds, as are four megabytes of inflation.
FRAMES_PER_TURN = 4096
INFLATED_PER_TURN = 4 * 1024 * 1024


class MessageReader:
    """Parses what the peer sends.

    Args:
        options: the limits, and what of the rules is switched off.
        is_server: whether we are the server, and so expect masked frames.
        codec: the negotiated compression, or None.
        on_message: called with payload and is_binary for each complete message.
        on_control: called with opcode and payload for each control frame.
        on_frame: called with first byte and payload length of each frame, if somebody wants to know.

    Attributes:
        halted: set it to stop parsing before the next frame; ``proceed`` clears it.
        yielded: set, together with ``halted``, when a read held so much work that others should have a turn first.
        messages, frames, payload_octets, message_octets: counters of what was received. payload_octets counts the
            payloads of data frames as on the wire, message_octets as delivered.
    """

    __slots__ = (
        "_apply_mask",
        "_codec",
        "_compressed",
        "_data",
        "_fin",
        "_fragments",
        "_is_masked",
        "_key",
        "_left",
        "_max_compressed",
        "_max_fragments",
        "_max_frame",
        "_max_message",
        "_max_whole",
        "_message",
        "_on_control",
        "_on_frame",
        "_on_message",
        "_opcode",
        "_position",
        "_require_mask",
        "_skip",
        "_turn_bytes",
        "_turn_frames",
        "_utf8",
        "_validate",
        "_wire_length",
        "frames",
        "halted",
        "message_octets",
        "messages",
        "payload_octets",
        "yielded",
    )

    def __init__(
        self,
        options: Options,
        *,
        is_server: bool,
        codec: Codec | None,
        on_message: Callable[[bytes, bool], None],
        on_control: Callable[[int, bytes], None],
        on_frame: Callable[[int, int], None] | None = None,
    ) -> None:
        self._codec = codec
        self._on_message = on_message
        self._on_control = on_control
        self._on_frame = on_frame
        self._require_mask = is_server and options.require_masked_client_frames
        self._apply_mask = options.apply_mask
        self._validate = options.validate_utf8
        self._max_message = options.max_message_size or _UNLIMITED
        self._max_frame = options.max_frame_size or _UNLIMITED
        # What the hot loop may take by itself: nothing if every frame is to be told of.
        self._max_whole = min(self._max_message, self._max_frame) if on_frame is None else -1
        # Compressed, a message that nothing can compress grows: by 5 bytes for each stored block, and zlib's blocks
        # hold some KiB even with the least memory. A sixteenth is more than any of its settings needs.
        self._max_compressed = self._max_message + self._max_message // 16 + 64
        self._max_fragments = options.max_fragments or _UNLIMITED
        self._is_masked: bool | None = None
        if self._require_mask:
            self._is_masked = True
        elif not is_server and not options.accept_masked_server_frames:
            self._is_masked = False
        # What is not parsed yet: _data from _position on.
        self._data = b""
        self._position = 0
        # The frame being received
        self._fin = False
        self._left = -1
        self._key: bytes | None = None
        # The message being received: opcode 0 when there is none
        self._opcode = 0
        self._compressed = False
        self._message = bytearray()
        self._wire_length = 0
        self._fragments = 0
        self._utf8 = Utf8Decoder()
        self._turn_frames = 0
        self._turn_bytes = 0
        self.halted = False
        self.yielded = False
        self._skip: int | None = 0
        self.messages = 0
        self.frames = 0
        self.payload_octets = 0
        self.message_octets = 0

    @property
    def unparsed(self) -> int:
        """How many bytes were received and not parsed."""
        return len(self._data) - self._position

    @property
    def buffered(self) -> int:
        """How many bytes are held: what is not parsed, and the message being received."""
        return self.unparsed + len(self._message)

    def feed(self, data: bytes) -> None:
        """Parse what was received; keep it if halted.

        Raises:
            RemoteProtocolError: the peer broke the protocol. Nothing may be fed after that; see ``abandon``.
        """
        if self.unparsed:
            data = self._data[self._position :] + data
        self._data = data
        self._position = 0
        self._turn_frames = FRAMES_PER_TURN
        self._turn_bytes = INFLATED_PER_TURN
        if not self.halted:
            self._parse()

    def proceed(self) -> None:
        """Parse on after a halt.

        Raises:
            RemoteProtocolError: as ``feed``.
        """
        self.halted = False
        self.yielded = False
        self._turn_frames = FRAMES_PER_TURN
        self._turn_bytes = INFLATED_PER_TURN
        self._parse()

    def abandon(self) -> tuple[int | None, bytes]:
        """Parse no more, and forget what was received.

        Returns:
            What a ``CloseSeeker`` has to skip first, in bytes, and what it is to be fed with. None instead of bytes to
            skip if there is nothing to seek, because it was a close frame that broke the protocol, or the frame that
            did has no end that could be found.
        """
        self.halted = True
        rest = self._data[self._position :]
        self._data = b""
        self._position = 0
        self._message = bytearray()
        return None if self._skip is None else max(self._skip, self._left), rest

    def _parse(self) -> None:
        """Parse frames until there is nothing left, or halted.

        This is the hot loop. The usual frame, a whole message that has arrived completely, is dealt with here; all
        others go through ``_check_header`` first.
        """
        data = self._data
        size = len(data)
        position = self._position
        while not self.halted:
            if self._left >= 0:
                end = min(size, position + self._left)
                payload = data[position:end]
                position = self._position = end
                self._frame_data(payload)
                if self._left > 0:
                    break
                continue
            available = size - position
            if available < 2:
                break
            first_byte = data[position]
            second_byte = data[position + 1]
            length = second_byte & 127
            masked = second_byte > 127
            start = position + 6 if masked else position + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > size:
                    break
                length = self._long_length(length, data, position)
            elif start > size:
                break
            if (
                (first_byte == 0x82 or first_byte == 0x81)
                and self._opcode == 0
                and masked is self._is_masked
                and start + length <= size
                and length <= self._max_whole
            ):
                end = start + length
                payload = data[start:end]
                if masked and self._apply_mask:
                    payload = apply_mask(payload, data[start - 4 : start])
                position = self._position = end
                self.frames += 1
                self.messages += 1
                self.payload_octets += length
                self.message_octets += length
                if first_byte == 0x82:
                    self._on_message(payload, True)
                elif not self._validate or is_utf8(payload):
                    self._on_message(payload, False)
                else:
                    raise InvalidUtf8("text message is not UTF-8")
            else:
                key = data[start - 4 : start] if masked else None
                self._check_header(first_byte, length, masked, start)
                if not first_byte & 0x08:
                    self._position = position = start
                    self._begin_frame(first_byte, length, key)
                elif start + length > size:
                    break
                else:
                    self._position = position = start + length
                    payload = data[start:position]
                    if self._on_frame is not None:
                        self._on_frame(first_byte, length)
                    self._on_control(
                        first_byte & 0x0F, apply_mask(payload, key) if key and self._apply_mask else payload
                    )
            self._turn_frames -= 1
            if self._turn_frames <= 0:
                self.halted = self.yielded = True
        if not self.halted:
            # Not the whole read for the sake of its last bytes: it may be the only thing an idle connection holds.
            self._data = data[position:]
            self._position = 0

    def _long_length(self, marker: int, data: bytes, position: int) -> int:
        """Return a length of 16 or 64 bits, checked."""
        end = position + (4 if marker == 126 else 10)
        length = int.from_bytes(data[position + 2 : end], "big")
        if length > _MAX_LENGTH:
            self._skip = None
            raise FrameError("frame length with the most significant bit set")
        if length < (126 if marker == 126 else 65536):
            # "the minimal number of bytes MUST be used to encode the length" (section 5.2)
            self._position = end + (4 if data[position + 1] > 127 else 0)
            self._skip = length
            raise FrameError("frame length not in its shortest form")
        return length

    def _check_header(self, first_byte: int, length: int, masked: bool, start: int) -> None:
        """Check a frame's header; its payload, from ``start`` on, may not have arrived."""
        try:
            if first_byte & 0x08:
                self._check_control(first_byte, length)
            else:
                self._check_data(first_byte, length)
            # "a server MUST close the connection upon receiving a frame that is not masked", "a client MUST close a
            # connection if it detects a masked frame" (section 5.1)
            if self._is_masked is not None and masked is not self._is_masked:
                raise FrameError("server frame is masked" if masked else "client frame is not masked")
        except RemoteProtocolError:
            self._position = start
            self._skip = None if first_byte & 0x0F == CLOSE or length > _ENDLESS else length
            raise

    def _check_control(self, first_byte: int, length: int) -> None:
        opcode = first_byte & 0x0F
        if first_byte & 0x70:
            raise FrameError("reserved bits set in a control frame")
        if opcode > PONG:
            raise FrameError(f"reserved control opcode {opcode}")
        if not first_byte & FIN:
            raise FrameError("fragmented control frame")
        if length > MAX_CONTROL_PAYLOAD:
            raise FrameError("control frame with a payload of more than 125 bytes")

    def _check_data(self, first_byte: int, length: int) -> None:
        opcode = first_byte & 0x0F
        if first_byte & 0x30 or (first_byte & RSV1 and (self._codec is None or opcode == CONTINUATION)):
            raise FrameError("reserved bits set in a data frame")
        if opcode > BINARY:
            raise FrameError(f"reserved data opcode {opcode}")
        if opcode == CONTINUATION:
            if self._opcode == 0:
                raise FrameError("continuation of no message")
            if self._fragments >= self._max_fragments:
                raise MessageTooBig(f"message of more than {self._max_fragments} fragments")
        elif self._opcode:
            raise FrameError("message within a fragmented message")
        if length > self._max_frame:
            raise MessageTooBig(f"frame of {length} bytes is over the limit of {self._max_frame}")
        limit = self._max_compressed if self._compressed or first_byte & RSV1 else self._max_message
        if self._wire_length + length > limit:
            raise MessageTooBig(
                f"message of {self._wire_length + length} bytes is over the limit of {self._max_message}"
            )

    def _begin_frame(self, first_byte: int, length: int, key: bytes | None) -> None:
        if self._on_frame is not None:
            self._on_frame(first_byte, length)
        self._fin = bool(first_byte & FIN)
        self._left = length
        self._key = key if self._apply_mask else None
        if self._opcode == 0:
            self._opcode = first_byte & 0x0F
            self._compressed = bool(first_byte & RSV1)
        self.frames += 1
        self.payload_octets += length
        self._fragments += 1
        self._wire_length += length

    def _frame_data(self, data: bytes) -> None:
        """Take a piece of the payload of the current frame: what is left of it, or all that has arrived."""
        self._left -= len(data)
        if self._key is not None:
            key = self._key
            self._key = rotate_mask(key, len(data))
            data = apply_mask(data, key)
        final = self._fin and self._left == 0
        try:
            data = self._checked(data, final)
        except RemoteProtocolError:
            self._skip = self._left
            raise
        if not final:
            self._message += data
            if self._left == 0:
                self._left = -1
            return
        if self._message:
            data = bytes(self._message + data)
            self._message = bytearray()
        is_binary = self._opcode == BINARY
        self._left = -1
        self._opcode = 0
        self._compressed = False
        self._wire_length = 0
        self._fragments = 0
        self.messages += 1
        self.message_octets += len(data)
        self._on_message(data, is_binary)

    def _checked(self, data: bytes, final: bool) -> bytes:
        """Inflate and validate a piece of a message."""
        if self._compressed:
            data = self._inflate(data, final)
        if self._opcode == TEXT and self._validate:
            # Fail at the first bad byte, not at the end of a message that may never come (section 8.1).
            valid = self._utf8.feed(data)
            if valid and final:
                valid = self._utf8.complete()
                self._utf8.reset()
            if not valid:
                raise InvalidUtf8("text message is not UTF-8")
        return data

    def _inflate(self, data: bytes, final: bool) -> bytes:
        assert self._codec is not None
        if self._max_message == _UNLIMITED:
            data = self._codec.decompress(data, final, 0)
        else:
            room = self._max_message - len(self._message)
            data = self._codec.decompress(data, final, max(room, 1))
            if len(data) > room:
                raise MessageTooBig(f"message inflates to more than the limit of {self._max_message} bytes")
        self._turn_bytes -= len(data)
        if self._turn_bytes <= 0:
            self.halted = self.yielded = True
        return data


class CloseSeeker:
    """Skips frames until a close frame; what a failed connection reads with.

    Args:
        skip: bytes left of the frame that broke the protocol.
        on_close: called with the payload of the close frame.
    """

    __slots__ = ("_data", "_done", "_on_close", "_skip")

    def __init__(self, skip: int, on_close: Callable[[bytes], None]) -> None:
        self._skip = skip
        self._on_close = on_close
        self._data = b""
        self._done = False

    def feed(self, data: bytes) -> None:
        """Skip what was received, or find the close frame in it."""
        if self._done:
            return
        data = self._data + data
        size = len(data)
        position = self._skip
        while position + 2 <= size:
            first_byte = data[position]
            second_byte = data[position + 1]
            length = second_byte & 127
            payload = position + (2 if length < 126 else 4 if length == 126 else 10)
            key = payload
            if second_byte > 127:
                payload += 4
            is_close = first_byte & 0x0F == CLOSE
            if size < (payload + length if is_close and length < 126 else payload):
                break
            if is_close:
                self._done = True
                self._data = b""
                if length < 126:
                    body = data[payload : payload + length]
                    self._on_close(apply_mask(body, data[key:payload]) if key < payload else body)
                return
            if length > 125:
                length = int.from_bytes(data[position + 2 : key], "big")
            position = payload + length
        self._data = data[position:]
        self._skip = max(position - size, 0)
