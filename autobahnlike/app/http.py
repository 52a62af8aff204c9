"""HTTP views: routes, errors, redirections and middleware that sees requests and responses.

A view is a coroutine function ``async def view(req, res, **parameters)`` that fills in ``res``, or a class with such
methods named after HTTP methods: ``get``, ``post``, ``put``, ``patch``, ``delete``, ``head``, ``options``, or
``handle`` for all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence
from html import escape
from typing import Any, Self
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from autobahnlike.app.errors import ExpectedAsync, HTTPError, ParameterError, RouteDeclarationError
from autobahnlike.app.messages import ClientDisconnect, Request, Response, server_event
from autobahnlike.app.parameters import ViewParameters, view_name
from autobahnlike.app.providers import Injection
from autobahnlike.app.routing import Route

__all__ = (
    "ClientDisconnect",
    "ErrorHandlers",
    "HTTPRoute",
    "Middleware",
    "Redirect",
    "Request",
    "Response",
    "error_to_html",
    "error_to_json",
    "error_to_text",
    "server_event",
)

METHODS = ("get", "head", "post", "put", "delete", "options", "patch")

Handler = Callable[..., Awaitable[None]]


class Redirect(Exception):
    """Raised in a view to send the client to another page.

    Args:
        url: where to; a path of the application or a full URL.
        permanent: whether browsers may remember it: 301 instead of 302.
    """

    def __init__(self, url: str, permanent: bool = False) -> None:
        super().__init__(url)
        self.url = url
        self.permanent = permanent

    @property
    def status_code(self) -> int:
        """301 or 302."""
        return 301 if self.permanent else 302


class HTTPRoute(Route):
    """An HTTP view under a pattern; what the decorator ``route`` returns.

    Args:
        pattern: the pattern of its paths.
        view: a coroutine function, or a class or an object with methods named after HTTP methods.
        methods: the HTTP methods of a function; GET, and with it HEAD, if None; all if the builtin ``all``.

    Attributes:
        view: the function, class or object.

    Raises:
        ExpectedAsync: the function, or one of the methods, is no coroutine function.
        RouteDeclarationError: its parameters or ``methods`` cannot be used.
    """

    scope_type = "http"

    def __init__(self, pattern: str, view: Any, methods: Sequence[str] | Callable[..., Any] | None = None) -> None:
        super().__init__(pattern)
        self.view = view
        self._functions = _functions_of(view, methods)
        self._handlers = self._made_handlers()

    @property
    def name(self) -> str:
        """The name of the view."""
        return self.view.__name__ if inspect.isclass(self.view) else view_name(self.view)

    @property
    def injections(self) -> list[Injection]:
        """What providers give to the methods."""
        return [handler.injection for handler in self._handlers.values()]

    def _made_handlers(self) -> dict[str, _Handler]:
        # That of the class holds for each of its methods.
        used = () if inspect.isfunction(self.view) else getattr(self.view, "__useproviders__", ())
        return {method: _Handler(each, self.path.names, used) for method, each in self._functions.items()}

    def prefixed(self, prefix: str) -> Self:
        """Return the same route below a prefix, which may have parameters of its own."""
        route = super().prefixed(prefix)
        route._handlers = route._made_handlers()
        return route

    async def respond(self, req: Request, res: Response) -> None:
        """Have the view answer a request whose path has matched.

        Raises:
            HTTPError: 405, for methods that the view does not have.
            ParameterError: a parameter of the path or the query is not what the view asked for.
            Exception: what the view raised.
        """
        handler = self._handlers.get(req.method.lower())
        if handler is None:
            raise HTTPError(405, headers={"allow": ", ".join(sorted(each.upper() for each in self._handlers))})
        await handler(req, res)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by itself: without the error handlers and the middleware of an application."""
        req = Request(scope, receive)
        res = Response(req)
        await self.respond(req, res)
        await res(scope, receive, send)


def _functions_of(view: Any, methods: Sequence[str] | Callable[..., Any] | None) -> dict[str, Handler]:
    """Return the coroutine functions of a view by the method, in lower case, that each answers."""
    if not inspect.isclass(view) and callable(view):
        name = view_name(view)
        functions = dict.fromkeys(_checked_methods(methods, name), view)
    else:
        if methods is not None:
            raise RouteDeclarationError("the methods of a class-based view are those that it has: leave out methods=")
        instance = view() if inspect.isclass(view) else view
        name = type(instance).__name__
        everything = getattr(instance, "handle", None)
        found = {method: everything or getattr(instance, method, None) for method in METHODS}
        functions = {method: function for method, function in found.items() if function is not None}
    for method, function in functions.items():
        if not inspect.iscoroutinefunction(function) and not inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - what it is, is asked, not whether it is there
        ):
            full_name = name if function is view else f"{name}.{getattr(function, '__name__', method)}"
            raise ExpectedAsync(f"view '{full_name}()' must be asynchronous. Hint: use `async def` instead of `def`.")
    if "get" in functions:
        functions.setdefault("head", functions["get"])
    return functions


