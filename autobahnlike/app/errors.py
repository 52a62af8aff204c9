"""Every exception of ``app`` on purpose, in one tree.

::

    Exception
    ├── WebSocketDisconnect           the client has gone; carries .code and .reason
    │   └── SendAfterDisconnect       found out while sending (also OSError, as ASGI 2.4 says)
    ├── HTTPError                     an HTTP view answers with an error status
    ├── ParameterError                a path or query parameter is not what the view asked for (also ValueError)
    ├── RouteDeclarationError         a route that cannot work; raised where it is declared (also TypeError, ValueError)
    │   └── ExpectedAsync             a WebSocket view that is no coroutine function
    └── ConnectionRejected            the view went on after it had rejected the connection (also RuntimeError)

``WebSocketDisconnect`` derives from Starlette's exception of the same name, so that code which catches either works.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.websockets import WebSocketDisconnect as StarletteWebSocketDisconnect

__all__ = (
    "ConnectionRejected",
    "ExpectedAsync",
    "HTTPError",
    "ParameterError",
    "RouteDeclarationError",
    "SendAfterDisconnect",
    "WebSocketDisconnect",
)


class WebSocketDisconnect(StarletteWebSocketDisconnect):
    """The client has closed the connection, or it was lost.

    Args:
        code: the close code of the client; 1005 if it gave none, 1006 if the connection was lost without one (RFC 6455,
            section 7.1.5).
        reason: the text that went with the code.
        connection: the :class:`~autobahnlike.app.websocket.WebSocket` that it happened to, None if not known. A view
            that sends to the connections of others can tell by it whose client has gone.

    Attributes:
        code: as above.
        reason: as above; empty if there was none.
        connection: as above.
    """

    def __init__(self, code: int = 1000, reason: str | None = None, *, connection: Any = None) -> None:
        super().__init__(code, reason)
        # Whatever way the code was given, str() is the code.
        self.args = (code,)
        self.connection = connection


class SendAfterDisconnect(WebSocketDisconnect, OSError):
    """A message was sent to a client that has gone.

    Views catch it as the disconnect that it is. Where none does, it reaches the server as the ``OSError`` with which
    its ``send`` has failed, which servers do not log as an error (ASGI HTTP and WebSocket specification 2.4).
    """

    def __str__(self) -> str:
        return str(self.code)


class HTTPError(Exception):
    """Raised in an HTTP view to answer with an error status.

    Args:
        status: the status code, 100 to 599, as a number that :class:`http.HTTPStatus` knows.
        detail: what else to tell the client; has to be serialisable for handlers that answer in JSON.
        headers: header fields for the response.

    Attributes:
        detail: as above.
        headers: as above, as a dictionary.

    Raises:
        ValueError: there is no such status.
    """

    def __init__(self, status: int | HTTPStatus, detail: Any = "", headers: Mapping[str, str] | None = None) -> None:
        self._status = HTTPStatus(status)
        self.detail = detail
        self.headers = dict(headers or {})
        super().__init__(self._status, detail)

    @property
    def status_code(self) -> int:
        """The status code: 404."""
        return self._status.value

    @property
    def status_phrase(self) -> str:
        """The standard's words for it: ``Not Found``."""
        return self._status.phrase

    @property
    def title(self) -> str:
        """Both: ``404 Not Found``."""
        return f"{self.status_code} {self.status_phrase}"

    def as_json(self) -> dict[str, Any]:
        """Return the body of an error response in JSON: ``error``, ``status``, and ``detail`` if there is one."""
        body: dict[str, Any] = {"error": self.title, "status": self.status_code}
        if self.detail:
            body["detail"] = self.detail
        return body

    def __str__(self) -> str:
        return self.title


class ParameterError(ValueError):
    """Path or query parameters of a request are not what the view asked for.

    Args:
        errors: what is wrong, by the name of the parameter.
        values: what was given, by the name of the parameter.

    Attributes:
        errors: as above.
        values: as above.
        name: the first parameter that is wrong.
        value: what was given for it.
        reason: what is wrong with it.
    """

    def __init__(self, errors: Mapping[str, str], values: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        self.values = dict(values)
        self.name = next(iter(self.errors))
        self.value = self.values[self.name]
        self.reason = self.errors[self.name]
        super().__init__(
            "; ".join(f"parameter {name!r}: {self.values[name]!r} {reason}" for name, reason in self.errors.items())
        )


class RouteDeclarationError(TypeError, ValueError):
    """A route that cannot work: its pattern, its view or its options."""


class ExpectedAsync(RouteDeclarationError):
    """A WebSocket view that is no coroutine function."""


class ConnectionRejected(RuntimeError):
    """A connection was used after ``reject()`` had refused it.

    In a view whose connection is accepted automatically it ends the view, and is not logged as an error.

    Attributes:
        connection: the ``WebSocket``.
    """

    def __init__(self, message: str, connection: Any) -> None:
        super().__init__(message)
        self.connection = connection
