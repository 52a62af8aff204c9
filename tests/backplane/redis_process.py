"""A node in a process of its own, seen from a test."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autobahnlike.backplane.redis.options import RedisOptions

__all__ = ("NodeProcess",)

ROOT = Path(__file__).parents[2]


class NodeProcess:
    """Runs ``tests.backplane.redis_node`` while its context lasts.

    Args:
        loop: ``asyncio`` or ``twisted``.
        url: where Redis is.
        options: of the backplane.
        connections: how many connections it has.

    Attributes:
        said: what it has said.
    """

    def __init__(self, loop: str, url: str, options: RedisOptions, connections: int) -> None:
        command = [sys.executable, "-m", "tests.backplane.redis_node", loop, url, json.dumps(asdict(options))]
        self.said: list[dict[str, Any]] = []
        self._process = subprocess.Popen([*command, str(connections)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self.said.extend(map(json.loads, lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()

    @property
    def ids(self) -> list[str]:
        """The ids of its connections; empty until it is ready."""
        return next((each["ids"] for each in self.said if "ids" in each), [])

    def all(self, kind: str) -> list[dict[str, Any]]:
        """What it has said of a kind."""
        return [each for each in self.said if kind in each]

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def stop(self) -> None:
        """Have it do nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it go on."""
        self._process.send_signal(signal.SIGCONT)