def _checked_methods(methods: Sequence[str] | Callable[..., Any] | None, name: str) -> Collection[str]:
    if methods is None:
        return ("get",)
    if methods is all:
        return METHODS
    if isinstance(methods, str) or not isinstance(methods, Collection):
        raise RouteDeclarationError(
            f"methods of the view '{name}' must be a list like ['GET', 'POST'], not {methods!r}"
        )
    unknown = [each for each in methods if each.lower() not in METHODS]
    if unknown:
        raise RouteDeclarationError(
            f"unknown HTTP method {unknown[0]!r} for the view '{name}': known are {', '.join(METHODS).upper()}"
        )
    return [each.lower() for each in methods]


class _Handler:
    """One function of a view, with all that its parameters get."""

    def __init__(self, function: Handler, names: Collection[str], used: Sequence[Any]) -> None:
        self._function = function
        self._parameters = ViewParameters(function, 2, names)
        self.injection = Injection(function, 2, names, used=used)

    async def __call__(self, req: Request, res: Response) -> None:
        arguments = self._parameters.resolve(req.path_params, req.query_params, self.injection.names)
        async with self.injection.entering(req) as provided:
            await self._function(req, res, **arguments, **provided)


class Middleware:
    """Base of middleware for the HTTP views: sees the request before, and the response after the view.

    Args:
        inner: what it wraps.
        kwargs: not used here; what ``app.add_middleware`` was given besides.

    Raises:
        ExpectedAsync: for a subclass whose methods are no coroutine functions.
    """

    def __init__(self, inner: ASGIApp, **kwargs: Any) -> None:
        self.inner = inner

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("before_dispatch", "after_dispatch"):
            if not inspect.iscoroutinefunction(getattr(cls, name)):
                raise ExpectedAsync(
                    f"'{cls.__name__}.{name}' must be asynchronous. Hint: use `async def` instead of `def`."
                )

    async def before_dispatch(self, req: Request, res: Response) -> Response | None:
        """Do something before the view; if the response is returned, it is sent and the view is not called."""

    async def after_dispatch(self, req: Request, res: Response) -> None:
        """Do something after the view, if that did not raise an exception."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        req, res = scope["req"], scope["res"]
        early = await self.before_dispatch(req, res)
        if early is not None:
            scope["res"] = early
            return
        await self.inner(scope, receive, send)
        await self.after_dispatch(req, scope["res"])


class ErrorHandlers:
    """What answers which exception of an HTTP view: by its class, or the nearest of its base classes.

    Besides those that are added, there are some for :exc:`HTTPError`, answered by :func:`error_to_json`, for parameters
    that cannot be converted (400 with what is wrong with which) and for :exc:`Redirect`.
    """

    def __init__(self) -> None:
        self._handlers: dict[type[BaseException], Handler] = {
            HTTPError: error_to_json,
            ParameterError: _refuse_parameters,
            Redirect: _redirect,
        }

    def add(self, exception: type[BaseException], handler: Handler) -> None:
        """Add a handler.

        Raises:
            TypeError: the first argument is no exception class.
            ExpectedAsync: the handler is no coroutine function.
        """
        if not (inspect.isclass(exception) and issubclass(exception, BaseException)):
            raise TypeError(f"an error handler is for an exception class, not for {exception!r}")
        if not inspect.iscoroutinefunction(handler):
            raise ExpectedAsync(
                f"error handler '{view_name(handler)}' must be asynchronous. Hint: use `async def` instead of `def`."
            )
        self._handlers[exception] = handler

    async def handle(self, req: Request, res: Response, error: Exception) -> None:
        """Have the response filled in. What a handler raises, is handled in its turn, but by no handler twice.

        Raises:
            Exception: it, or what a handler raised, if there is no handler for it.
        """
        used: set[Handler] = set()
        while True:
            handler = self._find(error)
            if handler is None or handler in used:
                raise error
            used.add(handler)
            res.start_over()
            try:
                await handler(req, res, error)
            except Exception as another:
                error = another
            else:
                return

    def _find(self, error: Exception) -> Handler | None:
        return next((self._handlers[each] for each in type(error).__mro__ if each in self._handlers), None)


async def error_to_json(req: Request, res: Response, exc: HTTPError) -> None:
    """Answer an :exc:`HTTPError` with ``{"error": "404 Not Found", "status": 404}``, and ``detail`` if there is one."""
    _set_status(res, exc)
    res.json = exc.as_json()


async def error_to_html(req: Request, res: Response, exc: HTTPError) -> None:
    """Answer an :exc:`HTTPError` with a heading, and the detail, if there is one, as a paragraph."""
    _set_status(res, exc)
    detail = f"\n<p>{escape(str(exc.detail))}</p>" if exc.detail else ""
    res.html = f"<h1>{exc.title}</h1>{detail}"


async def error_to_text(req: Request, res: Response, exc: HTTPError) -> None:
    """Answer an :exc:`HTTPError` with a line of text, and the detail, if there is one, in the next."""
    _set_status(res, exc)
    res.text = f"{exc.title}\n{exc.detail}" if exc.detail else exc.title


def _set_status(res: Response, exc: HTTPError) -> None:
    res.status_code = exc.status_code
    res.headers.update(exc.headers)


async def _refuse_parameters(req: Request, res: Response, exc: ParameterError) -> None:
    raise HTTPError(400, detail=exc.errors) from exc


async def _redirect(req: Request, res: Response, exc: Redirect) -> None:
    res.status_code = exc.status_code
    # What may not stand in a header is percent-encoded, and nothing that is encoded already.
    res.headers["location"] = quote(exc.url, safe=":/%#?=@[]!$&'()*+,;")
