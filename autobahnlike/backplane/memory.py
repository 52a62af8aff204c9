"""The backplane within one process: the default, which needs nothing.

Usually there is one node, whose hub nobody else sees. Several nodes that share a :class:`MemoryHub` are several
gateways of one process, all on one loop; ``hub.kill()`` has one of them die, for tests of what survivors do.
"""

from __future__ import annotations

import logging
from collections import deque

from autobahnlike.backplane.ids import new_node_id, node_of
from autobahnlike.backplane.interface import (
    BackplaneUnavailable,
    ConnectionInfo,
    Health,
    Node,
    Payload,
    RoomListener,
    RoomMessage,
    RoomMessageTooLarge,
    Verdict,
)

__all__ = ("MemoryBackplane", "MemoryHub", "check_room", "payload_size")

_log = logging.getLogger("autobahnlike.backplane")

_MAX_NAME = 256


def payload_size(payload: Payload) -> int:
    """Return how many bytes a message has when it is sent."""
    return len(payload) if isinstance(payload, bytes) or payload.isascii() else len(payload.encode())


def check_room(room: str, origin: str = "") -> None:
    """Check what :meth:`~autobahnlike.backplane.Backplane.subscribe` and ``publish`` are given.

    Raises:
        ValueError: the name of the room is empty or too long, or the origin is too long.
    """
    if not room or len(room.encode()) > _MAX_NAME:
        raise ValueError(f"the name of a room has 1 to {_MAX_NAME} bytes of UTF-8, unlike {room!r:.300}")
    if len(origin.encode()) > _MAX_NAME:
        raise ValueError(f"the origin of a message has {_MAX_NAME} bytes of UTF-8 at most, unlike {origin!r:.300}")


class _Subscription:
    """One listener in one room."""

    def __init__(self, room: _Room, backplane: MemoryBackplane, listener: RoomListener) -> None:
        self._room = room
        self.backplane = backplane
        self.listener = listener

    async def cancel(self) -> None:
        self._room.remove(self)


class _Room:
    """The listeners of all nodes, in the order in which they came."""

    def __init__(self, hub: MemoryHub, name: str) -> None:
        self._hub = hub
        self._name = name
        self._sequence = 0
        self._subscriptions: dict[_Subscription, None] = {}
        self._pending: deque[RoomMessage] = deque()
        self._is_telling = False

    def add(self, subscription: _Subscription) -> None:
        self._subscriptions[subscription] = None

    def remove(self, subscription: _Subscription) -> None:
        self._subscriptions.pop(subscription, None)
        self._forget_if_empty()

    def _forget_if_empty(self) -> None:
        if not self._subscriptions and self._hub.rooms.get(self._name) is self:
            del self._hub.rooms[self._name]

    def remove_node(self, backplane: MemoryBackplane) -> None:
        for subscription in [each for each in self._subscriptions if each.backplane is backplane]:
            self.remove(subscription)

    def publish(self, payload: Payload, origin: str) -> int:
        self._sequence += 1
        message = RoomMessage(self._name, self._sequence, payload, origin)
        self._pending.append(message)
        # A listener may publish: to the listeners behind it, too, that message comes after this one.
        if not self._is_telling:
            self._is_telling = True
            try:
                while self._pending:
                    self._tell(self._pending.popleft())
            finally:
                self._is_telling = False
            self._forget_if_empty()
        return message.sequence

    def _tell(self, message: RoomMessage) -> None:
        for subscription in tuple(self._subscriptions):
            if subscription in self._subscriptions:
                try:
                    subscription.listener.room_message(message)
                except Exception:
                    _log.exception("room %r: a listener raised an exception", self._name)


class MemoryHub:
    """What nodes in one process share.

    Attributes:
        nodes: those that were started and not stopped, by their id.
        rooms: those that have listeners, by their name.
    """

    def __init__(self) -> None:
        self.nodes: dict[bytes, MemoryBackplane] = {}
        self.rooms: dict[str, _Room] = {}

    async def kill(self, backplane: MemoryBackplane) -> None:
        """Have a node die, as if its machine had lost its power: the others see to its connections.

        Returns when their ``$disconnect`` has run; without survivors, it is not run.
        """
        orphans = backplane.leave()
        for info in orphans:
            # The survivors share the work; one of them may stop meanwhile.
            survivors = list(self.nodes.values())
            if survivors:
                await survivors[hash(info.connection_id) % len(survivors)].orphaned(info)


