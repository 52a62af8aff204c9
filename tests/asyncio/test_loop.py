"""An event loop and a transport as the shared code wants them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from autobahnlike.asyncio.loop import AsyncioLink, AsyncioLoop


def on_a_loop(story: Callable[[AsyncioLoop], Coroutine[Any, Any, None]]) -> None:
    """Run a test as a task."""

    async def main() -> None:
        await story(AsyncioLoop(asyncio.get_running_loop()))

    asyncio.run(main())


class Awaitable:
    """What can be awaited and is nothing else."""

    def __await__(self) -> Generator[Any, Any, int]:
        yield from asyncio.sleep(0).__await__()
        return 5


async def returning(value: Any) -> Any:
    return value


async def raising(error: Exception) -> Any:
    raise error


def test_time_is_that_of_the_loop() -> None:
    async def story(loop: AsyncioLoop) -> None:
        before = asyncio.get_running_loop().time()
        assert before <= loop.now() <= asyncio.get_running_loop().time()

    on_a_loop(story)


def test_calls_are_scheduled_and_cancelled() -> None:
    async def story(loop: AsyncioLoop) -> None:
        called: list[int] = []
        done = asyncio.Event()
        loop.call_later(0, lambda: called.append(1))
        loop.call_later(0, lambda: called.append(2)).cancel()
        loop.call_later(0.001, lambda: called.append(3)).cancel()
        loop.call_later(0.002, done.set)
        assert called == []
        await done.wait()
        assert called == [1]

    on_a_loop(story)


class TestWaiting:
    @pytest.mark.parametrize("make", [lambda: returning(5), Awaitable])
    def test_for_what_comes_later(self, make: Callable[[], Any]) -> None:
        async def story(loop: AsyncioLoop) -> None:
            outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            assert loop.wait(make(), outcome.set_result, outcome.set_exception) is not None
            assert not outcome.done()
            assert await outcome == 5

        on_a_loop(story)

    def test_for_what_fails(self) -> None:
        async def story(loop: AsyncioLoop) -> None:
            outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            loop.wait(raising(ValueError()), outcome.set_result, outcome.set_result)
            assert isinstance(await outcome, ValueError)

        on_a_loop(story)

    def test_for_a_future_that_is_done(self) -> None:
        async def story(loop: AsyncioLoop) -> None:
            outcomes: list[Any] = []
            future = asyncio.get_running_loop().create_future()
            future.set_result(5)
            loop.wait(future, outcomes.append, outcomes.append)
            error = ValueError()
            failed = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            loop.wait(failed, outcomes.append, outcomes.append)
            cancelled = asyncio.get_running_loop().create_future()
            cancelled.cancel()
            loop.wait(cancelled, outcomes.append, outcomes.append)
            assert outcomes[:2] == [5, error]
            assert isinstance(outcomes[2], asyncio.CancelledError)

        on_a_loop(story)

    @pytest.mark.parametrize("result", [None, 5, "text", object(), returning])
    def test_not_for_what_cannot_be_awaited(self, result: object) -> None:
        async def story(loop: AsyncioLoop) -> None:
            def never(_: Any) -> None:
                raise AssertionError("there was nothing to wait for")

            assert loop.wait(result, never, never) is None

        on_a_loop(story)

    def test_until_it_is_given_up(self) -> None:
        async def story(loop: AsyncioLoop) -> None:
            outcomes: list[Any] = []
            seen: list[BaseException] = []

            async def hook() -> None:
                try:
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError as error:
                    seen.append(error)
                    raise ValueError("too late to matter") from None

            give_up = loop.wait(hook(), outcomes.append, outcomes.append)
            await asyncio.sleep(0)
            assert give_up is not None
            give_up()
            await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
            assert len(seen) == 1
            assert outcomes == []

        on_a_loop(story)


def test_failures_of_the_application_are_logged_with_their_traceback(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError("theirs")

    async def story(loop: AsyncioLoop) -> None:
        loop.log_failure("onMessage raised 100 %s", error)

    on_a_loop(story)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("autobahnlike", logging.ERROR)
    assert record.getMessage() == "onMessage raised 100 %s"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


class Transport(asyncio.Transport):
    """A transport that notes what is asked of it."""

    def __init__(self, *, half_closes: bool = True, is_closing: bool = False, **extra: Any) -> None:
        super().__init__({"peername": ("10.0.0.1", 1), "sockname": ("10.0.0.2", 2), **extra})
        self.calls: list[Any] = []
        self.data = b""
        self._half_closes = half_closes
        self._is_closing = is_closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.calls.append(("limits", high))

    def get_write_buffer_size(self) -> int:
        return 77

    def write(self, data: Any) -> None:
        self.calls.append("write")
        self.data += data

    def writelines(self, list_of_data: Any) -> None:
        self.calls.append("writelines")
        self.data += b"".join(list_of_data)

    def can_write_eof(self) -> bool:
        return self._half_closes

    def write_eof(self) -> None:
        self.calls.append("eof")

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class TestLink:
    def test_what_it_knows(self) -> None:
        transport = Transport()
        link = AsyncioLink(transport, None, 1000)
        assert (link.peer, link.own, link.is_secure) == ("tcp4:10.0.0.1:1", "tcp4:10.0.0.2:2", False)
        assert link.buffered == 77
        assert transport.calls == [("limits", 1000)]
        assert AsyncioLink(Transport(sslcontext=object()), None, 1000).is_secure

    def test_writing(self) -> None:
        transport = Transport()
        link = AsyncioLink(transport, None, 1000)
        link.write([b"a"])
        link.write([bytearray(b"b"), memoryview(b"c")])
        assert transport.data == b"abc"
        assert transport.calls[1:] == ["write", "write"]

    def test_large_chunks_are_not_joined(self) -> None:
        transport = Transport()
        AsyncioLink(transport, None, 1000).write([b"header", bytes(100_000)])
        assert transport.data == b"header" + bytes(100_000)
        assert transport.calls[1:] == ["write", "write"]

    @pytest.mark.parametrize(("half_closes", "call"), [(True, "eof"), (False, "close")])
    def test_half_closing(self, half_closes: bool, call: str) -> None:
        transport = Transport(half_closes=half_closes)
        AsyncioLink(transport, None, 1000).finish()
        assert transport.calls[1:] == [call]

    def test_ending(self) -> None:
        transport = Transport()
        link = AsyncioLink(transport, None, 1000)
        link.close()
        link.abort()
        assert transport.calls[1:] == ["close", "abort"]

    @pytest.mark.parametrize(("is_closing", "calls"), [(False, ["pause", "resume"]), (True, [])])
    def test_reading(self, is_closing: bool, calls: list[str]) -> None:
        transport = Transport(is_closing=is_closing)
        link = AsyncioLink(transport, None, 1000)
        link.pause_reading()
        link.resume_reading()
        assert transport.calls[1:] == calls
