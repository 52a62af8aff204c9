"""Gateways in memory: on a loop whose time stands still, with threads that are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from autobahnlike.gateway import Gateway, WebsocketEvent
from tests.app.harness import Client, Way

__all__ = (
    "BEGIN",
    "FakeLoop",
    "InlineThreads",
    "Timer",
    "echo",
    "error_of",
    "gateway",
    "id_of",
    "open_client",
    "talk",
)

BEGIN = 1_731_324_924.553
"""When tests begin, in seconds since 1970: 2024-11-11T11:35:24.553Z."""


@dataclass
class Timer:
    """A timer that is due at some time."""

    loop: FakeLoop
    due: float
    function: Callable[[], object]

    def cancel(self) -> None:
        self.loop.timers.remove(self)


class FakeLoop:
    """A loop without time of its own; coroutines are run the way of the test."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.time = BEGIN
        self.timers: list[Timer] = []

    def spawn(self, coroutine: Coroutine[Any, Any, None], /) -> Any:
        return self.way.spawn(coroutine)

    def call_later(self, seconds: float, function: Callable[[], object], /) -> Timer:
        timer = Timer(self, self.time + seconds, function)
        self.timers.append(timer)
        return timer

    def call_soon_threadsafe(self, function: Callable[[], object], /) -> object:
        return function()

    def is_own_thread(self) -> bool:
        return True

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and happen what is due."""
        end = self.time + seconds
        while True:
            await self.way.settle()
            due = min((timer for timer in self.timers if timer.due <= end), key=lambda timer: timer.due, default=None)
            if due is None:
                break
            self.time = max(self.time, due.due)
            self.timers.remove(due)
            due.function()
        self.time = end
        await self.way.settle()


class InlineThreads:
    """Runs at once what is submitted, or holds it.

    Attributes:
        held: what was submitted; None if it is run at once.
    """

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] | None = None

    def submit(self, job: Callable[[], None], done: Callable[[], None], /) -> None:
        def both() -> None:
            job()
            done()

        if self.held is None:
            both()
        else:
            self.held.append(both)

    def release(self) -> None:
        """Run what is held."""
        held, self.held = self.held or [], None
        for job in held:
            job()


def gateway(way: Way, **options: Any) -> Gateway:
    """Return a gateway for a test; ``app.core.loop`` is a :class:`FakeLoop`."""
    loop = FakeLoop(way)
    app = Gateway("test", loop=loop, threads=InlineThreads(), time=lambda: loop.time, **options)
    # Also before it is started.
    app.core.loop = loop
    # One without any handler has no WebSockets.
    app.on_ws_route("unused")(unused)
    return app


async def unused(event: Any) -> None:
    """A handler that no test calls."""
    raise AssertionError(event)


async def open_client(way: Way, app: Any, path: str = "/api/", **options: Any) -> Client:
    """Connect, and wait for the 101."""
    client = await way.connect(app, path, **options)
    assert client.wire[:1] == [101], client.wire
    return client


async def talk(
    way: Way, app: Any, path: str, /, *messages: str | bytes, disconnect: int = 1000, **options: Any
) -> Client:
    """Have a whole conversation with a client that waits after each message; returns the client."""
    client = await way.connect(app, path, **options)
    for message in messages:
        client.send(message)
        await way.settle()
    client.disconnect(disconnect)
    await client.ended()
    await way.settle()
    return client


def error_of(frame: Any) -> str:
    """Return what an error frame says; complains if it is none."""
    error = json.loads(frame)
    assert set(error) == {"message", "connectionId", "requestId"}, error
    assert all(isinstance(value, str) and value for value in error.values()), error
    message: str = error["message"]
    return message


def echo(app: Gateway) -> list[str]:
    """Have a gateway echo; returns the list of what happens."""
    calls: list[str] = []

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> None:
        calls.append(f"connect {event.connection_id}")

    @app.on_ws_message()
    def message(event: WebsocketEvent) -> None:
        calls.append(f"message {event.body}")
        app.websocket_api.send(event.connection_id, event.body or "")

    @app.on_ws_disconnect()
    def disconnect(event: WebsocketEvent) -> None:
        code = event.to_dict()["requestContext"]["disconnectStatusCode"]
        calls.append(f"disconnect {event.connection_id} {code}")

    return calls


def id_of(app: Gateway) -> str:
    (info,) = app.core.connections()
    return info.connection_id
