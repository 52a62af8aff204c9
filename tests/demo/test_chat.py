"""The chat room of ``autobahnlike demo``, in memory, driven by asyncio and by Twisted alone."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from autobahnlike.app import create_client
from autobahnlike.app.providers import STORE
from tests.app.harness import Client, Way, both_ways

Json = dict[str, Any]


class Clock:
    """What the chat has for the module ``time``: it stands unless it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def chat() -> Iterator[ModuleType]:
    """The module as in a new process, without the providers of others."""
    earlier = dict(STORE.providers)
    STORE.clear()
    module = importlib.reload(importlib.import_module("autobahnlike.demo.chat"))
    yield module
    STORE.clear()
    STORE.providers.update(earlier)


@pytest.fixture
def clock(chat: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(chat, "time", clock)
    return clock


def key_of(number: int) -> str:
    return f"{number:032x}"


def say(client: Client, text: str) -> None:
    client.send(json.dumps({"type": "message", "text": text}))


def seen(client: Client, kind: str | None = None) -> list[Json]:
    """The messages that a client has got, of one type or of all."""
    messages = [json.loads(each) for each in client.wire if isinstance(each, str)]
    return [each for each in messages if kind in (None, each["type"])]


def texts(client: Client) -> list[str]:
    return [each["text"] for each in seen(client, "message")]


def here(client: Client) -> list[str]:
    """The names of those who are here, as a client was told last."""
    return [person["user"] for person in seen(client, "people")[-1]["people"]]


async def enter(way: Way, chat: ModuleType, user: str, key: int) -> Client:
    """Connect and say hello."""
    client = await way.connect(chat.app, "/chat")
    client.send(json.dumps({"type": "hello", "user": user, "key": key_of(key)}))
    await way.settle()
    return client


async def leave(*clients: Client) -> None:
    """Close, and wait for the end of the views, in which nothing may have gone wrong."""
    for client in clients:
        client.disconnect(1001)
        assert await client.ended() is None


@both_ways
async def test_everybody_hears_what_anybody_says(way: Way, chat: ModuleType, clock: Clock) -> None:
    ann, bob = await enter(way, chat, "Ann", 1), await enter(way, chat, "Bob", 2)
    say(ann, "Hi!")
    say(bob, "  Hello, <b>Ann</b>\n")
    await way.settle()
    first, second = seen(ann, "message")
    assert seen(bob, "message") == [first, second]
    assert (first["user"], first["text"], first["number"]) == ("Ann", "Hi!", 1)
    assert (second["user"], second["text"], second["number"]) == ("Bob", "Hello, <b>Ann</b>", 2)
    assert first["at"] == clock.now
    await leave(ann, bob)


@both_ways
async def test_each_is_told_which_messages_are_its_own(way: Way, chat: ModuleType) -> None:
    ann, other = await enter(way, chat, "Ann", 1), await enter(way, chat, "Ann", 2)
    say(ann, "I am Ann")
    say(other, "So am I")
    await way.settle()
    mine, hers = seen(ann, "welcome")[0]["you"], seen(other, "welcome")[0]["you"]
    assert [each["from"] for each in seen(ann, "message")] == [mine, hers]
    assert mine != hers
    assert here(ann) == ["Ann", "Ann"]
    await leave(ann, other)


@both_ways
async def test_who_comes_back_is_the_same_and_the_key_stays_secret(way: Way, chat: ModuleType) -> None:
    ann, bob = await enter(way, chat, "Ann", 1), await enter(way, chat, "Bob", 2)
    say(ann, "Hi!")
    await way.settle()
    await leave(ann)
    again = await enter(way, chat, "Anna", 1)
    welcome = seen(again, "welcome")[0]
    assert welcome["you"] == seen(ann, "welcome")[0]["you"] == welcome["history"][0]["from"]
    assert key_of(1) not in "".join(each for each in bob.wire if isinstance(each, str))
    await leave(again, bob)


@both_ways
async def test_who_comes_sees_what_was_said_last(way: Way, chat: ModuleType, clock: Clock) -> None:
    ann = await enter(way, chat, "Ann", 1)
    assert seen(ann, "welcome")[0]["history"] == []
    for number in range(chat.KEPT_MESSAGES + 3):
        clock.now += chat.BUDGET_SECONDS
        say(ann, str(number))
        await way.settle()
    bob = await enter(way, chat, "Bob", 2)
    history = seen(bob, "welcome")[0]["history"]
    assert [each["text"] for each in history] == [str(number) for number in range(3, chat.KEPT_MESSAGES + 3)]
    assert history == seen(ann, "message")[3:]
    assert texts(bob) == []
    await leave(ann, bob)


@both_ways
async def test_everybody_sees_who_comes_changes_the_name_and_goes(way: Way, chat: ModuleType) -> None:
    ann = await enter(way, chat, "Ann", 1)
    assert here(ann) == ["Ann"]
    bob, eve = await enter(way, chat, "Bob", 2), await enter(way, chat, "Eve", 3)
    assert here(ann) == here(bob) == here(eve) == ["Ann", "Bob", "Eve"]
    ann.send(json.dumps({"type": "hello", "user": "Bob", "key": key_of(1)}))
    await way.settle()
    # She takes a name that is in use, and comes after the one who has it.
    assert here(bob) == ["Bob", "Eve", "Bob"]
    assert len(seen(ann, "welcome")) == 1
    bob.disconnect(1006)
    await bob.ended()
    assert here(ann) == here(eve) == ["Eve", "Bob"]
    await leave(ann, eve)
    assert bob.error is None


@both_ways
async def test_a_lost_connection_and_the_new_one_are_one_person(way: Way, chat: ModuleType) -> None:
    lost, bob = await enter(way, chat, "Ann", 1), await enter(way, chat, "Bob", 2)
    again = await enter(way, chat, "Ann", 1)
    assert here(bob) == ["Ann", "Bob"]
    await leave(lost)
    assert sorted(here(bob)) == ["Ann", "Bob"]
    await leave(again, bob)


@both_ways
async def test_who_says_no_hello_is_not_here(way: Way, chat: ModuleType) -> None:
    ann = await enter(way, chat, "Ann", 1)
    silent = await way.connect(chat.app, "/chat")
    say(ann, "Hi!")
    await way.settle()
    await leave(silent)
    assert silent.wire == [101]
    assert len(seen(ann, "people")) == 1
    await leave(ann)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("  Ann \t of\nBath ", "Ann of Bath"),
        ("x" * 31, "x" * 30),
        (" \u2003 ", "Anonymous"),
        ("", "Anonymous"),
        ("<img onerror>", "<img onerror>"),
        ("\ud800", "\ud800"),
    ],
)
@both_ways
async def test_names(way: Way, chat: ModuleType, given: str, shown: str) -> None:
    ann = await enter(way, chat, given, 1)
    assert here(ann) == [shown]
    await leave(ann)


