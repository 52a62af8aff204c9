"""Rooms by name: in one process, and on a backplane that joins several applications."""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from typing import Any

import pytest

import autobahnlike.app
from autobahnlike import backplane as backplane_module
from autobahnlike.app import (
    App,
    BackplaneUnavailable,
    PublishUncertain,
    Room,
    RoomMessageTooLarge,
    named_rooms,
)
from autobahnlike.app.rooms import Policy, RoomCounters
from autobahnlike.backplane import MemoryBackplane, MemoryHub
from tests.app.harness import Way, both_ways
from tests.app.shared import Clock, heard, node, pair, present

# -- Rooms by name


def test_the_same_name_is_the_same_room() -> None:
    app = App()
    room = app.room("r", policy="drop-oldest", limit=3)
    assert isinstance(room, Room)
    assert app.room("r", policy="drop-oldest", limit=3) is room
    assert app.room("s") is not room
    assert App().room("r") is not room
    assert (room.name, room.policy, len(room), repr(room)) == ("r", "drop-oldest", 0, "<Room 'r' of 0>")
    with pytest.raises(
        ValueError, match=r"there is a room 'r' with policy='drop-oldest', limit=3, not policy='wait', limit=64: ask"
    ):
        app.room("r")


@pytest.mark.parametrize(
    ("name", "options"),
    [("", {}), ("é" * 129, {}), ("r", {"policy": "x"}), ("r", {"limit": 0}), ("r", {"limit_bytes": 0})],
)
def test_names_and_options_are_checked(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"the name of a room has 1 to 256|must be "):
        App().room(name, **options)


@both_ways
@pytest.mark.parametrize("has_backplane", [False, True])
async def test_rooms_that_nobody_needs_are_forgotten(way: Way, has_backplane: bool) -> None:
    hub = MemoryHub()
    app = node(MemoryBackplane(hub) if has_backplane else None)
    kept = weakref.ref(app.room("r"))
    assert kept() is None
    (client,) = await present(way, app)
    kept = weakref.ref(app.room("r"))
    assert kept() is not None
    client.send("leave")
    await way.settle()
    assert kept() is None
    client.send("join")
    client.send("hello")
    await way.settle()
    assert client.wire == [101, "hello"]
    kept = weakref.ref(app.room("r"))
    # The view does not leave; it leaves by itself.
    client.disconnect(1000)
    assert await client.ended() is None
    del client
    way.clients.clear()
    await way.settle()
    assert kept() is None
    assert hub.rooms == {}
    for number in range(100):
        await app.room(f"game-{number}").broadcast("x")
    assert hub.rooms == {}


@both_ways
async def test_a_room_is_kept_while_something_is_sent(way: Way) -> None:
    app = node(MemoryBackplane(), policy="drop-oldest")
    (client,) = await present(way, app)
    client.hold_sends()
    kept = weakref.ref(app.room("r", policy="drop-oldest"))
    for message in ("1", "2", "leave"):
        client.send(message)
    await way.settle()
    room = kept()
    assert room is not None
    assert (len(room), room.counters.sent) == (0, 0)
    del room
    client.release_sends()
    await way.settle()
    assert client.wire == [101, "1", "2"]
    assert kept() is None


@both_ways
async def test_without_a_backplane_it_is_a_room_of_the_process(way: Way) -> None:
    app = node(None)
    one, other = await present(way, app, 2)
    one.send("!hi")
    await way.settle()
    assert heard(one, other) == [[], ["!hi"]]
    assert app.health.is_healthy
    # Made once for all of them.
    one.send("all")
    await way.settle()
    assert one.sent[-1] is other.sent[-1]


# -- On a backplane


@both_ways
async def test_all_members_see_one_order(way: Way) -> None:
    _, _, one, _, other = await pair(way)
    clients = [*await present(way, one, 2), *await present(way, other, 2)]
    for number, client in enumerate(clients * 5):
        client.send(f"message {number}")
    await way.settle()
    assert sorted(heard(clients[0])[0]) == sorted(f"message {number}" for number in range(20))
    assert heard(*clients) == heard(clients[0]) * 4
    room = one.room("r")
    assert room.counters == RoomCounters(members=2, queued=0, broadcasts=20, sent=40, dropped=0, disconnected=0)
    # Made once for all members of a process.
    assert clients[0].sent[1] is clients[1].sent[1]
    assert clients[2].sent[1] is clients[3].sent[1]


