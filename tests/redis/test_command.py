"""Several processes of ``serve`` and of ``chalice`` that ``--backplane`` joins, and what it says of Redis."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.backplane.redis_server import RedisServer
from tests.cli.process import LOOPS, Process
from tests.gateway.chalice_kit import write_app
from tests.gateway.test_served import ask, management, opened, received
from tests.hosting.serving import served

PATIENCE = 20.0
GATEWAY = "tests.gateway.served_applications:app"

APP = """
import os


@app.on_ws_connect()
def connect(event):
    pass


@app.on_ws_message()
def message(event):
    whom, _, what = event.body.partition(" ")
    if whom == "who":
        app.websocket_api.send(event.connection_id, f"{os.getpid()} {event.connection_id}")
        return
    try:
        app.websocket_api.send(whom, what)
    except WebsocketDisconnectedError as error:
        app.websocket_api.send(event.connection_id, f"{error.connection_id} is gone")
"""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.mark.parametrize("loop", LOOPS)
def test_workers_reach_the_connections_of_each_other(loop: str, redis: RedisServer) -> None:
    more = ("--backplane", redis.url, "--backplane-prefix", f"serve-{loop}", "--workers", "2")
    with served(GATEWAY, loop, *more) as (process, url), ExitStack() as stack:
        # Which process takes a connection is up to the kernel: with so many there are two of each.
        clients = [stack.enter_context(opened(url)) for _ in range(12)]
        nodes = {connection_id[:5] for _, connection_id in clients}
        for client, _ in clients:
            for other, connection_id in clients:
                ask(client, action="tell", whom=connection_id, what="hello")
                assert received(other) == "hello"
        for client, connection_id in clients:
            management(url).post_to_connection(ConnectionId=connection_id, Data="from outside")
            assert received(client) == "from outside"
        assert len(nodes) <= 2
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert "Traceback" not in process.err.all()
    assert redis.command("ZCARD", f"serve-{loop}:{{nodes}}") == 0


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
def test_workers_of_a_chalice_application(loop: str, redis: RedisServer, tmp_path: Path) -> None:
    path = write_app(tmp_path, APP)
    arguments = ["--loop", loop, "--listen", "127.0.0.1:0", "--workers", "2", "--backplane", redis.url]
    with Process("chalice", str(path), *arguments, "--backplane-prefix", f"chalice-{loop}") as process:
        url = process.out.expect(r"Websocket API URL: (\S+)")[1]
        process.out.expect(r"Listening on \S+ ")
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(url, open_timeout=PATIENCE)) for _ in range(12)]
            known = {}
            for client in clients:
                client.send("who")
                answer = client.recv(PATIENCE)
                assert isinstance(answer, str)
                pid, connection_id = answer.split()
                known[connection_id] = (client, pid)
            for connection_id, (other, _) in known.items():
                clients[0].send(f"{connection_id} hello")
                assert other.recv(PATIENCE) == "hello"
            clients[0].send("AAAAAAAAAAAAAAA= hello")
            assert clients[0].recv(PATIENCE) == "AAAAAAAAAAAAAAA= is gone"
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0


@pytest.mark.parametrize("loop", LOOPS)
def test_a_password_that_is_refused(loop: str) -> None:
    with RedisServer("requirepass right") as server:
        url = server.url.replace("redis://", "redis://:wrong@")
        with Process("serve", GATEWAY, "--loop", loop, "--listen", "127.0.0.1:0", "--backplane", url) as process:
            assert process.status() == 3
            said = process.err.all()
    assert re.search(r"failed to start: Redis at 127\.0\.0\.1:\d+ refuses user or password", said)
    assert "Traceback" not in said
    assert ":wrong" not in said
