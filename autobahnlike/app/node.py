"""An application as a node of a backplane: when it joins the others, and leaves them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from autobahnlike.app.driver import Driver
from autobahnlike.app.named_rooms import NamedRooms
from autobahnlike.app.waiting import Latch
from autobahnlike.backplane.interface import ConnectionInfo, Health, Payload, Verdict

if TYPE_CHECKING:
    from autobahnlike.backplane.interface import Backplane

__all__ = ("AppNode",)

_log = logging.getLogger("autobahnlike.app")


class _Start:
    """A start that is going on.

    Attributes:
        latch: opens at the end.
        error: with which it has ended.
    """

    def __init__(self) -> None:
        self.latch = Latch()
        self.error: Exception = RuntimeError("the application could not be started")


class AppNode:
    """An application as its backplane sees it. Its connections have no ids; what it has for others is rooms.

    Args:
        mounted: returns the nodes of the applications that are mounted in it.

    Attributes:
        rooms: its rooms by their names.
        backplane: its own backplane; None if it has none.
        is_started: whether it has joined the others, and not left them.
    """

    def __init__(self, mounted: Callable[[], Sequence[AppNode]]) -> None:
        self.rooms = NamedRooms()
        self.backplane: Backplane | None = None
        self.is_started = False
        self._mounted = mounted
        self._starting: _Start | None = None
        # Those that this one has started.
        self._started: list[AppNode] = []

    def use(self, backplane: Backplane) -> None:
        """Take a backplane, to be started with the application."""
        self.backplane = self.rooms.backplane = backplane

    async def start(self, outer: Backplane | None = None) -> bool:
        """Join the others, with the applications that are mounted; if that has happened, nothing happens.

        Args:
            outer: the backplane of the application in which this one is mounted; for one without its own.

        Returns:
            Whether it was started now.

        Raises:
            ValueError: the backplane cannot be used as it was configured.
            RuntimeError: neither asyncio nor Twisted drives this.
        """
        if self.is_started and self._starting is None:
            return False
        current = self._starting
        if current is None:
            current = self._starting = _Start()
            driver = Driver()
            # By itself, as the connection that was first may be gone before the backplane is there.
            driver.start(self._run(current, driver, outer))
            is_first = True
        else:
            is_first = False
        await current.latch.wait()
        if not self.is_started:
            raise current.error
        return is_first

    async def _run(self, current: _Start, driver: Driver, outer: Backplane | None) -> None:
        try:
            await self._start(driver, outer)
        except Exception as error:
            current.error = error
            await self.stop()
        finally:
            self._starting = None
            current.latch.open()

    async def _start(self, driver: Driver, outer: Backplane | None) -> None:
        backplane = outer
        if self.backplane is not None:
            await self.backplane.start(self)
            backplane = self.backplane
        self.is_started = True
        if backplane is not None:
            self.rooms.join(backplane, driver)
        for node in self._mounted():
            if await node.start(backplane):
                self._started.append(node)

    async def stop(self) -> None:
        """Leave the others, with the applications that were started with this one; the connections have ended."""
        while self._started:
            await self._started.pop().stop()
        if self.is_started:
            self.is_started = False
            await self.rooms.part()
            self.rooms.backplane = self.backplane
            if self.backplane is not None:
                await self.backplane.stop()

    @property
    def health(self) -> Health:
        """Whether all is well, mounted applications included."""
        if self.backplane is not None and not self.is_started:
            return Health(False, "the application is not running")
        each = [] if self.backplane is None else [self.backplane.health]
        each += [node.health for node in self._mounted()]
        return next((health for health in each if not health.is_healthy), Health(True))

    # -- What the backplane calls

    def deliver(self, connection_id: str, payload: Payload, /) -> Verdict:
        """There is no connection of that id here."""
        return Verdict.GONE

    def close(self, connection_id: str, code: int, reason: str, /) -> Verdict:
        """There is no connection of that id here."""
        return Verdict.GONE

    def info(self, connection_id: str, /) -> ConnectionInfo | None:
        """There is no connection of that id here."""
        return None

    def connections(self) -> Iterable[ConnectionInfo]:
        """None has an id."""
        return ()

    async def orphaned(self, info: ConnectionInfo, /) -> None:
        """Complain: it is a connection of a gateway, whose ``$disconnect`` cannot be run here."""
        _log.error(
            "%s was a connection of a gateway that died, and this is an application of another kind: $disconnect is "
            "not run; give the backplanes of different applications different prefixes",
            info.connection_id,
        )

    def declared_dead(self) -> None:
        """Nobody has taken anything: there are no connections with ids."""
