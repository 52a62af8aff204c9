"""The options logOctets and logFrames."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

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


class SlowEcho(NotingServer):
    """Answers when the test lets it."""

    gate: Deferred[None]

    async def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.gate = Deferred()
        await self.gate
        self.sendMessage(payload, isBinary)


def test_an_answer_that_comes_too_late_is_nobodys_fault() -> None:
    end = End(SlowEcho).open()
    end.receive(end.frame(TEXT, b"hi"))
    end.session.connection_lost()
    end.protocol.gate.callback(None)
    assert end.names() == ["close"]
    assert end.loop.failures == []


def test_disconnected_from_another_connection_is() -> None:
    class Forwarding(NotingServer):
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            NotingServer().sendMessage(payload)

    end = End(Forwarding).open()
    end.receive(end.frame(TEXT, b"hi"))
    assert len(end.loop.failures) == 1


class Endless(NotingServer):
    async def onOpen(self) -> None:
        await Deferred()


def test_a_hook_that_holds_up_messages_for_long_is_warned_of_once() -> None:
    end = End(Endless).open()
    end.advance(25)
    assert end.log.warnings == [], "nothing waits for it"
    for _ in range(5):
        end.receive(end.frame(TEXT, b"hi"))
        end.advance(15)
    (warning,) = end.log.warnings
    assert warning.startswith("onOpen of Endless has been running for ")


def test_one_that_ends_is_not() -> None:
    end = End(SlowEcho).open()
    for _ in range(10):
        end.receive(end.frame(TEXT, b"hi"), end.frame(TEXT, b"hi"))
        end.advance(9)
        end.protocol.gate.callback(None)
        end.protocol.gate.callback(None)
    assert end.log.warnings == []
