"""Calls that wait for the application."""

from __future__ import annotations

from autobahnlike.wire.delivery import ReadAhead


class Application:
    """What the calls are for; it notes them, and may add more."""

    def __init__(self) -> None:
        self.ahead = ReadAhead()
        self.calls: list[str] = []

    def message(self, text: str, then: str = "") -> None:
        self.calls.append(text)
        if then:
            self.ahead.add(len(then), self.message, (then,))

    def close(self, text: str) -> None:
        self.calls.append(f"close {text}")

    def deliver(self) -> list[str]:
        while self.ahead:
            self.ahead.call_next()
        return self.calls


def test_calls_are_made_in_order() -> None:
    app = Application()
    for text in "abc":
        app.ahead.add(1, app.message, (text,))
    assert app.deliver() == ["a", "b", "c"]


def test_one_call_at_a_time() -> None:
    app = Application()
    app.ahead.add(1, app.message, ("a",))
    app.ahead.add(1, app.message, ("b",))
    app.ahead.call_next()
    assert app.calls == ["a"]
    assert app.ahead


def test_what_is_held_counts_until_all_calls_are_made() -> None:
    app = Application()
    assert not app.ahead
    assert app.ahead.size == 0
    app.ahead.add(100, app.message, ("a",))
    one = app.ahead.size
    app.ahead.add(0, app.message, ("",))
    assert 100 < one < app.ahead.size < 400, "an entry costs something, also without a payload"
    app.ahead.call_next()
    app.ahead.call_next()
    assert app.ahead.size == 0


def test_a_call_may_add_another_one() -> None:
    app = Application()
    app.ahead.add(1, app.message, ("a", "b"))
    assert app.deliver() == ["a", "b"]
    assert app.ahead.size == 0


def test_all_may_be_forgotten() -> None:
    app = Application()
    app.ahead.add(100, app.message, ("a",))
    app.ahead.forget()
    assert not app.ahead
    assert app.ahead.size == 0
    assert app.deliver() == []


def test_all_but_the_calls_of_one_method_may_be_forgotten() -> None:
    app = Application()
    app.ahead.add(100, app.message, ("a",))
    app.ahead.add(2, app.close, ("b",))
    app.ahead.add(100, app.message, ("c",))
    app.ahead.forget(keep=app.close)
    assert 0 < app.ahead.size <= 100
    assert app.deliver() == ["close b"]
    assert app.ahead.size == 0
