"""Gateways in several processes, on different loops, on one Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.sync.client import ClientConnection

from tests.backplane.redis_server import RedisServer
from tests.cli.process import Process
from tests.gateway.test_served import ask, management, opened, received
from tests.hosting.serving import served

LOOPS = ("asyncio", "twisted", "uvloop")

APPLICATION = "tests.gateway.served_applications:on_redis"


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Process, str]]]:
    with RedisServer() as redis, ExitStack() as stack:
        monkeypatch.setenv("TEST_REDIS_URL", redis.url)
        yield [stack.enter_context(served(APPLICATION, loop, "--factory")) for loop in LOOPS]


def test_every_node_reaches_every_connection(nodes: list[tuple[Process, str]]) -> None:
    urls = [url for _, url in nodes]
    with ExitStack() as stack:
        clients = [stack.enter_context(opened(url)) for url in urls]
        for sender, (client, _) in enumerate(clients):
            for receiver, (other, connection_id) in enumerate(clients):
                ask(client, action="tell", whom=connection_id, what=f"from {sender} to {receiver}")
                assert received(other) == f"from {sender} to {receiver}"
                management(urls[sender]).post_to_connection(ConnectionId=connection_id, Data="outside")
                assert received(other) == "outside"
                identity = management(urls[sender]).get_connection(ConnectionId=connection_id)["Identity"]
                assert identity["SourceIp"] == "127.0.0.1"
        for client, _ in clients:
            ask(client, action="join", name="somebody")
            client.send("joined")
            skip_to(client, "joined")
        for number, (client, _) in enumerate(clients):
            ask(client, action="say", what=f"said {number}")
        # What the others said when they joined comes before.
        told = [[skip_to(client, "said"), received(client), received(client)] for client, _ in clients]
        assert sorted(told[0]) == ["said 0", "said 1", "said 2"]
        assert told == [told[0]] * 3


def skip_to(client: ClientConnection, beginning: str) -> str:
    """Receive until a message begins so; returns that."""
    while not (message := received(client)).startswith(beginning):
        pass
    return message


def test_a_node_that_is_killed(nodes: list[tuple[Process, str]]) -> None:
    (dead, dead_url), *others = nodes
    with opened(others[0][1]) as (witness, _):
        with opened(dead_url) as (_, connection_id):
            dead.popen.kill()
            # Also what Redis handed to it when it was dead already, and nobody had noticed.
            api = management(others[1][1])
            with pytest.raises(api.exceptions.GoneException):
                api.post_to_connection(ConnectionId=connection_id, Data="x")
        seen = ""
        line = f"{connection_id} disconnects 1006"
        while line not in seen:
            witness.send("still here")
            assert received(witness) == "still here"
            seen = "".join(process.out._text for process, _ in others)
        # Once, and not again with the next look for dead nodes.
        for process, _ in others:
            process.popen.terminate()
        assert "".join(process.out.all() for process, _ in others).count(line) == 1
