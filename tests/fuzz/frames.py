"""Fuzz target: frames, with and without permessage-deflate, as an open connection receives them.

The first byte of the input says who we are and what is switched on, the second how the rest is cut.
"""

from __future__ import annotations

from typing import Any

from autobahnlike.wire.options import Options
from autobahnlike.wire.state import State
from tests.fuzz.runner import main
from tests.wire.helpers import CLOSE, KEY, PONG, REQUEST, RESPONSE, Side, deflate, parse_frames

LIMIT = 2000
READ_AHEAD = 300


def fuzz_one(data: bytes) -> None:
    """Receive frames: whatever they are, the answers are whole frames, the memory is bounded, and the end is told."""
    if len(data) < 3:
        return
    flags, step, stream = data[0], data[1] + 1, data[2:]
    side = opened(flags)
    # What is held: a message, one that was read ahead, what else is, what one read brings, part of a control frame.
    bound = 2 * LIMIT + READ_AHEAD + step + 64 + 131
    for start in range(0, len(stream), step):
        if side.connection.wants_read:
            side.receive(stream[start : start + step])
        assert side.connection.buffered <= bound
        if flags & 8:
            side.resume()
    check_answers(side)
    side.lose()
    for _ in range(len(stream) + 1):
        if side.handler.events[-1:] and side.handler.events[-1][0] == "closed":
            break
        side.resume()
    was_clean, code, reason = side.closed
    assert was_clean or (code == 1006 and reason)
    assert side.connection.state is State.CLOSED
    assert side.connection.buffered == 0
    assert all(len(message) <= LIMIT for message in side.messages)
    for name, *what in side.handler.events:
        if name == "message" and not what[1]:
            what[0].decode()


def opened(flags: int) -> Side:
    """An open connection; the bits: a server, compression, without context takeover, a busy handler, failByDrop."""
    is_server = bool(flags & 1)
    side = Side(
        is_server=is_server,
        options=Options(max_message_size=LIMIT, max_fragments=20, read_ahead=READ_AHEAD, fail_by_drop=bool(flags & 16)),
    )
    if flags & 2:
        params: dict[str, Any] = {"client_no_context_takeover": True, "server_no_context_takeover": True}
        side.handler.codec = deflate(is_server, **(params if flags & 4 else {}))
    if is_server:
        side.receive(REQUEST)
    else:
        side.connection.send_request(REQUEST, key=KEY)
        side.receive(RESPONSE)
    side.take()
    side.handler.events.clear()
    side.handler.is_slow = bool(flags & 8)
    return side


def check_answers(side: Side) -> None:
    """Only pongs and one close frame are sent, and nothing behind that."""
    opcodes = [each.opcode for each in parse_frames(side.take())]
    assert set(opcodes) <= {PONG, CLOSE}
    assert opcodes.count(CLOSE) <= 1
    assert CLOSE not in opcodes[:-1]


if __name__ == "__main__":
    main(fuzz_one, "frames")