@both_ways
async def test_kinds_of_messages(way: Way) -> None:
    _, _, one, _, other = await pair(way)
    clients = [*await present(way, one), *await present(way, other)]
    room = one.room("r")
    await room.broadcast("täxt")
    await room.broadcast(b"\xff")
    await room.broadcast(memoryview(b"abc")[1:])
    await room.broadcast(bytearray(b"x"))
    await room.broadcast_json({"a": 1})
    await way.settle()
    assert heard(*clients) == [["täxt", b"\xff", b"bc", b"x", '{"a": 1}']] * 2
    with pytest.raises(TypeError, match=r"must be str or bytes, not dict: use broadcast_json"):
        await room.broadcast({})  # type: ignore[arg-type]


@both_ways
async def test_each_hears_its_own_rooms(way: Way) -> None:
    _, _, one, _, other = await pair(way)
    (red,), (blue,) = await present(way, one, path="/red"), await present(way, other, path="/blue")
    await one.room("blue").broadcast("from afar")
    await one.room("nobody").broadcast("x")
    await way.settle()
    assert heard(red, blue) == [[], ["from afar"]]


@both_ways
@pytest.mark.parametrize("policy", ["wait", "drop-newest"])
async def test_leaving_some_out(way: Way, policy: Policy) -> None:
    _, wire, one, _, other = await pair(way, policy=policy)
    first, second = await present(way, one, 2)
    (third,) = await present(way, other)
    wire.hold()
    for message in "!a", "b":
        first.send(f"{message}1")
        second.send(f"{message}2")
    await way.settle()
    assert heard(first, second, third)[:2] == [[], []]
    await wire.release()
    (everything,) = heard(third)
    assert sorted(everything) == ["!a1", "!a2", "b1", "b2"]
    assert heard(first, second) == [[each for each in everything if each != own] for own in ("!a1", "!a2")]
    room = one.room("r", policy=policy)
    await room.broadcast("c", exclude=room.connections)
    await way.settle()
    assert [len(each) for each in heard(first, second, third)] == [3, 3, 5]


@both_ways
@pytest.mark.parametrize("policy", ["wait", "drop-oldest"])
async def test_leaving_some_out_of_what_perhaps_was_published(way: Way, policy: Policy) -> None:
    _, wire, one, _, other = await pair(way, policy=policy)
    first, second = await present(way, one, 2)
    (third,) = await present(way, other)
    wire.hold()
    wire.after = PublishUncertain("perhaps")
    room = one.room("r", policy=policy)
    with pytest.raises(PublishUncertain):
        await room.broadcast("x", exclude=room.connections[0])
    wire.after = None
    task = way.spawn(room.broadcast("y"))
    await way.settle()
    await wire.release()
    await task
    assert heard(first, second, third) == [["y"], ["x", "y"], ["x", "y"]]


@both_ways
async def test_leaving_some_out_of_a_room_that_they_are_not_in(way: Way) -> None:
    _, _, one, _, other = await pair(way)
    (elsewhere,) = await present(way, one, path="/elsewhere")
    (far,) = await present(way, other)
    await one.room("r").broadcast("x", exclude=one.room("elsewhere").connections)
    await way.settle()
    assert heard(elsewhere, far) == [[], ["x"]]


@both_ways
@pytest.mark.parametrize("is_certain", [True, False])
async def test_it_is_not_remembered_without_bound_who_is_left_out(
    way: Way, monkeypatch: pytest.MonkeyPatch, is_certain: bool
) -> None:
    monkeypatch.setattr(named_rooms, "_MAX_REMEMBERED", 2)
    _, wire, one, _, _ = await pair(way, policy="drop-oldest")
    (client,) = await present(way, one)
    room = one.room("r", policy="drop-oldest")
    wire.hold()
    wire.after = None if is_certain else PublishUncertain("perhaps")
    for number in range(4):
        with nullcontext() if is_certain else pytest.raises(PublishUncertain):
            await room.broadcast(str(number), exclude=room.connections)
    await wire.release()
    assert heard(client) == [["0", "1"]]


