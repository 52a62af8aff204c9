"""What every backplane has to do, as stories about a few nodes; each implementation has a test that tells them all.

::

    @pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
    def test_conformance(story: Story) -> None:
        run(story(MyWorld()))

A :class:`World` makes nodes, has one die, and waits. How stories are run is the business of the implementation's test.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest

from autobahnlike.backplane.ids import new_connection_id, new_node_id
from autobahnlike.backplane.interface import (
    Backplane,
    ConnectionInfo,
    Payload,
    RoomMessage,
    RoomMessageTooLarge,
    Verdict,
)

__all__ = ("STORIES", "Listener", "Peer", "RecordingNode", "Story", "World")

TOO_LARGE = 100_000
"""The bytes of a message that backplanes under test must not carry; those below half of it must be carried."""


@dataclass
class RecordingNode:
    """A gateway that only takes notes.

    Attributes:
        inbox: what was delivered to each connection of the node: payloads, and ``("close", code, reason)``.
        infos: the connections.
        verdicts: what it says for a connection instead of ``DELIVERED``.
        orphans: the connections of dead nodes that it has seen to.
        times_declared_dead: how often it was told so.
    """

    inbox: dict[str, list[object]] = field(default_factory=dict)
    infos: dict[str, ConnectionInfo] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    orphans: list[ConnectionInfo] = field(default_factory=list)
    times_declared_dead: int = 0

    def deliver(self, connection_id: str, payload: Payload, /) -> Verdict:
        if connection_id not in self.infos:
            return Verdict.GONE
        verdict = self.verdicts.get(connection_id, Verdict.DELIVERED)
        if verdict is Verdict.DELIVERED:
            self.inbox[connection_id].append(payload)
        return verdict

    def close(self, connection_id: str, code: int, reason: str, /) -> Verdict:
        if connection_id not in self.infos:
            return Verdict.GONE
        self.inbox[connection_id].append(("close", code, reason))
        return Verdict.DELIVERED

    def info(self, connection_id: str, /) -> ConnectionInfo | None:
        info = self.infos.get(connection_id)
        # Brought up to date, unlike what was registered.
        return None if info is None else info.active(info.connected_at + 1000)

    def connections(self) -> Iterable[ConnectionInfo]:
        return list(self.infos.values())

    async def orphaned(self, info: ConnectionInfo, /) -> None:
        self.orphans.append(info)

    def declared_dead(self) -> None:
        self.times_declared_dead += 1
        self.infos.clear()


@dataclass
class Peer:
    """A node and its backplane."""

    backplane: Backplane
    node: RecordingNode

    async def connect(self) -> str:
        """Have a client connect; returns the connection id."""
        connection_id = new_connection_id(self.backplane.node_id)
        number = len(self.node.inbox)
        info = ConnectionInfo(
            connection_id,
            connected_at=1_700_000_000_000 + number,
            last_active_at=1_700_000_000_000 + number,
            source_ip="192.0.2.1",
            user_agent="test/1 ü" if number % 2 else None,
            host="localhost:8000",
            domain_name="localhost:8000",
            api_id="local",
            stage="api",
        )
        self.node.infos[connection_id] = info
        self.node.inbox[connection_id] = []
        await self.backplane.register(info)
        return connection_id

    async def disconnect(self, connection_id: str) -> bool:
        """Have the client go; returns whether this node shall run ``$disconnect``."""
        del self.node.infos[connection_id]
        return await self.backplane.unregister(connection_id)


class World(ABC):
    """Nodes on one backplane."""

    @abstractmethod
    async def peer(self) -> Peer:
        """Return a node that was started; its largest message has half of ``TOO_LARGE`` bytes, or more, but less."""

    @abstractmethod
    async def kill(self, peer: Peer) -> None:
        """Have a node die without a word."""

    @abstractmethod
    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something is so, a few seconds at most; complains with ``what``."""

    @abstractmethod
    async def together(self, *works: Awaitable[None]) -> None:
        """Wait for several at once, all of which are started."""


