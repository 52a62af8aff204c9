"""Several processes on the same sockets: with processes that only pretend, and with real ones."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from autobahnlike.asgi import children
from autobahnlike.asgi.children import Children, Inheritance, command_of, describe
from autobahnlike.asgi.failure import CannotServe
from autobahnlike.asgi.workers import Workers
from tests.cli.process import DEADLINE, Process, serving_app, write_application


class Pretended:
    """A process that does what the test says."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        loop = asyncio.get_running_loop()
        self.readiness: asyncio.Future[bool] = loop.create_future()
        self.end: asyncio.Future[int] = loop.create_future()
        self.has_successor = False

    async def wait(self) -> int:
        return await asyncio.shield(self.end)

    async def is_ready(self) -> bool:
        return await asyncio.shield(self.readiness)

    def succeeded(self) -> None:
        self.has_successor = True

    async def stop(self, patience: float) -> None:
        if self.runs:
            self.dies(0)

    def is_there(self) -> None:
        self.readiness.set_result(True)

    def dies(self, status: int) -> None:
        if not self.readiness.done():
            self.readiness.set_result(False)
        self.end.set_result(status)

    @property
    def runs(self) -> bool:
        return not self.end.done()


class Scene:
    """Workers whose processes, sleep and clock are the test's."""

    stop_timeout = 5.0

    def __init__(self, count: int) -> None:
        self.started: list[Pretended] = []
        self.is_ready = False
        self.now = 0.0
        self.delays: list[float] = []
        self.refusal: OSError | None = None
        self.waking: asyncio.Event = asyncio.Event()
        made: Any = self
        self.workers = Workers(made, count, self.sleep, lambda: self.now)

    async def start(self, place: int = 0, *, is_successor: bool = False) -> Pretended:
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        self.started.append(Pretended(len(self.started) + 1))
        return self.started[-1]

    async def sleep(self, delay: float) -> None:
        self.delays.append(delay)
        self.waking.clear()
        await self.waking.wait()

    def ready(self) -> None:
        self.is_ready = True

    @property
    def running(self) -> list[int]:
        return [process.pid for process in self.started if process.runs]


async def settle() -> None:
    """Let everything happen that can."""
    for _ in range(50):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def scene(count: int) -> AsyncIterator[Scene]:
    """Workers of which all are ready."""
    scene = Scene(count)
    running = asyncio.ensure_future(scene.workers.run(scene.ready))
    await settle()
    scene.started[0].is_there()
    await settle()
    for process in scene.started[1:]:
        process.is_there()
    await settle()
    assert scene.is_ready
    yield scene
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


def test_the_first_is_ready_before_the_others_are_started_and_all_before_it_is_said() -> None:
    async def run() -> None:
        scene = Scene(3)
        running = asyncio.ensure_future(scene.workers.run(scene.ready))
        await settle()
        assert scene.running == [1]
        scene.started[0].is_there()
        await settle()
        assert scene.running == [1, 2, 3]
        scene.started[1].is_there()
        await settle()
        assert not scene.is_ready
        scene.started[2].is_there()
        await settle()
        assert scene.is_ready
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(run())


@pytest.mark.parametrize("number", [0, 1])
def test_it_gives_up_when_one_does_not_start(number: int) -> None:
    async def run() -> int:
        scene = Scene(2)
        running = asyncio.ensure_future(scene.workers.run(scene.ready))
        await settle()
        if number == 1:
            scene.started[0].is_there()
            await settle()
        scene.started[number].dies(3)
        status = await running
        assert not scene.is_ready
        return status

    assert asyncio.run(run()) == 3


