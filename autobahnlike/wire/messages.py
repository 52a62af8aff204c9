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
from typing import Any

from autobahnlike.exception import FrameError, InvalidUtf8, MessageTooBig, RemoteProtocolError
from autobahnlike.wire.deflate import Codec
from autobahnlike.wire.frames import BINARY, CLOSE, CONTINUATION, FIN, MAX_CONTROL_PAYLOAD, PONG, RSV1, TEXT
from autobahnlike.wire.kernel import Assembly, apply_mask, is_utf8, unmask
from autobahnlike.wire.options import Options

__all__ = ("CloseSeeker", "MessageReader")

# "the most significant bit MUST be 0" (section 5.2): no length, and no limit, needs more than 63 bits. Compiled, these
# are numbers of 64 bits, so sums of two of them are avoided.
_MAX_LENGTH = (1 << 63) - 1
_UNLIMITED = _MAX_LENGTH

# What is left of a frame that nobody will wait for the end of
_ENDLESS = 1 << 32

# From this size on, the rest of a frame is better received into its place than copied there.
_IN_PLACE = 16384

# After this many frames, or this much inflated data, in one read the reader halts once, so that one connection cannot
# keep the loop to itself: 4096 small frames are some ten milliseconds, as are four megabytes of inflation.
FRAMES_PER_TURN = 4096
INFLATED_PER_TURN = 4 * 1024 * 1024

