"""WebSocket views for both frameworks: for Bocadillo, the name of the package is replaced.

The views are those of Bocadillo's two documents, word for word where they work as they are, and variations of them; the
names are those of the scenarios. Annotations are evaluated here: Bocadillo does not understand them as strings.
"""

import datetime
import decimal
from collections.abc import Awaitable, Callable
from typing import Any

from typesystem import Integer  # type: ignore[import-not-found]

from autobahnlike.app import (
    App,
    Request,
    Response,
    Router,
    WebSocket,
    WebSocketDisconnect,
)
from tests.hosting.bocadillo.observer import note

app = App()

# -- Hello, and the older document's way of saying it


@app.websocket_route("/echo")
async def echo(ws: WebSocket) -> None:
    message = await ws.receive()
    await ws.send(f"You said: {message}")


async def _old_echo(ws: WebSocket) -> None:
    await ws.accept()
    message = await ws.receive()
    await ws.send(f"You said: {message}")
    await ws.close()


app.websocket_route("/old_echo", auto_accept=False)(_old_echo)
app.websocket_route("/old_echo_auto")(_old_echo)


async def _old_hello(ws: WebSocket) -> None:
    async with ws:
        await ws.send("Hello, world!")
    note("Connection closed")


app.websocket_route("/old_hello")(_old_hello)
app.websocket_route("/old_hello_manual", auto_accept=False)(_old_hello)


@app.websocket_route("/old_hello_try", auto_accept=False)
async def old_hello_try(ws: WebSocket) -> None:
    await ws.accept()
    try:
        await ws.send("Hello, world!")
    except WebSocketDisconnect:
        note("Connection closed")
    finally:
        await ws.close()


@app.websocket_route("/echo_iter")
async def echo_iter(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(f"You said: {message}")
    note("after the loop")


@app.websocket_route("/echo_loop")
async def echo_loop(ws: WebSocket) -> None:
    async with ws:
        while True:
            message = await ws.receive()
            await ws.send(f"You said: {message}")


@app.websocket_route("/ping_pong", value_type="json")
async def ping_pong(ws: WebSocket) -> None:
    async with ws:
        async for message in ws:
            resp = "pong" if message["type"] == "ping" else "ping"
            await ws.send({"type": resp})


# -- Routes


@app.route("/page")
async def page(req: Request, res: Response) -> None:
    res.text = "page"


@app.websocket_route("/untyped/{a}/{b}")
async def untyped(ws: WebSocket, a, b) -> None:  # type: ignore[no-untyped-def]
    await ws.send(f"{a!r} {b!r}")


@app.websocket_route("/missing_arg")
async def missing_arg(ws: WebSocket, needed) -> None:  # type: ignore[no-untyped-def]
    await ws.send("not reached")


@app.websocket_route("/extra_arg/{extra}")
async def extra_arg(ws: WebSocket) -> None:
    await ws.send("called")


@app.websocket_route("/item/{number}")
async def item(ws: WebSocket, number: int) -> None:
    await ws.send(repr(number))


@app.websocket_route("/item_manual/{number}", auto_accept=False)
async def item_manual(ws: WebSocket, number: int) -> None:
    await ws.accept()
    await ws.send(repr(number))


_CONVERTED: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "decimal": decimal.Decimal,
    "datetime": datetime.datetime,
    "date": datetime.date,
    "time": datetime.time,
}


def _converting(kind: Any) -> Callable[..., Awaitable[None]]:
    async def convert(ws: WebSocket, value: Any) -> None:
        await ws.send(repr(value))

    convert.__annotations__["value"] = kind
    return convert


for _name, _kind in _CONVERTED.items():
    app.websocket_route(f"/convert/{_name}/{{value}}")(_converting(_kind))


@app.websocket_route("/query_int")
async def query_int(ws: WebSocket, limit: int = 10) -> None:
    await ws.send(repr(limit))


@app.websocket_route("/query_types")
async def query_types(ws: WebSocket, s: str = "x", flag: bool = False, untyped=None, bad: int = "no") -> None:  # type: ignore[no-untyped-def, assignment]
    await ws.send(f"{s!r} {flag!r} {untyped!r} {bad!r}")


@app.websocket_route("/route_and_query/{channel}", value_type="json")
async def route_and_query(ws: WebSocket, channel: str, anonymous: bool = False) -> None:
    user = "Anonymous" if anonymous else ws.headers["user"]
    async for message in ws:
        channel_message = {"user": user, "message": message, "channel": channel}
        await ws.send(channel_message)


