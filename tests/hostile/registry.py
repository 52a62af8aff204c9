"""What a case is, and the list of all of them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, Literal, TypeVar

MUST: Literal["M"] = "M"
SHOULD: Literal["S"] = "S"


class Place(enum.Enum):
    """In which process a case is run."""

    SHARED = "the process of most cases, one case at a time"
    FRESH = "a process of its own, so that memory which an earlier case left to the allocator hides nothing"
    PATIENT = "a second process, together with all other cases that do little but wait"
    KEEPALIVE = "as PATIENT, with short keepalive times: the only options that are ever set"


@dataclasses.dataclass
class Figure:
    """Something measured.

    Attributes:
        value: what was measured.
        unit: of the value.
        limit: what is intended, if anything is.
    """

    value: float
    unit: str
    limit: float | None

    @property
    def over(self) -> bool:
        """Whether it is over what is intended."""
        return self.limit is not None and self.value > self.limit

    def __str__(self) -> str:
        value = f"{self.value:.{0 if self.value >= 100 else 2 if self.value < 10 else 1}f} {self.unit}"
        return f"{value} (over {self.limit:g})" if self.over else value


@dataclasses.dataclass
class Report:
    """What a case found besides that its rule holds or not."""

    figures: dict[str, Figure] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    def figure(self, name: str, value: float, unit: str, limit: float | None = None, hard: float | None = None) -> None:
        """Record a figure.

        Args:
            name: what it is.
            value: the figure.
            unit: of the figure.
            limit: the bound that is intended. A test that holds only above it does not fail.
            hard: the bound that fails a test. For times it is very generous; for memory it is the rule's own.
        """
        self.figures[name] = Figure(value, unit, limit)
        assert hard is None or value <= hard, f"{name}: {value:.2f} {unit}, more than {hard:g}"

    def note(self, text: str) -> None:
        """Record something that is neither right nor wrong."""
        self.notes.append(text)


CaseFunction = Callable[[Any, Report], None]
Function = TypeVar("Function", bound=CaseFunction)


@dataclasses.dataclass(frozen=True)
class Case:
    """A rule and the attack that shows whether it holds.

    Attributes:
        id: the rule's id.
        level: "M" for a MUST of the RFC or a bound without which one peer can take the process down, "S" for a should.
        title: the rule in one line.
        attack: the function; it is given a ``Server`` or a ``Client``, and a ``Report``.
        place: in which process it runs.
        slow: whether the default test run leaves it out.
        rss: MiB by which the process may grow at the most, also for a moment.
        cpu: seconds of CPU time that are intended at the most.
    """

    id: str
    level: Literal["M", "S"]
    title: str
    attack: CaseFunction
    place: Place
    slow: bool
    rss: float
    cpu: float | None


SERVER_CASES: list[Case] = []
CLIENT_CASES: list[Case] = []


def case(
    rule: str,
    level: Literal["M", "S"],
    title: str,
    *,
    place: Place = Place.SHARED,
    slow: bool = False,
    rss: float = 8,
    cpu: float | None = None,
) -> Callable[[Function], Function]:
    """Make a function the case of a rule, which is its id. See ``Case`` for the other parameters."""

    def register(attack: Function) -> Function:
        cases = CLIENT_CASES if rule[0] in "ELR" else SERVER_CASES
        cases.append(Case(rule, level, title, attack, place, slow, rss, cpu))
        return attack

    return register
