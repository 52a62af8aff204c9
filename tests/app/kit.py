"""Applications and providers that several tests make use of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from autobahnlike.app import App

__all__ = ("Log", "app_with")


class Log(list[str]):
    """What happened, in order."""

    def resource(self, name: str) -> Callable[[], Iterator[str]]:
        """Return a provider that notes when it is opened and closed."""

        def make() -> Iterator[str]:
            self.append(f"open {name}")
            yield name
            self.append(f"close {name}")

        make.__name__ = name
        return make


def app_with(view: Any, pattern: str = "/", **options: Any) -> App:
    """Return an application of one HTTP view."""
    app = App()
    app.route(pattern, **options)(view)
    return app
