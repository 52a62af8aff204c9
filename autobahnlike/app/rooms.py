"""Rooms: groups of connections that are sent the same messages.

::

    room = Room("lobby", policy="drop-oldest")

    @app.websocket_route("/lobby")
    async def lobby(ws):
        async with room.joined(ws):
            async for message in ws:
                await room.broadcast(message)

A message is encoded once for all. Each member has an outbox, which is sent in order and apart from the others', so that
a slow client holds up nobody's messages but its own. What happens when an outbox is full is the room's policy. All
members get the messages of a room in the same order.

A room that is made so is one of this process. :meth:`App.room() <autobahnlike.app.application.App.room>` gives rooms by
their names, which reach over all processes of an application that has a backplane.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

from starlette.types import Message

from autobahnlike.app.driver import start
from autobahnlike.app.errors import WebSocketDisconnect
from autobahnlike.app.waiting import Latch
from autobahnlike.app.websocket import WebSocket

__all__ = ("Broadcast", "Policy", "Room", "RoomCounters", "encode")

Policy: TypeAlias = Literal["wait", "drop-newest", "drop-oldest", "disconnect"]

_log = logging.getLogger("autobahnlike.app")

# "Try again later" in the IANA registry of close codes.
_TOO_SLOW = 1013

# The extension of ASGI in which a server offers to make the frame of a message once for all its connections. It has a
# method prepare(), which takes text or bytes; what that returns goes as "prepared" beside them into an event, for every
# connection whose extension is equal.
_EXTENSION = "autobahnlike.broadcast"


def encode(value: str | bytes | bytearray | memoryview) -> Message:
    """Return the ASGI event that sends a message: text if it is ``str``, else binary.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, str):
        return {"type": "websocket.send", "text": value}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"type": "websocket.send", "bytes": bytes(value)}
    raise TypeError(f"a broadcast must be str or bytes, not {type(value).__name__}: use broadcast_json()")


@dataclass(frozen=True, slots=True)
class RoomCounters:
    """What has happened in a room, up to now.

    Attributes:
        members: the connections in it.
        queued: the messages in all outboxes.
        broadcasts: the messages that it was given, by other processes as well.
        sent: those that were handed to the server, counted once for each member.
        dropped: those that were not: because an outbox was full, or the connection had ended before.
        disconnected: the members that were disconnected because they were too slow, or because a backplane had lost
            messages of the room.
    """

    members: int
    queued: int
    broadcasts: int
    sent: int
    dropped: int
    disconnected: int


class Broadcast:
    """One message on its way to all members.

    Args:
        event: see below.

    Attributes:
        event: the ASGI event, the same object for all whose server has no better one.
        size: the bytes of the message.
    """

    __slots__ = ("_latch", "_pending", "_prepared", "event", "size")

    def __init__(self, event: Message) -> None:
        self.event = event
        text = event.get("text")
        self.size = len(event["bytes"] if text is None else text if text.isascii() else text.encode())
        self._prepared: dict[Any, Message] = {}
        self._pending = 0
        self._latch: Latch | None = None

    def event_for(self, extension: Any) -> Message:
        """Return the event for a connection whose server offers an extension, or None."""
        if extension is None:
            return self.event
        event = self._prepared.get(extension)
        if event is None:
            text = self.event.get("text")
            prepared = extension.prepare(self.event["bytes"] if text is None else text)
            event = self._prepared[extension] = {**self.event, "prepared": prepared}
        return event

    def taken(self) -> None:
        """Count one more outbox that it is in."""
        self._pending += 1

    def done(self) -> None:
        """Count one less."""
        self._pending -= 1
        if not self._pending and self._latch is not None:
            self._latch.open()

    async def finished(self) -> None:
        """Wait until it is in no outbox any more."""
        if self._pending:
            self._latch = Latch()
            await self._latch.wait()


class _Member:
    """A connection in a room, and its outbox.

    Attributes:
        ws: the connection.
        extension: what the server of the connection offers for broadcasts; None if nothing.
        outbox: what is still to be sent.
        size: the bytes in it.
        sending: whether a coroutine is at it.
        running: the coroutines that are concerned with the member, held for as long as they run.
    """

    __slots__ = ("extension", "outbox", "running", "sending", "size", "ws")

    def __init__(self, ws: WebSocket) -> None:
        self.ws = ws
        self.extension = (ws.scope.get("extensions") or {}).get(_EXTENSION)
        self.outbox: deque[Broadcast] = deque()
        self.size = 0
        self.sending = False
        self.running: dict[object, Any] = {}

    def put(self, message: Broadcast) -> None:
        self.outbox.append(message)
        self.size += message.size
        message.taken()

    def take(self) -> Broadcast:
        message = self.outbox.popleft()
        self.size -= message.size
        return message


