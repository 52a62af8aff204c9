"""Run the cases and print what they found, judged by the bounds that are intended.

``python -m tests.hostile [--loop LOOP]… [--server COMMAND] [--client COMMAND] [--only PATTERN]… [--quick]
[--json FILE]``
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import fnmatch
import json
import sys
import time
from typing import Any

from .arena import Arena, client_arena, server_arena
from .cases import CLIENTS, SERVERS
from .peers import Weak
from .processes import LOOPS, Client, Server
from .registry import Case, Report


@dataclasses.dataclass
class Row:
    """A line of the table."""

    loop: str
    case: Case
    verdict: str
    why: str
    report: Report

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {figure}" for name, figure in self.report.figures.items())
        details = "; ".join(filter(None, [self.why, *self.report.notes, figures]))
        return f"{self.loop:16}{self.case.id} {self.case.level} {self.verdict:5} {self.case.title}\n{'':24}{details}"

    def as_json(self) -> dict[str, Any]:
        """The line as plain data."""
        figures = {name: dataclasses.asdict(figure) for name, figure in self.report.figures.items()}
        kept = {"loop": self.loop, "id": self.case.id, "level": self.case.level, "title": self.case.title}
        return {**kept, "verdict": self.verdict, "why": self.why, "notes": self.report.notes, "figures": figures}


def judge(loop: str, arena: Arena[Any], case: Case) -> Row:
    """Run a case and judge it: "pass", "weak", or "fail", which a figure over its limit is as well."""
    report = Report()
    start = time.monotonic()
    try:
        arena.run(case, report)
    except Weak as weakness:
        return Row(loop, case, "weak", str(weakness), report)
    except Exception as error:
        return Row(loop, case, "fail", f"{type(error).__name__}: {error}", report)
    report.figure("took", time.monotonic() - start, "s")
    over = [name for name, figure in report.figures.items() if figure.over]
    return Row(loop, case, "fail" if over else "pass", "", report)


def run_all(loop: str, arena: Arena[Server] | Arena[Client], cases: list[Case]) -> list[Row]:
    """Run the cases in one arena and print each as it ends: first all that wait, so that they disturb no figure."""
    rows = []
    with arena:
        arena.begin_waiting(cases)
        arena.await_waiting()
        for case in cases:
            row = judge(loop, arena, case)
            print(row, flush=True)
            rows.append(row)
    return rows


def main() -> int:
    """Read the command line, run, print, and give the exit status: 1 if anything failed or is weak."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.hostile", description="Hostile peers against servers and clients."
    )
    parser.add_argument("--loop", action="append", choices=LOOPS, help="only on this loop")
    parser.add_argument("--server", help="another server's command line, with {port} in it unless it prints its port")
    parser.add_argument("--client", help="another client's command line, which speaks as clients.py does")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="only cases like this: H*, R24")
    parser.add_argument("--quick", action="store_true", help="leave out the slow cases")
    parser.add_argument("--json", type=argparse.FileType("w"), help="write all figures to this file")
    options = parser.parse_args()

    def select(cases: tuple[Case, ...]) -> list[Case]:
        wanted = [case for case in cases if not (options.quick and case.slow)]
        return [case for case in wanted if any(fnmatch.fnmatch(case.id, only) for only in options.only or ["*"])]

    rows: list[Row] = []
    other = bool(options.server or options.client)
    for loop in ["other"] if other else options.loop or LOOPS:
        if (cases := select(SERVERS)) and (options.server or not other):
            rows += run_all(loop, server_arena(loop, options.server), cases)
        if (cases := select(CLIENTS)) and (options.client or not other):
            rows += run_all(loop, client_arena(loop, options.client), cases)
    for loop in dict.fromkeys(row.loop for row in rows):
        counts = collections.Counter(row.verdict for row in rows if row.loop == loop)
        print(f"{loop:16}{counts['pass']} pass, {counts['weak']} weak, {counts['fail']} fail")
    if options.json:
        json.dump([row.as_json() for row in rows], options.json, indent=1)
    return 0 if rows and all(row.verdict == "pass" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
