"""R01 to R25: a client whose server sends what it must not, or too much."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

from .deflate import HELD, bomb, compress, fragmented_bomb
from .frames import MAX_MESSAGE
from .masks import assert_unpredictable
from .peers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    KIB,
    MASK,
    MIB,
    PING,
    PONG,
    RSV1,
    RSV2,
    TEXT,
    close_frame,
    frame,
)
from .processes import Client, mib
from .registry import MUST, SHOULD, Place, Report, case


def _server_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, claim: int | None = None
) -> bytes:
    return frame(opcode, payload, fin=fin, rsv=rsv, claim=claim, mask=None)


def _violation(client: Client, blocks: Iterable[bytes], *codes: int, extensions: str = "") -> float:
    """What a server sends fails the connection with one of these close codes, and the application is told.

    Returns:
        The MiB that were taken.
    """
    with client.dial() as dial:
        dial.accept(extensions)
        sent = dial.peer.pump(blocks)
        dial.peer.expect_close(*codes)
        dial.outcome()
        assert not dial.messages(), "a message was delivered"
        return mib(sent)


@case("R01", MUST, "a masked server frame: 1002")
def masked(client: Client, report: Report) -> None:
    _violation(client, [frame(TEXT, b"masked", mask=MASK)], 1002)


@case("R02", MUST, "RSV2: 1002")
def rsv2(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(TEXT, b"x", rsv=RSV2)], 1002)


@case("R03", MUST, "a reserved opcode: 1002")
def reserved_opcode(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(3, b"x")], 1002)


@case("R04", MUST, "a fragmented ping: 1002")
def fragmented_ping(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(PING, b"x", fin=False)], 1002)


@case("R05", MUST, "a ping of 126 bytes: 1002")
def long_ping(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(PING, b"x" * 126)], 1002)


@case("R06", MUST, "text that is not UTF-8: 1007")
def bad_text(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(TEXT, b"\xff")], 1007)
    _violation(client, [_server_frame(TEXT, b"\xe2\x82")], 1007)


@case("R07", SHOULD, "a first fragment that is not UTF-8 fails at once: 1007")
def bad_text_early(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(TEXT, b"good until \xff", fin=False)], 1007)


@case("R08", MUST, "close code 1005 on the wire: 1002")
def bad_close_code(client: Client, report: Report) -> None:
    _violation(client, [close_frame(1005, mask=None)], 1002)


@case("R09", MUST, "a close payload of one byte: 1002")
def short_close(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(CLOSE, b"\x03")], 1002)


@case("R10", MUST, "a close reason that is not UTF-8: 1007 or 1002")
def bad_reason(client: Client, report: Report) -> None:
    _violation(client, [close_frame(1000, b"\xff\xfe", mask=None)], 1007, 1002)


@case("R11", MUST, "a continuation without a start: 1002")
def stray_continuation(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(CONTINUATION, b"stray")], 1002)


@case("R12", MUST, "a new message inside a fragmented one: 1002")
def nested_message(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(TEXT, b"one", fin=False) + _server_frame(TEXT, b"two")], 1002)


@case("R13", MUST, "a frame that claims 2^63-1 bytes: 1009 or 1002, and nothing allocated", rss=2)
def huge_claim(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(BINARY, b"x" * 50, claim=2**63 - 1)], 1009, 1002)


@case("R14", MUST, "a frame that claims 2^64-1 bytes: 1002 or 1009, and nothing allocated", rss=2)
def top_bit(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(BINARY, b"x" * 50, claim=2**64 - 1)], 1002, 1009)


@case("R15", MUST, "RSV1 without permessage-deflate: 1002")
def rsv1(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(TEXT, compress(b"hello"), rsv=RSV1)], 1002)


@case("R16", MUST, "64 MiB in one frame: 1009", place=Place.FRESH, rss=2)
def big_frame(client: Client, report: Report) -> None:
    blocks = itertools.chain([_server_frame(BINARY, claim=64 * MIB)], itertools.repeat(b"x" * 64 * KIB, 1024))
    report.figure("sent", _violation(client, blocks, 1009), "MiB", 63, 63)


@case("R17", MUST, "64 MiB in fragments of 64 KiB: 1009", place=Place.FRESH, rss=8 + MAX_MESSAGE)
def big_message(client: Client, report: Report) -> None:
    part = _server_frame(CONTINUATION, b"x" * 64 * KIB, fin=False)
    blocks = itertools.chain([_server_frame(BINARY, fin=False)], itertools.repeat(part, 1024))
    report.figure("sent", _violation(client, blocks, 1009), "MiB", 63, 63)


@case("R18", MUST, "a bomb of 65 KB for 64 MiB: 1009", place=Place.FRESH, rss=HELD)
def small_bomb(client: Client, report: Report) -> None:
    _violation(client, [bomb(64, None)], 1009, extensions=DEFLATE)
    _violation(client, fragmented_bomb(64, None), 1009, extensions=DEFLATE)


@case("R19", MUST, "a bomb of less than 1 MiB for 960 MiB: 1009", place=Place.FRESH, rss=HELD)
def big_bomb(client: Client, report: Report) -> None:
    _violation(client, [bomb(960, None)], 1009, extensions=DEFLATE)


@case("R20", MUST, "data that does not inflate: 1007 or 1002")
def corrupt(client: Client, report: Report) -> None:
    _violation(client, [_server_frame(TEXT, b"\xff\xff\xff\xff", rsv=RSV1)], 1007, 1002, extensions=DEFLATE)


@case("R21", MUST, "100,000 one-byte fragments work, or are refused with 1009 or 1008", place=Place.FRESH)
def one_byte_fragments(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        part = _server_frame(CONTINUATION, b"x", fin=False)
        dial.peer.pump([_server_frame(BINARY, b"x", fin=False) + part * 99_998 + _server_frame(CONTINUATION, b"x")])
        event = (
            dial.await_event("message", "close") if not dial.peer.pump([b"\x89\x00"]) else dial.await_event("message")
        )
        assert event == {"event": "message", "length": 100_000} or event["event"] == "close", event


@case("R22", MUST, "empty fragments without end", place=Place.FRESH)
def endless_empty_fragments(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        parts = _server_frame(CONTINUATION, fin=False) * 1000
        until = time.monotonic() + 10
        blocks = itertools.takewhile(lambda _: time.monotonic() < until, itertools.repeat(parts))
        report.figure("sent", mib(dial.peer.pump(itertools.chain([_server_frame(BINARY, fin=False)], blocks))), "MiB")
        if time.monotonic() < until:
            dial.peer.expect_close(1008, 1009)


@case("R23", MUST, "300,000 pings, and the pongs are never read", place=Place.FRESH)
def ping_flood(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        pings = _server_frame(PING, b"p" * 125) * 500
        report.figure("sent", mib(dial.peer.pump(itertools.repeat(pings, 600), reading=False, patience=1)), "MiB")


@case("R24", MUST, "200 MiB of messages while the application is busy", place=Place.FRESH)
def busy_application(client: Client, report: Report) -> None:
    with client.dial(busy=True) as dial:
        dial.accept()
        block = _server_frame(BINARY, b"x" * 64 * KIB)
        sent = dial.peer.pump(itertools.repeat(block, 3200), reading=False, patience=1)
        report.figure("taken", mib(sent), "MiB", 199, 199)
        dial.release()
        dial.await_event("message")


@case("R25", MUST, "the client's masks cannot be foretold")
def masks(client: Client, report: Report) -> None:
    with client.dial() as dial:
        dial.accept()
        seen = []
        for _ in range(800):
            dial.peer.send_frame(PING, b"mask?")
            answer = dial.peer.read_frame()
            assert (answer.opcode, answer.payload) == (PONG, b"mask?")
            assert answer.mask
            seen.append(answer.mask)
        assert_unpredictable(seen)
