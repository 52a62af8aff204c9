"""Unmodified applications of AWS Chalice, as ASGI 3 applications: ``autobahnlike chalice path/to/app.py``.

The handlers that Chalice has registered are called with the events of API Gateway, as Lambda would call them, in
threads. What they send through ``app.websocket_api`` is sent in this process.

Where we help Chalice, as it is in 1.34:

- A coroutine function that it would never await runs on a loop of asyncio that all of them share, in a thread of its
  own, whatever loop the gateway is on.
- A handler on a ``Blueprint`` it hands to Lambda unwrapped, where every call fails with ``TypeError``. It is wrapped
  here, and a warning says what it would do elsewhere.
- Middleware is collected on the first call, which two threads must not do at once. It is done before.
"""

from __future__ import annotations

import concurrent.futures
import functools
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from chalice.app import Chalice, WebsocketEvent, WebsocketEventSourceHandler
from chalice.config import Config
from starlette.types import Receive, Scope, Send

from autobahnlike.backplane import Backplane
from autobahnlike.gateway.chalice_rest import RestRoutes
from autobahnlike.gateway.chalice_session import hosted_api
from autobahnlike.gateway.connection import refuse
from autobahnlike.gateway.context import LambdaContext
from autobahnlike.gateway.core import Core, Route

__all__ = ("ChaliceHost",)

_log = logging.getLogger("autobahnlike.gateway")

_FLAG = "WEBSOCKETS"
_ROUTES = {"$connect": "on_ws_connect", "$default": "on_ws_message", "$disconnect": "on_ws_disconnect"}
# That the gateway is the one to say that a handler took too long, in seconds.
_GRACE = 1.0
_NO_WEBSOCKETS = '{"message": "Missing Authentication Token"}'


class ChaliceHost:
    """An ASGI application that serves one of Chalice: its WebSockets, its REST routes and the management API.

    Args:
        app: the application. It must not have another host.
        config: its configuration, for the REST routes; that of nothing if None.
        stage: the first part of the path, ``/api/``.
        domain_name: what events call this server; where it listens if None.
        options: others of :class:`autobahnlike.gateway.core.Core`, such as ``limits``, ``keys`` and ``aws_strict``.

    Attributes:
        app: as above.
        core: what serves it.
        has_websockets: whether there is a handler of WebSockets.
        has_routes: whether there is a REST route.

    Raises:
        TypeError: there is no such option.
        ValueError: an option that cannot be used, or two handlers have the same name.
    """

    def __init__(
        self,
        app: Chalice,
        config: Config | None = None,
        *,
        stage: str = "api",
        domain_name: str | None = None,
        **options: Any,
    ) -> None:
        self.app = app
        self.has_websockets = bool(app.websocket_handlers)
        self.has_routes = bool(app.routes)
        self._coroutines = _Coroutines()
        routes: dict[str, Route] = {}
        rest = None
        if self.has_routes:
            rest = RestRoutes(app, config or Config.create(), stage, self.has_websockets, self._run_blocking)
        self.core = Core(routes, stage=stage, domain_name=domain_name, http=rest, **options)
        for route_key, registered in app.websocket_handlers.items():
            handler: Any = app.handler_map[registered.name]
            if getattr(handler, "func", handler) is not registered.handler_function:
                raise ValueError(f"two handlers are named {registered.name}, by which Chalice finds them: rename one")
            routes[route_key] = self._route(registered.name, handler)
        self._warn()
        # The first call wins. So it is not asked for a region, which it would need for the address at AWS.
        app.websocket_api.configure(domain_name or "localhost", stage)
        hosted_api(app.websocket_api, self.core)

    def __repr__(self) -> str:
        return f"<ChaliceHost {self.app.app_name!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, or the lifespan."""
        if scope["type"] == "websocket" and not self.has_websockets:
            # No such API would be deployed; chalice local says the same.
            await receive()
            await refuse(scope, send, 403, _NO_WEBSOCKETS)
            return
        await self.core(scope, receive, send)
        if scope["type"] == "lifespan":
            self._coroutines.stop()

    def use_backplane(self, backplane: Backplane) -> None:
        """Join others through a backplane.

        Args:
            backplane: what joins them.

        Raises:
            RuntimeError: there is one already, or the host was started.
        """
        self.core.use_backplane(backplane)

    async def _run_blocking(self, function: Callable[[], Any]) -> Any:
        return await self.core.run_blocking(function)

    def _route(self, name: str, handler: Any) -> Route:
        timeout = self.core.limits.integration_timeout
        if not isinstance(handler, WebsocketEventSourceHandler):
            _log.warning(
                "%s is on a Blueprint: this Chalice deploys such handlers in a way that makes every call fail with "
                "TypeError. It is called here, but register it with the application itself",
                name,
            )
            handler = WebsocketEventSourceHandler(handler, WebsocketEvent, self.app.websocket_api)
        around = [func for func, kind in self.app.middleware_handlers if kind in ("websocket", "all")]
        handler.middleware_handlers = around
        for middleware in around:
            if inspect.iscoroutinefunction(middleware):
                _log.warning(
                    "the middleware %s is a coroutine function: Chalice does not await it, nor what it calls",
                    middleware.__name__,
                )
        handler.func = functools.partial(self._call, handler.func, timeout)
        return Route(lambda event: handler(event, LambdaContext(name, timeout)))

    def _call(self, function: Callable[[Any], Any], timeout: float, event: Any) -> Any:
        returned = function(event)
        return self._coroutines.run(returned, timeout) if inspect.iscoroutine(returned) else returned

    def _warn(self) -> None:
        app = self.app
        if not self.has_websockets:
            what = "only its REST routes are" if self.has_routes else "nothing is"
            _log.warning("%s has no %s: %s served", app.app_name, ", ".join(_ROUTES.values()), what)
            return
        if _FLAG not in app.experimental_feature_flags:
            _log.warning(
                "%s does not opt in to the feature %s, without which Chalice does not deploy it: "
                "app.experimental_feature_flags.update(['%s'])",
                app.app_name,
                _FLAG,
                _FLAG,
            )
        if app.websocket_api.session is None:
            _log.warning(
                "%s can send nothing: before that, assign app.websocket_api.session to a boto3 session", app.app_name
            )
        if "$default" not in app.websocket_handlers:
            _log.warning('%s has no on_ws_message: every message is answered with "Forbidden"', app.app_name)


class _Coroutines:
    """A loop of asyncio in a thread of its own, which is started when it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: Any = None

    def run(self, coroutine: Coroutine[Any, Any, Any], timeout: float) -> Any:
        """Run a coroutine there, and wait for it in this thread.

        Args:
            coroutine: the coroutine.
            timeout: how many seconds the gateway waits for it, 0 for ever; a little later it is cancelled.
        """
        import asyncio

        future = asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())
        try:
            return future.result(timeout + _GRACE if timeout else None)
        except concurrent.futures.TimeoutError:
            # Or it has raised one of its own, and then there is nothing to cancel.
            future.cancel()
            raise

    def _running_loop(self) -> Any:
        import asyncio

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._run, args=(self._loop,), name="gateway-coroutines", daemon=True).start()
            return self._loop

    @staticmethod
    def _run(loop: Any) -> None:
        import asyncio

        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def stop(self) -> None:
        """End the loop; what still runs there is cancelled."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
