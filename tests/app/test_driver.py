"""Coroutines that run beside the one that has started them."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from autobahnlike.app.driver import start


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_what_need_not_wait_is_done_at_once() -> None:
    async def main() -> None:
        seen: list[Any] = []

        async def work() -> None:
            seen.append(asyncio.current_task())

        assert start(work(), in_any_task=True) is None
        assert seen == [asyncio.current_task()]

    asyncio.run(main())


@pytest.mark.parametrize("in_any_task", [True, False])
def test_what_has_to_wait_goes_on_in_a_task_of_its_own(in_any_task: bool) -> None:
    async def main() -> None:
        gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        seen: list[Any] = []

        async def work() -> None:
            seen.append(await gate)
            await asyncio.sleep(0)
            seen.append(asyncio.current_task())

        running = start(work(), in_any_task=in_any_task)
        await turns()
        assert seen == []
        gate.set_result("open")
        await running
        assert seen == ["open", running]

    asyncio.run(main())


@pytest.mark.parametrize("in_any_task", [True, False])
def test_it_can_be_cancelled_and_may_mind(in_any_task: bool) -> None:
    async def main() -> None:
        seen: list[str] = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("asked to stop")
                await asyncio.sleep(0)
                seen.append("cleaned up")
                raise

        running = start(work(), in_any_task=in_any_task)
        await turns()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert seen == ["asked to stop", "cleaned up"]

    asyncio.run(main())


def test_a_failure_of_what_is_waited_for_is_raised_there() -> None:
    async def main() -> None:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        seen: list[str] = []

        async def work() -> None:
            try:
                await gate
            except ValueError as exc:
                seen.append(str(exc))

        running = start(work(), in_any_task=True)
        gate.set_exception(ValueError("no"))
        await running
        assert seen == ["no"]

    asyncio.run(main())


def test_it_is_closed_when_nobody_holds_its_loop_any_more() -> None:
    seen: list[str] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: seen.append(context["message"]))

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("closed")

    async def main() -> None:
        running.append(start(work(), in_any_task=True))
        await turns()

    running: list[Any] = []
    loop.run_until_complete(main())
    loop.close()
    running.clear()
    gc.collect()
    assert sorted(seen) == ["Task was destroyed but it is pending!", "closed"]
