"""Starting again when files change: with a process that only pretends, with real files, and all of it together."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from autobahnlike.asgi.reload import Reloader, changes, folders_of, poll
from tests.asgi.test_workers import Pretended, pid_of, settle
from tests.cli.process import APPLICATION, DEADLINE, Process, serving_app, write_application

HOPELESS = 2


class Scene:
    """A reloader whose process and changes are the test's."""

    stop_timeout = 5.0

    def __init__(self) -> None:
        self.started: list[Pretended] = []
        self.said_ready = 0
        self.changes: asyncio.Queue[Sequence[str]] = asyncio.Queue()

    async def start(self) -> Pretended:
        self.started.append(Pretended(len(self.started) + 1))
        return self.started[-1]

    async def changing(self) -> AsyncIterator[Sequence[str]]:
        while True:
            yield await self.changes.get()

    def ready(self) -> None:
        self.said_ready += 1

    async def change(self) -> None:
        self.changes.put_nowait(["app.py"])
        await settle()

    @property
    def running(self) -> list[int]:
        return [process.pid for process in self.started if process.runs]


@asynccontextmanager
async def scene() -> AsyncIterator[tuple[Scene, asyncio.Future[int]]]:
    it: Any = Scene()
    running = asyncio.ensure_future(Reloader(it, it.changing(), HOPELESS).run(it.ready))
    await settle()
    yield it, running
    running.cancel()
    await asyncio.wait([running])


def test_a_change_stops_the_process_and_starts_another() -> None:
    async def run() -> None:
        async with scene() as (it, _):
            it.started[0].is_there()
            await settle()
            assert it.said_ready == 1
            await it.change()
            assert it.running == [2]
            it.started[1].is_there()
            await settle()
            await it.change()
            assert it.running == [3]
            # Where it listens has not changed.
            assert it.said_ready == 1

    asyncio.run(run())


def test_a_change_while_it_starts_is_no_different() -> None:
    async def run() -> None:
        async with scene() as (it, _):
            await it.change()
            assert it.running == [2]
            it.started[1].is_there()
            await settle()
            assert it.said_ready == 1

    asyncio.run(run())


