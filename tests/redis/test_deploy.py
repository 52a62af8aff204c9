"""Redis with the configuration of ``examples/deploy``: its user may do what nodes need, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

import hiredis
import pytest

from tests.backplane.redis_server import RedisServer
from tests.backplane.redis_world import WORLDS, RedisWorld
from tests.backplane.suite import STORIES, Story
from tests.programs import ROOT

PASSWORD = "of-the-tests"


def lines() -> list[str]:
    """The configuration with what it offers in a comment, ``#user``, and with the prefixes of the tests."""
    text = (ROOT / "examples" / "deploy" / "redis.conf").read_text()
    offered = re.sub(r"^#(?=user )", "", text, flags=re.MULTILINE)
    assert offered.count(">PASSWORD") == 1
    assert offered.count("autobahnlike:*") == 2
    changed = offered.replace(">PASSWORD", f">{PASSWORD}").replace("autobahnlike:*", "test-*")
    return [line for line in changed.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer(*lines()) as server:
        yield server


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_user_can_do_what_nodes_do(story: Story, world: type[RedisWorld], redis: RedisServer) -> None:
    there = world(f"redis://gateway:{PASSWORD}@127.0.0.1:{redis.port}")

    async def tell() -> None:
        await story(there)

    there.run(tell())


def test_nobody_else_is_let_in(redis: RedisServer) -> None:
    with pytest.raises(hiredis.ReplyError, match="NOAUTH"):
        redis.command("GET", "test-x")
