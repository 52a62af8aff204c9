"""``--drain``: servers that close their WebSockets one after another when they are told to stop."""

from __future__ import annotations

import re
import signal
import urllib.request
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from autobahnlike.asgi import ServerOptions
from autobahnlike.cli import main
from autobahnlike.cli.serve import stop_timeout
from tests.asgi.test_plugin import TWISTD
from tests.cli.process import DEADLINE, LOOPS, Process, serving_app, write_application


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
@pytest.mark.parametrize("command", [["serve", "json:dumps"], ["chalice", "app.py"]])
def test_a_drain_takes_some_seconds(command: list[str], seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, f"--drain={seconds}"])
    assert caught.value.code == 2
    assert f"argument --drain: a number of seconds, 0 or more, not {seconds!r}" in capsys.readouterr().err


def test_workers_are_replaced_while_the_old_ones_drain(tmp_path: Path) -> None:
    write_application(tmp_path)
    with serving_app(tmp_path, "--workers", "1", "--drain", "3600") as (process, (url,)):
        old = asked(url)
        target = url.replace("http", "ws", 1)
        with connect(target) as first, connect(target) as second:
            process.popen.send_signal(signal.SIGHUP)
            with pytest.raises(ConnectionClosed) as caught:
                first.recv(DEADLINE)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
            # The successor serves already, and the old one those that it has.
            assert asked(url) != old
            second.send("hello")
            assert second.recv(DEADLINE) == "hello"
            assert f"lifespan.shutdown {old}" not in process.out._text
        process.out.expect(f"lifespan.shutdown {old}\n")
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0


def asked(url: str) -> str:
    """The number of the process that answers."""
    with urllib.request.urlopen(url, timeout=DEADLINE) as response:
        return str(response.read().decode().split()[-1])


@pytest.mark.parametrize("loop", LOOPS)
def test_a_second_signal_ends_a_drain_at_once(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path)
    with serving_app(tmp_path, "--loop", loop, "--drain", "3600") as (process, (url,)):
        target = url.replace("http", "ws", 1)
        with connect(target) as first, connect(target):
            process.popen.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                first.recv(DEADLINE)
            process.popen.send_signal(signal.SIGTERM)
            assert process.status() == -signal.SIGTERM


@pytest.mark.parametrize("reactor", ["default", "asyncio"])
def test_a_drain_under_twistd(reactor: str, tmp_path: Path) -> None:
    write_application(tmp_path)
    more = ["--app", "hello:app", "--listen", "0", "--drain", "0.2", "--access-log"]
    with Process("-r", reactor, "-n", "--pidfile=", "autobahnlike", *more, code=TWISTD, cwd=tmp_path) as process:
        url = process.out.expect(r"Listening on (\S+)\n")[1]
        target = url.replace("http", "ws", 1)
        with connect(target) as first, connect(target) as second:
            process.popen.send_signal(signal.SIGTERM)
            for client in (first, second):
                with pytest.raises(ConnectionClosed) as caught:
                    client.recv(DEADLINE)
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1012
        process.status()
        said = process.out.all()
    assert len(set(re.findall(r'access#info\] \[(\S+)\] 127\.0\.0\.1:\d+ "GET / HTTP/1\.1" 101\n', said))) == 2


def test_twistd_is_told_what_cannot_be(tmp_path: Path) -> None:
    write_application(tmp_path)
    arguments = ["-n", "--pidfile=", "autobahnlike", "--app", "hello:app", "--drain"]
    for seconds, problem in (("-1", "drain_timeout must be at least 0, not -1.0"), ("soon", "'soon'")):
        with Process(*arguments, seconds, code=TWISTD, cwd=tmp_path) as process:
            assert process.status() == 1
            assert problem in process.out.all()


def test_parents_wait_for_the_whole_of_it() -> None:
    without = stop_timeout(ServerOptions(shutdown_timeout=10.0))
    assert without > 2 * 10
    assert stop_timeout(ServerOptions(shutdown_timeout=10.0, drain_timeout=60.0)) == 60 + without