@app.websocket_route("/typesystem_field/{number}")
async def typesystem_field(ws: WebSocket, number: Integer(minimum=0)) -> None:  # type: ignore[valid-type]
    await ws.send(repr(number))


@app.websocket_route("/wild/{}")
async def wildcard(ws: WebSocket) -> None:
    await ws.send("wild")


@app.websocket_route("/files/{path:path}")
async def path_converter(ws: WebSocket, path: str) -> None:
    await ws.send(repr(path))


@app.websocket_route("/order/{name}")
async def order_first(ws: WebSocket, name: str) -> None:
    await ws.send(f"first {name}")


@app.websocket_route("/order/fixed")
async def order_second(ws: WebSocket) -> None:
    await ws.send("second")


@app.websocket_route("no_leading_slash")
async def no_leading_slash(ws: WebSocket) -> None:
    await ws.send("found")


router = Router()


@router.websocket_route("/{number}", value_type="json")
async def routed(ws: WebSocket, number: int) -> None:
    await ws.send({"number": number})


app.include_router(router, prefix="/todos")


async def _mounted(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        text = f"{scope['root_path']} {scope['path']}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": f"{scope['root_path']} {scope['path']}"})
    await send({"type": "websocket.close"})


async def _mounted_type_error(scope: Any, receive: Any, send: Any) -> None:
    raise TypeError("in the mounted application")


app.mount("/mounted", _mounted)
app.mount("/mounted_type_error", _mounted_type_error)

# -- The request


@app.websocket_route("/inspect_request/{x}", value_type="json")
async def inspect_request(ws: WebSocket) -> None:
    url = ws.url
    await ws.send([url.path, url.scheme, url.query, url.is_secure, url.hostname])
    await ws.send([ws.headers["X-Foo"], ws.headers["x-foo"], ws.headers.get("missing")])
    try:
        ws.headers["missing"]
    except KeyError as error:
        await ws.send(repr(error))
    query = ws.query_params
    await ws.send([query["a"], query.getlist("a"), query.multi_items()])
    await ws.send([ws.path_params, ws.cookies, bool(ws.client.host if ws.client else None), ws.scope["type"]])
    await ws.send([ws.get("path"), ws.get("nothing", 1), str(url).startswith("ws://"), hash(ws) == hash(ws)])


@app.websocket_route("/inspect_documented_name")
async def inspect_documented_name(ws: WebSocket) -> None:
    await ws.send(ws.query_parameters["a"])


async def session(ws: WebSocket) -> None:
    await ws.send(dict(ws.session))


app.websocket_route("/session", value_type="json")(session)


@app.websocket_route("/session_write", value_type="json")
async def session_write(ws: WebSocket) -> None:
    ws.session["written"] = True
    await ws.send(dict(ws.session))


@app.route("/log_in")
async def log_in(req: Request, res: Response) -> None:
    req.session["user"] = "ann"
    res.text = "hello"


# -- Messages


