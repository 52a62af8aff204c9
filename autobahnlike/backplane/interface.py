"""What a gateway and its backplane ask of each other.

A *node* is one gateway in one process. The *backplane* joins the nodes: it takes a message to the node that has the
connection, tells every node what is published to a room, and has survivors see to the connections of a node that died.

All of it is called on the thread of the loop that drives the gateway. What waits is a coroutine, which may be a task of
asyncio or be driven by a Deferred of Twisted; see :mod:`autobahnlike.gateway.loop`. What a node offers does not wait,
with one exception, so that the order in which a backplane calls it is the order in which clients are sent things.

How sure a sender may be: :attr:`Verdict.DELIVERED` says that the node which has the connection found it open and put
the message behind the others for that client. It does not say that the client has read it; no WebSocket says that.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self, TypeAlias

__all__ = (
    "Backplane",
    "BackplaneError",
    "BackplaneUnavailable",
    "ConnectionInfo",
    "Health",
    "Node",
    "Payload",
    "PublishUncertain",
    "RoomListener",
    "RoomMessage",
    "RoomMessageTooLarge",
    "Subscription",
    "Verdict",
)

# Text is sent as a text message, bytes as a binary one, on whichever node.
Payload: TypeAlias = str | bytes


class Verdict(enum.Enum):
    """What became of a request that concerns one connection.

    Attributes:
        DELIVERED: done: the message is on its way in its order, the connection is being closed, or it was found.
        GONE: no node has a connection of that id, or the id is none; also if its node died with the message.
        TOO_LARGE: the message is over a limit of the node, or of the backplane. Nothing was sent.
        BUFFER_FULL: the client does not take what it was sent before. Nothing was sent.
        UNKNOWN: there was no answer in time, or the backplane is away: it may have been delivered or not.
    """

    DELIVERED = "delivered"
    GONE = "gone"
    TOO_LARGE = "too large"
    BUFFER_FULL = "buffer full"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """What is known of a connection; enough for any node to make the ``$disconnect`` event of it.

    Attributes:
        connection_id: its id, of the form of :mod:`autobahnlike.backplane.ids`.
        connected_at: when it was made, in milliseconds since 1970.
        last_active_at: when a message last went either way, in milliseconds since 1970. What is registered is not
            brought up to date: the node that has the connection knows.
        source_ip: the address of the client.
        user_agent: its ``User-Agent``; None if it sent none.
        host: the ``Host`` of the opening handshake.
        domain_name: what events and the management API call the gateway.
        api_id: the same, of the API.
        stage: the stage, which is the first part of the path.
    """

    connection_id: str
    connected_at: int
    last_active_at: int
    source_ip: str = ""
    user_agent: str | None = None
    host: str = ""
    domain_name: str = ""
    api_id: str = ""
    stage: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as something that JSON has something for."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Return what :meth:`to_dict` was called on; unknown members, of a newer node, are left out.

        Raises:
            TypeError: a member is missing.
        """
        return cls(**{name: value for name, value in fields.items() if name in cls.__slots__})

    def active(self, now: int) -> Self:
        """Return the same with another ``last_active_at``."""
        return replace(self, last_active_at=now)


@dataclass(frozen=True, slots=True)
class Health:
    """How a backplane is.

    Attributes:
        is_healthy: whether other nodes can be reached. If not, everything within the node goes on working.
        reason: one line for a person: what is wrong and since when or what is done about it; empty if nothing is.
    """

    is_healthy: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RoomMessage:
    """A message to a room, the same on all nodes.

    Attributes:
        room: the name of the room.
        sequence: its number in the room: 1 more than that of the message before it. Numbers are never used twice as
            long as the backplane remembers the room; see :meth:`RoomListener.room_lost`.
        payload: text or bytes.
        origin: what the publisher gave, for example the connection id of the client that said it; often empty.
    """

    room: str
    sequence: int
    payload: Payload
    origin: str = ""


class BackplaneError(Exception):
    """Something that the backplane was asked to do cannot be done."""


class BackplaneUnavailable(BackplaneError):
    """The backplane cannot be reached. What was asked for has not happened."""


class PublishUncertain(BackplaneError):
    """A message was handed to the backplane, which then went away: it may have been published or not."""


class RoomMessageTooLarge(BackplaneError):
    """A message is larger than the backplane carries. It was not published."""


class RoomListener(Protocol):
    """Whoever is told what is published to a room."""

    def room_message(self, message: RoomMessage, /) -> None:
        """A message was published: by this node or another, in the order that all nodes see.

        Must not wait. An exception is logged, and does not keep other listeners from the message.
        """
        ...

    def room_lost(self, room: str, first: int, last: int | None, /) -> None:
        """Messages were lost and cannot be got back: those numbered ``first`` up to and with ``last``.

        Called before the first message behind the gap. ``last`` is None where not even their number is known, because
        the backplane has lost its memory of the room: its numbers begin anew then, at any number.
        """
        ...


class Subscription(Protocol):
    """One listener in one room."""

    async def cancel(self) -> None:
        """Have the listener told no more, from now on. Never raises; again, nothing happens."""
        ...


