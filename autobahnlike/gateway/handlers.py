"""What handlers are given and return, under Chalice's names, and how they are called."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from autobahnlike.gateway.context import LambdaContext
from autobahnlike.gateway.errors import BadRequestError

__all__ = ("Middleware", "Response", "WebsocketEvent", "WebsocketHandler", "shape")

Middleware: TypeAlias = Callable[[Any, Callable[[Any], Any]], Any]

_UNREAD = object()


class WebsocketEvent:
    """What a handler is given.

    Attributes:
        domain_name: what the gateway is called.
        stage: the stage.
        connection_id: the id of the connection.
        body: the message; None if the client connects or disconnects.
        context: that of the call.
    """

    def __init__(self, event_dict: dict[str, Any], context: Any = None) -> None:
        request = event_dict["requestContext"]
        self.domain_name: str = request["domainName"]
        self.stage: str = request["stage"]
        self.connection_id: str = request["connectionId"]
        self.body: str | None = event_dict.get("body")
        self.context = context
        self._event = event_dict
        self._json: Any = _UNREAD

    def __repr__(self) -> str:
        return f"<WebsocketEvent {self._event['requestContext'].get('routeKey')} {self.connection_id}>"

    @property
    def json_body(self) -> Any:
        """What the message has as JSON.

        Raises:
            BadRequestError: it is not JSON. It is a ``ValueError`` as well.
        """
        if self._json is _UNREAD:
            try:
                self._json = json.loads(self.body or "")
            except (ValueError, RecursionError):
                raise BadRequestError("Error Parsing JSON") from None
        return self._json

    def to_dict(self) -> dict[str, Any]:
        """Return the event of API Gateway."""
        return self._event


class Response:
    """What a handler may return.

    Args:
        body: text, or what JSON has something for.
        headers: header fields; a list is several of one name. Of those of ``$connect``, ``Sec-WebSocket-Protocol``
            reaches the client.
        status_code: 200 to accept a connection, 4xx or 5xx to refuse it.
    """

    def __init__(self, body: Any, headers: Mapping[str, str | list[str]] | None = None, status_code: int = 200) -> None:
        self.body = body
        self.headers = {} if headers is None else headers
        self.status_code = status_code

    def to_dict(self) -> dict[str, Any]:
        """Return the result of a Lambda function."""
        body = self.body if isinstance(self.body, (str, bytes)) else json.dumps(self.body, separators=(",", ":"))
        return {
            "headers": {name: value for name, value in self.headers.items() if not isinstance(value, list)},
            "multiValueHeaders": {name: value for name, value in self.headers.items() if isinstance(value, list)},
            "statusCode": self.status_code,
            "body": body,
        }


def shape(returned: Any) -> dict[str, Any]:
    """Return the result of a Lambda function for what a handler returned: 200 for all but a response and a dict."""
    if isinstance(returned, Response):
        return returned.to_dict()
    if isinstance(returned, dict) and returned:
        return returned if "statusCode" in returned else {"statusCode": 200, **returned}
    return {"statusCode": 200}


class _App(Protocol):
    """What handlers need of the application that they are registered with."""

    @property
    def integration_timeout(self) -> float: ...

    def middleware_for(self, event_type: str) -> Sequence[Middleware]: ...

    async def run_blocking(self, function: Callable[[], Any]) -> Any: ...


class WebsocketHandler:
    """A handler with the middleware around it; to be called like a Lambda function, with an event and a context.

    If it or a middleware is a coroutine function, so is the whole: it runs on the thread of the loop, and a plain
    function in it, in a thread of its own.

    Args:
        func: the function that was decorated.
        name: its name, or the one that the decorator was given.
        has_response: whether the ``body`` of the result is sent back to the client.

    Attributes:
        func: as above, as are ``name`` and ``has_response``.
        app: the application; None as long as it is on a blueprint that was not registered.
    """

    def __init__(self, func: Callable[..., Any], name: str, *, has_response: bool = False) -> None:
        self.func = func
        self.name = name
        self.has_response = has_response
        self.app: _App | None = None
        self._chain: tuple[Sequence[Middleware], bool, Callable[[Any], Any]] | None = None
        functools.update_wrapper(self, func)

    def __repr__(self) -> str:
        return f"<WebsocketHandler {self.name}>"

    @property
    def handler_function(self) -> Callable[..., Any]:
        """The function that was decorated, under Chalice's name for it."""
        return self.func

    @property
    def handler_string(self) -> str:
        """Where it is."""
        return f"app.{getattr(self.func, '__name__', self.name)}"

    @property
    def is_async(self) -> bool:
        """Whether calling it returns an awaitable."""
        return self._resolve()[0]

    def invoke(self, event: dict[str, Any]) -> Any:
        """Call it with a context of our own."""
        timeout = 0.0 if self.app is None else self.app.integration_timeout
        return self(event, LambdaContext(self.name, timeout))

    def __call__(self, event: dict[str, Any], context: Any = None) -> Any:
        """Call the handler.

        Returns:
            The result of a Lambda function, or an awaitable of it; see :attr:`is_async`.
        """
        is_async, call = self._resolve()
        returned = call(WebsocketEvent(event, context))
        return _shape_later(returned) if is_async or inspect.isawaitable(returned) else shape(returned)

    def _resolve(self) -> tuple[bool, Callable[[Any], Any]]:
        # Middleware may be registered behind the handler that it is for.
        around = () if self.app is None else tuple(self.app.middleware_for("websocket"))
        if self._chain is not None and self._chain[0] == around:
            return self._chain[1], self._chain[2]
        is_async = any(_is_coroutine_function(each) for each in (self.func, *around))
        call = self._call_in_thread if is_async and not _is_coroutine_function(self.func) else self.func
        for middleware in reversed(around):
            call = functools.partial(_call_middleware, middleware, call)
        self._chain = around, is_async, call
        return is_async, call

    def _call_in_thread(self, event: WebsocketEvent) -> Awaitable[Any]:
        assert self.app is not None
        return self.app.run_blocking(functools.partial(self.func, event))


def _call_middleware(middleware: Middleware, get_response: Callable[[Any], Any], event: Any) -> Any:
    return middleware(event, get_response)


async def _shape_later(returned: Any) -> dict[str, Any]:
    while inspect.isawaitable(returned):
        returned = await returned
    return shape(returned)


def _is_coroutine_function(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or (
        # An object that is called, and a function behind functools.partial.
        inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
    )
