"""What a connection tells is what a handler hears."""

from __future__ import annotations

import inspect

import pytest

from autobahnlike.wire.handler import Disconnect, Handler

from .helpers import RecordingHandler

TOLD = [name for name in vars(Handler) if name.startswith("on_")]


def test_everything_that_is_told_is_named() -> None:
    assert len(TOLD) == 10


@pytest.mark.parametrize("name", TOLD)
def test_the_handler_of_these_tests_is_one(name: str) -> None:
    def parameters(of: type) -> list[str]:
        return list(inspect.signature(getattr(of, name)).parameters)

    assert parameters(RecordingHandler) == parameters(Handler)


def test_what_may_be_done_with_a_transport() -> None:
    assert [each.name for each in Disconnect] == ["NO", "FINISH", "CLOSE", "ABORT"]
