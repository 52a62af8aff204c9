"""Run scenarios about ASGI on one loop: ``python -m tests.asgi.run LOOP [NAME...]``; without names, all of them.

A line of JSON is written for each as soon as it is over: its name, and the traceback if it failed, else null.
"""

from __future__ import annotations

import importlib
import pkgutil
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import tests.asgi
from autobahnlike.asgi import ServerOptions
from tests.asgi.kit import AppKit, Application
from tests.asgi.registry import SCENARIOS
from tests.conformance.kit import Kit
from tests.conformance.run import run_on


def load() -> None:
    """Import every module of scenarios."""
    for module in pkgutil.iter_modules(tests.asgi.__path__):
        if module.name.startswith("scenarios_") or module.name == "probes":
            importlib.import_module(f"{tests.asgi.__name__}.{module.name}")


def _asyncio_kit() -> type[Kit]:
    from autobahnlike.asgi.asyncio import serve
    from tests.conformance.kit_asyncio import AsyncioKit

    class AsyncioAppKit(AppKit, AsyncioKit):
        async def _start(
            self, app: Application, sockets: list[socket.socket], tls: Any, options: ServerOptions
        ) -> Callable[[], Awaitable[None]]:
            serving = await serve(app, sockets=sockets, ssl=tls, options=options).__aenter__()
            return lambda: serving.__aexit__(None, None, None)

        async def clean_up(self) -> None:
            await self.end_sites()
            await AsyncioKit.clean_up(self)

    return AsyncioAppKit


def _twisted_kit() -> type[Kit]:
    from autobahnlike.asgi.twisted import ASGIService
    from tests.conformance.kit_twisted import TwistedKit, reactor

    class TwistedAppKit(AppKit, TwistedKit):
        async def _start(
            self, app: Application, sockets: list[socket.socket], tls: Any, options: ServerOptions
        ) -> Callable[[], Awaitable[None]]:
            service = ASGIService(app, sockets=sockets, reactor=reactor, tls=tls, options=options)
            service.startService()
            try:
                await service.started
            finally:
                # The service has its own copies.
                for sock in sockets:
                    sock.close()

            async def stop() -> None:
                await service.stopService()

            return stop

        async def clean_up(self) -> None:
            await self.end_sites()
            await TwistedKit.clean_up(self)

    return TwistedAppKit


def main(loop: str, *names: str) -> None:
    """Run scenarios on the loop of this name."""
    load()
    scenarios = [each for each in SCENARIOS.values() if loop in each.loops and (not names or each.name in names)]
    run_on(loop, scenarios, _asyncio_kit, _twisted_kit)


if __name__ == "__main__":
    main(*sys.argv[1:])
