"""Who does not keep up stops who sends, through ``App`` and our server, in bounded memory, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cli.process import LOOPS
from tests.hosting.applications.pressure import BLOCK, BLOCKS
from tests.hosting.peer import PATIENCE, World
from tests.hosting.serving import served
from tests.wire.helpers import BINARY, CLOSE, KEY, MASK, frame

# What may be under way: the buffers of the kernel at both ends, which grow with what they see, and ours.
BOUND = 24 * 1048576
# Less than there is to be sent.
MEMORY = 32 * 1048576

PIECE = len(frame(BINARY, bytes(4) + BLOCK))


@pytest.fixture(scope="module", params=LOOPS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with served("tests.hosting.applications.pressure:app", request.param) as (_, url):
        yield url


@pytest.fixture
def url(server: str) -> str:
    asyncio.run(World(server).http("/reset"))
    return server


def state_of(url: str) -> Any:
    return json.loads(asyncio.run(World(url).http("/state"))[2])


def wait_until(url: str, condition: Any) -> Any:
    """Ask the application for its state until that is as wanted."""
    deadline = time.monotonic() + 2 * PATIENCE
    while not condition(state := state_of(url)):
        assert time.monotonic() < deadline, state
        time.sleep(0.01)
    return state


def connect(url: str, path: str) -> socket.socket:
    """Open a WebSocket by hand, with small buffers of the kernel."""
    parts = urlsplit(url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.settimeout(PATIENCE)
    sock.connect((parts.hostname, parts.port))
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert b" 101 " in head
    return sock


def test_a_view_that_never_reads_stops_its_client(url: str) -> None:
    with connect(url, "/never_reads") as sock:
        assert len(sock.recv(6)) == 6
        before = state_of(url)["memory"]
        # Until nothing is taken for a second.
        sock.settimeout(1.0)
        sent = 0
        message = b""
        try:
            while sent < BLOCKS:
                message = frame(BINARY, sent.to_bytes(4, "big") + BLOCK, mask=bytes(4))
                while message:
                    message = message[sock.send(message) :]
                sent += 1
        except TimeoutError:
            pass
        assert sent * PIECE < BOUND
        stopped = state_of(url)
        assert stopped["received"] == 0
        assert stopped["memory"] - before < MEMORY
        # The view reads after all: everything is there, in order.
        asyncio.run(World(url).http("/open"))
        sock.settimeout(PATIENCE)
        sock.sendall(message)
        wait_until(url, lambda state: state["received"] == sent + 1)
        sock.sendall(frame(CLOSE, b"\x03\xe8", mask=MASK))
        assert sock.recv(4) == frame(CLOSE, b"\x03\xe8")


def test_a_client_that_never_reads_suspends_its_view(url: str) -> None:
    with connect(url, "/never_stops") as sock:
        before = state_of(url)["memory"]
        # Until nothing is sent for a second.
        last, count = -1, wait_until(url, lambda state: state["sent"] > 0)["sent"]
        while count != last:
            time.sleep(1.0)
            last, count = count, state_of(url)["sent"]
        assert count * PIECE < BOUND
        assert state_of(url)["memory"] - before < MEMORY
        # The client reads after all: everything is there, in order.
        with sock.makefile("rb") as stream:
            for number in range(BLOCKS):
                assert stream.read(PIECE) == frame(BINARY, number.to_bytes(4, "big") + BLOCK)
            assert stream.read(4) == frame(CLOSE, b"\x03\xe8")
        assert wait_until(url, lambda state: state["ended"])["ended"] == [BLOCKS]


def test_a_view_that_is_suspended_hears_of_the_end(url: str) -> None:
    with connect(url, "/never_stops"):
        wait_until(url, lambda state: state["sent"] > 0)
    # The client is gone without having read anything.
    ended = wait_until(url, lambda state: state["ended"])["ended"]
    assert 0 < ended[0] < BLOCKS
