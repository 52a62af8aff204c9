"""Applications that share rooms in one process, and a backplane that does what a test wants."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from autobahnlike.app import App, WebSocket
from autobahnlike.app.driver import Driver
from autobahnlike.backplane import Health, MemoryBackplane, MemoryHub, RoomListener, RoomMessage, Subscription
from tests.app.harness import Client, Way

__all__ = ("Clock", "Ear", "Wire", "heard", "node", "pair", "present")


class Ear:
    """A listener that is told when the test wants."""

    def __init__(self, wire: Wire, listener: RoomListener) -> None:
        self._wire = wire
        self.listener = listener

    def room_message(self, message: RoomMessage, /) -> None:
        if self._wire.held is None:
            self.listener.room_message(message)
        else:
            self._wire.held.append((self.listener, message))

    def room_lost(self, room: str, first: int, last: int | None, /) -> None:
        raise AssertionError("nothing is lost in memory")


class Wire(MemoryBackplane):
    """A backplane between which and its node there is something.

    Attributes:
        held: what has not come back yet; None if everything comes at once.
        before: raised instead of publishing.
        after: raised after publishing.
        ill: what is wrong with it; empty if nothing is.
        subscribing: waiters of those who subscribe; None if that does not take time.
        subscriptions: how often there was one.
        starts: how often it was started, minus how often it was stopped.
    """

    def __init__(self, way: Way, hub: MemoryHub | None = None, **options: Any) -> None:
        super().__init__(hub, **options)
        self.way = way
        self.held: deque[tuple[RoomListener, RoomMessage]] | None = None
        self.before: BaseException | None = None
        self.after: BaseException | None = None
        self.ill = ""
        self.subscribing: list[Any] | None = None
        self.subscriptions = 0
        self.starts = 0
        self.listener: RoomListener | None = None

    async def start(self, node: Any, /) -> None:
        self.starts += 1
        if self.before is not None:
            raise self.before
        await super().start(node)

    async def stop(self) -> None:
        self.starts -= 1
        await super().stop()

    @property
    def health(self) -> Health:
        return Health(False, self.ill) if self.ill else super().health

    async def subscribe(self, room: str, listener: RoomListener, /) -> Any:
        self.subscriptions += 1
        if self.subscribing is not None:
            self.subscribing.append(self.way.waiter())
            await self.subscribing[-1]
        if self.before is not None:
            raise self.before
        self.listener = listener
        subscription: Subscription = await super().subscribe(room, Ear(self, listener))
        return subscription

    async def publish(self, room: str, payload: str | bytes, /, *, origin: str = "") -> int:
        if self.before is not None:
            raise self.before
        number = await super().publish(room, payload, origin=origin)
        if self.after is not None:
            raise self.after
        return number

    def hold(self) -> None:
        """Have nothing come back."""
        self.held = deque()

    async def release(self, count: int | None = None) -> None:
        """Have the first of what is held come back: in a callback of the loop, as from a socket."""
        assert self.held is not None
        held = self.held
        number = 0
        while held and number != count:
            number += 1
            listener, message = held.popleft()
            self._call(lambda listener=listener, message=message: listener.room_message(message))  # type: ignore[misc]
        if count is None:
            self.held = None
        await self.way.settle()

    async def lose(self, count: int, *, is_known: bool = True) -> None:
        """Have the first of what is held be lost, and reported."""
        assert self.held is not None
        lost = [self.held.popleft() for _ in range(count)]
        listener, first = lost[0]
        last = lost[-1][1].sequence if is_known else None
        self._call(lambda: listener.room_lost(first.room, first.sequence, last))
        await self.way.settle()

    def _call(self, function: Callable[[], None]) -> None:
        if self.way.name == "asyncio":
            asyncio.get_running_loop().call_soon(function)
        else:
            function()


class Clock:
    """The time of all drivers."""

    def __init__(self, monkeypatch: Any) -> None:
        self.now = 0.0
        self.timers: list[_Timer] = []
        monkeypatch.setattr(Driver, "call_later", lambda _, seconds, function: self._later(seconds, function))

    def _later(self, seconds: float, function: Callable[[], object]) -> _Timer:
        timer = _Timer(self, self.now + seconds, function)
        self.timers.append(timer)
        return timer

    def pass_time(self, seconds: float) -> None:
        """Have happen what is due then."""
        self.now += seconds
        for timer in [timer for timer in self.timers if timer.due <= self.now]:
            timer.cancel()
            timer.function()


class _Timer:
    def __init__(self, clock: Clock, due: float, function: Callable[[], object]) -> None:
        self._clock = clock
        self.due = due
        self.function = function

    def cancel(self) -> None:
        self._clock.timers.remove(self)


def node(backplane: MemoryBackplane | None, **options: Any) -> App:
    """An application with a room for each path, in which everybody may say something.

    What begins with an exclamation mark is not heard by who said it. Who says "leave" leaves, and joins again with
    "join".
    """
    app = App()
    if backplane is not None:
        app.use_backplane(backplane)

    @app.websocket_route("/{name}")
    async def talk(ws: WebSocket, name: str) -> None:
        # Not held, as it would be kept then.
        await app.room(name, **options).join(ws)
        async for message in ws:
            if message == "leave":
                await app.room(name, **options).leave(ws)
            elif message == "join":
                await app.room(name, **options).join(ws)
            else:
                await app.room(name, **options).broadcast(message, exclude=ws if message[0] == "!" else ())

    return app


async def present(way: Way, app: App, count: int = 1, path: str = "/r", **scope: Any) -> list[Client]:
    """Clients in a room."""
    return [await way.connect(app, path, **scope) for _ in range(count)]


def heard(*clients: Client) -> list[list[Any]]:
    return [client.wire[1:] for client in clients]


async def pair(way: Way, **options: Any) -> tuple[MemoryHub, Wire, App, Wire, App]:
    """Two applications, each with its backplane."""
    hub = MemoryHub()
    one, other = Wire(way, hub), Wire(way, hub)
    return hub, one, node(one, **options), other, node(other, **options)
