"""The list of all scenarios about ASGI."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.conformance.registry import LOOPS, Scenario, Story

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.asgi.kit import AppKit

SCENARIOS: dict[str, Scenario] = {}


def scenario(*loops: str) -> Callable[[Callable[[AppKit], Awaitable[None]]], Callable[[AppKit], Awaitable[None]]]:
    """Make a function a scenario.

    Args:
        *loops: where it holds; none for all of them.
    """

    def register(story: Callable[[AppKit], Awaitable[None]]) -> Callable[[AppKit], Awaitable[None]]:
        name = f"{story.__module__.rsplit('.', 1)[-1].removeprefix('scenarios_')}.{story.__name__}"
        assert name not in SCENARIOS, f"{name} is there twice"
        as_story: Story = story  # type: ignore[assignment]
        SCENARIOS[name] = Scenario(name, as_story, loops or LOOPS)
        return story

    return register
