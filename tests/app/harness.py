"""An ASGI server in memory, which runs an application both ways: as tasks of asyncio, and by Deferreds alone.

A test is a coroutine function; ``both_ways`` makes two tests of it::

    @both_ways
    async def test_echo(way: Way) -> None:
        talk = await way.talk(router, "/echo", "hi")
        assert talk.wire == [101, "You said: hi", ("close", 1000)]

Driven by Deferreds there is no event loop, no reactor and no time: what waits for something that nobody does is found
out at once. The server keeps to the ASGI specification and complains about applications that do not.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from autobahnlike.app.routing import Router

Target: TypeAlias = ASGIApp | Router
Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


class ClientGone(OSError):
    """What the server's ``send`` raises when the connection is gone."""


class Way:
    """One way of running coroutines, and what a test does with an application that is run so."""

    name: str
    clients: list[Client]

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        """Run a test to its end."""
        raise NotImplementedError

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        """Start a coroutine beside the test."""
        raise NotImplementedError

    def waiter(self) -> Any:
        """Return something that can be awaited until it is woken."""
        raise NotImplementedError

    def wake(self, waiter: Any) -> None:
        """Have those go on that await it."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Let everything go on as far as it can."""
        raise NotImplementedError

    async def connect(
        self,
        app: Target,
        path: str,
        /,
        *,
        headers: Headers = (),
        subprotocols: Iterable[str] = (),
        **scope: Any,
    ) -> Client:
        """Open a WebSocket to an application; returns as soon as the application waits or has ended."""
        client = Client(self, websocket_scope(path, headers, subprotocols, **scope))
        client.put({"type": "websocket.connect"})
        client.task = self.spawn(client.serve(as_app(app)))
        self.clients.append(client)
        await self.settle()
        return client

    async def talk(
        self,
        app: Target,
        path: str,
        /,
        *messages: str | bytes,
        disconnect: int | None = 1000,
        headers: Headers = (),
        subprotocols: Iterable[str] = (),
        **scope: Any,
    ) -> Talk:
        """Have a whole conversation: send these messages, and close when the application wants another one.

        Args:
            app: the application.
            path: the target of the request, with a query.
            messages: what the client sends.
            disconnect: the code of the client's close.
            headers: header fields of the request.
            subprotocols: what the client offers.
            scope: what else is in the scope.
        """
        client = Client(self, websocket_scope(path, headers, subprotocols, **scope), when_starved=disconnect)
        client.put({"type": "websocket.connect"})
        for message in messages:
            client.send(message)
        client.task = self.spawn(client.serve(as_app(app)))
        await client.ended()
        return Talk(client.wire, client.error, client.sent)

    async def request(
        self, app: Target, path: str, method: str = "GET", headers: Headers = (), body: bytes = b"", **scope: Any
    ) -> Response:
        """Send an HTTP request and return the response."""
        exchange = Exchange(self, http_scope(path, method, headers, **scope), body)
        await self.spawn(exchange.serve(as_app(app)))
        return exchange.response()

    @asynccontextmanager
    async def lifespan(self, app: ASGIApp) -> AsyncIterator[dict[str, Any]]:
        """Start an application up, and shut it down on leaving; gives the state of the lifespan."""
        state: dict[str, Any] = {}
        events = Mailbox(self)
        replies = Mailbox(self)
        events.put({"type": "lifespan.startup"})

        async def reply(event: Message) -> None:
            replies.put(event)

        async def serve() -> None:
            scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
            await app(scope, events.get, reply)

        task = self.spawn(serve())
        started = await replies.get()
        assert started["type"] == "lifespan.startup.complete", started
        yield state
        events.put({"type": "lifespan.shutdown"})
        stopped = await replies.get()
        assert stopped["type"] == "lifespan.shutdown.complete", stopped
        await task


class AsyncioWay(Way):
    """As tasks of asyncio."""

    name = "asyncio"

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        asyncio.run(asyncio.wait_for(story, 60))

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        return asyncio.ensure_future(coroutine)

    def waiter(self) -> Any:
        return asyncio.get_running_loop().create_future()

    def wake(self, waiter: Any) -> None:
        if not waiter.done():
            waiter.set_result(None)

    async def settle(self) -> None:
        # Each turn of the loop takes every coroutine one wait further; none of the tests has more than these in a row.
        for _ in range(50):
            await asyncio.sleep(0)


