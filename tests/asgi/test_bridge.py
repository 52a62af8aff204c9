"""Deferreds in tasks of asyncio."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import ILogObserver, globalLogPublisher

from autobahnlike.asgi.bridge import bridge


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test as a bridged task, and demand that nothing is logged as unhandled."""
    events: list[Any] = []
    observe = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observe)
    try:
        asyncio.run(bridge(story()))
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(observe)
    assert [event for event in events if event.get("log_failure")] == []


def test_results() -> None:
    async def story() -> None:
        assert await succeed(1) == 1
        later: Deferred[int] = Deferred()
        asyncio.get_running_loop().call_soon(later.callback, 2)
        assert await later == 2
        assert await asyncio.sleep(0, 3) == 3
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, 4)
        assert await future == 4

    run(story)


def test_failures() -> None:
    async def story() -> None:
        with pytest.raises(LookupError):
            await fail(LookupError())
        later: Deferred[int] = Deferred()
        asyncio.get_running_loop().call_soon(later.errback, LookupError("later"))
        with pytest.raises(LookupError, match="later"):
            await later
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    run(story)


def test_what_the_application_raises_and_returns() -> None:
    async def returns() -> str:
        await succeed(None)
        return "it"

    async def raises() -> None:
        await succeed(None)
        raise LookupError("it")

    async def story() -> None:
        assert await bridge(returns()) == "it"
        with pytest.raises(LookupError, match="it"):
            await bridge(raises())
        future = asyncio.get_running_loop().create_future()
        future.set_result(5)
        assert await bridge(future) == 5

    run(story)


def test_cancelling_the_task_cancels_the_deferred() -> None:
    cancelled: list[Any] = []

    async def story() -> None:
        async def waits() -> None:
            try:
                await Deferred(cancelled.append)
            finally:
                # And it may wait for others at its end.
                await succeed(None)
                await asyncio.sleep(0)
                cancelled.append("ended")

        task = asyncio.ensure_future(bridge(waits()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story)
    assert len(cancelled) == 2
    assert cancelled[1] == "ended"


def test_a_deferred_that_is_cancelled_is_an_exception() -> None:
    async def story() -> None:
        later: Deferred[None] = Deferred()
        asyncio.get_running_loop().call_soon(later.cancel)
        with pytest.raises(CancelledError):
            await later

    run(story)


def test_a_time_out_around_a_deferred() -> None:
    async def story() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await Deferred()
        assert await succeed("goes on") == "goes on"

    run(story)


def test_a_deferred_of_several() -> None:
    """Who awaits it first leaves the result there, as Deferreds do."""

    async def story() -> None:
        later: Deferred[int] = Deferred()
        seen: list[int] = []

        def see(value: int) -> int:
            seen.append(value)
            return value

        later.addCallback(see)
        asyncio.get_running_loop().call_soon(later.callback, 1)
        assert await later == 1
        assert seen == [1]
        assert await later == 1

    run(story)
