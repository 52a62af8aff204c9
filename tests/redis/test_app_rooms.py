"""Rooms of applications in several processes, on different loops, on one Redis; the chat of the examples among them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.backplane.redis_server import RedisServer
from tests.cli.process import LOOPS, Process
from tests.hosting.serving import served

PATIENCE = 20.0
CHAT = Path(__file__).parents[2] / "examples" / "chat"
APPLICATION = "tests.redis.shared_rooms:app"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def serve(stack: ExitStack, redis: RedisServer, loop: str, *more: str) -> tuple[Process, str]:
    """Start a process; returns it, and where it is."""
    arguments = ("--backplane", redis.url, "--backplane-prefix", "rooms", *more)
    process, url = stack.enter_context(served(APPLICATION, loop, *arguments))
    return process, url.replace("http", "ws", 1)


def enter(stack: ExitStack, url: str, path: str = "/r") -> ClientConnection:
    """Connect, and wait until one is in the room."""
    client = stack.enter_context(connect(url.rstrip("/") + path, open_timeout=PATIENCE, close_timeout=1))
    assert received(client) == "welcome"
    return client


def received(client: ClientConnection) -> str:
    message = client.recv(PATIENCE)
    assert isinstance(message, str)
    return message


def until(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def test_all_processes_see_one_order(stack: ExitStack, redis: RedisServer) -> None:
    urls = [serve(stack, redis, loop)[1] for loop in LOOPS]
    clients = [enter(stack, url) for url in urls for _ in range(2)]
    for number in range(50):
        for name, client in zip("abcdefgh", clients, strict=True):
            client.send(f"{name}{number}")
    told = [[received(client) for _ in range(400)] for client in clients]
    assert told == [told[0]] * 8
    for name in "abcdefgh":
        assert [each for each in told[0] if each[0] == name] == [f"{name}{number}" for number in range(50)]
    # Who said it does not hear it, wherever the others are.
    for client in clients:
        client.send("!psst")
        for other in clients:
            if other is not client:
                assert received(other) == "!psst"
    clients[0].send("end")
    assert [received(client) for client in clients] == ["end"] * 8


@pytest.mark.parametrize("loop", LOOPS)
def test_a_process_that_ends_leaves_nothing(loop: str, stack: ExitStack, redis: RedisServer) -> None:
    process, url = serve(stack, redis, loop)
    clients = [enter(stack, url, f"/{number}") for number in range(3)]
    channels = redis.command("PUBSUB", "CHANNELS", "*")
    clients[0].close()
    until("the room to be left", lambda: len(redis.command("PUBSUB", "CHANNELS", "*")) == len(channels) - 1)
    process.popen.send_signal(signal.SIGTERM)
    assert process.status() == 0
    assert "Traceback" not in process.err.all()
    assert redis.command("PUBSUB", "CHANNELS", "*") == []
    assert redis.command("ZCARD", "rooms:{nodes}") == 0


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
def test_redis_is_restarted(loop: str, stack: ExitStack, redis: RedisServer) -> None:
    url = serve(stack, redis, loop)[1]
    other = serve(stack, redis, "uvloop")[1]
    one, two = enter(stack, url), enter(stack, other)
    one.send("before")
    assert (received(one), received(two)) == ("before", "before")
    redis.kill()
    # Nobody gets what cannot reach everybody, and who says it is told.
    until("Redis to be missed", lambda: ask(one, "during").startswith("not said: "))
    redis.start()
    # It has forgotten the room, and perhaps messages that nobody can name: the members begin anew.
    for client in (one, two):
        with pytest.raises(ConnectionClosed) as closed:
            # Some of what was said while it went away may have been.
            skip(client, "during")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    one, two = enter(stack, url), enter(stack, other)
    for client in (one, two):
        # Each process notices by itself.
        until("Redis to be back", lambda client=client: ask(client, "after") == "after")  # type: ignore[misc]
    one.send("last")
    assert [skip(client, "after") for client in (one, two)] == ["last", "last"]


def skip(client: ClientConnection, what: str) -> str:
    """Receive until something else comes; returns that."""
    while (message := received(client)) == what:
        pass
    return message


def ask(client: ClientConnection, message: str) -> str:
    """Say something; returns what comes of it."""
    client.send(message)
    return received(client)


def test_the_listener_is_cut_off(stack: ExitStack, redis: RedisServer) -> None:
    urls = [serve(stack, redis, loop)[1] for loop in ("asyncio", "twisted")]
    clients = [enter(stack, url) for url in urls]
    for number in range(20):
        clients[number % 2].send(str(number))
        if number % 5 == 2:
            for listener in redis.clients("listener"):
                redis.command("CLIENT", "KILL", "ID", listener)
        # What was missed is fetched: in one order, nothing twice, nothing left out.
        assert [received(client) for client in clients] == [str(number)] * 2


@pytest.mark.parametrize("loop", LOOPS)
def test_the_chat_of_the_examples(
    loop: str, stack: ExitStack, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CHAT)
    more = ("--backplane", redis.url)
    urls = [stack.enter_context(served("app:app", each, *more))[1] for each in (loop, "asyncio")]
    ann, bob = (
        stack.enter_context(connect(url.replace("http", "ws", 1).rstrip("/") + "/chat", open_timeout=PATIENCE))
        for url in urls
    )
    # Who has connected is in the room soon.
    hello = {"type": "message", "user": "Ann", "text": "Is anybody here?"}
    answers: list[Any] = []
    while not answers:
        ann.send(json.dumps(hello))
        assert json.loads(received(ann)) == hello
        try:
            answers.append(json.loads(bob.recv(0.2)))
        except TimeoutError:
            continue
    assert answers == [hello]
    reply = {"type": "message", "user": "Bob", "text": "I am!"}
    bob.send(json.dumps(reply))
    heard = [json.loads(received(client)) for client in (ann, bob)]
    while heard[1] == hello:
        heard[1] = json.loads(received(bob))
    assert heard == [reply, reply]


def test_the_chat_of_the_examples_in_workers(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHAT)
    more = ("--workers", "2", "--backplane", redis.url)
    with served("app:app", "asyncio", *more) as (_, url), ExitStack() as stack:
        target = url.replace("http", "ws", 1).rstrip("/") + "/chat"
        # Which process takes a connection is up to the kernel: with so many there are two of each.
        clients = [stack.enter_context(connect(target, open_timeout=PATIENCE)) for _ in range(12)]
        # Those that are not in the room yet may not hear it, but the one who says it always does.
        until("both processes to follow the room", lambda: follows(redis) == 2)
        said = {"type": "message", "user": "Ann", "text": "Hi!"}
        for client in clients:
            client.send(json.dumps(said))
        for client in clients:
            assert json.loads(received(client)) == said


def follows(redis: RedisServer) -> int:
    """How many processes follow rooms."""
    channels = [each for each in redis.command("PUBSUB", "CHANNELS", "*") if "chat" in each]
    return sum(redis.command("PUBSUB", "NUMSUB", *channels)[1::2]) if channels else 0
