"""What handlers may raise, and are told. The names are those that users of Chalice import from ``chalice``.

::

    ChaliceError
    ├── WebsocketDisconnectedError      nobody is connected by that id
    ├── PayloadTooLargeError            the message is over a limit; nothing was sent
    ├── LimitExceededError              the client does not take what it was sent before; nothing was sent
    ├── DeliveryUnknownError            there was no answer: it may have been delivered or not
    ├── BadRequestError                 what the client sent is not what it should be (also ValueError)
    └── RoomError                       a room cannot be reached, or a message not be published
"""

from __future__ import annotations

from autobahnlike.backplane.interface import Verdict

__all__ = (
    "BadRequestError",
    "ChaliceError",
    "DeliveryUnknownError",
    "LimitExceededError",
    "PayloadTooLargeError",
    "RoomError",
    "WebsocketDisconnectedError",
    "check_verdict",
)


class ChaliceError(Exception):
    """The root of the tree."""


class _AboutConnection(ChaliceError):
    """Something that concerns a connection.

    Attributes:
        connection_id: its id.
    """

    def __init__(self, connection_id: str) -> None:
        super().__init__(connection_id)
        self.connection_id = connection_id


class WebsocketDisconnectedError(_AboutConnection):
    """Nobody is connected by that id, any more or at all."""


class PayloadTooLargeError(_AboutConnection):
    """A message is larger than the gateway, or its backplane, sends. Nothing was sent."""


class LimitExceededError(_AboutConnection):
    """The client does not take what it was sent before. Nothing was sent."""


class DeliveryUnknownError(_AboutConnection):
    """There was no answer from the node of the connection: it may have been delivered or not."""


class BadRequestError(ChaliceError, ValueError):
    """What the client sent is not what it should be."""

    STATUS_CODE = 400


class RoomError(ChaliceError):
    """A message could not be published to a room."""


_ERRORS: dict[Verdict, type[_AboutConnection]] = {
    Verdict.GONE: WebsocketDisconnectedError,
    Verdict.TOO_LARGE: PayloadTooLargeError,
    Verdict.BUFFER_FULL: LimitExceededError,
    Verdict.UNKNOWN: DeliveryUnknownError,
}


def check_verdict(verdict: Verdict, connection_id: str) -> None:
    """Raise the exception for a verdict that is not ``DELIVERED``."""
    if verdict is not Verdict.DELIVERED:
        raise _ERRORS[verdict](connection_id)