def test_one_that_dies_is_replaced_after_a_time_that_doubles_while_they_die_soon(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        async with scene(2) as it:
            for dying in range(2, 10):
                it.started[-1].dies(-9 if dying == 2 else 1)
                await settle()
                assert len(it.started) == dying
                it.waking.set()
                await settle()
                assert len(it.started) == dying + 1
                # Some die before they are ready, some after.
                if dying % 2:
                    it.started[-1].is_there()
                    await settle()
            assert it.delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
            # Nobody else was touched.
            assert it.running == [1, 10]
            it.now = 60.0
            it.started[0].dies(1)
            await settle()
            assert it.delays[-1] == 0.5

    with caplog.at_level(logging.ERROR, "autobahnlike.asgi"):
        asyncio.run(run())
    assert caplog.messages[0] == "worker 2 ended with SIGKILL; another one is started in 0.5 seconds"
    assert caplog.messages[1] == "worker 3 ended with status 1; another one is started in 1 seconds"


def test_one_that_ran_for_a_while_is_replaced_soon() -> None:
    async def run() -> None:
        async with scene(1) as it:
            for dying in range(3):
                it.now += 10.0
                it.started[-1].dies(1)
                await settle()
                it.waking.set()
                await settle()
                it.started[-1].is_there()
                await settle()
                assert it.delays == [0.5] * (dying + 1)

    asyncio.run(run())


def test_a_system_that_has_no_process_left_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with scene(1) as it:
            it.refusal = OSError(11, "Resource temporarily unavailable")
            it.started[0].dies(1)
            await settle()
            it.waking.set()
            await settle()
            assert it.delays == [0.5, 1.0]
            it.waking.set()
            await settle()
            assert it.running == [2]

    asyncio.run(run())
    assert f"a worker cannot be started: {os.strerror(11)}" in caplog.messages


def test_replacing_starts_each_successor_before_its_predecessor_is_stopped() -> None:
    async def run() -> None:
        async with scene(2) as it:
            it.workers.replace_all()
            # Asking again is asking for the same.
            it.workers.replace_all()
            await settle()
            assert it.running == [1, 2, 3]
            it.started[2].is_there()
            await settle()
            assert it.running == [2, 3, 4]
            it.started[3].is_there()
            await settle()
            assert it.running == [3, 4]
            assert it.delays == []
            # They are kept as the others were.
            it.started[3].dies(1)
            await settle()
            it.waking.set()
            await settle()
            assert it.running == [3, 5]

    asyncio.run(run())


def test_replacing_stops_when_a_successor_does_not_start(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with scene(2) as it:
            it.workers.replace_all()
            await settle()
            it.started[2].dies(3)
            await settle()
            assert it.running == [1, 2]
            # The places have their old ones.
            it.workers.replace_all()
            await settle()
            it.started[3].is_there()
            await settle()
            it.started[4].is_there()
            await settle()
            assert it.running == [4, 5]
            it.refusal = OSError(11, "Resource temporarily unavailable")
            it.workers.replace_all()
            await settle()
            assert it.running == [4, 5]

    asyncio.run(run())
    assert "worker 3 ended with status 3 before it was ready; the others stay" in caplog.messages
    assert f"a worker cannot be started: {os.strerror(11)}; the others stay" in caplog.messages


def test_one_that_dies_while_it_is_replaced_is_not_replaced_twice() -> None:
    async def run() -> None:
        async with scene(1) as it:
            it.workers.replace_all()
            await settle()
            it.started[0].dies(1)
            await settle()
            it.started[1].is_there()
            await settle()
            assert it.delays == []
            assert len(it.started) == 2

    asyncio.run(run())


def pid_of(url: str) -> int:
    with urllib.request.urlopen(url, timeout=DEADLINE) as response:
        return int(response.read().split()[-1])


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "twisted", "twisted-asyncio"])
def test_processes_share_the_sockets_and_end_with_their_parent(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path)
    path = tmp_path / "socket"
    arguments = ["--loop", loop, "--workers", "2", "--listen", "0", "--listen", f"unix:{path}"]
    with serving_app(tmp_path, *arguments) as (process, (url, _)):
        ready = process.err.expect(r"(?s)worker (\d+) is ready.*worker (\d+) is ready")
        pids = {int(ready[1]), int(ready[2])}
        first = pid_of(url)
        assert first in pids
        os.kill(first, signal.SIGKILL)
        process.err.expect(rf"worker {first} ended with SIGKILL; another one is started in 0\.5 seconds\n")
        process.err.expect(r"(?s)(worker \d+ is ready.*){3}")
        process.popen.send_signal(signal.SIGHUP)
        process.err.expect(r"(?s)replacing all workers.*(worker \d+ is ready.*){2}")
        # The last of the old ones stops when the last of the new ones is ready.
        process.out.expect(r"(?s)(lifespan\.shutdown \d+\n.*){2}")
        assert pid_of(url) not in pids
        assert path.is_socket()
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert len(re.findall("lifespan.shutdown", process.out.all())) == 4
        assert "Traceback" not in process.err.all()
        assert not path.exists()


