"""The gateway as an ASGI application: routes, connections, and what it offers to its backplane.

It knows nothing of decorators: its routes are functions that take the event of API Gateway and return the result of a
Lambda function. :mod:`autobahnlike.gateway.application` makes them of handlers, and the host of Chalice applications of
theirs.
"""

from __future__ import annotations

import base64
import inspect
import logging
import time as time_module
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from autobahnlike import logs
from autobahnlike.app.waiting import Latch
from autobahnlike.backplane.ids import new_connection_id, node_of
from autobahnlike.backplane.interface import Backplane, ConnectionInfo, Health, Payload, Verdict
from autobahnlike.backplane.memory import MemoryBackplane
from autobahnlike.gateway.connection import Connection, refuse
from autobahnlike.gateway.events import disconnect_event, new_request_id
from autobahnlike.gateway.limits import Limits
from autobahnlike.gateway.loop import Loop, TimedOut, running_loop, within
from autobahnlike.gateway.management import Management
from autobahnlike.gateway.measures import Measures
from autobahnlike.gateway.results import error_body
from autobahnlike.gateway.routes import DISCONNECT, RouteSelector
from autobahnlike.gateway.scopes import Place, raw_path_of, read_handshake, respond
from autobahnlike.gateway.threads import Threads, Workers, run_blocking

__all__ = ("AnyRoute", "Core", "Counters", "Route")

_log = logging.getLogger("autobahnlike.gateway")

_T = TypeVar("_T")

_ABNORMAL = 1006
_SERVICE_RESTART = 1012


class AnyRoute(Protocol):
    """A route. The attributes and what is called are those of :class:`Route`."""

    @property
    def is_async(self) -> bool:
        """See :class:`Route`."""
        ...

    @property
    def has_response(self) -> bool:
        """See :class:`Route`."""
        ...

    @property
    def invoke(self) -> Callable[[dict[str, Any]], Any]:
        """See :class:`Route`."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    Attributes:
        invoke: is called with an event; returns the result of a Lambda function, or an awaitable of one.
        is_async: whether it is called on the thread of the loop, as it does not block; else in a thread of its own.
        has_response: whether the ``body`` of its result is sent back to the client.
    """

    invoke: Callable[[dict[str, Any]], Any]
    is_async: bool = False
    has_response: bool = False


