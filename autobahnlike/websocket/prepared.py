"""Messages that go to many connections: their frames are built once."""

from __future__ import annotations

from collections.abc import Hashable

from autobahnlike.exception import InvalidArgument
from autobahnlike.wire.deflate import Codec
from autobahnlike.wire.frames import BINARY, FIN, RSV1, TEXT, frame_header

__all__ = ("PreparedMessage", "as_bytes")


class PreparedMessage:
    """A message for many connections: its frame is made once, and compressed once for all that compress alike.

    What is compressed for many connections refers to no earlier message of any. So it takes some bytes more, and so
    does the next message that is sent over one of them by itself.

    Args:
        payload: the message; UTF-8 if it is text.
        isBinary: whether it is binary.
        doNotCompress: send it uncompressed also where compression was negotiated.

    Raises:
        InvalidArgument: the payload is not bytes.
    """

    __slots__ = ("_compressed", "_frame", "doNotCompress", "isBinary", "payload")

    def __init__(self, payload: bytes, isBinary: bool = False, doNotCompress: bool = False) -> None:
        self.payload = as_bytes(payload)
        self.isBinary = bool(isBinary)
        self.doNotCompress = bool(doNotCompress)
        self._frame: bytes | None = None
        # By what it depends on, of which there is not much: for permessage-deflate the window of the connection, which
        # has seven sizes, and what the application has chosen.
        self._compressed: dict[Hashable, bytes] | None = None

    @property
    def frame(self) -> bytes:
        """The whole message as one frame, as a server sends it: unmasked and uncompressed (RFC 6455, section 5.2)."""
        if self._frame is None:
            self._frame = self._build(0, self.payload)
        return self._frame

    def frame_for(self, codec: Codec | None) -> bytes | None:
        """Return the message as one frame, unmasked, for a connection that is now sent it, or nothing.

        Args:
            codec: the compression of the connection, which then knows what it was sent; None if it has none.

        Returns:
            The frame. None if it can only be compressed for this connection alone.
        """
        if codec is None or self.doNotCompress:
            return self.frame
        key = codec.share_key
        if key is None:
            return None
        if self._compressed is None:
            self._compressed = {}
        # Whatever the peer has in its window, this message is not to refer to it. And if it was compressed elsewhere,
        # our compressor knows nothing of it, and the next message cannot refer to what came before: that is further
        # away now.
        codec.forget()
        frame = self._compressed.get(key)
        if frame is None:
            frame = self._compressed[key] = self._build(RSV1, codec.compress(self.payload, True))
        return frame

    def _build(self, flags: int, payload: bytes) -> bytes:
        return frame_header(FIN | flags | (BINARY if self.isBinary else TEXT), len(payload)) + payload


def as_bytes(payload: object) -> bytes:
    """Return a payload as bytes.

    Args:
        payload: bytes, or something like them.

    Raises:
        InvalidArgument: it is something else.
    """
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    if isinstance(payload, str):
        raise InvalidArgument("the payload must be bytes, not str: encode it, payload.encode()")
    raise InvalidArgument(f"the payload must be bytes, not {type(payload).__name__}")
