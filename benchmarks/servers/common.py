"""What all servers have in common: their command line, and their loops."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ("HOST", "Arguments", "install_reactor", "parse", "run")

HOST = "127.0.0.1"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What a server is asked to be.

    Attributes:
        port: where it listens, on 127.0.0.1.
        loop: "asyncio", "uvloop", "twisted" or "twisted-uvloop", as far as it knows them.
        broadcast: whether each message goes to all connections, rather than back.
        deflate: whether it accepts permessage-deflate.
    """

    port: int
    loop: str
    broadcast: bool
    deflate: bool


def parse() -> Arguments:
    """Return what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--loop", default="asyncio")
    parser.add_argument("--broadcast", action="store_true")
    parser.add_argument("--deflate", action="store_true")
    return Arguments(**vars(parser.parse_args()))


def run(serve: Callable[[Arguments], Coroutine[Any, Any, object]]) -> None:
    """Run a server on the loop of asyncio that the command line names, for ever.

    Args:
        serve: makes it listen, and returns what has to live as long.
    """
    arguments = parse()
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if arguments.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop

    async def main() -> None:
        kept = await serve(arguments)
        await asyncio.Event().wait()
        del kept

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def install_reactor(loop: str) -> Any:
    """Install the reactor that a server asks for, and return it.

    Args:
        loop: "twisted" for the default of the platform, "twisted-uvloop" for asyncio's over uvloop.
    """
    if loop == "twisted-uvloop":
        import uvloop
        from twisted.internet import asyncioreactor

        asyncioreactor.install(uvloop.new_event_loop())
    from twisted.internet import reactor

    return reactor
