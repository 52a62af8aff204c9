"""An application of ours on the servers of others: the same is seen as on ours, but for what they cannot do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.hosting.peer import PATIENCE, World
from tests.hosting.servers import COMMANDS, serving_with

Scenario = Callable[[World], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


def say(name: str, target: str, *messages: str, headers: tuple[tuple[str, str], ...] = (), offer: str = "") -> None:
    """Register a scenario: connect, say something, and look until the end."""

    async def play(world: World) -> None:
        peer = await world.connect(target, headers=headers, subprotocols=offer)
        for message in messages:
            peer.text(message)
        await peer.rest()

    SCENARIOS[name] = play


say("rejected", "/api_key", headers=(("API-Key", "wrong"),))
say("let in", "/api_key", headers=(("API-Key", "s3kr3t"),))
say("no route", "/nowhere")
say("parameters", "/item/1.5?limit=7&x=%C3%A9")
say("parameter is invalid", "/item/foo")
say("query is invalid", "/item/1?limit=foo")
say("subprotocol", "/subprotocol", offer="a, b")
for code in (1000, 1001, 1003, 1008, 1011, 3000, 4999):
    say(f"close {code}", f"/close/{code}")
say("close with a reason", "/close/4000?reason=enough+%C3%A9")
say("illegal close code", "/close/1005")
say("returns", "/returns")
say("fails", "/fail")
say("fails before it accepts", "/fail_unaccepted")
say("neither accepts nor rejects", "/neither")
say("denies", "/denied")
say("providers", "/providers/Ann")
say("page of another origin", "/returns", headers=(("Origin", "http://evil.example"),))


@scenario
async def echo(world: World) -> None:
    peer = await world.connect("/echo")
    for text in ("hi", "é" * 1000, "again"):
        peer.text(text)
        await peer.see()
    await peer.close(1000)


@scenario
async def empty_message(world: World) -> None:
    peer = await world.connect("/echo")
    peer.text("")
    peer.text("behind it")
    while peer.is_open and "behind it" not in world.seen[-1]:
        await peer.see()
    await peer.close(1000)


@scenario
async def binary(world: World) -> None:
    peer = await world.connect("/binary")
    peer.binary(b"\0\xff")
    await peer.rest()


@scenario
async def own_origin(world: World) -> None:
    peer = await world.connect("/returns", headers=[("Origin", f"http://{world.host}:{world.port}")])
    await peer.rest()


def leave(code: int | None) -> Scenario:
    async def play(world: World) -> None:
        peer = await world.connect("/echo")
        await peer.close(code)
        del world.seen[1:]
        await find_out(world, "disconnect")

    return play


for code in (1000, 4000):
    SCENARIOS[f"client closes {code}"] = leave(code)
SCENARIOS["client closes without a code"] = leave(None)


@scenario
async def client_drops(world: World) -> None:
    peer = await world.connect("/echo")
    await peer.drop()
    await find_out(world, "disconnect")


@scenario
async def chat(world: World) -> None:
    ann = await world.connect("/chat", name="ann")
    await ann.see()
    ben = await world.connect("/chat", name="ben")
    await ben.see()
    ann.text('{"text": "hi"}')
    await ann.see()
    await ben.see()
    await ben.drop()
    await find_out(world, "left")
    ann.text('"alone"')
    await ann.see()
    ann.text("no JSON")
    await ann.rest()


@scenario
async def http(world: World) -> None:
    for method, target, body in (("GET", "/", b""), ("POST", "/body", b"x" * 100_000), ("GET", "/nowhere", b"")):
        status, fields, content = await world.http(target, method, body=body)
        world.seen.append(f"HTTP {status} {fields['content-type']} {content.decode()}")


async def find_out(world: World, what: str) -> None:
    """Wait until the application has noted something, and note it too."""
    found: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while not found:
            found = [line for line in json.loads((await world.http("/journal"))[2]) if line.startswith(what)]
    world.seen += found


async def play_all(server: str, url: str) -> dict[str, list[str]]:
    """What is seen in each scenario."""
    seen = {}
    for name, play in SCENARIOS.items():
        if (server, name) in WAITS_FOREVER:
            continue
        world = World(url)
        await world.http("/forget")
        try:
            await play(world)
        except TimeoutError:
            world.seen.append("hangs")
        finally:
            await world.leave()
        seen[name] = world.seen
    return seen


EXPECTED: dict[str, list[str]] = {
    "rejected": ["HTTP 403"],
    "let in": ["101", "text 'authorized'", "close 1000", "end"],
    "no route": ["HTTP 403"],
    "parameters": ["101", "text '1 7 /item/1.5 é'", "close 1000", "end"],
    "parameter is invalid": ["HTTP 403"],
    "query is invalid": ["HTTP 403"],
    "subprotocol": ["101 b", "text 'open'", "close 1000", "end"],
    "close 1000": ["101", "close 1000", "end"],
    "close 1001": ["101", "close 1001", "end"],
    "close 1003": ["101", "close 1003", "end"],
    "close 1008": ["101", "close 1008", "end"],
    "close 1011": ["101", "close 1011", "end"],
    "close 3000": ["101", "close 3000", "end"],
    "close 4999": ["101", "close 4999", "end"],
    "close with a reason": ["101", "close 4000 enough é", "end"],
    "illegal close code": ["101", "close 1011", "end"],
    "returns": ["101", "close 1000", "end"],
    "fails": ["101", "text 'hello'", "close 1011", "end"],
    "fails before it accepts": ["HTTP 403"],
    "neither accepts nor rejects": ["HTTP 500"],
    "denies": ["HTTP 418"],
    "providers": ["101", "text 'hello Ann 1'", "close 1000", "end"],
    "page of another origin": ["HTTP 403"],
    "echo": ["101", "text 'hi'", "text of 1000 characters", "text 'again'", "close 1000", "end"],
    "empty_message": ["101", "text ''", "text 'behind it'", "close 1000", "end"],
    "binary": ["101", "binary b'\\x00\\xff'", "close 1000", "end"],
    "own_origin": ["101", "close 1000", "end"],
    "client closes 1000": ["101", "disconnect 1000"],
    "client closes 4000": ["101", "disconnect 4000"],
    "client closes without a code": ["101", "disconnect 1005"],
    "client_drops": ["101", "disconnect 1006"],
    "chat": [
        "ann: 101",
        "ann: text '{\"people\": 1}'",
        "ben: 101",
        "ben: text '{\"people\": 2}'",
        'ann: text \'{"said": {"text": "hi"}}\'',
        'ben: text \'{"said": {"text": "hi"}}\'',
        "left",
        'ann: text \'{"said": "alone"}\'',
        "ann: close 1011",
        "ann: end",
    ],
    "http": [
        "HTTP 200 text/html <h1>Hello</h1>",
        'HTTP 200 application/json {"size": 100000}',
        'HTTP 404 application/json {"error": "404 Not Found", "status": 404}',
    ],
}
"""What is seen in each scenario."""

# What other servers do differently, and why that is theirs: reason, and what is seen.
CANNOT: dict[str, dict[str, tuple[str, list[str]]]] = {
    **{
        f"uvicorn {ws}": {
            "client_drops": ("it takes a lost connection for one without a code", ["101", "disconnect 1005"])
        }
        for ws in ("websockets-sansio", "wsproto")
    },
    "hypercorn": {
        f"client closes {how}": ("it does not tell codes of the client", ["101", "disconnect 1006"])
        for how in ("1000", "4000", "without a code")
    },
    "daphne": {
        **{
            f"close {code}": ("it closes with 1000 and with codes from 3000 on only", ["101", "close 1011", "end"])
            for code in (1001, 1003, 1008)
        },
        "close with a reason": ("it sends no reasons", ["101", "close 4000", "end"]),
        "empty_message": ("it does not send empty messages", ["101", "text 'behind it'", "close 1000", "end"]),
    },
}

WAITS_FOREVER = {("daphne", "denies")}
"""It has no responses that deny, and ignores them."""

OURS = ("asyncio", "uvloop", "twisted", "twisted-asyncio")
OTHERS = tuple(name for name in COMMANDS if name not in OURS)


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, dict[str, list[str]]]]:
    async def run(urls: dict[str, str]) -> list[dict[str, list[str]]]:
        return await asyncio.gather(*(play_all(server, url) for server, url in urls.items()))

    with serving_with(list(COMMANDS), "tests.hosting.applications.own:app") as urls:
        yield dict(zip(urls, asyncio.run(run(urls)), strict=True))


@pytest.mark.parametrize("server", OURS)
def test_on_our_loops(seen: dict[str, dict[str, list[str]]], server: str) -> None:
    assert seen[server] == EXPECTED


@pytest.mark.parametrize("server", OTHERS)
def test_on_other_servers(seen: dict[str, dict[str, list[str]]], server: str) -> None:
    excused = CANNOT.get(server, {})
    differing = {name: texts for name, texts in seen[server].items() if texts != EXPECTED[name]}
    assert differing == {name: texts for name, (_, texts) in excused.items()}
