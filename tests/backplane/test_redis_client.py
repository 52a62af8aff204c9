"""The client for Redis against servers that are none, too old, or say what they should not; and its options."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from autobahnlike.backplane.redis import RedisBackplane
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.resp import RedisRefused, RespError, RespReader
from tests.backplane.suite import RecordingNode


def test_replies() -> None:
    reader = RespReader(1000)
    data = b"+OK\r\n:1\r\n$2\r\n\r\n\r\n*2\r\n$-1\r\n_\r\n%1\r\n+a\r\n:2\r\n>2\r\n+message\r\n+x\r\n-WRONGPASS no\r\n"
    replies: list[Any] = []
    for byte in data:
        replies += reader.feed(bytes([byte]))
    *values, error = replies
    assert values == [b"OK", 1, b"\r\n", [None, None], {b"a": 2}, [b"message", b"x"]]
    assert isinstance(error, RedisRefused)
    assert error.code == "WRONGPASS"


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n", b"$5000\r\n" + b"x" * 4000])
def test_what_is_no_reply_or_too_large(data: bytes) -> None:
    with pytest.raises(RespError):
        list(RespReader(1000).feed(data))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"prefix": ""}, "prefix"),
        ({"prefix": "a{b}"}, "prefix"),
        ({"prefix": "a b"}, "prefix"),
        ({"heartbeat_interval": 0}, "heartbeat_interval is more than 0"),
        ({"heartbeat_interval": 2.0, "node_timeout": 5.0}, "three times"),
        ({"patience": -1}, "patience"),
        ({"history": 0}, "history is a number of 1 or more"),
        ({"history": 1.5}, "history is a number of 1 or more"),
        ({"max_reply_size": 1024}, "max_reply_size"),
        ({"min_backoff": 5.0}, "max_backoff"),
    ],
)
def test_options_out_of_range(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        RedisOptions(**changes)


Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def reason_at(serve: Server) -> str:
    """Start at a server, and return why that is of no use."""

    async def run() -> str:
        server = await asyncio.start_server(serve, "127.0.0.1")
        port = server.sockets[0].getsockname()[1]
        options = RedisOptions(connect_timeout=0.3, command_timeout=0.3, max_message_size=1000, max_reply_size=16_000)
        backplane = RedisBackplane(f"redis://127.0.0.1:{port}", options=options)
        try:
            await asyncio.wait_for(backplane.start(RecordingNode()), 20)
            reason = backplane.health.reason
        except ValueError as error:
            reason = f"ValueError: {error}"
        await backplane.stop()
        server.close()
        return reason

    return asyncio.run(run())


def saying(*replies: bytes) -> Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for reply in replies:
                await reader.read(10_000)
                writer.write(reply)
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    return serve


HELLO = b"%1\r\n+proto\r\n:3\r\n"


def info(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([b"-ERR unknown command `HELLO`\r\n"], "ValueError: .*too old"),
        ([b"-NOPROTO unsupported protocol version\r\n"], "ValueError: .*too old"),
        ([HELLO, info(b"redis_version:6.0.1\r\n") * 2], "ValueError: .*is version 6.0.1"),
        ([HELLO, b"-NOPERM this user\r\n" * 2], "ValueError: .*what they may do"),
        ([b"-LOADING Redis is loading the dataset in memory\r\n"], "refuses: LOADING"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "Protocol error"),
        ([b"$100000\r\n" + b"x" * 50_000], "more than 16000 bytes"),
        ([b"+1\r\n+2\r\n+3\r\n"], "what it was not asked for"),
        ([b""], "within 0.3 seconds|has not replied for 0.3 seconds"),
        ([HELLO, b""], "has not replied for 0.3 seconds|does not answer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_servers_that_are_of_no_use(replies: list[bytes], reason: str) -> None:
    found = reason_at(saying(*replies))
    assert re.search(reason, found), found


def test_a_server_that_closes() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert "was lost" in reason_at(serve)


def test_it_is_started_once_and_by_a_loop() -> None:
    backplane = RedisBackplane("redis://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="was not started"):
        asyncio.run(backplane.publish("r", "x"))

    async def run() -> None:
        await backplane.start(RecordingNode())
        with pytest.raises(RuntimeError, match="once"):
            await backplane.start(RecordingNode())
        await backplane.stop()
        await backplane.stop()

    asyncio.run(run())
    assert not backplane.health.is_healthy
