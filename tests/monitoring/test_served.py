"""The command line with ``--admin``, on all four loops: after a conversation that is known, the counters are exact."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.cli.process import DEADLINE, LOOPS, Process

APPLICATION = """
from autobahnlike.gateway import Gateway

app = Gateway("hello")


@app.on_ws_connect()
async def connect(event):
    if event.to_dict().get("queryStringParameters"):
        return {"statusCode": 401}


@app.on_ws_message()
async def message(event):
    if event.body == "close":
        await app.core.disconnect(event.connection_id, 1008, "enough")
    else:
        await app.websocket_api.send(event.connection_id, event.body)
"""


def read(url: str) -> dict[str, float]:
    """The metrics of ours, by their names without the prefix and the values of their labels."""
    with urllib.request.urlopen(f"{url}metrics", timeout=DEADLINE) as response:
        text = response.read().decode()
    return {
        " ".join([sample.name.removeprefix("autobahnlike_"), *map(str, sample.labels.values())]): sample.value
        for family in parse(text)
        for sample in family.samples
        if sample.name.startswith("autobahnlike_")
    }


def health(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{url}health", timeout=DEADLINE) as response:
            return response.status, json.loads(response.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def until(url: str, expected: dict[str, float]) -> None:
    """Wait until metrics have these values: the server sees the end of a connection when it sees it."""
    deadline = time.monotonic() + DEADLINE
    while True:
        found = read(url)
        seen = {name: found.get(name) for name in expected}
        if seen == expected or time.monotonic() > deadline:
            assert seen == expected
            return
        time.sleep(0.05)


def converse(where: str) -> None:
    """Six clients: one that talks, one that is told to go, one that is lost, one that is refused, two without sense."""
    with connect(where) as client:
        for message in ("grüße", "", "x" * 1000):
            client.send(message)
            assert client.recv(DEADLINE) == message
    with connect(where) as client:
        client.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    client = connect(where)
    client.close_socket()
    with pytest.raises(InvalidStatus):
        connect(f"{where}?refuse=me")
    host, _, port = where.removeprefix("ws://").partition("/")[0].rpartition(":")
    for request in ("GET /api/ HTTP/1.1\r\nUpgrade: websocket\r\n", "NONSENSE\r\n"):
        with socket.create_connection((host, int(port)), DEADLINE) as raw:
            raw.sendall(f"{request}Host: {host}\r\n\r\n".encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("loop", LOOPS)
def test_the_counters_are_exact(loop: str, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(APPLICATION)
    arguments = ["serve", "hello:app", "--loop", loop, "--listen", "0", "--admin", "0"]
    with Process(*arguments, cwd=tmp_path) as process:
        admin = process.out.expect(r"Health and metrics on (\S+)\n")[1]
        url = process.out.expect(r"Listening on (\S+) ")[1]
        status, report = health(admin)
        assert (status, report["status"], report["connections"]) == (200, "ok", 0)
        converse(f"ws{url.removeprefix('http')}api/")
        until(
            admin,
            {
                "connections_total": 6,
                "connections_open": 0,
                "websockets_accepted_total": 3,
                "websockets_open": 0,
                "websocket_messages_received_total": 4,
                "websocket_received_bytes_total": 7 + 1000 + 5,
                "websocket_messages_sent_total": 3,
                "websocket_sent_bytes_total": 7 + 1000,
                "websockets_closed_total client 1000": 1,
                "websockets_closed_total server 1008": 1,
                "websockets_closed_total lost 1006": 1,
                "websocket_handshake_failures_total denied 401": 1,
                "websocket_handshake_failures_total invalid 400": 1,
                "http_requests_total 400": 1,
                "http_requests_in_progress": 0,
                "gateway_connections": 0,
                "gateway_connections_accepted_total": 3,
                "gateway_connections_refused_total": 1,
                "gateway_connections_closed_total 1000": 1,
                "gateway_connections_closed_total 1008": 1,
                "gateway_connections_closed_total 1006": 1,
                "gateway_sends_total delivered": 3,
                "gateway_sends_total gone": 0,
                "gateway_handler_duration_seconds_count $connect": 4,
                "gateway_handler_duration_seconds_count $default": 4,
                "backplane_healthy": 1,
                f"backplane_info {report['node']}": 1,
            },
        )
        with connect(f"ws{url.removeprefix('http')}api/"):
            assert health(admin)[1]["connections"] == 1
        process.popen.terminate()
        assert process.status() == 0
        assert "Traceback" not in process.err.all()