class Room:
    """A group of connections that are sent the same messages.

    Args:
        name: what it is called, in the log.
        policy: what happens when the outbox of a member is full:

            - ``"wait"``: :meth:`broadcast` waits, until there is room, and then until every member has been sent the
              message. So nothing is dropped, and who broadcasts goes at the pace of the slowest member; one that takes
              nothing at all is let go by the keepalive of the server.
            - ``"drop-newest"``: the member does not get the new message.
            - ``"drop-oldest"``: the member does not get the oldest message in its outbox.
            - ``"disconnect"``: the member is disconnected with the close code 1013.

            With the last three, :meth:`broadcast` does not wait.
        limit: the messages that an outbox holds, at least 1; one more is being sent.
        limit_bytes: the bytes that an outbox holds, at least 1; the last message may go beyond that.

    Attributes:
        name: as above.
        policy: as above.

    Raises:
        ValueError: an unknown policy, or a limit below 1.
    """

    def __init__(
        self, name: str = "", *, policy: Policy = "wait", limit: int = 64, limit_bytes: int = 1024 * 1024
    ) -> None:
        if policy not in get_args(Policy):
            raise ValueError(f"policy must be one of {', '.join(get_args(Policy))}, not {policy!r}")
        if limit < 1 or limit_bytes < 1:
            raise ValueError(f"limit and limit_bytes must be at least 1, not {limit} and {limit_bytes}")
        self.name = name
        self.policy = policy
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._members: dict[WebSocket, _Member] = {}
        # Those for whom something runs, also when they have left.
        self._busy: dict[WebSocket, _Member] = {}
        self._space: Latch | None = None
        self._broadcasts = self._sent = self._dropped = self._disconnected = 0

    def __len__(self) -> int:
        return len(self._members)

    def __bool__(self) -> bool:
        # An empty room is a room.
        return True

    def __contains__(self, ws: object) -> bool:
        return ws in self._members

    def __repr__(self) -> str:
        return f"<Room {self.name!r} of {len(self)}>"

    @property
    def connections(self) -> tuple[WebSocket, ...]:
        """Those in the room, in the order in which they joined."""
        return tuple(self._members)

    @property
    def counters(self) -> RoomCounters:
        """What has happened up to now."""
        return RoomCounters(
            members=len(self._members),
            queued=sum(len(member.outbox) for member in self._members.values()),
            broadcasts=self._broadcasts,
            sent=self._sent,
            dropped=self._dropped,
            disconnected=self._disconnected,
        )

    async def join(self, ws: WebSocket) -> None:
        """Let a connection take part, from the next message on. Accepts it if that was held back.

        Args:
            ws: the connection; joining again changes nothing.

        Raises:
            RuntimeError: it was not accepted, or is closed.
        """
        await ws.accept_held()
        if not ws.accepted:
            raise RuntimeError("a connection can join a room when it has been accepted and is not closed")
        # One that comes back at once goes on with its outbox, so that its messages stay in order.
        self._members.setdefault(ws, self._busy.get(ws) or _Member(ws))
        self._changed()

    async def leave(self, ws: WebSocket) -> None:
        """Let a connection take part no more. What was broadcast before is still sent, as long as it is open.

        Args:
            ws: the connection; nothing happens if it is not in the room.
        """
        self._remove(ws)

    @asynccontextmanager
    async def joined(self, ws: WebSocket) -> AsyncIterator[Room]:
        """Return a context manager that lets a connection join, and leave at the end of the block.

        Raises:
            RuntimeError: it was not accepted, or is closed.
        """
        await self.join(ws)
        try:
            yield self
        finally:
            await self.leave(ws)

    async def broadcast(
        self, value: str | bytes | bytearray | memoryview, *, exclude: WebSocket | Iterable[WebSocket] = ()
    ) -> None:
        """Send a message to all members.

        Args:
            value: text, or bytes for a binary message.
            exclude: connections that do not get it.

        Raises:
            TypeError: it is neither text nor bytes.
        """
        message = Broadcast(encode(value))
        excluded = {exclude} if isinstance(exclude, WebSocket) else set(exclude)
        if self.policy == "wait":
            await self._wait_for_space()
        self._spread(message, excluded)
        if self.policy == "wait":
            await message.finished()

    async def broadcast_json(self, value: Any, *, exclude: WebSocket | Iterable[WebSocket] = ()) -> None:
        """Send something as JSON, in a text message, to all members.

        Args:
            value: what JSON has something for.
            exclude: connections that do not get it.

        Raises:
            TypeError: JSON has nothing for it.
        """
        await self.broadcast(json.dumps(value), exclude=exclude)

    def _remove(self, ws: WebSocket) -> None:
        if self._members.pop(ws, None) is not None:
            self._made_space()
            self._changed()

    async def _wait_for_space(self) -> None:
        while any(self._must_wait_for(member) for member in self._members.values()):
            self._space = self._space or Latch()
            await self._space.wait()

    def _must_wait_for(self, member: _Member) -> bool:
        return self._is_full(member)

    def _spread(self, message: Broadcast, excluded: Collection[WebSocket], *, could_wait: bool = True) -> None:
        """Put a message into the outboxes, and have them sent.

        Args:
            message: the message.
            excluded: who does not get it.
            could_wait: whether there was space in all outboxes, with the policy ``"wait"``. If there was not, a member
                whose outbox is full is disconnected.
        """
        self._broadcasts += 1
        # Into every outbox before anything is sent: sending may have others broadcast at once, and all members shall
        # see the same order.
        members = [member for ws, member in self._members.items() if ws not in excluded]
        for member in members:
            self._put(member, message, could_wait=could_wait)
        for member in members:
            if member.outbox and not member.sending:
                member.sending = True
                self._run(member, self._send_all)

    def _is_full(self, member: _Member, coming: int = 0, coming_bytes: int = 0) -> bool:
        return len(member.outbox) + coming >= self._limit or member.size + coming_bytes >= self._limit_bytes

    def _put(self, member: _Member, message: Broadcast, *, could_wait: bool) -> None:
        if self.policy == "drop-oldest":
            while self._is_full(member):
                self._drop(member)
        elif not (self.policy == "wait" and could_wait) and self._is_full(member):
            if self.policy != "drop-newest":
                self._disconnect(member, _TOO_SLOW, "too slow")
            self._dropped += 1
            return
        member.put(message)

    def _drop(self, member: _Member) -> None:
        member.take().done()
        self._dropped += 1

    def _disconnect(self, member: _Member, code: int, reason: str) -> None:
        self._disconnected += 1
        self._forget(member)
        self._run(member, partial(self._close, code=code, reason=reason))

    def _run(self, member: _Member, work: Callable[[_Member], Coroutine[Any, Any, None]]) -> None:
        token = object()
        member.running[token] = None
        self._busy[member.ws] = member
        self._changed()

        async def run() -> None:
            try:
                await work(member)
            finally:
                del member.running[token]
                if not member.running:
                    self._busy.pop(member.ws, None)
                    self._changed()

        def launch() -> None:
            # A server that offers to prepare messages is ours, whose send needs no task.
            running = start(run(), in_any_task=member.extension is not None)
            if token in member.running:
                member.running[token] = running

        self._launch(launch)

    def _launch(self, launch: Callable[[], None]) -> None:
        """Begin to run something; for rooms that cannot at once."""
        launch()

    async def _close(self, member: _Member, *, code: int, reason: str) -> None:
        try:
            await member.ws.dismiss(code, reason)
        except Exception:
            _log.exception("room %r: a member could not be closed with %d (%s)", self.name, code, reason)

    def _forget(self, member: _Member) -> None:
        if self._members.get(member.ws) is member:
            del self._members[member.ws]
        while member.outbox:
            self._drop(member)
        self._made_space()
        self._changed()

    def _changed(self) -> None:
        """There are more or fewer members, or something begins or ends; for rooms that care."""

    def _made_space(self) -> None:
        if self._space is not None:
            space, self._space = self._space, None
            space.open()

    async def _send_all(self, member: _Member) -> None:
        """Send what is in an outbox until it is empty."""
        message: Broadcast | None = None
        try:
            while member.outbox:
                message = member.take()
                self._made_space()
                await member.ws.send_event(message.event_for(member.extension))
                self._sent += 1
                message.done()
                message = None
        except Exception as exc:
            if not (isinstance(exc, WebSocketDisconnect) or member.ws.closed):
                _log.exception("room %r: a member was removed, as nothing can be sent to it", self.name)
        finally:
            member.sending = False
            if message is not None:
                self._dropped += 1
                message.done()
                self._forget(member)
