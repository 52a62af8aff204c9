"""Results as text for the terminal."""

from __future__ import annotations

from benchmarks.catalogue import REFERENCE, REFERENCES, SERVERS
from benchmarks.measure import Outcome
from benchmarks.results import Figures, Report, figures_of
from benchmarks.scenarios import Scenario, named

__all__ = ("kibibytes", "microseconds", "ratio", "reference_of", "scenario_table")

# Of its time: from here on the load generator may have been what limits messages per second.
_BUSY = 0.9


def reference_of(outcomes: dict[str, Outcome]) -> str | None:
    """Return the server that the others are compared to: the reference, or else the first peer that was measured.

    Args:
        outcomes: of one scenario, by server.
    """
    measured = {name for name, outcome in outcomes.items() if figures_of(outcome, None) is not None}
    peers = [server.name for server in SERVERS if not server.ours and not server.raw]
    return next((name for name in (*REFERENCES, *peers) if name in measured), None)


def ratio(value: float | None) -> str:
    """Return a ratio in three digits."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def microseconds(seconds: float) -> str:
    """Return a time in microseconds, in three digits or more."""
    value = seconds * 1e6
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def kibibytes(size: float) -> str:
    """Return a size in KiB."""
    return f"{size / 1024:.1f}"


def scenario_table(report: Report, name: str) -> str:
    """Return the results of one scenario, the cheapest server first.

    Args:
        report: all results.
        name: of the scenario.
    """
    outcomes, scenario = report.outcomes[name], named(name)
    reference = reference_of(outcomes)
    found = {server: figures_of(outcome, outcomes.get(reference or "")) for server, outcome in outcomes.items()}
    figures = {server: value for server, value in found.items() if value is not None}
    memory = scenario.mode == "idle"
    lines = [f"{scenario.title} ({name})", _reference_line(reference, figures, scenario)]
    lines += _memory_lines(figures) if memory else _traffic_lines(figures)
    limited = [server for server, value in figures.items() if value.load > _BUSY]
    if limited:
        lines.append(f"  the load generator was busy all the time with {', '.join(limited)}: look at CPU only")
    for server, outcome in outcomes.items():
        if outcome.problem is not None:
            lines.append(f"  {server} was not measured: {outcome.problem.splitlines()[-1]}")
    return "\n".join(lines)


def _reference_line(reference: str | None, figures: dict[str, Figures], scenario: Scenario) -> str:
    if reference is None:
        return "  there is no peer to compare with: absolute figures only"
    value = figures[reference]
    absolute = f"{microseconds(value.cpu)} µs of CPU for a {scenario.unit}"
    if scenario.mode == "idle":
        absolute = f"{kibibytes(value.memory)} KiB for a {scenario.unit}"
    instead = "" if reference == REFERENCE else f", because {REFERENCE} was not measured"
    return f"  1.00 is {reference}: {absolute}{instead}"


def _traffic_lines(figures: dict[str, Figures]) -> list[str]:
    lines = [f"  {'':34}{'CPU':>7}{'µs':>9}{'rate':>8}{'1/s':>12}{'p50 µs':>10}{'p99 µs':>10}"]
    for server, value in sorted(figures.items(), key=lambda item: item[1].cpu):
        lines.append(
            f"  {server:34}{ratio(value.cpu_ratio):>7}{microseconds(value.cpu):>9}{ratio(value.rate_ratio):>8}"
            f"{value.rate:>12,.0f}{microseconds(value.p50):>10}{microseconds(value.p99):>10}"
        )
    return lines


def _memory_lines(figures: dict[str, Figures]) -> list[str]:
    lines = [f"  {'':34}{'ratio':>7}{'KiB':>9}"]
    for server, value in sorted(figures.items(), key=lambda item: item[1].memory):
        lines.append(f"  {server:34}{ratio(value.memory_ratio):>7}{kibibytes(value.memory):>9}")
    return lines
