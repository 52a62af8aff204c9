"""What applications may await on which loop, concurrency within them, and the end of a server."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.asgi.kit import AppKit, chat, disconnected, echo_view, get, hello_app, read_answer, respond, websocket_app
from tests.asgi.registry import scenario
from tests.conformance.registry import ASYNCIO, TWISTED
from tests.wire.helpers import TEXT, Frame

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Receive, Scope, Send

# Where applications are tasks.
TASKS = (*ASYNCIO, "twisted-asyncio")


@scenario(*TASKS)
async def asyncio_in_an_application(kit: AppKit) -> None:
    async def view(receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.01)
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def reader() -> None:
            event = await receive()
            await queue.put(event["text"])

        async with asyncio.TaskGroup() as group:
            group.create_task(reader())
            text = await queue.get()
        await send({"type": "websocket.send", "text": f"{text} {await asyncio.to_thread(str, 1)}"})

    peer = await kit.talk(websocket_app(view))
    peer.send_frame(TEXT, b"hello")
    assert await peer.read_frame() == Frame(TEXT, b"hello 1")
    assert await peer.read_close() == (1000, "")


@scenario("twisted")
async def asyncio_where_there_is_none(kit: AppKit) -> None:
    """The application is told what is to be done, and its client that something is wrong."""
    import anyio

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        if scope["path"] == "/anyio":
            await anyio.lowlevel.checkpoint()
        await asyncio.sleep(0.1)

    for target in ("/asyncio", "/anyio"):
        where = await kit.serve_app(app)
        peer = await kit.open_raw(where)
        peer.send(get(target))
        assert (await read_answer(peer)).status == 500
        peer = await kit.ask(app, target=target)
        assert (await peer.read_head()).startswith("HTTP/1.1 101 ")
        assert (await peer.read_close())[0] == 1011
        errors = kit.take_errors()
        hints = [text for text, _ in errors if "the application uses asyncio" in text and "twistd -r asyncio" in text]
        assert (len(errors), len(hints)) == (4, 2), errors


@scenario(*TWISTED)
async def deferreds_in_an_application(kit: AppKit) -> None:
    gate = kit.future()

    async def view(receive: Receive, send: Send) -> None:
        await kit.sleep(0.01)
        kit.server.note("waits")
        text = await gate
        await send({"type": "websocket.send", "text": text})
        failing = kit.future()
        kit.fail(failing, LookupError("on purpose"))
        try:
            await failing
        except LookupError as error:
            await send({"type": "websocket.send", "text": str(error)})
        await echo_view(receive, send)

    peer = await kit.talk(websocket_app(view))
    await kit.server.wait("waits")
    kit.fire(gate, "fired")
    assert [await peer.read_frame() for _ in range(2)] == [Frame(TEXT, b"fired"), Frame(TEXT, b"on purpose")]
    await chat(kit, peer)
    peer.send_close(1000)
    await peer.read_close()


@scenario("twisted-asyncio")
async def deferreds_and_futures_in_one_application(kit: AppKit) -> None:
    async def view(receive: Receive, send: Send) -> None:
        for _ in range(3):
            await kit.sleep(0)
            await asyncio.sleep(0)
        await asyncio.wait_for(receive(), 5)
        try:
            async with asyncio.timeout(0.05):
                await kit.future()
        except TimeoutError:
            await send({"type": "websocket.send", "text": "timed out"})

    peer = await kit.talk(websocket_app(view))
    peer.send_frame(TEXT, b"hello")
    assert await peer.read_frame() == Frame(TEXT, b"timed out")
    assert await peer.read_close() == (1000, "")


@scenario(*TASKS)
async def a_receive_with_a_time_out_loses_nothing(kit: AppKit) -> None:
    async def view(receive: Receive, send: Send) -> None:
        missing = 100
        while missing:
            try:
                event = await asyncio.wait_for(receive(), 0.001)
            except TimeoutError:
                continue
            missing -= 1
            await send({"type": "websocket.send", "text": event["text"]})

    peer = await kit.talk(websocket_app(view))
    for number in range(100):
        peer.send_frame(TEXT, str(number).encode())
        if number % 10 == 0:
            await kit.sleep(0.003)
    for number in range(100):
        assert await peer.read_frame() == Frame(TEXT, str(number).encode())
    assert await peer.read_close() == (1000, "")


@scenario()
async def sending_from_another_connection(kit: AppKit) -> None:
    """A chat: each tells all, and each gets all in the same order."""
    members: list[Any] = []

    async def view(receive: Receive, send: Send) -> None:
        members.append(send)
        while (event := await receive())["type"] == "websocket.receive":
            for member in members:
                await member({"type": "websocket.send", "text": event["text"]})
        members.remove(send)

    where = await kit.serve_app(websocket_app(view))
    peers = [await kit.open_peer(where) for _ in range(5)]
    await kit.until(lambda: len(members) == 5, "all are there")
    for number, peer in enumerate(peers):
        peer.send(*(peer.frame(TEXT, f"{number}.{count}".encode()) for count in range(10)))
    got = [[(await peer.read_frame()).payload for _ in range(50)] for peer in peers]
    assert all(each == got[0] for each in got)
    assert len(set(got[0])) == 50


@scenario()
async def accepting_beside_sending(kit: AppKit) -> None:
    """What another coroutine of the application sends while it accepts comes after that."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def accept() -> None:
            await send({"type": "websocket.accept"})

        accepting = kit.start(accept())
        await kit.sleep(0)
        await send({"type": "websocket.send", "text": "hello"})
        await accepting
        await disconnected(receive)

    peer = await kit.talk(app)
    assert await peer.read_frame() == Frame(TEXT, b"hello")


