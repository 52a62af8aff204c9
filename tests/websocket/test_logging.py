"""The options logOctets and logFrames."""

from __future__ import annotations

from typing import Any

from autobahnlike.wire.frames import TEXT

from .ends import End, NotingServer


class EchoServer(NotingServer):
    logOctets = False
    logFrames = False

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class LogsOctets(EchoServer):
    logOctets = True


class LogsFrames(EchoServer):
    logFrames = True


class DebugLog:
    """Keeps what is logged at debug level."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def debug(self, text: str, **values: Any) -> None:
        self.lines.append(text.format(**values))


def logged(protocol: type[EchoServer]) -> list[str]:
    end = End(protocol)
    end.protocol.log = log = DebugLog()
    end.open()
    log.lines.clear()
    end.receive(end.frame(TEXT, b"hi"))
    return log.lines


def test_octets_of_both_directions_are_logged() -> None:
    received, sent = logged(LogsOctets)
    assert received.startswith(f"{End().link.peer}: octets received: 8182")
    assert sent == f"{End().link.peer}: octets sent: 81026869"


def test_frames_of_both_directions_are_logged() -> None:
    peer = End().link.peer
    assert logged(LogsFrames) == [
        f"{peer}: frame received: FIN=1, RSV=0, opcode=1, 2 bytes",
        f"{peer}: frame sent: FIN=1, RSV=0, opcode=1, 2 bytes",
    ]


def test_nothing_is_logged_otherwise() -> None:
    assert logged(EchoServer) == []
