"""Writes the page of results for the documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.catalogue import REFERENCE, SERVERS
from benchmarks.goals import COLUMNS
from benchmarks.results import Figures, Report, figures_of
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.tables import kibibytes, microseconds, ratio, reference_of

__all__ = ("PAGE", "page")

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "performance-results.rst"

_OTHERS = tuple(server.name for server in SERVERS if not server.ours and server.name != REFERENCE)

# A figure as a cell of a table.
_Show = Callable[[Figures], str]


def page(report: Report) -> str:
    """Return the page.

    Args:
        report: all results.
    """
    mine = [name for name in COLUMNS if _was_measured(report, name)]
    others = [name for name in _OTHERS if _was_measured(report, name)]
    traffic = [scenario for scenario in SCENARIOS if scenario.name in report.outcomes and scenario.mode != "idle"]
    memory = [scenario for scenario in SCENARIOS if scenario.name in report.outcomes and scenario.mode == "idle"]
    parts = [_head(report)]
    if traffic:
        parts += [
            *_section("CPU time of the server for a message", _CPU, _ratios(report, traffic, mine, absolute=True)),
            *_section("The others", _THE_OTHERS, _ratios(report, traffic, others)),
            *_section("Messages in a second", _RATE, _absolute(report, traffic, mine, lambda it: f"{it.rate:,.0f}")),
            *_section("Latency", _LATENCY, _absolute(report, traffic, mine, _latency)),
        ]
    if memory:
        parts += _section("Memory of a connection", _MEMORY, _memory(report, memory))
    return "\n".join(parts)


def _was_measured(report: Report, name: str) -> bool:
    return any(name in outcomes for outcomes in report.outcomes.values())


def _head(report: Report) -> str:
    machine, effort = report.machine, report.effort
    versions = ", ".join(f"{package} {number}" for package, number in report.versions.items())
    compiled = "compiled" if report.compiled else "not compiled, so that all of it is pure Python"
    return f"""\
Results
=======

This page is written by ``python -m benchmarks --write-docs``; :doc:`performance` says what is measured.

* Machine: {machine.processor}, {machine.processors} processors, {machine.system}; server and load on one each.
* Versions: Python {machine.python}, {versions}.
* autobahnlike is {compiled}.
* Medians of {effort.rounds} interleaved rounds of {effort.seconds:g} s.
"""


_CPU = f"""\
User and system time, as a multiple of what {REFERENCE} takes in the same scenario and round. The last column is that
in microseconds; where {REFERENCE} does not take part, it names who does. Less is better."""

_THE_OTHERS = """\
The same figure. "raw" only copies bytes, without any protocol: it is what the loop itself costs."""

_RATE = """\
They depend on the load generator, the kernel and whatever else the machine does, more than CPU time does."""

_LATENCY = """\
Microseconds from sending a message to having its answer: the median, and the 99th percentile. In a pipeline, a message
waits for those before it."""

_MEMORY = """\
KiB in the process of the server, for each of many connections that are open and idle. Buffers of the kernel are not in
it."""


def _section(title: str, text: str, table: str) -> Sequence[str]:
    return title, "-" * len(title), "", text, "", table


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        for number, cell in enumerate(row):
            lines.append(f"   {'  ' if number else '* '}- {cell}".rstrip())
    return "\n".join([*lines, ""])


def _figures(report: Report, scenario: Scenario, name: str) -> Figures | None:
    outcomes = report.outcomes[scenario.name]
    if name not in outcomes:
        return None
    return figures_of(outcomes[name], outcomes.get(reference_of(outcomes) or ""))


def _cell(figures: Figures | None, show: _Show) -> str:
    return "-" if figures is None else show(figures)


def _ratios(report: Report, scenarios: list[Scenario], names: list[str], *, absolute: bool = False) -> str:
    rows = []
    for scenario in scenarios:
        row = [scenario.title]
        row += [_cell(_figures(report, scenario, name), lambda it: ratio(it.cpu_ratio)) for name in names]
        if absolute:
            row.append(_reference(report, scenario))
        rows.append(row)
    return _table(["", *names, *["1.00 is"] * absolute], rows)


def _reference(report: Report, scenario: Scenario) -> str:
    name = reference_of(report.outcomes[scenario.name])
    if name is None:
        return "-"
    cost = _cell(_figures(report, scenario, name), lambda it: f"{microseconds(it.cpu)} µs")
    return cost if name == REFERENCE else f"{cost} ({name})"


def _absolute(report: Report, scenarios: list[Scenario], mine: list[str], show: _Show) -> str:
    names = [*mine, REFERENCE]
    rows = (
        [scenario.title, *(_cell(_figures(report, scenario, name), show) for name in names)] for scenario in scenarios
    )
    return _table(["", *names], rows)


def _latency(figures: Figures) -> str:
    return f"{microseconds(figures.p50)} / {microseconds(figures.p99)}"


def _memory(report: Report, scenarios: list[Scenario]) -> str:
    names = [server.name for server in SERVERS if any(server.name in report.outcomes[it.name] for it in scenarios)]
    rows = (
        [name, *(_cell(_figures(report, scenario, name), lambda it: kibibytes(it.memory)) for scenario in scenarios)]
        for name in names
    )
    return _table(["", *(scenario.title for scenario in scenarios)], rows)
