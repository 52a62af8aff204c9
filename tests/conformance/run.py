"""Run scenarios on one loop: ``python -m tests.conformance.run LOOP [NAME...]``; without names, all of them.

A line of JSON is written for each as soon as it is over: its name, and the traceback if it failed, else null.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import pkgutil
import reprlib
import sys
import traceback
from collections.abc import Callable
from typing import Any

import tests.conformance
from tests.conformance.kit import Kit, LogCapture
from tests.conformance.registry import SCENARIOS, Scenario

# For one scenario, in seconds. Beyond every deadline in them.
TIME_LIMIT = 30.0


def load() -> None:
    """Import every module of scenarios."""
    for module in pkgutil.iter_modules(tests.conformance.__path__):
        if module.name.startswith("scenarios_"):
            importlib.import_module(f"{tests.conformance.__name__}.{module.name}")


def select(loop: str, names: list[str]) -> list[Scenario]:
    """The scenarios of these names that hold on a loop; all of them if no names are given."""
    return [each for each in SCENARIOS.values() if loop in each.loops and (not names or each.name in names)]


async def run_one(scenario: Scenario, kit: Kit) -> str | None:
    """Run a scenario; returns the traceback if it failed."""
    capture = LogCapture(kit)
    logging.getLogger().addHandler(capture)
    unraisable, sys.unraisablehook = sys.unraisablehook, lambda event: kit.log("unraisable", event.exc_value)
    try:
        try:
            await kit.within(_run(scenario.story, kit), f"the end of {scenario.name}", TIME_LIMIT)
        finally:
            await kit.clean_up()
        # What nobody has retrieved says so when it is collected.
        gc.collect()
        await kit.turns()
        assert not kit.errors, f"this was logged: {kit.errors}"
    except BaseException:
        logged = [f"\nlogged: {text}\n" + "".join(traceback.format_exception(error)) for text, error in kit.errors]
        events = f"server: {reprlib.repr(kit.server.events)}\nclient: {reprlib.repr(kit.client.events)}\n"
        return traceback.format_exc() + events + "".join(logged)
    finally:
        sys.unraisablehook = unraisable
        logging.getLogger().removeHandler(capture)
    return None


async def _run(story: Any, kit: Kit) -> None:
    await story(kit)


async def run_all(scenarios: list[Scenario], make_kit: Callable[[], Kit]) -> None:
    """Run scenarios, one after the other."""
    gc.collect()
    gc.freeze()
    for each in scenarios:
        print(json.dumps([each.name, await run_one(each, make_kit())]), flush=True)


def run_on_asyncio(scenarios: list[Scenario], loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Run scenarios on a new loop."""
    from tests.conformance.kit_asyncio import AsyncioKit

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run_all(scenarios, AsyncioKit))


def run_on_twisted(scenarios: list[Scenario]) -> None:
    """Run scenarios on the reactor."""
    from twisted.internet.task import react
    from twisted.logger import ILogObserver, LogLevel, globalLogBeginner
    from zope.interface import implementer

    from tests.conformance.kit_twisted import TwistedKit, reactor

    kits: list[Kit] = []

    @implementer(ILogObserver)
    def observe(event: dict[str, Any]) -> None:
        if event.get("isError") or event["log_level"] >= LogLevel.warn:
            failure = event.get("log_failure")
            text = (event.get("log_format") or "").format_map({"message": "", **event})
            kits[-1].log(text, failure.value if failure else None)

    globalLogBeginner.beginLoggingTo([observe], redirectStandardIO=False)

    def make_kit() -> Kit:
        kits[:] = [TwistedKit()]
        return kits[0]

    react(lambda _: _as_deferred(run_all(scenarios, make_kit)), _reactor=reactor)


def _as_deferred(coroutine: Any) -> Any:
    from twisted.internet.defer import Deferred

    return Deferred.fromCoroutine(coroutine)


def main(loop: str, *names: str) -> None:
    """Run scenarios on the loop of this name."""
    load()
    scenarios = select(loop, list(names))
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
