"""A node with more rooms than commands that it may have under way."""

from __future__ import annotations

import pytest

from tests.backplane.redis_server import RedisServer
from tests.backplane.redis_world import WORLDS, RedisWorld
from tests.backplane.suite import Listener

ROOMS = 120


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_all_are_brought_up_to_date_when_the_listener_is_back(world: type[RedisWorld]) -> None:
    """And not those that there was room for, and the others when they are looked after by chance."""
    with RedisServer() as redis:
        there = world(redis.url, max_pending=20)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            listener = Listener()
            rooms = [f"room {number}" for number in range(ROOMS)]
            for room in rooms:
                await one.backplane.subscribe(room, listener)
            clients = [
                dict(item.partition("=")[::2] for item in line.split())
                for line in redis.command("CLIENT", "LIST").splitlines()
            ]
            (number,) = [int(client["id"]) for client in clients if int(client["sub"]) > ROOMS]
            redis.command("CLIENT", "KILL", "ID", number)
            for room in rooms:
                await other.backplane.publish(room, f"to {room}")
            await there.until(lambda: len(listener.messages) >= ROOMS, "a message in each room")
            told = [(message.room, message.payload) for message in listener.messages]
            assert sorted(told) == sorted((room, f"to {room}") for room in rooms)
            assert listener.lost == []

        there.run(story())
