"""What a scenario is, and the list of all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conformance.kit import Kit

ASYNCIO = ("asyncio", "uvloop")
TWISTED = ("twisted", "twisted-asyncio")
LOOPS = ASYNCIO + TWISTED

Story = Callable[["Kit"], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """A promise and how it is seen to be kept.

    Attributes:
        name: the module and the function, as "hooks.test_order".
        story: the function.
        loops: where it holds; all four unless it is about an API that only one of them has.
    """

    name: str
    story: Story
    loops: tuple[str, ...]


SCENARIOS: dict[str, Scenario] = {}


def scenario(*loops: str) -> Callable[[Story], Story]:
    """Make a function a scenario.

    Args:
        *loops: where it holds; none for all of them.
    """

    def register(story: Story) -> Story:
        topic = story.__module__.rsplit(".", 1)[-1].removeprefix("scenarios_")
        name = f"{topic}.{story.__name__}"
        assert name not in SCENARIOS, f"{name} is there twice"
        SCENARIOS[name] = Scenario(name, story, loops or LOOPS)
        return story

    return register
