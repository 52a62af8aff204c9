"""``twistd autobahnlike``: an application as a service of Twisted's own programme."""

from __future__ import annotations

import logging
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.logger import globalLogPublisher
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from websockets.sync.client import connect

from autobahnlike.cli import twistd
from autobahnlike.cli.twistd import Options
from tests.asgi.test_workers import pid_of
from tests.cli.process import DEADLINE, Process, write_application

TWISTD = "from twisted.scripts.twistd import run; run()"


@pytest.mark.parametrize("reactor", ["default", "asyncio"])
def test_it_serves_until_a_signal_ends_it_gracefully(reactor: str, tmp_path: Path) -> None:
    write_application(tmp_path)
    path = tmp_path / "socket"
    where = ["--listen", "0", "--listen", f"unix:{path}", "--endpoint", "tcp:0:interface=127.0.0.1"]
    command = ["-r", reactor, "-n", "--pidfile=", "autobahnlike", "--app", "hello:app", "--access-log", *where]
    with Process(*command, code=TWISTD, cwd=tmp_path) as process:
        said = process.out.expect(r"\[autobahnlike#info\] Listening on (\S+) and (\S+) and (\S+)\n")
        first, unix, second = said.groups()
        assert unix == f"http://unix:{path}"
        assert path.is_socket()
        for url in (first, second):
            assert pid_of(url) == process.popen.pid
        process.out.expect(r'\[autobahnlike\.access#info\] 127\.0\.0\.1:\d+ "GET / HTTP/1\.1" 200')
        with connect(f"ws{first.removeprefix('http')}") as connection:
            connection.send("hello")
            assert connection.recv(DEADLINE) == "hello"
        process.popen.send_signal(signal.SIGTERM)
        process.status()
        printed = process.out.all()
        assert re.search(r"lifespan\.startup.*lifespan\.shutdown", printed, re.DOTALL)
        assert "Traceback" not in printed
        assert not path.exists()


REFUSING = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


def test_an_application_that_does_not_start_ends_it(tmp_path: Path) -> None:
    write_application(tmp_path, text=REFUSING)
    command = ["-n", "--pidfile=", "autobahnlike", "--app", "hello:app", "--listen", "0"]
    with Process(*command, code=TWISTD, cwd=tmp_path) as process:
        process.status()
        assert "LifespanFailed: the application failed to start: no database" in process.out.all()


def test_a_module_that_fails_is_shown_before_anything_starts(tmp_path: Path) -> None:
    write_application(tmp_path, text="1 / 0\n")
    with Process("-n", "autobahnlike", "--app", "hello:app", code=TWISTD, cwd=tmp_path) as process:
        assert process.status() == 1
        assert process.out.all().endswith(": the module hello failed with ZeroDivisionError\n")
        lines = process.err.all().splitlines()
        assert len([line for line in lines if line.startswith("  File")]) == 1
        assert lines[-1] == "ZeroDivisionError: division by zero"


def test_twisted_finds_the_plugin() -> None:
    plugins: list[Any] = list(getPlugins(IServiceMaker))
    (found,) = [plugin for plugin in plugins if plugin.tapname == "autobahnlike"]
    assert found.module == "autobahnlike.cli.twistd"
    assert found.options is Options


def parse(arguments: list[str]) -> None:
    Options().parseOptions(arguments)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "say what to serve: --app MODULE:APP"),
        (["--app", "hello"], "write the application as module:attribute"),
        (["--app", "nowhere:app"], "there is no module nowhere"),
        (["--app", "json:dumps", "--lifespan", "maybe"], "lifespan must be one of auto, on, off"),
        (["--app", "json:dumps", "--root-path", "api"], "root_path must begin with /"),
        (["--app", "json:dumps", "--tls-key", "key.pem"], "the key key.pem is of no use without its certificate"),
        (["--app", "json:dumps", "--tls-cert", "/nowhere"], "cannot use certificate and key in /nowhere: No such file"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse(arguments)


def test_without_h11_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h11", None)
    with pytest.raises(UsageError, match=r"needs h11: pip install 'autobahnlike\[asgi\]'"):
        parse(["--app", "json:dumps"])


def test_what_is_logged_with_logging_is_in_the_log_of_twisted() -> None:
    seen: list[Any] = []
    observe: Any = seen.append
    log = logging.getLogger("autobahnlike.plugin")
    globalLogPublisher.addObserver(observe)
    log.addHandler(twistd._handler)
    try:
        log.warning("so %s it is", "{strange}")
        try:
            raise KeyError("lost")
        except KeyError:
            log.exception("it failed")
    finally:
        log.removeHandler(twistd._handler)
        globalLogPublisher.removeObserver(observe)
    warning, error = seen
    assert (warning["log_namespace"], warning["log_level"].name) == ("autobahnlike.plugin", "warn")
    assert warning["message"] == "so {strange} it is"
    assert (error["message"], error["log_level"].name) == ("it failed", "error")
    assert isinstance(error["log_failure"].value, KeyError)
