"""Serving within a programme: the service of Twisted on a reactor of tests, and ``serve`` on asyncio."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure

from autobahnlike.asgi import LifespanFailed, ServerOptions
from autobahnlike.asgi.asyncio import serve
from autobahnlike.asgi.twisted import ASGIService
from autobahnlike.exception import InvalidArgument
from tests.asgi.kit import get, hello_app, port_of
from tests.conformance.kit import request
from tests.wire.helpers import CLOSE, MASK, TEXT, close_frame, frame, parse_frames

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Receive, Scope, Send


class Living:
    """An application with a lifespan.

    Attributes:
        told: the types of the events of its lifespan.
        gate: what its start waits for, if anything.
        failure: why it does not start, if it does not.
    """

    def __init__(self, gate: Any = None, failure: str | None = None) -> None:
        self.told: list[str] = []
        self.gate = gate
        self.failure = failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await hello_app(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            self.told.append((await receive())["type"].removeprefix("lifespan."))
            if self.gate is not None:
                await self.gate
            if self.failure is not None:
                await send({"type": "lifespan.startup.failed", "message": self.failure})
                return
            await send({"type": f"lifespan.{phase}.complete"})


class Endpoint:
    """An endpoint that listens when it is told to."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def listen(self, factory: Any) -> Any:
        return self.result


def result_of(deferred: Deferred[Any]) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results, "it is not done"
    return getattr(results[0], "value", results[0])


def started(app: Any, endpoint: Any = "tcp:8000", **options: Any) -> tuple[ASGIService, Any]:
    """A service that was started, on a reactor of tests."""
    reactor = MemoryReactorClock()
    service = ASGIService(app, endpoint, reactor=reactor, options=ServerOptions(**options))
    service.startService()
    reactor.run()
    reactor.advance(0)
    return service, reactor


class TestTwisted:
    def test_a_request_and_a_websocket(self) -> None:
        app = Living()
        service, reactor = started(app, "tcp:8000:interface=127.0.0.1")
        assert result_of(service.started) == service.urls
        assert len(service.urls) == 1
        assert app.told == ["startup"]
        (port,) = reactor.tcpServers
        protocol = port[1].buildProtocol(IPv4Address("TCP", "10.0.0.1", 1))
        transport: Any = StringTransport(peerAddress=IPv4Address("TCP", "10.0.0.1", 1))
        protocol.makeConnection(transport)
        protocol.dataReceived(get("/a"))
        assert transport.value().endswith(b"\r\n\r\nGET /a ")
        transport.clear()
        protocol.dataReceived(request("/b"))
        assert transport.value().startswith(b"HTTP/1.1 101 ")
        transport.clear()
        websocket = transport.protocol
        assert websocket is not protocol
        websocket.dataReceived(frame(TEXT, b"hello", mask=MASK))
        assert parse_frames(transport.value())[0].payload == b"hello"
        transport.clear()
        stopping = service.stopService()
        assert parse_frames(transport.value())[0].opcode == CLOSE
        websocket.dataReceived(close_frame(1001, mask=MASK))
        websocket.connectionLost(Failure(ConnectionDone()))
        assert result_of(stopping) is None
        assert (app.told, service.urls) == (["startup", "shutdown"], [])

    def test_it_starts_when_the_reactor_runs(self) -> None:
        app = Living()
        reactor = MemoryReactorClock()
        service = ASGIService(app, "tcp:8000", reactor=reactor)
        service.startService()
        assert app.told == []
        reactor.run()
        reactor.advance(0)
        assert app.told == ["startup"]
        result_of(service.stopService())

    def test_again(self) -> None:
        app = Living()
        service, reactor = started(app)
        result_of(service.stopService())
        service.startService()
        reactor.advance(0)
        assert result_of(service.started)
        result_of(service.stopService())
        assert app.told == ["startup", "shutdown"] * 2

    def test_stopped_before_it_has_started(self) -> None:
        app = Living()
        reactor = MemoryReactorClock()
        service = ASGIService(app, "tcp:8000", reactor=reactor)
        service.startService()
        waiting = service.started
        assert result_of(service.stopService()) is None
        reactor.run()
        reactor.advance(0)
        assert app.told == []
        assert isinstance(result_of(waiting), CancelledError)

    def test_stopped_while_the_application_starts(self) -> None:
        app = Living(gate=Deferred())
        service, reactor = started(app)
        waiting = service.started
        assert not waiting.called
        assert result_of(service.stopService()) is None
        assert isinstance(result_of(waiting), CancelledError)
        reactor.advance(0)
        assert reactor.tcpServers == []
        assert reactor.getDelayedCalls() == []

    def test_an_application_that_does_not_start(self) -> None:
        service, reactor = started(Living(failure="no database"))
        error = result_of(service.started)
        assert isinstance(error, LifespanFailed)
        assert str(error) == "the application failed to start: no database"
        assert reactor.tcpServers == []
        assert result_of(service.stopService()) is None

    def test_a_failure_that_nobody_asks_for_is_logged(self) -> None:
        events: list[Any] = []
        observe = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observe)
        try:
            started(Living(failure="no database"))
        finally:
            globalLogPublisher.removeObserver(observe)
        (event,) = [event for event in events if event.get("log_failure")]
        assert event["log_format"] == "the application cannot be served"

    def test_a_place_that_cannot_be_listened_on(self) -> None:
        """The application has started by then, and is told that it is over."""
        app = Living()
        service, reactor = started(app, Endpoint(fail(CannotListenError("", 80, OSError("in use")))))
        assert isinstance(result_of(service.started), CannotListenError)
        reactor.advance(0)
        assert app.told == ["startup", "shutdown"]

    def test_options_of_websockets_that_do_not_exist(self) -> None:
        service, _ = started(Living(), websocket={"noSuchOption": 1})
        assert "noSuchOption" in str(result_of(service.started))

    def test_arguments(self) -> None:
        for arguments in ({}, {"endpoint": "tcp:1", "sockets": []}):
            with pytest.raises(InvalidArgument, match="an endpoint or sockets to listen on, and not both"):
                ASGIService(hello_app, **arguments)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="callable"):
            ASGIService(None, "tcp:1")  # type: ignore[arg-type]

    def test_urls(self) -> None:
        service = ASGIService(hello_app, "ssl:8000", reactor=MemoryReactorClock())
        assert service._url(IPv4Address("TCP", "127.0.0.1", 8443)).startswith("https://127.0.0.1:8443")
        assert service._url(UNIXAddress("/run/x")).startswith("https://unix:/run/x")
        assert service._url("elsewhere") == "https: elsewhere"


