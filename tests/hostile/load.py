"""M01 to M05: many connections, and random bytes."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable

from .peers import MASK, Ended, close_frame, frame, request, wait_until
from .processes import Server
from .registry import MUST, SHOULD, Place, Report, case

SEED = 6455
ROUNDS = 2500


def _fds_back(server: Server, before: int) -> None:
    # The healthy client beside this case may have connected in between, has two once it is read from directly, and its
    # last connection may not be gone.
    wait_until(lambda: server.fds() <= before + 3, "the files are closed")


@case("M01", MUST, "2,000 idle connections", place=Place.FRESH, rss=32, slow=True)
def idle_connections(server: Server, report: Report) -> None:
    before = server.rss()
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(server.open()) for _ in range(2000)]
        report.figure("per connection", (server.rss() - before) * 1024 / 2000, "KiB", 8, 16)
        for peer in peers[::100]:
            peer.expect_echo(b"in the crowd")


@case("M02", MUST, "a storm: 5,000 times connect, echo, close", place=Place.FRESH, rss=16, slow=True)
def storm(server: Server, report: Report) -> None:
    files, rss = server.fds(), server.rss()
    start = time.monotonic()
    for _ in range(5000):
        with server.open() as peer:
            peer.expect_echo(b"storm")
            peer.send(close_frame())
            peer.expect_close(1000, ended=False)
    report.figure("time", time.monotonic() - start, "s")
    report.figure("growth", server.rss() - rss, "MiB", 3, 16)
    _fds_back(server, files)


def _some_frames(source: random.Random) -> bytes:
    """Frames that are mostly valid, broken somewhere."""
    data = b""
    for _ in range(source.randint(1, 5)):
        payload = source.randbytes(source.choice((0, 1, 2, 10, 124, 125, 126, 300)))
        rsv = source.choice((0, 0, 0, 0, 4, source.randint(0, 7)))
        mask = source.choice((MASK, MASK, MASK, source.randbytes(4), None))
        opcode = source.choice((0, 1, 1, 2, 2, 8, 9, 10, source.randint(0, 15)))
        claim = source.choice((None,) * 8 + (source.getrandbits(64), source.randint(0, 1000)))
        data += frame(opcode, payload, fin=source.random() < 0.7, rsv=rsv, mask=mask, claim=claim)
    return data


def _some_head(source: random.Random) -> bytes:
    """A request that is mostly valid, broken somewhere."""
    extra = [source.randbytes(source.randint(0, 30)) for _ in range(source.choice((0, 0, 1, 3)))]
    return request("GET / HTTP/1.1", *extra)


def _broken(source: random.Random, data: bytes) -> bytes:
    """Some bytes changed, taken out, put in, or said twice."""
    broken = bytearray(data)
    for _ in range(source.choice((0, 1, 1, 2, 8))):
        at = source.randint(0, len(broken))
        broken[at : at + source.choice((0, 1, 1, 5))] = source.choice(
            (source.randbytes(1), b"", source.randbytes(4), broken[at : at + 20], b"\r\n", b"\0", b":", b" ")
        )
    return bytes(broken)


def _fuzz(server: Server, report: Report, make: Callable[[random.Random], bytes], *, opened: bool) -> None:
    files, log = server.fds(), server.log_size()
    for number in range(ROUNDS):
        source = random.Random(SEED + number)
        data = source.randbytes(source.randint(1, 200)) if number % 10 == 0 else _broken(source, make(source))
        with contextlib.suppress(Ended), server.open() if opened else server.connect() as peer:
            peer.try_send(data)
            peer.finish()
            peer.read_rest()
    report.figure("log per connection", (server.log_size() - log) / ROUNDS, "bytes", 300)
    _fds_back(server, files)


@case("M03", MUST, "2,500 random byte strings on open connections", slow=True)
def fuzz_frames(server: Server, report: Report) -> None:
    _fuzz(server, report, _some_frames, opened=True)


@case("M04", MUST, "2,500 random handshakes", slow=True)
def fuzz_handshakes(server: Server, report: Report) -> None:
    _fuzz(server, report, _some_head, opened=False)


@case("M05", SHOULD, "no unhandled error in any log of the whole run")
def logs(server: Server, report: Report) -> None:
    server.check_log()
