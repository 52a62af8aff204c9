"""The backplane in memory, and that it does what every backplane does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from autobahnlike.backplane import BackplaneUnavailable, MemoryBackplane, MemoryHub, RoomMessage, Verdict
from tests.app.harness import WAYS, Way
from tests.backplane.suite import STORIES, TOO_LARGE, Listener, Peer, RecordingNode, Story, World


class MemoryWorld(World):
    """Nodes that share a hub."""

    def __init__(self) -> None:
        self.hub = MemoryHub()

    async def peer(self) -> Peer:
        peer = Peer(MemoryBackplane(self.hub, max_message_size=TOO_LARGE - 1), RecordingNode())
        await peer.backplane.start(peer.node)
        return peer

    async def kill(self, peer: Peer) -> None:
        assert isinstance(peer.backplane, MemoryBackplane)
        await self.hub.kill(peer.backplane)

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        assert is_so(), what

    async def together(self, *works: Awaitable[None]) -> None:
        for work in works:
            await work


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_conformance(story: Story, way: Way) -> None:
    tell(story, way)


def tell(story: Story, way: Way = WAYS[1]) -> None:
    async def run() -> None:
        await story(MemoryWorld())

    way.run(run())


def test_a_node_by_itself_needs_no_hub() -> None:
    async def alone(world: World) -> None:
        peer = Peer(MemoryBackplane(), RecordingNode())
        assert not peer.backplane.health.is_healthy
        await peer.backplane.start(peer.node)
        assert peer.backplane.health.is_healthy
        connection_id = await peer.connect()
        assert await peer.backplane.send(connection_id, "x" * 2_000_000) is Verdict.DELIVERED

    tell(alone)


def test_a_listener_that_publishes_does_not_change_the_order_for_the_others() -> None:
    async def echo(world: World) -> None:
        peer = await world.peer()
        first, last = Listener(), Listener()

        class Answering(Listener):
            def room_message(self, message: RoomMessage, /) -> None:
                if message.payload == "question":
                    with pytest.raises(StopIteration):
                        peer.backplane.publish("r", "answer").__await__().__next__()

        for listener in (first, Answering(), last):
            await peer.backplane.subscribe("r", listener)
        await peer.backplane.publish("r", "question")
        assert first.payloads == last.payloads == ["question", "answer"]

    tell(echo)


def test_a_node_that_does_not_run_publishes_nothing() -> None:
    async def stopped(world: World) -> None:
        peer = await world.peer()
        await peer.backplane.stop()
        with pytest.raises(BackplaneUnavailable, match="not running"):
            await peer.backplane.publish("r", "x")

    tell(stopped)


def test_a_dead_node_runs_no_disconnect_itself() -> None:
    async def dead(world: World) -> None:
        peer, other = await world.peer(), await world.peer()
        connection_id = await peer.connect()
        await world.kill(peer)
        assert [info.connection_id for info in other.node.orphans] == [connection_id]
        assert not await peer.disconnect(connection_id)

    tell(dead)


def test_without_survivors_nobody_runs_it() -> None:
    async def last(world: World) -> None:
        peer = await world.peer()
        await peer.connect()
        await world.kill(peer)
        assert peer.node.orphans == []

    tell(last)


def test_rooms_that_nobody_listens_to_are_not_kept() -> None:
    async def rooms(world: World) -> None:
        assert isinstance(world, MemoryWorld)
        peer, other = await world.peer(), await world.peer()
        await peer.backplane.publish("nobody", "x")
        subscription = await peer.backplane.subscribe("r", Listener())
        await other.backplane.subscribe("r", Listener())
        await subscription.cancel()
        assert list(world.hub.rooms) == ["r"]
        await other.backplane.stop()
        assert world.hub.rooms == {}

    tell(rooms)
