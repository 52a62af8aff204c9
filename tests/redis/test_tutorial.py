"""The chat of the gateway's tutorial in two processes, which know nothing of each other but the same Redis."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.backplane.redis_server import RedisServer
from tests.cli.process import DEADLINE, Process
from tests.programs import ROOT

EXAMPLE = ROOT / "examples" / "gateway_chat"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def ask(client: ClientConnection, text: str) -> str:
    client.send(text)
    return hear(client)


def hear(client: ClientConnection) -> str:
    return str(client.recv(DEADLINE))


@pytest.mark.parametrize(("one", "other"), [("asyncio", "twisted"), ("uvloop", "twisted-asyncio")])
def test_two_processes(redis: RedisServer, one: str, other: str) -> None:
    arguments = ["serve", "app:app", "--backplane", f"redis://127.0.0.1:{redis.port}", "--listen", "127.0.0.1:0"]
    with (
        Process(*arguments, "--loop", one, cwd=EXAMPLE) as first,
        Process(*arguments, "--loop", other, cwd=EXAMPLE) as second,
    ):
        here, there = (each.out.expect(r"Listening on http://(\S+)/ ")[1] for each in (first, second))
        with connect(f"ws://{here}/api/") as ann, connect(f"ws://{there}/api/") as bob:
            assert ask(ann, "Ann").startswith("Hello, Ann.")
            assert ask(bob, "Bob").startswith("Hello, Bob.")
            assert ask(ann, "/join garden") == "Ann has joined."
            assert ask(bob, "/join garden") == hear(ann) == "Bob has joined."
            assert ask(ann, "hi") == hear(bob) == "Ann: hi"
            assert ask(bob, "hi") == hear(ann) == "Bob: hi"
            # From outside, through the process that does not have the connection.
            path = f"http://{here}/api/@connections/{quote(ask(bob, '/id'), safe='')}"
            sent = httpx.post(path, content="Dinner is ready", timeout=DEADLINE, trust_env=False)
            assert sent.status_code == 200
            assert hear(bob) == "Dinner is ready"
            # When a process dies, its clients are gone for the other one.
            second.popen.kill()
            assert ask(ann, "anybody?") == "Ann: anybody?"
            first.err.expect("gives no sign of life")
            gone = httpx.post(path, content="Too late", timeout=DEADLINE, trust_env=False)
            assert gone.status_code == 410
        first.popen.terminate()
        assert first.status() == 0
        assert "Traceback" not in first.err.all()
