"""The exceptions under the name of the module that Bocadillo's older versions have; see :mod:`.errors`."""

from __future__ import annotations

from autobahnlike.app.errors import (
    ExpectedAsync,
    HTTPError,
    ParameterError,
    RouteDeclarationError,
    WebSocketDisconnect,
)

__all__ = ("ExpectedAsync", "HTTPError", "ParameterError", "RouteDeclarationError", "WebSocketDisconnect")