_NOBODY: Any = None


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
        on_message: as in the arguments; may be changed at any time.
        halted: set it to stop parsing before the next frame; ``proceed`` clears it.
        yielded: set, together with ``halted``, when a read held so much work that others should have a turn first.
    """

    __slots__ = (
        "_apply_mask",
        "_assembly",
        "_codec",
        "_compressed",
        "_data",
        "_fin",
        "_fragments",
        "_frames",
        "_left",
        "_mask_rule",
        "_max_compressed",
        "_max_fragments",
        "_max_frame",
        "_max_message",
        "_max_whole",
        "_message_octets",
        "_messages",
        "_on_control",
        "_on_frame",
        "_opcode",
        "_payload_octets",
        "_position",
        "_skip",
        "_turn_bytes",
        "_validate",
        "_whole",
        "_whole_octets",
        "_wire_length",
        "halted",
        "on_message",
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
        self.on_message = on_message
        self._on_control = on_control
        self._on_frame = on_frame
        self._apply_mask = options.apply_mask
        self._validate = options.validate_utf8
        self._max_message = min(options.max_message_size or _UNLIMITED, _UNLIMITED)
        self._max_frame = min(options.max_frame_size or _UNLIMITED, _UNLIMITED)
        # What the hot loop may take by itself: nothing if every frame is to be told of.
        self._max_whole = min(self._max_message, self._max_frame) if on_frame is None else -1
        # Compressed, a message that nothing can compress grows: by 5 bytes for each stored block, and zlib's blocks
        # hold some KiB even with the least memory. A sixteenth is more than any of its settings needs.
        self._max_compressed = _UNLIMITED
        if options.max_message_size:
            self._max_compressed = min(options.max_message_size * 17 // 16 + 64, _UNLIMITED)
        self._max_fragments = min(options.max_fragments or _UNLIMITED, _UNLIMITED)
        # Whether frames have to be masked: 1, 0, or -1 if they may be and need not
        self._mask_rule = -1
        if is_server and options.require_masked_client_frames:
            self._mask_rule = 1
        elif not is_server and not options.accept_masked_server_frames:
            self._mask_rule = 0
        # What is not parsed yet: _data from _position on.
        self._data = b""
        self._position = 0
        # The frame being received
        self._fin = False
        self._left = -1
        # The message being received: opcode 0 when there is none
        self._opcode = 0
        self._compressed = False
        self._assembly = Assembly()
        self._wire_length = 0
        self._fragments = 0
        self._turn_bytes = 0
        self.halted = False
        self.yielded = False
        self._skip: int | None = 0
        # What is counted in the hot loop, and what elsewhere
        self._whole = 0
        self._whole_octets = 0
        self._messages = 0
        self._frames = 0
        self._payload_octets = 0
        self._message_octets = 0

    @property
    def messages(self) -> int:
        """How many messages were received."""
        return self._messages + self._whole

    @property
    def frames(self) -> int:
        """How many data frames were received."""
        return self._frames + self._whole

    @property
    def payload_octets(self) -> int:
        """How many bytes their payloads had on the wire."""
        return self._payload_octets + self._whole_octets

    @property
    def message_octets(self) -> int:
        """How many bytes the messages had as they were delivered."""
        return self._message_octets + self._whole_octets

    @property
    def unparsed(self) -> int:
        """How many bytes were received and not parsed."""
        return len(self._data) - self._position

    @property
    def buffered(self) -> int:
        """How many bytes are held: what is not parsed, and the message being received."""
        return self.unparsed + self._assembly.size

    def feed(self, data: bytes) -> None:
        """Parse what was received; keep it if halted.

        Raises:
            RemoteProtocolError: the peer broke the protocol. Nothing may be fed after that; see ``abandon``.
        """
        if self._position < len(self._data):
            data = self._data[self._position :] + data
        self._data = data
        self._position = 0
        self._turn_bytes = INFLATED_PER_TURN
        if not self.halted:
            self._parse()

    def room(self) -> memoryview | None:
        """Give memory into which the rest of a large frame may be received; then call ``filled``.

        It is never larger than four times what has arrived of the message.

        Returns:
            None if there is no such frame, or it does not pay: receive, and call ``feed``.
        """
        if self._left < 0:
            return None
        left = min(self._left, 4 * self._assembly.size)
        if left < _IN_PLACE or self._compressed or self.halted:
            return None
        return self._assembly.room(left)

    def filled(self, count: int) -> None:
        """Go on with what was received into the memory that ``room`` gave.

        Args:
            count: how many bytes.

        Raises:
            RemoteProtocolError: as ``feed``.
        """
        self._turn_bytes = INFLATED_PER_TURN
        self._left -= count
        self._piece_added(self._assembly.filled(count))

    def proceed(self) -> None:
        """Parse on after a halt.

        Raises:
            RemoteProtocolError: as ``feed``.
        """
        self.halted = False
        self.yielded = False
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
        self._assembly.clear()
        return None if self._skip is None else max(self._skip, self._left), rest

    def forget(self) -> None:
        """Call nobody any more, and let go of whom it would be."""
        self.on_message = self._on_control = _NOBODY
        self._on_frame = None

    def _parse(self) -> None:
        """Parse frames until there is nothing left, or halted.

        This is the hot loop. The usual frame, a whole message that has arrived completely, is dealt with here; all
        others go through ``_check_header`` first.
        """
        data = self._data
        size = len(data)
        position = self._position
        mask_rule = self._mask_rule
        max_whole = self._max_whole
        frames_left = FRAMES_PER_TURN
        while not self.halted:
            if self._left >= 0:
                start = position
                position = self._position = start + min(size - start, self._left)
                self._frame_data(data, start, position)
                if self._left > 0:
                    break
                continue
            if size - position < 2:
                break
            first_byte = data[position]
            second_byte = data[position + 1]
            length = second_byte & 127
            masked = second_byte > 127
            start = position + 6 if masked else position + 2
            if length >= 126:
                marker = length
                start += 2 if marker == 126 else 8
                if start > size:
                    break
                length = data[position + 2] << 8 | data[position + 3]
                if marker == 127 or length < 126:
                    length = self._long_length(marker, data, position)
            elif start > size:
                break
            if (
                (first_byte == 0x82 or first_byte == 0x81)
                and self._opcode == 0
                and masked == mask_rule
                and length <= size - start
                and length <= max_whole
            ):
                end = start + length
                payload = unmask(data, start, end) if masked and self._apply_mask else data[start:end]
                position = self._position = end
                self._whole += 1
                self._whole_octets += length
                if first_byte == 0x82:
                    self.on_message(payload, True)
                elif not self._validate or is_utf8(payload):
                    self.on_message(payload, False)
                else:
                    raise InvalidUtf8("text message is not UTF-8")
            else:
                self._check_header(first_byte, length, masked, start)
                if not first_byte & 0x08:
                    self._position = position = start
                    self._begin_frame(first_byte, length, data[start - 4 : start] if masked else None)
                elif length > size - start:
                    break
                else:
                    self._position = position = start + length
                    if self._on_frame is not None:
                        self._on_frame(first_byte, length)
                    payload = unmask(data, start, position) if masked and self._apply_mask else data[start:position]
                    self._on_control(first_byte & 0x0F, payload)
            frames_left -= 1
            if frames_left <= 0:
                self.halted = self.yielded = True
        if not self.halted:
            # Not the whole read for the sake of its last bytes: it may be the only thing an idle connection holds.
            self._data = data[position:] if position < size else b""
            self._position = 0

    def _long_length(self, marker: int, data: bytes, position: int) -> int:
        """Return a length of 64 bits, checked, or say what is wrong with one of 16."""
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
            if self._mask_rule >= 0 and masked != self._mask_rule:
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
        if length > limit - self._wire_length:
            raise _too_big(self._wire_length, length, self._max_message)

    def _begin_frame(self, first_byte: int, length: int, key: bytes | None) -> None:
        if self._on_frame is not None:
            self._on_frame(first_byte, length)
        self._fin = bool(first_byte & FIN)
        self._left = length
        if self._opcode == 0:
            self._opcode = first_byte & 0x0F
            self._compressed = bool(first_byte & RSV1)
            self._assembly.begin_message(self._validate and self._opcode == TEXT)
        self._assembly.begin_frame(key if self._apply_mask else None)
        self._frames += 1
        self._payload_octets += length
        self._fragments += 1
        self._wire_length += length

    def _frame_data(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of the payload of the current frame: what is left of it, or all that has arrived."""
        self._left -= end - start
        if self._compressed:
            self._piece_added(self._inflate(self._assembly.unmask(data, start, end)))
        else:
            self._piece_added(self._assembly.add(data, start, end))

    def _piece_added(self, valid: bool) -> None:
        """Go on after a piece of a frame: was it the last of the frame, or of the message?"""
        # Fail at the first bad byte, not at the end of a message that may never come (section 8.1).
        if not valid:
            raise self._failed_within(InvalidUtf8("text message is not UTF-8"))
        if self._left > 0:
            return
        self._left = -1
        if not self._fin:
            return
        if not self._assembly.complete():
            raise self._failed_within(InvalidUtf8("text message is not UTF-8"))
        payload = self._assembly.take()
        is_binary = self._opcode == BINARY
        self._opcode = 0
        self._compressed = False
        self._wire_length = 0
        self._fragments = 0
        self._messages += 1
        self._message_octets += len(payload)
        self.on_message(payload, is_binary)

    def _failed_within(self, error: RemoteProtocolError) -> RemoteProtocolError:
        """Note how much of the frame is left to skip."""
        self._skip = max(self._left, 0)
        return error

    def _inflate(self, data: bytes) -> bool:
        """Inflate a piece of a message; tell whether it may follow in a text."""
        assert self._codec is not None
        final = self._fin and self._left == 0
        limit = 0
        if self._max_message != _UNLIMITED:
            # Up to the one byte by which it is too much.
            limit = max(self._max_message - self._assembly.size, 1)
        try:
            data = self._codec.decompress(data, final, limit)
        except RemoteProtocolError as error:
            raise self._failed_within(error) from None
        if len(data) > self._max_message - self._assembly.size:
            raise self._failed_within(
                MessageTooBig(f"message inflates to more than the limit of {self._max_message} bytes")
            )
        self._turn_bytes -= len(data)
        if self._turn_bytes <= 0:
            self.halted = self.yielded = True
        return self._assembly.append(data)


def _too_big(before: int, length: int, limit: int) -> MessageTooBig:
    return MessageTooBig(f"message of {before + length} bytes is over the limit of {limit}")


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