class TwistedWay(Way):
    """By Deferreds, without an event loop."""

    name = "twisted"

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        results: list[Any] = []
        Deferred.fromCoroutine(story).addBoth(results.append)
        assert results, "the test waits for something that never happens"
        if isinstance(results[0], Failure):
            results[0].raiseException()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        return Deferred.fromCoroutine(coroutine)

    def waiter(self) -> Any:
        return Deferred()

    def wake(self, waiter: Any) -> None:
        if not waiter.called:
            waiter.callback(None)

    async def settle(self) -> None:
        pass


WAYS = (AsyncioWay(), TwistedWay())


async def to_the_end(way: Way, story: Coroutine[Any, Any, None]) -> None:
    """Run a test, and have all clients go that it has left."""
    way.clients = []
    await story
    for client in way.clients:
        client.leave()
    await way.settle()


def both_ways(story: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine function whose first parameter gets the way; the others get fixtures."""
    parameters = list(inspect.signature(story).parameters.values())

    def test(way: Way, **fixtures: Any) -> None:
        way.run(to_the_end(way, story(way, **fixtures)))

    test.__name__ = test.__qualname__ = story.__name__
    test.__doc__ = story.__doc__
    test.__module__ = story.__module__
    test.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(name="way") if each is parameters[0] else each for each in parameters]
    )
    for mark in getattr(story, "pytestmark", []):
        test = getattr(pytest.mark, mark.name)(*mark.args, **mark.kwargs)(test)
    marked: Callable[..., None] = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)(test)
    return marked


@dataclass
class Talk:
    """A conversation that is over.

    Attributes:
        wire: what the client saw: 101 or the status it was refused with, messages, ``("close", code)``.
        error: the exception that reached the server.
        events: the ASGI events that the application sent.
    """

    wire: list[Any]
    error: BaseException | None
    events: list[Message]


class Mailbox:
    """Events on their way to one that waits for them."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._events: deque[Any] = deque()
        self._waiters: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Any) -> None:
        self._events.append(event)
        if self._waiters:
            self._way.wake(self._waiters.popleft())

    async def get(self) -> Any:
        while not self._events:
            waiter = self._way.waiter()
            self._waiters.append(waiter)
            await waiter
        return self._events.popleft()


@dataclass
class Client:
    """The client's end of a WebSocket.

    Attributes:
        way: how the application is run.
        scope: the scope of the connection.
        when_starved: the code with which the client closes when the application receives and there is nothing; None to
            have it wait.
        sent: every event that the application has sent.
        wire: what the client saw: 101 or the status it was refused with, messages, ``("close", code)``.
        error: the exception with which the application has ended.
        task: the running application.
        received: how often the application has waited for an event.
    """

    way: Way
    scope: Scope
    when_starved: int | None = None
    sent: list[Message] = field(default_factory=list)
    wire: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    task: Awaitable[Any] | None = None
    received: int = 0

    def __post_init__(self) -> None:
        self._incoming = Mailbox(self.way)
        self._outgoing = Mailbox(self.way)
        self._gates: list[Any] | None = None
        self._accepted = self._closed = self._denying = False
        self._gone: Message | None = None

    async def serve(self, app: ASGIApp) -> None:
        """Run the application for this connection."""
        try:
            await app(self.scope, self._receive, self._send)
        except Exception as exc:
            self.error = exc
        self._outgoing.put("ended")

    async def _receive(self) -> Message:
        self.received += 1
        if not len(self._incoming):
            if self._gone is not None:
                return self._gone
            if self.when_starved is not None:
                self.disconnect(self.when_starved)
        event: Message = await self._incoming.get()
        if event["type"] == "websocket.disconnect":
            self._gone = event
        return event

    async def _send(self, event: Message) -> None:
        if self._gates is not None:
            gate = self.way.waiter()
            self._gates.append(gate)
            await gate
        if self._gone is not None or any(each["type"] == "websocket.disconnect" for each in self._incoming._events):
            raise ClientGone("the client has gone")
        seen = self._check(event)
        self.sent.append(event)
        self.wire.append(seen)
        self._outgoing.put(seen)

    def _check(self, event: Message) -> Any:
        """Return what the client sees of an event.

        Complains about events that the ASGI specification does not allow (HTTP and WebSocket, version 2.5).
        """
        kind = event["type"]
        assert not self._closed, f"{event} after the end"
        if kind == "websocket.accept":
            assert not self._accepted, "accepted twice"
            assert set(event) <= {"type", "subprotocol", "headers"}, event
            assert all(isinstance(part, bytes) for pair in event.get("headers", ()) for part in pair), event
            self._accepted = True
            return 101
        if kind == "websocket.send":
            assert self._accepted, "sent before it was accepted"
            text, data = event.get("text"), event.get("bytes")
            assert (text is None) != (data is None), event
            assert isinstance(text, str) if data is None else isinstance(data, bytes), event
            return text if data is None else data
        if kind == "websocket.close":
            assert set(event) <= {"type", "code", "reason"}, event
            assert isinstance(event.get("code", 1000), int), event
            assert not self._denying, "closed in the middle of an HTTP response"
            self._closed = True
            code = event.get("code", 1000)
            self._incoming.put({"type": "websocket.disconnect", "code": code, "reason": event.get("reason", "")})
            return ("close", code) if self._accepted else 403
        if kind == "websocket.http.response.start":
            assert not self._accepted, "an HTTP response on a WebSocket"
            self._denying = True
            return event["status"]
        assert kind == "websocket.http.response.body", event
        assert self._denying, "the body of no response"
        self._closed = not event.get("more_body", False)
        return event.get("body", b"")

    def put(self, event: Message) -> None:
        """Have the application receive an event."""
        self._incoming.put(event)

    def send(self, message: str | bytes) -> None:
        """Send a message, with both members in the event, as the specification allows."""
        is_text = isinstance(message, str)
        self.put(
            {
                "type": "websocket.receive",
                "text": message if is_text else None,
                "bytes": None if is_text else message,
            }
        )

    def disconnect(self, code: int | None = 1005, reason: str = "") -> None:
        """Go away."""
        self.put({"type": "websocket.disconnect", "code": code, "reason": reason})

    def hold_sends(self) -> None:
        """From now on have the application wait in ``send``, like for a client that reads nothing."""
        self._gates = []

    def release_sends(self, count: int | None = None) -> int:
        """Let those go on that wait in ``send``: the first ones, or all, and hold no more.

        Returns:
            How many there were.
        """
        assert self._gates is not None
        gates = self._gates if count is None else self._gates[:count]
        self._gates = None if count is None else self._gates[count:]
        for gate in list(gates):
            self.way.wake(gate)
        return len(gates)

    def leave(self) -> None:
        """Let the application end, wherever it waits."""
        self.disconnect(1006)
        if self._gates is not None:
            self.release_sends()

    @property
    def held(self) -> int:
        """How many calls of ``send`` wait."""
        return len(self._gates or ())

    async def next(self) -> Any:
        """Wait for what the client sees next: 101, a status, a message, ``("close", code)``; "ended" if nothing."""
        return await self._outgoing.get()

    async def ended(self) -> BaseException | None:
        """Wait until the application has ended; returns its exception."""
        assert self.task is not None
        await self.task
        return self.error


