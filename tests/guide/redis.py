"""A server of Redis for what the documentation shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.backplane.redis_server import RedisServer, free_port, redis_program

__all__ = ("lacks_redis", "redis_for")

_SHOWN = "redis://127.0.0.1:6379"


@contextmanager
def redis_for(text: str) -> Iterator[str]:
    """If a programme connects to Redis, have one run meanwhile, and give the programme with its address.

    A programme that does not make use of it is an error.
    """
    if _SHOWN not in text:
        yield text
        return
    if redis_program() is None:
        # They work without, each for itself, and say so.
        yield text.replace(_SHOWN, f"redis://127.0.0.1:{free_port()}")
        return
    with RedisServer() as server:
        yield text.replace(_SHOWN, f"redis://127.0.0.1:{server.port}")
        counted = server.command("INFO", "stats").partition("total_connections_received:")[2].split()[0]
        # That of this command, and the one by which it was seen that it runs.
        assert int(counted) > 2, "nothing has connected to Redis"


def lacks_redis(text: str) -> bool:
    """Whether a programme that was given by ``redis_for`` would connect to Redis, and there is none."""
    return "redis://" in text and redis_program() is None
