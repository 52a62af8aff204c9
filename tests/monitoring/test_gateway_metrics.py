"""The metrics of gateways and backplanes."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from autobahnlike.app import App, WebSocket
from autobahnlike.app.waiting import Latch
from autobahnlike.backplane import MemoryBackplane
from autobahnlike.backplane.redis.backplane import RedisCounters
from autobahnlike.backplane.redis.presence import PresenceCounters
from autobahnlike.backplane.redis.rooms import RoomCounters
from autobahnlike.gateway import Gateway, Limits, WebsocketEvent
from autobahnlike.gateway.measures import BOUNDS, Histogram, Measures
from autobahnlike.gateway.threads import Workers
from autobahnlike.monitoring import Monitor
from tests.app.harness import Way, both_ways
from tests.gateway.kit import InlineThreads, echo, gateway, open_client, talk


def reader(*things: object) -> Callable[..., float | None]:
    """Return a function that gives a metric by its name, without the prefix, and its labels."""
    registry = Monitor(*things).registry
    return lambda name, **labels: registry.get_sample_value(f"autobahnlike_{name}", labels)


@both_ways
async def test_messages_and_connections(way: Way) -> None:
    app = gateway(way)
    echo(app)
    read = reader(app)
    await talk(way, app, "/api/", "grüße", "!", disconnect=4001)
    client = await open_client(way, app)
    assert read("gateway_connections") == 1
    await way.connect(app, "/elsewhere/")
    client.disconnect(1000)
    await client.ended()
    await way.settle()
    assert read("gateway_connections") == 0
    assert read("gateway_connections_accepted_total") == 2
    assert read("gateway_connections_refused_total") == 1
    assert read("gateway_connections_closed_total", code="4001") == 1
    assert read("gateway_connections_closed_total", code="1000") == 1
    assert (read("gateway_messages_received_total"), read("gateway_received_bytes_total")) == (2, 8)
    assert (read("gateway_messages_sent_total"), read("gateway_sent_bytes_total")) == (2, 8)
    assert read("gateway_sends_total", verdict="delivered") == 2
    assert read("gateway_sends_total", verdict="gone") == 0
    assert read("gateway_errors_total") == 0


@both_ways
async def test_one_that_was_refused_was_not_closed(way: Way) -> None:
    app = gateway(way)

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> dict[str, int]:
        return {"statusCode": 401}

    read = reader(app)
    await way.connect(app, "/api/")
    await way.settle()
    assert read("gateway_connections_refused_total") == 1
    assert app.core.measures.closed == {}


@both_ways
async def test_sends_to_nobody(way: Way) -> None:
    app = gateway(way)

    @app.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        await app.websocket_api.send("nobody", "hello")

    read = reader(app)
    await talk(way, app, "/api/", "go")
    assert read("gateway_sends_total", verdict="gone") == 1
    assert read("gateway_errors_total") == 1


@both_ways
async def test_how_long_handlers_take(way: Way) -> None:
    now = 0.0
    app = Gateway("test", clock=lambda: now)
    gates: list[Latch] = []

    @app.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        gates.append(Latch())
        await gates[-1].wait()

    read = reader(app)
    client = await open_client(way, app)
    client.send("one")
    client.send("two")
    await way.settle()
    assert (read("gateway_handlers_running"), read("gateway_pending_messages")) == (1, 1)
    now = 0.25
    gates[0].open()
    await way.settle()
    assert (read("gateway_handlers_running"), read("gateway_pending_messages")) == (1, 0)
    now = 60.0
    gates[1].open()
    await way.settle()
    assert read("gateway_handlers_running") == 0
    name = "gateway_handler_duration_seconds"
    assert read(f"{name}_count", route="$default") == 2
    assert read(f"{name}_sum", route="$default") == 60.0
    assert read(f"{name}_bucket", route="$default", le="0.1") == 0
    assert read(f"{name}_bucket", route="$default", le="0.25") == 1
    assert read(f"{name}_bucket", route="$default", le="30.0") == 1
    assert read(f"{name}_bucket", route="$default", le="+Inf") == 2


@both_ways
async def test_a_handler_that_fails_was_measured_too(way: Way) -> None:
    app = gateway(way)

    @app.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        raise ZeroDivisionError

    read = reader(app)
    await talk(way, app, "/api/", "go")
    assert read("gateway_handler_duration_seconds_count", route="$default") == 1
    assert read("gateway_handlers_running") == 0
    assert read("gateway_errors_total") == 1


@both_ways
async def test_what_waits_for_a_client_that_does_not_read(way: Way) -> None:
    app = gateway(way, limits=Limits(max_queued_messages=2))

    @app.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        """Only listen."""

    read = reader(app)
    client = await open_client(way, app)
    client.hold_sends()
    (info,) = app.core.connections()
    for _ in range(4):
        await app.core.send(info.connection_id, "12345")
        await way.settle()
    # One is being sent, two wait, and there is no space for more.
    assert (read("gateway_queued_messages"), read("gateway_queued_bytes")) == (2, 10)
    assert read("gateway_sends_total", verdict="buffer_full") == 1
    client.leave()
    await way.settle()
    assert (read("gateway_queued_messages"), read("gateway_queued_bytes")) == (0, 0)


def test_handlers_that_wait_for_a_thread() -> None:
    app = Gateway("test", threads=Workers(1))
    read = reader(app)
    assert read("gateway_handlers_waiting") == 0
    workers = app.core._threads
    assert isinstance(workers, Workers)
    entered, go_on = threading.Event(), threading.Event()

    def first() -> None:
        entered.set()
        go_on.wait(30)

    workers.submit(first)
    assert entered.wait(30)
    for _ in range(2):
        workers.submit(lambda: None)
    assert read("gateway_handlers_waiting") == 2
    go_on.set()
    workers.stop()


def test_two_gateways_are_summed() -> None:
    one, other = Gateway("one", threads=InlineThreads()), Gateway("other")
    for app, seconds in ((one, 0.001), (one, 0.002), (other, 0.003), (other, 100.0)):
        app.core.measures.durations.setdefault("$default", Histogram()).observe(seconds)
    read = reader(one, other)
    name = "gateway_handler_duration_seconds"
    assert read(f"{name}_count", route="$default") == 4
    assert read(f"{name}_sum", route="$default") == pytest.approx(100.006)
    assert read(f"{name}_bucket", route="$default", le="0.0025") == 2
    # What is read is not changed.
    assert sum(one.core.measures.durations["$default"].counts) == 2


def test_a_duration_counts_for_the_bucket_whose_bound_it_has() -> None:
    histogram = Histogram()
    for seconds in (0.0, BOUNDS[0], BOUNDS[-1], BOUNDS[-1] + 1):
        histogram.observe(seconds)
    assert (histogram.counts[0], histogram.counts[-2], histogram.counts[-1]) == (2, 1, 1)


def test_the_codes_of_clients_are_bounded() -> None:
    measures = Measures(lambda: 0.0)
    for code in range(4000, 4100):
        measures.count_closed(code)
    measures.count_closed(4001)
    assert len(measures.closed) == 65
    assert (measures.closed[4001], measures.closed[0]) == (2, 36)
    app = Gateway("test")
    app.core.measures.closed = measures.closed
    assert reader(app)("gateway_connections_closed_total", code="other") == 36


class OnRedis(MemoryBackplane):
    """One that has the counters of a backplane on Redis, which are the test's."""

    counters: Any = None


