"""Nodes on a real Redis, on asyncio, on Twisted, and on both at once; and how stories about them are run."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from autobahnlike.backplane import Backplane, ConnectionInfo, Node, Payload, RoomListener, Subscription, Verdict
from autobahnlike.backplane.redis import RedisBackplane
from autobahnlike.backplane.redis.options import RedisOptions
from tests.backplane.suite import TOO_LARGE, Peer, RecordingNode, World

__all__ = ("WORLDS", "AsyncioWorld", "BothWorld", "RedisWorld", "TwistedWorld", "halt", "inner")

PATIENCE = 20.0
_LOOK = 0.005


def fast(**changes: Any) -> RedisOptions:
    """Options with which little time passes in tests."""
    chosen = {
        "prefix": f"test-{secrets.token_hex(4)}",
        "heartbeat_interval": 0.1,
        "node_timeout": 1.0,
        "min_backoff": 0.02,
        "max_backoff": 0.2,
        "max_message_size": TOO_LARGE - 1,
        "verdict_timeout": 10.0,
        **changes,
    }
    return RedisOptions(**chosen)


class RedisWorld(World):
    """Nodes on one Redis.

    Args:
        url: where it is.
        changes: of the options.

    Attributes:
        options: those of all nodes.
        peers: the nodes.
    """

    def __init__(self, url: str, **changes: Any) -> None:
        self.url = url
        self.options = fast(**changes)
        self.peers: list[Peer] = []

    def make(self, options: RedisOptions, url: str) -> Backplane:
        """Return a backplane for the next node."""
        raise NotImplementedError

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        raise NotImplementedError

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        """Run a story to its end, and stop all nodes."""
        raise NotImplementedError

    async def peer(self, url: str = "", **changes: Any) -> Peer:
        options = fast(**{"prefix": self.options.prefix, **changes}) if changes else self.options
        peer = Peer(self.make(options, url or self.url), RecordingNode())
        self.peers.append(peer)
        await peer.backplane.start(peer.node)
        return peer

    async def kill(self, peer: Peer) -> None:
        await halt(peer)

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            await self.pause(_LOOK)

    async def told(self, story: Coroutine[Any, Any, None]) -> None:
        try:
            await story
        finally:
            for peer in self.peers:
                await peer.backplane.stop()


class AsyncioWorld(RedisWorld):
    """As tasks of asyncio."""

    def make(self, options: RedisOptions, url: str) -> Backplane:
        return RedisBackplane(url, options=options)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def together(self, *works: Awaitable[None]) -> None:
        await asyncio.gather(*works)

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        asyncio.run(asyncio.wait_for(self.told(story), 60))


class TwistedWorld(RedisWorld):
    """By Deferreds, on a reactor that has nothing to do with asyncio."""

    reactor: Any

    def make(self, options: RedisOptions, url: str) -> Backplane:
        return RedisBackplane(url, options=options, reactor=self.reactor)

    async def pause(self, seconds: float) -> None:
        pause: Deferred[None] = Deferred()
        self.reactor.callLater(seconds, pause.callback, None)
        await pause

    async def together(self, *works: Awaitable[None]) -> None:
        await gatherResults([Deferred.fromCoroutine(cast("Coroutine[Any, Any, None]", work)) for work in works])

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        make: Any = EPollReactor
        self.reactor = make()
        results: list[Any] = []

        def ended(result: Any) -> None:
            results.append(result)
            # What was dropped is closed on the next turn.
            self.reactor.callLater(0.01, self.reactor.crash)

        def begin() -> None:
            Deferred.fromCoroutine(self.told(story)).addTimeout(30, self.reactor).addBoth(ended)

        self.reactor.callWhenRunning(begin)
        self.reactor.run(installSignalHandlers=False)
        # The threads in which names were looked up do not end by themselves.
        if self.reactor.threadpool is not None:
            self.reactor.threadpool.stop()
        for descriptor in self.reactor.removeAll():
            descriptor.connectionLost(Failure(ConnectionAborted()))  # type: ignore[no-untyped-call]
        self.reactor._poller.close()
        if isinstance(results[0], Failure):
            results[0].raiseException()


class BothWorld(AsyncioWorld):
    """One node as tasks of asyncio, the next by Deferreds, and so on, on one loop."""

    def make(self, options: RedisOptions, url: str) -> Backplane:
        if len(self.peers) % 2 == 0:
            return super().make(options, url)
        loop = asyncio.get_running_loop()
        return _Across(RedisBackplane(url, options=options, reactor=AsyncioSelectorReactor(loop)))


class _Across:
    """A backplane that Deferreds drive, for a caller that is a task of asyncio."""

    def __init__(self, inner: RedisBackplane) -> None:
        self.inner = inner

    @property
    def node_id(self) -> bytes:
        return self.inner.node_id

    @property
    def health(self) -> Any:
        return self.inner.health

    async def start(self, node: Node, /) -> None:
        await _across(self.inner.start(node))

    async def stop(self) -> None:
        await _across(self.inner.stop())

    async def register(self, info: ConnectionInfo, /) -> None:
        await _across(self.inner.register(info))

    async def unregister(self, connection_id: str, /) -> bool:
        return bool(await _across(self.inner.unregister(connection_id)))

    async def send(self, connection_id: str, payload: Payload, /, *, timeout: float | None = None) -> Verdict:  # noqa: ASYNC109
        return cast("Verdict", await _across(self.inner.send(connection_id, payload, timeout=timeout)))

    async def close(self, connection_id: str, code: int, reason: str, /, *, timeout: float | None = None) -> Verdict:  # noqa: ASYNC109
        return cast("Verdict", await _across(self.inner.close(connection_id, code, reason, timeout=timeout)))

    async def info(
        self,
        connection_id: str,
        /,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[Verdict, ConnectionInfo | None]:
        answer: tuple[Verdict, ConnectionInfo | None] = await _across(self.inner.info(connection_id, timeout=timeout))
        return answer

    async def subscribe(self, room: str, listener: RoomListener, /) -> Subscription:
        return _AcrossSubscription(await _across(self.inner.subscribe(room, listener)))

    async def publish(self, room: str, payload: Payload, /, *, origin: str = "") -> int:
        return int(await _across(self.inner.publish(room, payload, origin=origin)))


class _AcrossSubscription:
    def __init__(self, inner: Subscription) -> None:
        self._inner = inner

    async def cancel(self) -> None:
        await _across(self._inner.cancel())


async def _across(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await Deferred.fromCoroutine(coroutine).asFuture(asyncio.get_running_loop())


WORLDS = (AsyncioWorld, TwistedWorld, BothWorld)


def inner(peer: Peer) -> RedisBackplane:
    """Return the backplane itself."""
    backplane = peer.backplane
    if isinstance(backplane, _Across):
        return backplane.inner
    assert isinstance(backplane, RedisBackplane)
    return backplane


async def halt(peer: Peer) -> None:
    """Have a node die without a word."""
    backplane = inner(peer)
    backplane._is_stopped = True
    assert backplane._running is not None
    work = backplane._running.halt()
    await (_across(work) if isinstance(peer.backplane, _Across) else work)