RUBBISH: list[str | bytes] = [
    "hello",
    "",
    b'{"type": "message", "text": "binary"}',
    "[" * 100_000,
    "[]",
    "null",
    '"message"',
    "{}",
    '{"type": "people", "people": []}',
    '{"type": "hello", "user": "Ann"}',
    json.dumps({"type": "hello", "user": 1, "key": key_of(1)}),
    '{"type": "hello", "user": "Ann", "key": "short"}',
    '{"type": "message"}',
    '{"type": "message", "text": 5}',
    '{"type": "message", "text": " "}',
    json.dumps({"type": "message", "text": "x" * 2001}),
]


@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda rubbish: str(rubbish)[:40] or "nothing")
@both_ways
async def test_rubbish_is_a_violation_of_the_policy(way: Way, chat: ModuleType, rubbish: str | bytes) -> None:
    ann, bob = await enter(way, chat, "Ann", 1), await enter(way, chat, "Bob", 2)
    ann.send(rubbish)
    assert await ann.ended() is None
    assert ann.wire[-1] == ("close", 1008)
    assert here(bob) == ["Bob"]
    assert texts(bob) == []
    await leave(bob)


@both_ways
async def test_a_message_comes_after_hello(way: Way, chat: ModuleType) -> None:
    ann = await way.connect(chat.app, "/chat")
    say(ann, "Hi!")
    assert await ann.ended() is None
    assert ann.wire == [101, ("close", 1008)]


@both_ways
async def test_the_longest_text_is_taken(way: Way, chat: ModuleType) -> None:
    ann = await enter(way, chat, "Ann", 1)
    say(ann, "é" * chat.LONGEST_TEXT)
    await way.settle()
    assert texts(ann) == ["é" * chat.LONGEST_TEXT]
    await leave(ann)


