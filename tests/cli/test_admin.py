"""``--admin``: health and metrics at an address of their own, of one process and of several."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from websockets.sync.client import connect

from autobahnlike.asgi.failure import CannotListen
from autobahnlike.cli import main
from autobahnlike.cli.admin import admin_sockets
from tests.cli.process import DEADLINE, LOOPS, Process, write_application

each_loop = pytest.mark.parametrize("loop", LOOPS)

# Says where it is in its life, and goes on when a file is there.
SLOW = """
import os
from pathlib import Path


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            print(step, os.getpid(), flush=True)
            while not Path(step).exists():
                await pause()
            await send({"type": f"lifespan.{step}.complete"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


async def pause():
    try:
        import asyncio

        await asyncio.sleep(0.05)
    except RuntimeError:
        from twisted.internet import reactor
        from twisted.internet.task import deferLater

        await deferLater(reactor, 0.05)
"""


def health(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{url}health", timeout=DEADLINE) as response:
            return response.status, json.loads(response.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def connections_of(url: str) -> float:
    """How many connections the process that answers was asked for: which one it is."""
    with urllib.request.urlopen(f"{url}metrics", timeout=DEADLINE) as response:
        found = re.search(r"^autobahnlike_connections_total (\S+)$", response.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@each_loop
def test_it_is_there_before_the_application_and_after(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path, text=SLOW)
    arguments = ["serve", "hello:app", "--loop", loop, "--listen", "0", "--admin", "0"]
    with Process(*arguments, cwd=tmp_path) as process:
        admin = process.out.expect(r"Health and metrics on (http://127\.0\.0\.1:\d+/)\n")[1]
        process.out.expect("startup")
        assert health(admin) == (
            503,
            {"status": "starting", "reason": "the server does not listen yet", "connections": 0, "node": None},
        )
        (tmp_path / "startup").touch()
        process.out.expect(r"Listening on")
        assert health(admin) == (200, {"status": "ok", "reason": "", "connections": 0, "node": None})
        process.popen.send_signal(signal.SIGTERM)
        process.out.expect("shutdown")
        assert health(admin) == (
            503,
            {"status": "draining", "reason": "the server was told to stop", "connections": 0, "node": None},
        )
        (tmp_path / "shutdown").touch()
        assert process.status() == 0
        assert "Traceback" not in process.err.all()


@each_loop
def test_a_server_that_does_not_start_ends_nevertheless(loop: str, tmp_path: Path) -> None:
    refusing = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""
    write_application(tmp_path, text=refusing)
    arguments = ["serve", "hello:app", "--loop", loop, "--listen", "0", "--admin", "0"]
    with Process(*arguments, cwd=tmp_path) as process:
        assert process.status() == 3
        assert process.err.all() == "autobahnlike: the application failed to start: no database\n"


@each_loop
def test_one_that_is_stopped_while_it_starts_ends(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path, text=SLOW)
    arguments = ["serve", "hello:app", "--loop", loop, "--listen", "0", "--admin", "0"]
    with Process(*arguments, cwd=tmp_path) as process:
        process.out.expect("startup")
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert "Traceback" not in process.err.all()


@each_loop
def test_each_worker_has_its_own(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path)
    arguments = ["serve", "hello:app", "--loop", loop, "--listen", "0", "--admin", "0", "--workers", "2"]
    with Process(*arguments, cwd=tmp_path) as process:
        urls = [process.out.expect(rf"Health and metrics on (\S+) \(worker {number}\)\n")[1] for number in (1, 2)]
        served = process.out.expect(r"Listening on (\S+) ")[1]
        assert len(set(urls)) == 2
        for url in urls:
            assert health(url)[1]["status"] == "ok"
        with connect(f"ws{served.removeprefix('http')}"):
            assert sorted(health(url)[1]["connections"] for url in urls) == [0, 1]
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert "Traceback" not in process.err.all()


@each_loop
def test_a_worker_that_is_replaced_leaves_its_place_to_its_successor(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path, text=SLOW)
    for step in ("startup", "shutdown"):
        (tmp_path / step).touch()
    arguments = ["serve", "hello:app", "--loop", loop, "--listen", "0", "--admin", "0", "--workers", "1"]
    with Process(*arguments, cwd=tmp_path) as process:
        admin = process.out.expect(r"Health and metrics on (\S+) \(worker 1\)\n")[1]
        served = process.out.expect(r"Listening on (\S+) ")[1]
        urllib.request.urlopen(served, timeout=DEADLINE).close()
        assert connections_of(admin) == 1
        # The next one does not get ready for the time being, and is not to be seen.
        (tmp_path / "startup").unlink()
        process.popen.send_signal(signal.SIGHUP)
        process.out.expect(r"(?s)startup.*startup")
        for _ in range(5):
            assert health(admin)[1]["status"] == "ok"
            assert connections_of(admin) == 1
        # Nor is the old one, when it is ready: it stays for a while, and says nothing any more.
        (tmp_path / "shutdown").unlink()
        (tmp_path / "startup").touch()
        process.out.expect("shutdown")
        until(lambda: connections_of(admin) == 0, "the successor")
        for _ in range(5):
            assert health(admin)[1]["status"] == "ok"
            assert connections_of(admin) == 0
        (tmp_path / "shutdown").touch()
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert "Traceback" not in process.err.all()


def test_a_worker_that_dies_is_replaced_in_its_place(tmp_path: Path) -> None:
    write_application(tmp_path)
    arguments = ["serve", "hello:app", "--listen", "0", "--admin", "0", "--workers", "1"]
    with Process(*arguments, cwd=tmp_path) as process:
        admin = process.out.expect(r"Health and metrics on (\S+) ")[1]
        served = process.out.expect(r"Listening on (\S+) ")[1]
        with urllib.request.urlopen(served, timeout=DEADLINE) as response:
            pid = int(response.read().split()[-1])
        assert connections_of(admin) == 1
        os.kill(pid, signal.SIGKILL)
        process.err.expect("ended with SIGKILL")
        # Who asks meanwhile waits, because the socket is the parent's.
        assert health(admin)[1]["status"] in ("ok", "starting")
        assert connections_of(admin) == 0
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
def test_unix_sockets_of_workers(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path)
    arguments = ["serve", "hello:app", "--loop", loop, "--listen", "0", "--admin", "unix:admin", "--workers", "2"]
    with Process(*arguments, cwd=tmp_path) as process:
        process.out.expect(r"Listening on")
        for number in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(DEADLINE)
                client.connect(str(tmp_path / f"admin.{number}"))
                client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
    assert not list(tmp_path.glob("admin*"))


def test_the_ports_of_workers_follow_each_other() -> None:
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free = probe.getsockname()[1]
        try:
            with admin_sockets(f"127.0.0.1:{free}", 2) as places:
                ports = [[sock.getsockname()[1] for sock in sockets] for sockets in places]
        except CannotListen:
            # Somebody has the one behind it.
            continue
        assert ports == [[free], [free + 1]]
        return
    pytest.fail("there are no two free ports side by side")


def test_nowhere() -> None:
    with admin_sockets(None, 3) as places:
        assert places == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--admin", "nonsense"], "--admin: cannot listen on nonsense: give a port from 0 to 65535"),
        (["--admin", "::1:9100"], "--admin: cannot listen on ::1:9100: write an IPv6 address in brackets"),
        (["--admin", "65535", "--workers", "2"], "--admin: 2 workers need as many ports, and behind 65535 there are"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", "json:dumps", "--listen", "0", *arguments])
    assert caught.value.code in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith(f"autobahnlike: {problem}"), said
    assert said.count("\n") == 1


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            main(["serve", "json:dumps", "--listen", "0", "--admin", str(port)])
    assert caught.value.code == 1
    assert capsys.readouterr().err == f"autobahnlike: cannot listen on {port}: Address already in use\n"


CHALICE = """
from boto3.session import Session
from chalice import Chalice

app = Chalice(app_name="echo")
app.websocket_api.session = Session()
app.experimental_feature_flags.update(["WEBSOCKETS"])


@app.on_ws_message()
def message(event):
    app.websocket_api.send(event.connection_id, event.body)
"""


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
def test_of_an_application_of_chalice(loop: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(CHALICE)
    with Process("chalice", "app.py", "--loop", loop, "--listen", "0", "--admin", "0", cwd=tmp_path) as process:
        admin = process.out.expect(r"Health and metrics on (\S+)\n")[1]
        url = process.out.expect(r"Websocket API URL: (\S+)\n")[1]
        with connect(url) as client:
            client.send("hello")
            assert client.recv(DEADLINE) == "hello"
            status, report = health(admin)
            assert (status, report["status"], report["connections"]) == (200, "ok", 1)
            with urllib.request.urlopen(f"{admin}metrics", timeout=DEADLINE) as response:
                text = response.read().decode()
        assert 'autobahnlike_gateway_sends_total{verdict="delivered"} 1.0\n' in text
        assert 'autobahnlike_gateway_handler_duration_seconds_count{route="$default"} 1.0\n' in text
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
