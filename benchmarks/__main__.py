"""``python -m benchmarks``: measure what is installed, and print it beside the reference."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import autobahnlike
from autobahnlike import speed
from benchmarks import catalogue, load, scenarios
from benchmarks.goals import goals_table
from benchmarks.measure import Effort, measure
from benchmarks.page import PAGE, page
from benchmarks.process import processors
from benchmarks.results import Report, this_machine
from benchmarks.tables import scenario_table

__all__ = ("main",)

_QUICK_EFFORT = Effort(rounds=2, seconds=0.2, warm_up=0.05)


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not more than 0")
        return value

    parse.__name__ = kind.__name__
    return parse


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure autobahnlike beside the other servers that are installed.",
        epilog="Patterns are those of shells, and may be given several times or with commas between them.",
    )
    parser.add_argument("--quick", action="store_true", help="a few scenarios and servers, in less than a minute")
    parser.add_argument("--scenario", metavar="PATTERN", action="append", help="only these scenarios")
    parser.add_argument("--server", metavar="PATTERN", action="append", help="only these servers")
    parser.add_argument("--rounds", type=_positive(int), help="how often each is measured (default: 5, quick: 2)")
    parser.add_argument("--seconds", type=_positive(float), help="for how long each time (default: 1, quick: 0.2)")
    parser.add_argument("--list", action="store_true", help="say what there is, and what is not installed")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write all results to this file, as JSON")
    parser.add_argument("--read", metavar="FILE", type=Path, action="append", help="measure nothing: show such files")
    parser.add_argument("--write-docs", action="store_true", help="write docs/guide/performance-results.rst")
    arguments = parser.parse_args(argv)
    try:
        arguments.scenarios = scenarios.select(_patterns(arguments.scenario, arguments.quick, scenarios.QUICK))
        arguments.servers = catalogue.select(_patterns(arguments.server, arguments.quick, catalogue.QUICK))
    except ValueError as error:
        parser.error(f"{error}; see --list")
    return arguments


def _patterns(given: list[str] | None, quick: bool, few: Iterable[str]) -> list[str]:
    if given is not None:
        return [pattern for words in given for pattern in words.split(",")]
    return list(few) if quick else ["*"]


def _effort(arguments: argparse.Namespace) -> Effort:
    effort = _QUICK_EFFORT if arguments.quick else Effort()
    given = {name: getattr(arguments, name) for name in ("rounds", "seconds") if getattr(arguments, name) is not None}
    return dataclasses.replace(effort, **given)


def _list() -> None:
    print("Scenarios:")
    for scenario in scenarios.SCENARIOS:
        print(f"  {scenario.name:20}{scenario.title}")
    print("Servers:")
    for server in catalogue.SERVERS:
        missing = catalogue.missing_of(server)
        print(f"  {server.name:34}{'not installed: ' + ', '.join(missing) if missing else 'installed'}")


def _installed(servers: list[catalogue.Server]) -> list[catalogue.Server]:
    """Return those that can run here, and say which cannot."""
    found = []
    for server in servers:
        missing = catalogue.missing_of(server)
        if missing:
            print(f"left out: {server.name}, because {', '.join(missing)} is not installed")
        elif server.pure and not speed.COMPILED:
            print(f"left out: {server.name}, because nothing is compiled here and all of autobahnlike is pure Python")
        else:
            found.append(server)
    return found


def _measured(arguments: argparse.Namespace) -> Report:
    program = load.build()
    servers = _installed(arguments.servers)
    shares = processors()
    if shares.server is None:
        print("there is one processor for the server and the load: messages per second and latency say little")
    versions = {"autobahnlike": autobahnlike.__version__} | catalogue.versions_of(servers)
    report = Report(this_machine(), _effort(arguments), speed.COMPILED, versions)
    progress = sys.stderr.isatty()

    def say(text: str) -> None:
        if progress:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    for scenario in arguments.scenarios:
        able = [server for server in servers if server.can(scenario)]
        report.outcomes[scenario.name] = measure(program, scenario, able, shares, report.effort, say)
        say("")
        print(f"\n{scenario_table(report, scenario.name)}", flush=True)
        if arguments.output:
            report.write(arguments.output)
    return report


def main(argv: list[str] | None = None) -> int:
    """Do what the command line asks for, and return the exit status.

    Args:
        argv: the command line, by default the process's own.
    """
    arguments = _arguments(argv)
    if arguments.list:
        _list()
        return 0
    try:
        if arguments.read:
            report = Report.merged(map(Report.read, arguments.read))
            for name in report.outcomes:
                print(f"\n{scenario_table(report, name)}")
        else:
            report = _measured(arguments)
        if table := goals_table(report):
            print(f"\n{table}")
        if arguments.write_docs:
            PAGE.write_text(page(report))
    except (load.NoCompiler, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