@both_ways
async def test_servers_that_prepare_messages_do_so_once_for_each_process(way: Way) -> None:
    class Preparer:
        def __init__(self) -> None:
            self.prepared: list[Any] = []

        def prepare(self, message: str | bytes) -> str:
            self.prepared.append(message)
            return f"prepared {message!r}"

    _, _, one, _, other = await pair(way)
    preparers = Preparer(), Preparer()
    clients = []
    for app, preparer in zip((one, other), preparers, strict=True):
        clients += await present(way, app, 2, extensions={"autobahnlike.broadcast": preparer})
    await one.room("r").broadcast("x")
    await way.settle()
    assert [preparer.prepared for preparer in preparers] == [["x"], ["x"]]
    assert [client.sent[1]["prepared"] for client in clients] == ["prepared 'x'"] * 4


# -- Slow members


@both_ways
async def test_who_waits_waits_for_all_members_of_this_process(way: Way) -> None:
    _, wire, one, _, other = await pair(way)
    slow, fast = await present(way, one, 2)
    (far,) = await present(way, other)
    slow.hold_sends()
    far.hold_sends()
    wire.hold()
    ended: list[str] = []

    async def say() -> None:
        await one.room("r").broadcast("x")
        ended.append("x")

    task = way.spawn(say())
    await way.settle()
    assert (heard(fast), ended) == ([[]], [])
    await wire.release()
    assert (heard(fast), ended) == ([["x"]], [])
    slow.release_sends()
    await task
    assert (heard(slow, far), ended) == ([["x"], []], ["x"])
    # Where nobody is, nothing is waited for.
    await one.room("empty").broadcast("y")


@both_ways
async def test_no_more_is_published_than_outboxes_hold(way: Way) -> None:
    _, wire, one, _, _ = await pair(way, limit=2)
    slow, fast = await present(way, one, 2)
    wire.hold()
    room = one.room("r", limit=2)
    tasks = [way.spawn(room.broadcast(str(number))) for number in range(6)]
    await way.settle()
    assert wire.held is not None
    assert [message.payload for _, message in wire.held] == ["0", "1"]
    slow.hold_sends()
    await wire.release(2)
    # One is on its way, one in the outbox: there is space for one more.
    assert wire.held is not None
    assert [message.payload for _, message in wire.held] == ["2"]
    await wire.release()
    assert heard(slow, fast) == [[], ["0", "1", "2"]]
    slow.release_sends()
    for task in tasks:
        await task
    assert heard(slow, fast) == [[str(number) for number in range(6)]] * 2
    assert (room.counters.dropped, room.counters.disconnected) == (0, 0)


@both_ways
async def test_what_could_not_be_published_takes_no_space(way: Way) -> None:
    _, wire, one, _, _ = await pair(way, limit=1)
    (client,) = await present(way, one)
    room = one.room("r", limit=1)
    for error in (BackplaneUnavailable("away"), PublishUncertain("perhaps"), RoomMessageTooLarge("large")):
        wire.before = error
        with pytest.raises(type(error)):
            await room.broadcast("x")
    wire.before = None
    await room.broadcast("y")
    assert heard(client) == [["y"]]


@both_ways
async def test_slow_members_of_other_processes_are_disconnected_where_nobody_can_wait(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    _, _, one, _, other = await pair(way, limit=2)
    (speaker,) = await present(way, one)
    slow, fast = await present(way, other, 2)
    slow.hold_sends()
    for number in range(4):
        speaker.send(str(number))
        await way.settle()
    assert heard(speaker, fast) == [["0", "1", "2", "3"]] * 2
    room = other.room("r", limit=2)
    assert (len(room), room.counters.disconnected) == (1, 1)
    slow.release_sends()
    await way.settle()
    assert heard(slow) == [["0", ("close", 1013)]]
    assert await slow.ended() is None
    assert caplog.messages == []


@both_ways
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("drop-newest", ["0", "1", "2"]),
        ("drop-oldest", ["0", "3", "4"]),
        ("disconnect", ["0", ("close", 1013)]),
    ],
)
async def test_the_other_policies(way: Way, policy: Policy, expected: list[Any]) -> None:
    _, _, one, _, other = await pair(way, policy=policy, limit=2)
    (far_slow, far), (slow, fast) = await present(way, one, 2), await present(way, other, 2)
    slow.hold_sends()
    far_slow.hold_sends()
    room = one.room("r", policy=policy, limit=2)
    for number in range(5):
        await room.broadcast(str(number))
        await way.settle()
    slow.release_sends()
    far_slow.release_sends()
    await way.settle()
    assert heard(far, fast) == [["0", "1", "2", "3", "4"]] * 2
    assert heard(far_slow, slow) == [expected] * 2


