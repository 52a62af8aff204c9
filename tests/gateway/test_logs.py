"""What handlers log is about the connection that they were called for: in memory, in threads, and on real servers."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from autobahnlike import logs
from autobahnlike.gateway import Gateway, WebsocketEvent
from autobahnlike.gateway.loop import running_loop
from autobahnlike.gateway.threads import Workers, run_blocking
from tests.app.harness import Way, both_ways
from tests.cli.process import LOOPS, serving_app, write_application
from tests.gateway.chalice_kit import hosting, write_app
from tests.gateway.kit import gateway, open_client, talk
from tests.logged import logged

PATIENCE = 20.0


def told(records: list[Any]) -> list[str]:
    """The messages of records that begin with the id of the connection that they have to be about."""
    messages = []
    for record in records:
        name, _, rest = record.getMessage().partition(" ")
        assert record.connection_id == name.removesuffix(":"), record
        messages.append(rest)
    return messages


def speaking(app: Gateway, *, is_async: bool) -> None:
    """Have handlers log what they do."""

    def log(event: WebsocketEvent, what: str) -> None:
        app.log.info("%s %s", event.connection_id, what)

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> None:
        log(event, "connects")

    def message(event: WebsocketEvent) -> None:
        log(event, f"says {event.body}")

    async def message_async(event: WebsocketEvent) -> None:
        message(event)

    app.on_ws_message()(message_async if is_async else message)

    @app.on_ws_disconnect()
    def disconnect(event: WebsocketEvent) -> None:
        log(event, "disconnects")


@pytest.mark.parametrize("is_async", [False, True])
@both_ways
async def test_from_the_beginning_to_the_end(way: Way, is_async: bool) -> None:
    app = gateway(way)
    speaking(app, is_async=is_async)
    with logged("test", "autobahnlike.gateway") as records:
        for text in ("a", "b"):
            await talk(way, app, "/", text)
    assert told(records) == ["connects", "says a", "disconnects", "connects", "says b", "disconnects"]
    assert logs.connection_id.get() is None


@both_ways
async def test_two_connections_of_which_one_wakes_up_the_other(way: Way) -> None:
    app = gateway(way)
    waiters: list[Any] = []

    @app.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        app.log.info("%s says %s", event.connection_id, event.body)
        if event.body == "wait":
            waiters.append(way.waiter())
            await waiters[0]
        else:
            # With Deferreds, the other goes on within this call.
            way.wake(waiters[0])
        app.log.info("%s goes on", event.connection_id)

    with logged("test", "autobahnlike.gateway") as records:
        one, other = await open_client(way, app), await open_client(way, app)
        one.send("wait")
        await way.settle()
        other.send("wake")
        await way.settle()
    assert sorted(told(records)) == ["goes on", "goes on", "says wait", "says wake"]
    assert len({record.connection_id for record in records}) == 2


@both_ways
async def test_what_the_gateway_logs_of_a_connection(way: Way) -> None:
    app = gateway(way)

    @app.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        raise LookupError("on purpose")

    @app.on_ws_disconnect()
    async def disconnect(event: WebsocketEvent) -> None:
        raise LookupError("on purpose")

    with logged("test", "autobahnlike.gateway") as records:
        await talk(way, app, "/", "x")
    assert told(records) == ["$default failed", "$disconnect failed"]


@both_ways
async def test_a_client_that_is_sent_to_by_the_handler_of_another(way: Way) -> None:
    """What goes wrong then is about the one that is sent to."""
    app = gateway(way)
    ids: list[str] = []
    seen: list[str | None] = []

    @app.on_ws_connect()
    async def connect(event: WebsocketEvent) -> None:
        ids.append(event.connection_id)

    @app.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        await app.websocket_api.send(ids[0], "hello")
        seen.append(logs.connection_id.get())

    async def watching(scope: Any, receive: Any, send: Any) -> None:
        async def watched(event: Any) -> None:
            if event["type"] == "websocket.send":
                seen.append(logs.connection_id.get())
            await send(event)

        await app(scope, receive, watched)

    one, other = await open_client(way, watching), await open_client(way, watching)
    other.send("go")
    await way.settle()
    assert one.wire[1:] == ["hello"]
    assert sorted(map(str, seen)) == sorted(ids)


@both_ways
async def test_what_goes_on_for_all_of_them_is_not_about_the_first(way: Way) -> None:
    """On a server without lifespan, the first connection starts the gateway."""
    app = gateway(way)
    speaking(app, is_async=True)
    seen: list[str | None] = []
    start = app.core.backplane.start

    async def watched(node: Any) -> None:
        seen.append(logs.connection_id.get())
        await start(node)

    app.core.backplane.start = watched  # type: ignore[method-assign]

    async def with_an_id(scope: Any, receive: Any, send: Any) -> None:
        with logs.about("of the server"):
            await app(scope, receive, send)

    await talk(way, with_an_id, "/", "x")
    assert seen == [None]


def test_jobs_of_one_thread_are_each_about_their_connection() -> None:
    seen: list[tuple[str, str | None]] = []

    async def story() -> None:
        workers, loop = Workers(1), running_loop()

        async def one(name: str | None) -> None:
            with logs.about(name):
                await run_blocking(
                    loop, workers, lambda: seen.append((threading.current_thread().name, logs.connection_id.get()))
                )

        await asyncio.gather(*(one(name) for name in ("a", None, "b")))
        workers.stop()

    asyncio.run(asyncio.wait_for(story(), 2 * PATIENCE))
    assert sorted(seen, key=str) == [("gateway-1", "a"), ("gateway-1", "b"), ("gateway-1", None)]


# -- Real servers

APPLICATION = """
import asyncio
import logging
import threading

