"""What is measured: one ``Scenario`` for each kind of traffic."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

from benchmarks.patterns import chosen

__all__ = ("QUICK", "SCENARIOS", "Scenario", "named", "select")

_KIB = 1024
_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One kind of traffic.

    Attributes:
        name: what it is called on the command line.
        title: what it is, for people.
        mode: what happens: every message comes back; goes to everybody; connections open and close; connections are
            open.
        size: bytes of payload in a message.
        connections: how many there are; for handshakes, how many are under way at a time.
        window: messages under way on each connection; for a broadcast, broadcasts under way.
        kind: what the payload is; "utf8" is text of which a third is not ASCII.
        fragment: bytes of payload in a frame; 0 for whole messages.
        deflate: whether permessage-deflate is negotiated and used.
        takeover: whether it is with context takeover.
        silence: seconds to wait before looking at idle connections.
    """

    name: str
    title: str
    mode: Literal["echo", "broadcast", "handshakes", "idle"] = "echo"
    size: int = 128
    connections: int = 1
    window: int = 1
    kind: Literal["binary", "text", "utf8", "json"] = "binary"
    fragment: int = 0
    deflate: bool = False
    takeover: bool = True
    silence: float = 0

    @property
    def unit(self) -> str:
        """What is counted."""
        return {"echo": "message", "broadcast": "broadcast", "handshakes": "handshake", "idle": "connection"}[self.mode]


def _ping_pong(size: int, label: str, connections: int) -> Scenario:
    plural = "" if connections == 1 else "s"
    return Scenario(
        f"pp-{label}-c{connections}",
        f"ping-pong, {_words(size)}, {connections} connection{plural}",
        size=size,
        connections=connections,
    )


def _pipelined(size: int, label: str, window: int = 64) -> Scenario:
    return Scenario(f"pipe-{label}", f"pipelined, {_words(size)}, window {window}", size=size, window=window)


def _words(size: int) -> str:
    for unit, name in ((_MIB, "MiB"), (_KIB, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


SCENARIOS = (
    _ping_pong(16, "16", 10),
    _ping_pong(16, "16", 100),
    _ping_pong(128, "128", 10),
    _ping_pong(128, "128", 100),
    _ping_pong(_KIB, "1K", 10),
    _ping_pong(_KIB, "1K", 100),
    _pipelined(16, "16"),
    _pipelined(128, "128"),
    _pipelined(_KIB, "1K"),
    Scenario(
        "pipe-1K-utf8", "pipelined, 1 KiB of text, a third not ASCII, window 64", size=_KIB, window=64, kind="utf8"
    ),
    _ping_pong(16 * _KIB, "16K", 10),
    _ping_pong(256 * _KIB, "256K", 10),
    _pipelined(256 * _KIB, "256K", 8),
    _ping_pong(_MIB, "1M", 1),
    _pipelined(_MIB, "1M", 8),
    Scenario(
        "fragments-16K", "pipelined, 16 KiB in frames of 1,000 B, window 8", size=16 * _KIB, window=8, fragment=1000
    ),
    Scenario(
        "deflate-1K",
        "permessage-deflate, ping-pong, 1 KiB of JSON, 10 connections",
        size=_KIB,
        connections=10,
        kind="json",
        deflate=True,
    ),
    Scenario("broadcast-200", "broadcast, 128 B to 200 connections", mode="broadcast", connections=200, kind="text"),
    Scenario(
        "broadcast-200-w8",
        "broadcast, 128 B to 200 connections, 8 under way",
        mode="broadcast",
        connections=200,
        window=8,
        kind="text",
    ),
    Scenario("handshakes", "opening and closing handshakes, 20 at a time", mode="handshakes", connections=20),
    Scenario("memory", "memory of an idle connection", mode="idle", connections=1000),
    Scenario(
        "memory-deflate",
        "memory of a connection after one compressed message each way",
        mode="idle",
        size=_KIB,
        connections=500,
        kind="json",
        deflate=True,
    ),
    Scenario(
        "memory-silence",
        "memory of a connection after one compressed message without context takeover, and 65 s of silence",
        mode="idle",
        size=_KIB,
        connections=500,
        kind="json",
        deflate=True,
        takeover=False,
        silence=65,
    ),
)

QUICK = ("pp-128-c10", "pipe-128", "pp-16K-c10", "deflate-1K", "broadcast-200", "handshakes")


def named(name: str) -> Scenario:
    """Return the scenario with a name."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def select(patterns: Iterable[str]) -> list[Scenario]:
    """Return the scenarios of which the name fits one of the patterns; those with much silence only by their name.

    Args:
        patterns: as of shells.

    Raises:
        ValueError: one of them fits none.
    """
    patterns = list(patterns)
    found = chosen("scenario", SCENARIOS, patterns)
    return [scenario for scenario in found if not scenario.silence or scenario.name in patterns]
