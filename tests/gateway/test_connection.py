"""One connection: order, limits, clients that are slow or go; and the beginning and end of the gateway."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from autobahnlike.backplane import (
    Health,
    MemoryBackplane,
    Node,
    Verdict,
)
from autobahnlike.gateway import AWS, Gateway, Limits, WebsocketDisconnectedError, WebsocketEvent
from tests.app.harness import WAYS, Way, both_ways
from tests.gateway.kit import echo, error_of, gateway, id_of, open_client, talk

DENIAL = {"websocket.http.response": dict[str, Any]()}


# -- Order


def waiting(way: Way, app: Gateway) -> tuple[list[str], list[Any]]:
    """Have handlers of messages wait; returns what has begun and ended, and the waiters."""
    calls: list[str] = []
    waiters: list[Any] = []

    @app.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        calls.append(f"begin {event.body}")
        waiters.append(way.waiter())
        await waiters[-1]
        calls.append(f"end {event.body}")

    @app.on_ws_disconnect()
    def disconnect(event: WebsocketEvent) -> None:
        calls.append("disconnect")

    return calls, waiters


@both_ways
async def test_one_handler_at_a_time_and_disconnect_last(way: Way) -> None:
    app = gateway(way)
    calls, waiters = waiting(way, app)
    client = await open_client(way, app)
    for text in "abc":
        client.send(text)
    client.disconnect(1000)
    await way.settle()
    assert calls == ["begin a"]
    for number in range(3):
        way.wake(waiters[number])
        await way.settle()
    assert calls == ["begin a", "end a", "begin b", "end b", "begin c", "end c", "disconnect"]
    assert await client.ended() is None


@both_ways
async def test_several_handlers_at_once_if_that_is_wanted(way: Way) -> None:
    app = gateway(way, concurrency=2)
    calls, waiters = waiting(way, app)
    client = await open_client(way, app)
    for text in "abc":
        client.send(text)
    await way.settle()
    assert calls == ["begin a", "begin b"]
    way.wake(waiters[1])
    await way.settle()
    assert calls == ["begin a", "begin b", "end b", "begin c"]
    client.disconnect()
    await way.settle()
    for waiter in (waiters[0], waiters[2]):
        way.wake(waiter)
        await way.settle()
    assert calls[-1] == "disconnect"


@both_ways
async def test_a_client_that_sends_faster_than_handlers_is_not_read(way: Way) -> None:
    app = gateway(way, limits=Limits(max_pending_messages=3))
    _, waiters = waiting(way, app)
    client = await open_client(way, app)
    before = client.received
    for number in range(20):
        client.send(str(number))
    await way.settle()
    # One is with its handler, three wait; the first call was there before.
    assert client.received - before == 3
    for number in range(20):
        way.wake(waiters[number])
        await way.settle()
    assert len(waiters) == 20


@both_ways
async def test_that_the_client_has_gone_is_known_while_a_handler_runs(way: Way) -> None:
    app = gateway(way)
    _, waiters = waiting(way, app)
    client = await open_client(way, app)
    connection_id = id_of(app)
    client.send("a")
    client.disconnect()
    await way.settle()
    with pytest.raises(WebsocketDisconnectedError):
        await app.websocket_api.send(connection_id, "x")
    way.wake(waiters[0])


# -- Limits


@both_ways
async def test_binary_messages_are_closed_with_1003(way: Way) -> None:
    app = gateway(way)
    calls = echo(app)
    client = await open_client(way, app)
    for message in ("a", b"b", "c"):
        client.send(message)
        await way.settle()
    assert client.wire == [101, "a", ("close", 1003)]
    assert calls[1:] == ["message a", f"disconnect {calls[0].split()[1]} 1003"]


@both_ways
@pytest.mark.parametrize(("text", "size"), [("x", 4), ("ü", 2)])
async def test_messages_that_are_too_large_are_closed_with_1009(way: Way, text: str, size: int) -> None:
    app = gateway(way, limits=Limits(max_message_size=4))
    calls = echo(app)
    client = await open_client(way, app)
    for repeated in (size, size + 1):
        client.send(text * repeated)
        await way.settle()
    assert client.wire == [101, text * size, ("close", 1009)]
    assert calls[-1].endswith(" 1009")


@both_ways
async def test_who_is_idle_is_closed_with_1001(way: Way) -> None:
    app = gateway(way, limits=Limits(idle_timeout=600))
    calls = echo(app)
    loop: Any = app.core.loop
    client = await open_client(way, app)
    await loop.pass_time(599)
    client.send("still here")
    await loop.pass_time(599)
    assert client.wire == [101, "still here"]
    await app.websocket_api.send(id_of(app), "and I")
    await loop.pass_time(599)
    assert client.wire == [101, "still here", "and I"]
    await loop.pass_time(1)
    assert client.wire[3:] == [("close", 1001)]
    assert client.sent[-1]["reason"] == "Going away"
    assert calls[-1].endswith(" 1001")
    assert loop.timers == []


@both_ways
async def test_nobody_stays_for_ever(way: Way) -> None:
    app = gateway(way, limits=Limits(max_lifetime=7200, idle_timeout=7200))
    echo(app)
    loop: Any = app.core.loop
    client = await open_client(way, app)
    await loop.pass_time(7199)
    client.send("x")
    await loop.pass_time(1)
    assert client.wire == [101, "x", ("close", 1001)]
    assert loop.timers == []


@both_ways
async def test_timers_end_with_the_connection(way: Way) -> None:
    app = gateway(way, limits=AWS)
    client = await open_client(way, app)
    loop: Any = app.core.loop
    assert len(loop.timers) == 2
    client.disconnect()
    await way.settle()
    assert loop.timers == []


@both_ways
async def test_paths(way: Way) -> None:
    app = gateway(way, limits=AWS)
    for path in ("/api", "/api/", "/", "/api/?x=1"):
        await open_client(way, app, path)
    for path in ("/x", "/api/x", "/apix", "/other/"):
        client = await way.connect(app, path, extensions=DENIAL)
        assert client.wire[0] == 403
        assert error_of(client.wire[1]) == "Forbidden"
    assert (await way.connect(app, f"/api/?{'x' * 4090}")).wire == [101]
    client = await way.connect(app, f"/%61pi/?{'x' * 4089}", extensions=DENIAL)
    assert client.wire[0] == 414


@pytest.mark.parametrize(
    "changes",
    [
        {"max_message_size": -1},
        {"max_queued_messages": 0},
        {"verdict_timeout": 0},
        {"idle_timeout": "x"},
        {"max_lifetime": True},
    ],
)
def test_limits_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(changes))} must be a number of at least"):
        Limits(**changes)


def test_limits_for_the_server() -> None:
    assert AWS.server_options() == {"maxFramePayloadSize": 32768, "maxMessagePayloadSize": 131072}
    assert Limits(max_message_size=0).server_options() == {}


# -- Clients that are slow, or go


@both_ways
async def test_what_waits_for_a_slow_client_is_bounded(way: Way) -> None:
    app = gateway(way, limits=Limits(max_queued_messages=1000, max_queued_size=10))
    client = await open_client(way, app)
    connection_id = id_of(app)
    client.hold_sends()
    for text in ("12345", "12345"):
        assert await app.core.send(connection_id, text) is Verdict.DELIVERED
    assert await app.core.send(connection_id, "1") is Verdict.BUFFER_FULL
    client.release_sends()
    await way.settle()
    assert await app.core.send(connection_id, "1") is Verdict.DELIVERED
    await way.settle()
    assert client.wire == [101, "12345", "12345", "1"]


@both_ways
async def test_a_close_comes_after_what_waits(way: Way) -> None:
    app = gateway(way)
    client = await open_client(way, app)
    connection_id = id_of(app)
    client.hold_sends()
    for text in "abc":
        await app.websocket_api.send(connection_id, text)
    await app.websocket_api.close(connection_id)
    for _ in range(2):
        with pytest.raises(WebsocketDisconnectedError):
            await app.websocket_api.close(connection_id)
    client.release_sends()
    await way.settle()
    assert client.wire == [101, "a", "b", "c", ("close", 1000)]


@both_ways
async def test_the_client_goes_while_it_is_sent_to(way: Way) -> None:
    app = gateway(way)
    calls = echo(app)
    client = await open_client(way, app)
    connection_id = id_of(app)
    client.hold_sends()
    for text in "ab":
        await app.websocket_api.send(connection_id, text)
    await way.settle()
    client.leave()
    await way.settle()
    assert client.wire == [101]
    assert calls[-1] == f"disconnect {connection_id} 1006"
    assert await app.core.send(connection_id, "x") is Verdict.GONE
    assert app.core.connection_count == 0


@both_ways
async def test_the_client_goes_before_the_101(way: Way) -> None:
    app = gateway(way)
    calls = echo(app)
    waiter = way.waiter()

    @app.middleware()
    async def wait(event: WebsocketEvent, get_response: Any) -> Any:
        if "connect" in event.to_dict()["requestContext"]["routeKey"] and not calls:
            await waiter
        return await get_response(event)

    client = await way.connect(app, "/api/")
    client.disconnect(1006)
    way.wake(waiter)
    assert await client.ended() is None
    assert client.wire == []
    # What $connect has put down somewhere is cleared away.
    assert [call.split()[0] for call in calls] == ["connect", "disconnect"]
    assert calls[1].endswith(" 1006")
    assert app.core.connection_count == 0


@both_ways
async def test_a_server_that_knows_no_lifespan(way: Way) -> None:
    app = gateway(way)
    echo(app)
    assert not app.core.is_running
    assert not app.health.is_healthy
    assert (await talk(way, app, "/api/", "x")).wire == [101, "x"]
    assert app.health == Health(True)


@both_ways
async def test_lifespan(way: Way) -> None:
    app = gateway(way)
    async with way.lifespan(app):
        assert app.core.is_running
    assert not app.core.is_running
    assert app.health == Health(False, "the gateway is not running")


@both_ways
async def test_the_end_waits_for_disconnect(way: Way) -> None:
    app = gateway(way)
    calls, waiters = waiting(way, app)
    client = await open_client(way, app)
    client.send("a")
    client.disconnect(1001)
    await way.settle()
    stopping = way.spawn(app.core.stop())
    await way.settle()
    assert calls == ["begin a"]
    assert app.core.is_running
    way.wake(waiters[0])
    await stopping
    assert calls == ["begin a", "end a", "disconnect"]
    assert not app.core.is_running


class Hesitant(MemoryBackplane):
    """Takes its time to start."""

    waiter: Any
    starts = 0

    async def start(self, node: Node, /) -> None:
        self.starts += 1
        await self.waiter
        await super().start(node)


@both_ways
async def test_clients_that_are_there_before_the_backplane(way: Way) -> None:
    backplane = Hesitant()
    backplane.waiter = way.waiter()
    app = gateway(way, backplane=backplane)
    clients = [await way.connect(app, "/api/") for _ in range(3)]
    assert [client.wire for client in clients] == [[], [], []]
    way.wake(backplane.waiter)
    await way.settle()
    assert [client.wire for client in clients] == [[101], [101], [101]]
    assert backplane.starts == 1


@both_ways
async def test_a_client_that_has_gone_unseen_is_found_out_by_sending(way: Way) -> None:
    app = gateway(way, limits=Limits(max_pending_messages=1))
    _, waiters = waiting(way, app)
    client = await open_client(way, app)
    connection_id = id_of(app)
    # One is with its handler and one waits: nothing more is received.
    client.send("a")
    client.send("b")
    client.disconnect()
    await way.settle()
    assert app.core.has(connection_id)
    first = await app.core.send(connection_id, "x")
    # By Deferreds it is sent at once.
    assert first is (Verdict.GONE if way.name == "twisted" else Verdict.DELIVERED)
    await way.settle()
    assert await app.core.send(connection_id, "x") is Verdict.GONE
    for number in range(2):
        way.wake(waiters[number])
        await way.settle()
    assert app.core.connection_count == 0


class Unusable(MemoryBackplane):
    async def start(self, node: Node, /) -> None:
        raise ValueError("redis://:***@nowhere: wrong password")


@both_ways
async def test_a_backplane_that_cannot_be_used(way: Way) -> None:
    app = gateway(way, backplane=Unusable())
    replies: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(event: Any) -> None:
        replies.append(event)

    await app({"type": "lifespan"}, receive, send)
    assert replies == [{"type": "lifespan.startup.failed", "message": "redis://:***@nowhere: wrong password"}]


def test_a_connection_that_the_server_gives_up_gets_its_disconnect() -> None:
    async def run() -> None:
        app = Gateway("test")
        calls = echo(app)
        way = WAYS[0]
        way.clients = []
        client = await way.connect(app, "/api/")
        assert await client.next() == 101
        task: Any = client.task
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await app.core.stop()
        assert [call.split()[0] for call in calls] == ["connect", "disconnect"]

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_connection_that_is_given_up_during_connect_leaves_nothing() -> None:
    async def run() -> None:
        app = Gateway("test")
        calls: list[str] = []

        @app.on_ws_connect()
        async def connect(event: WebsocketEvent) -> None:
            calls.append("connect")
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                calls.append("cancelled")
                raise

        app.on_ws_disconnect()(lambda event: calls.append("disconnect"))
        way = WAYS[0]
        way.clients = []
        client = await way.connect(app, "/api/")
        task: Any = client.task
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await way.settle()
        assert calls == ["connect", "cancelled"]
        assert app.core.connection_count == 0
        await app.core.stop()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_threads_on_asyncio() -> None:
    """Handlers that block run in threads, and hop to the loop and back."""

    async def run() -> None:
        app = Gateway("test", limits=Limits(integration_timeout=0.05))
        seen: list[Any] = []
        go_on = threading.Event()

        @app.on_ws_message()
        def message(event: WebsocketEvent) -> None:
            seen.append(threading.current_thread() is threading.main_thread())
            if event.body == "block":
                go_on.wait(20)
            app.websocket_api.send(event.connection_id, "done")

        way = WAYS[0]
        way.clients = []
        client = await way.connect(app, "/api/")
        assert await client.next() == 101
        client.send("block")
        assert error_of(await client.next()) == "Endpoint request timed out"
        go_on.set()
        assert await client.next() == "done"
        client.disconnect()
        await client.ended()
        await app.core.stop()
        assert seen == [False]

    asyncio.run(asyncio.wait_for(run(), 30))
