"""The schedule of automatic pings (RFC 6455, section 5.5.2)."""

from __future__ import annotations

import itertools

import pytest

from autobahnlike.wire.keepalive import Keepalive


def keepalive(interval: float = 20, timeout: float = 10, size: int = 12, *, any_traffic: bool = True) -> Keepalive:
    """A keepalive whose payloads are "1111", "2222", … of the size."""
    numbers = itertools.count(1)
    return Keepalive(
        interval,
        timeout,
        size,
        any_traffic=any_traffic,
        random_bytes=lambda length: str(next(numbers)).encode() * length,
    )


def started(**options: float) -> Keepalive:
    """A keepalive with pings of 4 bytes that was started at time 100."""
    alive = keepalive(size=4, any_traffic=bool(options.pop("any_traffic", True)), **options)
    alive.start(100)
    return alive


class TestSchedule:
    def test_nothing_is_due_before_the_start(self) -> None:
        alive = keepalive()
        assert alive.deadline is None
        assert alive.due(1e9) is None

    def test_the_first_ping_comes_an_interval_after_the_start(self) -> None:
        alive = started(interval=20)
        assert alive.deadline == 120
        assert alive.due(119.9) is None
        assert alive.due(120) == b"1111"

    def test_without_an_interval_there_are_no_pings(self) -> None:
        alive = started(interval=0)
        assert alive.deadline is None
        assert alive.due(1e9) is None

    def test_the_payload_is_as_long_as_asked_for(self) -> None:
        alive = keepalive(size=125)
        assert len(alive.ping(0)) == 125

    def test_a_pong_asks_for_the_next_ping_an_interval_later(self) -> None:
        alive = started(interval=20)
        alive.due(120)
        assert alive.pong(b"1111", 121)
        assert alive.deadline == 141
        assert alive.due(141) == b"2222"

    def test_a_stopped_one_sends_nothing_and_waits_for_nothing(self) -> None:
        alive = started()
        alive.due(120)
        alive.stop()
        assert alive.deadline is None
        assert alive.due(1e9) is None
        assert not alive.pong(b"1111", 121)

    def test_a_late_wake_up_sends_one_ping_only(self) -> None:
        alive = started(interval=20, timeout=10)
        assert alive.due(1000) == b"1111"
        assert alive.due(1000) is None
        assert alive.deadline == 1010


class TestRoundTrip:
    def test_the_round_trip_is_measured(self) -> None:
        alive = started()
        assert alive.rtt is None
        alive.due(120)
        alive.pong(b"1111", 120.25)
        assert alive.rtt == 0.25

    def test_another_payload_is_no_answer(self) -> None:
        """Section 5.5.3: "A Pong frame MAY be sent unsolicited"."""
        alive = started()
        alive.due(120)
        assert not alive.pong(b"1112", 121)
        assert not alive.pong(b"", 121)
        assert alive.rtt is None
        assert alive.deadline == 130

    def test_an_answer_counts_once(self) -> None:
        alive = started()
        alive.due(120)
        assert alive.pong(b"1111", 121)
        assert not alive.pong(b"1111", 125)
        assert alive.rtt == 1

    def test_a_pong_before_any_ping_is_no_answer(self) -> None:
        assert not started().pong(b"", 101)

    def test_a_ping_by_hand_is_measured_though_there_is_no_interval(self) -> None:
        alive = started(interval=0, timeout=10)
        assert alive.ping(105) == b"1111"
        assert alive.deadline == 115
        assert alive.pong(b"1111", 107)
        assert alive.rtt == 2
        assert alive.deadline is None


class TestGivingUp:
    def test_a_silent_peer_is_given_up_after_the_timeout(self) -> None:
        alive = started(interval=20, timeout=10)
        alive.due(120)
        assert alive.due(129.9) is None
        with pytest.raises(TimeoutError):
            alive.due(130)

    def test_what_came_before_the_ping_is_no_sign_of_life(self) -> None:
        alive = started(interval=20, timeout=10)
        alive.heard(120)
        alive.due(120)
        with pytest.raises(TimeoutError):
            alive.due(130)

    def test_any_traffic_is_a_sign_of_life(self) -> None:
        alive = started(interval=20, timeout=10)
        alive.due(120)
        alive.heard(125)
        assert alive.due(130) is None
        assert alive.deadline == 145
        assert alive.due(145) == b"2222"

    def test_traffic_that_was_long_ago_asks_for_the_next_ping_at_once(self) -> None:
        alive = started(interval=5, timeout=10)
        alive.due(105)
        alive.heard(106)
        assert alive.due(115) == b"2222"
        assert alive.deadline == 125

    def test_traffic_settles_a_ping_by_hand(self) -> None:
        alive = started(interval=0, timeout=10)
        alive.ping(100)
        alive.heard(101)
        assert alive.due(110) is None
        assert alive.deadline is None

    def test_traffic_does_not_count_if_only_the_pong_does(self) -> None:
        alive = started(interval=20, timeout=10, any_traffic=False)
        alive.due(120)
        alive.heard(125)
        with pytest.raises(TimeoutError):
            alive.due(130)

    def test_without_a_timeout_nobody_is_given_up(self) -> None:
        alive = started(interval=20, timeout=0)
        assert alive.due(120) == b"1111"
        assert alive.deadline is None
        assert alive.due(1e9) is None


class TestSuspension:
    """We do not read: a pong that is there would not be seen."""

    def test_nobody_is_given_up_while_we_do_not_read(self) -> None:
        alive = started(interval=20, timeout=10)
        alive.due(120)
        alive.suspend()
        for now in (130, 140, 150):
            assert alive.deadline == now
            assert alive.due(now) is None

    def test_afterwards_the_peer_has_the_full_time(self) -> None:
        alive = started(interval=20, timeout=10)
        alive.due(120)
        alive.suspend()
        alive.due(130)
        alive.resume(139)
        assert alive.deadline == 149
        with pytest.raises(TimeoutError):
            alive.due(149)

    def test_pings_are_sent_all_the_same(self) -> None:
        alive = started(interval=20, timeout=10)
        alive.suspend()
        assert alive.due(120) == b"1111"

    def test_resuming_moves_no_ping_that_is_not_out(self) -> None:
        alive = started(interval=20, timeout=10)
        alive.suspend()
        alive.resume(110)
        assert alive.deadline == 120

    def test_resuming_sets_no_deadline_where_there_is_no_timeout(self) -> None:
        alive = started(interval=20, timeout=0)
        alive.due(120)
        alive.suspend()
        alive.resume(130)
        assert alive.deadline is None

    def test_resuming_what_was_not_suspended_changes_nothing(self) -> None:
        alive = started(interval=20, timeout=10)
        alive.due(120)
        alive.resume(129)
        assert alive.deadline == 130