from autobahnlike.gateway import Gateway

app = Gateway("app")
log = logging.getLogger("app")


@app.on_ws_connect()
def connect(event):
    log.info("%s connects", event.connection_id, extra={"headers": list(event.to_dict()["headers"])})


@app.on_ws_route("thread", response=True)
def in_thread(event):
    log.info("%s in a thread %s", event.connection_id, threading.current_thread() is not threading.main_thread())
    return {"body": event.connection_id}


@app.on_ws_route("coroutine", response=True)
async def in_coroutine(event):
    log.info("%s in a coroutine", event.connection_id)
    await app.websocket_api.send(event.connection_id, "on the way")
    log.info("%s in a coroutine, later", event.connection_id)
    return {"body": event.connection_id}


@app.on_ws_route("fail")
async def fail(event):
    raise LookupError("on purpose")


@app.on_ws_disconnect()
def disconnect(event):
    code = event.to_dict()["requestContext"]["disconnectStatusCode"]
    log.info("%s disconnects %d", event.connection_id, code)
"""


@pytest.mark.parametrize("loop", LOOPS)
def test_json_and_a_drain_on_a_server(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path, text=APPLICATION)
    arguments = ("--loop", loop, "--log-format", "json", "--access-log", "--drain", "0.2")
    ids: list[str] = []
    with serving_app(tmp_path, *arguments) as (process, (url,)), ExitStack() as stack:
        target = url.replace("http", "ws", 1)
        clients = [
            stack.enter_context(connect(target, additional_headers={"X-oDD": "1"}, open_timeout=PATIENCE))
            for _ in range(3)
        ]
        for client in clients:
            client.send(json.dumps({"action": "thread"}))
            ids.append(text_of(client))
        clients[0].send(json.dumps({"action": "coroutine"}))
        assert [text_of(clients[0]) for _ in range(2)] == ["on the way", ids[0]]
        clients[1].send(json.dumps({"action": "fail"}))
        assert json.loads(text_of(clients[1]))["connectionId"] == ids[1]
        process.popen.send_signal(signal.SIGTERM)
        for client in clients:
            with pytest.raises(ConnectionClosed) as caught:
                client.recv(PATIENCE)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        assert process.status() == 0
        lines = [json.loads(line) for line in process.err.all().splitlines()]
    by_logger: dict[str, list[Any]] = {}
    for line in lines:
        by_logger.setdefault(line["logger"], []).append(line)
    assert set(by_logger) == {"app", "autobahnlike.access", "autobahnlike.asgi", "autobahnlike.gateway"}
    # Every line of a handler is about the connection that it names.
    assert all(line["message"].startswith(f"{line['connection_id']} ") for line in by_logger["app"])
    for number, connection_id in enumerate(ids):
        messages = [
            line["message"].removeprefix(f"{connection_id} ")
            for line in by_logger["app"]
            if line["connection_id"] == connection_id
        ]
        later = ["in a coroutine", "in a coroutine, later"] if number == 0 else []
        assert messages == ["connects", "in a thread True", *later, "disconnects 1012"]
    # As the client writes them.
    assert {"Sec-WebSocket-Key", "User-Agent", "X-oDD"} <= set(by_logger["app"][0]["headers"])
    (failed,) = by_logger["autobahnlike.gateway"]
    assert (failed["connection_id"], failed["level"]) == (ids[1], "ERROR")
    assert failed["exception"].endswith("LookupError: on purpose")
    requests = by_logger["autobahnlike.access"]
    assert [line["connection_id"] for line in requests] == ids
    assert {(line["method"], line["target"], line["status"]) for line in requests} == {("GET", "/", 101)}
    assert all(line["client"].startswith("127.0.0.1:") for line in requests)
    (closing,) = by_logger["autobahnlike.asgi"]
    assert (closing["message"], "connection_id" in closing) == ("closing 3 WebSockets within 0.2 seconds", False)


def text_of(client: Any) -> str:
    message = client.recv(PATIENCE)
    assert isinstance(message, str)
    return message


CHALICE = """
@app.on_ws_message()
def message(event):
    app.log.error("%s says %s", event.connection_id, event.body)
    app.websocket_api.send(event.connection_id, event.connection_id)
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_an_application_of_chalice_logs_its_way(log_format: str, tmp_path: Path) -> None:
    """Chalice logs on standard output, in a format of its own."""
    path = write_app(tmp_path, CHALICE)
    with hosting(path, "asyncio", "--log-format", log_format) as (process, url):
        with connect(url, open_timeout=PATIENCE, close_timeout=PATIENCE) as client:
            client.send("hello")
            connection_id = text_of(client)
        line = process.out.expect(r"\n(.* says hello.*)\n")[1]
        if log_format == "text":
            assert line == f"test - ERROR - {connection_id} says hello"
        else:
            found = json.loads(line)
            assert (found["logger"], found["message"]) == ("test", f"{connection_id} says hello")
            assert found["connection_id"] == connection_id
