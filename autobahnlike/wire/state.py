# Theory of operation
#
# A WebSocket connection lives through five states. Everything that decides which one it is in stands in this file.
#
#   Rule 1: nothing else moves the state. `Connection._move(input)` looks the next state up here, and is the only place
#           that assigns it.
#   Rule 2: this file does not know whether we are the server or the client, nor what the bytes look like. The states
#           mean the same on both sides.
#
#                     OPENED                 SEND_CLOSE                 RECEIVE_CLOSE
#       CONNECTING ───────────────► OPEN ───────────────► CLOSE_SENT ─────────────────┐
#           │                        │                        │                       │
#           │ REFUSED, DROP          │ DROP                   │ DROP                  ▼
#           └────────────────────────┴────────────────────────┴──────────────► DISCONNECTING
#                                                                                     │
#       every state but CLOSED ──────────── LOST ─────────────────────────────► CLOSED ◄── LOST
#
# CONNECTING     the opening handshake (RFC 6455, section 4). On a server this includes the time in which the
#                application decides about the request.
# OPEN           messages flow both ways.
# CLOSE_SENT     our close frame is out, or waiting to be; the peer's has not come (section 7.1.2). The peer may still
#                send messages, we may not.
# DISCONNECTING  no more WebSocket: the closing handshake is complete (section 7.1.4), the opening handshake was
#                refused, or we drop the connection. What is left is to write what is queued and to end the TCP
#                connection.
# CLOSED         the TCP connection is gone.
#
# A peer's close frame is answered in the same step in which it is received, so there is no state in which an answer is
# owed. Failing a connection (section 7.1.7) is not a state either: it is SEND_CLOSE with a code that says why, or DROP.
"""The state machine of a connection: two enums and one table."""

from __future__ import annotations

import enum

__all__ = ("ILLEGAL", "TRANSITIONS", "Input", "State")


class State(enum.Enum):
    """Where a connection is in its life; see the theory of operation at the top of this file."""

    # Members are all there is, one of each. Enum's own is written in Python, and asked for at every step.
    __hash__ = object.__hash__

    CONNECTING = "connecting"
    OPEN = "open"
    CLOSE_SENT = "close sent"
    DISCONNECTING = "disconnecting"
    CLOSED = "closed"


class Input(enum.Enum):
    """What may move a connection from one state to the next."""

    __hash__ = object.__hash__

    OPENED = "opening handshake complete"
    REFUSED = "opening handshake refused"
    SEND_CLOSE = "close frame sent"
    RECEIVE_CLOSE = "close frame received"
    DROP = "connection dropped by us"
    LOST = "TCP connection lost"


TRANSITIONS: dict[tuple[State, Input], State] = {
    (State.CONNECTING, Input.OPENED): State.OPEN,
    (State.CONNECTING, Input.REFUSED): State.DISCONNECTING,
    (State.CONNECTING, Input.DROP): State.DISCONNECTING,
    (State.CONNECTING, Input.LOST): State.CLOSED,
    (State.OPEN, Input.SEND_CLOSE): State.CLOSE_SENT,
    (State.OPEN, Input.DROP): State.DISCONNECTING,
    (State.OPEN, Input.LOST): State.CLOSED,
    (State.CLOSE_SENT, Input.RECEIVE_CLOSE): State.DISCONNECTING,
    (State.CLOSE_SENT, Input.DROP): State.DISCONNECTING,
    (State.CLOSE_SENT, Input.LOST): State.CLOSED,
    (State.DISCONNECTING, Input.DROP): State.DISCONNECTING,
    (State.DISCONNECTING, Input.LOST): State.CLOSED,
}

# A pair that is in neither set would be a forgotten decision; a test demands that every pair is in exactly one.
ILLEGAL: frozenset[tuple[State, Input]] = frozenset(
    {
        # There is no WebSocket to close yet.
        (State.CONNECTING, Input.SEND_CLOSE),
        (State.CONNECTING, Input.RECEIVE_CLOSE),
        # The opening handshake happens once.
        (State.OPEN, Input.OPENED),
        (State.OPEN, Input.REFUSED),
        (State.CLOSE_SENT, Input.OPENED),
        (State.CLOSE_SENT, Input.REFUSED),
        (State.DISCONNECTING, Input.OPENED),
        (State.DISCONNECTING, Input.REFUSED),
        # A peer's close frame is answered before it is dealt with: SEND_CLOSE, then RECEIVE_CLOSE.
        (State.OPEN, Input.RECEIVE_CLOSE),
        # "If an endpoint receives a Close frame and did not previously send one" (5.5.1): one close frame each way.
        (State.CLOSE_SENT, Input.SEND_CLOSE),
        (State.DISCONNECTING, Input.SEND_CLOSE),
        (State.DISCONNECTING, Input.RECEIVE_CLOSE),
        # Nothing happens any more.
        (State.CLOSED, Input.OPENED),
        (State.CLOSED, Input.REFUSED),
        (State.CLOSED, Input.SEND_CLOSE),
        (State.CLOSED, Input.RECEIVE_CLOSE),
        (State.CLOSED, Input.DROP),
        (State.CLOSED, Input.LOST),
    }
)
