"""X01 to X10: the closing handshake, and connections that end without one."""

from __future__ import annotations

import itertools
import time

from .peers import BINARY, CONTINUATION, MIB, TEXT, Peer, close_frame, frame, request, wait_until
from .processes import Server
from .registry import MUST, Place, Report, case

CLOSING = 5.0
VIOLATION = frame(3, b"reserved opcode")


def _gone(server: Server, peer: Peer, report: Report, limit: float = CLOSING + 1) -> None:
    """The server has let go of the connection, though this side keeps it open."""
    seconds = wait_until(lambda: not server.holds(peer), "the server ends its side")
    report.figure("ended after", seconds, "s", limit, CLOSING * 3)


@case("X01", MUST, "close 1000 is answered, and the server ends TCP first")
def proper_close(server: Server, report: Report) -> None:
    with server.open() as peer:
        peer.send(close_frame(1000, b"bye"))
        start = time.monotonic()
        peer.expect_close(1000, ended=False)
        peer.expect_end()
        report.figure("ended after", time.monotonic() - start, "s", 2, CLOSING * 2)


@case("X02", MUST, "every valid close is answered")
def valid_closes(server: Server, report: Report) -> None:
    codes = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999, None)
    closes = [close_frame(code) for code in codes] + [close_frame(1000, b"r" * 123), close_frame(1000, "é".encode())]
    for data in closes:
        with server.open() as peer:
            peer.send(data)
            answer = peer.expect_close(ended=False)
            # The server's own reason, if any, is text, and never memory that nobody wrote (ws 8.20.1).
            answer.payload[2:].decode()
            assert answer.code in (None, *codes)
            peer.expect_end()


@case("X03", MUST, "a peer that never answers the server's close is dropped", place=Place.PATIENT)
def never_answered(server: Server, report: Report) -> None:
    with server.open() as peer:
        peer.send(VIOLATION)
        _gone(server, peer, report)


@case("X04", MUST, "a peer that answers the server's close with data is dropped, the data ignored", place=Place.PATIENT)
def answered_with_data(server: Server, report: Report) -> None:
    with server.open() as peer:
        peer.send(VIOLATION)
        start = time.monotonic()
        while server.holds(peer):
            peer.try_send(frame(TEXT, b"more") * 10)
            time.sleep(0.05)
            assert time.monotonic() - start < CLOSING * 3, "data keeps the connection"
        report.figure("ended after", time.monotonic() - start, "s", CLOSING + 1)
        assert b"more" not in peer.read_rest()


@case("X11", MUST, "behind a violation, 8 MiB of tiny frames that are skipped cost little", place=Place.FRESH, cpu=3)
def skipped_frames(server: Server, report: Report) -> None:
    with server.open() as peer:
        peer.send(VIOLATION)
        sent = peer.pump(itertools.repeat(frame(CONTINUATION, fin=False) * 1000, 1400), reading=False, patience=0.5)
        report.figure("sent", sent / MIB, "MiB")


@case("X05", MUST, "data behind the peer's close is ignored")
def data_behind(server: Server, report: Report) -> None:
    with server.open() as peer:
        peer.send(close_frame() + frame(TEXT, b"too late") * 3)
        peer.expect_close(ended=False)
        peer.expect_end()


@case("X06", MUST, "a violation and a close in one segment", place=Place.PATIENT)
def violation_and_close(server: Server, report: Report) -> None:
    for data in (VIOLATION + close_frame(), close_frame() + VIOLATION, close_frame() + close_frame(1001)):
        with server.open() as peer:
            peer.send(data)
            peer.expect_close(ended=False)
            _gone(server, peer, report)


@case("X07", MUST, "a FIN without a close", place=Place.PATIENT)
def fin(server: Server, report: Report) -> None:
    with server.open() as peer:
        peer.finish()
        _gone(server, peer, report)


@case("X08", MUST, "a FIN inside a frame or the handshake", place=Place.PATIENT)
def fin_inside(server: Server, report: Report) -> None:
    for data in (frame(BINARY, b"x" * 500)[:100], frame(BINARY, b"x" * 500)[:1]):
        with server.open() as peer:
            peer.send(data)
            peer.finish()
            _gone(server, peer, report)
    for size in (0, 10, 100):
        with server.ask(request()[:size]) as peer:
            peer.finish()
            _gone(server, peer, report)


@case("X09", MUST, "a close inside a fragmented message is answered")
def close_inside(server: Server, report: Report) -> None:
    with server.open() as peer:
        peer.send(frame(TEXT, b"never fini", fin=False) + close_frame())
        peer.expect_close(ended=False)
        peer.expect_end()


@case("X10", MUST, "200 resets with echoes in flight, and 200 inside the handshake, leave no file open")
def resets(server: Server, report: Report) -> None:
    before = server.fds()
    for _ in range(200):
        peer = server.open()
        peer.try_send(frame(BINARY, b"x" * 20_000) * 5)
        peer.reset()
        peer = server.connect()
        peer.try_send(request()[:60])
        peer.reset()
    # The healthy client beside this case may have connected in between, has two once it is read from directly, and its
    # last connection may not be gone.
    wait_until(lambda: server.fds() <= before + 3, "the files are closed")
