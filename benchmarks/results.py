"""What a run has measured, as it is kept in a file, and what is computed from it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.load import Result
from benchmarks.measure import Effort, Outcome

__all__ = ("Figures", "Machine", "Report", "figures_of", "this_machine")


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where it was measured.

    Attributes:
        processor: its name.
        processors: how many this process may use.
        system: the operating system.
        python: the version of CPython.
    """

    processor: str
    processors: int
    system: str
    python: str


def this_machine() -> Machine:
    """Return where we are."""
    name = platform.processor() or platform.machine()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return Machine(
        processor=f"{name} ({platform.machine()})",
        processors=len(os.sched_getaffinity(0)),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=platform.python_version(),
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


@dataclasses.dataclass
class Report:
    """All results.

    Attributes:
        machine: where.
        effort: how often and how long.
        compiled: whether autobahnlike had compiled modules.
        versions: of everything that was measured, by distribution.
        outcomes: by scenario, then by server.
    """

    machine: Machine
    effort: Effort
    compiled: bool
    versions: dict[str, str]
    outcomes: dict[str, dict[str, Outcome]] = dataclasses.field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it to a file."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read it from a file.

        Raises:
            ValueError: it holds something else.
        """
        try:
            found: dict[str, Any] = json.loads(path.read_text())
            outcomes = {
                scenario: {
                    server: Outcome([Result(**result) for result in outcome.pop("results")], **outcome)
                    for server, outcome in servers.items()
                }
                for scenario, servers in found.pop("outcomes").items()
            }
            return cls(Machine(**found.pop("machine")), Effort(**found.pop("effort")), outcomes=outcomes, **found)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not what --output writes: {error}") from None

    @classmethod
    def merged(cls, reports: Iterable[Report]) -> Report:
        """Return one report of several runs; where two have the same scenario, the later one counts."""
        first, *others = reports
        whole = dataclasses.replace(first, outcomes=dict(first.outcomes), versions=dict(first.versions))
        for other in others:
            whole.outcomes |= other.outcomes
            whole.versions |= other.versions
        return whole


@dataclasses.dataclass(frozen=True)
class Figures:
    """Medians of the rounds of one server, beside those of the reference. Times are in seconds.

    Attributes:
        cpu: CPU time of the server for a message.
        cpu_ratio: that, as a multiple of the reference's; None without one.
        rate: messages in a second.
        rate_ratio: that, as a multiple of the reference's; None without one.
        p50: median latency.
        p99: 99th percentile of the latency.
        load: the share of the time that the load generator was busy.
        memory: bytes for each connection, where that was measured instead.
        memory_ratio: that, as a multiple of the reference's; None without one.
    """

    cpu: float = 0
    cpu_ratio: float | None = None
    rate: float = 0
    rate_ratio: float | None = None
    p50: float = 0
    p99: float = 0
    load: float = 0
    memory: float = 0
    memory_ratio: float | None = None


def _cpu(result: Result) -> float:
    return result.server_cpu / result.messages


def _rate(result: Result) -> float:
    return result.messages / result.seconds


def figures_of(outcome: Outcome, reference: Outcome | None) -> Figures | None:
    """Return the medians of a server, None if it was not measured.

    A ratio is the median of those of the rounds: both were measured within seconds, while the machine was in the same
    mood.

    Args:
        outcome: of the server.
        reference: of the server to compare it to, in the same scenario.
    """
    if outcome.problem is not None:
        return None
    other = reference if reference is not None and reference.problem is None else Outcome()
    if outcome.memory:
        memory_ratios = [mine / its for mine, its in zip(outcome.memory, other.memory, strict=False) if its > 0]
        return Figures(memory=statistics.median(outcome.memory), memory_ratio=_median(memory_ratios))
    results = [result for result in outcome.results if result.messages]
    if not results:
        return None
    pairs = [
        (mine, its) for mine, its in zip(outcome.results, other.results, strict=False) if mine.messages * its.messages
    ]
    return Figures(
        cpu=statistics.median(map(_cpu, results)),
        cpu_ratio=_median([_cpu(mine) / _cpu(its) for mine, its in pairs if its.server_cpu]),
        rate=statistics.median(map(_rate, results)),
        rate_ratio=_median([_rate(mine) / _rate(its) for mine, its in pairs]),
        p50=statistics.median(result.p50 for result in results),
        p99=statistics.median(result.p99 for result in results),
        load=statistics.median(result.load_cpu / result.seconds for result in results),
    )


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
