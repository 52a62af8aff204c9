"""Frames (RFC 6455, section 5): opcodes, headers, and the payload of close frames."""

from __future__ import annotations

from autobahnlike.exception import FrameError, InvalidArgument, InvalidUtf8

__all__ = (
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "FIN",
    "MAX_CONTROL_PAYLOAD",
    "PING",
    "PONG",
    "RSV1",
    "TEXT",
    "close_payload",
    "frame_header",
    "is_valid_close_code",
    "parse_close_payload",
)

# Opcodes (section 5.2)
CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

# Bits of the first byte
FIN = 0x80
RSV1 = 0x40

# "All control frames MUST have a payload length of 125 bytes or less" (section 5.5).
MAX_CONTROL_PAYLOAD = 125

# A close code takes two of the bytes of a control frame.
MAX_CLOSE_REASON = MAX_CONTROL_PAYLOAD - 2


def frame_header(first_byte: int, length: int, masking_key: bytes | None = None) -> bytes:
    """Return the header of a frame.

    Args:
        first_byte: the opcode with the FIN and RSV bits.
        length: the payload length in bytes, written in the shortest form, as section 5.2 demands.
        masking_key: four bytes, or None for a frame that is not masked.
    """
    mask_bit = 0 if masking_key is None else 0x80
    if length < 126:
        header = bytes((first_byte, mask_bit | length))
    elif length < 65536:
        header = bytes((first_byte, mask_bit | 126, length >> 8, length & 255))
    else:
        header = bytes((first_byte, mask_bit | 127)) + length.to_bytes(8, "big")
    return header if masking_key is None else header + masking_key


def is_valid_close_code(code: int) -> bool:
    """Tell whether a close code may stand in a close frame.

    These are the codes that RFC 6455, section 7.4, and the IANA registry name for that, and those left to libraries and
    applications. 1004, 1005, 1006 and 1015 are reserved and never sent.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def close_payload(code: int | None, reason: str | None = None) -> bytes:
    """Return the payload of a close frame.

    Args:
        code: a close code that may be sent, or None for an empty payload.
        reason: text that goes with the code; cut at a character so that its UTF-8 fits into 123 bytes.

    Raises:
        InvalidArgument: the code may not be sent, or there is a reason without a code.
    """
    if code is None:
        if reason:
            raise InvalidArgument("a close reason needs a close code: give 1000 if there is nothing special to say")
        return b""
    if not is_valid_close_code(code):
        raise InvalidArgument(
            f"invalid close code {code} (must be 1000 to 1003, 1007 to 1014 or 3000 to 4999; applications use "
            "1000 or 3000 to 4999)"
        )
    encoded = (reason or "").encode("utf-8", "replace")
    if len(encoded) > MAX_CLOSE_REASON:
        encoded = encoded[:MAX_CLOSE_REASON].decode("utf-8", "ignore").encode()
    return code.to_bytes(2, "big") + encoded


def parse_close_payload(payload: bytes) -> tuple[int | None, str | None]:
    """Return the code and the reason in the payload of a close frame; None for what is not there.

    Raises:
        FrameError: the payload is one byte long, or the code may not be sent (section 7.4).
        InvalidUtf8: the reason is not UTF-8.
    """
    if not payload:
        return None, None
    if len(payload) == 1:
        raise FrameError("close frame with a payload of one byte")
    code = int.from_bytes(payload[:2], "big")
    if not is_valid_close_code(code):
        raise FrameError(f"invalid close code {code}")
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError:
        raise InvalidUtf8("close reason is not UTF-8") from None
    return code, reason or None
