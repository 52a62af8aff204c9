"""Fuzz target: the head of a response, as a client reads and judges it.

The first byte of the input says how the rest is cut.
"""

from __future__ import annotations

from autobahnlike.exception import InvalidResponse
from autobahnlike.wire.deflate import EXTENSION_NAME, DeflateOffer, DeflateResponse, check_response
from autobahnlike.wire.handshake import Acceptance, accept_key, read_response
from autobahnlike.wire.http11 import Response, ResponseReader
from tests.fuzz.heads import MAX_HEADERS, MAX_SIZE, read
from tests.fuzz.runner import main

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PROTOCOLS = ("chat", "mail")


def fuzz_one(data: bytes) -> None:
    """Read a response in two ways; both have to come to the same judgement."""
    if len(data) < 2:
        return
    judgements = []
    for step in (len(data), data[0] + 1):
        head = read(ResponseReader(MAX_SIZE, MAX_HEADERS), data[1:], step)
        judgements.append(judge(head) if isinstance(head, Response) else str(head))
    assert judgements[0] == judgements[1]


def judge(head: Response) -> Acceptance | str:
    """What a client makes of a head."""
    try:
        acceptance = read_response(head, key=KEY, protocols=PROTOCOLS)
    except InvalidResponse as error:
        return f"{error} ({error.http_status})"
    for name, params in acceptance.extensions:
        if name == EXTENSION_NAME:
            check(params)
    assert head.status == 101
    assert head.headers.get_all("Sec-WebSocket-Accept") == [accept_key(KEY)]
    assert acceptance.subprotocol in (None, *PROTOCOLS)
    return acceptance


def check(params: list[tuple[str, str | None]]) -> None:
    """Compare what a server says of permessage-deflate with an offer."""
    try:
        agreed = check_response(DeflateOffer(client_max_window_bits=12), DeflateResponse.parse(params))
    except (ValueError, InvalidResponse):
        return
    assert 8 <= agreed.client_max_window_bits <= 12


if __name__ == "__main__":
    main(fuzz_one, "responses")
