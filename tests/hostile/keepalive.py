"""K01 to K04: peers that fall silent. The server's keepalive times are short here: the only options ever set."""

from __future__ import annotations

import itertools
import time

from .peers import BINARY, PING, PONG, TEXT, Ended, Peer, frame, wait_until
from .processes import KEEPALIVE, Server
from .registry import MUST, SHOULD, Place, Report, case
from .slow_readers import BLOCK

DEADLINE = KEEPALIVE["autoPingInterval"] + KEEPALIVE["autoPingTimeout"]


def _dropped(server: Server, peer: Peer, report: Report) -> None:
    seconds = wait_until(lambda: not server.holds(peer), "the silent peer is dropped")
    report.figure("dropped after", seconds, "s", DEADLINE + 1.5, DEADLINE * 5)


@case("K01", SHOULD, "a peer that falls silent after the handshake is dropped", place=Place.KEEPALIVE)
def silent(server: Server, report: Report) -> None:
    with server.open() as peer:
        _dropped(server, peer, report)


@case("K02", SHOULD, "a peer that falls silent with echoes unread is dropped", place=Place.KEEPALIVE)
def silent_unread(server: Server, report: Report) -> None:
    with server.open(receive_buffer=4096) as peer:
        peer.pump(itertools.repeat(BLOCK, 1000), reading=False, patience=0.5)
        _dropped(server, peer, report)


def _answer_pings(peer: Peer, seconds: float) -> None:
    """Do nothing but answer pings for that long."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        peer.sock.settimeout(left)
        try:
            part = peer.sock.recv(2, 2)
        except TimeoutError:
            break
        assert part, "the connection was ended"
        peer.sock.settimeout(DEADLINE * 5)
        ping = peer.read_frame()
        assert ping.opcode == PING, ping
        peer.send_frame(PONG, ping.payload)
    peer.sock.settimeout(DEADLINE * 5)


@case("K03", MUST, "an idle peer that answers pings stays connected", place=Place.KEEPALIVE)
def idle(server: Server, report: Report) -> None:
    with server.open() as peer:
        _answer_pings(peer, DEADLINE * 2)
        peer.expect_echo(b"still here")


@case("K04", SHOULD, "recorded: whether a frame that never ends is dropped, pings answered", place=Place.KEEPALIVE)
def dripped_frame(server: Server, report: Report) -> None:
    with server.open() as peer:
        peer.send(frame(BINARY, claim=1000)[:6])
        try:
            for _ in range(3):
                peer.send(b"x")
                time.sleep(2)
        except Ended:
            pass
        report.note("stays connected" if server.holds(peer) else "dropped")
    with server.open() as peer:
        peer.expect_echo(b"and others are served", TEXT)
