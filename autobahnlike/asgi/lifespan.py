"""The lifespan of an application: what it does before the first connection and after the last (ASGI lifespan 2.0)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autobahnlike.asgi.condition import Condition
from autobahnlike.asgi.errors import LifespanFailed
from autobahnlike.asgi.scope import Event

if TYPE_CHECKING:
    from autobahnlike.asgi.server import Server

__all__ = ("Lifespan",)

_log = logging.getLogger("autobahnlike.asgi")


class Lifespan:
    """One call of the application, from before the first connection until after the last.

    Args:
        server: whose application it is.

    Attributes:
        state: what the application wants its connections to have; each gets a copy.
    """

    def __init__(self, server: Server) -> None:
        self.state: dict[str, Any] = {}
        self._server = server
        self._events: list[Event] = []
        self._received = Condition(server.apps)
        self._changed = Condition(server.loop)
        # What it has said.
        self._answers: dict[str, str] = {}
        self._is_running = False
        self._error: BaseException | None = None
        self._cancel: Callable[[], None] | None = None

    async def startup(self) -> None:
        """Call the application and wait until it is ready.

        Raises:
            LifespanFailed: it is not going to be.
        """
        mode = self._server.options.lifespan
        if mode == "off":
            return
        self._is_running = True
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        self._put({"type": "lifespan.startup"})
        self._cancel = self._server.run(scope, self._receive, self._send, self._ended, is_connection=False)
        try:
            while self._is_running and not self._answers:
                await self._changed.wait()
        except BaseException:
            # Nobody wants to know any more whether it starts.
            self._give_up()
            raise
        if "lifespan.startup.complete" in self._answers:
            return
        if "lifespan.startup.failed" in self._answers:
            why = self._answers["lifespan.startup.failed"]
            self._server.log_hint(why)
            # In a turn of its own: on Twisted the application is still at saying so.
            self._server.loop.call_later(0, self._give_up)
            raise LifespanFailed(
                f"the application failed to start: {why}" if why else "the application failed to start"
            )
        if mode == "on":
            raise LifespanFailed("the application does not support the lifespan protocol") from self._error
        # "If an exception is raised when calling the application callable with a lifespan.startup message or a scope of
        # type lifespan, the server must continue but not send any lifespan events."
        self._server.log_hint(self._error)
        _log.info("the application does not support the lifespan protocol: it is served without")
        if self._error is not None:
            _log.debug("what it raised when it was asked", exc_info=self._error)

    async def shutdown(self, seconds: float) -> None:
        """Tell the application that it is over, and wait until it has done what it has to do.

        Args:
            seconds: how long that may take; what never comes back must not keep the process alive.
        """
        if not self._is_running:
            return
        is_late = False

        def late() -> None:
            nonlocal is_late
            is_late = True
            self._changed.notify_all()

        timer = self._server.loop.call_later(seconds, late)
        self._put({"type": "lifespan.shutdown"})
        try:
            while self._is_running and not is_late and not self._has_answered("shutdown"):
                await self._changed.wait()
        finally:
            if not is_late:
                timer.cancel()
        if "lifespan.shutdown.failed" in self._answers:
            _log.error("the application failed to shut down: %s", self._answers["lifespan.shutdown.failed"])
        elif is_late:
            _log.error("the application has not shut down within %g seconds", seconds)
            self._give_up()

    def _give_up(self) -> None:
        self._is_running = False
        if self._cancel is not None:
            self._cancel()

    def _has_answered(self, phase: str) -> bool:
        return any(name.startswith(f"lifespan.{phase}") for name in self._answers)

    def _put(self, event: Event) -> None:
        self._events.append(event)
        self._received.notify_all()

    async def _receive(self) -> Event:
        while not self._events:
            await self._received.wait()
        return self._events.pop(0)

    async def _send(self, event: Event) -> None:
        kind = event["type"]
        phase = "shutdown" if self._has_answered("startup") else "startup"
        if kind not in (f"lifespan.{phase}.complete", f"lifespan.{phase}.failed") or kind in self._answers:
            raise RuntimeError(f"{kind!r} cannot be sent now: lifespan.{phase}.complete or .failed is expected")
        self._answers[kind] = str(event.get("message", ""))
        self._changed.notify_all()

    def _ended(self, error: BaseException | None) -> None:
        was_wanted, self._is_running = self._is_running, False
        self._error = error
        # A startup that failed is for whoever starts the server, who is told; what was given up is over anyhow.
        has_failed = any(name.endswith(".failed") for name in self._answers)
        if error is not None and was_wanted and self._answers and not has_failed:
            self._server.log_failure("the application raised an exception in its lifespan", error)
        self._changed.notify_all()
