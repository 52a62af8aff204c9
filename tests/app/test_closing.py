"""Closing a WebSocket: codes, what can be done afterwards, and the asynchronous context manager."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from autobahnlike.app.errors import WebSocketDisconnect
from autobahnlike.app.routing import Router
from autobahnlike.app.websocket import WebSocket
from tests.app.harness import Way, both_ways, websocket_scope

View = Callable[[WebSocket], Coroutine[Any, Any, None]]


def routed(view: View, **options: Any) -> Router:
    router = Router()
    router.websocket_route("/ws", **options)(view)
    return router


@both_ways
@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1014, 3000, 4000, 4999])
async def test_close_codes(way: Way, code: int) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.close(code)

    talk = await way.talk(routed(view), "/ws")
    assert (talk.wire, talk.error) == ([101, ("close", code)], None)


@both_ways
@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65536, "1000", None])
async def test_close_codes_that_cannot_be_sent(way: Way, code: Any) -> None:
    async def close(ws: WebSocket) -> None:
        await ws.close(code)

    async def ensure_closed(ws: WebSocket) -> None:
        await ws.ensure_closed(code)

    async def send_event(ws: WebSocket) -> None:
        await ws.send_event({"type": "websocket.close", "code": code})

    for view in (close, ensure_closed, send_event):
        talk = await way.talk(routed(view), "/ws")
        assert talk.wire == [101, ("close", 1011)]
        assert isinstance(talk.error, ValueError)
        assert f"the close code {code!r} cannot be sent" in str(talk.error)


@both_ways
async def test_code_403_is_no_close_code(way: Way) -> None:
    async def after_accepting(ws: WebSocket) -> None:
        await ws.accept()
        await ws.close(403)

    async def at_once(ws: WebSocket) -> None:
        await ws.close(403)

    async def by_event(ws: WebSocket) -> None:
        await ws.send_event({"type": "websocket.close", "code": 403})

    for view in (after_accepting, at_once, by_event):
        talk = await way.talk(routed(view), "/ws")
        assert talk.wire == [101, ("close", 1011)]
        assert isinstance(talk.error, ValueError)


@both_ways
async def test_reasons(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        reason = await ws.receive()
        await ws.close(4000, reason=reason)

    talk = await way.talk(routed(view), "/ws", "é" * 61)
    assert talk.events[-1] == {"type": "websocket.close", "code": 4000, "reason": "é" * 61}
    talk = await way.talk(routed(view), "/ws", "é" * 62)
    assert talk.wire == [101, ("close", 1011)]
    assert "at most 123 bytes of UTF-8, not 124" in str(talk.error)


@both_ways
async def test_using_it_after_closing(way: Way) -> None:
    errors = []

    async def view(ws: WebSocket) -> None:
        await ws.close(4242)
        for use in (ws.close, lambda: ws.send("x"), ws.accept, ws.reject, ws.receive):
            try:
                await use()
            except RuntimeError as exc:
                errors.append(str(exc))
        await ws.ensure_closed()
        await ws.ensure_closed(4000)

    talk = await way.talk(routed(view, auto_accept=False), "/ws")
    assert talk.wire == [403]
    assert errors == ['Cannot call "send" once a close message has been sent.'] * 4 + [
        'Cannot call "receive" once a close message has been sent.'
    ]
    errors.clear()
    talk = await way.talk(routed(view), "/ws")
    assert talk.wire == [101, ("close", 4242)]
    assert errors == ['Cannot call "send" once a close message has been sent.'] * 4 + [
        'Cannot call "receive" once a close message has been sent.'
    ]


@both_ways
async def test_the_disconnect_can_be_received_after_closing(way: Way) -> None:
    seen = []

    async def view(ws: WebSocket) -> None:
        await ws.close(4000)
        seen.append(await ws.receive_event())

    await way.talk(routed(view), "/ws")
    assert seen == [{"type": "websocket.disconnect", "code": 4000, "reason": ""}]


@both_ways
async def test_after_the_client_has_gone(way: Way) -> None:
    seen = []

    async def view(ws: WebSocket) -> None:
        try:
            await ws.receive()
        except WebSocketDisconnect:
            pass
        try:
            await ws.send("x")
        except WebSocketDisconnect as exc:
            seen.append(repr(exc))
        # There is nothing to close, and it is no mistake.
        await ws.close()
        try:
            await ws.close()
        except RuntimeError as exc:
            seen.append(str(exc))

    talk = await way.talk(routed(view), "/ws", disconnect=4000)
    assert (talk.wire, talk.error) == ([101], None)
    assert seen == ["SendAfterDisconnect(4000)", 'Cannot call "send" once a close message has been sent.']


@both_ways
async def test_sending_to_a_client_that_goes_meanwhile(way: Way) -> None:
    seen: list[Any] = []

    async def view(ws: WebSocket) -> None:
        await ws.receive()
        try:
            await ws.send("x")
        except WebSocketDisconnect as exc:
            seen.append((type(exc).__name__, exc.code, type(exc.__cause__).__name__))
        # What the client sent before is still there, and so is how it has closed.
        try:
            seen.append(await ws.receive())
            await ws.receive()
        except WebSocketDisconnect as exc:
            seen.append((type(exc).__name__, exc.code))

    client = await way.connect(routed(view), "/ws")
    client.hold_sends()
    client.send("go")
    await way.settle()
    client.send("more")
    client.disconnect(4000)
    assert client.release_sends() == 1
    assert await client.ended() is None
    assert seen == [("SendAfterDisconnect", 1006, "ClientGone"), "more", ("WebSocketDisconnect", 4000)]


@both_ways
async def test_a_failed_send_that_nobody_catches(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.receive()
        await ws.send("x")

    client = await way.connect(routed(view), "/ws")
    client.hold_sends()
    client.send("go")
    await way.settle()
    client.disconnect(1000)
    assert client.release_sends() == 1
    # The server gets back what it raised in kind, and need not log it.
    assert isinstance(await client.ended(), OSError)


# The asynchronous context manager


@both_ways
async def test_the_block_accepts_and_closes(way: Way) -> None:
    said = []

    async def hello(ws: WebSocket) -> None:
        said.append("going to accept")
        async with ws:
            await ws.send("hi")
        said.append("closed")

    for auto_accept in (True, False):
        talk = await way.talk(routed(hello, auto_accept=auto_accept), "/ws")
        assert (talk.wire, talk.error) == ([101, "hi", ("close", 1000)], None)
    assert said == ["going to accept", "closed"] * 2


@both_ways
async def test_blocks_inside_of_blocks(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        async with ws, ws:
            await ws.send("hi")

    talk = await way.talk(routed(view, auto_accept=False), "/ws")
    assert talk.wire == [101, "hi", ("close", 1000)]


@both_ways
async def test_closing_in_the_block(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        async with ws:
            await ws.close(4242)

    for auto_accept in (True, False):
        talk = await way.talk(routed(view, auto_accept=auto_accept), "/ws")
        assert (talk.wire, talk.error) == ([101, ("close", 4242)], None)


@both_ways
@pytest.mark.parametrize("auto_accept", [True, False])
async def test_exceptions_in_the_block(way: Way, auto_accept: bool) -> None:
    async def fails(ws: WebSocket) -> None:
        async with ws:
            raise ValueError("inside")

    async def swallows(ws: WebSocket) -> None:
        try:
            await fails(ws)
        except ValueError:
            pass

    talk = await way.talk(routed(fails, auto_accept=auto_accept), "/ws")
    assert talk.wire == [101, ("close", 1011)]
    assert repr(talk.error) == "ValueError('inside')"
    talk = await way.talk(routed(swallows, auto_accept=auto_accept), "/ws")
    assert (talk.wire, talk.error) == ([101, ("close", 1011)], None)


def test_a_block_that_is_thrown_away() -> None:
    """The coroutine cannot wait any more, so nothing is sent."""
    sent = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        sent.append(event["type"])

    class Waiting:
        def __await__(self) -> Any:
            yield

    async def view(ws: WebSocket) -> None:
        async with ws:
            await Waiting()

    coroutine = view(WebSocket(websocket_scope("/ws"), receive, send))
    coroutine.send(None)
    coroutine.close()
    assert sent == ["websocket.accept"]
