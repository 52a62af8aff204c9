"""``Gateway``: applications of three functions, under Chalice's names, as an ASGI 3 application."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from autobahnlike.backplane.interface import Backplane, Health
from autobahnlike.gateway.api import WebsocketAPI
from autobahnlike.gateway.core import Core, Counters
from autobahnlike.gateway.handlers import Middleware, WebsocketHandler
from autobahnlike.gateway.rooms import Rooms
from autobahnlike.gateway.routes import CONNECT, DEFAULT, DISCONNECT

__all__ = ("Blueprint", "FeatureFlags", "Gateway")

_DECORATORS = {CONNECT: "on_ws_connect", DEFAULT: "on_ws_message", DISCONNECT: "on_ws_disconnect"}
_EVENT_TYPES = ("all", "websocket")


class FeatureFlags(set[str]):
    """What Chalice calls ``experimental_feature_flags``. Nothing depends on them here.

    One of Chalice's documents adds to them with ``update``, the other one with ``extend``.
    """

    def extend(self, flags: Iterable[str]) -> None:
        """Add flags."""
        self.update(flags)


class _Decorators:
    """The decorators that applications and blueprints have."""

    def _register(self, route_key: str, handler: WebsocketHandler) -> None:
        raise NotImplementedError

    def register_middleware(self, func: Middleware, event_type: str = "all") -> None:
        """See :meth:`middleware`."""
        raise NotImplementedError

    def on_ws_connect(self, name: str | None = None) -> Callable[[Callable[..., Any]], WebsocketHandler]:
        """Return a decorator for the function that is called when a client wants to connect.

        It is given a :class:`~autobahnlike.gateway.WebsocketEvent`. It refuses the client by returning a ``statusCode``
        of 400 or more, or with an exception; and chooses a subprotocol with the header ``Sec-WebSocket-Protocol``.

        Args:
            name: a name for it, besides its own.

        Raises:
            ValueError: there is one already. The decorator raises it.
        """
        return self._decorator(CONNECT, name, has_response=False)

    def on_ws_message(self, name: str | None = None) -> Callable[[Callable[..., Any]], WebsocketHandler]:
        """Return a decorator for the function that is called with every message that has no route of its own.

        What it returns is not sent to the client: use ``app.websocket_api.send()``.

        Args:
            name: a name for it, besides its own.

        Raises:
            ValueError: there is one already. The decorator raises it.
        """
        return self._decorator(DEFAULT, name, has_response=False)

    def on_ws_disconnect(self, name: str | None = None) -> Callable[[Callable[..., Any]], WebsocketHandler]:
        """Return a decorator for the function that is called when a connection has ended.

        Args:
            name: a name for it, besides its own.

        Raises:
            ValueError: there is one already. The decorator raises it.
        """
        return self._decorator(DISCONNECT, name, has_response=False)

    def on_ws_route(
        self, route_key: str, name: str | None = None, *, response: bool = False
    ) -> Callable[[Callable[..., Any]], WebsocketHandler]:
        """Return a decorator for the function that is called with the messages of a route, as API Gateway has them.

        Which route a message has is the text at the route selection expression, in JSON by default at ``action``.

        Args:
            route_key: that text; ``$default`` is :meth:`on_ws_message`.
            name: a name for the function, besides its own.
            response: whether the ``body`` of what it returns is sent to the client.

        Raises:
            ValueError: there is one already. The decorator raises it.
        """
        if not route_key or route_key in (CONNECT, DISCONNECT):
            raise ValueError(f"no message has the route {route_key!r}")
        return self._decorator(route_key, name, has_response=response)

    def middleware(self, event_type: str = "all") -> Callable[[Middleware], Middleware]:
        """Return a decorator for a function that is called around handlers.

        It is called with an event and a function ``get_response``, calls that with the event, or does not, and returns
        what it returned, or something else. What was registered first is outermost.

        Args:
            event_type: ``"websocket"`` or ``"all"``, which is the same here.

        Raises:
            ValueError: another type. The decorator raises it.
        """

        def register(func: Middleware) -> Middleware:
            self.register_middleware(func, event_type)
            return func

        return register

    def _decorator(
        self, route_key: str, name: str | None, *, has_response: bool
    ) -> Callable[[Callable[..., Any]], WebsocketHandler]:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the decorator is to be called: @app.{_DECORATORS.get(route_key, 'on_ws_route')}()")

        def register(func: Callable[..., Any]) -> WebsocketHandler:
            handler = WebsocketHandler(func, name or func.__name__, has_response=has_response)
            self._register(route_key, handler)
            return handler

        return register


class Gateway(_Decorators):
    """An application of functions that are called when clients connect, send and disconnect. It is an ASGI application.

    ::

        app = Gateway(app_name="echo")

        @app.on_ws_message()
        def message(event):
            app.websocket_api.send(event.connection_id, event.body)

    Handlers are plain functions, which run in threads, or coroutine functions. Those of one connection are called one
    after the other.

    Args:
        app_name: a name for it.
        options: those of :class:`autobahnlike.gateway.core.Core`: ``stage``, ``limits``, ``backplane``, ``keys``,
            ``aws_strict``, ``selection``, ``concurrency`` and more.

    Attributes:
        app_name: as above.
        websocket_api: sends to connections.
        rooms: groups of connections that are sent the same.
        experimental_feature_flags: nothing depends on them here.
        websocket_handlers: the handlers by their route key.
        handler_map: the handlers by their name.
        log: a logger of that name.
        core: what serves it.

    Raises:
        TypeError: there is no such option.
        ValueError: an option that cannot be used.
    """

    def __init__(self, app_name: str = "gateway", **options: Any) -> None:
        self.app_name = app_name
        self.log = logging.getLogger(app_name)
        self.websocket_handlers: dict[str, WebsocketHandler] = {}
        self.handler_map: dict[str, WebsocketHandler] = {}
        self.experimental_feature_flags = FeatureFlags()
        self._middleware: list[tuple[Middleware, str]] = []
        self.core = Core(self.websocket_handlers, **options)
        self.websocket_api = WebsocketAPI(self.core)
        self.rooms = Rooms(self.core)

    def __repr__(self) -> str:
        return f"<Gateway {self.app_name!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, or the lifespan."""
        await self.core(scope, receive, send)

    @property
    def health(self) -> Health:
        """Whether all is well, other nodes included."""
        return self.core.health

    @property
    def server_options(self) -> dict[str, Any]:
        """What to give to a server of ours as ``ServerOptions(websocket=...)``; see ``Limits.server_options``."""
        return self.core.limits.server_options()

    @property
    def counters(self) -> Counters:
        """What has happened up to now."""
        return self.core.counters

    def use_backplane(self, backplane: Backplane) -> None:
        """Join others through a backplane; ``autobahnlike serve --backplane`` calls this.

        Args:
            backplane: what joins them.

        Raises:
            RuntimeError: there is one already, or the gateway was started.
        """
        self.core.use_backplane(backplane)

    def register_blueprint(
        self, blueprint: Blueprint, name_prefix: str | None = None, url_prefix: str | None = None
    ) -> None:
        """Register the handlers and the middleware of a blueprint.

        Args:
            blueprint: the blueprint.
            name_prefix: what the names of its handlers are to begin with.
            url_prefix: means nothing here.

        Raises:
            ValueError: there is a handler of the same kind already.
        """
        blueprint.register(self, name_prefix or "")

    def register_middleware(self, func: Middleware, event_type: str = "all") -> None:
        """See :meth:`middleware`.

        Raises:
            ValueError: there is no such type of events.
        """
        if event_type not in _EVENT_TYPES:
            raise ValueError(f"the events here are of the types {' and '.join(_EVENT_TYPES)}, not {event_type!r}")
        self._middleware.append((func, event_type))

    def _register(self, route_key: str, handler: WebsocketHandler) -> None:
        if route_key in self.websocket_handlers:
            what = _DECORATORS.get(route_key)
            raise ValueError(
                f"Duplicate websocket handler: '{what or route_key}'. There can only be one handler for each "
                f"websocket {'decorator' if what else 'route'}."
            )
        handler.app = self
        self.websocket_handlers[route_key] = handler
        self.handler_map[handler.name] = handler

    # -- What handlers need

    @property
    def integration_timeout(self) -> float:
        """How long a handler may take, in seconds."""
        return self.core.limits.integration_timeout

    def middleware_for(self, event_type: str) -> Sequence[Middleware]:
        """Return the middleware for a type of events, the outermost first."""
        return [func for func, each in self._middleware if each in ("all", event_type)]

    async def run_blocking(self, function: Callable[[], Any]) -> Any:
        """Run a function in a thread."""
        return await self.core.run_blocking(function)


