"""Very many rooms on one node, with a Redis that answers when the test lets it."""

from __future__ import annotations

import asyncio
from typing import Any

from autobahnlike.backplane.redis.asyncio import AsyncioLoop
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.rooms import Rooms
from autobahnlike.backplane.redis.scripts import Keys
from tests.backplane.test_redis_rooms import Heard, Redis, turns

ROOMS = 500


def test_they_are_brought_up_to_date_a_few_at_a_time() -> None:
    """When the listener is back, or all of them would ask at once, and Redis refuse most."""

    async def main() -> None:
        redis, heard = Redis(), Heard()
        both: Any = redis
        listener: Any = heard
        rooms = Rooms(AsyncioLoop(), both, both, RedisOptions(max_pending=100), Keys("prefix"))
        for number in range(ROOMS):
            subscribing = asyncio.ensure_future(rooms.subscribe(f"room {number}", listener))
            await turns()
            await redis.answer(0)
            await subscribing
        rooms.went_away()
        rooms.hears_again()
        # And again, as it happens: still each of them asks once.
        rooms.can_ask()
        most = answered = 0
        await turns()
        while redis.asked:
            most = max(most, len(redis.asked))
            await redis.answer(1, 1)
            answered += 1
        assert (most, answered) == (25, ROOMS)
        assert len(heard.messages) == ROOMS
        # All are told at once again.
        for number in range(ROOMS):
            rooms.published(f"prefix:room:room {number}".encode(), b"epoch 2\n{}\nmessage 2")
        assert len(heard.messages) == 2 * ROOMS
        assert not redis.asked

    asyncio.run(main())
