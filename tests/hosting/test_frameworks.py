"""Starlette's and FastAPI's applications on our server, on each loop that has asyncio; and what is said elsewhere."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.cli.process import Process
from tests.hosting.peer import PATIENCE, World
from tests.hosting.serving import ASYNCIO_LOOPS, served

APPLICATIONS = "tests.hosting.applications"


@pytest.fixture(scope="module", params=ASYNCIO_LOOPS)
def fastapi(request: pytest.FixtureRequest) -> Iterator[str]:
    with served(f"{APPLICATIONS}.fastapi_tour:app", request.param) as (process, url):
        yield url
        stop(process)


@pytest.fixture(scope="module", params=ASYNCIO_LOOPS)
def starlette(request: pytest.FixtureRequest) -> Iterator[str]:
    with served(f"{APPLICATIONS}.starlette_tour:app", request.param) as (process, url):
        yield url
        stop(process)


def stop(process: Process) -> None:
    """End it as Ctrl-C does: the application is told so before the process ends."""
    process.popen.send_signal(signal.SIGINT)
    process.out.expect("shutdown")
    assert process.status() == 0


@asynccontextmanager
async def websocket(url: str, path: str, **options: Any) -> AsyncIterator[ClientConnection]:
    async with asyncio.timeout(PATIENCE), connect(url.replace("http", "ws", 1).rstrip("/") + path, **options) as client:
        yield client


async def refusal(url: str, path: str) -> Any:
    """Connect in vain, and return the response."""
    with pytest.raises(InvalidStatus) as caught:
        async with websocket(url, path):
            pass
    return caught.value.response


async def end_of(client: ClientConnection) -> tuple[int, str]:
    """Wait until the server closes, and return code and reason."""
    await client.wait_closed()
    assert client.close_code is not None
    return client.close_code, client.close_reason or ""


# -- FastAPI


def test_fastapi_echo(fastapi: str) -> None:
    async def run() -> None:
        async with websocket(fastapi, "/ws") as client:
            for text in ("hello", "", "é" * 100_000):
                await client.send(text)
                assert await client.recv() == f"Message text was: {text}"

    asyncio.run(run())


def test_fastapi_dependencies(fastapi: str) -> None:
    async def run() -> None:
        async with websocket(fastapi, "/items/foo/ws?token=key&q=3") as client:
            await client.send("m")
            assert [await client.recv() for _ in range(3)] == [
                "Session cookie or query token value is: key",
                "Query parameter q is: 3",
                "Message text was: m, for item ID: foo",
            ]
        async with websocket(fastapi, "/items/bar/ws", additional_headers={"Cookie": "session=s"}) as client:
            await client.send("m")
            assert await client.recv() == "Session cookie or query token value is: s"
        for path in ("/items/foo/ws", "/items/foo/ws?token=key&q=x", "/nowhere"):
            assert (await refusal(fastapi, path)).status_code == 403

    asyncio.run(run())


def test_fastapi_chat(fastapi: str) -> None:
    async def run() -> None:
        async with websocket(fastapi, "/chat/1") as one:
            async with websocket(fastapi, "/chat/2") as two:
                await two.send("hi")
                assert [await two.recv(), await two.recv()] == ["You wrote: hi", "Client #2 says: hi"]
                assert await one.recv() == "Client #2 says: hi"
            assert await one.recv() == "Client #2 left the chat"
            async with websocket(fastapi, "/chat/3") as three:
                # Not closed: the connection is lost.
                three.transport.abort()
                assert await one.recv() == "Client #3 left the chat"

    asyncio.run(run())


def test_fastapi_tasks_beside_each_other(fastapi: str) -> None:
    async def run() -> None:
        async with websocket(fastapi, "/ticks") as client:
            assert [await client.recv() for _ in range(20)] == [f"tick {number}" for number in range(20)]
            await client.send("stop")
            assert await end_of(client) == (4000, "stopped")

    asyncio.run(run())


def test_fastapi_http(fastapi: str) -> None:
    async def run() -> None:
        world = World(fastapi)
        status, fields, body = await world.http("/")
        assert (status, fields["content-type"]) == (200, "text/html; charset=utf-8")
        assert b"<title>Chat</title>" in body
        item = json.dumps({"name": "n", "price": 1.5}).encode()
        status, _, body = await world.http("/items", "POST", ("Content-Type", "application/json"), body=item)
        assert (status, json.loads(body)) == (200, {"name": "n", "price": 1.5})
        status, _, body = await world.http("/items", "POST", ("Content-Type", "application/json"), body=b"{}")
        assert status == 422
        status, _, body = await world.http("/in_thread")
        assert (status, json.loads(body)["journal"][0]) == (200, "startup")
        status, _, body = await world.http("/in_thread")
        assert "background" in json.loads(body)["journal"]
        status, fields, body = await world.http("/stream")
        assert (status, body) == (200, b"0\n1\n2\n3\n4\n")
        status, fields, body = await world.http("/static/style.css", "GET", ("Accept-Encoding", "gzip"))
        assert (status, fields["content-encoding"]) == (200, "gzip")
        assert gzip.decompress(body).startswith(b"body {")
        status, fields, _ = await world.http("/static/style.css", "GET", ("If-None-Match", fields["etag"]))
        assert status == 304
        status, _, body = await world.http("/openapi.json")
        assert (status, "/items" in json.loads(body)["paths"]) == (200, True)

    asyncio.run(run())


# -- Starlette


def test_starlette_endpoint(starlette: str) -> None:
    async def run() -> None:
        async with websocket(starlette, "/echo") as client:
            assert client.response is not None
            assert client.response.headers["x-greeting"] == "hello from the lifespan"
            await client.send('{"a": [1, null]}')
            assert json.loads(await client.recv()) == {"data": {"a": [1, None]}}
            await client.close(4005)
        async with websocket(starlette, "/echo") as client:
            await client.send("not JSON")
            assert await end_of(client) == (1003, "")
        world = World(starlette)
        async with asyncio.timeout(PATIENCE):
            while "disconnected 4005" not in json.loads((await world.http("/background"))[2]):
                pass

    asyncio.run(run())


def test_starlette_route(starlette: str) -> None:
    async def run() -> None:
        async with websocket(starlette, "/plain", subprotocols=["a", "b"]) as client:
            assert client.subprotocol == "a"
            for number in range(50):
                await client.send(str(number))
            assert [await client.recv() for _ in range(50)] == [str(number) for number in range(50)]
        async with websocket(starlette, "/reasoned") as client:
            assert await client.recv() == b"\0\xff"
            assert await end_of(client) == (4001, "enough é")
        async with websocket(starlette, "/failing") as client:
            assert await end_of(client) == (1011, "")
        async with websocket(starlette, "/impatient") as client:
            assert [await client.recv() for _ in range(3)] == ["too late"] * 3
            await client.send("not lost")
            assert await client.recv() == "not lost"
            assert await end_of(client) == (1000, "")

    asyncio.run(run())


def test_starlette_refuses(starlette: str) -> None:
    async def run() -> None:
        assert (await refusal(starlette, "/refused")).status_code == 403
        assert (await refusal(starlette, "/nowhere")).status_code == 403
        response = await refusal(starlette, "/denied")
        assert (response.status_code, response.headers["x-why"]) == (418, "no")
        assert json.loads(response.body) == {"why": "no"}

    asyncio.run(run())


def test_starlette_http(starlette: str) -> None:
    async def run() -> None:
        world = World(starlette)
        status, fields, body = await world.http("/")
        assert (status, body, fields["x-stamp"]) == (200, b"hello from the lifespan, /", "stamped")
        status, _, body = await world.http("/", "POST", body=b"x" * 300_000)
        assert (status, json.loads(body)) == (200, {"size": 300_000})
        assert (await world.http("/", "PUT"))[0] == 405
        status, _, body = await world.http("/stream")
        assert (status, body) == (200, b"".join(b"%d " % number * 100 for number in range(100)))
        await world.http("/background")
        status, _, body = await world.http("/background")
        assert "background" in json.loads(body)
        status, fields, body = await world.http("/file")
        assert (status, fields["content-length"], len(body)) == (200, str(len(body)), 2200)
        status, fields, body = await world.http("/file", "GET", ("Range", "bytes=0-3"))
        assert (status, body) == (206, b"body")
        status, fields, body = await world.http("/file", "HEAD")
        assert (status, body) == (200, b"")
        assert (await world.http("/static/style.css"))[2].startswith(b"body")
        assert (await world.http("/static/../starlette_tour.py"))[0] == 404
        assert (await world.http("/thread"))[2] == b"from a thread"

    asyncio.run(run())


# -- On a reactor without asyncio


def test_on_a_reactor_without_asyncio_the_log_says_what_to_do() -> None:
    async def run(url: str) -> None:
        world = World(url)
        # What needs no asyncio works.
        assert (await world.http("/"))[0] == 200
        assert (await world.http("/in_thread"))[0] == 500
        async with websocket(url, "/ticks") as client:
            assert await end_of(client) == (1011, "")

    with served(f"{APPLICATIONS}.fastapi_tour:app", "twisted") as (process, url):
        asyncio.run(run(url))
        process.err.expect(r"the application uses asyncio(?s:.*)--loop twisted-asyncio")
        stop(process)
