"""Rooms on Redis, as one node sees them: what comes in is told in order; gaps are filled, or reported."""

from __future__ import annotations

import json
import logging
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from autobahnlike.backplane.interface import (
    BackplaneUnavailable,
    Payload,
    PublishUncertain,
    RoomListener,
    RoomMessage,
    RoomMessageTooLarge,
)
from autobahnlike.backplane.memory import check_room, payload_size
from autobahnlike.backplane.redis.client import Client, Listener
from autobahnlike.backplane.redis.connection import RUN_ID
from autobahnlike.backplane.redis.loop import Loop, Promise
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.resp import RedisError, RedisLost, RedisUnavailable, Reply
from autobahnlike.backplane.redis.scripts import PUBLISH, SYNC, Keys

__all__ = ("RoomCounters", "Rooms")

_log = logging.getLogger("autobahnlike.backplane")

# Messages that are held of a room while what is missing before them is fetched; more are fetched as well.
_HELD = 1000
_HELD_BYTES = 1024 * 1024
# Rooms for which it is asked at a time what they lack. A node may have more of them than commands under way.
_SYNCS = 200


@dataclass(slots=True)
class RoomCounters:
    """What has happened in the rooms of a node.

    Attributes:
        received: messages that were told.
        recovered: those of them that had been missed, and were fetched.
        duplicates: messages that came a second time, and were not told again.
        gaps: how often a loss was reported.
    """

    received: int = 0
    recovered: int = 0
    duplicates: int = 0
    gaps: int = 0


class _Subscription:
    """One listener in one room."""

    def __init__(self, rooms: Rooms, room: _Room, listener: RoomListener) -> None:
        self._rooms = rooms
        self._room = room
        self.listener = listener
        # It is told of what comes behind this number, of this epoch.
        self.epoch = b""
        self.after = 0
        # Until that is known, of nothing.
        self.is_told = False

    def joins(self, epoch: bytes, number: int) -> None:
        """From now on it is told of what comes."""
        if not self.is_told:
            self.is_told = True
            self.epoch = epoch
            self.after = number

    async def cancel(self) -> None:
        """Have the listener told no more."""
        self._rooms.cancel(self._room, self)


class _Room:
    """A room with listeners on this node.

    Attributes:
        epoch: see :mod:`~autobahnlike.backplane.redis.scripts`; empty if it is not known yet where the room is.
        last: the number of the last message that was told.
        is_live: whether what comes in is told at once; otherwise it is held.
        synced: is resolved when what is missing has been fetched; None if that is not going on.
        again: whether that has to be done once more.
        checked_at: when it was last known that nothing is missing.
    """

    def __init__(self, name: str, counters: RoomCounters) -> None:
        self.name = name
        self.subscriptions: dict[_Subscription, None] = {}
        self.epoch = b""
        self.last = 0
        self.is_live = False
        self.synced: Promise[None] | None = None
        self.again = False
        self.checked_at = 0.0
        self._counters = counters
        self._held: deque[tuple[bytes, int, bytes]] = deque()
        self._held_bytes = 0

    def published(self, epoch: bytes, number: int, message: bytes) -> bool:
        """Take what was published; returns whether something is missing before it."""
        if not self.is_live:
            self._hold(epoch, number, message)
            return False
        if epoch == self.epoch and number == self.last + 1:
            self._tell(number, message)
            return False
        if epoch == self.epoch and number <= self.last:
            self._counters.duplicates += 1
            return False
        self.is_live = False
        self._hold(epoch, number, message)
        return True

    def _hold(self, epoch: bytes, number: int, message: bytes) -> None:
        self._held.append((epoch, number, message))
        self._held_bytes += len(message)
        if len(self._held) > _HELD or self._held_bytes > _HELD_BYTES:
            # They are in the log.
            self._clear_held()
            self.again = True

    def _clear_held(self) -> None:
        self._held.clear()
        self._held_bytes = 0

    def absorb(self, reply: Reply, asked_for: int) -> bool:
        """Take what was missing; returns whether that is all.

        Args:
            reply: of ``SYNC``.
            asked_for: how many messages it may have at most.
        """
        epoch, head, entries = reply
        if not self.epoch:
            self.epoch, self.last = epoch, head
        elif epoch != self.epoch:
            self._lost(self.last + 1, None)
            self.epoch, self.last = epoch, 0
            return bool(head == 0)
        for key, fields in entries:
            number = int(key.partition(b"-")[0])
            if number > self.last + 1:
                self._lost(self.last + 1, number - 1)
            if number > self.last:
                self._counters.recovered += 1
                self._tell(number, fields[1])
        if self.last < head:
            if len(entries) >= asked_for:
                return False
            self._lost(self.last + 1, head)
            self.last = head
        return True

    def go_live(self) -> bool:
        """Tell what was held, and whatever comes from now on at once; returns False if something is missing again."""
        while self._held:
            epoch, number, message = self._held.popleft()
            self._held_bytes -= len(message)
            if epoch == self.epoch and number == self.last + 1:
                self._tell(number, message)
            elif epoch == self.epoch and number <= self.last:
                self._counters.duplicates += 1
            else:
                # Of an epoch that is over, or in the log.
                self._clear_held()
                return False
        self.is_live = True
        for subscription in self.subscriptions:
            subscription.joins(self.epoch, self.last)
        return True

    def _tell(self, number: int, data: bytes) -> None:
        self.last = number
        self._counters.received += 1
        try:
            message = _decode(self.name, number, data)
        except ValueError:
            _log.error("room %r: what was published as number %d is not of ours", self.name, number)
            return
        for subscription in tuple(self.subscriptions):
            is_old = subscription.epoch == self.epoch and number <= subscription.after
            if subscription.is_told and not is_old and subscription in self.subscriptions:
                try:
                    subscription.listener.room_message(message)
                except Exception:
                    _log.exception("room %r: a listener raised an exception", self.name)

    def _lost(self, first: int, last: int | None) -> None:
        self._counters.gaps += 1
        _log.warning("room %r: messages from %d to %s are lost", self.name, first, last or "an unknown number")
        for subscription in tuple(self.subscriptions):
            if subscription.is_told and subscription in self.subscriptions:
                try:
                    subscription.listener.room_lost(self.name, first, last)
                except Exception:
                    _log.exception("room %r: a listener raised an exception", self.name)


