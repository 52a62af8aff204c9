"""S01 to S04: clients that do not read what they are sent."""

from __future__ import annotations

import contextlib
import itertools
import threading

from .peers import BINARY, KIB, MIB, Peer, frame
from .processes import Server, mib
from .registry import MUST, Place, Report, case

BLOCK = frame(BINARY, b"x" * 64 * KIB)


def _stuff(server: Server, total: int, patience: float = 1.0) -> tuple[Peer, float]:
    """A client that sends up to that many MiB to be echoed, and reads nothing; and the MiB that were taken."""
    peer = server.open(receive_buffer=4096)
    return peer, mib(peer.pump(itertools.repeat(BLOCK, total * MIB // len(BLOCK)), reading=False, patience=patience))


@case("S01", MUST, "200 MiB of echoes that are never read: the server stops reading", place=Place.FRESH)
def never_reads(server: Server, report: Report) -> None:
    before = server.rss()
    peer, sent = _stuff(server, 200)
    with peer:
        report.figure("taken", sent, "MiB", 199, 199)
        report.figure("held", server.rss() - before, "MiB", 4)


@case("S02", MUST, "16 MiB of echoes read after a long pause: nothing is lost, nothing out of order")
def pauses(server: Server, report: Report) -> None:
    with server.open(receive_buffer=4096) as peer:
        messages = [bytes((number,)) * 64 * KIB for number in range(256)]
        done = threading.Event()

        def send() -> None:
            for message in messages:
                peer.try_send(frame(BINARY, message))
            done.set()

        sender = threading.Thread(target=send)
        sender.start()
        done.wait(1.5)
        for message in messages:
            assert peer.read_message().payload == message
        sender.join()
        peer.expect_echo(b"and on")


@case("S03", MUST, "24 clients that never read, 20 MiB each", place=Place.FRESH, rss=48)
def many_never_read(server: Server, report: Report) -> None:
    with contextlib.ExitStack() as stack:
        threads = []
        for _ in range(24):
            peer = stack.enter_context(server.open(receive_buffer=4096))
            blocks = itertools.repeat(BLOCK, 20 * MIB // len(BLOCK))
            threads.append(threading.Thread(target=_pump_unread, args=(peer, blocks)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _pump_unread(peer: Peer, blocks: itertools.repeat[bytes]) -> None:
    peer.pump(blocks, reading=False, patience=1)


@case("S04", MUST, "a slow reader does not slow a healthy client")
def slow_beside_healthy(server: Server, report: Report) -> None:
    peer, _ = _stuff(server, 64)
    with peer, server.open() as healthy:
        for number in range(200):
            peer.sock.recv(4 * KIB)
            healthy.expect_echo(b"echo %d" % number)
