"""The two connections to Redis that a node keeps: one for commands, and one for what is published."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable

from autobahnlike.backplane.redis.connection import Connection, find_master
from autobahnlike.backplane.redis.loop import Loop, Promise
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.resp import (
    Argument,
    RedisBusy,
    RedisError,
    RedisLost,
    RedisUnavailable,
    Reply,
)
from autobahnlike.backplane.redis.url import RedisUrl

__all__ = ("Client", "Keeper", "Listener")

_log = logging.getLogger("autobahnlike.backplane")

_BATCH = 500


class Keeper:
    """Keeps a connection: connects again, first at once and then ever less often, until it is stopped.

    Args:
        loop: the loop.
        url: where Redis is.
        options: intervals and limits.
        name: what Redis and the log call the connection.
        on_up: called when the connection is usable.
        on_down: called when it is not any more.

    Attributes:
        first: is resolved with how the first attempt ended: with None, or with the error.
        reason: why there is no connection; None if there is one.
        down_since: since when there is none, by the clock of the loop.
        up_since: since when there is one.
        reconnects: how often the connection was lost and made again.
    """

    def __init__(
        self,
        loop: Loop,
        url: RedisUrl,
        options: RedisOptions,
        name: str,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        self.first: Promise[RedisError | None] = Promise(loop)
        self.reason: RedisError | None = RedisUnavailable(f"Redis at {url} has not been asked yet")
        self.down_since = self.up_since = loop.now()
        self.reconnects = 0
        self._loop = loop
        self._url = url
        self._options = options
        self._name = name
        self._on_up = on_up
        self._on_down = on_down
        self._connection: Connection | None = None
        # The one that is being made, or kept.
        self._current: Connection | None = None
        self._is_stopped = False
        self._stopped: Promise[None] = Promise(loop)
        self._ended: Promise[None] = Promise(loop)

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def start(self) -> None:
        """Begin to connect."""
        self._loop.spawn(self._keep())

    async def stop(self) -> None:
        """Drop the connection for good."""
        self._is_stopped = True
        self._stopped.resolve(None)
        if self._current is not None:
            self._current.abort()
        try:
            # Not for as long as connecting to somewhere that does not answer may take.
            await self._ended.wait(1)
        except TimeoutError:
            pass

    def drop(self, why: RedisError) -> None:
        """Drop the connection and make a new one."""
        if self._connection is not None:
            self._connection.abort(why)

    async def _keep(self) -> None:
        failures = 0
        while not self._is_stopped:
            connection = self._current = Connection(self._loop, self._options, self._pushed)
            try:
                await self._open(connection)
            except Exception as error:
                connection.abort()
                if isinstance(error, RedisError):
                    self._refuse(error, failures)
                else:
                    # Whatever it is, who waits for the connection must not wait for ever.
                    _log.exception("%s connection: cannot be made", self._name)
                    self._refuse(RedisUnavailable(f"cannot connect to Redis at {self._url}: {error!r}"), failures)
                failures += 1
            else:
                began = self._loop.now()
                self._adopt(connection)
                self._abandon(await connection.lost.wait())
                # One that is always lost at once is no better than none.
                failures = failures + 1 if self._loop.now() - began < self._options.min_backoff else 0
            if failures and not self._is_stopped:
                await self._pause(failures)
        self._current = None
        self._ended.resolve(None)

    async def _open(self, connection: Connection) -> None:
        place = await find_master(self._loop, self._options, self._url)
        if self._is_stopped:
            raise RedisUnavailable("the backplane was stopped")
        await connection.open(place)
        if self._is_stopped:
            raise RedisUnavailable("the backplane was stopped")
        await connection.log_in(
            self._url.username,
            self._url.password,
            database=self._url.database,
            name=f"{self._options.prefix}-{self._name}",
        )
        await connection.examine()
        await self._prepare(connection)

    async def _prepare(self, connection: Connection) -> None:
        """Do what has to be done before a connection is usable."""

    def _pushed(self, push: list[bytes]) -> None:
        """Something was published."""

    def _refuse(self, error: RedisError, failures: int) -> None:
        if not self._is_stopped and (not failures or str(error) != str(self.reason)):
            _log.warning("%s connection: %s; trying again", self._name, error)
        self.reason = error
        self.first.resolve(error)

    def _adopt(self, connection: Connection) -> None:
        self.up_since = self._loop.now()
        if self.first.is_done:
            self.reconnects += 1
            _log.info("%s connection: Redis at %s is back", self._name, self._url)
        self._connection = connection
        self.reason = None
        self._on_up()
        self.first.resolve(None)

    def _abandon(self, error: RedisError) -> None:
        self._connection = None
        self.reason = error
        self.down_since = self._loop.now()
        if not self._is_stopped:
            _log.warning("%s connection: %s; connecting again", self._name, error)
        self._on_down()

    async def _pause(self, failures: int) -> None:
        longest = min(self._options.max_backoff, self._options.min_backoff * 2 ** min(failures - 1, 30))
        try:
            # So that the nodes do not all come at once.
            await self._stopped.wait(longest * random.uniform(0.5, 1))
        except TimeoutError:
            pass


class Client(Keeper):
    """The connection for commands.

    A command is held for a moment while there is no connection, and sent in its order when there is one.
    """

    def __init__(
        self,
        loop: Loop,
        url: RedisUrl,
        options: RedisOptions,
        name: str,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        super().__init__(loop, url, options, name, on_up, on_down)
        self._held: deque[tuple[Promise[Reply], tuple[Argument, ...]]] = deque()
        self._held_bytes = 0

    async def call(self, *arguments: Argument) -> Reply:
        """Send a command and return the reply. The order of commands is that of the calls.

        Raises:
            RedisRefused: the reply is an error.
            RedisUnavailable: the command was not sent.
            RedisLost: it was sent, and there is no reply.
        """
        return await self.send(*arguments).wait()

    def send(self, *arguments: Argument) -> Promise[Reply]:
        """Send a command now.

        Returns:
            A promise of the reply; for how it can fail see :meth:`call`.
        """
        if self._connection is not None:
            try:
                return self._connection.call(*arguments)
            except RedisUnavailable as error:
                return self._failed(error)
        held_until = self.down_since + self._options.patience
        if self._is_stopped or self._loop.now() >= held_until:
            return self._failed(self._unavailable())
        return self._hold(arguments, held_until)

    def _hold(self, arguments: tuple[Argument, ...], until: float) -> Promise[Reply]:
        size = _size(arguments)
        if len(self._held) >= self._options.max_pending or self._held_bytes + size > self._options.max_pending_bytes:
            return self._failed(
                RedisBusy(f"there is no connection to Redis, and {len(self._held)} commands wait for it")
            )
        if not self._held:
            self._loop.call_later(until - self._loop.now(), self._release)
        promise: Promise[Reply] = Promise(self._loop)
        self._held.append((promise, arguments))
        self._held_bytes += size
        return promise

    def _release(self) -> None:
        """Send what was held, or refuse it."""
        connection = self._connection
        if connection is None and not self._is_stopped and self._loop.now() < self.down_since + self._options.patience:
            # The connection was there in between, and is lost again.
            if self._held:
                self._loop.call_later(self.down_since + self._options.patience - self._loop.now(), self._release)
            return
        held, self._held = self._held, deque()
        self._held_bytes = 0
        for promise, arguments in held:
            if connection is None:
                promise.fail(self._unavailable())
                continue
            try:
                connection.forward(promise, arguments)
            except RedisUnavailable as error:
                promise.fail(error)

    def _unavailable(self) -> RedisUnavailable:
        return RedisUnavailable(f"Redis is away: {self.reason}")

    def _failed(self, error: RedisError) -> Promise[Reply]:
        promise: Promise[Reply] = Promise(self._loop)
        promise.fail(error)
        return promise

    def _adopt(self, connection: Connection) -> None:
        self._connection = connection
        self._release()
        super()._adopt(connection)

    async def stop(self) -> None:
        """Drop the connection for good; what is held is refused."""
        await super().stop()
        self._release()


def _size(arguments: tuple[Argument, ...]) -> int:
    return sum(len(each) if isinstance(each, (str, bytes)) else 8 for each in arguments)


class Listener(Keeper):
    """The connection for what is published.

    What is subscribed to once is subscribed to again on every new connection, before that is taken for usable.

    Args:
        loop: see :class:`Keeper`.
        url: see :class:`Keeper`.
        options: see :class:`Keeper`.
        name: see :class:`Keeper`.
        on_up: see :class:`Keeper`.
        on_down: see :class:`Keeper`.
        on_message: called with a channel and what was published there.
    """

    def __init__(
        self,
        loop: Loop,
        url: RedisUrl,
        options: RedisOptions,
        name: str,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        on_message: Callable[[bytes, bytes], None],
    ) -> None:
        super().__init__(loop, url, options, name, on_up, on_down)
        self._channels: dict[str, None] = {}
        self._on_message = on_message

    def _pushed(self, push: list[bytes]) -> None:
        _, channel, data = push
        self._on_message(channel, data)

    async def subscribe(self, channel: str) -> bool:
        """Subscribe to a channel.

        Returns:
            Whether whatever is published from now on comes in. If not, that is so when the connection is back.
        """
        self._channels[channel] = None
        connection = self._connection
        if connection is None:
            return False
        connection.tell("SUBSCRIBE", channel)
        try:
            # Confirmations do not say what they confirm if they are errors; a reply to this comes behind either.
            await connection.call("PING").wait()
        except RedisError as error:
            connection.abort(RedisLost(f"cannot subscribe: {error}"))
            return False
        return True

    def unsubscribe(self, channel: str) -> None:
        """Leave a channel."""
        if channel in self._channels:
            del self._channels[channel]
            if self._connection is not None:
                self._connection.tell("UNSUBSCRIBE", channel)

    async def _prepare(self, connection: Connection) -> None:
        done: set[str] = set()
        while missing := [channel for channel in self._channels if channel not in done]:
            for start in range(0, len(missing), _BATCH):
                connection.tell("SUBSCRIBE", *missing[start : start + _BATCH])
            done.update(missing)
            await connection.call("PING").wait()
        for channel in done - self._channels.keys():
            connection.tell("UNSUBSCRIBE", channel)