@scenario(*ASYNCIO, "twisted")
async def an_application_that_does_not_receive_stops_its_client(kit: AppKit) -> None:
    await _slow_application(kit)


@scenario("twisted-asyncio")
async def an_application_that_does_not_receive_stops_its_client_too(kit: AppKit) -> None:
    await _slow_application(kit)


async def _slow_application(kit: AppKit) -> None:
    gate = kit.future()

    async def view(receive: Receive, send: Send) -> None:
        await gate
        count = 0
        while (event := await receive())["type"] == "websocket.receive":
            assert event["bytes"][:4] == count.to_bytes(4, "big")
            count += 1
        kit.server.note("count", count, event)

    # Both are up to the server now: no ping, and no pong, gets through.
    peer = await kit.talk(websocket_app(view), websocket={"autoPingInterval": 0.2, "autoPingTimeout": 0.2})
    message = bytes(9996)
    for number in range(1000):
        peer.send_frame(2, number.to_bytes(4, "big") + message)
    before = -1
    while peer.unsent != before:
        before = peer.unsent
        await kit.sleep(0.1)
    assert peer.unsent > 2_000_000, "of 10 MB, more than the buffers of the system hold"
    await kit.sleep(0.6)
    assert not peer.is_over
    peer.send_close(1000, b"all said")
    kit.fire(gate, None)
    end = {"type": "websocket.disconnect", "code": 1000, "reason": "all said"}
    assert await kit.server.wait("count") == (1000, end)


@scenario()
async def shutdown(kit: AppKit) -> None:
    """WebSockets are closed with 1001, their applications are told, and the lifespan comes last."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                kit.server.note(phase)
                await send({"type": f"lifespan.{phase}.complete"})
            return
        await websocket_app(watch)(scope, receive, send)

    async def watch(receive: Receive, send: Send) -> None:
        kit.server.note("told", (await disconnected(receive))["code"])

    where = await kit.serve_app(app, lifespan="on")
    peer = await kit.open_peer(where)
    stopping = kit.start(where.stop())  # type: ignore[arg-type]
    assert (await peer.read_close())[0] == 1001
    peer.send_close(1001)
    await kit.within(stopping, "the end")
    assert kit.server.events == [("startup",), ("told", 1001), ("shutdown",)]


@scenario()
async def what_never_ends_is_cancelled(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "websocket":
                await send({"type": "websocket.accept"})
            await kit.future()
        except BaseException as error:
            kit.server.note("cancelled", type(error).__name__)
            await respond(send)
            raise

    where = await kit.serve_app(app, shutdown_timeout=0.2)
    await kit.open_peer(where)
    peer = await kit.open_raw(where)
    peer.send(get())
    await kit.sleep(0.05)
    await kit.within(kit.start(where.stop()), "the end", 3)  # type: ignore[arg-type]
    assert kit.server.all("cancelled") == [("CancelledError",)] * 2
    ((text, _),) = kit.take_errors()
    assert "2 requests or WebSockets were still going on" in text


@scenario()
async def a_failed_startup(kit: AppKit) -> None:
    from autobahnlike.asgi import LifespanFailed

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(LifespanFailed, match="the application failed to start: no database"):
        await kit.serve_app(app, lifespan="on")


@scenario()
async def starlette(kit: AppKit) -> None:
    """A framework that uses nothing of asyncio for these runs on every loop."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    async def page(request: Request) -> JSONResponse:
        return JSONResponse({"body": (await request.body()).decode(), "url": str(request.url)})

    async def stream(request: Request) -> StreamingResponse:
        async def pieces() -> Any:
            for number in range(3):
                yield f"{number} "

        return StreamingResponse(pieces())

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(f"you said {text}")
        kit.server.note("ended")

    app = Starlette(
        routes=[
            Route("/page", page, methods=["POST"]),
            Route("/stream", stream),
            WebSocketRoute("/socket", socket),
        ]
    )
    where = await kit.serve_app(app, lifespan="on")
    peer = await kit.open_raw(where)
    peer.send(get("/page?a=b", method="POST", body=b"hello"))
    assert (await read_answer(peer)).body == b'{"body":"hello","url":"http://localhost/page?a=b"}'
    peer.send(get("/stream"))
    assert (await read_answer(peer)).body == b"0 1 2 "
    talk = await kit.open_raw(where)
    from tests.conformance.kit import request

    talk.send(request("/socket"))
    assert (await talk.read_head()).startswith("HTTP/1.1 101 ")
    talk.send_frame(TEXT, b"hello")
    assert await talk.read_frame() == Frame(TEXT, b"you said hello")
    talk.send_close(1000)
    assert await talk.read_close() == (1000, "")
    await kit.server.wait("ended")
    peer.send(get("/nothing"))
    assert (await read_answer(peer)).status == 404


@scenario()
async def nothing_of_a_scope_is_kept(kit: AppKit) -> None:
    class State:
        pass

    scopes: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        marker = State()
        scope["marker"] = marker
        scopes.append(weakref.ref(marker))
        await hello_app(scope, receive, send)

    where = await kit.serve_app(app)
    peer = await kit.open_raw(where)
    peer.send(get())
    await read_answer(peer)
    # The connection is still there, the request is not.
    await kit.until(lambda: scopes[0]() is None, "the scope is let go of")