Story: TypeAlias = Callable[[World], Awaitable[None]]

STORIES: list[Story] = []


def story(told: Story) -> Story:
    STORIES.append(told)
    return told


class Listener:
    """Takes notes of what it is told of rooms."""

    def __init__(self) -> None:
        self.messages: list[RoomMessage] = []
        self.lost: list[tuple[str, int, int | None]] = []

    @property
    def payloads(self) -> list[Payload]:
        return [message.payload for message in self.messages]

    def room_message(self, message: RoomMessage, /) -> None:
        self.messages.append(message)

    def room_lost(self, room: str, first: int, last: int | None, /) -> None:
        self.lost.append((room, first, last))


# -- Connections


@story
async def every_node_reaches_every_connection(world: World) -> None:
    peers = [await world.peer() for _ in range(3)]
    ids = [await peer.connect() for peer in peers]
    for sender, peer in enumerate(peers):
        for connection_id in ids:
            assert await peer.backplane.send(connection_id, f"from {sender}") is Verdict.DELIVERED
    for peer, connection_id in zip(peers, ids, strict=True):
        assert peer.node.inbox[connection_id] == ["from 0", "from 1", "from 2"]


@story
async def text_stays_text_and_bytes_stay_bytes(world: World) -> None:
    one, other = await world.peer(), await world.peer()
    connection_id = await one.connect()
    payloads: list[Payload] = ["", b"", "grüße \0 \r\n 🎉", bytes(range(256)), "x" * 40_000, b"*3\r\n$3\r\n"]
    for payload in payloads:
        assert await other.backplane.send(connection_id, payload) is Verdict.DELIVERED
    assert one.node.inbox[connection_id] == payloads


@story
async def node_ids_differ(world: World) -> None:
    peers = [await world.peer() for _ in range(3)]
    assert len({peer.backplane.node_id for peer in peers}) == 3
    assert all(len(peer.backplane.node_id) == 4 for peer in peers)


@story
async def a_node_that_was_started_is_healthy(world: World) -> None:
    peer = await world.peer()
    assert peer.backplane.health.is_healthy
    assert peer.backplane.health.reason == ""
    await peer.backplane.stop()
    assert not peer.backplane.health.is_healthy
    assert peer.backplane.health.reason


@story
async def what_no_node_has_is_gone(world: World) -> None:
    one, other = await world.peer(), await world.peer()
    connection_id = await one.connect()
    assert await one.disconnect(connection_id)
    nobody = new_connection_id(new_node_id())
    for gone in (connection_id, nobody, new_connection_id(other.backplane.node_id), "", "no id", "ü" * 16, "A" * 500):
        for peer in (one, other):
            assert await peer.backplane.send(gone, "x") is Verdict.GONE
            assert await peer.backplane.close(gone, 1000, "") is Verdict.GONE
            assert await peer.backplane.info(gone) == (Verdict.GONE, None)


@story
async def the_node_decides(world: World) -> None:
    one, other = await world.peer(), await world.peer()
    connection_id = await one.connect()
    for verdict in (Verdict.BUFFER_FULL, Verdict.TOO_LARGE, Verdict.GONE, Verdict.DELIVERED):
        one.node.verdicts[connection_id] = verdict
        assert await one.backplane.send(connection_id, "x") is verdict
        assert await other.backplane.send(connection_id, "x") is verdict


