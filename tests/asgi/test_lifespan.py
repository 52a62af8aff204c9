"""The scope ``lifespan``, and the end of a server, in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from autobahnlike.asgi import LifespanFailed
from tests.asgi.kit import get, hello_app, respond
from tests.asgi.memory import Records, Site, websocket
from tests.conformance.kit import request
from tests.wire.helpers import CLOSE, TEXT, Frame

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Receive, Scope, Send


@pytest.fixture
def records() -> Iterator[Records]:
    """What is logged."""
    handler = Records()
    logger = logging.getLogger("autobahnlike.asgi")
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(before)
    logger.removeHandler(handler)


def result_of(deferred: Deferred[Any]) -> Any:
    """What it is done with; a test fails if it is not done."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results, "it is not done"
    return getattr(results[0], "value", results[0])


class Living:
    """An application with a lifespan that goes on when it is told to.

    Attributes:
        told: the types of the events it got.
        gates: what its answers wait for.
    """

    def __init__(self, **answers: Any) -> None:
        self.told: list[str] = []
        self.gates: dict[str, Deferred[None]] = {}
        self.state: dict[str, Any] = {"shared": [], "own": 1}
        self.answers = answers
        self.scopes: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self.scopes.append(scope)
            await hello_app(scope, receive, send)
            return
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        scope["state"].update(self.state)
        for phase in ("startup", "shutdown"):
            event = await receive()
            self.told.append(event["type"])
            gate = self.gates.get(phase)
            if gate is not None:
                await gate
            answer = self.answers.get(phase, {"type": f"lifespan.{phase}.complete"})
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                await send(answer)


