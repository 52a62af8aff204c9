"""What the shared code asks of an edge is what both edges have."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from autobahnlike.asyncio.loop import AsyncioLink, AsyncioLoop
from autobahnlike.twisted.loop import TwistedLink, TwistedLoop
from autobahnlike.websocket.link import EventLoop, Link

from .ends import FakeLink, FakeLoop

# What is only asked of a link that has left its socket to the session; that of the tests never does.
DIRECT = {"peer_ended", "reading_failed"}


def methods_of(protocol: type) -> dict[str, Any]:
    return {name: value for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"}


@pytest.mark.parametrize("link", [TwistedLink, AsyncioLink, FakeLink])
def test_links(link: type) -> None:
    asked = {name: method for name, method in methods_of(Link).items() if link is not FakeLink or name not in DIRECT}
    assert asked.keys() <= vars(link).keys()
    for name, method in asked.items():
        ours = inspect.signature(getattr(link, name)).parameters
        assert list(inspect.signature(method).parameters) == list(ours), name
    source = inspect.getsource(link)
    for name in ("peer", "own", "is_secure"):
        assert f"self.{name} = " in source or isinstance(vars(link)[name], property)
    assert "buffered" in source
    if link is not FakeLink:
        assert "self.queued: " in source or hasattr(link, "queued")


@pytest.mark.parametrize("loop", [TwistedLoop, AsyncioLoop, FakeLoop])
def test_loops(loop: type) -> None:
    for name, method in methods_of(EventLoop).items():
        if name != "now":
            ours = inspect.signature(getattr(loop, name)).parameters
            assert list(inspect.signature(method).parameters) == list(ours), name
