"""Applications by connection id: three functions in the manner of AWS Chalice, on one machine or many.

::

    from autobahnlike.gateway import Gateway

    app = Gateway(app_name="echo")

    @app.on_ws_message()
    def message(event):
        app.websocket_api.send(event.connection_id, event.body)

A :class:`Gateway` is an ASGI 3 application, served with ``autobahnlike serve module:app`` at ``/api/``. Its connections
can also be reached from outside, by an SDK of AWS, through the @connections API; and from other processes and machines,
through a backplane. The names are those that users of Chalice import from ``chalice``.
"""

from __future__ import annotations

from autobahnlike.gateway.application import Blueprint, Gateway
from autobahnlike.gateway.errors import (
    BadRequestError,
    ChaliceError,
    DeliveryUnknownError,
    LimitExceededError,
    PayloadTooLargeError,
    RoomError,
    WebsocketDisconnectedError,
)
from autobahnlike.gateway.handlers import Response, WebsocketEvent
from autobahnlike.gateway.limits import AWS, Limits

__all__ = (
    "AWS",
    "BadRequestError",
    "Blueprint",
    "ChaliceError",
    "DeliveryUnknownError",
    "Gateway",
    "LimitExceededError",
    "Limits",
    "PayloadTooLargeError",
    "Response",
    "RoomError",
    "WebsocketDisconnectedError",
    "WebsocketEvent",
)