@dataclass(slots=True)
class Counters:
    """What has happened in a gateway since it was made.

    Attributes:
        accepted: the connections that were made.
        refused: the opening handshakes that were refused.
        messages_in: the messages of clients.
        bytes_in: what they had.
        messages_out: the messages to clients that were taken.
        bytes_out: what they had.
        failures: the errors that clients were told of.
        delivered: what became of what was sent by connection id, here and below.
        gone: see ``Verdict``.
        too_large: see ``Verdict``.
        buffer_full: see ``Verdict``.
        unknown: see ``Verdict``.
    """

    accepted: int = 0
    refused: int = 0
    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0
    failures: int = 0
    delivered: int = 0
    gone: int = 0
    too_large: int = 0
    buffer_full: int = 0
    unknown: int = 0

    def count(self, verdict: Verdict) -> Verdict:
        """Count a verdict, and return it."""
        name = verdict.name.lower()
        setattr(self, name, getattr(self, name) + 1)
        return verdict

    def to_dict(self) -> dict[str, int]:
        """Return all of them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Core:
    """A gateway: an ASGI 3 application, and a node of its backplane.

    Args:
        routes: the routes by their keys: ``$connect``, ``$disconnect``, ``$default`` and others. Those that are added
            later count.
        stage: the first part of the path, ``/api/``.
        at_root: whether WebSockets are served at ``/`` as well, as they are by API Gateway's custom domains.
        limits: what is bounded.
        selection: the route selection expression.
        concurrency: how many handlers of messages may run at once for one connection; its messages are handled in
            their order if it is 1.
        binary: ``"refuse"`` closes a client that sends a binary message with 1003, as API Gateway does; ``"base64"``
            hands it to ``$default`` in Base64.
        aws_strict: whether a connection can be sent something, and be seen, when its ``$connect`` has returned, and
            not while it runs; and whether there is nothing at ``/``.
        backplane: what joins it with others; one in memory if None.
        keys: the secret keys of the management API, by access key id. If None, it serves this machine alone, unsigned.
        domain_name: what events call this server; where it listens if None.
        api_id: what events call the API.
        stage_variables: what is in events as such.
        proxies: how many proxies in front are trusted: so many addresses from the right in ``X-Forwarded-For`` is that
            of the client.
        max_threads: how many handlers that block may run at once.
        http: the ASGI application that is given all other HTTP requests. If None, they are answered with 426 where
            WebSockets are served, and with 404 elsewhere.
        loop: what drives it, for tests; found out if None.
        threads: where blocking handlers run, for tests.
        time: the time in seconds since 1970, for tests.
        clock: the time in seconds that handlers are measured with, for tests.

    Attributes:
        routes: as above, as are ``limits``, ``concurrency``, ``aws_strict``, ``backplane`` and ``stage_variables``.
        selector: of the route selection expression.
        refuses_binary: whether binary messages are refused.
        counters: what has happened.
        measures: what is measured: durations, and the codes of closed connections.
        on_gone: functions that are called with the id of each connection that is gone, before its ``$disconnect``.

    Raises:
        ValueError: an argument that cannot be used.
    """

    loop: Loop

    def __init__(
        self,
        routes: Mapping[str, AnyRoute],
        *,
        stage: str = "api",
        at_root: bool = True,
        limits: Limits | None = None,
        selection: str = "$request.body.action",
        concurrency: int = 1,
        binary: str = "refuse",
        aws_strict: bool = False,
        backplane: Backplane | None = None,
        keys: Mapping[str, str] | None = None,
        domain_name: str | None = None,
        api_id: str = "local",
        stage_variables: Mapping[str, str] | None = None,
        proxies: int = 0,
        max_threads: int = 64,
        http: ASGIApp | None = None,
        loop: Loop | None = None,
        threads: Threads | None = None,
        time: Callable[[], float] = time_module.time,
        clock: Callable[[], float] = time_module.perf_counter,
    ) -> None:
        if concurrency < 1 or max_threads < 1 or proxies < 0:
            raise ValueError(
                "concurrency and max_threads must be at least 1, and proxies at least 0, "
                f"not {concurrency}, {max_threads} and {proxies}"
            )
        if binary not in ("refuse", "base64"):
            raise ValueError(f'binary must be "refuse" or "base64", not {binary!r}')
        self.routes = routes
        self.limits = limits or Limits()
        self.selector = RouteSelector(selection)
        self.concurrency = concurrency
        self.refuses_binary = binary == "refuse"
        self.aws_strict = aws_strict
        self.backplane: Backplane = MemoryBackplane() if backplane is None else backplane
        self._has_backplane = backplane is not None
        self.stage_variables = dict(stage_variables or {})
        self.counters = Counters()
        self.measures = Measures(clock)
        self.on_gone: list[Callable[[str], object]] = []
        self._place = Place(stage, at_root and not aws_strict, domain_name, api_id, proxies)
        self._management = Management(self, self._place, keys, time)
        self._http = http
        self._time = time
        self._max_threads = max_threads
        self._given_loop = loop
        self._given_threads = threads
        self._threads: Threads | None = threads
        self._connections: dict[str, Connection] = {}
        # Those whose $disconnect is still to come, or runs.
        self._ending: set[Connection] = set()
        self._ended: Latch | None = None
        self._started: Latch | None = None
        self._is_started = False

    # -- ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, or the lifespan."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._live(receive, send)
            return
        # For servers that do not know the lifespan.
        await self.start()
        if kind == "websocket":
            await self._serve_websocket(scope, receive, send)
        elif kind == "http":
            await self._serve_http(scope, receive, send)
        else:
            raise ValueError(f"the gateway serves websocket and http, not {kind!r}")

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            step = event["type"]
            try:
                await (self.start() if step == "lifespan.startup" else self.stop())
            except Exception as error:
                # What is configured wrongly is said by the server, and no fault of the code.
                if not isinstance(error, ValueError):
                    _log.exception("the gateway could not be started or stopped")
                await send({"type": f"{step}.failed", "message": str(error)})
                return
            await send({"type": f"{step}.complete"})
            if step == "lifespan.shutdown":
                return

    async def start(self) -> None:
        """Get ready; if that has happened, nothing happens.

        Raises:
            ValueError: the backplane cannot be used as it was configured.
            RuntimeError: what drives this is neither asyncio nor Twisted.
        """
        if self._is_started:
            return
        if self._started is not None:
            await self._started.wait()
            if not self._is_started:
                raise RuntimeError("the gateway could not be started: see the log")
            return
        started = self._started = Latch()
        try:
            self.loop = self._given_loop or running_loop()
            if self._given_threads is None:
                self._threads = Workers(self._max_threads)
            # Whichever connection was the first: what goes on from now on is not about it.
            with logs.about(None):
                await self.backplane.start(self)
            self._is_started = True
        finally:
            self._started = None
            started.open()

    async def stop(self) -> None:
        """End, when the server has closed all connections: returns when their ``$disconnect`` has run."""
        if not self._is_started:
            return
        while self._connections or self._ending:
            self._ended = Latch()
            await self._ended.wait()
        self._is_started = False
        await self.backplane.stop()
        if isinstance(self._threads, Workers):
            self._threads.stop()

    def use_backplane(self, backplane: Backplane) -> None:
        """Join others through a backplane, which was not given before; to be called before the start.

        Raises:
            RuntimeError: there is one already, or this was started.
        """
        if self._has_backplane:
            raise RuntimeError(f"the gateway has a backplane already: {self.backplane!r}")
        if self._is_started or self._started is not None:
            raise RuntimeError("the gateway was started: give it its backplane before")
        self.backplane = backplane
        self._has_backplane = True

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not stopped."""
        return self._is_started

    @property
    def health(self) -> Health:
        """Whether all is well; also if not, everything that concerns this node only goes on working."""
        return self.backplane.health if self._is_started else Health(False, "the gateway is not running")

    @property
    def connection_count(self) -> int:
        """The connections there are, with those whose ``$connect`` runs."""
        return len(self._connections)

    @property
    def waiting_for_thread(self) -> int:
        """The handlers that wait for a thread, as all ``max_threads`` are busy."""
        return self._threads.waiting if isinstance(self._threads, Workers) else 0

    def now(self) -> int:
        """The time in milliseconds since 1970."""
        return int(self._time() * 1000)

    def to_body(self, payload: Payload) -> str:
        """Return a message as it is in events."""
        return payload if isinstance(payload, str) else base64.b64encode(payload).decode("ascii")

    # -- WebSockets

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        info, handshake = read_handshake(scope, self._place, new_connection_id(self.backplane.node_id), self.now())
        query = scope.get("query_string") or b""
        target = len(raw_path_of(scope)) + (len(query) + 1 if query else 0)
        status, message = 0, ""
        # Without any handler there is no WebSocket API.
        if not self._place.is_endpoint(scope) or not self.routes:
            status, message = 403, "Forbidden"
        elif self.limits.max_url_size and target > self.limits.max_url_size:
            status, message = 414, "Request-URI Too Long"
        if status:
            self.counters.refused += 1
            await receive()
            await refuse(scope, send, status, error_body(message, info.connection_id, new_request_id()))
            return
        connection = Connection(self, scope, receive, send, info, handshake)
        self._connections[info.connection_id] = connection
        await connection.serve()

    async def invoke(self, route_key: str, event: dict[str, Any]) -> Any:
        """Call the handler of a route; returns its result.

        Raises:
            TimedOut: it took longer than the limit.
            Exception: whatever it raises.
        """
        route = self.routes[route_key]

        async def run() -> Any:
            result = route.invoke(event) if route.is_async else await self.run_blocking(lambda: route.invoke(event))
            return await result if inspect.isawaitable(result) else result

        began = self.measures.begin()
        try:
            with logs.about(event["requestContext"]["connectionId"]):
                return await within(self.loop, self.limits.integration_timeout, run())
        finally:
            self.measures.end(route_key, began)

    async def run_blocking(self, function: Callable[[], _T]) -> _T:
        """Call a function in one of the threads for handlers."""
        assert self._threads is not None, "the gateway was not started"
        return await run_blocking(self.loop, self._threads, function)

    def closing(self, connection: Connection) -> None:
        """A connection is gone; its ``$disconnect`` is to come."""
        self._ending.add(connection)
        self._remove(connection)

    def _remove(self, connection: Connection) -> None:
        if self._connections.pop(connection.connection_id, None) is not None:
            for function in self.on_gone:
                function(connection.connection_id)

    async def disconnected(self, connection: Connection, code: int, reason: str) -> None:
        """Run ``$disconnect``, unless another node does."""
        # Not to be registered anew meanwhile. One that is taken is asked for, too: it shall be registered no more.
        connection.is_registered = False
        is_ours = await self.backplane.unregister(connection.connection_id)
        if is_ours and not connection.is_taken:
            await self._run_disconnect(connection.first_info, code, reason)

    def forget(self, connection: Connection) -> None:
        """A connection has ended, and all that follows."""
        self._remove(connection)
        self._ending.discard(connection)
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended.open()

    async def _run_disconnect(self, info: ConnectionInfo, code: int, reason: str) -> None:
        if DISCONNECT not in self.routes:
            return
        event = disconnect_event(info, code, reason, self.now(), stage_variables=self.stage_variables)
        try:
            await self.invoke(DISCONNECT, event)
        except TimedOut as error:
            _log.error("%s: $disconnect %s", info.connection_id, error, extra={"connection_id": info.connection_id})
        except Exception as error:
            extra = {"connection_id": info.connection_id}
            _log.error("%s: $disconnect failed", info.connection_id, exc_info=error, extra=extra)

    # -- What the backplane calls

    def deliver(self, connection_id: str, payload: Payload, /) -> Verdict:
        """Send a message to a connection of this node."""
        connection = self._connections.get(connection_id)
        return Verdict.GONE if connection is None else connection.deliver(payload)

    def close(self, connection_id: str, code: int, reason: str, /) -> Verdict:
        """Close a connection of this node."""
        connection = self._connections.get(connection_id)
        return Verdict.GONE if connection is None else connection.close(code, reason)

    def info(self, connection_id: str, /) -> ConnectionInfo | None:
        """Return what is known of a connection of this node."""
        connection = self._connections.get(connection_id)
        return None if connection is None else connection.info

    def connections(self) -> Iterable[ConnectionInfo]:
        """Return all registered connections of this node."""
        # Those that are ending, too: until their $disconnect has begun, somebody has to see to it.
        everyone = {*self._connections.values(), *self._ending}
        return [each.first_info for each in everyone if each.is_registered and not each.is_taken]

    async def orphaned(self, info: ConnectionInfo, /) -> None:
        """Run ``$disconnect`` for a connection of a node that died."""
        await self._run_disconnect(info, _ABNORMAL, "")

    def declared_dead(self) -> None:
        """Close all connections, whose ``$disconnect`` was run by others."""
        _log.error("other nodes took this one for dead: its %d connections are closed", len(self._connections))
        for connection in [*self._connections.values(), *self._ending]:
            connection.is_taken = connection.is_registered
            connection.end(_SERVICE_RESTART, "service restart")

    # -- Rooms

    def has(self, connection_id: str) -> bool:
        """Whether this node has a connection, if only one whose ``$connect`` runs."""
        return connection_id in self._connections

    def deliver_held(self, connection_id: str, payload: Payload) -> Verdict:
        """Send a message to a connection of this node; while its ``$connect`` runs, hold it in any case."""
        connection = self._connections.get(connection_id)
        return Verdict.GONE if connection is None else connection.deliver(payload, holds=True)

    def is_local(self, connection_id: str) -> bool:
        """Whether this node is the one that knows what there is to know of a connection id."""
        return connection_id in self._connections or node_of(connection_id) == self.backplane.node_id

    # -- What applications and the management API ask for, on the thread of the loop

    async def send(self, connection_id: str, payload: Payload) -> Verdict:
        """Send a message to a connection of any node."""
        verdict = self.backplane.send(connection_id, payload, timeout=self.limits.verdict_timeout)
        return self.counters.count(await verdict)

    async def disconnect(self, connection_id: str, code: int = 1000, reason: str = "") -> Verdict:
        """Close a connection of any node."""
        return await self.backplane.close(connection_id, code, reason, timeout=self.limits.verdict_timeout)

    async def describe(self, connection_id: str) -> tuple[Verdict, ConnectionInfo | None]:
        """Ask what is known of a connection of any node."""
        return await self.backplane.info(connection_id, timeout=self.limits.verdict_timeout)

    # -- HTTP

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._management.is_meant(scope):
            await self._management.serve(scope, receive, send)
        elif self._http is not None:
            await self._http(scope, receive, send)
        elif self._place.is_endpoint(scope):
            await respond(send, 426, {"message": "Upgrade Required"}, [(b"upgrade", b"websocket")])
        else:
            await respond(send, 404, {"message": "Not Found"})
