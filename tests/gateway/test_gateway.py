"""Handlers: what they are given, what they return, and what becomes of it.

Names like ch_3 are the rows of the table of what the documents of Chalice promise.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from autobahnlike.gateway import (
    BadRequestError,
    Blueprint,
    ChaliceError,
    Gateway,
    Limits,
    PayloadTooLargeError,
    Response,
    WebsocketDisconnectedError,
    WebsocketEvent,
)
from tests.app.harness import Way, both_ways
from tests.gateway.kit import InlineThreads, error_of, gateway, open_client, talk


@both_ways
async def test_ch_3_echo(way: Way) -> None:
    app = gateway(way)

    @app.on_ws_message()
    def message(event: WebsocketEvent) -> None:
        try:
            app.websocket_api.send(connection_id=event.connection_id, message=event.body or "")
        except WebsocketDisconnectedError:
            pass

    client = await talk(way, app, "/api/", "foo", "bar", "foo bar baz")
    assert client.wire == [101, "foo", "bar", "foo bar baz"]
    assert client.error is None


@both_ways
async def test_ch_12_without_handlers_there_is_no_endpoint(way: Way) -> None:
    app = gateway(way)
    app.websocket_handlers.clear()
    assert (await way.connect(app, "/api/")).wire == [403]
    for decorate in (app.on_ws_connect, app.on_ws_message, app.on_ws_disconnect):
        app.websocket_handlers.clear()
        decorate()(lambda event: None)
        await open_client(way, app)


@both_ways
async def test_ch_13_print_example(way: Way) -> None:
    app = gateway(way)
    lines: list[str] = []

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> None:
        lines.append(f"New connection: {event.connection_id}")

    @app.on_ws_message()
    def message(event: WebsocketEvent) -> None:
        lines.append(f"{event.connection_id}: {event.body}")

    @app.on_ws_disconnect()
    def disconnect(event: WebsocketEvent) -> None:
        lines.append(f"{event.connection_id} disconnected")

    await talk(way, app, "/api/", "one", "two")
    connection_id = lines[0].removeprefix("New connection: ")
    assert len(connection_id) == 16
    assert lines == [
        f"New connection: {connection_id}",
        f"{connection_id}: one",
        f"{connection_id}: two",
        f"{connection_id} disconnected",
    ]


@both_ways
async def test_ch_1_and_2_feature_flags(way: Way) -> None:
    app = gateway(way)
    app.experimental_feature_flags.update(["WEBSOCKETS"])
    app.experimental_feature_flags.extend(["BLUEPRINTS"])
    assert app.experimental_feature_flags == {"WEBSOCKETS", "BLUEPRINTS"}


@both_ways
async def test_ch_4_no_session_is_needed(way: Way) -> None:
    app = gateway(way)
    assert app.websocket_api.session is None
    app.websocket_api.session = object()


@both_ways
async def test_ch_6_nobody_is_connected(way: Way) -> None:
    app = gateway(way)
    await app.core.start()
    calls: list[tuple[Any, ...]] = [(app.websocket_api.send, "gone", "x"), (app.websocket_api.close, "gone")]
    for call, *arguments in calls:
        with pytest.raises(WebsocketDisconnectedError) as caught:
            await call(*arguments)
        assert caught.value.connection_id == "gone"
        assert str(caught.value) == "gone"
        assert isinstance(caught.value, ChaliceError)
    with pytest.raises(WebsocketDisconnectedError):
        await app.websocket_api.info("gone")


@both_ways
async def test_ch_7_and_20_the_event(way: Way) -> None:
    app = gateway(way)
    events: list[WebsocketEvent] = []
    app.on_ws_connect()(lambda event: events.append(event))
    app.on_ws_message()(lambda event: events.append(event))
    app.on_ws_disconnect()(lambda event: events.append(event))
    await talk(way, app, "/api/", '{"a": 1}', "no json")
    connect, first, second, disconnect = events
    assert connect.body is None
    assert disconnect.body is None
    assert first.body == '{"a": 1}'
    assert first.json_body == {"a": 1}
    assert first.json_body is first.json_body
    for event in (connect, second):
        with pytest.raises(BadRequestError, match="Error Parsing JSON") as caught:
            _ = event.json_body
        assert isinstance(caught.value, ValueError)
        assert caught.value.STATUS_CODE == 400
    assert {event.connection_id for event in events} == {connect.connection_id}
    assert {(event.domain_name, event.stage) for event in events} == {("127.0.0.1:80", "api")}
    assert first.to_dict()["requestContext"]["connectionId"] == first.connection_id
    assert first.context.function_name == "<lambda>"
    assert 0 < first.context.get_remaining_time_in_millis() <= 29_000


@both_ways
async def test_ch_11_the_decorated_name_is_called_like_a_lambda_function(way: Way) -> None:
    app = gateway(way)

    @app.on_ws_connect("other_name")
    def connect(event: WebsocketEvent) -> dict[str, Any]:
        return {"seen": event.connection_id}

    request = {"domainName": "d", "stage": "s", "connectionId": "c", "apiId": "a"}
    assert connect({"requestContext": request}, None) == {"statusCode": 200, "seen": "c"}
    assert connect.name == "other_name"
    assert app.websocket_handlers["$connect"] is app.handler_map["other_name"] is connect


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (None, {"statusCode": 200}),
        ("text", {"statusCode": 200}),
        ({}, {"statusCode": 200}),
        (0, {"statusCode": 200}),
        ({"headers": {}}, {"statusCode": 200, "headers": {}}),
        ({"statusCode": 101}, {"statusCode": 101}),
        (
            Response({"a": 1}, {"x": "1", "y": ["2", "3"]}, 201),
            {"headers": {"x": "1"}, "multiValueHeaders": {"y": ["2", "3"]}, "statusCode": 201, "body": '{"a":1}'},
        ),
        (Response("hi"), {"headers": {}, "multiValueHeaders": {}, "statusCode": 200, "body": "hi"}),
    ],
)
def test_ch_14_what_is_returned(returned: Any, expected: Any) -> None:
    app = Gateway()
    handler = app.on_ws_connect()(lambda event: returned)
    request = {"domainName": "d", "stage": "s", "connectionId": "c", "apiId": "a"}
    assert handler({"requestContext": request}) == expected


@both_ways
async def test_ch_15_only_the_subprotocol_reaches_the_client(way: Way) -> None:
    app = gateway(way)
    returned: list[Any] = []
    app.on_ws_connect()(lambda event: returned[-1])
    for value in (
        {"headers": {"Sec-WebSocket-Protocol": "My-Protocol", "X-Other": "1"}, "body": "x"},
        {"headers": {"sec-websocket-protocol": "My-Protocol"}},
        {"multiValueHeaders": {"SEC-WEBSOCKET-PROTOCOL": ["My-Protocol"]}},
        Response("x", {"Sec-WebSocket-Protocol": ["My-Protocol"]}),
    ):
        returned.append(value)
        client = await talk(way, app, "/api/", subprotocols=["other", "My-Protocol"])
        assert client.sent[0] == {"type": "websocket.accept", "subprotocol": "My-Protocol"}


@both_ways
async def test_a_subprotocol_that_is_not_offered_is_left_out(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = gateway(way)
    app.on_ws_connect()(lambda event: {"headers": {"Sec-WebSocket-Protocol": "mine"}})
    client = await talk(way, app, "/api/", subprotocols=["other"])
    assert client.sent[0] == {"type": "websocket.accept"}
    assert "'mine', which the client does not offer (it offers: other)" in caplog.text


@both_ways
async def test_a_subprotocol_that_is_not_chosen_is_not_answered(way: Way) -> None:
    app = gateway(way)
    client = await talk(way, app, "/api/", subprotocols=["offered"])
    assert client.sent[0] == {"type": "websocket.accept"}


DENIAL: dict[str, Any] = {"websocket.http.response": {}}


@both_ways
async def test_ch_16_status_101_is_refused_with_a_logged_error(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = gateway(way)
    app.on_ws_connect()(lambda event: {"statusCode": 101})
    client = await way.connect(app, "/api/", extensions=DENIAL)
    assert client.wire[0] == 502
    assert "return 200" in caplog.text


@both_ways
@pytest.mark.parametrize(
    ("status", "seen", "message"),
    [(400, 400, "Bad Request"), ("403", 403, "Forbidden"), (302, 302, "Found"), (500, 500, "Internal server error")],
)
async def test_connect_refuses_with_a_status(way: Way, status: Any, seen: int, message: str) -> None:
    app = gateway(way)
    gone: list[str] = []
    app.on_ws_connect()(lambda event: {"statusCode": status, "body": "secret", "headers": {"x": "y"}})
    app.on_ws_disconnect()(lambda event: gone.append(event.connection_id))
    client = await way.connect(app, "/api/", extensions=DENIAL)
    assert client.wire[0] == seen
    assert error_of(client.wire[1]) == message
    # Where the server cannot do it.
    client = await way.connect(app, "/api/")
    assert client.wire == [403]
    assert gone == []
    assert app.core.connection_count == 0
    assert app.counters.refused == 2


@both_ways
@pytest.mark.parametrize("returned", ["raise", {"statusCode": "x"}, {"statusCode": True}, {"statusCode": 99}])
async def test_connect_that_fails_is_502(way: Way, returned: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = gateway(way)

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> Any:
        if returned == "raise":
            raise RuntimeError("on purpose")
        return returned

    client = await way.connect(app, "/api/", extensions=DENIAL)
    assert client.wire[0] == 502
    assert error_of(client.wire[1]) == "Internal server error"
    record = caplog.records[0]
    assert record.levelno == logging.ERROR
    assert len(record.__dict__["connection_id"]) == 16


@both_ways
async def test_connect_that_takes_too_long_is_504(way: Way) -> None:
    app = gateway(way, limits=Limits(integration_timeout=3))

    @app.on_ws_connect()
    async def connect(event: WebsocketEvent) -> None:
        await way.waiter()

    client = await way.connect(app, "/api/", extensions=DENIAL)
    assert client.wire == []
    await app.core.loop.pass_time(3)  # type: ignore[attr-defined]
    assert client.wire[0] == 504
    assert error_of(client.wire[1]) == "Endpoint request timed out"


@both_ways
async def test_a_message_whose_handler_fails(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = gateway(way)

    @app.on_ws_message()
    def message(event: WebsocketEvent) -> None:
        if event.body == "fail":
            raise RuntimeError("on purpose")
        app.websocket_api.send(event.connection_id, "fine")

    client = await talk(way, app, "/api/", "fail", "go on")
    assert error_of(client.wire[1]) == "Internal server error"
    assert client.wire[2:] == ["fine"]
    assert "on purpose" in caplog.text


@both_ways
async def test_a_message_whose_handler_takes_too_long(way: Way) -> None:
    app = gateway(way, limits=Limits(integration_timeout=29))

    @app.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        if event.body == "wait":
            await way.waiter()
        await app.websocket_api.send(event.connection_id, "fine")

    client = await open_client(way, app)
    client.send("wait")
    client.send("go on")
    await app.core.loop.pass_time(28.9)  # type: ignore[attr-defined]
    assert client.wire == [101]
    await app.core.loop.pass_time(0.1)  # type: ignore[attr-defined]
    assert error_of(client.wire[1]) == "Endpoint request timed out"
    assert client.wire[2:] == ["fine"]


@both_ways
async def test_a_message_that_nobody_handles(way: Way) -> None:
    app = gateway(way)
    client = await talk(way, app, "/api/", "x")
    assert error_of(client.wire[1]) == "Forbidden"


@both_ways
async def test_what_a_message_handler_returns_is_not_sent(way: Way) -> None:
    app = gateway(way)
    app.on_ws_message()(lambda event: {"statusCode": int(event.body), "body": "x"})
    client = await talk(way, app, "/api/", "200", "400", "500")
    assert client.wire == [101]


@both_ways
async def test_routes_of_their_own(way: Way) -> None:
    app = gateway(way)

    @app.on_ws_route("join", response=True)
    def join(event: WebsocketEvent) -> dict[str, Any]:
        context = event.to_dict()["requestContext"]
        assert context["routeKey"] == "join"
        return {"body": f"joined {event.json_body['room']}"}

    @app.on_ws_message()
    def default(event: WebsocketEvent) -> None:
        app.websocket_api.send(event.connection_id, f"default {event.body}")

    client = await talk(way, app, "/api/", '{"action": "join", "room": "x"}', '{"action": 1}', '{"action": "no"}')
    assert client.wire == [101, "joined x", 'default {"action": 1}', 'default {"action": "no"}']
    with pytest.raises(ValueError, match=r"Duplicate websocket handler: 'join'"):
        app.on_ws_route("join")(lambda event: None)
    with pytest.raises(ValueError, match="no message has the route"):
        app.on_ws_route("$connect")


@both_ways
async def test_disconnect_that_fails_is_logged(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = gateway(way)

    @app.on_ws_disconnect()
    def disconnect(event: WebsocketEvent) -> None:
        raise RuntimeError("on purpose")

    client = await talk(way, app, "/api/")
    assert client.error is None
    assert "$disconnect failed" in caplog.text
    assert app.core.connection_count == 0


@both_ways
async def test_ch_17_send_in_connect_is_held_until_the_101(way: Way) -> None:
    app = gateway(way)

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> None:
        app.websocket_api.send(event.connection_id, "welcome")
        app.websocket_api.send(event.connection_id, "again")
        assert app.websocket_api.info(event.connection_id)["Identity"]["SourceIp"] == "127.0.0.1"

    client = await talk(way, app, "/api/")
    assert client.wire == [101, "welcome", "again"]


@both_ways
async def test_ch_17_aws_strict_knows_nobody_during_connect(way: Way) -> None:
    app = gateway(way, aws_strict=True)
    seen: list[str] = []

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> None:
        for call in (app.websocket_api.info, app.websocket_api.close, lambda each: app.websocket_api.send(each, "x")):
            with pytest.raises(WebsocketDisconnectedError):
                call(event.connection_id)
            seen.append(event.connection_id)

    client = await talk(way, app, "/api/")
    assert client.wire == [101]
    assert len(seen) == 3
    assert (await way.connect(app, "/")).wire == [403]


@both_ways
async def test_in_disconnect_the_connection_is_gone(way: Way) -> None:
    app = gateway(way)
    seen: list[str] = []

    @app.on_ws_disconnect()
    def disconnect(event: WebsocketEvent) -> None:
        with pytest.raises(WebsocketDisconnectedError):
            app.websocket_api.send(event.connection_id, "x")
        seen.append(event.connection_id)

    await talk(way, app, "/api/")
    assert len(seen) == 1


@both_ways
async def test_close_in_connect_comes_after_the_101(way: Way) -> None:
    app = gateway(way)

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> None:
        app.websocket_api.send(event.connection_id, "bye")
        app.websocket_api.close(event.connection_id)
        with pytest.raises(WebsocketDisconnectedError):
            app.websocket_api.send(event.connection_id, "too late")

    client = await talk(way, app, "/api/")
    assert client.wire == [101, "bye", ("close", 1000)]


@both_ways
async def test_ch_18_i_got_your_message(way: Way) -> None:
    app = gateway(way)
    app.on_ws_message()(lambda event: app.websocket_api.send(event.connection_id, "I got your message!"))
    assert (await talk(way, app, "/api/", "x")).wire == [101, "I got your message!"]


@both_ways
async def test_ch_21_close_info_configure(way: Way) -> None:
    app = gateway(way)
    ids: list[str] = []
    closed: list[Any] = []
    app.on_ws_connect()(lambda event: ids.append(event.connection_id))
    app.on_ws_disconnect()(lambda event: closed.append(event.to_dict()["requestContext"]["disconnectStatusCode"]))
    client = await open_client(way, app, headers={"User-Agent": "test/1"})
    loop: Any = app.core.loop
    await loop.pass_time(1.5)
    await app.websocket_api.send(ids[0], "x")
    info = await app.websocket_api.info(ids[0])
    assert info["ConnectedAt"].isoformat() == "2024-11-11T11:35:24.553000+00:00"
    assert info["LastActiveAt"].isoformat() == "2024-11-11T11:35:26.053000+00:00"
    assert info["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "test/1"}
    app.websocket_api.configure("one", "a")
    app.websocket_api.configure_from_api_id("two", "b")
    assert app.websocket_api._endpoint == "https://one/a"
    await app.websocket_api.close(ids[0], 4001, "enough")
    await way.settle()
    assert client.wire == [101, "x", ("close", 4001)]
    assert client.sent[-1] == {"type": "websocket.close", "code": 4001, "reason": "enough"}
    assert closed == [4001]
    with pytest.raises(ValueError, match="cannot be sent"):
        app.websocket_api.close(ids[0], 1005)
    with pytest.raises(ValueError, match="123 bytes"):
        app.websocket_api.close(ids[0], 1000, "ü" * 62)


def test_ch_22_one_handler_for_each() -> None:
    app = Gateway()
    for decorate, name in (
        (app.on_ws_connect, "on_ws_connect"),
        (app.on_ws_message, "on_ws_message"),
        (app.on_ws_disconnect, "on_ws_disconnect"),
    ):
        decorate()(lambda event: None)
        with pytest.raises(ValueError, match="Duplicate") as caught:
            decorate()(lambda event: None)
        assert str(caught.value) == (
            f"Duplicate websocket handler: '{name}'. There can only be one handler for each websocket decorator."
        )


@both_ways
async def test_ch_23_middleware(way: Way) -> None:
    app = gateway(way)
    calls: list[str] = []

    @app.on_ws_message()
    def message(event: WebsocketEvent) -> None:
        calls.append(f"handler {event.body}")

    @app.middleware("websocket")
    def first(event: WebsocketEvent, get_response: Any) -> Any:
        assert isinstance(event, WebsocketEvent)
        calls.append("first")
        return get_response(event)

    @app.middleware()
    def second(event: WebsocketEvent, get_response: Any) -> Any:
        calls.append("second")
        return get_response(event)

    await talk(way, app, "/api/", "x")
    # There is no handler of $connect and $disconnect, hence no middleware.
    assert calls == ["first", "second", "handler x"]
    with pytest.raises(ValueError, match="types"):
        app.middleware("sqs")(first)


@both_ways
async def test_middleware_and_handlers_that_are_coroutine_functions(way: Way) -> None:
    app = gateway(way)
    calls: list[str] = []

    @app.middleware("websocket")
    async def around(event: WebsocketEvent, get_response: Any) -> Any:
        calls.append("in")
        result = await get_response(event)
        calls.append(f"out {result}")
        return {**(result or {}), "body": "changed"}

    @app.on_ws_connect()
    def connect(event: WebsocketEvent) -> dict[str, int]:
        calls.append("connect")
        return {"statusCode": 200}

    @app.on_ws_route("r", response=True)
    async def route(event: WebsocketEvent) -> dict[str, str]:
        calls.append("route")
        return {"body": "original"}

    client = await talk(way, app, "/api/", '{"action": "r"}')
    assert client.wire == [101, "changed"]
    assert calls == ["in", "connect", "out {'statusCode': 200}", "in", "route", "out {'body': 'original'}"]
    assert all(handler.is_async for handler in app.websocket_handlers.values())


@both_ways
async def test_ch_24_blueprints(way: Way) -> None:
    blueprint = Blueprint(__name__)
    calls: list[str] = []

    @blueprint.on_ws_message()
    def message(event: WebsocketEvent) -> None:
        blueprint.websocket_api.send(event.connection_id, f"{event.body}!")
        blueprint.current_app.log.debug("sent")

    @blueprint.middleware("websocket")
    def around(event: WebsocketEvent, get_response: Any) -> Any:
        calls.append("around")
        return get_response(event)

    with pytest.raises(RuntimeError, match="registered to an app"):
        _ = blueprint.current_app
    app = gateway(way)
    app.register_blueprint(blueprint, name_prefix="bp_")
    assert "bp_message" in app.handler_map
    assert (await talk(way, app, "/api/", "x")).wire == [101, "x!"]
    assert calls == ["around"]
    with pytest.raises(ValueError, match="Duplicate"):
        app.register_blueprint(blueprint)


@both_ways
async def test_ch_25_coroutine_functions(way: Way) -> None:
    app = gateway(way)
    waiter = way.waiter()

    @app.on_ws_connect()
    async def connect(event: WebsocketEvent) -> dict[str, Any]:
        return {"headers": {"Sec-WebSocket-Protocol": "p"}}

    @app.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        await waiter
        await app.websocket_api.send(event.connection_id, "done")

    client = await open_client(way, app, subprotocols=["p"])
    assert client.sent[0]["subprotocol"] == "p"
    client.send("x")
    await way.settle()
    assert client.wire == [101]
    way.wake(waiter)
    await way.settle()
    assert client.wire == [101, "done"]


@both_ways
async def test_a_plain_function_that_returns_a_coroutine_is_awaited(way: Way) -> None:
    app = gateway(way)

    async def later(event: WebsocketEvent) -> None:
        await app.websocket_api.send(event.connection_id, "done")

    app.on_ws_message()(lambda event: later(event))
    assert (await talk(way, app, "/api/", "x")).wire == [101, "done"]


@both_ways
async def test_what_is_sent_has_to_be_a_message(way: Way) -> None:
    app = gateway(way, limits=Limits(max_message_size=4))
    ids: list[str] = []
    app.on_ws_connect()(lambda event: ids.append(event.connection_id))
    with pytest.raises(RuntimeError, match="does not run"):
        app.websocket_api.send("x", "x")
    client = await open_client(way, app)
    for message in ("text", b"utf8", b"\xff\xfe", "üü"):
        await app.websocket_api.send(ids[0], message)
    await app.websocket_api.send(ids[0], b"utf8", binary=True)
    await way.settle()
    assert client.wire == [101, "text", "utf8", b"\xff\xfe", "üü", b"utf8"]
    for message in ("5 bytes", "üüü"):
        with pytest.raises(PayloadTooLargeError):
            await app.websocket_api.send(ids[0], message)
    with pytest.raises(TypeError, match="not int"):
        app.websocket_api.send(ids[0], 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not NoneType"):
        app.websocket_api.send(None, "x")  # type: ignore[arg-type]


def test_a_decorator_that_is_not_called() -> None:
    app = Gateway()
    with pytest.raises(TypeError, match=r"@app\.on_ws_message\(\)"):
        app.on_ws_message(lambda event: None)  # type: ignore[arg-type]


def test_an_option_that_does_not_exist_or_cannot_be_used() -> None:
    with pytest.raises(TypeError, match="no_such"):
        Gateway(no_such=1)
    with pytest.raises(ValueError, match="at least 1"):
        Gateway(concurrency=0)
    with pytest.raises(ValueError, match="base64"):
        Gateway(binary="text")
    with pytest.raises(ValueError, match="stage"):
        Gateway(stage="a/b")


@both_ways
async def test_threads_are_for_plain_functions_only(way: Way) -> None:
    threads = InlineThreads()
    app = Gateway("test", loop=gateway(way).core.loop, threads=threads)
    calls: list[str] = []
    app.on_ws_message()(lambda event: calls.append("plain"))

    @app.on_ws_route("c")
    async def route(event: WebsocketEvent) -> None:
        calls.append("coroutine")

    client = await open_client(way, app)
    threads.held = []
    client.send('{"action": "c"}')
    client.send("x")
    await way.settle()
    assert calls == ["coroutine"]
    assert len(threads.held) == 1
    threads.release()
    await way.settle()
    assert calls == ["coroutine", "plain"]
