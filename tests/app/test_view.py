"""How a view is run: when the connection is accepted and closed, what becomes of exceptions and of disconnects."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest
import starlette.websockets

from autobahnlike.app.errors import WebSocketDisconnect
from autobahnlike.app.options import WebSocketOptions
from autobahnlike.app.providers import provider
from autobahnlike.app.routing import Router
from autobahnlike.app.view import AcceptWhenWaiting
from autobahnlike.app.websocket import WebSocket
from tests.app.harness import Client, Way, as_app, both_ways, websocket_scope

View = Callable[[WebSocket], Coroutine[Any, Any, None]]


def routed(view: View, **options: Any) -> Router:
    router = Router()
    router.websocket_route("/ws", **options)(view)
    return router


# The life of a connection


@both_ways
async def test_four_lines(way: Way) -> None:
    async def echo(ws: WebSocket) -> None:
        message = await ws.receive()
        await ws.send(f"You said: {message}")

    talk = await way.talk(routed(echo), "/ws", "hi")
    assert talk.events == [
        {"type": "websocket.accept", "subprotocol": None, "headers": []},
        {"type": "websocket.send", "text": "You said: hi"},
        {"type": "websocket.close", "code": 1000, "reason": ""},
    ]


@both_ways
async def test_everything_by_hand(way: Way) -> None:
    async def echo(ws: WebSocket) -> None:
        await ws.accept()
        message = await ws.receive()
        await ws.send(f"You said: {message}")
        await ws.close()

    # By hand is also allowed in views that need not.
    for auto_accept in (False, True):
        talk = await way.talk(routed(echo, auto_accept=auto_accept), "/ws", "hi")
        assert (talk.wire, talk.error) == ([101, "You said: hi", ("close", 1000)], None)


@both_ways
async def test_by_hand_with_finally(way: Way) -> None:
    said = []

    async def hello(ws: WebSocket) -> None:
        await ws.accept()
        try:
            await ws.send("Hello, world!")
            await ws.receive()
        except WebSocketDisconnect:
            said.append("Connection closed")
        finally:
            await ws.close()

    talk = await way.talk(routed(hello, auto_accept=False), "/ws", disconnect=4000)
    assert (talk.wire, talk.error) == ([101, "Hello, world!"], None)
    assert said == ["Connection closed"]


@both_ways
async def test_views_that_do_nothing(way: Way) -> None:
    async def nothing(ws: WebSocket) -> None: ...

    talk = await way.talk(routed(nothing), "/ws")
    assert (talk.wire, talk.error) == ([101, ("close", 1000)], None)
    # Servers answer this exception with HTTP 500.
    talk = await way.talk(routed(nothing, auto_accept=False), "/ws")
    assert talk.wire == []
    assert isinstance(talk.error, RuntimeError)
    assert "has neither accepted nor rejected the connection" in str(talk.error)


@both_ways
async def test_a_view_that_does_not_close(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.accept()
        await ws.send("x")

    talk = await way.talk(routed(view, auto_accept=False), "/ws")
    assert (talk.wire, talk.error) == ([101, "x", ("close", 1000)], None)


@both_ways
async def test_a_view_waits_and_others_go_on(way: Way) -> None:
    async def echo(ws: WebSocket) -> None:
        async for message in ws:
            await ws.send(message)

    router = routed(echo)
    idle = [await way.connect(router, "/ws") for _ in range(20)]
    talk = await way.talk(router, "/ws", "hi")
    assert talk.wire == [101, "hi"]
    for client in idle:
        assert client.wire == [101]
        client.send("late")
        assert [await client.next(), await client.next()] == [101, "late"]
        client.disconnect(1001)
        assert await client.ended() is None


# Holding acceptance back


@both_ways
async def test_it_is_accepted_when_it_is_used(way: Way) -> None:
    seen: list[Any] = []

    async def receives(ws: WebSocket) -> None:
        seen.append(ws.answered)
        await ws.receive()

    async def sends(ws: WebSocket) -> None:
        seen.append(ws.answered)
        await ws.send("x")
        seen.append(ws.answered)

    async def enters(ws: WebSocket) -> None:
        seen.append(ws.answered)
        async with ws:
            seen.append(ws.answered)

    client = await way.connect(routed(receives), "/ws")
    assert client.wire == [101]
    client.disconnect(1000)
    await client.ended()
    await way.talk(routed(sends), "/ws")
    await way.talk(routed(enters), "/ws")
    assert seen == [False, False, True, False, True]


@both_ways
async def test_it_is_accepted_when_the_view_waits_for_something_else(way: Way) -> None:
    something = way.waiter()
    seen: list[Any] = []

    async def view(ws: WebSocket) -> None:
        seen.append(ws.answered)
        await something
        seen.append(ws.answered)
        await ws.send("x")

    client = await way.connect(routed(view), "/ws")
    assert client.wire == [101]
    assert seen == [False]
    way.wake(something)
    assert await client.ended() is None
    assert client.wire == [101, "x", ("close", 1000)]
    assert seen == [False, True]


@both_ways
async def test_awaiting_what_does_not_wait_is_no_waiting(way: Way) -> None:
    async def check() -> bool:
        return False

    async def view(ws: WebSocket) -> None:
        if not await check():
            await ws.reject()
            return
        await ws.send("not reached")

    assert (await way.talk(routed(view), "/ws")).wire == [403]


@both_ways
async def test_the_view_sees_what_it_waits_for_fail(way: Way) -> None:
    seen: list[str] = []

    async def failing() -> None:
        await waiter
        raise ValueError("outside")

    async def view(ws: WebSocket) -> None:
        try:
            await task
        except ValueError as exc:
            seen.append(str(exc))
        await ws.send("go on")

    waiter = way.waiter()
    task = way.spawn(failing())
    client = await way.connect(routed(view), "/ws")
    way.wake(waiter)
    await client.ended()
    assert client.wire == [101, "go on", ("close", 1000)]
    assert seen == ["outside"]


@both_ways
async def test_what_a_view_waits_for_happens_while_it_is_accepted(way: Way) -> None:
    something = way.waiter()

    async def view(ws: WebSocket) -> None:
        await something
        await ws.send("x")

    # The server takes its time with the answer to the handshake.
    client = Client(way, websocket_scope("/ws"))
    client.put({"type": "websocket.connect"})
    client.hold_sends()
    client.task = way.spawn(client.serve(as_app(routed(view))))
    await way.settle()
    assert client.held == 1
    way.wake(something)
    await way.settle()
    assert client.wire == []
    client.release_sends()
    assert await client.ended() is None
    assert client.wire == [101, "x", ("close", 1000)]


def test_cancelling_while_it_is_accepted() -> None:
    """The view is told, though it waits for something else than what was cancelled."""
    seen = []

    async def main() -> None:
        never = asyncio.get_running_loop().create_future()
        sending = asyncio.Event()

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(event: Any) -> None:
            sending.set()
            await asyncio.get_running_loop().create_future()

        async def view(ws: WebSocket) -> None:
            try:
                await never
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        task = asyncio.ensure_future(routed(view).routes[0](websocket_scope("/ws"), receive, send))
        await sending.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == ["cancelled"]


def test_cancelling_later() -> None:
    seen = []

    async def main() -> None:
        waits = asyncio.Event()
        sent: list[str] = []

        async def receive() -> Any:
            if sent:
                waits.set()
                await asyncio.get_running_loop().create_future()
            return {"type": "websocket.connect"}

        async def send(event: Any) -> None:
            sent.append(event["type"])

        async def view(ws: WebSocket) -> None:
            try:
                await ws.receive()
            finally:
                seen.append("cleaned up")

        task = asyncio.ensure_future(routed(view).routes[0](websocket_scope("/ws"), receive, send))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Who cancels it decides how the connection ends.
        assert sent == ["websocket.accept"]

    asyncio.run(main())
    assert seen == ["cleaned up"]


def test_a_coroutine_that_is_thrown_away_is_closed() -> None:
    seen = []

    class Waiting:
        def __await__(self) -> Generator[Any, Any, Any]:
            given = yield "wait"
            seen.append(given)
            yield "again"

    async def view() -> None:
        try:
            await Waiting()
        finally:
            seen.append("closed")

    async def receive() -> Any: ...
    async def send(event: Any) -> None: ...

    ws = WebSocket(websocket_scope("/ws"), receive, send, WebSocketOptions(auto_accept=False))
    steps = AcceptWhenWaiting(ws, view()).__await__()
    # What is awaited, and what comes of it, passes through as it is.
    assert next(steps) == "wait"
    assert steps.send("given") == "again"
    assert not ws.closed
    steps.close()
    assert seen == ["given", "closed"]
    assert ws.closed


@both_ways
async def test_context_variables(way: Way) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    something = way.waiter()

    async def view(ws: WebSocket) -> None:
        before = variable.get()
        variable.set("inside")
        await something
        await ws.send(f"{before} {variable.get()}")

    variable.set("outside")
    client = await way.connect(routed(view), "/ws")
    way.wake(something)
    await client.ended()
    assert client.wire[1] == "outside inside"


# Rejecting


async def api_key_verbatim(ws: WebSocket) -> None:
    if ws.headers.get("api-key") != "s3kr3t":
        await ws.reject()
    async with ws:
        await ws.send("secret")


async def api_key(ws: WebSocket) -> None:
    if ws.headers.get("api-key") != "s3kr3t":
        await ws.reject()
        return
    async with ws:
        await ws.send("secret")


@both_ways
@pytest.mark.parametrize("view", [api_key_verbatim, api_key])
@pytest.mark.parametrize("auto_accept", [True, False])
async def test_the_api_key_example(way: Way, view: View, auto_accept: bool, caplog: pytest.LogCaptureFixture) -> None:
    router = routed(view, auto_accept=auto_accept)
    caplog.clear()
    good = await way.talk(router, "/ws", headers={"Api-Key": "s3kr3t"})
    assert (good.wire, good.error) == ([101, "secret", ("close", 1000)], None)
    assert caplog.messages == []
    bad = await way.talk(router, "/ws", headers={"Api-Key": "guess"})
    assert bad.wire == [403]
    assert bad.events == [{"type": "websocket.close", "code": 403, "reason": ""}]
    if view is api_key_verbatim and auto_accept:
        # As it stands in the guide: what is missing is told, and the secret is kept.
        assert bad.error is None
        (message,) = caplog.messages
        assert "went on after `await ws.reject()`: write `return` after it" in message
        assert caplog.records[0].levelno == logging.WARNING
    elif view is api_key_verbatim:
        assert isinstance(bad.error, RuntimeError)
        assert str(bad.error) == 'Cannot call "send" once a close message has been sent.'
    else:
        assert (bad.error, caplog.messages) == (None, [])


@both_ways
async def test_a_rejected_connection_cannot_be_used(way: Way) -> None:
    reached = []

    async def receives(ws: WebSocket) -> None:
        await ws.reject()
        await ws.receive()
        reached.append(ws)

    async def sends(ws: WebSocket) -> None:
        await ws.reject()
        await ws.send("x")
        reached.append(ws)

    async def accepts(ws: WebSocket) -> None:
        await ws.reject()
        await ws.accept()
        reached.append(ws)

    for view in (receives, sends, accepts):
        talk = await way.talk(routed(view), "/ws", "x")
        assert (talk.wire, talk.error) == ([403], None)
    assert reached == []


@both_ways
async def test_rejecting_by_closing(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.close(4001)

    talk = await way.talk(routed(view, auto_accept=False), "/ws")
    assert (talk.wire, talk.error) == ([403], None)
    # With automatic acceptance the code reaches the client.
    assert (await way.talk(routed(view), "/ws")).wire == [101, ("close", 4001)]


@both_ways
@pytest.mark.parametrize("auto_accept", [True, False])
async def test_rejecting_too_late(way: Way, auto_accept: bool) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.accept()
        await ws.reject()

    talk = await way.talk(routed(view, auto_accept=auto_accept), "/ws")
    assert talk.wire == [101, ("close", 1011)]
    assert isinstance(talk.error, ValueError)
    assert "accepted already" in str(talk.error)


# Exceptions


@both_ways
@pytest.mark.parametrize("moment", ["at once", "after sending", "accepted by hand", "before accepting"])
async def test_exceptions_of_views(way: Way, moment: str) -> None:
    auto_accept = moment in ("at once", "after sending")

    async def view(ws: WebSocket) -> None:
        if moment == "after sending":
            await ws.send("x")
        if moment == "accepted by hand":
            await ws.accept()
        raise ValueError("failed")

    talk = await way.talk(routed(view, auto_accept=auto_accept), "/ws")
    expected: dict[str, list[Any]] = {
        "at once": [101, ("close", 1011)],
        "after sending": [101, "x", ("close", 1011)],
        "accepted by hand": [101, ("close", 1011)],
        "before accepting": [403],
    }
    assert talk.wire == expected[moment]
    assert repr(talk.error) == "ValueError('failed')"
    if moment != "before accepting":
        assert talk.events[-1] == {"type": "websocket.close", "code": 1011, "reason": ""}


@both_ways
async def test_an_exception_after_closing(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.close(4000)
        await ws.send("x")

    talk = await way.talk(routed(view), "/ws")
    assert talk.wire == [101, ("close", 4000)]
    assert repr(talk.error) == "RuntimeError('Cannot call \"send\" once a close message has been sent.')"


# Disconnects


async def listens(ws: WebSocket) -> None:
    async for _ in ws:
        pass


async def listens_in_a_block(ws: WebSocket) -> None:
    async with ws:
        await listens(ws)


async def listens_by_hand(ws: WebSocket) -> None:
    await ws.accept()
    await listens(ws)


DEFAULT = (1000, 1001)
CODES = (1000, 1001, 1003, 1005, 1006, 1011, 1012, 3000, 4000, 4999)


@both_ways
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("options", "caught"),
    [
        ({}, DEFAULT),
        ({"caught_close_codes": (1000, 1001, 1006)}, (1000, 1001, 1006)),
        ({"caught_close_codes": [1000]}, (1000,)),
        ({"caught_close_codes": all}, CODES),
        ({"caught_close_codes": ()}, ()),
        ({"catch_disconnect": True}, CODES),
        ({"catch_disconnect": False}, ()),
    ],
)
async def test_which_disconnects_are_errors(
    way: Way, code: int, options: dict[str, Any], caught: tuple[int, ...]
) -> None:
    for view, auto_accept in ((listens, True), (listens_in_a_block, False), (listens_by_hand, False)):
        talk = await way.talk(routed(view, auto_accept=auto_accept, **options), "/ws", "x", disconnect=code)
        assert talk.wire == [101]
        # By hand and without a block, it is always the view's own business.
        if code in caught and view is not listens_by_hand:
            assert talk.error is None
        else:
            assert isinstance(talk.error, WebSocketDisconnect)
            assert talk.error.code == code


@both_ways
async def test_a_block_goes_no_further_than_the_disconnect(way: Way) -> None:
    said = []

    async def view(ws: WebSocket) -> None:
        async with ws:
            await ws.receive()
        said.append(ws.closed)

    talk = await way.talk(routed(view, auto_accept=False), "/ws", disconnect=1000)
    assert (talk.wire, talk.error, said) == ([101], None, [True])


@both_ways
async def test_the_disconnect_of_someone_else_is_an_error(way: Way) -> None:
    """A view that sends to the clients of others is not over because one of them has gone."""
    members: list[WebSocket] = []

    async def view(ws: WebSocket) -> None:
        members.append(ws)
        async for message in ws:
            for member in members:
                await member.send(message)

    router = routed(view, caught_close_codes=all)
    first, second = await way.connect(router, "/ws"), await way.connect(router, "/ws")
    first.disconnect(1000)
    assert await first.ended() is None
    second.send("x")
    error = await second.ended()
    assert isinstance(error, WebSocketDisconnect)
    assert error.connection is members[0]
    assert second.wire == [101, ("close", 1011)]


@both_ways
async def test_disconnects_of_starlette_count_as_well(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        raise starlette.websockets.WebSocketDisconnect(1001)

    talk = await way.talk(routed(view), "/ws")
    assert talk.error is None


@both_ways
@pytest.mark.parametrize("auto_accept", [True, False])
async def test_groups_of_disconnects_count_if_all_that_is_in_them_does(way: Way, auto_accept: bool) -> None:
    """As an ``asyncio.TaskGroup`` raises them."""
    others: list[Exception] = []

    async def view(ws: WebSocket) -> None:
        async with ws:
            try:
                await ws.receive()
            except WebSocketDisconnect as exc:
                raise ExceptionGroup("tasks", [exc, ExceptionGroup("more", [exc]), *others]) from None

    router = routed(view, auto_accept=auto_accept)
    assert (await way.talk(router, "/ws", disconnect=1001)).error is None
    assert isinstance((await way.talk(router, "/ws", disconnect=4000)).error, ExceptionGroup)
    others.append(ValueError("something else"))
    assert isinstance((await way.talk(router, "/ws", disconnect=1001)).error, ExceptionGroup)


# Providers


@pytest.fixture
def events() -> Any:
    """What happens, in order."""
    return []


@both_ways
async def test_providers_clean_up_before_the_connection_is_closed(way: Way, events: list[str]) -> None:
    @provider
    async def resource() -> Any:
        events.append("made")
        yield "value"
        events.append("cleaned up")

    async def view(ws: WebSocket, name: str, resource: str, loud: bool = False) -> None:
        await ws.send(f"{name} {resource} {loud}")
        if loud:
            raise ValueError("failed")

    router = Router()
    router.websocket_route("/{name}")(view)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def noted(event: Any) -> None:
            events.append(event["type"])
            await send(event)

        found = router.find(scope)
        assert found is not None
        await found[0](found[1], receive, noted)

    talk = await way.talk(app, "/ann")
    assert talk.wire == [101, "ann value False", ("close", 1000)]
    order = ["made", "websocket.accept", "websocket.send", "cleaned up", "websocket.close"]
    assert events == order
    events.clear()
    talk = await way.talk(app, "/ann?loud=1")
    assert talk.wire == [101, "ann value True", ("close", 1011)]
    assert repr(talk.error) == "ValueError('failed')"
    assert events == order


@both_ways
async def test_a_view_can_reject_after_a_provider_has_waited(way: Way) -> None:
    looked_up = way.waiter()

    @provider
    async def user() -> None:
        await looked_up

    async def view(ws: WebSocket, user: Any) -> None:
        if user is None:
            await ws.reject()

    client = await way.connect(routed(view), "/ws")  # type: ignore[arg-type]
    assert client.wire == []
    way.wake(looked_up)
    await client.ended()
    assert client.wire == [403]


@both_ways
async def test_a_provider_that_fails(way: Way) -> None:
    @provider
    async def user() -> None:
        raise ValueError("no database")

    async def view(ws: WebSocket, user: Any) -> None: ...

    talk = await way.talk(routed(view), "/ws")  # type: ignore[arg-type]
    assert talk.wire == [101, ("close", 1011)]
    assert repr(talk.error) == "ValueError('no database')"
