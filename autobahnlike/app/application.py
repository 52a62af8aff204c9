"""The application: routes, middleware, error handlers and events, as one ASGI 3 application."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from starlette.datastructures import URL
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autobahnlike.app.errors import HTTPError, RouteDeclarationError
from autobahnlike.app.following import leave_all
from autobahnlike.app.http import ErrorHandlers, HTTPRoute, Middleware, error_to_text
from autobahnlike.app.messages import Request, Response
from autobahnlike.app.origin import SAME_ORIGIN, OriginPolicy
from autobahnlike.app.paths import full_path
from autobahnlike.app.providers import SCOPE_KEY, STORE, AppProviders, Injection
from autobahnlike.app.routing import Mount, Route, Router, WebSocketRoute
from autobahnlike.app.settings import setting
from autobahnlike.app.view import refuse

if TYPE_CHECKING:
    from autobahnlike.app.node import AppNode
    from autobahnlike.app.rooms import Policy, Room
    from autobahnlike.backplane import Backplane, Health

__all__ = ("API", "App")

_F = TypeVar("_F", bound=Callable[..., Any])

_log = logging.getLogger("autobahnlike.app")


class App:
    """An application of WebSocket and HTTP views. It is an ASGI 3 application, for any server.

    ::

        app = App()

        @app.websocket_route("/echo")
        async def echo(ws):
            async for message in ws:
                await ws.send(message)

    The module ``providerconf`` is imported, if there is one, when an application is made.

    Args:
        name: a name for it.
        allowed_origins: which web pages may connect to its WebSockets, besides its own; a route may say otherwise.
            None if only those of the same origin, ``"*"`` is all, else origins like ``"https://example.com"`` or
            ``"https://*.example.com"``. What is no browser sends no origin and may connect.
        debug: whether clients are shown the traceback of an exception that an HTTP view did not catch.

    Attributes:
        name: as above.
        debug: as above.
        router: the routes.
        origin_policy: what became of ``allowed_origins``.
        providers: the values of the providers of scope ``"app"``.

    Raises:
        ValueError: ``allowed_origins`` has something that is no origin.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        allowed_origins: OriginPolicy | Collection[str] | str | None = None,
        debug: bool = False,
    ) -> None:
        self.name = name
        self.debug = debug
        self.router = Router()
        if not isinstance(allowed_origins, OriginPolicy):
            allowed_origins = SAME_ORIGIN if allowed_origins is None else OriginPolicy(allowed_origins)
        self.origin_policy = allowed_origins
        self.providers = AppProviders()
        self._events: dict[str, list[Callable[[], Any]]] = {"startup": [], "shutdown": []}
        self._errors = ErrorHandlers()
        # The outermost first: ASGI middleware, which sees everything; then the middleware for HTTP views.
        self._asgi: ASGIApp = self._serve
        self._http: ASGIApp = self._route_http
        # For rooms by name and backplanes; None as long as there are none.
        self._node: AppNode | None = None
        self._is_started = False
        STORE.discover_default()

    def __repr__(self) -> str:
        return f"<App {self.name!r}>" if self.name else "<App>"

    # -- Routes

    def route(
        self, pattern: str, methods: Sequence[str] | Callable[..., Any] | None = None
    ) -> Callable[[Any], HTTPRoute]:
        """Return a decorator that registers an HTTP view.

        Args:
            pattern: the pattern of its paths, see :mod:`autobahnlike.app.routing`.
            methods: the HTTP methods that a function answers; GET, and with it HEAD, if None; all if the builtin
                ``all``. A class has its methods.

        Raises:
            RouteDeclarationError: the pattern cannot be used. The decorator raises it for the view.
        """
        return self.router.route(pattern, methods)  # type: ignore[arg-type]

    def websocket_route(
        self,
        pattern: str,
        *,
        auto_accept: bool = True,
        value_type: str | None = None,
        receive_type: str | None = None,
        send_type: str | None = None,
        caught_close_codes: Collection[int] | Callable[..., Any] | None = None,
        catch_disconnect: bool | None = None,
        allowed_origins: OriginPolicy | Collection[str] | str | None = None,
    ) -> Callable[[Callable[..., Any]], WebSocketRoute]:
        """Return a decorator that registers a WebSocket view; see :meth:`.routing.Router.websocket_route`.

        Args:
            pattern: the pattern of its paths.
            auto_accept: whether to accept the connection before, and to close it after the view.
            value_type: sets both of the following.
            receive_type: what ``receive()`` returns: ``"text"``, ``"bytes"``, ``"json"`` or ``"event"``.
            send_type: what ``send()`` takes, of the same.
            caught_close_codes: the close codes of the client that are no error for the view; 1000 and 1001 if None,
                ``all`` for all codes, ``()`` for none.
            catch_disconnect: an older form of it: True for all codes, False for none.
            allowed_origins: the origins of web pages that may connect; those of the application if None.

        Raises:
            RouteDeclarationError: an option or the pattern is not valid. The decorator raises it for the view.
        """
        return self.router.websocket_route(
            pattern,
            auto_accept=auto_accept,
            value_type=value_type,
            receive_type=receive_type,
            send_type=send_type,
            caught_close_codes=caught_close_codes,
            catch_disconnect=catch_disconnect,
            allowed_origins=allowed_origins,
        )

    def include_router(self, router: Router, prefix: str = "") -> None:
        """Register the routes of a router.

        Args:
            router: the router; what is registered with it later is not included.
            prefix: what their paths start with.
        """
        self.router.include_router(router, prefix)

    def mount(self, prefix: str, app: ASGIApp) -> None:
        """Hand all connections below a prefix to another ASGI application, which sees them without the prefix.

        Web pages of other origins are refused for it as for views, unless it is an ``App``, which has its own rule.
        Its lifespan is its own matter: startup and shutdown are those of the outermost application. An ``App`` has its
        backplane started and stopped with it, or takes part in that of the outer one.

        Args:
            prefix: the path below which it is found.
            app: the application.

        Raises:
            RouteDeclarationError: it is no ASGI 3 application.
        """
        try:
            inspect.signature(app).bind("scope", "receive", "send")
        except TypeError:
            raise RouteDeclarationError(
                f"what is mounted at {prefix!r} is no ASGI 3 application, which takes (scope, receive, send): {app!r}; "
                "one of WSGI can be wrapped, for example with a2wsgi's WSGIMiddleware"
            ) from None
        except ValueError:
            pass  # something built-in that does not tell
        self.router.mount(prefix, app)

    def url_for(self, name: str, /, **parameters: Any) -> str:
        """Return the path of the first route to a view.

        Args:
            name: the name of the function or class.
            parameters: the parameters of the route's pattern.

        Raises:
            LookupError: there is no view of that name.
            ValueError: the parameters are not those of the pattern.
        """
        for route in self.router.routes:
            if isinstance(route, HTTPRoute | WebSocketRoute) and route.name == name:
                return route.path.build(**parameters)
        raise LookupError(f"there is no route to a view called {name!r}")

    # -- Rooms, also over many processes

    def room(self, name: str, *, policy: Policy = "wait", limit: int = 64, limit_bytes: int = 1024 * 1024) -> Room:
        """Return the room of a name: the same one for the same name.

        With a backplane, it is the room of that name in all processes: a message is published there, and sent to the
        members when it comes back, so that all members see one order. :meth:`.Room.broadcast` then raises, besides
        what it raises otherwise,

        - :exc:`.BackplaneUnavailable`: nobody got the message, also not in this process: the backplane is away;
        - :exc:`.PublishUncertain`: everybody may have got it, or nobody;
        - :exc:`.RoomMessageTooLarge`: nobody got it: it is larger than the backplane carries;
        - ``RuntimeError``: the application was not started, or has ended.

        With the policy ``"wait"``, it returns when the message was sent to all members in this process. What other
        processes broadcast cannot be waited for: a member whose outbox is full then is disconnected with 1013, as with
        ``"disconnect"``. If the backplane loses messages of a room, its members are disconnected with 1012, so that
        nobody misses one without knowing.

        A room is forgotten when nobody holds it, nobody is in it, and everything was sent.

        Args:
            name: its name, of 1 to 256 bytes of UTF-8.
            policy: see :class:`.Room`.
            limit: see there.
            limit_bytes: see there.

        Raises:
            ValueError: the name or an option is not usable, or there is a room of that name with other options.
        """
        return self._as_node().rooms.get(name, policy=policy, limit=limit, limit_bytes=limit_bytes)

    def use_backplane(self, backplane: Backplane) -> None:
        """Have the rooms of :meth:`room` reach over all processes with the same backplane.

        It is started with the application, before its ``"startup"`` handlers, or with the first connection if the
        server knows no lifespan; and stopped after its ``"shutdown"`` handlers.

        Args:
            backplane: such as a :class:`~autobahnlike.backplane.redis.RedisBackplane`; of this application only.

        Raises:
            RuntimeError: there is one already, or the application was started.
        """
        node = self._as_node()
        if node.backplane is not None:
            raise RuntimeError(
                f"the application has a backplane already: {node.backplane!r}; it can be given in the code or on the "
                "command line, not both"
            )
        if self._is_started or node.is_started:
            raise RuntimeError("the application was started: give it its backplane before, where it is made")
        node.use(backplane)

    @property
    def health(self) -> Health:
        """Whether all is well, the backplane and mounted applications included."""
        return self._as_node().health

    def _as_node(self) -> AppNode:
        if self._node is None:
            from autobahnlike.app.node import AppNode

            self._node = AppNode(lambda: [app._as_node() for app in self._mounted_apps()])
        return self._node

    def _mounted_apps(self) -> list[App]:
        mounts = [route for route in self.router.routes if isinstance(route, Mount)]
        return [mount.app for mount in mounts if isinstance(mount.app, App)]

    def _has_backplane(self) -> bool:
        has_one = self._node is not None and self._node.rooms.backplane is not None
        return has_one or any(app._has_backplane() for app in self._mounted_apps())

    # -- What goes with all of them

    def add_middleware(self, middleware_cls: Callable[..., Any], **kwargs: Any) -> None:
        """Wrap the application in a middleware; what was added last is outermost.

        Args:
            middleware_cls: a subclass of :class:`~autobahnlike.app.http.Middleware`, or anything that makes an ASGI 3
                application of another: ``middleware_cls(app, **kwargs)``.
            kwargs: its arguments.

        Raises:
            ValueError: it is of ASGI 2.
        """
        if inspect.isclass(middleware_cls):
            if issubclass(middleware_cls, Middleware):
                self._http = middleware_cls(self._http, **kwargs)
                return
            if not {"receive", "send"} & set(inspect.signature(middleware_cls.__call__).parameters):
                raise ValueError(
                    f"ASGI middleware class {middleware_cls.__name__} seems to be using the legacy ASGI2 interface. "
                    "Please upgrade to ASGI3: (scope, receive, send) -> None"
                )
        self._asgi = middleware_cls(self._asgi, **kwargs)

    # The name that it had in older versions of Bocadillo.
    add_asgi_middleware = add_middleware

    def add_error_handler(self, exception_cls: type[BaseException], handler: Callable[..., Any]) -> None:
        """Have a coroutine function answer HTTP requests whose view raised an exception.

        Args:
            exception_cls: the class of the exception; its subclasses without a handler of their own are included.
            handler: called with the request, the response, which it fills in, and the exception.

        Raises:
            TypeError: it is no exception class.
            ExpectedAsync: the handler is no coroutine function.
        """
        self._errors.add(exception_cls, handler)

    def error_handler(self, exception_cls: type[BaseException]) -> Callable[[_F], _F]:
        """Return a decorator that does what :meth:`add_error_handler` does."""

        def register(handler: _F) -> _F:
            self.add_error_handler(exception_cls, handler)
            return handler

        return register

    @overload
    def on(self, event: str, handler: None = None) -> Callable[[_F], _F]: ...

    @overload
    def on(self, event: str, handler: _F) -> _F: ...

    def on(self, event: str, handler: Any = None) -> Any:
        """Have something done when the server starts or stops.

        Args:
            event: ``"startup"``: before the first connection, or ``"shutdown"``: after the last.
            handler: a function or coroutine function without parameters. If None, this is a decorator.

        Raises:
            ValueError: there is no such event.
        """
        if event not in self._events:
            raise ValueError(f'there is no event {event!r}: it is "startup" or "shutdown"')
        if handler is None:
            return lambda handler: self.on(event, handler)
        self._events[event].append(handler)
        return handler

    def run(self, host: str = "127.0.0.1", port: int = 8000, *, loop: str = "asyncio", **options: Any) -> None:
        """Serve the application until the process is told to stop.

        Args:
            host: the address to listen on.
            port: the port.
            loop: ``"asyncio"``, ``"uvloop"``, ``"twisted"`` or ``"twisted-asyncio"``.
            options: those of :func:`autobahnlike.asgi.run` and the attributes of
                :class:`autobahnlike.asgi.ServerOptions`; ``debug=True`` sets :attr:`debug`.

        Raises:
            TypeError: there is no such option.
            CannotServe: the address cannot be listened on, or the loop is not installed.
        """
        self.debug = bool(options.pop("debug", self.debug))
        serve(self, host, port, loop=loop, **options)

    # -- ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, or the lifespan of the application."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if not self._is_started:
            # For servers that do not know the lifespan, and applications that are mounted.
            await self._join_others()
        scope = {**scope, "app": self}
        # An application mounted in another one of ours shares its providers.
        scope.setdefault(SCOPE_KEY, self.providers)
        if scope["type"] == "websocket":
            await self._asgi(scope, receive, send)
        elif scope["type"] == "http":
            await self._guarded(self._asgi, scope, receive, send)
        else:
            raise ValueError(f"unknown type of ASGI scope: {scope['type']!r}")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what has passed the ASGI middleware."""
        if scope["type"] == "websocket":
            await self._route_websocket(scope, receive, send)
        else:
            # Here too, so that the answer to an exception of a view passes the middleware on its way out.
            await self._guarded(self._respond, scope, receive, send)

    async def _route_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.router.find(scope)
        if found is None:
            _log.info("WebSocket to %r refused with HTTP 403: no route leads there", full_path(scope))
            await refuse(send)
            return
        route, scope = found
        if isinstance(route, Mount) and not isinstance(route.app, App):
            reason = self.origin_policy.refusal(scope)
            if reason is not None:
                _log.warning("WebSocket to %r refused with HTTP 403: %s", full_path(scope), reason)
                await refuse(send)
                return
        try:
            await route(scope, receive, send)
        finally:
            leave_all(scope)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "req": (req := Request(scope, receive)), "res": Response(req)}
        sending = _Sending(send)
        try:
            await self._http(scope, receive, sending)
        except Exception as error:
            if sending.has_begun:
                raise
            await self._errors.handle(req, scope["res"], error)
        if not sending.has_begun:
            await scope["res"](scope, receive, sending)

    async def _route_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.router.find(scope)
        if found is not None:
            route, scope = found
            if isinstance(route, HTTPRoute):
                scope["req"].scope = scope
                await route.respond(scope["req"], scope["res"])
            else:
                await route(scope, receive, send)
        elif not scope["path"].endswith("/") and setting("REDIRECT_TRAILING_SLASH", True):
            self._redirect_to_slash(scope)
        else:
            raise HTTPError(404)

    def _redirect_to_slash(self, scope: Scope) -> None:
        if self.router.find({**scope, "path": full_path(scope) + "/"}) is None:
            raise HTTPError(404)
        # The whole URL: a path that begins with two slashes would by itself lead to another host.
        url: URL = scope["req"].url
        res: Response = scope["res"]
        res.status_code = 302
        res.headers["location"] = str(url.replace(path=url.path + "/"))

    async def _guarded(self, inner: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer exceptions that nobody else has answered, and raise what is an error of the application again."""
        sending = _Sending(send)
        try:
            await inner(scope, receive, sending)
        except Exception as error:
            if sending.has_begun:
                raise
            req = Request(scope, receive)
            res = Response(req)
            try:
                await self._errors.handle(req, res, error)
            except Exception as unhandled:
                detail = traceback.format_exc() if self.debug else ""
                await error_to_text(req, res, HTTPError(500, detail=detail))
                await res(scope, receive, sending)
                raise unhandled from None
            await res(scope, receive, sending)

    # -- The lifespan

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except _Misconfigured as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        except Exception:
            await send({"type": "lifespan.startup.failed", "message": traceback.format_exc()})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await self._stop()
        except Exception:
            await send({"type": "lifespan.shutdown.failed", "message": traceback.format_exc()})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    async def _join_others(self) -> None:
        if self._has_backplane():
            await self._as_node().start()
        self._is_started = True

    async def _leave_others(self) -> None:
        self._is_started = False
        if self._node is not None:
            await self._node.stop()

    async def _start(self) -> None:
        try:
            await self._join_others()
        except ValueError as error:
            raise _Misconfigured(str(error)) from error
        try:
            # Providers may need what the handlers prepare; handlers cannot have providers.
            await self._fire("startup")
            try:
                await self.providers.open(self._injections())
            except BaseException:
                await self.providers.close()
                raise
        except BaseException:
            await self._leave_others()
            raise

    async def _stop(self) -> None:
        try:
            await self.providers.close()
        finally:
            try:
                await self._fire("shutdown")
            finally:
                await self._leave_others()

    async def _fire(self, event: str) -> None:
        for handler in self._events[event]:
            result = handler()
            if inspect.isawaitable(result):
                await result

    def _injections(self) -> list[Injection]:
        return [injection for route in self.router.routes if isinstance(route, Route) for injection in route.injections]


def serve(app: object, host: str, port: int, **options: Any) -> None:
    """Serve any application as :meth:`App.run` does."""
    from autobahnlike.asgi import run
    from autobahnlike.asgi.options import ServerOptions

    ours = {name: options.pop(name) for name in inspect.signature(run).parameters if name in options}
    if options and "options" in ours:
        raise TypeError(f"give either options= or {', '.join(sorted(options))} themselves")
    if options:
        ours["options"] = ServerOptions(**options)
    run(app, listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}", **ours)


class _Misconfigured(Exception):
    """The backplane cannot be used as it was configured, which is no fault of the code."""


class _Sending:
    """``send``, knowing whether something was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)


# The name of the class in older versions of Bocadillo.
API = App