class Rooms:
    """The rooms of one node.

    Args:
        loop: the loop.
        client: for commands.
        listener: for what is published.
        options: names and limits.
        keys: the names of keys.
    """

    def __init__(self, loop: Loop, client: Client, listener: Listener, options: RedisOptions, keys: Keys) -> None:
        self.counters = RoomCounters()
        self._loop = loop
        self._client = client
        self._listener = listener
        self._options = options
        self._keys = keys
        self._rooms: dict[str, _Room] = {}
        self._by_channel: dict[bytes, _Room] = {}
        # As many as a reply may have.
        self._count = min(500, options.max_reply_size // options.max_message_size)
        # Rooms that are still to be brought up to date, and how many coroutines see to that.
        self._behind: dict[_Room, None] = {}
        self._workers = 0
        self._max_workers = max(1, min(_SYNCS, options.max_pending // 4))

    async def subscribe(self, name: str, listener: RoomListener) -> _Subscription:
        """See ``Backplane``."""
        check_room(name)
        channel = self._keys.room_channel(name)
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = self._by_channel[channel.encode()] = _Room(name, self.counters)
            room.checked_at = self._loop.now()
        subscription = _Subscription(self, room, listener)
        room.subscriptions[subscription] = None
        if room.is_live:
            await self._join(room, subscription)
        elif room.synced is not None or await self._listener.subscribe(channel):
            await self._sync(room)
        return subscription

    async def _join(self, room: _Room, subscription: _Subscription) -> None:
        """Have a listener told from where the room is now, which may be further than what has come in."""
        try:
            epoch, number, _ = await self._ask(room, 1)
        except RedisError:
            epoch, number = room.epoch, room.last
        subscription.joins(epoch, number)

    def cancel(self, room: _Room, subscription: _Subscription) -> None:
        """Have a listener told no more."""
        room.subscriptions.pop(subscription, None)
        if not room.subscriptions and self._rooms.get(room.name) is room:
            channel = self._keys.room_channel(room.name)
            del self._rooms[room.name]
            del self._by_channel[channel.encode()]
            self._listener.unsubscribe(channel)

    async def publish(self, name: str, payload: Payload, origin: str) -> int:
        """See ``Backplane``."""
        check_room(name, origin)
        size = payload_size(payload)
        if size > self._options.max_message_size:
            raise RoomMessageTooLarge(
                f"a message to a room has {self._options.max_message_size} bytes at most, not {size}"
            )
        arguments = (self._keys.room_channel(name), _encode(payload, origin), self._options.history)
        try:
            number: int = await self._client.call("EVAL", PUBLISH, 2, *self._head(name), *arguments)
        except RedisUnavailable as error:
            raise BackplaneUnavailable(f"not published: {error}") from error
        except RedisLost as error:
            raise PublishUncertain(f"perhaps published: {error}") from error
        except RedisError as error:
            raise BackplaneUnavailable(f"not published: Redis refuses: {error}") from error
        return number

    def _head(self, name: str) -> tuple[str | bytes | int, ...]:
        ttl = int(self._options.history_ttl * 1000)
        return (self._keys.head(name), self._keys.log(name), RUN_ID, secrets.token_hex(4), ttl)

    def published(self, channel: bytes, data: bytes) -> None:
        """Something was published in a channel."""
        room = self._by_channel.get(channel)
        if room is None:
            return
        head, _, message = data.partition(b"\n")
        epoch, _, number = head.partition(b" ")
        if room.published(epoch, int(number), message):
            self._bring_up_to_date([room])

    def can_ask(self) -> None:
        """The connection for commands is there again: fetch what could not be fetched meanwhile."""
        self._bring_up_to_date([room for room in self._rooms.values() if not room.is_live])

    def hears_again(self) -> None:
        """The connection for what is published is there again: fetch what has been missed.

        In every room: one may have been brought up to date while nothing was heard.
        """
        self._bring_up_to_date(self._rooms.values())

    def went_away(self) -> None:
        """Nothing is heard any more."""
        for room in self._rooms.values():
            room.is_live = False

    def check(self, at_most: int = 100) -> None:
        """See whether something was missed in rooms that have not been looked after for long."""
        due = self._loop.now() - self._options.room_check_interval
        old = [room for room in self._rooms.values() if room.checked_at <= due and room.synced is None]
        self._bring_up_to_date(old[:at_most])

    def _bring_up_to_date(self, rooms: Iterable[_Room]) -> None:
        """Have it fetched what is missing in rooms, in a few of them at a time. Until then, what comes in is held."""
        for room in rooms:
            room.again = True
            room.is_live = False
            self._behind[room] = None
        for _ in range(min(len(self._behind), self._max_workers - self._workers)):
            self._workers += 1
            self._loop.spawn(self._work())

    async def _work(self) -> None:
        try:
            while self._behind:
                room = next(iter(self._behind))
                del self._behind[room]
                await self._sync(room)
        finally:
            self._workers -= 1

    async def _sync(self, room: _Room) -> None:
        """Fetch what is missing in a room until nothing is. If Redis is away, that happens when it is back."""
        room.again = True
        room.is_live = False
        if room.synced is not None:
            await room.synced.wait()
            return
        synced = room.synced = Promise(self._loop)
        try:
            while self._rooms.get(room.name) is room and not room.is_live:
                room.again = False
                if room.absorb(await self._ask(room, self._count), self._count) and not room.again:
                    room.checked_at = self._loop.now()
                    room.go_live()
        except RedisError as error:
            _log.debug("room %r: cannot be brought up to date now: %s", room.name, error)
        finally:
            room.synced = None
            synced.resolve(None)

    async def _ask(self, room: _Room, count: int) -> Any:
        arguments = (room.epoch, room.last + 1, count)
        return await self._client.call("EVAL", SYNC, 2, *self._head(room.name), *arguments)


def _encode(payload: Payload, origin: str) -> bytes:
    head: dict[str, Any] = {"t": 1} if isinstance(payload, str) else {}
    if origin:
        head["o"] = origin
    return (
        json.dumps(head, separators=(",", ":")).encode()
        + b"\n"
        + (payload.encode() if isinstance(payload, str) else payload)
    )


def _decode(room: str, number: int, data: bytes) -> RoomMessage:
    head, _, body = data.partition(b"\n")
    fields: dict[str, Any] = json.loads(head)
    return RoomMessage(room, number, body.decode() if fields.get("t") else body, fields.get("o", ""))
