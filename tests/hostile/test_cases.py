"""Every case, on every loop. ``-m "not slow"`` leaves out the storms; see the package for how to read a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .arena import Arena, client_arena, server_arena
from .cases import CLIENTS, SERVERS
from .processes import LOOPS, Client, Server
from .registry import Case, Report

EXPECTED_IDS = {
    f"{topic}{number:02d}"
    for topic, first, last in (
        ("H", 1, 42), ("F", 1, 26), ("C", 0, 11), ("S", 1, 4), ("K", 1, 4), ("X", 1, 11), ("M", 1, 5), ("Z", 1, 2),
        ("E", 1, 28), ("L", 1, 8), ("R", 1, 25),
    )
    for number in range(first, last + 1)
}  # fmt: skip


def _selected(request: pytest.FixtureRequest, loop: str) -> list[Case]:
    """The cases on this loop that this run was asked for."""
    calls = [
        item.callspec.params
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    return [case for params in calls if params.get("loop") == loop and isinstance(case := params.get("case"), Case)]


@pytest.fixture(scope="module", params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    """The loop on which the process under attack runs."""
    return str(request.param)


@pytest.fixture(scope="module")
def servers(loop: str, request: pytest.FixtureRequest) -> Iterator[Arena[Server]]:
    """The servers on one loop."""
    with server_arena(loop) as arena:
        arena.begin_waiting(case for case in _selected(request, loop) if case in SERVERS)
        yield arena


@pytest.fixture(scope="module")
def clients(loop: str, request: pytest.FixtureRequest) -> Iterator[Arena[Client]]:
    """The clients on one loop."""
    with client_arena(loop) as arena:
        arena.begin_waiting(case for case in _selected(request, loop) if case in CLIENTS)
        yield arena


def _params(cases: tuple[Case, ...]) -> list[object]:
    return [pytest.param(case, id=case.id, marks=[pytest.mark.slow] if case.slow else []) for case in cases]


@pytest.mark.parametrize("case", _params(SERVERS))
def test_server(case: Case, servers: Arena[Server]) -> None:
    """A server holds to the rule."""
    servers.run(case, Report())


@pytest.mark.parametrize("case", _params(CLIENTS))
def test_client(case: Case, clients: Arena[Client]) -> None:
    """A client holds to the rule."""
    clients.run(case, Report())


def test_every_rule_has_one_case() -> None:
    """No rule is left out, and none is there twice."""
    ids = [case.id for case in SERVERS + CLIENTS]
    assert sorted(ids) == sorted(EXPECTED_IDS)
