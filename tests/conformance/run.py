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


def run_on(
    loop: str,
    scenarios: list[Scenario],
    kit_of_asyncio: Callable[[], type[Kit]],
    kit_of_twisted: Callable[[], type[Kit]],
) -> None:
    """Run scenarios on a loop.

    Args:
        loop: the name of the loop.
        scenarios: those that hold on it.
        kit_of_asyncio: returns the kit for loops of asyncio; called for them only.
        kit_of_twisted: returns the kit for reactors; called when the reactor is installed.
    """
    if loop in ("uvloop", "twisted-asyncio"):
        import uvloop

    if loop == "asyncio":
        _run_on_asyncio(scenarios, asyncio.new_event_loop, kit_of_asyncio())
    elif loop == "uvloop":
        _run_on_asyncio(scenarios, uvloop.new_event_loop, kit_of_asyncio())
    elif loop == "twisted":
        from twisted.internet import epollreactor

        epollreactor.install()  # type: ignore[no-untyped-call]
        _run_on_twisted(scenarios, kit_of_twisted())
    else:
        from twisted.internet import asyncioreactor

        asyncioreactor.install(uvloop.new_event_loop())  # type: ignore[no-untyped-call]
        _run_on_twisted(scenarios, kit_of_twisted())


def _run_on_asyncio(
    scenarios: list[Scenario], loop_factory: Callable[[], asyncio.AbstractEventLoop], kit: Callable[[], Kit]
) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run_all(scenarios, kit))


def _run_on_twisted(scenarios: list[Scenario], kit: Callable[[], Kit]) -> None:
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react
    from twisted.logger import ILogObserver, LogLevel, globalLogBeginner
    from zope.interface import implementer

    kits: list[Kit] = []

    @implementer(ILogObserver)
    def observe(event: dict[str, Any]) -> None:
        if event.get("isError") or event["log_level"] >= LogLevel.warn:
            failure = event.get("log_failure")
            text = (event.get("log_format") or "").format_map({"message": "", **event})
            kits[-1].log(text, failure.value if failure else None)

    globalLogBeginner.beginLoggingTo([observe], redirectStandardIO=False)

    def make_kit() -> Kit:
        kits[:] = [kit()]
        return kits[0]

    react(lambda _: Deferred.fromCoroutine(run_all(scenarios, make_kit)), _reactor=reactor)


def _asyncio_kit() -> type[Kit]:
    from tests.conformance.kit_asyncio import AsyncioKit

    return AsyncioKit


def _twisted_kit() -> type[Kit]:
    from tests.conformance.kit_twisted import TwistedKit

    return TwistedKit


def main(loop: str, *names: str) -> None:
    """Run scenarios on the loop of this name."""
    load()
    run_on(loop, select(loop, list(names)), _asyncio_kit, _twisted_kit)


if __name__ == "__main__":
    main(*sys.argv[1:])
