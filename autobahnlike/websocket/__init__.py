"""The callback API, the same for every event loop: hooks, factories, and the types they deal in.

Applications import ``autobahnlike.twisted.websocket`` or ``autobahnlike.asyncio.websocket``, which add the loop.
"""

from __future__ import annotations

from autobahnlike.speed import search_path

__path__ = search_path(__path__, "websocket")

from autobahnlike.websocket.interfaces import IWebSocketChannel
from autobahnlike.websocket.types import (
    ConnectionAccept,
    ConnectionDeny,
    ConnectionRequest,
    ConnectionResponse,
    IncomingMessage,
    Message,
    OutgoingMessage,
)

__all__ = (
    "ConnectionAccept",
    "ConnectionDeny",
    "ConnectionRequest",
    "ConnectionResponse",
    "IWebSocketChannel",
    "IncomingMessage",
    "Message",
    "OutgoingMessage",
)