class Blueprint(_Decorators):
    """Handlers and middleware that are registered with an application later, from another module.

    Args:
        import_name: the name of the module.
    """

    def __init__(self, import_name: str) -> None:
        self._import_name = import_name
        self._app: Gateway | None = None
        self._handlers: list[tuple[str, WebsocketHandler]] = []
        self._middleware: list[tuple[Middleware, str]] = []

    @property
    def current_app(self) -> Gateway:
        """The application.

        Raises:
            RuntimeError: it was not registered with one yet.
        """
        if self._app is None:
            raise RuntimeError("Can only access Blueprint.current_app if it's registered to an app.")
        return self._app

    @property
    def websocket_api(self) -> WebsocketAPI:
        """That of the application; see :attr:`current_app`."""
        return self.current_app.websocket_api

    @property
    def rooms(self) -> Rooms:
        """Those of the application; see :attr:`current_app`."""
        return self.current_app.rooms

    @property
    def log(self) -> logging.Logger:
        """That of the application; see :attr:`current_app`."""
        return self.current_app.log

    def register(self, app: Gateway, name_prefix: str = "") -> None:
        """Register everything with an application: see :meth:`Gateway.register_blueprint`."""
        self._app = app
        for func, event_type in self._middleware:
            app.register_middleware(func, event_type)
        for route_key, handler in self._handlers:
            handler.name = f"{name_prefix}{handler.name}"
            app._register(route_key, handler)

    def register_middleware(self, func: Middleware, event_type: str = "all") -> None:
        """See :meth:`middleware`."""
        self._middleware.append((func, event_type))

    def _register(self, route_key: str, handler: WebsocketHandler) -> None:
        self._handlers.append((route_key, handler))