class MemoryBackplane:
    """A node's part of a hub.

    Args:
        hub: what it shares with other nodes; one of its own if None.
        max_message_size: the bytes of the largest message to another node or to a room.
    """

    def __init__(self, hub: MemoryHub | None = None, *, max_message_size: int = 1024 * 1024) -> None:
        self._hub = MemoryHub() if hub is None else hub
        self._max_message_size = max_message_size
        self._node_id = new_node_id()
        while self._node_id in self._hub.nodes:
            self._node_id = new_node_id()
        self._node: Node | None = None
        self._registered: dict[str, ConnectionInfo] = {}

    @property
    def node_id(self) -> bytes:
        """The 4 bytes that its connection ids begin with."""
        return self._node_id

    @property
    def health(self) -> Health:
        """Always well, once it is started."""
        return Health(True) if self._is_running else Health(False, "the backplane is not running")

    @property
    def _is_running(self) -> bool:
        return self._hub.nodes.get(self._node_id) is self

    async def start(self, node: Node, /) -> None:
        """Join the others."""
        self._node = node
        self._hub.nodes[self._node_id] = self

    async def stop(self) -> None:
        """Leave the others."""
        self.leave()

    def leave(self) -> list[ConnectionInfo]:
        """Be seen by the others no more.

        Returns:
            The connections that were still registered.
        """
        if self._is_running:
            del self._hub.nodes[self._node_id]
        for room in list(self._hub.rooms.values()):
            room.remove_node(self)
        orphans = list(self._registered.values())
        self._registered.clear()
        return orphans

    async def orphaned(self, info: ConnectionInfo) -> None:
        """See to a connection of a node that died."""
        if self._node is not None:
            await self._node.orphaned(info)

    async def register(self, info: ConnectionInfo, /) -> None:
        """Let the others know of a connection."""
        if self._is_running:
            self._registered[info.connection_id] = info

    async def unregister(self, connection_id: str, /) -> bool:
        """Forget a connection; the caller always runs its ``$disconnect``, unless it was killed."""
        self._registered.pop(connection_id, None)
        return self._is_running or self._node is None

    async def send(self, connection_id: str, payload: Payload, /, *, timeout: float | None = None) -> Verdict:  # noqa: ASYNC109
        """Send a message to a connection of any node; the verdict is there at once."""
        node = self._node_of(connection_id)
        if node is None:
            return Verdict.GONE
        if node is not self._node and payload_size(payload) > self._max_message_size:
            return Verdict.TOO_LARGE
        return node.deliver(connection_id, payload)

    async def close(self, connection_id: str, code: int, reason: str, /, *, timeout: float | None = None) -> Verdict:  # noqa: ASYNC109
        """Close a connection of any node."""
        node = self._node_of(connection_id)
        return Verdict.GONE if node is None else node.close(connection_id, code, reason)

    async def info(
        self,
        connection_id: str,
        /,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[Verdict, ConnectionInfo | None]:
        """Ask what is known of a connection of any node."""
        node = self._node_of(connection_id)
        info = None if node is None else node.info(connection_id)
        return (Verdict.GONE if info is None else Verdict.DELIVERED), info

    def _node_of(self, connection_id: str) -> Node | None:
        node_id = node_of(connection_id)
        backplane = None if node_id is None else self._hub.nodes.get(node_id)
        return None if backplane is None else backplane._node

    async def subscribe(self, room: str, listener: RoomListener, /) -> _Subscription:
        """Have a listener told what is published to a room, from the next message on."""
        check_room(room)
        subscription = _Subscription(self._room(room), self, listener)
        subscription._room.add(subscription)
        return subscription

    async def publish(self, room: str, payload: Payload, /, *, origin: str = "") -> int:
        """Send a message to all listeners of a room; they have been told when this returns, unless one published."""
        check_room(room, origin)
        if not self._is_running:
            raise BackplaneUnavailable("the backplane is not running")
        size = payload_size(payload)
        if size > self._max_message_size:
            raise RoomMessageTooLarge(f"a message to a room has {self._max_message_size} bytes at most, not {size}")
        return self._room(room).publish(payload, origin)

    def _room(self, name: str) -> _Room:
        room = self._hub.rooms.get(name)
        if room is None:
            room = self._hub.rooms[name] = _Room(self._hub, name)
        return room
