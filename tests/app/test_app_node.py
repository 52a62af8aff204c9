"""Applications as nodes of a backplane: start and stop, those that are mounted in others, and what they lack."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from autobahnlike.app import (
    App,
    WebSocket,
)
from autobahnlike.backplane import MemoryBackplane, MemoryHub, Verdict
from tests.app.harness import Way, both_ways
from tests.app.shared import Wire, heard, node, present


@both_ways
async def test_a_backplane_lives_as_long_as_the_application(way: Way) -> None:
    wire = Wire(way)
    app = node(wire)
    seen: list[Any] = []

    async def look() -> None:
        seen.append((wire.starts, app.health.is_healthy))
        await app.room("r").broadcast("x")

    app.on("startup", look)
    app.on("shutdown", look)
    assert app.health.reason == "the application is not running"
    with pytest.raises(RuntimeError, match="the application does not run: serve it"):
        await app.room("r").broadcast("x")
    async with way.lifespan(app):
        assert (await way.talk(app, "/r", "x")).wire == [101, "x"]
    assert seen == [(1, True), (1, True)]
    assert wire.starts == 0
    with pytest.raises(RuntimeError, match="the application does not run: serve it"):
        await app.room("r").broadcast("x")


@both_ways
async def test_when_a_backplane_can_be_given(way: Way) -> None:
    app = node(Wire(way))
    with pytest.raises(RuntimeError, match=r"has a backplane already: .*; it can be given in the code or"):
        app.use_backplane(Wire(way))
    app = node(None)
    async with way.lifespan(app):
        with pytest.raises(RuntimeError, match="was started: give it its backplane before"):
            app.use_backplane(Wire(way))


async def startup_failure(way: Way, app: App) -> str:
    """How the startup of an application fails."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(event: Any) -> None:
        sent.append(event)

    try:
        await way.spawn(app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send))
    except RuntimeError:
        pass
    assert [event["type"] for event in sent] == ["lifespan.startup.failed"]
    message: str = sent[0]["message"]
    return message


@both_ways
async def test_a_backplane_that_is_configured_wrongly(way: Way) -> None:
    wire = Wire(way)
    wire.before = ValueError("the password is wrong")
    app = node(wire)
    assert await startup_failure(way, app) == "the password is wrong"
    talk = await way.talk(app, "/r")
    assert str(talk.error) == "the password is wrong"
    wire.before = RuntimeError("a bug")
    assert "RuntimeError: a bug" in await startup_failure(way, app)


@both_ways
async def test_a_startup_that_fails_stops_the_backplane(way: Way) -> None:
    wire = Wire(way)
    app = node(wire)

    @app.on("startup")
    def fail() -> None:
        raise RuntimeError("not today")

    assert "RuntimeError: not today" in await startup_failure(way, app)
    assert wire.starts == 0


class SlowToStart(Wire):
    waiter: Any = None

    async def start(self, node: Any, /) -> None:
        self.waiter = self.way.waiter()
        await self.waiter
        await super().start(node)


@both_ways
async def test_without_a_lifespan_the_first_connection_starts_it(way: Way) -> None:
    wire = SlowToStart(way)
    app = node(wire)
    clients = await present(way, app, 3)
    assert heard(*clients) == [[], [], []]
    way.wake(wire.waiter)
    await way.settle()
    clients[0].send("x")
    await way.settle()
    assert heard(*clients) == [["x"]] * 3
    assert wire.starts == 1


@both_ways
async def test_applications_that_are_mounted(way: Way) -> None:
    hub = MemoryHub()
    own, outer_wire = Wire(way, hub), Wire(way)
    outer, with_own, without = node(outer_wire), node(own), node(None)
    outer.mount("/own", with_own)
    outer.mount("/shared", without)
    async with way.lifespan(outer):
        assert (own.starts, outer_wire.starts) == (1, 1)
        with pytest.raises(RuntimeError, match="was started"):
            without.use_backplane(Wire(way))
        (mine,), (shared,) = await present(way, outer, path="/own/r"), await present(way, outer, path="/shared/r")
        (outermost,) = await present(way, outer)
        # One without its own takes part in that of the outer one, where its rooms have the same names.
        await without.room("r").broadcast("x")
        await way.settle()
        assert heard(mine, shared, outermost) == [[], ["x"], ["x"]]
        own.ill = "away"
        assert outer.health.reason == "away"
        own.ill = ""
        assert outer.health.is_healthy
        for client in (mine, shared, outermost):
            client.disconnect(1000)
            await client.ended()
    assert (own.starts, outer_wire.starts) == (0, 0)
    # By itself it has none.
    await without.room("r").broadcast("x")


@both_ways
async def test_an_application_with_a_backplane_in_one_without(way: Way) -> None:
    wire = Wire(way)
    outer = App()
    outer.mount("/inner", node(wire))
    async with way.lifespan(outer):
        assert wire.starts == 1
        assert (await way.talk(outer, "/inner/r", "x")).wire == [101, "x"]
    assert wire.starts == 0


@both_ways
async def test_members_that_are_left_at_the_end(way: Way) -> None:
    """As under servers that do not wait for their connections."""
    hub = MemoryHub()
    app = node(MemoryBackplane(hub))
    async with way.lifespan(app):
        (client,) = await present(way, app)
        assert list(hub.rooms) == ["r"]
    assert (list(hub.rooms), list(hub.nodes)) == ([], [])
    assert heard(client) == [[]]


@both_ways
async def test_an_application_has_no_connection_ids(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    from autobahnlike.backplane import ConnectionInfo
    from autobahnlike.backplane.ids import new_connection_id

    hub = MemoryHub()
    backplane, other = MemoryBackplane(hub), MemoryBackplane(hub)
    app = node(backplane)
    await present(way, app)
    connection_id = new_connection_id(backplane.node_id)
    assert await other.send(connection_id, "x") is Verdict.GONE
    assert await other.close(connection_id, 1000, "") is Verdict.GONE
    assert await other.info(connection_id) == (Verdict.GONE, None)
    # One of a gateway that shares the backplane by mistake.
    await other.start(object())  # type: ignore[arg-type]
    await other.register(ConnectionInfo("x", 0, 0))
    await hub.kill(other)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()[:46]) == (
        logging.ERROR,
        "x was a connection of a gateway that died, and",
    )


@both_ways
async def test_a_view_may_join_many_rooms(way: Way) -> None:
    hub = MemoryHub()
    app = App()
    app.use_backplane(MemoryBackplane(hub))

    @app.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        for name in "abc":
            await app.room(name).join(ws)
        await app.room("b").leave(ws)
        await ws.receive()

    client = await way.connect(app, "/")
    assert sorted(hub.rooms) == ["a", "c"]
    for name in "abc":
        await app.room(name).broadcast(name)
    await way.settle()
    assert heard(client) == [["a", "c"]]
    client.disconnect(1000)
    await client.ended()
    assert hub.rooms == {}
