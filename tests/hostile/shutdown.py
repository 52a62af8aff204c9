"""Z01 and Z02: the server is asked to end."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable

from .closing import CLOSING
from .peers import Peer, request, wait_until
from .processes import Server
from .registry import SHOULD, Place, Report, case
from .slow_readers import BLOCK


def _ends(server: Server, report: Report, peers: list[Peer], meanwhile: Callable[[], None] = lambda: None) -> None:
    """All these clients are told that the server goes away, and the process ends in time and with success."""
    start = time.monotonic()
    server.terminate()
    codes: list[int | None] = []
    threads = [threading.Thread(target=_close, args=(peer, codes)) for peer in peers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(codes) == len(peers)
    assert set(codes) <= {1001, 1012}, codes
    report.figure("told after", time.monotonic() - start, "s", 1, CLOSING * 3)
    meanwhile()
    wait_until(lambda: not server.alive(), "the process ends")
    report.figure("ended after", time.monotonic() - start, "s", CLOSING + 1, CLOSING * 3)
    assert server.process.returncode == 0, f"status {server.process.returncode}:\n{server.log()[-2000:]!r}"


def _refuses_new_clients(server: Server) -> None:
    """A server that waits for the stuck client, and still listens, answers 503."""
    with contextlib.suppress(ConnectionError), server.ask(request()) as peer:
        peer.expect_refusal(503)


def _close(peer: Peer, codes: list[int | None]) -> None:
    codes.append(peer.expect_close().code)
    peer.sock.close()


@case("Z01", SHOULD, "SIGTERM with 20 idle clients", place=Place.FRESH)
def idle_clients(server: Server, report: Report) -> None:
    with contextlib.ExitStack() as stack:
        _ends(server, report, [stack.enter_context(server.open()) for _ in range(20)])


@case(
    "Z02",
    SHOULD,
    "SIGTERM with 20 idle clients and one that never reads: it does not hold the others",
    place=Place.FRESH,
)
def stuck_client(server: Server, report: Report) -> None:
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(server.open()) for _ in range(20)]
        stuck = stack.enter_context(server.open(receive_buffer=4096))
        stuck.pump(itertools.repeat(BLOCK, 320), reading=False, patience=1)
        _ends(server, report, peers, lambda: _refuses_new_clients(server))
