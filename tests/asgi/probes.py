"""The probes with which servers for ASGI applications were compared, and what each has to come to here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.asgi.kit import AppKit, disconnected, echo_view, read_answer, websocket_app
from tests.asgi.registry import scenario
from tests.wire.helpers import BINARY, CLOSE, TEXT, Frame

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Receive, Scope, Send


@scenario()
async def the_scope(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["greeting"] = "hello"
            assert (await receive())["type"] == "lifespan.startup"
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            await send({"type": "lifespan.shutdown.complete"})
            kit.server.note("shut down")
            return
        kit.server.note("scope", dict(scope))
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        await disconnected(receive)

    headers = "X-A: 1\r\nX-A: 2\r\nSec-WebSocket-Protocol: a, b\r\n"
    peer = await kit.talk(app, headers=headers, target="/caf%C3%A9?q=%20", lifespan="on")
    (scope,) = await kit.server.wait("scope")
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "1.1")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/café", b"/caf%C3%A9", b"q=%20")
    assert (scope["root_path"], scope["subprotocols"]) == ("", ["a", "b"])
    assert scope["state"] == {"greeting": "hello"}
    assert scope["extensions"]["websocket.http.response"] == {}
    assert [value for name, value in scope["headers"] if name == b"x-a"] == [b"1", b"2"]
    assert (b"host", b"localhost") in scope["headers"]
    assert scope["client"][0] == scope["server"][0] == "127.0.0.1"
    assert isinstance(scope["client"][1], int)
    peer.close()


@scenario()
async def lifespan(kit: AppKit) -> None:
    await the_scope(kit)
    await kit.end_sites()
    await kit.server.wait("shut down")


@scenario()
async def close_before_accept(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4000})
        kit.server.note("then", await receive(), await receive())

    answer = await read_answer(await kit.ask(app))
    assert answer.status == 403
    end = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    assert await kit.server.wait("then") == (end, end)


@scenario()
async def raises_before_accept(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("on purpose")

    peer = await kit.ask(app)
    assert (await read_answer(peer)).status == 500
    await peer.read_rest()
    ((text, error),) = kit.take_errors()
    assert "the application raised an exception for the WebSocket /" in text
    assert isinstance(error, LookupError)


@scenario()
async def returns_before_accept(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    assert (await read_answer(await kit.ask(app))).status == 500
    ((text, _),) = kit.take_errors()
    assert "neither accepted nor closed" in text


@scenario()
async def denial_response(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"x-pot", b"tea"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"content-length", b"99")]
        await send({"type": "websocket.http.response.start", "status": 418, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"short ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"and stout"})
        try:
            await send({"type": "websocket.accept"})
        except RuntimeError:
            kit.server.note("nothing may follow")

    answer = await read_answer(await kit.ask(app))
    assert (answer.status, answer.body) == (418, b"short and stout")
    assert answer.header("x-pot") == "tea"
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]
    await kit.server.wait("nothing may follow")


@scenario()
async def accept_headers(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-y", b"z")]
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": headers})

    peer = await kit.ask(app, headers="Sec-WebSocket-Protocol: a, b\r\n")
    answer = await read_answer(peer)
    assert answer.status == 101
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert (answer.header("x-y"), answer.header("sec-websocket-protocol")) == ("z", "b")


@scenario()
async def subprotocol_not_offered(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "c"})

    peer = await kit.ask(app, headers="Sec-WebSocket-Protocol: a, b\r\n")
    assert (await read_answer(peer)).status == 500
    ((_, error),) = kit.take_errors()
    assert isinstance(error, RuntimeError)
    assert "does not offer the subprotocol 'c' (it offers: a, b)" in str(error)


@scenario()
async def close_reason(kit: AppKit) -> None:
    async def view(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 4001, "reason": "grüße"})
        kit.server.note("end", await receive())

    peer = await kit.talk(websocket_app(view))
    assert await peer.read_close() == (4001, "grüße")
    peer.send_close(4001, "grüße".encode())
    (end,) = await kit.server.wait("end")
    assert end == {"type": "websocket.disconnect", "code": 4001, "reason": "grüße"}


@scenario()
async def raises_after_accept(kit: AppKit) -> None:
    async def view(receive: Receive, send: Send) -> None:
        raise LookupError("on purpose")

    peer = await kit.talk(websocket_app(view))
    assert (await peer.read_close())[0] == 1011
    ((_, error),) = kit.take_errors()
    assert isinstance(error, LookupError)


@scenario()
async def returns_after_accept(kit: AppKit) -> None:
    async def view(receive: Receive, send: Send) -> None:
        pass

    peer = await kit.talk(websocket_app(view))
    assert await peer.read_close() == (1000, "")


@scenario()
async def empty_messages(kit: AppKit) -> None:
    async def view(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "text": ""})
        await send({"type": "websocket.send", "bytes": b"", "text": None})
        kit.server.note("got", await receive(), await receive())

    peer = await kit.talk(websocket_app(view))
    assert [await peer.read_frame() for _ in range(2)] == [Frame(TEXT, b""), Frame(BINARY, b"")]
    peer.send(peer.frame(TEXT), peer.frame(BINARY))
    got = await kit.server.wait("got")
    assert got == ({"type": "websocket.receive", "text": ""}, {"type": "websocket.receive", "bytes": b""})


@scenario()
async def text_and_bytes(kit: AppKit) -> None:
    async def view(receive: Receive, send: Send) -> None:
        wrong: list[dict[str, Any]] = [{"text": "a", "bytes": b"b"}, {}, {"text": None, "bytes": None}]
        for what in wrong:
            try:
                await send({"type": "websocket.send", **what})
            except ValueError as error:
                kit.server.note("refused", str(error))
        await echo_view(receive, send)

    peer = await kit.talk(websocket_app(view))
    peer.send_frame(TEXT, b"still there")
    assert await peer.read_frame() == Frame(TEXT, b"still there")
    assert kit.server.all("refused") == [("websocket.send has to have one of text and bytes, and not both",)] * 3


async def _the_end(kit: AppKit, end: Any) -> Any:
    """What the application is told when the client ends the connection in some way, twice, and when it sends then."""

    async def view(receive: Receive, send: Send) -> None:
        first, second = await receive(), await receive()
        try:
            await send({"type": "websocket.send", "text": "too late"})
        except Exception as error:
            kit.server.note("end", first, second, error)
            raise

    peer = await kit.talk(websocket_app(view))
    end(peer)
    first, second, error = await kit.server.wait("end")
    assert first == second
    assert isinstance(error, OSError)
    # Which the application did not catch, and it is not logged.
    assert kit.errors == []
    return first


@scenario()
async def disconnect_without_code(kit: AppKit) -> None:
    end = await _the_end(kit, lambda peer: peer.send_close())
    assert end == {"type": "websocket.disconnect", "code": 1005, "reason": ""}


@scenario()
async def disconnect_with_code_and_reason(kit: AppKit) -> None:
    end = await _the_end(kit, lambda peer: peer.send_close(4000, b"bye"))
    assert end == {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}


@scenario()
async def disconnect_by_tcp(kit: AppKit) -> None:
    for drop in ("close", "abort"):
        end = await _the_end(kit, lambda peer, drop=drop: getattr(peer, drop)())
        assert end == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


@scenario()
async def slow_reader(kit: AppKit) -> None:
    """Sending waits until the client reads; nothing is lost."""
    sent = 0

    async def view(receive: Receive, send: Send) -> None:
        nonlocal sent
        for number in range(1000):
            await send({"type": "websocket.send", "bytes": number.to_bytes(4, "big") + bytes(65532)})
            sent += 1

    peer = await kit.talk(websocket_app(view))
    peer.pause()
    before = -1
    while sent > before:
        before = sent
        await kit.sleep(0.1)
    assert sent < 400, "more than the buffers of the system hold"
    peer.resume()
    for number in range(1000):
        got = await peer.read_frame()
        assert (got.payload[:4], len(got.payload)) == (number.to_bytes(4, "big"), 65536)
    assert (await peer.read_frame()).opcode == CLOSE


@scenario()
async def invalid_close_codes(kit: AppKit) -> None:
    async def view(receive: Receive, send: Send) -> None:
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, "1000", 1000.5):
            try:
                await send({"type": "websocket.close", "code": code})
            except ValueError as error:
                kit.server.note("refused", code, str(error))
        await send({"type": "websocket.close", "code": 1012, "reason": "again"})

    peer = await kit.talk(websocket_app(view))
    assert await peer.read_close() == (1012, "again")
    assert len(kit.server.all("refused")) == 10
