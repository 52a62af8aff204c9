"""Rooms of connections: groups on any number of nodes that are sent the same messages in the same order.

::

    @app.on_ws_connect()
    def connect(event):
        app.rooms.join("lobby", event.connection_id)

    @app.on_ws_message()
    def message(event):
        app.rooms.publish("lobby", event.body)

A connection joins on its own node, which is where its handlers run, and leaves all rooms when it ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from autobahnlike.app.following import Follower
from autobahnlike.backplane.interface import (
    BackplaneError,
    Payload,
    RoomMessage,
    Subscription,
    Verdict,
)
from autobahnlike.backplane.memory import check_room
from autobahnlike.gateway.api import Done
from autobahnlike.gateway.crossing import NoAnswer, ask
from autobahnlike.gateway.errors import RoomError, WebsocketDisconnectedError

if TYPE_CHECKING:
    from autobahnlike.gateway.core import Core

__all__ = ("Rooms",)

_log = logging.getLogger("autobahnlike.gateway")

# "Try again later" and "service restart" in the IANA registry of close codes.
_TOO_SLOW = 1013
_SERVICE_RESTART = 1012

_GRACE = 5.0


class _Room(Follower):
    """The members of one room that are connected to this node."""

    def __init__(self, core: Core, rooms: dict[str, _Room], name: str) -> None:
        self._core = core
        self._rooms = rooms
        self._name = name
        self.members: dict[str, None] = {}

    def _wants_to_follow(self) -> bool:
        return bool(self.members)

    async def _subscribe(self) -> Subscription:
        return await self._core.backplane.subscribe(self._name, self)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._core.loop.spawn(work)

    def _has_settled(self) -> None:
        self.forget_if_empty()

    def forget_if_empty(self) -> None:
        if not self.members and self._rooms.get(self._name) is self:
            del self._rooms[self._name]

    def room_message(self, message: RoomMessage, /) -> None:
        for connection_id in list(self.members):
            if connection_id == message.origin:
                continue
            if self._core.deliver_held(connection_id, message.payload) is Verdict.BUFFER_FULL:
                # It would miss this one without knowing.
                self.members.pop(connection_id, None)
                _log.warning("room %r: %s is too slow, and was closed", self._name, connection_id)
                self._core.close(connection_id, _TOO_SLOW, "too slow")

    def room_lost(self, room: str, first: int, last: int | None, /) -> None:
        _log.error("room %r: messages %s to %s are lost: its members are closed, to begin anew", room, first, last)
        for connection_id in list(self.members):
            self._core.close(connection_id, _SERVICE_RESTART, "messages of a room were lost")


class Rooms:
    """The rooms of a gateway.

    As with ``websocket_api``, a plain function has what it asks for done when the call returns, and a coroutine
    function awaits it.

    Args:
        core: the gateway.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._rooms: dict[str, _Room] = {}
        self._of: dict[str, set[str]] = {}
        core.on_gone.append(self._gone)

    def join(self, room: str, connection_id: str) -> Any:
        """Have a connection sent what is published to a room from now on.

        Args:
            room: its name, of 1 to 256 bytes of UTF-8.
            connection_id: a connection of this node; joining again changes nothing.

        Raises:
            WebsocketDisconnectedError: nobody is connected to this node by that id.
            ValueError: the name is not usable.
        """
        check_room(room)
        return self._run(lambda: self._join(room, connection_id))

    def leave(self, room: str, connection_id: str) -> Any:
        """Have a connection sent no more of a room; nothing happens if it is not in it."""
        return self._run(lambda: self._leave(room, connection_id))

    def publish(self, room: str, message: str | bytes, *, exclude: str = "") -> Any:
        """Send a message to all connections in a room, on all nodes.

        Args:
            room: its name.
            message: text, or bytes for a binary message.
            exclude: the id of a connection that is not sent it; often the one that said it.

        Raises:
            RoomError: it could not be published, or it is not known whether it was; see the text.
            ValueError: the name is not usable.
            TypeError: the message is neither text nor bytes.
        """
        check_room(room, exclude)
        if not isinstance(message, (str, bytes)):
            raise TypeError(f"a message is str or bytes, not {type(message).__name__}")
        return self._run(lambda: self._publish(room, message, exclude))

    def members(self, room: str) -> tuple[str, ...]:
        """Return the connections of this node that are in a room. To be called on the thread of the loop, or not."""
        found = self._rooms.get(room)
        return () if found is None else tuple(found.members)

    def _run(self, work: Callable[[], Coroutine[Any, Any, Done]]) -> Any:
        core = self._core
        if not core.is_running:
            raise RuntimeError("the gateway does not run: serve it, for example with autobahnlike serve")
        try:
            return ask(core.loop, work, core.limits.verdict_timeout + _GRACE)[1]
        except NoAnswer as error:
            raise RoomError(f"{error}: it may have happened or not") from None

    async def _join(self, name: str, connection_id: str) -> Done:
        if not self._core.has(connection_id):
            raise WebsocketDisconnectedError(connection_id)
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = _Room(self._core, self._rooms, name)
        room.members[connection_id] = None
        self._of.setdefault(connection_id, set()).add(name)
        await room.settled()
        return Done()

    async def _leave(self, name: str, connection_id: str) -> Done:
        room = self._rooms.get(name)
        if room is not None and connection_id in room.members:
            del room.members[connection_id]
            self._of.get(connection_id, set()).discard(name)
            await room.settled()
        return Done()

    def _gone(self, connection_id: str) -> None:
        """A connection has ended."""
        for name in self._of.pop(connection_id, ()):
            room = self._rooms.get(name)
            if room is not None:
                room.members.pop(connection_id, None)
                if room.settle() is None:
                    room.forget_if_empty()

    async def _publish(self, name: str, message: Payload, exclude: str) -> Done:
        try:
            await self._core.backplane.publish(name, message, origin=exclude)
        except BackplaneError as error:
            raise RoomError(str(error)) from error
        return Done()
