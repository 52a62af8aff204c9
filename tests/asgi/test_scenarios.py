"""Every scenario about ASGI, the probes of other servers among them, on every loop."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asgi.registry import SCENARIOS
from tests.asgi.run import load
from tests.conformance.registry import LOOPS

# Not every warning, because Twisted uses what pyOpenSSL deprecates.
WARNINGS = ("-W", "error::ResourceWarning", "-W", "error::RuntimeWarning")
ROOT = Path(__file__).resolve().parents[2]

load()
CASES = [
    pytest.param(loop, each.name, id=f"{loop}-{each.name}")
    for loop in LOOPS
    for each in SCENARIOS.values()
    if loop in each.loops
]


class Run:
    """A process that runs the scenarios of one loop."""

    def __init__(self, loop: str, names: list[str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self._process = subprocess.Popen(
            [sys.executable, *WARNINGS, "-m", "tests.asgi.run", loop, *names],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        self._results: dict[str, str | None] = {}

    def result(self, name: str) -> str | None:
        """Wait until a scenario is over; returns what went wrong, if anything did."""
        output = self._process.stdout
        assert output is not None
        while name not in self._results:
            line = output.readline()
            assert line, f"the process is gone:\n{self._tail()}"
            done, trouble = json.loads(line)
            self._results[done] = trouble
        return self._results[name]

    def _tail(self) -> str:
        self._log.seek(0)
        return self._log.read().decode("utf-8", "backslashreplace")[-10000:]

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[dict[str, Run]]:
    """The processes, beside each other."""
    wanted: dict[str, list[str]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.function is test_scenario:
            wanted.setdefault(str(item.callspec.params["loop"]), []).append(str(item.callspec.params["name"]))
    started = {loop: Run(loop, names) for loop, names in wanted.items()}
    yield started
    for each in started.values():
        each.stop()


@pytest.mark.parametrize(("loop", "name"), CASES)
def test_scenario(loop: str, name: str, runs: dict[str, Run]) -> None:
    """A promise is kept on this loop."""
    trouble = runs[loop].result(name)
    if trouble is not None:
        pytest.fail(trouble, pytrace=False)
