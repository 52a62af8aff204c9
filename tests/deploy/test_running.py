"""The commands of the image and of the unit, run as they stand there; only ports and Redis are others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from twisted.python.usage import UsageError
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from autobahnlike.asgi.loading import load
from autobahnlike.cli.backplane import VARIABLE
from autobahnlike.cli.twistd import Options
from tests.cli.process import DEADLINE, Process
from tests.deploy.test_files import APPLICATION, IMAGE_COMMAND, UNIT_COMMAND, of_instruction
from tests.programs import free_port

SECRET = "a-secret-that-nobody-may-see"


@contextmanager
def running(command: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Process, str, str]]:
    """A process, and where it serves clients, and its health."""
    # Nobody is there.
    monkeypatch.setenv(VARIABLE, f"redis://:{SECRET}@127.0.0.1:{free_port()}")
    arguments = list(command[1:])
    arguments[arguments.index("--listen") + 1] = "127.0.0.1:0"
    arguments[arguments.index("--admin") + 1] = "127.0.0.1:0"
    with Process(*arguments, cwd=APPLICATION) as process:
        url = process.out.expect(r"Listening on (\S+) ")[1]
        yield process, url, process.out.expect(r"Health and metrics on (\S+)")[1]


def chats(url: str) -> None:
    with connect(f"{url.replace('http', 'ws', 1)}api/", open_timeout=DEADLINE) as client:
        client.send("Ada")
        assert str(client.recv(DEADLINE)).startswith("Hello, Ada.")


def comes_back(url: str) -> None:
    """Chat as clients do where workers are replaced: one that was cut off comes again."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            chats(url)
        except (ConnectionClosed, InvalidHandshake, OSError):
            assert time.monotonic() < deadline
        else:
            return


def of_health(url: str) -> tuple[int, str]:
    answer = httpx.get(f"{url}health", trust_env=False, timeout=DEADLINE)
    return answer.status_code, answer.json()["status"]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_the_command_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = of_instruction("HEALTHCHECK")
    code = json.loads(check.partition("CMD ")[2])[2]

    with running(IMAGE_COMMAND, monkeypatch) as (process, url, admin):

        def is_healthy() -> bool:
            program = code.replace("http://127.0.0.1:9100/", admin)
            assert program != code
            environment = {**os.environ, "no_proxy": "127.0.0.1"}
            done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=60)
            return done.returncode == 0

        chats(url)
        # Redis is away: clients are served, so a container must not be started again for that.
        assert of_health(admin) == (200, "degraded")
        assert is_healthy()
        assert "autobahnlike_backplane_healthy 0.0" in httpx.get(f"{admin}metrics", trust_env=False).text
        assert SECRET not in command_line(process.popen.pid)
        process.popen.terminate()
        assert process.status() == 0
        assert not is_healthy()
        # Each line of the log is an object, and no secret in any of them.
        logged = process.err.all()
        assert "Redis at 127.0.0.1" in " ".join(json.loads(line)["message"] for line in logged.splitlines())
        assert SECRET not in logged


def test_the_command_of_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(UNIT_COMMAND, monkeypatch) as (process, url, admin):
        chats(url)
        assert of_health(admin) == (200, "degraded")
        process.popen.send_signal(signal.SIGHUP)
        # The successors of all four.
        process.err.expect(r"replacing all workers(?:[^\0]*is ready){4}")
        comes_back(url)
        process.popen.terminate()
        assert process.status() == 0
        assert SECRET not in process.err.all()


def test_a_command_line_without_backplane_takes_the_one_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = "tests.gateway.served_applications:app"
    monkeypatch.setenv(VARIABLE, "http://nowhere.invalid")
    with Process("serve", target, "--listen", "127.0.0.1:0") as process:
        assert process.status() == 2
        assert "--backplane: " in process.err.all()
    with pytest.raises(UsageError, match="--backplane: "):
        Options().parseOptions(["--app", target])  # type: ignore[no-untyped-call]
    # Empty is none.
    monkeypatch.setenv(VARIABLE, "")
    options = Options()
    options.parseOptions(["--app", target])  # type: ignore[no-untyped-call]
    assert options["application"] is load(target)
