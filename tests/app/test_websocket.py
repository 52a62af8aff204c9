"""The WebSocket of a view: what it tells of the request, messages in both directions, opening and closing."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import starlette.websockets

from autobahnlike.app.errors import SendAfterDisconnect, WebSocketDisconnect
from autobahnlike.app.routing import Router
from autobahnlike.app.websocket import WebSocket
from tests.app.harness import Client, Way, both_ways, websocket_scope

View = Callable[[WebSocket], Coroutine[Any, Any, None]]


def routed(view: View, **options: Any) -> Router:
    router = Router()
    router.websocket_route("/ws", **options)(view)
    return router


# The request


@both_ways
async def test_what_it_tells_of_the_request(way: Way) -> None:
    seen: list[WebSocket] = []

    async def view(ws: WebSocket) -> None:
        seen.append(ws)

    router = Router()
    router.websocket_route("/inspect/{name}")(view)
    await way.talk(
        router,
        "/inspect/x?a=1&a=2&b=%20",
        headers={"Host": "example.com:8080", "X-Foo": "bar", "Cookie": "a=b; c=d"},
        subprotocols=["one"],
    )
    (ws,) = seen
    assert str(ws.url) == "ws://example.com:8080/inspect/x?a=1&a=2&b=%20"
    assert ws.url is ws.url
    assert (ws.url.path, ws.url.port, ws.url.scheme, ws.url.hostname) == ("/inspect/x", 8080, "ws", "example.com")
    assert (ws.url.query, ws.url.is_secure) == ("a=1&a=2&b=%20", False)
    assert ws.headers["X-Foo"] == ws.headers["x-foo"] == "bar"
    assert ws.headers.get("missing") is None
    with pytest.raises(KeyError):
        ws.headers["missing"]
    with pytest.raises(TypeError):
        ws.headers["x"] = "y"  # type: ignore[index]
    assert ws.query_params is ws.query_parameters
    assert ws.query_parameters["a"] == "2"
    assert ws.query_params.getlist("a") == ["1", "2"]
    assert ws.query_params.multi_items() == [("a", "1"), ("a", "2"), ("b", " ")]
    assert ws.path_params == {"name": "x"}
    assert ws.cookies == {"a": "b", "c": "d"}
    assert ws.client is not None
    assert ws.client.port == 50000
    assert ws["path"] == ws.scope["path"] == ws.get("path") == "/inspect/x"
    assert ws.scope["subprotocols"] == ["one"]
    ws.state.x = 1
    assert ws.scope["state"] == {"x": 1}
    assert repr(ws) == "<WebSocket '/inspect/x' CLOSED CONNECTED>"


def websocket(**scope: Any) -> WebSocket:
    async def receive() -> Any: ...

    async def send(event: Any) -> None: ...

    return WebSocket(websocket_scope("/ws", **scope), receive, send)


def test_sessions() -> None:
    with pytest.raises(AssertionError) as caught:
        _ = websocket().session
    assert str(caught.value) == "SessionMiddleware must be installed to access request.session"
    assert websocket(session={"user": "ann"}).session == {"user": "ann"}


def test_identity() -> None:
    one, other = websocket(), websocket()
    assert one == one
    assert one != other
    assert {one, other, one} == {other, one}
    assert one


def test_what_it_does_not_have() -> None:
    with pytest.raises(AttributeError) as caught:
        websocket().message  # type: ignore[attr-defined]  # noqa: B018
    assert str(caught.value) == "'WebSocket' object has no attribute 'message'"
    assert caught.value.__notes__ == ["messages are received with receive()"]
    assert not hasattr(websocket(), "no_such_thing")


def test_disconnect_exceptions() -> None:
    for exc in (WebSocketDisconnect(4000, "bye"), WebSocketDisconnect(code=4000, reason="bye")):
        assert (exc.code, exc.reason, str(exc)) == (4000, "bye", "4000")
        assert isinstance(exc, starlette.websockets.WebSocketDisconnect)
    failed = SendAfterDisconnect(1006)
    assert isinstance(failed, OSError)
    assert (failed.code, failed.reason, str(failed)) == (1006, "", "1006")


# Messages


@both_ways
@pytest.mark.parametrize(
    ("options", "sent", "received"),
    [
        ({}, "héllo", "héllo"),
        ({}, "", ""),
        ({}, "x" * 70_000, "x" * 70_000),
        ({"value_type": "text"}, "a", "a"),
        ({"value_type": "bytes"}, b"\x00\xff", b"\x00\xff"),
        ({"value_type": "bytes"}, b"", b""),
        ({"value_type": "json"}, '{"a": [1, null]}', '{"a": [1, null]}'),
        ({"value_type": "json"}, '"\u00e9"', '"\\u00e9"'),
        ({"receive_type": "json", "send_type": "json"}, "[1,2]", "[1, 2]"),
        ({"value_type": "text", "receive_type": "json", "send_type": "bytes"}, "{", "{"),
    ],
)
async def test_an_echo_of_each_type(way: Way, options: dict[str, Any], sent: Any, received: Any) -> None:
    async def echo(ws: WebSocket) -> None:
        await ws.send(await ws.receive())

    talk = await way.talk(routed(echo, **options), "/ws", sent)
    assert talk.wire == [101, received, ("close", 1000)]
    assert talk.error is None


@both_ways
async def test_types_of_one_direction(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.send(repr(await ws.receive()))

    assert (await way.talk(routed(view, receive_type="json"), "/ws", "[1]")).wire[1] == "[1]"
    assert (await way.talk(routed(view, receive_type="bytes"), "/ws", b"x")).wire[1] == "b'x'"
    assert (await way.talk(routed(view, send_type="json"), "/ws", "x")).wire[1] == "\"'x'\""


@both_ways
async def test_events_as_messages(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        event = await ws.receive()
        await ws.send({"type": "websocket.send", "text": event["text"]})

    assert (await way.talk(routed(view, value_type="event"), "/ws", "hi")).wire == [101, "hi", ("close", 1000)]


@both_ways
async def test_methods_for_each_type(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.send_text(await ws.receive_text())
        await ws.send_bytes(await ws.receive_bytes())
        await ws.send_json(await ws.receive_json())
        await ws.send_bytes(memoryview(b"abc")[1:])

    talk = await way.talk(routed(view, value_type="json"), "/ws", "a", b"b", "[true]")
    assert talk.wire == [101, "a", b"b", "[true]", b"bc", ("close", 1000)]


@both_ways
@pytest.mark.parametrize(
    ("value_type", "message", "error"),
    [
        ("text", b"x", "KeyError('text')"),
        ("json", b"x", "KeyError('text')"),
        ("bytes", "x", "KeyError('bytes')"),
        ("json", "{", None),
    ],
)
async def test_messages_of_the_wrong_kind(way: Way, value_type: str, message: Any, error: str | None) -> None:
    caught: list[Exception] = []

    async def view(ws: WebSocket) -> None:
        try:
            await ws.receive()
        except Exception as exc:
            caught.append(exc)
            raise

    talk = await way.talk(routed(view, value_type=value_type), "/ws", message)
    assert talk.wire == [101, ("close", 1011)]
    assert talk.error is caught[0]
    if error is None:
        assert isinstance(talk.error, json.JSONDecodeError)
    else:
        assert repr(talk.error) == error


@both_ways
async def test_a_view_survives_a_message_that_is_no_json(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        try:
            await ws.receive_json()
        except json.JSONDecodeError:
            await ws.send_json({"error": "json"})

    assert (await way.talk(routed(view), "/ws", "{")).wire == [101, '{"error": "json"}', ("close", 1000)]


@both_ways
@pytest.mark.parametrize(
    ("options", "message", "error"),
    [
        ({"send_type": "json"}, object(), "Object of type object is not JSON serializable"),
        ({}, b"x", "a text message must be str, not bytes: "),
        ({}, {"a": 1}, "a text message must be str, not dict: "),
        ({"send_type": "bytes"}, "x", "a binary message must be bytes, not str"),
    ],
)
async def test_what_cannot_be_sent(way: Way, options: dict[str, Any], message: Any, error: str) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.send(message)

    talk = await way.talk(routed(view, **options), "/ws")
    # What cannot be sent does not keep the connection from being accepted.
    assert talk.wire == [101, ("close", 1011)]
    assert isinstance(talk.error, TypeError)
    assert str(talk.error).startswith(error)


@both_ways
async def test_iteration(way: Way) -> None:
    over = []

    async def view(ws: WebSocket) -> None:
        try:
            async for message in ws:
                await ws.send(message.upper())
            over.append("the loop ended")
        finally:
            over.append("left")

    talk = await way.talk(routed(view), "/ws", "a", "b", disconnect=1000)
    assert talk.wire == [101, "A", "B"]
    assert talk.error is None
    assert over == ["left"]


# ASGI events


@both_ways
async def test_an_echo_with_events(way: Way) -> None:
    async def echo(ws: WebSocket) -> None:
        event = await ws.receive_event()
        await ws.send_event({"type": "websocket.send", "text": f"You said: {event['text']}"})

    assert (await way.talk(routed(echo), "/ws", "hi")).wire == [101, "You said: hi", ("close", 1000)]


@both_ways
async def test_the_disconnect_as_an_event(way: Way) -> None:
    seen: list[Any] = []

    async def view(ws: WebSocket) -> None:
        seen.append(await ws.receive_event())
        for receive in (ws.receive_event, ws.receive):
            try:
                await receive()
            except RuntimeError as exc:
                seen.append(str(exc))

    talk = await way.talk(routed(view), "/ws", disconnect=4000)
    assert talk.wire == [101]
    assert seen[0] == {"type": "websocket.disconnect", "code": 4000, "reason": ""}
    assert seen[1:] == ['Cannot call "receive" once a disconnect message has been received.'] * 2


@both_ways
async def test_an_event_that_may_not_be_sent(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.send_event({"type": "websocket.receive", "text": "x"})

    talk = await way.talk(routed(view), "/ws")
    assert talk.wire == [101, ("close", 1011)]
    assert repr(talk.error) == "AssertionError()"
    assert talk.error is not None
    assert "'websocket.receive' may not be sent when the connection is ACCEPTED" in talk.error.__notes__[0]


@both_ways
async def test_everything_with_events(way: Way) -> None:
    seen = []

    async def view(ws: WebSocket) -> None:
        await ws.send_event({"type": "websocket.accept"})
        seen.append(await ws.receive_event())
        event = await ws.receive_event()
        await ws.send_event({"type": "websocket.send", "text": f"You said: {event['text']}"})
        await ws.send_event({"type": "websocket.close"})

    talk = await way.talk(routed(view, auto_accept=False), "/ws", "hi")
    assert talk.wire == [101, "You said: hi", ("close", 1000)]
    assert seen == [{"type": "websocket.connect"}]


@both_ways
async def test_the_same_when_it_is_accepted_automatically(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.send_event({"type": "websocket.accept", "subprotocol": "x"})
        event = await ws.receive_event()
        await ws.send_event({"type": "websocket.send", "text": f"You said: {event['text']}"})
        await ws.send_event({"type": "websocket.close", "code": 4001})

    talk = await way.talk(routed(view), "/ws", "hi", subprotocols=["x"])
    assert talk.wire == [101, "You said: hi", ("close", 4001)]
    assert talk.events[0] == {"type": "websocket.accept", "subprotocol": "x"}


@both_ways
@pytest.mark.parametrize("auto_accept", [True, False])
async def test_an_http_response_instead(way: Way, auto_accept: bool) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.send_event({"type": "websocket.http.response.start", "status": 418, "headers": []})
        await ws.send_event({"type": "websocket.http.response.body", "body": b"a", "more_body": True})
        await ws.send_event({"type": "websocket.http.response.body", "body": b"b"})

    talk = await way.talk(routed(view, auto_accept=auto_accept), "/ws")
    assert (talk.wire, talk.error) == ([418, b"a", b"b"], None)


@both_ways
async def test_servers_that_send_the_wrong_event(way: Way) -> None:
    errors = []

    async def view(ws: WebSocket) -> None:
        try:
            await ws.receive()
        except AssertionError as exc:
            errors.append(exc.__notes__)

    client = await way.connect(routed(view), "/ws")
    client.put({"type": "websocket.connect"})
    await client.ended()
    assert errors == [["the ASGI server sent the event 'websocket.connect', which may not come now"]]


@both_ways
@pytest.mark.parametrize(("code", "seen"), [(None, 1005), (1005, 1005), (4000, 4000)])
async def test_codes_of_disconnects(way: Way, code: int | None, seen: int) -> None:
    caught = []

    async def view(ws: WebSocket) -> None:
        try:
            await ws.receive()
        except WebSocketDisconnect as exc:
            caught.append((exc.code, exc.reason, exc.connection is ws, ws.closed))

    client = await way.connect(routed(view), "/ws")
    client.disconnect(code, "bye")
    await client.ended()
    assert caught == [(seen, "bye", True, True)]


# Opening


@both_ways
async def test_accept_with_a_subprotocol_and_headers(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.accept(subprotocol="b", headers={"X-A": "1"})
        await ws.close()

    for auto_accept in (True, False):
        talk = await way.talk(routed(view, auto_accept=auto_accept), "/ws", subprotocols=["a", "b"])
        assert talk.events == [
            {"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-a", b"1")]},
            {"type": "websocket.close", "code": 1000, "reason": ""},
        ]


@both_ways
@pytest.mark.parametrize(
    "headers",
    [
        [("X-A", "a\r\nb")],
        [(b"x-a\n", b"b")],
        {"Sec-WebSocket-Protocol": "x"},
    ],
)
async def test_headers_that_cannot_be_sent(way: Way, headers: Any) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.accept(headers=headers)

    talk = await way.talk(routed(view, auto_accept=False), "/ws")
    assert talk.wire == [403]
    assert isinstance(talk.error, ValueError)


@both_ways
async def test_accepting_twice(way: Way) -> None:
    async def twice(ws: WebSocket) -> None:
        await ws.accept()
        await ws.accept()

    async def then_with(ws: WebSocket) -> None:
        await ws.accept()
        async with ws:
            await ws.send("not reached")

    for view in (twice, then_with):
        talk = await way.talk(routed(view, auto_accept=False), "/ws")
        assert talk.wire == [101, ("close", 1011)]
        assert repr(talk.error) == "AssertionError()"
        # Accepted automatically, it is as good as accepted once.
        talk = await way.talk(routed(view), "/ws")
        assert talk.wire[0] == 101
        assert talk.wire[-1] == ("close", 1000)


@both_ways
async def test_a_subprotocol_comes_too_late(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.send("x")
        await ws.accept("late")

    talk = await way.talk(routed(view), "/ws", subprotocols=["late"])
    assert talk.wire == [101, "x", ("close", 1011)]
    assert isinstance(talk.error, AssertionError)
    assert "accepted already" in talk.error.__notes__[0]


@both_ways
async def test_the_client_goes_before_it_is_accepted(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.accept()

    for auto_accept in (True, False):
        client = Client(way, websocket_scope("/ws"))
        client.disconnect(1006)

        async def app(scope: Any, receive: Any, send: Any, auto_accept: bool = auto_accept) -> None:
            await routed(view, auto_accept=auto_accept).routes[0](scope, receive, send)

        await client.serve(app)
        assert client.wire == []
        if auto_accept:
            assert client.error is None
        else:
            assert isinstance(client.error, WebSocketDisconnect)
            assert client.error.code == 1006


@both_ways
@pytest.mark.parametrize("method", ["receive", "receive_json", "receive_bytes"])
async def test_receiving_before_it_is_accepted(way: Way, method: str) -> None:
    async def view(ws: WebSocket) -> None:
        await getattr(ws, method)()

    talk = await way.talk(routed(view, auto_accept=False), "/ws", "x")
    assert talk.wire == [403]
    assert repr(talk.error) == "AssertionError()"


@both_ways
async def test_sending_before_it_is_accepted(way: Way) -> None:
    async def view(ws: WebSocket) -> None:
        await ws.send("x")

    talk = await way.talk(routed(view, auto_accept=False), "/ws", "x")
    assert talk.wire == [403]
    assert repr(talk.error) == "AssertionError()"
