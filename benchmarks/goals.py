"""What is aimed at: the most that autobahnlike may cost, as a multiple of what others cost in the same run."""

from __future__ import annotations

import dataclasses
import fnmatch

from benchmarks.catalogue import SERVERS
from benchmarks.measure import Outcome
from benchmarks.results import Report, figures_of

__all__ = ("COLUMNS", "GOALS", "Goal", "goals_table", "reached")

COLUMNS = (
    *("autobahnlike-asyncio", "autobahnlike-uvloop", "autobahnlike-twisted", "autobahnlike-twisted-uvloop"),
    "autobahnlike-pure-asyncio",
)
_PEERS = tuple(server.name for server in SERVERS if not server.ours and not server.raw)


@dataclasses.dataclass(frozen=True)
class Goal:
    """A row of the table.

    Attributes:
        title: what it is about.
        scenarios: patterns of their names; the worst of them counts.
        limits: for each of ``COLUMNS``; None for none. KiB of memory if there are no peers.
        peers: patterns of the servers to compare with, of which the cheapest counts.
        pure_peers: the same, for the last column.
    """

    title: str
    scenarios: tuple[str, ...]
    limits: tuple[float | None, ...]
    peers: tuple[str, ...] = ("picows-uvloop",)
    pure_peers: tuple[str, ...] = ("picows-uvloop",)


_WEBSOCKETS = ("websockets-*",)
_NOT_PIPELINED = (
    "pp-*",
    "pipe-1K-utf8",
    "pipe-256K",
    "pipe-1M",
    "fragments-*",
    "deflate-*",
    "broadcast-*",
    "handshakes",
)

GOALS = (
    Goal("ping-pong, 16 B to 1 KiB", ("pp-16-*", "pp-128-*", "pp-1K-*"), (1.05, 0.95, 1.30, 1.30, 1.70)),
    Goal("pipelined, 16 and 128 B", ("pipe-16", "pipe-128"), (0.10, 0.10, 0.12, 0.10, 0.40)),
    Goal("pipelined, 1 KiB", ("pipe-1K",), (0.18, 0.16, 0.20, 0.18, 0.85)),
    Goal("ping-pong, 16 KiB", ("pp-16K-*",), (1.00, 0.92, 1.15, 0.95, 4)),
    Goal("256 KiB and 1 MiB", ("*-256K*", "*-1M*"), (1.00, 1.00, 1.30, 1.10, 8)),
    Goal("fragments, of aiohttp", ("fragments-*",), (0.70, 0.70, 0.85, 0.70, 1), ("aiohttp-*",), _WEBSOCKETS),
    Goal("permessage-deflate, of the best", ("deflate-1K",), (1.00, 1.00, 1.15, 1.00, 1), _PEERS, _WEBSOCKETS),
    Goal("broadcast", ("broadcast-200",), (0.60, 0.60, 0.80, 0.60, 1), pure_peers=_WEBSOCKETS),
    Goal("broadcast, 8 under way", ("broadcast-200-w8",), (0.60, 0.60, 0.80, 0.60, 1), pure_peers=_WEBSOCKETS),
    Goal("opening handshakes", ("handshakes",), (1.00, 1.00, 1.30, 1.00, 1), pure_peers=_WEBSOCKETS),
    Goal(
        "pipelined, of Autobahn",
        ("pipe-16", "pipe-128", "pipe-1K"),
        (None, None, 0.05, 0.05, None),
        ("autobahn-twisted",),
    ),
    Goal("the rest, of Autobahn", _NOT_PIPELINED, (None, None, 0.25, 0.25, None), ("autobahn-twisted",)),
    Goal("KiB for a connection", ("memory",), (8, 8, 7, 7, None), ()),
    Goal("KiB after a compressed message", ("memory-deflate",), (32, 32, 32, 32, None), ()),
    Goal("KiB after a minute of silence", ("memory-silence",), (8, 8, 7, 7, None), ()),
)


def _value(goal: Goal, column: str, outcomes: dict[str, Outcome]) -> float | None:
    """Return what one scenario has for one column, None if it was not measured."""
    mine = outcomes.get(column)
    if mine is None:
        return None
    if not goal.peers:
        figures = figures_of(mine, None)
        return None if figures is None else figures.memory / 1024
    patterns = goal.pure_peers if column == COLUMNS[-1] else goal.peers
    costs = {}
    for name, outcome in outcomes.items():
        figures = figures_of(outcome, None)
        if figures is not None and any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            costs[name] = figures.cpu
    if not costs:
        return None
    figures = figures_of(mine, outcomes[min(costs, key=lambda name: costs[name])])
    return None if figures is None else figures.cpu_ratio


def reached(goal: Goal, report: Report) -> list[float | None]:
    """Return what was measured for a goal: the worst of its scenarios, for each of ``COLUMNS``."""
    row: list[float | None] = []
    for column, limit in zip(COLUMNS, goal.limits, strict=True):
        values = [
            _value(goal, column, outcomes)
            for name, outcomes in report.outcomes.items()
            if limit is not None and any(fnmatch.fnmatch(name, pattern) for pattern in goal.scenarios)
        ]
        row.append(max((value for value in values if value is not None), default=None))
    return row


def goals_table(report: Report) -> str:
    """Return the table, empty if nothing in it was measured; what costs more than it may has an exclamation mark."""
    lines = []
    for goal in GOALS:
        row = reached(goal, report)
        if any(value is not None for value in row):
            lines.append(f"  {goal.title:32}" + "".join(map(_cell, row, goal.limits)))
    if not lines:
        return ""
    heads = "".join(f"{column.removeprefix('autobahnlike-'):>17}" for column in COLUMNS)
    return "\n".join(["CPU beside the most that is aimed at", f"  {'':32}{heads}", *lines])


def _cell(value: float | None, limit: float | None) -> str:
    if value is None or limit is None:
        return f"{'-':>17}"
    mark = "!" if value > limit else " "
    return f"{value:>9.2f} {mark}({limit:.2f})".rjust(17)
