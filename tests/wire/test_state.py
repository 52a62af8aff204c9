"""The state machine: the table alone, and that nothing but ``Connection._move`` moves the state."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest

from autobahnlike.wire.state import ILLEGAL, TRANSITIONS, Input, State

PACKAGE = Path(__file__).parents[2] / "autobahnlike"
EVERY_PAIR = list(itertools.product(State, Input))


class TestTransitionTable:
    @pytest.mark.parametrize(("state", "what"), EVERY_PAIR, ids=lambda each: each.name)
    def test_every_pair_is_either_a_transition_or_illegal(self, state: State, what: Input) -> None:
        assert ((state, what) in TRANSITIONS) is not ((state, what) in ILLEGAL)

    def test_no_pair_is_unknown(self) -> None:
        assert {*TRANSITIONS, *ILLEGAL} == set(EVERY_PAIR)

    def test_every_state_is_reached_from_the_first_one(self) -> None:
        reached = {State.CONNECTING}
        for _ in State:
            reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
        assert reached == set(State)

    def test_a_lost_connection_is_closed_whatever_it_was(self) -> None:
        for state in set(State) - {State.CLOSED}:
            assert TRANSITIONS[state, Input.LOST] is State.CLOSED

    def test_every_connection_but_a_closed_one_can_be_dropped(self) -> None:
        for state in set(State) - {State.CLOSED}:
            assert TRANSITIONS[state, Input.DROP] is State.DISCONNECTING

    def test_nothing_happens_any_more_when_closed(self) -> None:
        assert not [what for state, what in TRANSITIONS if state is State.CLOSED]

    def test_a_state_is_never_entered_twice_except_by_dropping_twice(self) -> None:
        order = list(State)
        for (before, what), after in TRANSITIONS.items():
            again = (before, what) == (State.DISCONNECTING, Input.DROP)
            assert order.index(after) > order.index(before) or again

    def test_one_close_frame_each_way(self) -> None:
        """RFC 6455, sections 5.5.1 and 7.1.2 to 7.1.4."""
        after_ours = TRANSITIONS[State.OPEN, Input.SEND_CLOSE]
        assert (after_ours, Input.SEND_CLOSE) in ILLEGAL
        after_both = TRANSITIONS[after_ours, Input.RECEIVE_CLOSE]
        assert after_both is State.DISCONNECTING
        assert {(after_both, Input.SEND_CLOSE), (after_both, Input.RECEIVE_CLOSE)} <= ILLEGAL


def assignments_of_state(path: Path) -> list[tuple[str, bool]]:
    """The functions in which an attribute ``state`` is set, and whether what is set is looked up in the table."""
    found = []
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Attribute) and target.attr == "state" for target in targets):
                value = ast.unparse(node.value) if isinstance(node, ast.Assign) else ""
                found.append((function.name, value == "TRANSITIONS[self.state, what]"))
    return found


class TestOneMover:
    def test_only_move_sets_the_state_of_a_connection(self) -> None:
        found = assignments_of_state(PACKAGE / "wire" / "connection.py")
        assert sorted(found) == [("__init__", False), ("_move", True)]

    def test_nothing_else_in_the_package_sets_a_state(self) -> None:
        paths = {
            path for layer in ("wire", "websocket", "twisted", "asyncio") for path in PACKAGE.rglob(f"{layer}/*.py")
        }
        paths.remove(PACKAGE / "wire" / "connection.py")
        assert len(paths) > 40
        assert {path.name: found for path in paths if (found := assignments_of_state(path))} == {}

    def test_the_table_is_written_in_its_own_module_only(self) -> None:
        uses = {
            path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if "TRANSITIONS" in path.read_text()
        }
        assert uses == {"wire/state.py", "wire/connection.py"}
