"""One application on one loop: what all its connections have in common."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from autobahnlike import logs
from autobahnlike.asgi.condition import Condition
from autobahnlike.asgi.counters import ServerCounters
from autobahnlike.asgi.lifespan import Lifespan
from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.scope import Application, Receive, Scope, Send
from autobahnlike.exception import InvalidArgument
from autobahnlike.websocket.link import EventLoop

if TYPE_CHECKING:
    from autobahnlike.asgi.http import HttpConnection

__all__ = ("AppRunner", "Server", "check_application")

_log = logging.getLogger("autobahnlike.asgi")
_access = logging.getLogger("autobahnlike.access")

# Why WebSockets are closed when the server stops: for good, as far as it knows (RFC 6455, section 7.4.1), or because it
# is there again at once (IANA's registry of close codes). Clients that tell codes apart come back after either.
_GOING_AWAY = 1001
_SERVICE_RESTART = 1012

# What an application that was cancelled has to end, and the last connections to be gone.
_PARTING_TIME = 1.0

# What asyncio, and anyio and sniffio on top of it, raise where there is no loop of asyncio.
_NO_LOOP = ("no running event loop", "no current event loop", "not currently running on any asynchronous event loop")
_NO_LOOP_ERRORS = ("AsyncLibraryNotFoundError", "NoEventLoopError")


class AppRunner(Protocol):
    """How awaitables of the application are made into something that the loop for applications can run."""

    def __call__(self, awaitable: Awaitable[None]) -> Any:
        """Wrap what the application returned."""


def check_application(app: object) -> None:
    """Refuse what cannot be an application of ASGI 3.

    Raises:
        InvalidArgument: it is not one; the text says why.
    """
    if not callable(app):
        raise InvalidArgument(f"an ASGI application is callable, unlike {app!r:.80}")
    try:
        inspect.signature(app).bind("scope", "receive", "send")
    except TypeError:
        raise InvalidArgument(
            f"{app!r:.80} does not take (scope, receive, send), as applications of ASGI 3 do; "
            "is it a factory of applications, or an application of ASGI 2 or WSGI?"
        ) from None
    except ValueError:
        # Something built-in without a signature: calling it will tell.
        pass


class Server:
    """What the connections of one application on one loop have in common.

    Args:
        app: the application.
        loop: the loop, as the edge knows it.
        options: what was set.
        apps: the loop whose futures the application awaits, and on which it runs: the same, or asyncio's where Twisted
            runs on that.
        wrap: what makes the call of an application fit to be run by ``apps``.
        counters: what counts, of a server that was before; new ones if None.

    Attributes:
        is_stopping: whether nothing new is to be begun.
        has_given_up: whether what was still going on has been cancelled.
        counters: what it has done.

    Raises:
        InvalidArgument: ``app`` is not an application.
    """

    def __init__(
        self,
        app: Application,
        loop: EventLoop,
        options: ServerOptions,
        apps: EventLoop | None = None,
        wrap: AppRunner = lambda awaitable: awaitable,
        counters: ServerCounters | None = None,
    ) -> None:
        check_application(app)
        self.app = app
        self.loop = loop
        self.options = options
        self.apps = apps or loop
        self.counters = ServerCounters() if counters is None else counters
        self.counters.server = self
        self.is_stopping = False
        self.has_given_up = False
        self.lifespan = Lifespan(self)
        # The factory of the WebSockets; the edge sets it.
        self.websockets: Any = None
        # What prepares messages for many of them, once there is one.
        self.preparer: Any = None
        self._wrap = wrap
        self._http: set[HttpConnection] = set()
        self._running: dict[int, Callable[[], object]] = {}
        self._next_call = 0
        self._ended = Condition(loop)

    # -- Calls of the application

    def run(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        ended: Callable[[BaseException | None], None],
        *,
        is_connection: bool = True,
        connection_id: str | None = None,
    ) -> Callable[[], None]:
        """Call the application.

        Args:
            scope: for the application, as are ``receive`` and ``send``.
            receive: gives the next event.
            send: takes one.
            ended: called with None when the application has returned, or with the exception that it raised.
            is_connection: whether to wait for it, and in the end to cancel it, when the server stops.
            connection_id: what the lines that are logged meanwhile are about, if it is a WebSocket.

        Returns:
            A function that cancels it, if it has not ended.
        """
        number = self._next_call = self._next_call + 1
        has_begun = False

        def finished(error: BaseException | None) -> None:
            self._running.pop(number, None)
            try:
                ended(error)
            finally:
                self._ended.notify_all()

        async def call() -> None:
            nonlocal has_begun
            has_begun = True
            # In the context of this call, which ends with it.
            logs.connection_id.set(connection_id)
            try:
                await self.app(scope, receive, send)
            except Exception as error:
                finished(error)
            except GeneratorExit:
                # The loop is gone, and everything with it.
                raise
            except BaseException as error:
                finished(error)
                raise
            else:
                finished(None)

        def cancel() -> None:
            if give_up is not None:
                give_up()
            if not has_begun:
                # A task that is cancelled before its first step takes none.
                finished(None)

        # Before it is called: on Twisted it may have ended when the call returns.
        if is_connection:
            self._running[number] = cancel
        give_up = self.apps.wait(self._wrap(call()), lambda _: None, self._has_failed)
        return cancel

    def _has_failed(self, error: BaseException) -> None:
        # What else comes here is a cancellation, or the end of the process; the connection knows.
        if isinstance(error, Exception):
            self.loop.log_failure("the end of an application could not be dealt with", error)

    def log_failure(self, message: str, error: BaseException) -> None:
        """Log an exception of the application, and what is to be done about it if that is known."""
        self.loop.log_failure(message, error)
        self.log_hint(error)

    def log_hint(self, error: BaseException | str | None) -> None:
        """Log what is to be done about an exception, or the text of one, if that is known."""
        if _misses_asyncio(error):
            _log.error(
                "the application uses asyncio, and there is no asyncio event loop here: run it with "
                "--loop twisted-asyncio, or install Twisted's asyncio reactor (twistd -r asyncio)"
            )

    def log_access(self, peer: str, method: str, target: str, version: str, status: int) -> None:
        """Log a request, if that is wanted."""
        if self.options.access_log:
            parts = {
                "client": peer.partition(":")[2],
                "method": method,
                "target": ascii(target)[1:-1],
                "http_version": version,
                "status": status,
            }
            _access.info('%s "%s %s HTTP/%s" %d', *parts.values(), extra=parts)

    # -- From the beginning to the end

    async def startup(self) -> None:
        """Have the application get ready.

        Raises:
            LifespanFailed: it does not.
        """
        await self.lifespan.startup()

    async def shutdown(self) -> None:
        """End all connections, give the application the time to notice, then tell it that it is over.

        Whoever listens has to have stopped that before.
        """
        # Twisted's reactor on asyncio runs timers in the context of whoever has set one, which may be a connection's.
        with logs.about(None):
            await self._shutdown()

    async def _shutdown(self) -> None:
        self.is_stopping = True
        timeout, drain = self.options.shutdown_timeout, self.options.drain_timeout
        for connection in list(self._http):
            connection.stop()
        closing = None
        if self.websockets is not None:
            if drain:
                await self._drain(drain)
            closing = self.websockets.shutdown(timeout, _SERVICE_RESTART if drain else _GOING_AWAY)
        if not await self._all_end_within(timeout):
            self._give_up()
            await self._all_end_within(_PARTING_TIME)
        if closing is not None:
            await closing
        await self.lifespan.shutdown(timeout)

    async def _drain(self, seconds: float) -> None:
        count = self.websockets.getConnectionCount()
        if count:
            _log.info("closing %d WebSockets within %g seconds", count, seconds)
        await self.websockets.drain(seconds, _SERVICE_RESTART)

    async def _all_end_within(self, seconds: float) -> bool:
        is_late = False

        def late() -> None:
            nonlocal is_late
            is_late = True
            self._ended.notify_all()

        timer = self.loop.call_later(seconds, late)
        try:
            while (self._running or self._http) and not is_late:
                await self._ended.wait()
        finally:
            if not is_late:
                timer.cancel()
        return not is_late

    def _give_up(self) -> None:
        """Cancel what is still going on."""
        self.has_given_up = True
        if self._running:
            _log.warning(
                "%d requests or WebSockets were still going on %g seconds after the server was told to stop: cancelled",
                len(self._running),
                self.options.shutdown_timeout,
            )
        for connection in list(self._http):
            connection.abort()
        for cancel in list(self._running.values()):
            cancel()

    def add(self, connection: HttpConnection) -> None:
        """Take in a connection that may become a WebSocket, or not."""
        self.counters.connections += 1
        self._http.add(connection)

    def remove(self, connection: HttpConnection) -> None:
        """Forget a connection."""
        self._http.discard(connection)
        if self.is_stopping:
            self._ended.notify_all()


def _misses_asyncio(error: BaseException | str | None) -> bool:
    if isinstance(error, str):
        return any(text in error for text in _NO_LOOP)
    while error is not None:
        if _misses_asyncio(str(error)) or type(error).__name__ in _NO_LOOP_ERRORS:
            return True
        error = error.__cause__ or error.__context__
    return False