def test_ctrl_c_in_a_terminal_reaches_all_and_ends_all_gracefully(tmp_path: Path) -> None:
    write_application(tmp_path)
    arguments = ["serve", "hello:app", "--workers", "2", "--listen", "0"]
    with Process(*arguments, cwd=tmp_path, new_session=True) as process:
        process.out.expect("Listening")
        os.killpg(process.popen.pid, signal.SIGINT)
        assert process.status() == 0
        assert len(re.findall("lifespan.shutdown", process.out.all())) == 2
        assert "ended" not in process.err.all()


HANGING = """
import time


async def app(scope, receive, send):
    await receive()
    if scope["type"] == "http":
        print("hangs", flush=True)
        time.sleep(1000)
    await send({"type": "lifespan.startup.complete"})
    await receive()
"""


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    write_application(tmp_path, text=HANGING)
    with serving_app(tmp_path, "--workers", "1") as (process, (url,)):
        # Its answer never comes.
        with Process(code=f"import urllib.request; urllib.request.urlopen({url!r})"):
            process.out.expect("hangs")
            # Two at the same time are one.
            for _ in range(round(DEADLINE / 0.1)):
                process.popen.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.popen.wait(0.1)
                    break
            assert process.status() == -signal.SIGINT
        # The worker has it open as well.
        process.out.all()


def test_workers_stop_when_their_parent_is_killed(tmp_path: Path) -> None:
    write_application(tmp_path)
    with serving_app(tmp_path, "--workers", "2") as (process, _):
        process.popen.kill()
        assert len(re.findall("lifespan.shutdown", process.out.all())) == 2


def test_an_application_that_does_not_start_is_told_once_and_ends_all(tmp_path: Path) -> None:
    write_application(tmp_path, text="1 / 0\n")
    with Process("serve", "hello:app", "--workers", "3", "--listen", "0", cwd=tmp_path) as process:
        assert process.status() == 3
        assert process.out.all() == ""
        assert process.err.all().count("ZeroDivisionError: division by zero") == 1


@pytest.mark.parametrize("text", ["", "nonsense", "99999", "0,1"])
def test_what_no_parent_of_ours_said_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "leave_interrupts_to_the_parent", lambda: None)
    with pytest.raises(CannotServe, match="--inherit is for processes that --workers and --reload start"):
        Inheritance(text, 1.0)


def test_the_command_is_the_same_with_the_same_options_of_python() -> None:
    command = command_of(["serve", "hello:app"])
    assert command[0] == sys.executable
    assert command[-4:] == ["-m", "autobahnlike", "serve", "hello:app"]
    assert describe(3) == "status 3"
    assert describe(-15) == "SIGTERM"


def test_where_processes_cannot_inherit_sockets_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(CannotServe, match="hand sockets to other processes, which win32 cannot"):
        children.require_inheritance()


STUBBORN = """
import signal, socket, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
socket.socket(fileno=int(sys.argv[-1])).send(b"+")
time.sleep(1000)
"""


def test_one_that_does_not_stop_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> int:
        several = Children([sys.executable, "-c", STUBBORN], [], stop_timeout=0.1)
        child = await several.start()
        assert await child.is_ready()
        await several.stop()
        return await child.wait()

    assert asyncio.run(run()) == -signal.SIGKILL
    assert re.fullmatch(r"worker \d+ did not stop within 0\.1 seconds and is killed", caplog.messages[0])
