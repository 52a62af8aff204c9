"""Rooms on Redis, as one node sees them, with a Redis that answers when the test lets it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from autobahnlike.backplane.redis.asyncio import AsyncioLoop
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.rooms import Rooms
from autobahnlike.backplane.redis.scripts import Keys


class Redis:
    """Answers of a script, one by one, and subscriptions.

    Attributes:
        asked: the questions that wait for their answers.
    """

    def __init__(self) -> None:
        self.asked: deque[asyncio.Future[Any]] = deque()

    async def call(self, *arguments: Any) -> Any:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]

    async def subscribe(self, channel: str) -> bool:
        return True

    async def answer(self, head: int, *numbers: int) -> None:
        """Answer the oldest question: so many messages were published, and these are asked for."""
        entries = [(b"%d-0" % number, [b"m", b"{}\nmessage %d" % number]) for number in numbers]
        self.asked.popleft().set_result([b"epoch", head, entries])
        await turns()


class Heard:
    """Notes what is told."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def room_message(self, message: Any) -> None:
        self.messages.append(message.payload)

    def room_lost(self, room: str, first: int, last: int | None) -> None:
        raise AssertionError("nothing is lost")


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_listener_goes_away_again_while_what_was_missed_is_fetched() -> None:
    """What the fetching finds is complete, and still no news comes in."""

    async def main() -> None:
        redis, heard = Redis(), Heard()
        both: Any = redis
        listener: Any = heard
        rooms = Rooms(AsyncioLoop(), both, both, RedisOptions(), Keys("prefix"))
        subscribing = asyncio.ensure_future(rooms.subscribe("room", listener))
        await turns()
        await redis.answer(0)
        await subscribing

        rooms.went_away()
        rooms.hears_again()
        await turns()
        rooms.went_away()
        await redis.answer(1, 1)
        while redis.asked:
            await redis.answer(1)
        assert heard.messages == [b"message 1"]
        # Message 2 is published now.
        rooms.hears_again()
        await turns()
        await redis.answer(2, 2)
        while redis.asked:
            await redis.answer(2)
        assert heard.messages == [b"message 1", b"message 2"]

    asyncio.run(main())
