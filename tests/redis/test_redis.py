"""The backplane on Redis does what every backplane does, on both loops and with nodes of both together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backplane.redis_server import RedisServer
from tests.backplane.redis_world import WORLDS, RedisWorld
from tests.backplane.suite import STORIES, Story


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_conformance(story: Story, world: type[RedisWorld], redis: RedisServer) -> None:
    there = world(redis.url)

    async def tell() -> None:
        await story(there)

    there.run(tell())
