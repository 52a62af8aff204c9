"""What Redis has to do for each thing, as docs/guide/gateway/scaling.rst tells: commands, and not one more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.backplane.redis_server import RedisServer
from tests.backplane.redis_world import WORLDS, RedisWorld
from tests.backplane.suite import Listener


def counted(redis: RedisServer) -> dict[str, int]:
    """Return how often each command was done, those of scripts included, without those of this test."""
    lines = redis.command("INFO", "commandstats").splitlines()[1:]
    found = {
        line[len("cmdstat_") : line.index(":")]: int(line.partition("calls=")[2].partition(",")[0]) for line in lines
    }
    return {name: count for name, count in found.items() if name not in ("info", "config|resetstat")}


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_commands(world: type[RedisWorld]) -> None:
    with RedisServer() as redis:
        # No sign of life in between.
        there = world(redis.url, heartbeat_interval=60.0, node_timeout=600.0, room_check_interval=600.0)

        async def costs(work: Callable[[], Awaitable[object]]) -> dict[str, int]:
            redis.command("CONFIG", "RESETSTAT")
            await work()
            return counted(redis)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            here, listener = await one.connect(), Listener()
            there_id = await other.connect()
            assert await costs(other.connect) == {"eval": 1, "hset": 1, "exists": 1}
            assert await costs(lambda: one.backplane.send(here, "x")) == {}
            assert await costs(lambda: one.backplane.send(there_id, "x")) == {"eval": 1, "publish": 2}
            assert await costs(lambda: one.backplane.info(there_id)) == {"eval": 1, "publish": 2}
            joined = await costs(lambda: other.backplane.subscribe("room", listener))
            assert (joined["subscribe"], joined["ping"], joined["eval"]) == (1, 1, 1)
            published = {"eval": 1, "hmget": 1, "pexpire": 2, "hincrby": 1, "xadd": 1, "publish": 1}
            for peer in (one, other):
                assert await costs(lambda peer=peer: peer.backplane.publish("room", "x")) == published  # type: ignore[misc]
            ended = await costs(lambda: one.backplane.unregister(here))
            assert ended == {"eval": 1, "hdel": 1}

        there.run(story())
