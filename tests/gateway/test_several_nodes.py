"""The gateway as a node of its backplane, and rooms."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from autobahnlike.backplane import (
    BackplaneUnavailable,
    ConnectionInfo,
    Health,
    MemoryBackplane,
    MemoryHub,
    Payload,
)
from autobahnlike.backplane.ids import new_connection_id, new_node_id, node_of
from autobahnlike.gateway import Gateway, Limits, RoomError, WebsocketDisconnectedError, WebsocketEvent
from tests.app.harness import Client, Way, both_ways
from tests.gateway.kit import echo, gateway, id_of, open_client, talk

# -- Several nodes


def two(way: Way, backplane: type[MemoryBackplane] = MemoryBackplane) -> tuple[MemoryHub, Gateway, Gateway]:
    hub = MemoryHub()
    one, other = gateway(way, backplane=backplane(hub)), gateway(way, backplane=backplane(hub))
    return hub, one, other


@both_ways
async def test_connection_ids_name_their_node(way: Way) -> None:
    _, one, other = two(way)
    for app in (one, other):
        await open_client(way, app)
        assert node_of(id_of(app)) == app.core.backplane.node_id
    assert node_of("x") is node_of("ü" * 16) is node_of("*" * 16) is node_of("A" * 16) is None
    with pytest.raises(ValueError, match="4 bytes"):
        new_connection_id(b"123")
    assert node_of(new_connection_id(b"abcd")) == b"abcd"
    assert len({new_connection_id(b"abcd") for _ in range(100)}) == 100
    assert len(new_node_id()) == 4


@both_ways
async def test_every_node_reaches_every_connection(way: Way) -> None:
    _, one, other = two(way)
    await other.core.start()
    client = await open_client(way, one, headers={"User-Agent": "x"})
    connection_id = id_of(one)
    await other.websocket_api.send(connection_id, "from afar")
    assert (await other.websocket_api.info(connection_id))["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "x"}
    await other.websocket_api.close(connection_id)
    await way.settle()
    assert client.wire == [101, "from afar", ("close", 1000)]
    with pytest.raises(WebsocketDisconnectedError):
        await other.websocket_api.send(connection_id, "x")


@both_ways
async def test_survivors_run_disconnect_for_a_dead_node_once(way: Way) -> None:
    hub, one, other = two(way)
    calls, theirs = echo(one), echo(other)
    await other.core.start()
    await open_client(way, one)
    connection_id = id_of(one)
    backplane: Any = one.core.backplane
    await hub.kill(backplane)
    assert theirs == [f"disconnect {connection_id} 1006"]
    # And if it was not dead after all.
    one.core.declared_dead()
    await way.settle()
    assert [call.split()[0] for call in calls] == ["connect"]


@both_ways
async def test_a_node_that_was_declared_dead_begins_anew(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = gateway(way)
    calls = echo(app)
    client = await open_client(way, app)
    app.core.declared_dead()
    await way.settle()
    assert client.wire == [101, ("close", 1012)]
    assert [call.split()[0] for call in calls] == ["connect"]
    assert "took this one for dead: its 1 connections" in caplog.text
    assert (await talk(way, app, "/api/", "x")).wire == [101, "x"]


class Claimed(MemoryBackplane):
    """Another node was faster with every $disconnect."""

    async def unregister(self, connection_id: str, /) -> bool:
        await super().unregister(connection_id)
        return False


@both_ways
async def test_disconnect_is_not_run_if_another_node_has_claimed_it(way: Way) -> None:
    app = gateway(way, backplane=Claimed())
    calls = echo(app)
    await talk(way, app, "/api/", "x")
    assert [call.split()[0] for call in calls] == ["connect", "message"]


class Slow(MemoryBackplane):
    """Takes its time to register."""

    waiters: list[Any]
    way: Way

    async def register(self, info: ConnectionInfo, /) -> None:
        self.waiters.append(self.way.waiter())
        await self.waiters[-1]
        await super().register(info)


@both_ways
async def test_clients_are_answered_when_they_are_registered(way: Way) -> None:
    backplane = Slow()
    backplane.waiters, backplane.way = [], way
    app = gateway(way, backplane=backplane)
    client = await way.connect(app, "/api/")
    assert client.wire == []
    assert len(list(app.core.connections())) == 1
    way.wake(backplane.waiters[0])
    await way.settle()
    assert client.wire == [101]


# -- Rooms


async def join(way: Way, app: Gateway, room: str = "r") -> tuple[Client, str]:
    before = {info.connection_id for info in app.core.connections()}
    client = await open_client(way, app)
    (connection_id,) = {info.connection_id for info in app.core.connections()} - before
    await app.rooms.join(room, connection_id)
    return client, connection_id


@both_ways
async def test_rooms_on_several_nodes(way: Way) -> None:
    hub, one, other = two(way)
    here, my_id = await join(way, one)
    there, _ = await join(way, other)
    elsewhere, _ = await join(way, other, "elsewhere")
    await one.rooms.publish("r", "to all")
    await other.rooms.publish("r", b"\xff", exclude=my_id)
    await way.settle()
    assert here.wire == [101, "to all"]
    assert there.wire == [101, "to all", b"\xff"]
    assert elsewhere.wire == [101]
    await one.rooms.leave("r", my_id)
    await one.rooms.leave("r", my_id)
    await one.rooms.publish("r", "more")
    there.disconnect()
    elsewhere.disconnect()
    await way.settle()
    assert here.wire == [101, "to all"]
    assert there.wire == [101, "to all", b"\xff", "more"]
    assert hub.rooms == {}
    assert one.rooms.members("r") == other.rooms.members("r") == ()


@both_ways
async def test_joining_in_connect_misses_nothing(way: Way) -> None:
    for strict in (False, True):
        app = gateway(way, aws_strict=strict)

        async def connect(event: WebsocketEvent, app: Gateway = app) -> None:
            await app.rooms.join("r", event.connection_id)
            await app.rooms.publish("r", "welcome")

        app.on_ws_connect()(connect)
        assert (await talk(way, app, "/api/")).wire == [101, "welcome"]


@both_ways
async def test_a_member_that_is_too_slow_is_closed(way: Way) -> None:
    app = gateway(way, limits=Limits(max_queued_messages=2))
    slow, _ = await join(way, app)
    quick, _ = await join(way, app)
    slow.hold_sends()
    for number in range(5):
        await app.rooms.publish("r", str(number))
        await way.settle()
    assert quick.wire == [101, "0", "1", "2", "3", "4"]
    slow.release_sends()
    await way.settle()
    assert slow.wire == [101, "0", "1", "2", ("close", 1013)]
    assert len(app.rooms.members("r")) == 1


@both_ways
async def test_members_of_a_room_with_a_gap_are_closed(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = gateway(way)
    client, _ = await join(way, app)
    other, _ = await join(way, app, "other")
    backplane: Any = app.core.backplane
    for subscription in list(backplane._hub.rooms["r"]._subscriptions):
        subscription.listener.room_lost("r", 3, 5)
    await way.settle()
    assert client.wire == [101, ("close", 1012)]
    assert other.wire == [101]
    assert caplog.records[0].levelno == logging.ERROR


class Away(MemoryBackplane):
    """Reaches nobody else."""

    @property
    def health(self) -> Health:
        return Health(False, "redis://x is away since 10:00")

    async def publish(self, room: str, payload: Payload, /, *, origin: str = "") -> int:
        raise BackplaneUnavailable("redis://x is away")


@both_ways
async def test_the_backplane_is_away(way: Way) -> None:
    app = gateway(way, backplane=Away())
    echo(app)
    client, connection_id = await join(way, app)
    client.send("x")
    await app.websocket_api.send(connection_id, "y")
    await way.settle()
    assert sorted(map(str, client.wire)) == ["101", "x", "y"]
    assert app.health == Health(False, "redis://x is away since 10:00")
    with pytest.raises(RoomError, match="redis://x is away"):
        await app.rooms.publish("r", "z")


@both_ways
async def test_rooms_check_what_they_are_given(way: Way) -> None:
    app = gateway(way)
    await app.core.start()
    with pytest.raises(ValueError, match="name of a room"):
        await app.rooms.join("", "x")
    with pytest.raises(TypeError, match="not int"):
        await app.rooms.publish("r", 1)  # type: ignore[arg-type]
    with pytest.raises(WebsocketDisconnectedError):
        await app.rooms.join("r", "x")
    await app.rooms.leave("r", "x")


@both_ways
async def test_counters(way: Way) -> None:
    app = gateway(way)
    echo(app)
    await talk(way, app, "/api/", "ü", "abc")
    await app.core.send("nobody", "x")
    counters = app.counters.to_dict()
    assert {name: count for name, count in counters.items() if count} == {
        "accepted": 1,
        "messages_in": 2,
        "bytes_in": 5,
        "messages_out": 2,
        "bytes_out": 5,
        "delivered": 2,
        "gone": 1,
    }
