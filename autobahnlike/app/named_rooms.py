"""Rooms by their names, which reach over all processes of an application that has a backplane.

:meth:`App.room() <autobahnlike.app.application.App.room>` gives them. With a backplane, what is broadcast is published
there, and sent to the members in this process when it comes back: so all members, in all processes, see one order.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from autobahnlike.app.following import JOINED, Follower
from autobahnlike.app.rooms import Broadcast, Policy, Room, RoomCounters, encode
from autobahnlike.app.waiting import Latch
from autobahnlike.app.websocket import WebSocket
from autobahnlike.backplane.interface import BackplaneUnavailable, Payload, PublishUncertain, RoomMessage
from autobahnlike.backplane.memory import check_room

if TYPE_CHECKING:
    from autobahnlike.app.driver import Driver
    from autobahnlike.backplane.interface import Backplane, Subscription

__all__ = ("NamedRoom", "NamedRooms")

_log = logging.getLogger("autobahnlike.app")

# "Service restart" in the IANA registry of close codes.
_SERVICE_RESTART = 1012

# Seconds to wait for a message that was published to come back. A backplane says sooner that it is lost.
_RETURN_TIMEOUT = 10.0
# Messages of this process of which it is remembered who does not get them: those that were published and have not come
# back, and those that perhaps were published.
_MAX_REMEMBERED = 10_000


class _Own:
    """A message that this process publishes.

    Attributes:
        message: what is sent to the members, if the one who broadcasts waits for that; else None.
        excluded: who does not get it.
        number: its number in the room; 0 if it is not known.
        latch: opens when it has come back, or never will.
        has_returned: whether it has come back.
        is_reserved: whether there is space for it in all outboxes.
    """

    __slots__ = ("excluded", "has_returned", "is_reserved", "latch", "message", "number")

    def __init__(self, message: Broadcast | None, excluded: Collection[WebSocket]) -> None:
        self.message = message
        self.excluded = excluded
        self.number = 0
        self.latch = Latch()
        self.has_returned = False
        self.is_reserved = False


class _Listener:
    """What a room has for a subscription, so that a room has no methods which are not for its users."""

    def __init__(self, room: NamedRoom) -> None:
        self._room = room

    def room_message(self, message: RoomMessage, /) -> None:
        self._room._told(message)

    def room_lost(self, room: str, first: int, last: int | None, /) -> None:
        self._room._lost(first, last)


class NamedRoom(Follower, Room):
    """A room of this process, or what this process has of one that reaches over many.

    Args:
        rooms: the rooms that it is one of.
        name: its name.
        policy: see :class:`~autobahnlike.app.rooms.Room`.
        limit: see there.
        limit_bytes: see there.
    """

    def __init__(self, rooms: NamedRooms, name: str, *, policy: Policy, limit: int, limit_bytes: int) -> None:
        super().__init__(name, policy=policy, limit=limit, limit_bytes=limit_bytes)
        self._options = {"policy": policy, "limit": limit, "limit_bytes": limit_bytes}
        self._rooms = rooms
        # By the token that is their origin, in the order in which they are published.
        self._own: dict[str, _Own] = {}
        # Those of which it is not known whether they were published: they may come late, or never.
        self._uncertain: dict[str, _Own] = {}
        # What waits for these to come back: messages, and their bytes.
        self._reserved = self._reserved_bytes = 0
        # Whether it follows since the backplane is away: nothing that is published now would be told here.
        self._is_deaf = False
        # The last number that was told or reported as lost.
        self._last = 0
        self._launches: list[Callable[[], None]] | None = None

    def __del__(self) -> None:
        # If it was made at all.
        rooms: NamedRooms | None = getattr(self, "_rooms", None)
        if rooms is not None:
            rooms.keep_counters(self.counters)

    # -- Members

    async def join(self, ws: WebSocket) -> None:
        """Let a connection take part, from the next message on, of whichever process. Accepts it if that was held back.

        It leaves by itself when it ends.

        Args:
            ws: the connection, which is one of this process; joining again changes nothing.

        Raises:
            RuntimeError: it was not accepted, or is closed.
        """
        await super().join(ws)
        ws.scope.setdefault(JOINED, {})[self] = ws
        if self._rooms.backplane is None:
            return
        try:
            await self.settled()
        except BaseException:
            await self.leave(ws)
            raise

    async def leave(self, ws: WebSocket) -> None:
        """Let a connection take part no more; see :meth:`.Room.leave`."""
        ws.scope.get(JOINED, {}).pop(self, None)
        await super().leave(ws)

    def forget(self, ws: WebSocket) -> None:
        """A connection has ended."""
        self._remove(ws)

    def _changed(self) -> None:
        if self._rooms.is_joined:
            self.settle()
        self._keep()

    def _keep(self) -> None:
        is_at_work = self._busy or self.is_following or not self.is_settled
        self._rooms.keep(self, needed=bool(self._members or is_at_work))

    def _must_wait_for(self, member: Any) -> bool:
        return self._is_full(member, self._reserved, self._reserved_bytes)

    # -- Following

    def _wants_to_follow(self) -> bool:
        return bool(self._members) and self._rooms.is_joined

    async def _subscribe(self) -> Subscription:
        backplane = self._rooms.joined
        subscription = await backplane.subscribe(self.name, _Listener(self))
        self._is_deaf = not backplane.health.is_healthy
        return subscription

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._rooms.driver.start(work)

    def _has_settled(self) -> None:
        if not self.is_following:
            for own in [*self._own.values(), *self._uncertain.values()]:
                self._give_up(own)
            self._own.clear()
            self._uncertain.clear()
            self._last = 0
        self._keep()

    # -- Publishing

    async def broadcast(
        self, value: str | bytes | bytearray | memoryview, *, exclude: WebSocket | Iterable[WebSocket] = ()
    ) -> None:
        """Send a message to all members, in all processes.

        Args:
            value: text, or bytes for a binary message.
            exclude: connections that do not get it.

        Raises:
            TypeError: it is neither text nor bytes.
            BackplaneUnavailable: nobody got it: the backplane is away.
            PublishUncertain: everybody may have got it, or nobody.
            RoomMessageTooLarge: nobody got it: it is larger than the backplane carries.
            RuntimeError: the application was not started, or has ended.
        """
        if self._rooms.backplane is None:
            await super().broadcast(value, exclude=exclude)
            return
        # Before anything is waited for.
        backplane = self._rooms.joined
        event = encode(value)
        payload: Payload = event["bytes"] if event.get("text") is None else event["text"]
        excluded = {exclude} if isinstance(exclude, WebSocket) else set(exclude)
        if self.policy != "wait":
            await self._publish(backplane, payload, _Own(None, excluded))
            return
        message = Broadcast(event)
        own = _Own(message, excluded)
        await self._wait_for_space()
        # What is published before anybody here is subscribed may never come back.
        waits = self.is_following
        if waits:
            own.is_reserved = True
            self._reserved += 1
            self._reserved_bytes += message.size
        try:
            await self._publish(backplane, payload, own, is_waited_for=waits)
            if waits:
                await self._returned(own)
        finally:
            self._release(own)
            own.message = None
        if own.has_returned:
            await message.finished()

    def _check_hearing(self, backplane: Backplane) -> None:
        if self._is_deaf:
            health = backplane.health
            if not health.is_healthy:
                raise BackplaneUnavailable(f"not published: who is in the room would not hear it: {health.reason}")
            self._is_deaf = False

    async def _publish(self, backplane: Backplane, payload: Payload, own: _Own, *, is_waited_for: bool = False) -> None:
        self._check_hearing(backplane)
        token = ""
        if own.excluded or is_waited_for:
            token = self._rooms.new_token()
            self._own[token] = own
        try:
            own.number = await backplane.publish(self.name, payload, origin=token)
        except BaseException as error:
            # Perhaps it comes; so too if this coroutine was given up in the middle.
            may_come = isinstance(error, PublishUncertain) or not isinstance(error, Exception)
            if self._own.pop(token, None) is own and own.excluded and may_come:
                self._uncertain[token] = own
                _bound(self._uncertain)
            raise
        if token in self._own and (own.number <= self._last or (self.is_settled and not self.is_following)):
            # Too late for it: who has joined meanwhile is told of what comes later.
            del self._own[token]
            self._give_up(own)
        _bound(self._own)

    async def _returned(self, own: _Own) -> None:
        """Wait until a message that was published has come back; not for ever."""

        def late() -> None:
            timers.clear()
            own.latch.open()

        timers = [self._rooms.driver.call_later(_RETURN_TIMEOUT, late)]
        try:
            await own.latch.wait()
        finally:
            if timers and timers[0] is not None:
                timers[0].cancel()
        if not timers:
            _log.warning(
                "room %r: what was published has not come back for %g s: it is waited for no longer",
                self.name,
                _RETURN_TIMEOUT,
            )

    def _release(self, own: _Own) -> None:
        if own.is_reserved and own.message is not None:
            own.is_reserved = False
            self._reserved -= 1
            self._reserved_bytes -= own.message.size
            self._made_space()

    def _give_up(self, own: _Own) -> None:
        self._release(own)
        own.latch.open()

    # -- What comes from the backplane

    def _told(self, message: RoomMessage) -> None:
        self._last = message.sequence
        own = self._uncertain.pop(message.origin, None)
        if own is None and message.origin in self._own:
            # Those before it will not come any more: messages of one process keep their order.
            while own is None:
                token = next(iter(self._own))
                first = self._own.pop(token)
                if token == message.origin:
                    own = first
                else:
                    self._give_up(first)
        with self._listening():
            self._take(message.payload, own)

    def _take(self, payload: Payload, own: _Own | None) -> None:
        if own is None:
            self._spread(Broadcast(encode(payload)), (), could_wait=False)
            return
        could_wait = own.is_reserved
        self._spread(own.message or Broadcast(encode(payload)), own.excluded, could_wait=could_wait)
        own.has_returned = own.message is not None
        self._give_up(own)

    def _lost(self, first: int, last: int | None) -> None:
        self._last = last or 0
        for token, own in list(self._own.items()):
            if own.number and (last is None or own.number <= last):
                del self._own[token]
                self._give_up(own)
        with self._listening():
            self._end_all(first, last)

    def _end_all(self, first: int, last: int | None) -> None:
        _log.error(
            "room %r: messages from %d to %s are lost: its members are closed, to begin anew",
            self.name,
            first,
            "an unknown number" if last is None else last,
        )
        for member in list(self._members.values()):
            self._disconnect(member, _SERVICE_RESTART, "messages of a room were lost")

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Have what is to be run begin later: that needs a coroutine which runs, and here none may."""
        launches: list[Callable[[], None]] = []
        self._launches = launches
        try:
            yield
        finally:
            self._launches = None
            if launches:
                self._start(self._begin(launches))

    def _launch(self, launch: Callable[[], None]) -> None:
        if self._launches is None:
            launch()
        else:
            self._launches.append(launch)

    async def _begin(self, launches: list[Callable[[], None]]) -> None:
        for launch in launches:
            launch()


