"""Runs a WebSocket view for one connection.

What happens to a connection, in this order:

1. Its ``Origin`` is checked, then its parameters are converted. If either fails, the client gets HTTP 403.
2. Its providers are run.
3. The view is run. With ``auto_accept``, the default, the connection is accepted when the view first sends or receives,
   or first waits for anything; until then ``ws.reject()`` answers HTTP 403. Without, it is the view's own task.
4. The providers clean up.
5. The connection is closed, if it still is open: with code 1000 if the view has returned, with 1011 if it has raised an
   exception, which then goes on to the server.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable, Collection, Coroutine, Generator
from functools import partial
from typing import Any, Self

from starlette.types import Receive, Scope, Send

from autobahnlike.app.errors import ConnectionRejected, ExpectedAsync, ParameterError, RouteDeclarationError
from autobahnlike.app.options import WebSocketOptions
from autobahnlike.app.origin import SAME_ORIGIN, OriginPolicy
from autobahnlike.app.parameters import ViewParameters, view_name
from autobahnlike.app.paths import full_path
from autobahnlike.app.providers import Injection
from autobahnlike.app.websocket import WebSocket

__all__ = ("AcceptWhenWaiting", "WebSocketView", "refuse")

_log = logging.getLogger("autobahnlike.app")


async def refuse(send: Send) -> None:
    """Answer the opening handshake of a WebSocket with HTTP 403."""
    await send({"type": "websocket.close", "code": 403, "reason": ""})


class WebSocketView:
    """A view and how it is run.

    Args:
        view: a coroutine function that takes a :class:`~autobahnlike.app.websocket.WebSocket`, and by name what it
            wants of the parameters and the providers.
        pattern_names: the parameters of its route.
        allowed_origins: the origins that may connect; those of ``scope["app"].origin_policy`` if None, and only the
            same origin if there is none.
        options: see :meth:`~autobahnlike.app.options.WebSocketOptions.resolve`.

    Raises:
        ExpectedAsync: the view is no coroutine function.
        RouteDeclarationError: it takes no WebSocket, or an option is not valid.
    """

    def __init__(
        self,
        view: Callable[..., Any],
        pattern_names: Collection[str] = (),
        *,
        allowed_origins: OriginPolicy | Collection[str] | str | None = None,
        **options: Any,
    ) -> None:
        self.name = view_name(view)
        if not inspect.iscoroutinefunction(view):
            raise ExpectedAsync(
                f"WebSocket view '{self.name}' must be asynchronous. Hint: use `async def` instead of `def`."
            )
        self.options = WebSocketOptions.resolve(**options)
        self._view = view
        try:
            self._origins = None if allowed_origins is None else OriginPolicy.of(allowed_origins)
        except ValueError as exc:
            raise RouteDeclarationError(f"allowed_origins: {exc}") from None
        self._set_names(pattern_names)

    def _set_names(self, pattern_names: Collection[str]) -> None:
        self._parameters = ViewParameters(self._view, 1, pattern_names)
        self.injection = Injection(self._view, 1, pattern_names)

    def with_names(self, pattern_names: Collection[str]) -> Self:
        """Return the same view for a route with other parameters."""
        view = copy.copy(self)
        view._set_names(pattern_names)
        return view

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the view for a connection.

        Raises:
            Exception: what the view or a provider raised, when the connection has been closed.
            RuntimeError: the view ended without having accepted or rejected the connection.
        """
        ws = WebSocket(scope, receive, send, self.options)
        policy = self._origins if self._origins is not None else getattr(scope.get("app"), "origin_policy", SAME_ORIGIN)
        reason = policy.refusal(scope)
        arguments: dict[str, Any] | TypeError = {}
        if reason is None:
            try:
                arguments = self._parameters.resolve(ws.path_params, ws.query_params, self.injection.names)
            except ParameterError as exc:
                reason = str(exc)
            except TypeError as exc:
                # The view cannot be called so: its failure, not the client's.
                arguments = exc
        if reason is not None:
            _log.warning("WebSocket to %r refused with HTTP 403: %s", full_path(scope), reason)
            await refuse(send)
        elif self.options.auto_accept:
            await self._run(ws, arguments)
        else:
            await self._run_manual(ws, arguments)

    async def _run(self, ws: WebSocket, arguments: dict[str, Any] | TypeError) -> None:
        if not await ws.connected():
            return
        try:
            await self._call(ws, arguments)
        except Exception as exc:
            if isinstance(exc, ConnectionRejected) and exc.connection is ws:
                _log.warning("the view '%s' went on after `await ws.reject()`: write `return` after it", self.name)
                return
            if ws.catches(exc):
                return
            await ws.ensure_closed(1011)
            raise
        await ws.ensure_closed()

    async def _run_manual(self, ws: WebSocket, arguments: dict[str, Any] | TypeError) -> None:
        try:
            await self._call(ws, arguments)
        except Exception:
            await ws.ensure_closed(1011)
            raise
        if not (ws.answered or ws.closed):
            # Servers answer an exception at this point with HTTP 500; some wait forever when there is none.
            raise RuntimeError(
                f"the view '{self.name}' has auto_accept=False, and has neither accepted nor rejected the connection"
            )
        await ws.ensure_closed()

    async def _call(self, ws: WebSocket, arguments: dict[str, Any] | TypeError) -> None:
        if isinstance(arguments, TypeError):
            raise arguments
        async with self.injection.entering(ws) as provided:
            await AcceptWhenWaiting(ws, self._view(ws, **arguments, **provided))


class AcceptWhenWaiting:
    """Runs a view's coroutine, and has the connection accepted when it is about to wait for something.

    Awaiting this is like awaiting the coroutine, on any event loop: what the coroutine yields to be waited for goes to
    the loop unseen, and what the loop gives or throws back goes to the coroutine.

    Args:
        ws: the connection, whose acceptance may be held back.
        coroutine: the coroutine of its view.
    """

    __slots__ = ("_coroutine", "_ws")

    def __init__(self, ws: WebSocket, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._ws = ws
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine = self._coroutine
        step: Callable[[], Any] = partial(coroutine.send, None)
        while True:
            try:
                waited_for = step()
            except StopIteration as end:
                return end.value
            try:
                if self._ws.held:
                    yield from self._ws.accept_held().__await__()
                given = yield waited_for
            except GeneratorExit:
                # Thrown away, at the end of the process for instance: nothing can be waited for any more.
                self._ws.abandon()
                coroutine.close()
                raise
            except BaseException as exc:
                step = partial(coroutine.throw, exc)
            else:
                step = partial(coroutine.send, given)
