"""Fuzz target: the head of a request, as a server reads, judges and answers it.

The first byte of the input says how the rest is cut.
"""

from __future__ import annotations

from autobahnlike.exception import HandshakeError, InvalidRequest
from autobahnlike.wire.handshake import accept_response, read_request, refuse_response
from autobahnlike.wire.http11 import Request, RequestReader, ResponseReader
from autobahnlike.wire.options import Options
from tests.fuzz.heads import MAX_HEADERS, MAX_SIZE, read
from tests.fuzz.runner import main

OPTIONS = Options(versions=(8, 13), allowed_origins=("https://*.example.com:443", "http://localhost:*"))


def fuzz_one(data: bytes) -> None:
    """Read a request in two ways; both have to give the same answer, which is one well-formed response."""
    if len(data) < 2:
        return
    answers = []
    for step in (len(data), data[0] + 1):
        head = read(RequestReader(MAX_SIZE, MAX_HEADERS), data[1:], step)
        answers.append(answer(head) if isinstance(head, Request | HandshakeError) else b"")
    assert answers[0] == answers[1]
    if answers[0]:
        response = ResponseReader().feed(answers[0])
        assert response is not None
        assert response.status == 101 or 400 <= response.status <= 505
        assert "X-Injected" not in response.headers


def answer(head: Request | HandshakeError) -> bytes:
    """The response of a server."""
    try:
        if isinstance(head, HandshakeError):
            raise head
        opening = read_request(head, OPTIONS)
    except InvalidRequest as error:
        return refuse_response(error.http_status, error.reason, error.headers)
    assert opening.resource.startswith("/")
    return accept_response(opening, subprotocol=opening.protocols[0] if opening.protocols else None)


if __name__ == "__main__":
    main(fuzz_one, "requests")