@dataclass
class Response:
    """An HTTP response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def header(self, name: str) -> str | None:
        """Return the last header field of a name."""
        return dict(self.headers).get(name.lower())


@dataclass
class Exchange:
    """One HTTP request and its response."""

    way: Way
    scope: Scope
    body: bytes
    sent: list[Message] = field(default_factory=list)
    _asked: bool = False

    async def serve(self, app: ASGIApp) -> None:
        await app(self.scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._asked:
            return {"type": "http.disconnect"}
        self._asked = True
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def _send(self, event: Message) -> None:
        self.sent.append(event)

    def response(self) -> Response:
        start, *rest = self.sent
        assert start["type"] == "http.response.start", self.sent
        assert rest, "a response without a body event"
        assert all(event["type"] == "http.response.body" for event in rest), self.sent
        assert not rest[-1].get("more_body", False), "a response that does not end"
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]
        return Response(start["status"], headers, b"".join(event.get("body", b"") for event in rest))


def as_app(target: Target) -> ASGIApp:
    """Return an application; a router by itself is made one."""
    if not isinstance(target, Router):
        return target
    router = target

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found = router.find(scope)
        if found is None:
            await send({"type": "websocket.close", "code": 403})
            return
        route, child_scope = found
        await route(child_scope, receive, send)

    return app


def _base_scope(path: str, headers: Headers, **more: Any) -> Scope:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    raw_path, _, query = path.partition("?")
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    if not any(name == b"host" for name, _ in fields):
        fields.insert(0, (b"host", b"testserver"))
    return {
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": fields,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
        "state": {},
        **more,
    }


def websocket_scope(path: str, headers: Headers = (), subprotocols: Iterable[str] = (), **more: Any) -> Scope:
    """Return the scope of a WebSocket connection to a path with a query."""
    scope = {"type": "websocket", "scheme": "ws", "subprotocols": list(subprotocols), "extensions": {}}
    return {**_base_scope(path, headers), **scope, **more}


def http_scope(path: str, method: str = "GET", headers: Headers = (), **more: Any) -> Scope:
    """Return the scope of an HTTP request to a path with a query."""
    return {**_base_scope(path, headers), "type": "http", "method": method, "scheme": "http", **more}
