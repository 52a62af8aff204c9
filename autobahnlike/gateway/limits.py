"""What a gateway bounds, and API Gateway's own numbers.

Frames are not seen by an application of ASGI: :meth:`Limits.server_options` is for the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ("AWS", "Limits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is bounded. Sizes are in bytes, times in seconds; 0 is no bound, where it is not said otherwise.

    Attributes:
        max_message_size: the most that a message of a client, or one to a client, may have. A client is closed with
            1009, a sender is told (413).
        max_frame_size: the most that a frame of a client may have. It is the server that sees frames: see
            :meth:`server_options`.
        max_url_size: the most characters that the target of the opening handshake may have; more is answered with 414.
        integration_timeout: how long a handler may take.
        idle_timeout: how long no message may go either way; then the connection is closed with 1001.
        max_lifetime: how long a connection may last; then it is closed with 1001.
        max_queued_messages: how many messages may wait for a client that does not take them; a sender of more is told
            (429). At least 1.
        max_queued_size: how many bytes may; the last message may go beyond that. At least 1.
        max_pending_messages: how many messages of a client may wait for their handler; then the client is not read any
            more. At least 1.
        verdict_timeout: how long a sender waits for what became of a message to another node. At least 0.01.
        requests_per_second: how many requests of the management API may come within a second, of all senders together;
            one of more is told (429).

    Raises:
        ValueError: a value that it cannot have.
    """

    max_message_size: int = 1024 * 1024
    max_frame_size: int = 0
    max_url_size: int = 0
    integration_timeout: float = 29.0
    idle_timeout: float = 0.0
    max_lifetime: float = 0.0
    max_queued_messages: int = 1024
    max_queued_size: int = 4 * 1024 * 1024
    max_pending_messages: int = 16
    verdict_timeout: float = 5.0
    requests_per_second: int = 0

    def __post_init__(self) -> None:
        least = {"max_queued_messages": 1, "max_queued_size": 1, "max_pending_messages": 1, "verdict_timeout": 0.01}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least.get(name, 0):
                raise ValueError(f"{name} must be a number of at least {least.get(name, 0)}, not {value!r}")

    def server_options(self) -> dict[str, Any]:
        """Return what to give to a server of ours as ``ServerOptions(websocket=...)``, so that it sees to frames too.

        One frame may be larger than a message here: then it is the gateway that says so, in the words of API Gateway.
        """
        options = {}
        if self.max_frame_size:
            options["maxFramePayloadSize"] = self.max_frame_size
        if self.max_message_size:
            options["maxMessagePayloadSize"] = self.max_message_size
        return options


# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
AWS = Limits(
    max_message_size=128 * 1024,
    max_frame_size=32 * 1024,
    max_url_size=4096,
    integration_timeout=29.0,
    idle_timeout=600.0,
    max_lifetime=7200.0,
    requests_per_second=10000,
)
"""API Gateway's numbers."""
