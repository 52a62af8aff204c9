"""What joins the gateways of several processes and machines: the interface, and the implementation for one process.

``MemoryBackplane`` is the default and needs nothing. The one for Redis or Valkey is
:mod:`autobahnlike.gateway.backplane.redis`, which is loaded when it is asked for, and needs hiredis.
"""

from __future__ import annotations

from autobahnlike.gateway.backplane.interface import (
    Backplane,
    BackplaneError,
    BackplaneUnavailable,
    ConnectionInfo,
    Health,
    Node,
    Payload,
    PublishUncertain,
    RoomListener,
    RoomMessage,
    RoomMessageTooLarge,
    Subscription,
    Verdict,
)
from autobahnlike.gateway.backplane.memory import MemoryBackplane, MemoryHub

__all__ = (
    "Backplane",
    "BackplaneError",
    "BackplaneUnavailable",
    "ConnectionInfo",
    "Health",
    "MemoryBackplane",
    "MemoryHub",
    "Node",
    "Payload",
    "PublishUncertain",
    "RoomListener",
    "RoomMessage",
    "RoomMessageTooLarge",
    "Subscription",
    "Verdict",
)
