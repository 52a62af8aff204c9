"""python-socketio on our server, stand-alone and mounted in an application of ours, with a real client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import socketio  # type: ignore[import-untyped]
from websockets.asyncio.client import connect

from tests.hosting.peer import PATIENCE, World
from tests.hosting.serving import ASYNCIO_LOOPS, served


@pytest.fixture(scope="module", params=ASYNCIO_LOOPS)
def alone(request: pytest.FixtureRequest) -> Iterator[str]:
    with served("tests.hosting.applications.socketio_tour:alone", request.param) as (_, url):
        yield url


@pytest.fixture(scope="module", params=ASYNCIO_LOOPS)
def mounted(request: pytest.FixtureRequest) -> Iterator[str]:
    with served("tests.hosting.applications.socketio_tour:app", request.param) as (_, url):
        yield url


async def converse(url: str, transport: str, path: str) -> Any:
    """Connect a client, ask something, and check what comes back; returns what the server said first."""
    loop = asyncio.get_running_loop()
    welcome, asked = loop.create_future(), loop.create_future()
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
        client = socketio.AsyncClient(reconnection=False, http_session=session)
        client.on("welcome", welcome.set_result)
        client.on("asked", asked.set_result)
        await client.connect(url, transports=[transport], socketio_path=path)
        assert client.transport() == transport
        assert await client.call("ask", {"n": 1}) == ["answer", {"n": 1}]
        assert await asked == {"n": 1}
        first = await welcome
        if transport == "websocket":
            # That of a client which polls waits for an answer to its last poll, whatever the server.
            await client.disconnect()
    return first


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_alone(alone: str, transport: str) -> None:
    assert asyncio.run(converse(alone, transport, "socket.io")) == {"path": "/socket.io/"}


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_mounted_in_an_application_of_ours(mounted: str, transport: str) -> None:
    assert asyncio.run(converse(mounted, transport, "sio")) == {"path": "/"}


def test_beside_views_of_ours(mounted: str) -> None:
    async def run() -> None:
        assert (await World(mounted).http("/page"))[2] == b"page"
        async with asyncio.timeout(PATIENCE), connect(mounted.replace("http", "ws") + "echo") as client:
            await client.send("hi")
            assert await client.recv() == "hi"

    asyncio.run(run())