def _bound(remembered: dict[str, _Own]) -> None:
    """Forget the oldest of too many messages that nobody waits for."""
    while len(remembered) > _MAX_REMEMBERED:
        oldest = next(iter(remembered))
        if remembered[oldest].message is not None:
            break
        del remembered[oldest]


class NamedRooms:
    """The rooms of an application by their names.

    A room is held as long as it has members, or is at work. Who holds one otherwise keeps it, too; the others are
    forgotten.

    Attributes:
        backplane: what carries them to other processes; None if nothing does.
        driver: what runs their coroutines, from the start on.
        is_joined: whether the backplane was started, and not stopped.
    """

    driver: Driver

    def __init__(self) -> None:
        self.backplane: Backplane | None = None
        self.is_joined = False
        self._rooms: WeakValueDictionary[str, NamedRoom] = WeakValueDictionary()
        self._kept: set[NamedRoom] = set()
        self._tokens = count(1)
        self._prefix = secrets.token_hex(6)
        # Of the rooms that are forgotten.
        self._past = RoomCounters(0, 0, 0, 0, 0, 0)

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def counters(self) -> RoomCounters:
        """What has happened in all of them up to now, those included that are forgotten."""
        every = [self._past, *(room.counters for room in list(self._rooms.values()))]
        return RoomCounters(
            members=sum(each.members for each in every),
            queued=sum(each.queued for each in every),
            broadcasts=sum(each.broadcasts for each in every),
            sent=sum(each.sent for each in every),
            dropped=sum(each.dropped for each in every),
            disconnected=sum(each.disconnected for each in every),
        )

    def keep_counters(self, counters: RoomCounters) -> None:
        """A room is forgotten: what has happened in it is not."""
        past = self._past
        self._past = RoomCounters(
            members=0,
            queued=0,
            broadcasts=past.broadcasts + counters.broadcasts,
            sent=past.sent + counters.sent,
            dropped=past.dropped + counters.dropped,
            disconnected=past.disconnected + counters.disconnected,
        )

    @property
    def joined(self) -> Backplane:
        """The backplane.

        Raises:
            RuntimeError: it was not started, or was stopped.
        """
        if self.backplane is None or not self.is_joined:
            raise RuntimeError("the application does not run: serve it, for example with autobahnlike serve")
        return self.backplane

    def get(self, name: str, *, policy: Policy, limit: int, limit_bytes: int) -> NamedRoom:
        """Return the room of a name.

        Raises:
            ValueError: the name or an option is not usable, or there is such a room with other options.
        """
        room = self._rooms.get(name)
        options = {"policy": policy, "limit": limit, "limit_bytes": limit_bytes}
        if room is None:
            check_room(name)
            room = NamedRoom(self, name, policy=policy, limit=limit, limit_bytes=limit_bytes)
            self._rooms[name] = room
        elif room._options != options:
            has, wants = (
                ", ".join(f"{key}={each[key]!r}" for key in options if room._options[key] != options[key])
                for each in (room._options, options)
            )
            raise ValueError(f"there is a room {name!r} with {has}, not {wants}: ask for it with the same options")
        return room

    def keep(self, room: NamedRoom, *, needed: bool) -> None:
        """Hold a room, or no longer."""
        if needed:
            self._kept.add(room)
        else:
            self._kept.discard(room)

    def new_token(self) -> str:
        """Return what tells a message of this process from all others."""
        return f"{self._prefix}-{next(self._tokens)}"

    def join(self, backplane: Backplane, driver: Driver) -> None:
        """Go on with a backplane that was started."""
        self.backplane = backplane
        self.driver = driver
        self.is_joined = True
        for room in list(self._kept):
            room.settle()

    async def part(self) -> None:
        """Go on without the backplane, which is about to be stopped."""
        self.is_joined = False
        for room in list(self._kept):
            await room.settled()
