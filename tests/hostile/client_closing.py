"""L01 to L08: a client whose server does not end the connection as it should."""

from __future__ import annotations

import time

from .closing import CLOSING
from .keepalive import DEADLINE
from .peers import CLOSE, PING, TEXT, close_frame, frame
from .processes import Client, Dial
from .registry import MUST, SHOULD, Place, Report, case

DROP = 1.0
"""Seconds a client waits for the server to end TCP first (RFC 6455, section 7.1.1)."""


def _gone(dial: Dial, report: Report, limit: float, start: float) -> None:
    """The client ends the connection by itself, and its application is told."""
    dial.expect_gone()
    report.figure("ended after", time.monotonic() - start, "s", limit, CLOSING * 3)
    dial.outcome()


def _read_close(dial: Dial) -> None:
    """Have the client close, and read its close frame."""
    dial.close()
    assert dial.peer.read_message().opcode == CLOSE


@case("L01", MUST, "the server never answers the client's close", place=Place.PATIENT)
def never_answered(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        _read_close(dial)
        _gone(dial, report, CLOSING + DROP + 1, time.monotonic())


@case("L02", MUST, "the server answers the client's close with data for ever", place=Place.PATIENT)
def answered_with_data(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        _read_close(dial)
        start = time.monotonic()
        while time.monotonic() - start < CLOSING * 3 and _open(dial):
            dial.peer.try_send(frame(TEXT, b"more", mask=None) * 10)
        _gone(dial, report, CLOSING + DROP + 1, start)


def _open(dial: Dial) -> bool:
    try:
        dial.peer.expect_no_data(0.05)
    except AssertionError:
        return False
    return True


@case("L03", MUST, "the server sends close 1000 and keeps TCP open", place=Place.PATIENT)
def kept_open(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        start = time.monotonic()
        dial.peer.send(close_frame(mask=None))
        assert dial.peer.read_message().code == 1000
        _gone(dial, report, CLOSING + DROP + 1, start)


@case("L04", MUST, "data and ping behind the server's close are ignored", place=Place.PATIENT)
def data_behind(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        start = time.monotonic()
        dial.peer.send(close_frame(mask=None) + frame(TEXT, b"too late", mask=None) + frame(PING, b"p", mask=None))
        dial.peer.expect_close(1000, ended=False)
        dial.peer.expect_end()
        _gone(dial, report, CLOSING + DROP + 1, start)
        assert not dial.messages()


@case("L05", MUST, "a FIN without a close frame")
def fin(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        start = time.monotonic()
        dial.peer.finish()
        _gone(dial, report, CLOSING, start)
        assert not dial.seen[-1]["clean"]


@case("L06", MUST, "a RST after the handshake: the application is told")
def reset(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        dial.peer.reset()
        outcome = dial.outcome()
        assert not outcome["clean"], outcome
        assert outcome["reason"]


@case("L07", SHOULD, "the server falls silent", place=Place.KEEPALIVE)
def silent(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        _gone(dial, report, DEADLINE + 1.5, time.monotonic())


@case("L08", MUST, "half a frame, then a FIN")
def half_frame(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        start = time.monotonic()
        dial.peer.send(frame(TEXT, b"half a frame", mask=None)[:7])
        dial.peer.finish()
        _gone(dial, report, CLOSING, start)
        assert not dial.messages()
        assert not dial.seen[-1]["clean"]
