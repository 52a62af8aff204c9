"""A server of Redis for what the documentation shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.gateway.redis_server import RedisServer

__all__ = ("redis_for",)

_SHOWN = "redis://127.0.0.1:6379"


@contextmanager
def redis_for(text: str) -> Iterator[str]:
    """If a programme connects to Redis, have one run meanwhile, and give the programme with its address.

    A programme that does not make use of it is an error.
    """
    if _SHOWN not in text:
        yield text
        return
    with RedisServer() as server:
        yield text.replace(_SHOWN, f"redis://127.0.0.1:{server.port}")
        counted = server.command("INFO", "stats").partition("total_connections_received:")[2].split()[0]
        # That of this command, and the one by which it was seen that it runs.
        assert int(counted) > 2, "nothing has connected to Redis"