def test_of_a_backplane_on_redis() -> None:
    backplane = OnRedis()
    read = reader(Gateway("test", backplane=backplane))
    # It was not started.
    assert read("backplane_healthy") == 0
    assert read("backplane_reconnects_total") is None
    rooms = RoomCounters(received=1, recovered=2, duplicates=3, gaps=4)
    presence = PresenceCounters(claimed=5, orphans=6, declared_dead=7)
    backplane.counters = RedisCounters(rooms, presence, reconnects=8, deaf=9, requests=10, lag=None)
    assert read("backplane_lag_seconds") is None
    backplane.counters = RedisCounters(rooms, presence, reconnects=8, deaf=9, requests=10, lag=0.25)
    found = {
        name: read(f"backplane_{name}")
        for name in (
            "room_messages_total",
            "room_messages_recovered_total",
            "room_duplicates_total",
            "room_gaps_total",
            "dead_nodes_total",
            "orphans_total",
            "declared_dead_total",
            "reconnects_total",
            "deaf_total",
            "pending_requests",
            "lag_seconds",
        )
    }
    assert list(found.values()) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0.25]


@both_ways
async def test_the_rooms_of_an_application(way: Way) -> None:
    app = App()

    @app.websocket_route("/rooms/{name}")
    async def view(ws: WebSocket, name: str) -> None:
        room = app.room(name)
        async with room.joined(ws):
            async for message in ws:
                await room.broadcast(message)

    inner = App()
    outer = App()
    outer.mount("/inner", app)
    outer.mount("/none", inner)
    read = reader(outer)
    # Nobody has asked for a room yet.
    assert read("rooms") is None
    clients = [await way.connect(outer, f"/inner/rooms/{name}") for name in ("one", "one", "other")]
    clients[0].send("to two")
    clients[2].send("to myself")
    await way.settle()
    assert (read("rooms"), read("room_members"), read("room_queued_messages")) == (2, 3, 0)
    assert (read("room_broadcasts_total"), read("room_messages_sent_total")) == (2, 3)
    for client in clients:
        client.disconnect(1000)
        await client.ended()
    gc.collect()
    # The rooms are forgotten, and not what has happened in them.
    assert (read("rooms"), read("room_members")) == (0, 0)
    assert (read("room_broadcasts_total"), read("room_messages_sent_total")) == (2, 3)
    assert (read("room_messages_dropped_total"), read("room_disconnects_total")) == (0, 0)


def test_a_room_that_cannot_be_was_none() -> None:
    app = App()
    with pytest.raises(ValueError, match="policy"):
        app.room("lobby", policy="no policy")  # type: ignore[arg-type]
    gc.collect()
    assert reader(app)("rooms") == 0


@both_ways
async def test_the_backplane_of_an_application(way: Way) -> None:
    app = App()
    backplane = MemoryBackplane()
    app.use_backplane(backplane)
    monitor = Monitor(app)
    read = reader(app)
    assert monitor.health.status == "ok"
    assert read("backplane_healthy") == 0
    async with way.lifespan(app):
        assert read("backplane_healthy") == 1
        assert monitor.health.node == backplane.node_id.hex()
        await backplane.stop()
        assert monitor.health.http_status == 200
        assert monitor.health.reason
