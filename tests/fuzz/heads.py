"""What both targets for HTTP heads share."""

from __future__ import annotations

from autobahnlike.exception import HandshakeError
from autobahnlike.wire.http11 import HeadReader, Request, Response

__all__ = ("MAX_HEADERS", "MAX_SIZE", "read")

MAX_SIZE = 1024
MAX_HEADERS = 12


def feed(
    reader: HeadReader[Request] | HeadReader[Response], piece: bytes
) -> tuple[Request | Response | None, HandshakeError | None]:
    """Feed a reader once; returns the head, or the refusal, or neither."""
    try:
        return reader.feed(piece), None
    except HandshakeError as error:
        return None, error


def read(
    reader: HeadReader[Request] | HeadReader[Response], data: bytes, step: int
) -> Request | Response | HandshakeError | None:
    """Feed a reader until it has a head or refuses; what it holds is bounded, and what is behind the head is kept."""
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        head, error = feed(reader, piece)
        if error is not None:
            assert error.reason.isprintable()
            return error
        assert len(reader.head) <= MAX_SIZE + 2
        if head is not None:
            assert data[: start + step].endswith(reader.rest)
            assert len(head.headers.items()) <= MAX_HEADERS
            return head
    return None
