"""What messages hold, and what the load generator reads it from."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks.scenarios import Scenario

__all__ = ("compressed_file", "inflated", "json_messages", "payload")

# As many as make more than any window of zlib, so that no message is found whole in what came before it.
MESSAGES = 64

# The smallest window that zlib compresses with: what was made with it suits every server, whatever it asks for, and all
# of them get the same bytes.
_WINDOW_BITS = 9
_END = b"\x00\x00\xff\xff"


def payload(scenario: Scenario) -> bytes:
    """Return the message that a scenario sends again and again."""
    generator = random.Random(scenario.size)
    if scenario.kind == "binary":
        return generator.randbytes(scenario.size)
    alphabet = "abcdefghijklmnopqrstuvwxyz ,.0123456789"
    if scenario.kind == "utf8":
        alphabet += "äöüßéèñçøåλжд日本語字"
    text = "".join(generator.choices(alphabet, k=scenario.size)).encode()[: scenario.size]
    # Where a character was cut off, it is taken away altogether.
    whole = text.decode(errors="ignore").encode()
    return whole.ljust(scenario.size)


def json_messages(size: int) -> list[bytes]:
    """Return different messages of JSON.

    Args:
        size: bytes of each.
    """
    generator = random.Random(size)
    return [_json(generator, number, size) for number in range(MESSAGES)]


def _json(generator: random.Random, number: int, size: int) -> bytes:
    rows: list[dict[str, object]] = []
    text = b""
    while len(text) < size:
        rows.append(
            {
                "id": generator.randrange(10**8),
                "symbol": "".join(generator.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4)),
                "price": round(generator.uniform(1, 1000), 2),
                "volume": generator.randrange(10**5),
                "side": generator.choice(("buy", "sell")),
            }
        )
        text = json.dumps({"type": "update", "sequence": number, "rows": rows}).encode()
    # Cut to size: a message of text need not be whole JSON.
    return text[:size]


def compressed_file(messages: list[bytes], path: Path, takeover: bool = True) -> None:
    """Write messages as the load generator wants them: once as a start, and again as what can be repeated for ever.

    Each is compressed with the context of all before it. What is repeated refers to nothing but the last window, and
    that is the same after each repetition.

    Args:
        messages: together larger than the window.
        path: the file.
        takeover: False to compress each by itself.
    """
    compressor = zlib.compressobj(6, zlib.DEFLATED, -_WINDOW_BITS, 8)
    parts = []
    for message in messages * 2:
        if not takeover:
            compressor = zlib.compressobj(6, zlib.DEFLATED, -_WINDOW_BITS, 8)
        data = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        parts.append(data.removesuffix(_END))
    count = len(messages)
    path.write_bytes(struct.pack("!II", count, count) + b"".join(struct.pack("!I", len(part)) + part for part in parts))


def inflated(answers: bytes) -> Iterator[bytes]:
    """Yield the messages in a file of answers that the load generator has written.

    Args:
        answers: for each frame its first byte, its length in eight bytes, and its payload.
    """
    decompressor = zlib.decompressobj(-15)
    at, message, compressed = 0, b"", False
    while at < len(answers):
        first, length = struct.unpack_from("!BQ", answers, at)
        compressed = compressed or bool(first & 0x40)
        message += answers[at + 9 : at + 9 + length]
        at += 9 + length
        if first & 0x80:
            yield decompressor.decompress(message + _END) if compressed else message
            message, compressed = b"", False
