"""The test client: an application is asked in memory, without a server. Starlette's, with our exceptions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import anyio
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect as StarletteWebSocketDisconnect

from autobahnlike.app.errors import WebSocketDisconnect

with warnings.catch_warnings():
    try:
        from starlette.exceptions import StarletteDeprecationWarning
    except ImportError:  # an older Starlette, which has no reason to warn
        pass
    else:
        # It would rather have httpx2, but works with httpx, of which there are more.
        warnings.simplefilter("ignore", StarletteDeprecationWarning)
    try:
        from starlette import testclient
    except (ImportError, RuntimeError) as error:
        raise ImportError("the test client needs httpx: pip install 'autobahnlike[testing]'") from error

__all__ = ("TestClient", "WebSocketSession")


# What takes the place of an event when the application has ended.
_ENDED = "autobahnlike.testing.ended"

# How many seconds a view may go on after the client has gone, before it is cancelled.
_PARTING_TIME = 5.0


class WebSocketSession:
    """A WebSocket to the application: a context manager, which connects, and closes with code 1000 if still open.

    When the block is left, the view may run to its end. An exception that it has not caught is raised in the test:
    there, or by what wants to receive more from it.
    """

    __test__ = False

    def __init__(self, session: testclient.WebSocketTestSession) -> None:
        self._session = session
        self._app = session.app
        self._error: Exception | None = None
        self._is_closed = False
        self._has_ended = False
        # Starlette's session cancels the application when the block is left, and forgets what it has sent when it
        # raises an exception: what is seen of that depends on which thread is faster.
        session.app = self._run
        session.receive = self._receive  # type: ignore[method-assign]
        self._get = type(session).receive.__get__(session)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._end = anyio.Event()
        try:
            await self._app(scope, receive, send)
        except Exception as exc:
            self._error = exc
        self._end.set()
        await send({"type": _ENDED})

    def _receive(self) -> Any:
        event = {"type": _ENDED} if self._has_ended else self._get()
        if event["type"] != _ENDED:
            return event
        self._has_ended = True
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        raise RuntimeError("there is nothing to receive: the application has ended")

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            WebSocketDisconnect: the application refuses; its code is the HTTP status 403.
            Exception: what the application raised before it has accepted or refused.
        """
        self._call(self._session.__enter__)
        return self

    def __exit__(self, *exc_info: Any) -> None:
        """Close, and wait for the end of the view.

        Raises:
            Exception: what the view raised.
        """
        if not self._is_closed:
            self._session.close(1000)
        self._session.portal.call(self._wait)
        self._session.__exit__(*exc_info)
        if self._error is not None:
            raise self._error

    async def _wait(self) -> None:
        with anyio.move_on_after(_PARTING_TIME):
            await self._end.wait()

    @property
    def accepted_subprotocol(self) -> str | None:
        """The subprotocol that the application has chosen, or None."""
        return self._session.accepted_subprotocol

    @property
    def extra_headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields with which it has accepted."""
        return self._session.extra_headers or []

    @property
    def scope(self) -> Any:
        """The ASGI scope."""
        return self._session.scope

    def send(self, event: dict[str, Any]) -> None:
        """Give the application an ASGI event."""
        self._session.send(event)

    def send_text(self, data: str) -> None:
        """Send a text message."""
        self._session.send_text(data)

    def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        self._session.send_bytes(data)

    def send_json(self, data: Any, mode: str = "text") -> None:
        """Send a value as JSON, in a ``"text"`` or a ``"binary"`` message."""
        self._session.send_json(data, mode=mode)  # type: ignore[arg-type]

    def receive(self) -> dict[str, Any]:
        """Return the next ASGI event of the application, ``websocket.close`` among them."""
        return dict(self._receive())

    def receive_text(self) -> str:
        """Return the next message.

        Raises:
            WebSocketDisconnect: the application has closed; it has the code.
            KeyError: it is binary.
        """
        text: str = self._call(self._session.receive_text)
        return text

    def receive_bytes(self) -> bytes:
        """Return the next message, which is binary; errors as those of :meth:`receive_text`."""
        data: bytes = self._call(self._session.receive_bytes)
        return data

    def receive_json(self, mode: str = "text") -> Any:
        """Return the value of the next message, which is JSON; errors as those of :meth:`receive_text`."""
        return self._call(lambda: self._session.receive_json(mode=mode))  # type: ignore[arg-type]

    def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close from the client's side."""
        self._is_closed = True
        self._session.close(code, reason)

    @staticmethod
    def _call(function: Any) -> Any:
        try:
            return function()
        except StarletteWebSocketDisconnect as exc:
            if type(exc) is not StarletteWebSocketDisconnect:  # ours, or a response that denies the handshake
                raise
            raise WebSocketDisconnect(exc.code, exc.reason) from None


class TestClient(testclient.TestClient):
    """Starlette's test client; ``websocket_connect`` gives a :class:`WebSocketSession`."""

    __test__ = False

    def websocket_connect(  # type: ignore[override]
        self, url: str, subprotocols: Sequence[str] | None = None, **kwargs: Any
    ) -> WebSocketSession:
        """Return a WebSocket to the application, to be entered.

        Args:
            url: its path, and the query if there is one.
            subprotocols: what the client offers.
            kwargs: ``headers`` and other arguments of a request.
        """
        kwargs["headers"] = dict(kwargs.get("headers") or {})
        return WebSocketSession(super().websocket_connect(url, subprotocols, **kwargs))
