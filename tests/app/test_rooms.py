"""Rooms: who gets what in which order, and what happens with slow members."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from autobahnlike.app.driver import start
from autobahnlike.app.errors import WebSocketDisconnect
from autobahnlike.app.rooms import Policy, Room, RoomCounters, encode
from autobahnlike.app.routing import Router
from autobahnlike.app.websocket import WebSocket
from tests.app.harness import Client, Way, both_ways


def listeners(room: Room, **options: Any) -> Router:
    """A view that only listens."""
    router = Router()

    @router.websocket_route("/", **options)
    async def listen(ws: WebSocket) -> None:
        async with room.joined(ws):
            async for _ in ws:
                pass

    return router


async def joined(way: Way, room: Room, count: int, **scope: Any) -> list[Client]:
    router = listeners(room)
    return [await way.connect(router, "/", **scope) for _ in range(count)]


def counters(room: Room, *names: str) -> tuple[int, ...]:
    return tuple(getattr(room.counters, name) for name in names)


@both_ways
async def test_everyone_gets_everything_in_one_order(way: Way) -> None:
    room = Room("chat")
    router = Router()

    @router.websocket_route("/chat")
    async def chat(ws: WebSocket) -> None:
        async with room.joined(ws):
            async for message in ws:
                await room.broadcast(message)

    clients = [await way.connect(router, "/chat") for _ in range(3)]
    assert [client.wire for client in clients] == [[101]] * 3
    for number, client in enumerate(clients * 3):
        client.send(f"message {number}")
    await way.settle()
    for client in clients:
        assert sorted(client.wire[1:]) == [f"message {number}" for number in range(9)]
        assert client.wire == clients[0].wire
    # Encoded once: the servers of all are given the same object.
    assert clients[0].sent[1] is clients[1].sent[1] is clients[2].sent[1]
    assert room.counters == RoomCounters(members=3, queued=0, broadcasts=9, sent=27, dropped=0, disconnected=0)
    clients[0].disconnect(1000)
    assert await clients[0].ended() is None
    assert len(room) == 2
    clients[1].send("two are left")
    await way.settle()
    assert [client.wire[-1] == "two are left" for client in clients] == [False, True, True]


@both_ways
async def test_kinds_of_messages(way: Way) -> None:
    room = Room()
    (client,) = await joined(way, room, 1)
    await room.broadcast("täxt")
    await room.broadcast(b"\xff")
    await room.broadcast(memoryview(b"abc")[1:])
    await room.broadcast_json({"a": [1, "é"]})
    assert client.wire == [101, "täxt", b"\xff", b"bc", '{"a": [1, "\\u00e9"]}']
    with pytest.raises(TypeError, match=r"must be str or bytes, not dict: use broadcast_json\(\)"):
        await room.broadcast({"a": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not JSON serializable"):
        await room.broadcast_json(object())
    assert room.counters.broadcasts == 4


def test_encoding() -> None:
    assert encode("x") == {"type": "websocket.send", "text": "x"}
    assert encode(bytearray(b"x")) == {"type": "websocket.send", "bytes": b"x"}


@both_ways
async def test_leaving_some_out(way: Way) -> None:
    room = Room()
    first, second, third = await joined(way, room, 3)
    one, two, _ = room.connections
    await room.broadcast("a", exclude=one)
    await room.broadcast("b", exclude=[one, two])
    assert [client.wire[1:] for client in (first, second, third)] == [[], ["a"], ["a", "b"]]


@both_ways
async def test_joining_and_leaving(way: Way) -> None:
    room = Room("r")
    seen: list[Any] = []
    router = Router()

    @router.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        await room.leave(ws)
        await room.join(ws)
        await room.join(ws)
        seen.append((ws.accepted, ws in room, len(room), bool(room), room.connections == (ws,), repr(room)))
        await room.broadcast("hi")
        await room.leave(ws)
        await room.broadcast("nobody is here")
        seen.append((ws in room, len(room), bool(room)))

    talk = await way.talk(router, "/")
    assert talk.error is None
    assert talk.wire == [101, "hi", ("close", 1000)]
    assert seen == [(True, True, 1, True, True, "<Room 'r' of 1>"), (False, 0, True)]


@both_ways
async def test_who_cannot_join(way: Way) -> None:
    room = Room()
    router = Router()

    @router.websocket_route("/{when}", auto_accept=False)
    async def view(ws: WebSocket, when: str) -> None:
        if when == "closed":
            await ws.accept()
            await ws.close()
        await room.join(ws)

    for when in ("early", "closed"):
        talk = await way.talk(router, f"/{when}")
        assert str(talk.error) == "a connection can join a room when it has been accepted and is not closed"
    assert len(room) == 0


@pytest.mark.parametrize("options", [{"policy": "drop"}, {"limit": 0}, {"limit_bytes": 0}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Room(**options)


@both_ways
async def test_a_slow_member_holds_up_nobody_else(way: Way) -> None:
    room = Room(policy="wait", limit=2)
    slow, fast = await joined(way, room, 2)
    slow.hold_sends()
    finished = []

    async def say(number: int) -> None:
        await room.broadcast(str(number))
        finished.append(number)

    tasks = [way.spawn(say(number)) for number in range(3)]
    await way.settle()
    # One is on its way, two are in the outbox.
    assert fast.wire == [101, "0", "1", "2"]
    assert slow.wire == [101]
    assert counters(room, "queued", "sent") == (2, 3)
    assert finished == []
    # The outbox is full: the next ones wait before anybody gets them.
    tasks += [way.spawn(say(number)) for number in (3, 4)]
    await way.settle()
    assert fast.wire == [101, "0", "1", "2"]
    slow.release_sends(1)
    await way.settle()
    assert finished == [0]
    assert fast.wire[-1] == "3"
    slow.release_sends()
    for task in tasks:
        await task
    assert slow.wire == fast.wire == [101, "0", "1", "2", "3", "4"]
    assert sorted(finished) == [0, 1, 2, 3, 4]
    assert counters(room, "queued", "sent", "dropped") == (0, 10, 0)


@both_ways
async def test_waiting_for_a_member_ends_when_it_goes(way: Way) -> None:
    room = Room(limit=1)
    slow, fast = await joined(way, room, 2)
    slow.hold_sends()
    tasks = [way.spawn(room.broadcast(str(number))) for number in range(3)]
    await way.settle()
    assert fast.wire == [101, "0", "1"]
    slow.disconnect(1006)
    slow.release_sends()
    for task in tasks:
        await task
    await slow.ended()
    assert fast.wire == [101, "0", "1", "2"]
    assert counters(room, "members", "sent", "dropped") == (1, 3, 2)


@both_ways
async def test_waiting_for_a_member_ends_when_it_leaves(way: Way) -> None:
    room = Room(limit=1)
    (slow,) = await joined(way, room, 1)
    (ws,) = room.connections
    slow.hold_sends()
    tasks = [way.spawn(room.broadcast(str(number))) for number in range(3)]
    await way.settle()
    await room.leave(ws)
    await tasks[2]
    # What was broadcast before is still sent, also when it comes back before that.
    await room.join(ws)
    tasks.append(way.spawn(room.broadcast("back")))
    await way.settle()
    slow.release_sends()
    for task in tasks[:2] + tasks[3:]:
        await task
    assert slow.wire == [101, "0", "1", "back"]


@both_ways
@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("drop-newest", ["0", "1", "2"]),
        # The first one was on its way already.
        ("drop-oldest", ["0", "3", "4"]),
    ],
)
async def test_some_are_dropped(way: Way, policy: Policy, kept: list[str]) -> None:
    room = Room(policy=policy, limit=2)
    slow, fast = await joined(way, room, 2)
    slow.hold_sends()
    for number in range(5):
        await room.broadcast(str(number))
        await way.settle()
    assert fast.wire == [101, "0", "1", "2", "3", "4"]
    assert counters(room, "queued", "sent", "dropped") == (2, 5, 2)
    slow.release_sends()
    await way.settle()
    assert slow.wire == [101, *kept]
    await room.broadcast("5")
    await way.settle()
    assert slow.wire == [101, *kept, "5"]


@both_ways
@pytest.mark.parametrize("policy", ["drop-newest", "drop-oldest"])
@pytest.mark.parametrize("message", ["é" * 50, b"x" * 100])
async def test_outboxes_are_bounded_in_bytes(way: Way, policy: Policy, message: str | bytes) -> None:
    room = Room(policy=policy, limit=1000, limit_bytes=250)
    (slow,) = await joined(way, room, 1)
    slow.hold_sends()
    for _ in range(10):
        await room.broadcast(message)
        await way.settle()
    # One on its way, and as many in the outbox as reach the limit.
    assert counters(room, "queued", "dropped") == (3, 6)


@both_ways
async def test_the_slow_are_disconnected(way: Way) -> None:
    room = Room(policy="disconnect", limit=2)
    slow, fast = await joined(way, room, 2)
    slow.hold_sends()
    for number in range(5):
        await room.broadcast(str(number))
        await way.settle()
    assert fast.wire == [101, "0", "1", "2", "3", "4"]
    assert counters(room, "members", "queued", "sent", "dropped", "disconnected") == (1, 0, 5, 3, 1)
    slow.release_sends()
    await way.settle()
    assert slow.wire == [101, "0", ("close", 1013)]
    # To its view it is as if the client had gone, and no failure.
    assert await slow.ended() is None


@both_ways
@pytest.mark.parametrize("action", ["receive", "send", "close"])
async def test_a_view_that_goes_on_when_it_was_dismissed(way: Way, action: str) -> None:
    seen: list[object] = []
    router = Router()

    @router.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        await ws.send("hello")
        await ws.dismiss(1013, "too slow")
        await ws.dismiss(1013)
        try:
            await (ws.receive() if action == "receive" else ws.send("x") if action == "send" else ws.close())
        except WebSocketDisconnect as exc:
            seen.append((exc.code, exc.reason))
            raise

    talk = await way.talk(router, "/")
    assert (talk.wire, talk.error) == ([101, "hello", ("close", 1013)], None)
    assert seen == ([] if action == "close" else [(1013, "too slow")])


@both_ways
async def test_members_that_have_gone(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    room = Room()
    router = Router()

    @router.websocket_route("/")
    async def careless(ws: WebSocket) -> None:
        await room.join(ws)
        await ws.receive()

    client, other = await way.connect(router, "/"), await way.connect(router, "/")
    client.disconnect(1000)
    assert await client.ended() is None
    assert len(room) == 2
    await room.broadcast("x")
    assert other.wire == [101, "x"]
    assert counters(room, "members", "sent", "dropped") == (1, 1, 1)
    assert caplog.messages == []


@both_ways
async def test_members_whose_server_fails(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    room = Room("broken")
    router = listeners(room)
    client, other = await way.connect(router, "/"), await way.connect(router, "/")

    async def fail(event: Any) -> None:
        raise ValueError("a server with a bug")

    room.connections[0]._send = fail
    await room.broadcast("x")
    assert (client.wire, other.wire) == ([101], [101, "x"])
    assert len(room) == 1
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("autobahnlike.app", logging.ERROR)
    assert record.getMessage() == "room 'broken': a member was removed, as nothing can be sent to it"


@both_ways
async def test_slow_members_whose_server_fails(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    room = Room("broken", policy="disconnect", limit=1)
    (slow,) = await joined(way, room, 1)
    (ws,) = room.connections
    slow.hold_sends()
    for text in ("on its way", "queued"):
        await room.broadcast(text)
        await way.settle()
    send = ws._send

    async def fail(event: Any) -> None:
        raise ValueError("a server with a bug")

    ws._send = fail
    await room.broadcast("too much")
    await way.settle()
    ws._send = send
    assert caplog.messages == ["room 'broken': a member could not be closed with 1013 (too slow)"]
    assert counters(room, "members", "disconnected") == (0, 1)
    await room.leave(ws)


class Preparer:
    """What a server offers to make the frame of a broadcast once."""

    def __init__(self) -> None:
        self.prepared: list[Any] = []

    def prepare(self, message: str | bytes) -> str:
        self.prepared.append(message)
        return f"prepared {message!r}"


@both_ways
async def test_servers_that_prepare_messages(way: Way) -> None:
    room = Room()
    one, other = Preparer(), Preparer()
    scopes: list[dict[str, Any]] = [{"autobahnlike.broadcast": one}] * 2 + [{"autobahnlike.broadcast": other}, {}]
    clients = [(await joined(way, room, 1, extensions=scope))[0] for scope in scopes]
    await room.broadcast("text")
    await room.broadcast(b"bytes")
    assert one.prepared == other.prepared == ["text", b"bytes"]
    assert clients[0].sent[1] is clients[1].sent[1]
    assert clients[0].sent[1] == {"type": "websocket.send", "text": "text", "prepared": "prepared 'text'"}
    assert clients[2].sent[2] == {"type": "websocket.send", "bytes": b"bytes", "prepared": "prepared b'bytes'"}
    assert clients[3].sent[1] == {"type": "websocket.send", "text": "text"}


@both_ways
async def test_joining_accepts(way: Way) -> None:
    room = Room()
    router = Router()

    @router.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        assert not ws.answered
        await room.join(ws)
        assert ws.answered

    talk = await way.talk(router, "/")
    assert (talk.wire, talk.error) == ([101, ("close", 1000)], None)


def test_what_runs_nowhere_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "twisted.internet.defer")

    async def work() -> None: ...

    with pytest.raises(RuntimeError, match=r"neither by a task of asyncio nor by a Deferred of Twisted"):
        start(work())
