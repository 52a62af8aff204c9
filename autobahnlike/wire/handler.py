"""What a connection tells, and what it wants done with the transport."""

from __future__ import annotations

import enum
from typing import Protocol

from autobahnlike.exception import NotAnUpgrade
from autobahnlike.wire.handshake import Acceptance, Opening
from autobahnlike.wire.http11 import Request

__all__ = ("Disconnect", "Handler")


class Disconnect(enum.Enum):
    """What is to be done with the transport when everything in ``data_to_send`` is written."""

    NO = "keep the connection"
    FINISH = "end our side of the TCP connection, and read on until the peer ends its own"
    CLOSE = "close the TCP connection"
    ABORT = "drop the TCP connection now, whatever is still to be written"


class Handler(Protocol):
    """What a connection tells.

    On a server ``on_request`` is answered with ``accept`` or ``refuse``; on a client ``on_response`` with ``establish``
    or ``fail_handshake``. Both may take their time.
    """

    def on_request(self, opening: Opening) -> None:
        """A client asks for a WebSocket."""

    def on_plain_request(self, request: Request, error: NotAnUpgrade) -> None:
        """A client sent a GET that does not ask for a WebSocket; answer it with ``refuse``."""

    def on_response(self, acceptance: Acceptance) -> None:
        """The server agreed to a WebSocket; what it said of extensions is still to be checked."""

    def on_message(self, payload: bytes, is_binary: bool) -> None:
        """A message is complete. Text is valid UTF-8."""

    def on_ping(self, payload: bytes) -> None:
        """A ping came. Not told, and answered at once, if ``auto_pong`` is set."""

    def on_pong(self, payload: bytes) -> None:
        """A pong came. Only told if ``report_pongs`` is set."""

    def on_closed(self, was_clean: bool, code: int | None, reason: str | None) -> None:
        """The TCP connection is gone and everything before that was delivered. Told once, and last."""

    def on_output(self) -> None:
        """Much output has collected in the middle of ``receive_data``: write it now, do not wait for the end."""

    def on_frame(self, sent: bool, first_byte: int, length: int) -> None:
        """A frame with this first byte and payload length was sent, or received. Only told if ``log_frames`` is set."""

    def on_overdue(self) -> None:
        """The connection is gone, and the handler has been busy for too long since: give up what it is busy with."""
