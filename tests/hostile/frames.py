"""F01 to F26: frames and messages."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterable

from .peers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KIB,
    MIB,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    Peer,
    Weak,
    close_frame,
    frame,
    wait_until,
)
from .processes import Server, mib
from .registry import MUST, SHOULD, Place, Report, case

MAX_MESSAGE = 16
"""MiB of one message that are taken by default, and that may hence be held."""


def _violation(server: Server, data: bytes, *codes: int) -> None:
    """These bytes on a new connection fail it with one of these close codes."""
    with server.open() as peer:
        peer.try_send(data)
        try:
            peer.expect_close(*codes)
        except AssertionError as error:
            raise type(error)(f"{data[:40]!r}: {error}") from error


def _violations(server: Server, attacks: Iterable[bytes], *codes: int) -> None:
    for data in attacks:
        _violation(server, data, *codes)


@case("F01", MUST, "an unmasked client frame: 1002")
def unmasked(server: Server, report: Report) -> None:
    _violations(server, (frame(opcode, b"hello", mask=None) for opcode in (TEXT, BINARY, PING)), 1002)


@case("F02", MUST, "reserved bits without an extension: 1002")
def reserved_bits(server: Server, report: Report) -> None:
    bits = (RSV1, RSV2, RSV3, RSV1 | RSV2 | RSV3)
    _violations(server, (frame(opcode, b"hello", rsv=rsv) for rsv in bits for opcode in (TEXT, PING)), 1002)


@case("F03", MUST, "reserved opcodes: 1002")
def reserved_opcodes(server: Server, report: Report) -> None:
    _violations(server, (frame(opcode, b"hello") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), 1002)


@case("F04", MUST, "fragmented control frames: 1002")
def fragmented_control(server: Server, report: Report) -> None:
    _violations(server, (frame(opcode, b"\x03\xe8", fin=False) for opcode in (CLOSE, PING, PONG)), 1002)


@case("F05", MUST, "control frames of more than 125 bytes: 1002")
def long_control(server: Server, report: Report) -> None:
    for opcode in (CLOSE, PING, PONG):
        _violation(server, frame(opcode, b"\x03\xe8" + b"x" * 124), 1002)
        _violation(server, frame(opcode, claim=70_000), 1002)


@case("F06", SHOULD, "lengths that are not encoded in the shortest way: 1002")
def length_encoding(server: Server, report: Report) -> None:
    _violations(
        server, (frame(TEXT, b"x" * size, form=form) for size, form in ((5, 2), (5, 8), (125, 2), (300, 8))), 1002
    )


@case("F07", MUST, "a 64-bit length with the top bit set is refused, and nothing allocated", rss=2)
def top_bit(server: Server, report: Report) -> None:
    claims = (2**63, 2**64 - 1, 2**63 + 5)
    _violations(server, (frame(BINARY, b"x" * 50, claim=claim) for claim in claims), 1002, 1009)


@case("F08", MUST, "a frame that claims 2^63-1 or 2^40 bytes is refused at its header, and nothing allocated", rss=2)
def huge_claims(server: Server, report: Report) -> None:
    _violations(server, (frame(BINARY, b"x" * 50, claim=claim) for claim in (2**63 - 1, 2**40)), 1009, 1002)


@case("F09", MUST, "a frame that claims 1 GiB is refused at its header", rss=2)
def gigabyte_claim(server: Server, report: Report) -> None:
    _violation(server, frame(BINARY, claim=2**30), 1009)
    with server.open() as peer:
        peer.send(frame(CONTINUATION + BINARY, claim=2**30))
        peer.pump(itertools.repeat(b"x" * 100, 50))
        peer.expect_close(1009)


BAD_UTF8 = [
    b"\xff", b"\x80", b"hello \xed\xa0\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80", b"\xce", b"\xe2\x82", b"\xf0\x9f\x98", "κόσμε".encode() + b"\xed\xa0\x80edited",
]  # fmt: skip


@case("F10", MUST, "text that is not UTF-8: 1007")
def bad_text(server: Server, report: Report) -> None:
    _violations(server, (frame(TEXT, text) for text in BAD_UTF8), 1007)


@case("F11", SHOULD, "a first fragment that is not UTF-8 fails at once: 1007")
def bad_text_early(server: Server, report: Report) -> None:
    _violation(server, frame(TEXT, b"good until \xff here", fin=False), 1007)
    _violation(server, frame(TEXT, b"\xf4\x90", fin=False), 1007)


@case("F12", MUST, "a character split over fragments: good is echoed, bad is 1007")
def split_text(server: Server, report: Report) -> None:
    text = "κόσμε \U0001f600".encode()
    with server.open() as peer:
        for at in range(1, len(text)):
            peer.send_frame(TEXT, text[:at], fin=False)
            peer.send_frame(CONTINUATION, text[at:])
            peer.expect_message(text)
    _violation(server, frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"\x28"), 1007)
    _violation(server, frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION), 1007)


@case("F13", MUST, "close codes that must not be sent: 1002, and not echoed")
def bad_close_codes(server: Server, report: Report) -> None:
    codes = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    _violations(server, (close_frame(code) for code in codes), 1002)


@case("F14", MUST, "a close payload of one byte: 1002; a reason that is not UTF-8: 1007")
def bad_close_payload(server: Server, report: Report) -> None:
    _violation(server, frame(CLOSE, b"\x03"), 1002)
    _violation(server, close_frame(1000, b"\xff\xfe"), 1002, 1007)


@case("F15", MUST, "a continuation without a start: 1002")
def stray_continuation(server: Server, report: Report) -> None:
    _violations(server, (frame(CONTINUATION, b"stray", fin=fin) for fin in (True, False)), 1002)


@case("F16", MUST, "a new message inside a fragmented one: 1002")
def nested_message(server: Server, report: Report) -> None:
    _violation(server, frame(TEXT, b"one", fin=False) + frame(TEXT, b"two"), 1002)
    _violation(server, frame(TEXT, b"one", fin=False) + frame(BINARY, b"two", fin=False), 1002)


@case("F17", MUST, "pings and empty fragments inside a message are legal, as is delivery byte by byte")
def interleaving(server: Server, report: Report) -> None:
    with server.open() as peer:
        peer.send(frame(TEXT, fin=False) + frame(TEXT - 1, b"frag", fin=False) + frame(PING, b"middle"))
        answer = peer.read_frame()
        assert (answer.opcode, answer.payload) == (PONG, b"middle")
        peer.send(frame(CONTINUATION, fin=False) + frame(CONTINUATION, b"mented") + frame(PONG, b"unasked"))
        peer.expect_message(b"fragmented")
        for byte in frame(BINARY, b"byte by byte", fin=False) + frame(PING) + frame(CONTINUATION, b"x" * 200):
            peer.send(bytes((byte,)))
        peer.expect_message(b"byte by byte" + b"x" * 200, BINARY)


def _fragments(payload: bytes, count: int, final: bytes) -> bytes:
    return frame(BINARY, payload, fin=False) + frame(CONTINUATION, payload, fin=False) * (count - 2) + final


def _many_fragments(server: Server, payload: bytes, count: int) -> None:
    """A message of many fragments is echoed, or refused with 1009 (or 1008: a policy of so many)."""
    with server.open() as peer:
        final = frame(CONTINUATION, payload)
        peer.pump([_fragments(payload, count, final)])
        answer = peer.read_message()
        if answer.opcode == CLOSE:
            assert answer.code in (1008, 1009), answer
        else:
            assert answer.payload == payload * count


@case("F18", MUST, "100,000 one-byte fragments cost what they should: linear time", place=Place.FRESH, cpu=6)
def one_byte_fragments(server: Server, report: Report) -> None:
    costs = []
    for count in (25_000, 100_000):
        before = server.cpu()
        _many_fragments(server, b"x", count)
        costs.append(max(server.cpu() - before, 0.05))
    report.figure("CPU of 100,000", costs[1], "s", 5, 20)
    report.figure("to that of 25,000", costs[1] / costs[0], "times", 10, 40)


@case("F19", MUST, "200,000 empty fragments", place=Place.FRESH, cpu=5)
def empty_fragments(server: Server, report: Report) -> None:
    _many_fragments(server, b"", 200_000)


@case("F20", MUST, "300,000 pings, and the pongs are never read", place=Place.FRESH, rss=8)
def ping_flood(server: Server, report: Report) -> None:
    with server.open(receive_buffer=4096) as peer:
        pings = frame(PING, b"p" * 125) * 500
        report.figure("sent", mib(peer.pump(itertools.repeat(pings, 600), reading=False, patience=1)), "MiB")


def _too_big(server: Server, report: Report, blocks: Iterable[bytes], total: int) -> None:
    """Messages of 64 MiB are refused with 1009 before all of it was taken."""
    with server.open() as peer:
        sent = peer.pump(blocks)
        report.figure("sent", mib(sent), "MiB", total - 1, total - 1)
        peer.expect_close(1009)


@case("F21", MUST, "one frame of 64 MiB: 1009, before it was all read", place=Place.FRESH, rss=2)
def big_frame(server: Server, report: Report) -> None:
    blocks = itertools.chain([frame(BINARY, claim=64 * MIB)], itertools.repeat(b"x" * 64 * KIB, 1024))
    _too_big(server, report, blocks, 64)


@case("F22", MUST, "64 MiB in fragments of 64 KiB: 1009", place=Place.FRESH, rss=8 + MAX_MESSAGE)
def big_message(server: Server, report: Report) -> None:
    part = frame(CONTINUATION, b"x" * 64 * KIB, fin=False)
    _too_big(server, report, itertools.chain([frame(BINARY, fin=False)], itertools.repeat(part, 1024)), 64)


@case("F23", MUST, "a frame of 900 KiB in segments of 450 bytes is not copied again and again", cpu=2)
def small_segments(server: Server, report: Report) -> None:
    payload = bytes(range(256)) * 3600
    data = frame(BINARY, payload)
    with server.open() as peer:
        for start in range(0, len(data), 450):
            peer.send(data[start : start + 450])
        peer.expect_message(payload, BINARY)


@case("F24", MUST, "20,000 small messages in a burst are echoed in order")
def burst(server: Server, report: Report) -> None:
    messages = [f"message {number}".encode() for number in range(20_000)]
    data = b"".join(frame(TEXT, message) for message in messages)
    with server.open() as peer:
        sender = threading.Thread(target=peer.try_send, args=(data,))
        sender.start()
        for message in messages:
            answer = peer.read_message()
            assert answer.payload == message, (answer, message)
        sender.join()


def _open_many(server: Server, stack: contextlib.ExitStack, count: int) -> list[Peer]:
    return [stack.enter_context(server.open()) for _ in range(count)]


@case("F25", SHOULD, "frames dribbled in segments of 4 bytes keep no object per segment", place=Place.FRESH)
def dribbled_frames(server: Server, report: Report) -> None:
    with contextlib.ExitStack() as stack:
        peers = _open_many(server, stack, 20)
        before = server.rss()
        for peer in peers:
            peer.send(frame(BINARY, claim=1_000_000))
        for _ in range(2500):
            for peer in peers:
                peer.send(b"drib")
        wait_until(lambda: all(map(server.has_read, peers)), "all is read")
        pinned = server.rss() - before
        report.figure("pinned", pinned, "MiB")
        ratio = pinned / mib(20 * 2500 * 4)
        report.figure("pinned to sent", 0 if pinned < 1 else ratio, "times", 3, 8)


@case("F26", MUST, "20,000 fragments of two bytes, never finished, keep no object each", place=Place.FRESH, rss=26)
def unfinished_fragments(server: Server, report: Report) -> None:
    with contextlib.ExitStack() as stack:
        peers = _open_many(server, stack, 20)
        before = server.rss()
        data = _fragments(b"ab", 20_000, b"")
        for peer in peers:
            if peer.pump([data]) < len(data):
                raise Weak("refused: a limit of fragments")
        for peer in peers:
            peer.send_frame(PING)
            assert peer.read_frame().opcode == PONG
        report.figure("pinned to sent", (server.rss() - before) / mib(20 * len(data)), "times", 3, 8)
