"""After the end: the connection is let go of, and what an application may still ask is answered."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from autobahnlike.exception import Disconnected
from autobahnlike.websocket.protocol import WebSocketServerProtocol
from tests.websocket.ends import End, NotingClient, NotingServer, answer_to
from tests.wire.helpers import CLOSE, TEXT


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def closed(end: End) -> End:
    """Exchange a message and do the closing handshake."""
    end.receive(end.frame(TEXT, b"hello"), end.frame(CLOSE, b"\x03\xe8bye"))
    end.session.connection_lost()
    return end


def dropped(end: End) -> End:
    end.session.connection_lost("SSL error")
    return end


def failed(end: End) -> End:
    end.receive(b"\xff" * 20)
    end.session.connection_lost()
    return end


class Later(NotingServer):
    """Takes its time for onClose."""

    factory: Any

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> Any:
        super().onClose(wasClean, code, reason)
        self.factory.waits = self.factory._event_loop.txaio.create_future()
        return self.factory.waits


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("over", [closed, dropped, failed])
@pytest.mark.parametrize("kind", [NotingServer, NotingClient])
def test_nothing_is_left_for_the_garbage_collector(kind: type[Any], over: Any) -> None:
    end = End(kind)
    if kind is NotingClient:
        end.connect()
        end.receive(answer_to(end.take()))
    else:
        end.open()
    over(end)
    end.advance(60)
    assert end.names().count("close") == 1
    references = [weakref.ref(end.protocol), weakref.ref(end.link)]
    del end.protocol, end.link
    assert [reference() for reference in references] == [None, None]


def test_an_application_that_takes_its_time_for_the_end_has_it() -> None:
    end = closed(End(Later).open())
    end.advance(60)
    assert (end.names(), len(end.factory._connections)) == (["message", "close"], 1)
    assert (end.session.protocol, end.session.link) == (end.protocol, end.link)
    end.loop.txaio.resolve(end.factory.waits, None)
    assert len(end.factory._connections) == 0
    assert (end.session.protocol, end.session.link) == (None, None)


@pytest.mark.usefixtures("without_collector")
def test_neither_is_a_connection_that_never_opened() -> None:
    end = End().connect()
    end.receive(b"GET / HTTP/1.1\r\n")
    end.session.connection_lost()
    reference = weakref.ref(end.protocol)
    del end.protocol
    assert reference() is None


@pytest.mark.parametrize("over", [closed, dropped])
def test_everything_can_still_be_asked(over: Any) -> None:
    end = over(End().open())
    protocol = end.protocol
    clean = over is closed
    assert (protocol.state, protocol.wasClean) == (protocol.STATE_CLOSED, clean)
    assert (protocol.remoteCloseCode, protocol.remoteCloseReason) == ((1000, "bye") if clean else (None, None))
    assert protocol.localCloseCode == (1000 if clean else None)
    assert (protocol.peer, protocol.bufferedAmount) == ("tcp4:192.0.2.1:1234", 0)
    assert protocol.trafficStats.incomingWebSocketMessages == int(clean)
    assert protocol.autoPingInterval == end.session.options.auto_ping_interval
    for send in (protocol.sendMessage, protocol.sendPreparedMessage):
        message = b"" if send == protocol.sendMessage else end.factory.prepareMessage(b"")
        with pytest.raises(Disconnected):
            send(message)
    protocol.sendPing()
    protocol.sendPong()
    protocol.sendClose(1000)
    protocol.dropConnection(abort=True)
    protocol.sendServerStatus()
    end.session.connection_lost()
    end.session.writing_resumed()
    failures: list[BaseException] = []
    end.loop.txaio.add_callbacks(protocol.drained(), None, lambda failure: failures.append(failure.value))
    assert [type(failure) for failure in failures] == [Disconnected]
    end.advance(60)
    assert end.names().count("close") == 1
    assert isinstance(protocol, WebSocketServerProtocol)
