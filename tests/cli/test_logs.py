"""``--log-format``: the lines of a server, of its parent and of Twisted, for programmes and for people."""

from __future__ import annotations

import json
import re
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from autobahnlike.cli import main
from tests.cli.process import DEADLINE, LOOPS, Process, serving_app, write_application

APPLICATION = """
import logging
import sys

log = logging.getLogger("hello")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("unsupported")
    if scope["type"] == "http":
        raise LookupError("on purpose: \\u00fc")
    await receive()
    await send({"type": "websocket.accept"})
    log.info("accepted\\nin two lines")
    if "twisted.internet.reactor" in sys.modules:
        from twisted.internet.defer import fail

        fail(LookupError("nobody looks"))
    await receive()
    raise LookupError("on purpose")
"""


def lines_of(process: Process) -> list[dict[str, Any]]:
    """Every line, each of which has to be JSON, with what all of them have."""
    lines = [json.loads(line) for line in process.err.all().splitlines()]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", line["timestamp"])
        assert {"level", "logger", "message"} <= line.keys()
    return lines


def visit(url: str) -> None:
    """Make a request, and open a WebSocket, that fail."""
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{url}path", timeout=DEADLINE)
    with connect(url.replace("http", "ws", 1)) as client:
        client.send("go")
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE)


@pytest.mark.parametrize("loop", LOOPS)
def test_lines_of_json(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path, text=APPLICATION)
    with serving_app(tmp_path, "--loop", loop, "--log-format", "json", "--access-log") as (process, (url,)):
        visit(url)
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        lines = lines_of(process)
    requests = [line for line in lines if line["logger"] == "autobahnlike.access"]
    assert [(line["method"], line["target"], line["status"]) for line in requests] == [
        ("GET", "/path", 500),
        ("GET", "/", 101),
    ]
    assert requests[0]["message"] == f'{requests[0]["client"]} "GET /path HTTP/1.1" 500'
    (said,) = [line for line in lines if line["logger"] == "hello"]
    assert (said["message"], said["level"]) == ("accepted\nin two lines", "INFO")
    failures = [line for line in lines if line["message"].startswith("the application raised")]
    assert [line["exception"].splitlines()[-1] for line in failures] == [
        "LookupError: on purpose: ü",
        "LookupError: on purpose",
    ]
    assert {line["logger"] for line in failures} == {"autobahnlike"}
    # What concerns the WebSocket has its id, the request has none.
    ids = [line.get("connection_id") for line in (requests[1], said, failures[1])]
    assert ids == [said["connection_id"]] * 3
    assert not any("connection_id" in line for line in (requests[0], failures[0]))
    unseen = [line for line in lines if "nobody looks" in line.get("exception", "")]
    assert [line["level"] for line in unseen] == (["CRITICAL"] if loop.startswith("twisted") else [])


def test_lines_for_people_name_the_connection_in_brackets(tmp_path: Path) -> None:
    write_application(tmp_path, text=APPLICATION)
    with serving_app(tmp_path, "--access-log") as (process, (url,)):
        visit(url)
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        said = process.err.all()
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    client = r"127\.0\.0\.1:\d+"
    found = re.search(rf'(?m)^{time} \[(\S+)\] {client} "GET / HTTP/1\.1" 101$', said)
    assert found, said
    assert re.search(rf"(?m)^{time} \[{re.escape(found[1])}\] accepted$", said)
    assert re.search(rf'(?m)^{time} {client} "GET /path HTTP/1\.1" 500$', said)


def test_the_parent_of_workers_has_the_same_format(tmp_path: Path) -> None:
    write_application(tmp_path)
    with serving_app(tmp_path, "--workers", "2", "--log-format", "json") as (process, _):
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        lines = lines_of(process)
    assert len([line for line in lines if line["message"].endswith("is ready")]) == 2


def test_without_the_library_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pythonjsonlogger.json", None)
    with pytest.raises(SystemExit) as caught:
        main(["serve", "json:dumps", "--log-format", "json"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "autobahnlike: --log-format json: logs in JSON need python-json-logger: "
        "pip install 'autobahnlike[monitoring]'\n"
    )