@story
async def what_is_too_large_for_the_backplane_is_not_sent(world: World) -> None:
    one, other = await world.peer(), await world.peer()
    connection_id = await one.connect()
    for payload in ("x" * TOO_LARGE, "ü" * (TOO_LARGE // 2), b"x" * TOO_LARGE):
        assert await other.backplane.send(connection_id, payload) is Verdict.TOO_LARGE
        # Within the node it is the node's business alone.
        assert await one.backplane.send(connection_id, payload) is Verdict.DELIVERED
    assert len(one.node.inbox[connection_id]) == 3


@story
async def a_connection_is_closed_from_any_node_after_what_was_sent(world: World) -> None:
    one, other = await world.peer(), await world.peer()
    connection_id = await one.connect()
    assert await other.backplane.send(connection_id, "last") is Verdict.DELIVERED
    assert await other.backplane.close(connection_id, 4001, "grüß dich") is Verdict.DELIVERED
    assert one.node.inbox[connection_id] == ["last", ("close", 4001, "grüß dich")]


@story
async def what_is_known_of_a_connection_comes_from_its_node(world: World) -> None:
    one, other = await world.peer(), await world.peer()
    for _ in range(2):
        connection_id = await one.connect()
        info = one.node.info(connection_id)
        assert await one.backplane.info(connection_id) == (Verdict.DELIVERED, info)
        assert await other.backplane.info(connection_id) == (Verdict.DELIVERED, info)


@story
async def messages_of_one_sender_arrive_in_order(world: World) -> None:
    one, other = await world.peer(), await world.peer()
    connection_id = await one.connect()

    async def send(number: int) -> None:
        assert await other.backplane.send(connection_id, str(number)) is Verdict.DELIVERED

    await world.together(*[send(number) for number in range(100)])
    assert one.node.inbox[connection_id] == [str(number) for number in range(100)]


# -- Nodes that end


@story
async def survivors_see_to_the_connections_of_a_dead_node_once(world: World) -> None:
    dead, *others = [await world.peer() for _ in range(3)]
    ids = [await dead.connect() for _ in range(5)]
    left = ids.pop()
    assert await dead.disconnect(left)
    theirs = await others[0].connect()
    infos = [dead.node.infos[connection_id] for connection_id in ids]
    await world.kill(dead)

    def orphans() -> list[ConnectionInfo]:
        return others[0].node.orphans + others[1].node.orphans

    await world.until(lambda: len(orphans()) >= len(ids), "the $disconnect of a dead node's connections")
    by_id = {info.connection_id: info for info in orphans()}
    assert by_id == {info.connection_id: info for info in infos}
    for connection_id in ids:
        assert await others[1].backplane.send(connection_id, "x") is Verdict.GONE
    assert await others[1].backplane.send(theirs, "x") is Verdict.DELIVERED
    assert len(orphans()) == len(ids)


@story
async def a_node_that_stops_leaves_nothing_to_do(world: World) -> None:
    one, other = await world.peer(), await world.peer()
    connection_id = await one.connect()
    assert await one.disconnect(connection_id)
    await one.backplane.stop()
    assert await other.backplane.send(connection_id, "x") is Verdict.GONE
    assert other.node.orphans == []
    assert one.node.times_declared_dead == 0


# -- Rooms


@story
async def a_room_is_heard_by_its_listeners_on_all_nodes(world: World) -> None:
    peers = [await world.peer() for _ in range(3)]
    listeners = [Listener() for _ in peers]
    for peer, listener in zip(peers, listeners, strict=True):
        await peer.backplane.subscribe("lobby", listener)
    elsewhere = Listener()
    await peers[0].backplane.subscribe("elsewhere", elsewhere)
    number = await peers[1].backplane.publish("lobby", "hello", origin="me")
    await world.until(lambda: all(listener.messages for listener in listeners), "a message to a room")
    assert [listener.messages for listener in listeners] == [[RoomMessage("lobby", number, "hello", "me")]] * 3
    assert elsewhere.messages == []


@story
async def a_room_carries_text_and_bytes(world: World) -> None:
    one, other = await world.peer(), await world.peer()
    listener = Listener()
    await one.backplane.subscribe("zimmer 🚪 {1}", listener)
    payloads: list[Payload] = ["", b"", "grüße \0", bytes(range(256)), "x" * 40_000]
    for payload in payloads:
        await other.backplane.publish("zimmer 🚪 {1}", payload)
    await world.until(lambda: len(listener.messages) == len(payloads), "all messages")
    assert listener.payloads == payloads


@story
async def all_nodes_see_one_order(world: World) -> None:
    peers = [await world.peer() for _ in range(3)]
    listeners = [{room: Listener() for room in "ab"} for _ in peers]
    for peer, theirs in zip(peers, listeners, strict=True):
        for room, listener in theirs.items():
            await peer.backplane.subscribe(room, listener)

    async def publish(sender: int, room: str) -> None:
        for number in range(25):
            await peers[sender].backplane.publish(room, f"{sender} {number}")

    await world.together(*[publish(sender, room) for sender in range(2) for room in "ab"])
    everybody = [listener for theirs in listeners for listener in theirs.values()]
    await world.until(lambda: all(len(each.messages) >= 50 for each in everybody), "all messages")
    for room in "ab":
        first, *others = [theirs[room].messages for theirs in listeners]
        assert all(other == first for other in others)
        assert [message.sequence for message in first] == [first[0].sequence + number for number in range(50)]
        for sender in "01":
            own = [message.payload for message in first if str(message.payload).startswith(sender)]
            assert own == [f"{sender} {number}" for number in range(25)]
    assert all(listener.lost == [] for listener in everybody)


@story
async def who_unsubscribes_is_told_no_more(world: World) -> None:
    one, other = await world.peer(), await world.peer()
    first, second = Listener(), Listener()
    subscription = await one.backplane.subscribe("r", first)
    await one.backplane.subscribe("r", second)
    await other.backplane.publish("r", "1")
    await world.until(lambda: bool(first.messages and second.messages), "the first message")
    await subscription.cancel()
    await subscription.cancel()
    await other.backplane.publish("r", "2")
    await world.until(lambda: len(second.messages) == 2, "the second message")
    assert first.payloads == ["1"]
    assert second.payloads == ["1", "2"]


@story
async def who_subscribes_again_hears_what_comes_and_nothing_old(world: World) -> None:
    peer, other = await world.peer(), await world.peer()
    early, late = Listener(), Listener()
    await other.backplane.subscribe("r", early)
    await (await peer.backplane.subscribe("r", Listener())).cancel()
    await other.backplane.publish("r", "before")
    await world.until(lambda: early.payloads == ["before"], "the first message")
    await peer.backplane.subscribe("r", late)
    await other.backplane.publish("r", "after")
    await world.until(lambda: bool(late.messages), "the message that came after")
    assert late.payloads == ["after"]
    assert late.lost == []


@story
async def a_listener_that_fails_keeps_nobody_from_the_message(world: World) -> None:
    peer = await world.peer()

    class Failing(Listener):
        def room_message(self, message: RoomMessage, /) -> None:
            raise RuntimeError("on purpose")

    listener = Listener()
    await peer.backplane.subscribe("r", Failing())
    await peer.backplane.subscribe("r", listener)
    await peer.backplane.publish("r", "1")
    await peer.backplane.publish("r", "2")
    await world.until(lambda: listener.payloads == ["1", "2"], "both messages")


@story
async def names_and_sizes_are_checked(world: World) -> None:
    peer = await world.peer()
    for room in ("", "x" * 257, "ü" * 129):
        with pytest.raises(ValueError, match="room"):
            await peer.backplane.subscribe(room, Listener())
        with pytest.raises(ValueError, match="room"):
            await peer.backplane.publish(room, "x")
    with pytest.raises(ValueError, match="origin"):
        await peer.backplane.publish("r", "x", origin="x" * 257)
    listener = Listener()
    await peer.backplane.subscribe("r", listener)
    with pytest.raises(RoomMessageTooLarge):
        await peer.backplane.publish("r", "x" * TOO_LARGE)
    await peer.backplane.publish("r", "small")
    await world.until(lambda: bool(listener.messages), "the message that is not too large")
    assert listener.payloads == ["small"]