def running(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 20))


async def fetch(port: int, target: str = "/") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get(target, headers="Connection: close\r\n"))
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return data


class TestAsyncio:
    def test_a_request(self) -> None:
        app = Living()

        async def story() -> None:
            async with serve(app, "127.0.0.1:0") as serving:
                (url,) = serving.urls
                assert (await fetch(port_of(url))).endswith(b"GET / ")
                assert app.told == ["startup"]
            assert app.told == ["startup", "shutdown"]
            with pytest.raises(ConnectionRefusedError):
                await fetch(port_of(url))

        running(story)

    def test_what_happens_inside_ends_it(self) -> None:
        app = Living()

        async def story() -> None:
            with pytest.raises(LookupError):
                async with serve(app, "127.0.0.1:0"):
                    raise LookupError
            assert app.told == ["startup", "shutdown"]

        running(story)

    def test_sockets_that_listen(self) -> None:
        async def story() -> None:
            sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
            async with serve(hello_app, sockets=sockets) as serving:
                for url in serving.urls:
                    assert (await fetch(port_of(url), "/x")).endswith(b"GET /x ")
                assert len(serving.urls) == 2

        running(story)

    def test_an_address_in_use(self) -> None:
        app = Living()

        async def story() -> None:
            with socket.create_server(("127.0.0.1", 0)) as sock, pytest.raises(OSError, match="in use"):
                await serve(app, f"127.0.0.1:{sock.getsockname()[1]}").__aenter__()

        running(story)
        assert app.told == []

    def test_an_application_that_does_not_start(self, tmp_path: Path) -> None:
        path = tmp_path / "socket"

        async def story() -> None:
            with pytest.raises(LifespanFailed, match="no database"):
                await serve(Living(failure="no database"), f"unix:{path}").__aenter__()

        running(story)
        assert not path.exists()

    def test_cancelled_while_the_application_starts(self) -> None:
        async def story() -> None:
            app = Living(gate=asyncio.get_running_loop().create_future())
            starting = asyncio.ensure_future(serve(app, "127.0.0.1:0").__aenter__())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert app.told == ["startup"]
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert app.gate.cancelled()

        running(story)

    def test_a_unix_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "socket"

        async def story() -> None:
            async with serve(hello_app, f"unix:{path}") as serving:
                assert str(path) in serving.urls[0]
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(get(headers="Connection: close\r\n"))
                assert (await reader.read()).endswith(b"GET / ")
                writer.close()
                await writer.wait_closed()

        running(story)
        assert not path.exists()

    @pytest.mark.parametrize("options", [{"websocket": {"noSuchOption": 1}}])
    def test_options_of_websockets_that_do_not_exist(self, options: Any) -> None:
        async def story() -> None:
            with pytest.raises((InvalidArgument, TypeError), match="noSuchOption"):
                await serve(hello_app, "127.0.0.1:0", options=ServerOptions(**options)).__aenter__()

        running(story)

    def test_what_is_no_application(self) -> None:
        async def story() -> None:
            with pytest.raises(InvalidArgument, match="callable"):
                await serve(None, "127.0.0.1:0").__aenter__()  # type: ignore[arg-type]

        running(story)
