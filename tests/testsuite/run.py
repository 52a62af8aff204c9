"""``python -m tests.testsuite.run``: the Autobahn TestSuite on every loop, as a server and as a client.

It exits with status 1 if any outcome differs from ``expected.json`` or any case did not run. Reports, one page per
case, and the logs of all processes are left in the directory that ``--reports`` names.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import platform
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from autobahnlike import __version__
from tests.testsuite.results import QUICK, Expectation, Run, table, write_page
from tests.testsuite.wstest import LOOPS, ROLES, ROOT, install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ("main",)


def _names(allowed: Iterable[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(allowed):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(allowed)}")
        return names

    return parse


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.testsuite.run", description="Run the Autobahn TestSuite.")
    parser.add_argument("--loops", type=_names(LOOPS), default=list(LOOPS), help=",".join(LOOPS))
    parser.add_argument("--roles", type=_names(ROLES), default=list(ROLES), help=",".join(ROLES))
    parser.add_argument("--cases", default="all", help="all, quick, or patterns like 7.*,9.1.1 (default: all)")
    parser.add_argument("--wstest", type=Path, help="a wstest to use (default: install one in .wstest, once)")
    parser.add_argument("--reports", type=Path, default=ROOT / "reports", help="where reports and logs go")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (default: the processors)"
    )
    parser.add_argument("--timeout", type=float, default=7200, help="seconds for one loop in one role")
    parser.add_argument("--write-docs", action="store_true", help="write docs/conformance-results.rst")
    return parser.parse_args(argv)


def _versions() -> list[str]:
    peers = [f"{package} {version(package)}" for package in ("Twisted", "uvloop")]
    return [f"autobahnlike {__version__}", f"Python {platform.python_version()}", *peers]


def _run_all(arguments: argparse.Namespace, cases: list[str]) -> list[Run]:
    python = arguments.wstest.parent / "python" if arguments.wstest else install(ROOT / ".wstest")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        futures = []
        for role in arguments.roles:
            for loop in arguments.loops:
                directory = arguments.reports.absolute() / f"{role}-{loop}"
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir(parents=True)
                futures.append(pool.submit(ROLES[role], python, loop, cases, directory, arguments.timeout))
        for future in concurrent.futures.as_completed(futures):
            run = future.result()
            print(f"{run.name}: {len(run.outcomes)} of {len(cases)} cases in {run.seconds:.0f} s", flush=True)
    return [future.result() for future in futures]


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for, print the outcomes, and return the exit status.

    Args:
        argv: the command line, by default the process's own.
    """
    arguments = _arguments(argv)
    expectation = Expectation.load(Path(__file__).with_name("expected.json"))
    patterns = {"all": ("*",), "quick": QUICK}.get(arguments.cases) or arguments.cases.split(",")
    runs = _run_all(arguments, expectation.select(patterns))
    print(table(runs))
    differences = [line for run in runs for line in run.differences(expectation)]
    print(*differences, f"{len(differences)} not as expected", sep="\n")
    if arguments.write_docs:
        write_page(ROOT / "docs" / "conformance-results.rst", runs, expectation, _versions())
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
