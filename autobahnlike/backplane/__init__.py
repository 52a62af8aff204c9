"""What joins several processes and machines: the interface, and the implementation for one process.

Gateways reach the connections of others through it, and the rooms of gateways and of applications reach over all.

``MemoryBackplane`` is the default and needs nothing. The one for Redis or Valkey is
:mod:`autobahnlike.backplane.redis`, which is loaded when it is asked for, and needs hiredis.
"""

from __future__ import annotations

from autobahnlike.backplane.interface import (
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
from autobahnlike.backplane.memory import MemoryBackplane, MemoryHub

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