# -- What is lost


@both_ways
@pytest.mark.parametrize("is_known", [True, False])
async def test_members_of_a_room_of_which_messages_are_lost(
    way: Way, caplog: pytest.LogCaptureFixture, is_known: bool
) -> None:
    hub, wire, one, _, other = await pair(way)
    first, second = await present(way, one, 2)
    (far,) = await present(way, other)
    wire.hold()
    task = way.spawn(one.room("r").broadcast("x"))
    far.send("y")
    await way.settle()
    await wire.lose(2, is_known=is_known)
    # It was published.
    await task
    assert heard(first, second, far) == [[("close", 1012)], [("close", 1012)], ["x", "y"]]
    assert (await first.ended(), await second.ended()) == (None, None)
    last = "2" if is_known else "an unknown number"
    assert caplog.messages == [f"room 'r': messages from 1 to {last} are lost: its members are closed, to begin anew"]
    assert next(iter(hub.rooms["r"]._subscriptions)).backplane is not wire
    # They come again.
    wire.held = None
    (again,) = await present(way, one)
    far.send("z")
    await way.settle()
    assert heard(again, far) == [["z"], ["x", "y", "z"]]


@both_ways
async def test_nobody_waits_for_ever(
    way: Way, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    _, wire, one, _, other = await pair(way, limit=1)
    (client,), (far,) = await present(way, one), await present(way, other)
    wire.hold()
    tasks = [way.spawn(one.room("r", limit=1).broadcast(text)) for text in "xy"]
    await way.settle()
    clock.pass_time(9.9)
    await way.settle()
    assert heard(client, far) == [[], ["x"]]
    clock.pass_time(0.1)
    await tasks[0]
    assert caplog.messages == ["room 'r': what was published has not come back for 10 s: it is waited for no longer"]
    await way.settle()
    # They come late, and the second one is still waited for.
    assert heard(client, far) == [[], ["x", "y"]]
    await wire.release()
    await tasks[1]
    assert heard(client) == [["x", "y"]]
    assert clock.timers == []


@both_ways
async def test_who_waits_for_what_is_overtaken_goes_on(way: Way) -> None:
    """A message of this process came back that was published later: the one before will not come."""
    _, wire, one, _, _ = await pair(way)
    (client,) = await present(way, one)
    wire.hold()
    tasks = [way.spawn(one.room("r").broadcast(text)) for text in "xy"]
    await way.settle()
    assert wire.held is not None
    wire.held.popleft()
    await wire.release()
    for task in tasks:
        await task
    assert heard(client) == [["y"]]


@both_ways
async def test_waiting_ends_when_the_last_member_leaves(way: Way) -> None:
    _, wire, one, _, _ = await pair(way)
    (client,) = await present(way, one)
    room = one.room("r")
    (ws,) = room.connections
    wire.hold()
    task = way.spawn(room.broadcast("x"))
    await way.settle()
    await room.leave(ws)
    await task
    assert heard(client) == [[]]


# -- Away


@both_ways
@pytest.mark.parametrize("policy", ["wait", "disconnect"])
async def test_while_the_backplane_is_away_nobody_gets_anything(way: Way, policy: Policy) -> None:
    _, wire, one, _, other = await pair(way, policy=policy)
    clients = [*await present(way, one), *await present(way, other)]
    room = one.room("r", policy=policy)
    wire.before = BackplaneUnavailable("not published: away")
    wire.ill = "away"
    assert not one.health.is_healthy
    assert one.health.reason == "away"
    with pytest.raises(BackplaneUnavailable, match="not published: away"):
        await room.broadcast("x", exclude=room.connections)
    await way.settle()
    assert heard(*clients) == [[], []]
    wire.before = None
    wire.ill = ""
    assert one.health.is_healthy
    await room.broadcast("y")
    await way.settle()
    assert heard(*clients) == [["y"], ["y"]]


@both_ways
async def test_nobody_talks_in_a_room_that_cannot_be_heard_yet(way: Way) -> None:
    _, wire, one, _, other = await pair(way)
    (far,) = await present(way, other)
    (early,) = await present(way, one, path="/early")
    wire.ill = "other nodes are not heard"
    (client,) = await present(way, one)
    with pytest.raises(BackplaneUnavailable, match="who is in the room would not hear it: other nodes are not heard"):
        await one.room("r").broadcast("x")
    # Where it follows since before, what is missed is fetched later.
    await one.room("early").broadcast("y")
    wire.ill = ""
    await one.room("r").broadcast("z")
    assert heard(far, early, client) == [["z"], ["y"], ["z"]]


@both_ways
async def test_messages_that_are_too_large(way: Way) -> None:
    app = node(MemoryBackplane(max_message_size=3))
    (client,) = await present(way, app)
    with pytest.raises(RoomMessageTooLarge, match="3 bytes at most, not 4"):
        await app.room("r").broadcast("four")
    assert heard(client) == [[]]


def test_errors_are_where_users_look_for_them() -> None:
    for name in ("BackplaneError", "BackplaneUnavailable", "PublishUncertain", "RoomMessageTooLarge"):
        assert getattr(autobahnlike.app, name) is getattr(backplane_module, name)


# -- Joining and leaving


@both_ways
async def test_a_process_is_subscribed_while_it_has_members(way: Way) -> None:
    hub, wire, one, _, _ = await pair(way)
    clients = await present(way, one, 3)
    assert (wire.subscriptions, list(hub.rooms)) == (1, ["r"])
    for client in clients:
        client.send("leave")
    await way.settle()
    assert list(hub.rooms) == []
    clients[0].send("join")
    clients[0].send("x")
    await way.settle()
    assert wire.subscriptions == 2
    assert heard(*clients) == [["x"], [], []]


@both_ways
async def test_who_joins_waits_until_it_would_be_told(way: Way) -> None:
    hub, wire, one, _, other = await pair(way)
    (far,) = await present(way, other)
    wire.subscribing = []
    clients = await present(way, one, 2)
    clients[0].send("I am here")
    await way.settle()
    assert len(wire.subscribing) == 1
    assert heard(far) == [[]]
    way.wake(wire.subscribing[0])
    await way.settle()
    assert heard(far, *clients) == [["I am here"]] * 3
    assert wire.subscriptions == 1
    # One that has gone meanwhile: nothing is left over.
    for client in clients:
        client.send("leave")
    await way.settle()
    clients[0].send("join")
    await way.settle()
    await one.room("r").leave(one.room("r").connections[0])
    way.wake(wire.subscribing[1])
    await way.settle()
    assert [each.backplane is wire for each in hub.rooms["r"]._subscriptions] == [False]


@both_ways
async def test_what_is_published_while_subscribing(way: Way) -> None:
    _, wire, one, _, other = await pair(way)
    (far,) = await present(way, other)
    wire.subscribing = []
    clients = await present(way, one, 2)
    room = one.room("r")
    # Nobody here is told of it, and so nobody is waited for.
    await room.broadcast("early", exclude=room.connections[0])
    way.wake(wire.subscribing[0])
    await way.settle()
    await room.broadcast("late")
    assert heard(far, *clients) == [["early", "late"], ["late"], ["late"]]


@both_ways
async def test_joining_that_fails(way: Way) -> None:
    _, wire, one, _, _ = await pair(way)
    await present(way, one, path="/elsewhere")
    wire.before = ValueError("no")
    talk = await way.talk(one, "/r")
    assert (talk.wire, str(talk.error)) == ([101, ("close", 1011)], "no")
    assert len(one.room("r")) == 0
    wire.before = None
    assert (await way.talk(one, "/r", "x")).wire == [101, "x"]