async def _back(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


app.websocket_route("/text_ok")(_back)
app.websocket_route("/bytes_ok", value_type="bytes")(_back)
app.websocket_route("/json_ok", value_type="json")(_back)
app.websocket_route("/value_overrides", value_type="json", receive_type="bytes", send_type="text")(_back)
app.websocket_route("/text_gets_bytes")(_back)


@app.websocket_route("/json_in", receive_type="json")
async def json_in(ws: WebSocket) -> None:
    message = await ws.receive()
    await ws.send(message["text"])


@app.websocket_route("/json_out", send_type="json")
async def json_out(ws: WebSocket) -> None:
    message = await ws.receive()
    await ws.send({"text": message})


@app.websocket_route("/json_out_bad", send_type="json")
async def json_out_bad(ws: WebSocket) -> None:
    await ws.send(object())


@app.websocket_route("/json_invalid_caught", value_type="json")
async def json_invalid_caught(ws: WebSocket) -> None:
    try:
        await ws.receive()
    except ValueError as error:
        await ws.send(type(error).__name__)


@app.websocket_route("/event_type", value_type="event")
async def event_type(ws: WebSocket) -> None:
    event = await ws.receive()
    await ws.send({"type": "websocket.send", "text": event["text"] + "!"})


@app.websocket_route("/explicit_methods", value_type="json")
async def explicit_methods(ws: WebSocket) -> None:
    await ws.send_text(await ws.receive_text() + "!")
    await ws.send_bytes(await ws.receive_bytes() + b"!")
    await ws.send_json({"é": await ws.receive_json()})


@app.websocket_route("/wrong_type_text")
async def wrong_type_text(ws: WebSocket) -> None:
    message: Any = b"bytes"
    await ws.send(message)


@app.websocket_route("/asgi_echo")
async def asgi_echo(ws: WebSocket) -> None:
    event = await ws.receive_event()
    message = event["text"]
    await ws.send_event({"type": "websocket.send", "text": f"You said: {message}"})


@app.websocket_route("/asgi_disconnect")
async def asgi_disconnect(ws: WebSocket) -> None:
    event = await ws.receive_event()
    note(f"{event['type']} {event['code']}")
    await ws.receive_event()


@app.websocket_route("/asgi_bad_send")
async def asgi_bad_send(ws: WebSocket) -> None:
    await ws.send_event({"type": "websocket.nonsense"})


@app.websocket_route("/old_asgi", auto_accept=False)
async def old_asgi(ws: WebSocket) -> None:
    await ws.send_event({"type": "websocket.accept"})
    event = await ws.receive_event()
    note(event["type"])
    event = await ws.receive_event()
    await ws.send_event({"type": "websocket.send", "text": f"You said: {event['text']}"})
    await ws.send_event({"type": "websocket.close"})


# -- Errors


@app.websocket_route("/fail")
async def fail(ws: WebSocket) -> None:
    raise ValueError("on purpose")


@app.websocket_route("/fail_after_send")
async def fail_after_send(ws: WebSocket) -> None:
    await ws.send("one")
    raise ValueError("on purpose")


@app.websocket_route("/fail_accepted_manually", auto_accept=False)
async def fail_accepted_manually(ws: WebSocket) -> None:
    await ws.accept()
    raise ValueError("on purpose")


@app.websocket_route("/fail_not_accepted", auto_accept=False)
async def fail_not_accepted(ws: WebSocket) -> None:
    raise ValueError("on purpose")


@app.websocket_route("/fail_in_with", auto_accept=False)
async def fail_in_with(ws: WebSocket) -> None:
    async with ws:
        raise ValueError("on purpose")


@app.websocket_route("/fail_in_with_swallowed", auto_accept=False)
async def fail_in_with_swallowed(ws: WebSocket) -> None:
    try:
        async with ws:
            raise ValueError("on purpose")
    except ValueError:
        note("swallowed")


@app.websocket_route("/send_before_accept", auto_accept=False)
async def send_before_accept(ws: WebSocket) -> None:
    await ws.send("too early")


@app.websocket_route("/receive_before_accept", auto_accept=False)
async def receive_before_accept(ws: WebSocket) -> None:
    await ws.receive()


# -- Accepting, closing, rejecting


@app.websocket_route("/manual", auto_accept=False)
async def manual(ws: WebSocket) -> None:
    note("Going to accept connection…")
    await ws.accept()
    await ws.send("open")
    await ws.close()
    note("Connection closed!")


@app.websocket_route("/manual_with", auto_accept=False)
async def manual_with(ws: WebSocket) -> None:
    note("Going to accept connection…")
    async with ws:
        await ws.send("open")
    note("Connection closed normally!")


@app.websocket_route("/manual_nothing", auto_accept=False)
async def manual_nothing(ws: WebSocket) -> None:
    note("nothing")


@app.websocket_route("/manual_no_close", auto_accept=False)
async def manual_no_close(ws: WebSocket) -> None:
    await ws.accept()


@app.websocket_route("/accept_twice", auto_accept=False)
async def accept_twice(ws: WebSocket) -> None:
    await ws.accept()
    await ws.accept()


@app.websocket_route("/accept_then_with", auto_accept=False)
async def accept_then_with(ws: WebSocket) -> None:
    await ws.accept()
    async with ws:
        await ws.send("open")


@app.websocket_route("/with_twice", auto_accept=False)
async def with_twice(ws: WebSocket) -> None:
    async with ws:
        async with ws:
            await ws.send("inner")
        note("inner is over")


@app.websocket_route("/subprotocol", auto_accept=False)
async def subprotocol(ws: WebSocket) -> None:
    await ws.accept(subprotocol="chat.v2")
    await ws.send("open")
    await ws.close()


@app.websocket_route("/close_in_with", auto_accept=False)
async def close_in_with(ws: WebSocket) -> None:
    async with ws:
        await ws.close(4242)


@app.websocket_route("/close_in_auto")
async def close_in_auto(ws: WebSocket) -> None:
    await ws.close(4242)


@app.websocket_route("/double_close")
async def double_close(ws: WebSocket) -> None:
    await ws.close()
    try:
        await ws.close()
    except RuntimeError as error:
        note(str(error))
        raise


@app.websocket_route("/ensure_closed")
async def ensure_closed(ws: WebSocket) -> None:
    await ws.ensure_closed(4001)
    await ws.ensure_closed(4002)
    await ws.ensure_closed()


@app.websocket_route("/send_after_close")
async def send_after_close(ws: WebSocket) -> None:
    await ws.close()
    await ws.send("too late")


@app.websocket_route("/receive_after_close")
async def receive_after_close(ws: WebSocket) -> None:
    await ws.close(4003)
    await ws.receive()


@app.websocket_route("/send_after_client_close", caught_close_codes=())
async def send_after_client_close(ws: WebSocket) -> None:
    try:
        await ws.receive()
    except WebSocketDisconnect as error:
        note(f"disconnect {error.code} {error}")
    try:
        await ws.send("too late")
    except Exception as error:
        note(f"sending fails: {isinstance(error, OSError)}")


@app.websocket_route("/reject", auto_accept=False)
async def reject(ws: WebSocket) -> None:
    await ws.reject()


async def _api_key(ws: WebSocket) -> None:
    if ws.headers.get("api-key") != "s3kr3t":
        await ws.reject()
    async with ws:
        await ws.send("authorized")


app.websocket_route("/api_key_verbatim")(_api_key)
app.websocket_route("/api_key_noreturn", auto_accept=False)(_api_key)


@app.websocket_route("/api_key", auto_accept=False)
async def api_key(ws: WebSocket) -> None:
    if ws.headers.get("api-key") != "s3kr3t":
        await ws.reject()
        return
    async with ws:
        await ws.send("authorized")


@app.websocket_route("/close_before_accept", auto_accept=False)
async def close_before_accept(ws: WebSocket) -> None:
    await ws.close(4001)


@app.websocket_route("/reject_after_accept", auto_accept=False)
async def reject_after_accept(ws: WebSocket) -> None:
    await ws.accept()
    await ws.reject()


@app.websocket_route("/reject_after_send")
async def reject_after_send(ws: WebSocket) -> None:
    await ws.send("open")
    await ws.reject()


@app.websocket_route("/close_codes/{code}")
async def close_codes(ws: WebSocket, code: int) -> None:
    await ws.close(code)


BOOM = 4003


@app.websocket_route("/dangerous_verbatim")
async def dangerous_verbatim(ws: WebSocket) -> None:
    for _ in range(100):
        message = await ws.message()  # type: ignore[attr-defined]
        await ws.send(message)


@app.websocket_route("/dangerous/{rounds}")
async def dangerous(ws: WebSocket, rounds: int) -> None:
    for number in range(100):
        await ws.receive()
        # There it is at random.
        if number == rounds:
            await ws.close(BOOM)
            return
        await ws.send("OK")
    await ws.close(1000)


# -- The client goes


async def _until_disconnect(ws: WebSocket) -> None:
    try:
        await ws.receive()
    except WebSocketDisconnect as error:
        note(f"disconnect {error.code} {error}")
        raise


async def _manual_until_disconnect(ws: WebSocket) -> None:
    await ws.accept()
    await _until_disconnect(ws)


async def _with_until_disconnect(ws: WebSocket) -> None:
    async with ws:
        await _until_disconnect(ws)
    note("after the block")


_CAUGHT: dict[str, Any] = {
    "default": None,
    "1006": (1000, 1001, 1006),
    "1000": (1000,),
    "all": all,
    "none": (),
}
for _name, _codes in _CAUGHT.items():
    app.websocket_route(f"/cc_{_name}", caught_close_codes=_codes)(_until_disconnect)
    app.websocket_route(f"/ccm_{_name}", caught_close_codes=_codes, auto_accept=False)(_with_until_disconnect)
app.websocket_route("/cc_bare", auto_accept=False)(_manual_until_disconnect)
