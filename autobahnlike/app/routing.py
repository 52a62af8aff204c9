"""Which view answers which path: patterns, routes, and the router that holds them in order.

The first route that matches wins, in the order of registration. What patterns look like is described in
:mod:`autobahnlike.app.paths`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from typing import Any, Self, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from autobahnlike.app.errors import RouteDeclarationError
from autobahnlike.app.origin import OriginPolicy
from autobahnlike.app.paths import Pattern, mounted_scope, route_path
from autobahnlike.app.providers import Injection
from autobahnlike.app.view import WebSocketView

__all__ = ("Mount", "Pattern", "Route", "Router", "WebSocketRoute", "route_path")

_RouteT = TypeVar("_RouteT", bound="Route | Mount")


class Route:
    """What one pattern leads to. An ASGI application for the connections that it matches.

    Attributes:
        scope_type: the type of ASGI scope that it is for.
        pattern: the pattern's text.
        path: the compiled pattern.
    """

    scope_type: str

    def __init__(self, pattern: str) -> None:
        self.path = Pattern(pattern)

    @property
    def pattern(self) -> str:
        """The pattern's text, with a slash at the start."""
        return self.path.source

    def match(self, path: str) -> dict[str, str] | None:
        """Return the parameters of a path, or None if it is not this route's."""
        return self.path.match(path)

    def child_scope(self, scope: Scope) -> Scope | None:
        """Return what the route adds to the scope of a connection; None if the connection is not for this route."""
        if scope["type"] != self.scope_type:
            return None
        parameters = self.match(route_path(scope))
        return None if parameters is None else {"path_params": parameters}

    @property
    def injections(self) -> Sequence[Injection]:
        """What providers give to its views."""
        return ()

    def prefixed(self, prefix: str) -> Self:
        """Return the same route below a prefix."""
        route = copy.copy(self)
        route.path = Pattern(prefix.rstrip("/") + self.pattern)
        return route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a connection whose path has matched."""
        raise NotImplementedError


class WebSocketRoute(Route):
    """A WebSocket view under a pattern; what the decorator ``websocket_route`` returns.

    Args:
        pattern: the pattern of its paths.
        view: the coroutine function.
        options: the options of :meth:`Router.websocket_route`.

    Attributes:
        view: the coroutine function.
    """

    scope_type = "websocket"

    def __init__(self, pattern: str, view: Callable[..., Any], **options: Any) -> None:
        super().__init__(pattern)
        self.view = view
        self._runner = WebSocketView(view, self.path.names, **options)

    @property
    def name(self) -> str:
        """The name of the view."""
        return self._runner.name

    @property
    def injections(self) -> Sequence[Injection]:
        """What providers give to the view."""
        return [self._runner.injection]

    def prefixed(self, prefix: str) -> Self:
        """Return the same route below a prefix, which may have parameters of its own."""
        route = super().prefixed(prefix)
        route._runner = self._runner.with_names(route.path.names)
        return route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection with the view.

        Connections of web pages of other origins are refused with HTTP 403: by the policy of the route if it has one,
        else by the attribute ``origin_policy`` of ``scope["app"]``, else only the same origin is let in.
        """
        await self._runner(scope, receive, send)


class Mount:
    """Another ASGI application under a prefix.

    It gets ``http`` and ``websocket`` scopes whose path starts with the prefix and a slash. The prefix is taken off
    ``path`` and added to ``root_path``.

    Args:
        prefix: the path below which it is found; a slash at the start may be left out, one at the end does not matter.
        app: the application.
    """

    def __init__(self, prefix: str, app: ASGIApp) -> None:
        if not callable(app):
            raise RouteDeclarationError(f"what is mounted at {prefix!r} is no ASGI application: {app!r}")
        self.prefix = prefix.strip("/") and "/" + prefix.strip("/")
        self.app = app

    def child_scope(self, scope: Scope) -> Scope | None:
        """Return what the mounted application's scope has differently; None if the connection is not for it."""
        return mounted_scope(scope, self.prefix)

    def prefixed(self, prefix: str) -> Mount:
        """Return the same mount below a prefix."""
        return Mount(prefix.rstrip("/") + self.prefix, self.app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a connection to the application."""
        await self.app(scope, receive, send)


class Router:
    """Routes and mounted applications, in the order of their registration.

    Attributes:
        routes: all of them.
    """

    def __init__(self) -> None:
        self.routes: list[Route | Mount] = []

    def route(self, pattern: str, methods: Sequence[str] | None = None) -> Callable[[Any], Any]:
        """Return a decorator that registers an HTTP view.

        Args:
            pattern: the pattern of its paths.
            methods: the HTTP methods that a view function answers.
        """
        from autobahnlike.app.http import HTTPRoute

        def register(view: Any) -> HTTPRoute:
            return self.add_route(HTTPRoute(pattern, view, methods=methods))

        return register

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
        """Return a decorator that registers a WebSocket view.

        Args:
            pattern: the pattern of its paths.
            auto_accept: whether the connection is accepted before, and closed after the view has run. It is accepted
                when the view first sends, receives or waits for something; until then it can be rejected.
            value_type: sets both of the following.
            receive_type: what ``receive()`` returns: ``"text"``, ``"bytes"``, ``"json"`` or ``"event"``.
            send_type: what ``send()`` takes, of the same.
            caught_close_codes: with which close codes of the client a ``WebSocketDisconnect`` ends the view without
                being an error, when it was accepted automatically, or leaves a block ``async with ws``; 1000 and 1001
                if None. The builtin ``all`` stands for all codes, ``()`` for none.
            catch_disconnect: an older form of it: True for all codes, False for none.
            allowed_origins: the origins of web pages that may connect, see :class:`~.origin.OriginPolicy`. If None,
                those of the application.

        Raises:
            RouteDeclarationError: an option or the pattern is not valid. The decorator raises it for the view.
        """
        options = {
            "auto_accept": auto_accept,
            "value_type": value_type,
            "receive_type": receive_type,
            "send_type": send_type,
            "caught_close_codes": caught_close_codes,
            "catch_disconnect": catch_disconnect,
            "allowed_origins": allowed_origins,
        }

        def register(view: Callable[..., Any]) -> WebSocketRoute:
            return self.add_route(WebSocketRoute(pattern, view, **options))

        return register

    def add_route(self, route: _RouteT) -> _RouteT:
        """Register a route after all others, and return it."""
        self.routes.append(route)
        return route

    def include_router(self, router: Router, prefix: str = "") -> None:
        """Register all that another router holds now, below a prefix.

        Args:
            router: the other one.
            prefix: what its paths start with; may have parameters.
        """
        self.routes.extend([route.prefixed(prefix) if prefix else route for route in router.routes])

    # Bocadillo's name for it.
    include = include_router

    def mount(self, prefix: str, app: ASGIApp) -> None:
        """Hand all connections below a prefix to another ASGI application.

        Args:
            prefix: the path below which it is found.
            app: the application; it gets ``http`` and ``websocket`` scopes.
        """
        self.routes.append(Mount(prefix, app))

    def find(self, scope: Scope) -> tuple[Route | Mount, Scope] | None:
        """Return the first route for a connection, and the scope for it; None if there is none.

        Args:
            scope: an ``http`` or ``websocket`` scope; stays as it is.
        """
        for route in self.routes:
            added = route.child_scope(scope)
            if added is not None:
                return route, {**scope, **added}
        return None