@pytest.mark.parametrize("ready_before", [True, False])
def test_one_that_ends_by_itself_is_started_again_at_the_next_change(
    ready_before: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with scene() as (it, _):
            if ready_before:
                it.started[0].is_there()
                await settle()
            it.started[0].dies(3)
            await settle()
            assert it.running == []
            assert len(it.started) == 1
            await it.change()
            assert it.running == [2]
            it.started[1].is_there()
            await settle()
            assert it.said_ready == 1

    asyncio.run(run())
    assert "the application ended with status 3; it is started again when a file changes" in caplog.messages


def test_what_no_change_can_cure_ends_it_at_the_first_start_only() -> None:
    async def run() -> int:
        async with scene() as (it, running):
            it.started[0].dies(HOPELESS)
            return await running

    async def run_later() -> None:
        async with scene() as (it, running):
            it.started[0].is_there()
            await settle()
            await it.change()
            it.started[1].dies(HOPELESS)
            await it.change()
            assert it.running == [3]
            assert not running.done()

    assert asyncio.run(run()) == HOPELESS
    asyncio.run(run_later())


def written(path: Path, text: str = "", seconds: int = 0) -> Path:
    """A file that was written at a certain time."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    os.utime(path, (seconds, seconds))
    return path


def changed_by(folders: Sequence[Path], *actions: Callable[[], object]) -> list[Sequence[str]]:
    """What is found to have changed after each of some actions; nothing is not found."""

    async def run() -> list[Sequence[str]]:
        waiting = iter(actions)
        over = asyncio.Event()

        async def sleep(_: float) -> None:
            action = next(waiting, None)
            if action is None:
                over.set()
                await asyncio.Event().wait()
            else:
                action()

        found = []

        async def collect() -> None:
            async for names in poll(folders, sleep):
                found.append(names)

        collecting = asyncio.ensure_future(collect())
        await asyncio.wait([collecting, asyncio.ensure_future(over.wait())], return_when=asyncio.FIRST_COMPLETED)
        collecting.cancel()
        await asyncio.wait([collecting])
        return found

    return asyncio.run(run())


def test_python_files_that_change_come_or_go_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = written(tmp_path / "app.py")
    inner = written(tmp_path / "package" / "inner.py")
    alone = written(tmp_path.parent / "alone.py")
    found = changed_by(
        [tmp_path, alone],
        lambda: None,
        lambda: written(app, seconds=1),
        lambda: written(inner.rename(tmp_path / "new.py")),
        lambda: written(alone, seconds=1),
        # None of these is the application's, or Python.
        lambda: written(tmp_path / "readme.txt"),
        lambda: written(tmp_path / "__pycache__" / "app.py"),
        lambda: written(tmp_path / ".venv" / "app.py"),
        lambda: written(tmp_path / "node_modules" / "app.py"),
        lambda: None,
    )
    assert found == [["app.py"], ["new.py", "package/inner.py"], ["../alone.py"]]


def test_watchfiles_tells_of_changes_if_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "app.py")

    async def run() -> Sequence[str]:
        changing = changes([tmp_path])
        waiting = asyncio.ensure_future(anext(changing))
        # It may take a moment until it looks.
        for number in range(round(DEADLINE / 0.1)):
            written(tmp_path / "readme.txt", str(number))
            written(tmp_path / "app.py", str(number))
            done, _ = await asyncio.wait([waiting], timeout=0.1)
            if done:
                break
        waiting.cancel()
        return await waiting

    assert asyncio.run(run()) == ["app.py"]


def test_without_watchfiles_files_are_looked_at_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    monkeypatch.setattr("autobahnlike.asgi.reload._INTERVAL", 0.0)
    monkeypatch.chdir(tmp_path)
    app = written(tmp_path / "app.py")

    async def run() -> Sequence[str]:
        waiting = asyncio.ensure_future(anext(changes([tmp_path])))
        for number in range(1, 1000):
            written(app, seconds=number)
            done, _ = await asyncio.wait([waiting], timeout=0.01)
            if done:
                break
        return await waiting

    caplog.set_level("INFO", "autobahnlike.asgi")
    assert asyncio.run(run()) == ["app.py"]
    assert [text.partition(";")[0] for text in caplog.messages] == ["looking at the files every second"]


def test_the_files_are_those_of_the_directory_and_of_the_module_if_it_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    written(here / "near.py")
    written(there / "far.py")
    (there / "package").mkdir()
    written(there / "package" / "__init__.py")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(there))
    monkeypatch.syspath_prepend(str(here))
    assert folders_of("near") == [here]
    assert folders_of("far") == [here, there / "far.py"]
    assert folders_of("package.inner") == [here, there / "package"]
    assert folders_of("json") == folders_of("nowhere") == folders_of("pytest") == [here]
    assert "package" not in sys.modules


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
def test_the_application_is_served_as_its_file_is_now(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path)
    with serving_app(tmp_path, "--reload", "--loop", loop) as (process, (url,)):
        first = pid_of(url)
        write_application(tmp_path, text="1 / 0\n")
        process.err.expect("hello.py changed: starting again")
        process.err.expect("ZeroDivisionError: division by zero\n(?s:.*)ended with status 3; it is started again when")
        write_application(tmp_path, text=APPLICATION + "# repaired\n")
        # Who comes too early waits.
        assert pid_of(url) != first
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert len(re.findall("lifespan.shutdown", process.out.all())) == 2


def test_a_module_that_is_not_there_ends_it(tmp_path: Path) -> None:
    with Process("serve", "hello:app", "--reload", "--listen", "0", cwd=tmp_path) as process:
        assert process.status() == 2
        assert process.err.all().count("autobahnlike: there is no module hello") == 1
