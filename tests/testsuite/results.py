"""What the suite is expected to say, and what it said.

``expected.json`` counts the cases of every group, so that a case which did not run is found, and names the few whose
outcome RFC 6455 leaves open: the suite marks those INFORMATIONAL. Every other case must be OK, in its behaviour and in
how the connection was closed.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ("QUICK", "SECTIONS", "Expectation", "Run", "table", "write_page")

SECTIONS = {
    1: "Framing",
    2: "Pings and pongs",
    3: "Reserved bits",
    4: "Opcodes",
    5: "Fragmentation",
    6: "UTF-8",
    7: "Closing",
    9: "Limits and speed",
    10: "Automatic fragmentation",
    12: "permessage-deflate, payloads",
    13: "permessage-deflate, parameters",
}

# Every section and every parameter of permessage-deflate, but the small sizes of sections 9, 12 and 13 only: their
# large ones take nearly all of the time of a full run.
QUICK = (
    *("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"),
    *("9.1.1", "9.1.3", "9.2.1", "9.2.3", "9.3.5", "9.4.5", "9.5.6", "9.6.6", "9.7.1", "9.7.4", "9.8.1", "9.8.4"),
    *("12.*.1", "12.*.4", "12.1.11"),
    *("13.*.1", "13.*.4", "13.1.11"),
)

Outcome = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Expectation:
    """The cases that there are, and what is expected of each.

    Attributes:
        suite: name and version of the suite.
        outcomes: (behaviour, behaviour at closing) by case id, in the suite's order.
    """

    suite: str
    outcomes: Mapping[str, Outcome]

    @classmethod
    def load(cls, path: Path) -> Expectation:
        """Read ``expected.json``.

        Args:
            path: the file.
        """
        data = json.loads(path.read_text())
        ids = [f"{group}.{number}" for group, count in data["groups"].items() for number in range(1, count + 1)]
        behavior = data["behavior"]
        outcomes = dict.fromkeys(ids, (behavior, behavior))
        outcomes |= dict.fromkeys(data["informational"], ("INFORMATIONAL", "INFORMATIONAL"))
        return cls(data["suite"], outcomes)

    def select(self, patterns: Iterable[str]) -> list[str]:
        """The ids that match any of some patterns, in the suite's order.

        Args:
            patterns: ids, with ``*`` for anything.

        Raises:
            ValueError: a pattern matches no case.
        """
        patterns = tuple(patterns)
        for pattern in patterns:
            if not fnmatch.filter(self.outcomes, pattern):
                raise ValueError(f"no case matches {pattern!r}")
        return [case for case in self.outcomes if any(fnmatch.fnmatchcase(case, pattern) for pattern in patterns)]


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What the suite reported of one role on one loop.

    Attributes:
        role: "server" or "client".
        loop: the name of the loop.
        cases: the ids that were to run.
        outcomes: (behaviour, behaviour at closing) by id, of those that ran.
        errors: what went wrong apart from the cases.
        seconds: how long it took.
    """

    role: str
    loop: str
    cases: list[str]
    outcomes: dict[str, Outcome]
    errors: list[str]
    seconds: float

    @property
    def name(self) -> str:
        """The role and the loop."""
        return f"{self.role} {self.loop}"

    def differences(self, expectation: Expectation) -> list[str]:
        """Everything that is not as expected, a line each; empty if the run is good.

        Args:
            expectation: what to expect.
        """
        found = [f"{self.name}: {error}" for error in self.errors]
        for case in self.cases:
            wanted = expectation.outcomes[case]
            got = self.outcomes.get(case, ("MISSING", "MISSING"))
            if got != wanted:
                found.append(f"{self.name}: case {case} is {' / '.join(got)}, expected {' / '.join(wanted)}")
        if not self.cases:
            found.append(f"{self.name}: no case ran")
        return found


def read_index(path: Path, agent: str) -> dict[str, Outcome]:
    """Read the index that the suite wrote.

    Args:
        path: the ``index.json``.
        agent: the agent whose results to take.
    """
    if not path.exists():
        return {}
    cases = json.loads(path.read_text()).get(agent, {})
    return {case: (report["behavior"], report["behaviorClose"]) for case, report in cases.items()}


def _summary(run: Run, section: int) -> str:
    counts: dict[str, int] = {}
    for case in run.cases:
        if int(case.split(".")[0]) == section:
            behavior, closing = run.outcomes.get(case, ("MISSING", "MISSING"))
            outcome = behavior if behavior == closing else f"{behavior} / {closing}"
            counts[outcome] = counts.get(outcome, 0) + 1
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "not run"


def table(runs: list[Run]) -> str:
    """The outcomes of all runs by section, as text.

    Args:
        runs: the runs, one column each.
    """
    rows = [["", *(run.name for run in runs)]]
    rows += [[f"{number} {title}", *(_summary(run, number) for run in runs)] for number, title in SECTIONS.items()]
    rows += [["seconds", *(f"{run.seconds:.0f}" for run in runs)]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def write_page(path: Path, runs: list[Run], expectation: Expectation, versions: Iterable[str]) -> None:
    """Write the page of the documentation that shows the outcomes.

    Args:
        path: the page.
        runs: the runs of a full matrix.
        expectation: what was expected.
        versions: the programmes that took part, with their versions.
    """
    total = sum(len(run.cases) for run in runs)
    open_cases = [case for case, outcome in expectation.outcomes.items() if outcome[0] == "INFORMATIONAL"]
    differences = sum(len(run.differences(expectation)) for run in runs)
    lines = [
        "Conformance results",
        "===================",
        "",
        "This page is written by ``tox -e conformance``: the Autobahn TestSuite against this package, as a server and",
        "as a client, on every loop.",
        "",
        f"* Suite: {expectation.suite}, {len(expectation.outcomes)} cases.",
        f"* Run with: {', '.join(versions)}.",
        f"* Cases run: {total}. Not as expected: {differences}.",
        f"* INFORMATIONAL are {', '.join(open_cases)}, where RFC 6455 leaves the outcome open.",
        "",
    ]
    for role in dict.fromkeys(run.role for run in runs):
        title = f"As a {role}"
        lines += [title, "-" * len(title), ""]
        lines += _grid([run for run in runs if run.role == role])
    path.write_text("\n".join(lines).rstrip() + "\n")


def _grid(runs: list[Run]) -> list[str]:
    rows = [["Section", *(run.loop for run in runs)]]
    rows += [[f"{number} {title}", *(_summary(run, number) for run in runs)] for number, title in SECTIONS.items()]
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'* -' if position == 0 else '  -'} {cell}" for position, cell in enumerate(row)]
    return [*lines, ""]