class Node(Protocol):
    """What the gateway offers to its backplane. Every method but one returns at once, and none raises."""

    def deliver(self, connection_id: str, payload: Payload, /) -> Verdict:
        """Send a message to a connection of this node.

        Returns:
            Everything but ``UNKNOWN``; ``GONE`` if this node has no such connection.
        """
        ...

    def close(self, connection_id: str, code: int, reason: str, /) -> Verdict:
        """Close a connection of this node; its ``$disconnect`` follows.

        Returns:
            ``DELIVERED`` or ``GONE``.
        """
        ...

    def info(self, connection_id: str, /) -> ConnectionInfo | None:
        """Return what is known of a connection of this node; None if it has no such connection."""
        ...

    def connections(self) -> Iterable[ConnectionInfo]:
        """Return all registered connections of this node: to register them anew where the backplane forgot them."""
        ...

    async def orphaned(self, info: ConnectionInfo, /) -> None:
        """Run ``$disconnect`` for a connection of a node that died.

        To be called once for each of them, by one of the survivors, which has claimed it before. Returns when the
        handler has ended; one that fails is logged.
        """
        ...

    def declared_dead(self) -> None:
        """Others took this node for dead, and have seen to the ``$disconnect`` of its connections.

        The gateway closes them with 1012, without ``$disconnect``, and uses the new :attr:`Backplane.node_id`, which
        has to be in place before, for the connections to come.
        """
        ...


class Backplane(Protocol):
    """What joins the nodes.

    Attributes:
        node_id: the 4 bytes by which other nodes find this one; the first of its connection ids. Known before
            :meth:`start` is called, as clients may be there first.
    """

    @property
    def node_id(self) -> bytes:
        """See the class."""
        ...

    @property
    def health(self) -> Health:
        """How it is at the moment."""
        ...

    async def start(self, node: Node, /) -> None:
        """Join the others. To be called once, on the loop where everything else will be called.

        Returns when the others can reach the node, or, if the backplane is away, when it is clear that it is: it is
        then tried again until :meth:`stop`, and :attr:`health` says so.

        Raises:
            ValueError: it cannot be used as it was configured, which no waiting changes: a wrong address or password.
        """
        ...

    async def stop(self) -> None:
        """Leave the others, in order: nobody takes the node for dead. Its connections have ended before.

        Never raises. All coroutines that still wait for something here come to an end.
        """
        ...

    async def register(self, info: ConnectionInfo, /) -> None:
        """Let the others know of a connection, so that it gets its ``$disconnect`` should this node die.

        Returns when that is ensured; if the backplane is away, at once, and it is ensured when it is back (from
        :meth:`Node.connections`). Never raises.
        """
        ...

    async def unregister(self, connection_id: str, /) -> bool:
        """Forget a connection that has ended, before its ``$disconnect`` is run.

        Returns:
            Whether this node shall run it. False if another one has claimed it.
        """
        ...

    async def send(self, connection_id: str, payload: Payload, /, *, timeout: float | None = None) -> Verdict:  # noqa: ASYNC109
        """Send a message to a connection of any node.

        Two messages that one node sends to one connection arrive in the order of the calls.

        Args:
            connection_id: the id; any text.
            payload: text or bytes.
            timeout: seconds to wait for the verdict of another node; the default of the backplane if None.
        """
        ...

    async def close(self, connection_id: str, code: int, reason: str, /, *, timeout: float | None = None) -> Verdict:  # noqa: ASYNC109
        """Close a connection of any node, after what was sent to it before.

        Args:
            connection_id: the id; any text.
            code: a close code that a server may send.
            reason: at most 123 bytes of UTF-8.
            timeout: as for :meth:`send`.
        """
        ...

    async def info(
        self,
        connection_id: str,
        /,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[Verdict, ConnectionInfo | None]:
        """Ask what is known of a connection of any node.

        Returns:
            ``DELIVERED`` with the information, or another verdict with None.
        """
        ...

    async def subscribe(self, room: str, listener: RoomListener, /) -> Subscription:
        """Have a listener told what is published to a room, from the next message on.

        Returns when whatever is published afterwards, by any node, will be told; if the backplane is away, at once:
        the listener is told of what is published when it is back. One listener may be in many rooms; the same
        listener twice in one room is told twice.

        Raises:
            ValueError: the name of the room is empty or longer than 256 bytes of UTF-8.
        """
        ...

    async def publish(self, room: str, payload: Payload, /, *, origin: str = "") -> int:
        """Send a message to all listeners of a room on all nodes, this one included.

        Every listener sees the messages of a room in the same order, without duplicates. Two messages that one node
        publishes to one room keep the order of the calls.

        Args:
            room: its name, of 1 to 256 bytes of UTF-8.
            payload: text or bytes.
            origin: see :class:`RoomMessage`; at most 256 bytes of UTF-8.

        Returns:
            The number of the message. Local listeners may be told before this returns or soon after.

        Raises:
            BackplaneUnavailable: not published: the backplane is away.
            PublishUncertain: perhaps published.
            RoomMessageTooLarge: not published: too large.
            ValueError: the name of the room or the origin is not usable.
        """
        ...
