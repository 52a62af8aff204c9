"""The threads for handlers that block, and how they ask the loop for something."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from autobahnlike.gateway.crossing import Answer, NoAnswer, ask
from autobahnlike.gateway.loop import TimedOut, running_loop, within
from autobahnlike.gateway.threads import Workers, run_blocking
from tests.app.harness import Way, both_ways
from tests.gateway.kit import FakeLoop

PATIENCE = 20.0


def run(story: Any) -> None:
    asyncio.run(asyncio.wait_for(story, 2 * PATIENCE))


def test_threads_are_used_again_and_never_too_many() -> None:
    workers = Workers(2)
    names: list[str] = []
    done = threading.Semaphore(0)
    meeting = threading.Barrier(2)

    def job(*, meets: bool) -> None:
        if meets:
            meeting.wait(PATIENCE)
        names.append(threading.current_thread().name)
        done.release()

    for _ in range(2):
        # Two at once, so that two are needed.
        workers.submit(lambda: job(meets=True))
    for _ in range(10):
        workers.submit(lambda: job(meets=False))
    for _ in range(12):
        assert done.acquire(timeout=PATIENCE)
    assert set(names) == {"gateway-1", "gateway-2"}
    workers.stop()
    workers.submit(lambda: job(meets=False))
    assert done.acquire(timeout=PATIENCE)
    assert names[-1] == "gateway-late"


def test_one_after_the_other_needs_one_thread() -> None:
    async def story() -> None:
        workers = Workers(8)
        loop = running_loop()
        names = {await run_blocking(loop, workers, lambda: threading.current_thread().name) for _ in range(20)}
        assert names == {"gateway-1"}
        workers.stop()

    run(story())


def test_exceptions_come_back() -> None:
    async def story() -> None:
        workers = Workers(1)
        loop = running_loop()

        def fail(error: BaseException) -> None:
            raise error

        with pytest.raises(KeyError, match="x"):
            await run_blocking(loop, workers, lambda: fail(KeyError("x")))
        with pytest.raises(RuntimeError, match=r"SystemExit\(3\) was raised in a thread"):
            await run_blocking(loop, workers, lambda: fail(SystemExit(3)))
        workers.stop()

    run(story())


def test_a_thread_has_the_loop_do_something() -> None:
    async def story() -> None:
        workers = Workers(1)
        loop = running_loop()
        here = threading.get_ident()

        async def double(number: int) -> int:
            assert threading.get_ident() == here
            await asyncio.sleep(0)
            if number < 0:
                raise ValueError("negative")
            return 2 * number

        assert await run_blocking(loop, workers, lambda: ask(loop, lambda: double(4), PATIENCE)) == (True, 8)
        with pytest.raises(ValueError, match="negative"):
            await run_blocking(loop, workers, lambda: ask(loop, lambda: double(-1), PATIENCE))
        is_done, answer = ask(loop, lambda: double(5), PATIENCE)
        assert not is_done
        assert await answer == 10
        workers.stop()

    run(story())


def test_a_thread_does_not_wait_for_ever() -> None:
    async def story() -> None:
        workers = Workers(1)
        loop = running_loop()
        never = asyncio.Event()

        async def wait() -> None:
            await never.wait()

        with pytest.raises(NoAnswer, match=r"within 0\.01 s"):
            await run_blocking(loop, workers, lambda: ask(loop, wait, 0.01))
        never.set()
        workers.stop()

    run(story())


@both_ways
async def test_a_failure_that_nobody_awaits_is_logged(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("on purpose")

    for is_awaited in (True, False):
        caplog.clear()
        answer: Answer[None] | None = Answer()
        assert answer is not None
        await way.spawn(answer.run(fail()))
        if is_awaited:
            with pytest.raises(ValueError, match="on purpose"):
                await answer
        answer = None
        gc.collect()
        assert ("did not await it: ValueError('on purpose')" in caplog.text) is not is_awaited


@both_ways
async def test_time_limits(way: Way) -> None:
    loop = FakeLoop(way)

    async def quick() -> str:
        return "done"

    async def fail() -> None:
        raise KeyError("x")

    assert await within(loop, 1, quick()) == "done"
    assert await within(loop, 0, quick()) == "done"
    with pytest.raises(KeyError):
        await within(loop, 1, fail())
    assert loop.timers == []
    outcome: list[BaseException] = []
    cancelled: list[str] = []

    async def slow() -> None:
        try:
            await way.waiter()
        except BaseException as error:
            cancelled.append(type(error).__name__)
            raise

    async def wait() -> None:
        try:
            await within(loop, 3, slow())
        except TimedOut as error:
            outcome.append(error)

    waiting = way.spawn(wait())
    await loop.pass_time(2.9)
    assert outcome == []
    await loop.pass_time(0.1)
    await waiting
    await way.settle()
    assert str(outcome[0]) == "took longer than 3 s"
    assert cancelled == ["CancelledError"]
    assert loop.timers == []


def test_a_coroutine_that_fails_beside_others_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        loop = running_loop()

        async def fail(*, at_once: bool) -> None:
            if not at_once:
                await asyncio.sleep(0)
            raise ValueError("on purpose")

        for at_once in (True, False):
            caplog.clear()
            loop.spawn(fail(at_once=at_once))
            for _ in range(5):
                await asyncio.sleep(0)
            assert "on purpose" in caplog.text
        caplog.clear()
        task = loop.spawn(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert caplog.text == ""
        assert loop.is_own_thread()

    run(story())


def test_there_has_to_be_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "twisted.internet.reactor", raising=False)
    with pytest.raises(RuntimeError, match="neither by a task of asyncio nor by the reactor"):
        running_loop()