class TestStartup:
    def test_complete(self) -> None:
        app = Living()
        app.gates["startup"] = Deferred()
        site = Site(app, lifespan="on")
        starting = site.run(site.server.startup())
        assert not starting.called
        app.gates["startup"].callback(None)
        assert result_of(starting) is None
        assert app.told == ["lifespan.startup"]

    def test_the_state_is_copied_for_each_connection_but_not_what_is_in_it(self) -> None:
        app = Living()
        site = Site(app, lifespan="on")
        result_of(site.run(site.server.startup()))
        site.connect(get())
        websocket(site)
        first, second = (scope["state"] for scope in app.scopes)
        assert first == second == {"shared": [], "own": 1}
        first["own"] = 2
        assert second["own"] == 1
        assert first["shared"] is second["shared"]

    @pytest.mark.parametrize("mode", ["auto", "on"])
    def test_failed(self, mode: str) -> None:
        app = Living(startup={"type": "lifespan.startup.failed", "message": "no database"})
        site = Site(app, lifespan=mode)
        error = result_of(site.run(site.server.startup()))
        assert isinstance(error, LifespanFailed)
        assert str(error) == "the application failed to start: no database"
        site.advance(0)
        assert result_of(site.run(site.server.shutdown())) is None
        assert app.told == ["lifespan.startup"]
        assert site.loop.failures == []

    def test_failed_without_a_reason(self) -> None:
        site = Site(Living(startup={"type": "lifespan.startup.failed"}), lifespan="on")
        assert str(result_of(site.run(site.server.startup()))) == "the application failed to start"

    @pytest.mark.parametrize("answer", [LookupError("on purpose"), None])
    def test_not_supported(self, answer: Any, records: Records) -> None:
        """An exception, or an end without an answer: it is served without."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                if answer is not None:
                    raise answer
                return
            await hello_app(scope, receive, send)

        site = Site(app, lifespan="auto")
        assert result_of(site.run(site.server.startup())) is None
        assert "the application does not support the lifespan protocol: it is served without" in records.lines
        assert site.connect(get()).answer().body == b"GET / "
        site = Site(app, lifespan="on")
        error = result_of(site.run(site.server.startup()))
        assert isinstance(error, LifespanFailed)
        assert error.__cause__ is answer
        assert site.loop.failures == []

    def test_off(self) -> None:
        app = Living()
        site = Site(app, lifespan="off")
        result_of(site.run(site.server.startup()))
        result_of(site.run(site.server.shutdown()))
        assert app.told == []

    @pytest.mark.parametrize(
        "event", [{"type": "lifespan.shutdown.complete"}, {"type": "http.response.start"}, {"type": "nonsense"}]
    )
    def test_what_may_not_be_said(self, event: Any) -> None:
        site = Site(Living(startup=event), lifespan="on")
        error = result_of(site.run(site.server.startup()))
        assert "lifespan.startup.complete or .failed is expected" in str(error.__cause__)

    def test_saying_it_twice(self) -> None:
        errors: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "lifespan.startup.complete"})
            with pytest.raises(RuntimeError) as raised:
                await send({"type": "lifespan.startup.complete"})
            errors.append(str(raised.value))

        site = Site(app, lifespan="on")
        result_of(site.run(site.server.startup()))
        assert "lifespan.shutdown.complete or .failed is expected" in errors[0]

    def test_a_start_that_is_given_up_cancels_the_application(self) -> None:
        ends: list[BaseException] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await Deferred()
            except BaseException as error:
                ends.append(error)
                raise

        site = Site(app, lifespan="on")
        starting = site.run(site.server.startup())
        starting.cancel()
        assert isinstance(result_of(starting), CancelledError)
        assert isinstance(ends[0], CancelledError)
        assert site.loop.failures == []

    def test_the_hint_where_asyncio_is_missing(self, records: Records) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            import asyncio

            await asyncio.sleep(1)

        site = Site(app, lifespan="auto")
        result_of(site.run(site.server.startup()))
        assert any("install Twisted's asyncio reactor" in line for line in records.lines)
        text = "RuntimeError: no running event loop"
        site = Site(Living(startup={"type": "lifespan.startup.failed", "message": text}), lifespan="auto")
        records.lines.clear()
        result_of(site.run(site.server.startup()))
        assert any("--loop twisted-asyncio" in line for line in records.lines)


class TestAfterwards:
    def test_an_exception_is_logged(self) -> None:
        app = Living(shutdown=LookupError("on purpose"))
        site = Site(app, lifespan="on")
        result_of(site.run(site.server.startup()))
        result_of(site.run(site.server.shutdown()))
        ((text, error),) = site.loop.failures
        assert (text, str(error)) == ("the application raised an exception in its lifespan", "on purpose")

    def test_an_early_end_is_nobodys_business(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "lifespan.startup.complete"})

        site = Site(app, lifespan="on")
        result_of(site.run(site.server.startup()))
        assert result_of(site.run(site.server.shutdown())) is None
        assert site.loop.failures == []

    def test_shutdown_failed(self, records: Records) -> None:
        app = Living(shutdown={"type": "lifespan.shutdown.failed", "message": "no disk"})
        site = Site(app, lifespan="on")
        result_of(site.run(site.server.startup()))
        result_of(site.run(site.server.shutdown()))
        assert "the application failed to shut down: no disk" in records.lines

    def test_a_shutdown_that_never_ends_is_cancelled(self, records: Records) -> None:
        app = Living()
        site = Site(app, lifespan="on", shutdown_timeout=3.0)
        result_of(site.run(site.server.startup()))
        app.gates["shutdown"] = Deferred()
        stopping = site.run(site.server.shutdown())
        site.advance(2.9)
        assert not stopping.called
        site.advance(0.2)
        assert result_of(stopping) is None
        assert app.gates["shutdown"].called, "it was cancelled"
        assert "the application has not shut down within 3 seconds" in records.lines
        assert site.loop.failures == []
        assert site.loop.clock.getDelayedCalls() == []


class TestShutdown:
    def test_connections_first(self) -> None:
        """The application is told that it is over when its connections are."""
        app = Living()
        site = Site(app, lifespan="on")
        result_of(site.run(site.server.startup()))
        client = websocket(site)
        client.take()
        stopping = site.run(site.server.shutdown())
        assert client.frames() == [Frame(CLOSE, b"\x03\xe9")]
        assert app.told == ["lifespan.startup"]
        client.frame(CLOSE, b"\x03\xe9")
        client.lose()
        assert app.told == ["lifespan.startup", "lifespan.shutdown"]
        assert result_of(stopping) is None
        site.advance(0)
        assert site.loop.clock.getDelayedCalls() == []

    def test_idle_connections_are_ended_at_once(self) -> None:
        site = Site(hello_app)
        clients = [site.connect(get()), site.connect(), site.connect(b"GET / HT")]
        stopping = site.run(site.server.shutdown())
        assert [client.link.calls for client in clients] == [["close"], ["close"], ["finish"]]
        for client in clients:
            client.lose()
        assert result_of(stopping) is None

    def test_one_that_comes_too_late(self) -> None:
        site = Site(hello_app)
        held = site.connect(b"")
        site.run(site.server.shutdown())
        assert site.connect(get()).link.calls == ["close"]
        held.lose()

    def test_a_request_has_its_time(self) -> None:
        gates: list[Deferred[None]] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            gates.append(Deferred())
            await gates[-1]
            await respond(send, b"done")

        site = Site(app, shutdown_timeout=10.0)
        client = site.connect(get() + get("/never"))
        stopping = site.run(site.server.shutdown())
        site.advance(9)
        gates[0].callback(None)
        answer = client.answer()
        assert (answer.body, answer.header("connection"), client.link.calls) == (b"done", "close", ["finish"])
        client.lose()
        assert result_of(stopping) is None
        assert len(gates) == 1

    @pytest.mark.parametrize("kind", ["http", "websocket", "opening"])
    def test_what_never_ends_is_cancelled(self, kind: str, records: Records) -> None:
        ends: list[BaseException] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if kind == "websocket":
                await send({"type": "websocket.accept"})
            try:
                await Deferred()
            except BaseException as error:
                ends.append(error)
                raise

        site = Site(app, shutdown_timeout=3.0)
        client = site.connect(get() if kind == "http" else request())
        stopping = site.run(site.server.shutdown())
        site.advance(2.9)
        assert (ends, stopping.called) == ([], False)
        site.advance(0.2)
        assert isinstance(ends[0], CancelledError)
        assert client.is_aborted
        client.lose()
        site.advance(2)
        assert result_of(stopping) is None
        assert site.loop.failures == []
        assert [line for line in records.lines if "3 seconds after the server was told to stop: cancelled" in line]
        assert site.loop.clock.getDelayedCalls() == []

    def test_what_does_not_let_itself_be_cancelled_is_left_behind(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while True:
                try:
                    await Deferred()
                except CancelledError:
                    pass

        site = Site(app, shutdown_timeout=1.0)
        client = site.connect(get())
        stopping = site.run(site.server.shutdown())
        site.advance(1.1)
        client.lose()
        assert not stopping.called
        site.advance(1.1)
        assert result_of(stopping) is None

    def test_nothing_to_wait_for(self) -> None:
        site = Site(hello_app, shutdown_timeout=0)
        assert result_of(site.run(site.server.shutdown())) is None

    def test_a_websocket_that_is_used_up_to_the_end(self) -> None:
        site = Site(hello_app)
        client = websocket(site)
        client.take()
        client.frame(TEXT, b"x")
        site.run(site.server.shutdown())
        assert client.frames() == [Frame(TEXT, b"x"), Frame(CLOSE, b"\x03\xe9")]
        client.lose()


def test_the_access_log() -> None:
    handler = Records()
    logger = logging.getLogger("autobahnlike.access")
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        site = Site(hello_app, access_log=True)
        site.connect(get("/a?b=%0a", method="POST", body=b"x"))
        websocket(site, "/chat")
        site.connect(get(method="PUT", headers="Content-Length: 99999999999\r\n"))
        Site(hello_app).connect(get("/silent"))
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
    assert handler.lines == [
        '192.0.2.1:1234 "POST /a?b=%0a HTTP/1.1" 200',
        '192.0.2.1:1234 "GET /chat HTTP/1.1" 101',
        '192.0.2.1:1234 "PUT / HTTP/1.1" 413',
    ]
