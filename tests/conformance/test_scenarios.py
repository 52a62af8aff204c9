"""Every scenario, on every loop."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.registry import LOOPS, SCENARIOS
from tests.conformance.run import load

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


class Runs:
    """The processes that run the scenarios this test run was asked for, each started when it is first asked about."""

    def __init__(self, wanted: dict[str, list[str]]) -> None:
        self._wanted = wanted
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._logs = {loop: tempfile.TemporaryFile() for loop in wanted}  # noqa: SIM115 - closed in stop()
        self._results: dict[tuple[str, str], str | None] = {}

    def result(self, loop: str, name: str) -> str | None:
        """Wait until a scenario is over; returns what went wrong, if anything did."""
        if loop not in self._processes:
            self._processes[loop] = subprocess.Popen(
                [sys.executable, *WARNINGS, "-m", "tests.conformance.run", loop, *self._wanted[loop]],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=self._logs[loop], text=True,
            )  # fmt: skip
        output = self._processes[loop].stdout
        assert output is not None
        while (loop, name) not in self._results:
            line = output.readline()
            assert line, f"the process is gone:\n{self._log(loop)}"
            done, trouble = json.loads(line)
            self._results[loop, done] = trouble
        return self._results[loop, name]

    def _log(self, loop: str) -> str:
        self._logs[loop].seek(0)
        return self._logs[loop].read().decode("utf-8", "backslashreplace")[-10000:]

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes.values():
            process.kill()
            process.communicate()
        for log in self._logs.values():
            log.close()


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """The processes."""
    wanted: dict[str, list[str]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.function is test_scenario:
            wanted.setdefault(str(item.callspec.params["loop"]), []).append(str(item.callspec.params["name"]))
    started = Runs(wanted)
    yield started
    started.stop()


@pytest.mark.parametrize(("loop", "name"), CASES)
def test_scenario(loop: str, name: str, runs: Runs) -> None:
    """A promise is kept on this loop."""
    trouble = runs.result(loop, name)
    if trouble is not None:
        pytest.fail(trouble, pytrace=False)
