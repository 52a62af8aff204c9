"""``python -m benchmarks.instructions``: what a message or a handshake takes, whatever else the machine does.

valgrind counts instructions while ``counted.py`` runs: once without a case and once with it. The difference, for each
message or handshake, is compared to ``instructions.json``; more than five percent above is an error. The counts of two
minor versions of Python have nothing to do with each other, so that the file has one set for each; a version without
one fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from autobahnlike import speed
from benchmarks.counted import CASES

__all__ = ("Counts", "compare", "main")

ROOT = Path(__file__).parents[1]
BASELINE = Path(__file__).with_name("instructions.json")
MESSAGES = 2000
TOLERANCE = 0.05
# Whether a growing buffer is moved depends on what else the process has on its heap, and moving 1 KiB counts.
TOLERANCE_OF_LARGE = 0.25

# Instructions for a message, or a connection, by case.
Counts = dict[str, int]


class CountingFailed(Exception):
    """It could not be counted."""


def _count(implementation: str, arguments: list[str]) -> int:
    """Return how many instructions a process takes in all."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CountingFailed("there is no valgrind, which counts the instructions")
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    if implementation == "pure":
        environment["AUTOBAHNLIKE_PURE"] = "1"
    command = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    # -S, because what site-packages bring along is not ours; -B, because writing what was compiled counts as well.
    command += [sys.executable, "-S", "-B", "-m", "benchmarks.counted", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise CountingFailed(done.stderr[-2000:])
    return int(found[1])


def _count_all(implementation: str) -> Counts:
    start = _count(implementation, [])
    return {case: round((_count(implementation, [case, str(MESSAGES)]) - start) / MESSAGES) for case in CASES}


def compare(counts: Counts, baseline: Counts) -> list[str]:
    """Return the cases that take more instructions than they may.

    Args:
        counts: what was counted.
        baseline: what was counted before.
    """
    return [case for case, count in counts.items() if count > baseline.get(case, 0) * (1 + _tolerance(case))]


def _tolerance(case: str) -> float:
    return TOLERANCE_OF_LARGE if case.endswith("-1024") else TOLERANCE


def _print(title: str, counts: Counts, baseline: Counts) -> None:
    print(f"{title}: instructions for a message, or a connection")
    for case, count in counts.items():
        before = baseline.get(case)
        change = f"{count / before - 1:+8.1%} of {before:,}" if before else "     new"
        print(f"  {case:14}{count:>9,}  {change}")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description="Count instructions.")
    parser.add_argument("--write", action="store_true", help=f"make what is counted now the new {BASELINE.name}")
    parser.add_argument(
        "--implementation", choices=("compiled", "pure"), help="only this one (default: all that there are)"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Count, compare, and return the exit status: 1 if there are too many, 2 if it was not possible.

    Args:
        argv: the command line, by default the process's own.
    """
    arguments = _arguments(argv)
    implementations = (
        [arguments.implementation] if arguments.implementation else ["compiled"] * speed.COMPILED + ["pure"]
    )
    everything: dict[str, dict[str, Counts]] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    version = "{}.{}".format(*sys.version_info)
    known = everything.setdefault(version, {})
    status = 0
    try:
        for implementation in implementations:
            counts, baseline = _count_all(implementation), known.get(implementation, {})
            _print(f"Python {version}, {implementation}", counts, baseline)
            if arguments.write:
                known[implementation] = counts
            elif too_many := compare(counts, baseline):
                what = ", ".join(f"{case} by more than {_tolerance(case):.0%}" for case in too_many)
                print(f"above {BASELINE.name}: {what}")
                status = 1
    except CountingFailed as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.write:
        BASELINE.write_text(json.dumps(everything, indent=2, sort_keys=True) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
