"""Run scenarios about ASGI on one loop: ``python -m tests.asgi.run LOOP [NAME...]``; without names, all of them.

A line of JSON is written for each as soon as it is over: its name, and the traceback if it failed, else null.
"""

from __future__ import annotations

import asyncio
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
from tests.conformance.registry import Scenario
from tests.conformance.run import run_all


def load() -> None:
    """Import every module of scenarios."""
    for module in pkgutil.iter_modules(tests.asgi.__path__):
        if module.name.startswith("scenarios_") or module.name == "probes":
            importlib.import_module(f"{tests.asgi.__name__}.{module.name}")


def run_on_asyncio(scenarios: list[Scenario], loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Run scenarios on a new loop."""
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

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run_all(scenarios, AsyncioAppKit))


def run_on_twisted(scenarios: list[Scenario]) -> None:
    """Run scenarios on the reactor."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react
    from twisted.logger import ILogObserver, LogLevel, globalLogBeginner
    from zope.interface import implementer

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

    kits: list[Kit] = []

    @implementer(ILogObserver)
    def observe(event: dict[str, Any]) -> None:
        if event.get("isError") or event["log_level"] >= LogLevel.warn:
            failure = event.get("log_failure")
            text = (event.get("log_format") or "").format_map({"message": "", **event})
            kits[-1].log(text, failure.value if failure else None)

    globalLogBeginner.beginLoggingTo([observe], redirectStandardIO=False)

    def make_kit() -> Kit:
        kits[:] = [TwistedAppKit()]
        return kits[0]

    react(lambda _: Deferred.fromCoroutine(run_all(scenarios, make_kit)), _reactor=reactor)


def main(loop: str, *names: str) -> None:
    """Run scenarios on the loop of this name."""
    load()
    scenarios = [each for each in SCENARIOS.values() if loop in each.loops and (not names or each.name in names)]
    if loop in ("uvloop", "twisted-asyncio"):
        import uvloop

    if loop == "asyncio":
        run_on_asyncio(scenarios, asyncio.new_event_loop)
    elif loop == "uvloop":
        run_on_asyncio(scenarios, uvloop.new_event_loop)
    elif loop == "twisted":
        from twisted.internet import epollreactor

        epollreactor.install()  # type: ignore[no-untyped-call]
        run_on_twisted(scenarios)
    else:
        from twisted.internet import asyncioreactor

        asyncioreactor.install(uvloop.new_event_loop())  # type: ignore[no-untyped-call]
        run_on_twisted(scenarios)


if __name__ == "__main__":
    main(*sys.argv[1:])