@both_ways
async def test_who_writes_too_fast_is_asked_to_wait(way: Way, chat: ModuleType, clock: Clock) -> None:
    ann, bob = await enter(way, chat, "Ann", 1), await enter(way, chat, "Bob", 2)
    # The hello counts too.
    for number in range(chat.BUDGET + 1):
        say(ann, str(number))
    await way.settle()
    taken = [str(number) for number in range(chat.BUDGET - 1)]
    assert texts(bob) == texts(ann) == taken
    refused = seen(ann, "refused")
    assert [each["text"] for each in refused] == [str(chat.BUDGET - 1), str(chat.BUDGET)]
    assert "wait" in refused[0]["reason"]
    assert seen(bob, "refused") == []
    # It is nobody else's budget, and there is a new one soon.
    say(bob, "Slowly!")
    clock.now += chat.BUDGET_SECONDS
    say(ann, "All right")
    await way.settle()
    assert texts(bob) == texts(ann) == [*taken, "Slowly!", "All right"]
    await leave(ann, bob)


@both_ways
async def test_names_cannot_be_changed_without_end(way: Way, chat: ModuleType, clock: Clock) -> None:
    ann, bob = await enter(way, chat, "Ann", 1), await enter(way, chat, "Bob", 2)
    for number in range(20):
        ann.send(json.dumps({"type": "hello", "user": f"Ann {number}", "key": key_of(1)}))
    await way.settle()
    # When he came, and for each change.
    assert len(seen(bob, "people")) == 1 + chat.BUDGET - 1
    assert len(seen(ann, "refused")) == 20 - (chat.BUDGET - 1)
    await leave(ann, bob)


@both_ways
async def test_who_does_not_keep_up_is_cut_off_and_holds_up_nobody(way: Way, chat: ModuleType, clock: Clock) -> None:
    ann, slow = await enter(way, chat, "Ann", 1), await enter(way, chat, "Slow", 2)
    slow.hold_sends()
    said = [str(number) for number in range(chat.KEPT_MESSAGES - 10)]
    for text in said:
        clock.now += chat.BUDGET_SECONDS
        say(ann, text)
        await way.settle()
    assert texts(ann) == said
    slow.release_sends()
    assert await slow.ended() is None
    assert slow.wire[-1] == ("close", 1013)
    assert here(ann) == ["Ann"]
    again = await enter(way, chat, "Slow", 2)
    assert [each["text"] for each in seen(again, "welcome")[0]["history"]] == said
    await leave(ann, again)


@both_ways
async def test_a_full_room(way: Way, chat: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "MOST_CLIENTS", 2)
    ann, bob = await enter(way, chat, "Ann", 1), await enter(way, chat, "Bob", 2)
    eve = await way.connect(chat.app, "/chat")
    assert await eve.ended() is None
    assert eve.sent[-1] == {"type": "websocket.close", "code": 1013, "reason": "the room is full"}
    assert len(seen(ann, "people")) == 2
    await leave(bob)
    eve = await enter(way, chat, "Eve", 3)
    assert here(ann) == ["Ann", "Eve"]
    await leave(ann, eve)


@both_ways
async def test_the_page_allows_nothing_but_its_own_files(way: Way, chat: ModuleType) -> None:
    page = await way.request(chat.app, "/")
    assert page.status == 200
    assert page.header("content-type") == "text/html"
    assert page.header("x-content-type-options") == "nosniff"
    policy = page.header("content-security-policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?! src=)|<style|\son\w+=|style=|javascript:", page.text)
    assert f'maxlength="{chat.LONGEST_NAME}"' in page.text
    assert f'maxlength="{chat.LONGEST_TEXT}"' in page.text
    files = re.findall(r'(?:src|href)="(static/[^"]+)"', page.text)
    assert len(files) == 2
    for name in files:
        file = await way.request(chat.app, f"/{name}")
        assert file.status == 200
        assert (file.header("content-type") or "").startswith(("text/css", "text/javascript"))
        assert file.header("x-content-type-options") == "nosniff"


@both_ways
async def test_pages_of_others_may_not_connect(way: Way, chat: ModuleType) -> None:
    stranger = await way.connect(chat.app, "/chat", headers={"host": "chat.test", "origin": "https://evil.test"})
    assert stranger.wire == [403]


def test_with_the_test_client(chat: ModuleType) -> None:
    with create_client(chat.app) as client:
        assert "<h1>Chat room</h1>" in client.get("/").text
        with client.websocket_connect("/chat") as ann:
            ann.send_json({"type": "hello", "user": "Ann", "key": key_of(1)})
            assert ann.receive_json()["type"] == "welcome"
            assert ann.receive_json()["people"][0]["user"] == "Ann"
            ann.send_json({"type": "message", "text": "Hi!"})
            assert ann.receive_json()["text"] == "Hi!"
