"""Addresses as Autobahn writes them, and sleeping."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

import pytest
import twisted.internet
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from autobahnlike.twisted.util import address2str, peer2str, sleep


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (IPv4Address("TCP", "127.0.0.1", 9000), "tcp4:127.0.0.1:9000"),
        (IPv6Address("TCP", "::1", 9000), "tcp6:::1:9000"),
        (UNIXAddress("/run/socket"), "unix:/run/socket"),
        (UNIXAddress(b"/run/socket"), "unix:/run/socket"),
        (UNIXAddress(None), "unix"),
        (UNIXAddress(""), "unix"),
        (HostnameAddress(b"example.com", 80), "tcp:example.com:80"),
        (None, "unknown"),
    ],
)
def test_address2str(address: Any, text: str) -> None:
    assert address2str(address) == text


def test_peer2str() -> None:
    assert peer2str(StringTransport(peerAddress=IPv4Address("TCP", "10.0.0.1", 1))) == "tcp4:10.0.0.1:1"


class TestSleep:
    def test_it_is_done_after_the_time(self) -> None:
        clock = Clock()
        results: list[Any] = []
        sleep(2, clock).addCallback(lambda result: results.append(result))
        clock.advance(1.9)
        assert results == []
        clock.advance(0.1)
        assert results == [None]

    def test_cancelling_it_cancels_the_timer(self) -> None:
        clock = Clock()
        waiting = sleep(2, clock)
        failures: list[Any] = []
        waiting.addErrback(lambda failure: failures.append(failure.type))
        waiting.cancel()
        assert failures == [CancelledError]
        assert clock.getDelayedCalls() == []

    def test_on_the_global_reactor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock()
        monkeypatch.setattr(twisted.internet, "reactor", clock, raising=False)
        sleep(2)
        assert len(clock.getDelayedCalls()) == 1
