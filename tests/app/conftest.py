"""What the process has only one of, as if it were new for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autobahnlike.app.providers import STORE
from autobahnlike.app.settings import settings


@pytest.fixture(autouse=True)
def no_providers() -> Iterator[None]:
    """Start and end without providers."""
    STORE.clear()
    yield
    STORE.clear()


@pytest.fixture(autouse=True)
def no_settings() -> Iterator[None]:
    """Start and end without settings."""
    settings._clear()
    yield
    settings._clear()
