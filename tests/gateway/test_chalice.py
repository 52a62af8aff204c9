"""What becomes of a Chalice application in our host, beyond what its documents show."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from chalice.app import BadRequestError, Blueprint, Chalice, ChaliceError, Response, WebsocketDisconnectedError

from autobahnlike.backplane.ids import new_connection_id
from autobahnlike.gateway import AWS, Limits
from autobahnlike.gateway.chalice import ChaliceHost
from autobahnlike.gateway.chalice_session import DeliveryUnknownException
from autobahnlike.gateway.errors import DeliveryUnknownError
from tests.app.harness import Way, both_ways
from tests.gateway.kit import FakeLoop, InlineThreads, error_of, open_client, talk

DENIAL: dict[str, Any] = {"websocket.http.response": {}}


class StubSession:
    """A session that must not be asked for the client that sends."""

    region_name = "us-west-2"

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def client(self, service_name: str, *args: Any, **options: Any) -> str:
        self.asked.append((service_name, args, options))
        return f"client of {service_name}"


def chalice_app(session: Any = None, flags: tuple[str, ...] = ("WEBSOCKETS",)) -> Chalice:
    app = Chalice("test", env={}, configure_logs=False)
    app.websocket_api.session = StubSession() if session is None else session
    app.experimental_feature_flags.update(flags)
    return app


def session_of(app: Chalice) -> Any:
    return app.websocket_api.session


def host(way: Way, app: Chalice, **options: Any) -> ChaliceHost:
    loop = FakeLoop(way)
    hosted = ChaliceHost(app, loop=loop, threads=InlineThreads(), time=lambda: loop.time, **options)
    hosted.core.loop = loop
    return hosted


@both_ways
async def test_ch_5_and_17_send_in_every_handler(way: Way) -> None:
    app = chalice_app()
    failed: list[ChaliceError] = []

    @app.on_ws_connect()
    def connect(event: Any) -> None:
        app.websocket_api.send(event.connection_id, "held until the 101")

    @app.on_ws_message()
    def message(event: Any) -> None:
        app.websocket_api.send(connection_id=event.connection_id, message=event.body)

    @app.on_ws_disconnect()
    def disconnect(event: Any) -> None:
        try:
            app.websocket_api.send(event.connection_id, "nobody")
        except ChaliceError as error:
            failed.append(error)

    client = await talk(way, host(way, app), "/api/", "grüße")
    assert client.wire == [101, "held until the 101", "grüße"]
    (error,) = failed
    assert isinstance(error, WebsocketDisconnectedError)
    assert str(error) == error.connection_id


@both_ways
async def test_ch_17_as_strict_as_api_gateway(way: Way) -> None:
    app = chalice_app()

    @app.on_ws_connect()
    def connect(event: Any) -> None:
        with pytest.raises(WebsocketDisconnectedError):
            app.websocket_api.send(event.connection_id, "too early")

    client = await open_client(way, host(way, app, aws_strict=True))
    assert client.wire == [101]


@both_ways
async def test_ch_6_and_21_gone_for_send_close_and_info(way: Way) -> None:
    app = chalice_app()
    api = app.websocket_api

    gone: list[str] = []

    @app.on_ws_message()
    def message(event: Any) -> None:
        for call in (functools.partial(api.send, message="x"), api.close, api.info):
            try:
                call(event.body)
            except WebsocketDisconnectedError as error:
                gone.append(str(error))
        api.send(event.connection_id, "all of them")

    hosted = host(way, app)
    nobody = new_connection_id(hosted.core.backplane.node_id)
    client = await talk(way, hosted, "/api/", nobody)
    assert gone == [nobody] * 3
    assert client.wire == [101, "all of them"]


@both_ways
async def test_ch_21_info_and_close(way: Way) -> None:
    app = chalice_app()
    found: list[dict[str, Any]] = []

    @app.on_ws_message()
    def message(event: Any) -> None:
        found.append(app.websocket_api.info(event.connection_id))
        app.websocket_api.close(event.connection_id)

    client = await open_client(way, host(way, app), headers={"User-Agent": "test/1"})
    client.send("x")
    await way.settle()
    assert client.wire == [101, ("close", 1000)]
    (info,) = found
    assert set(info) == {"ResponseMetadata", "ConnectedAt", "Identity", "LastActiveAt"}
    assert info["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "test/1"}
    assert info["ConnectedAt"].isoformat() == "2024-11-11T11:35:24.553000+00:00"


@both_ways
async def test_other_errors_are_those_of_an_sdk(way: Way) -> None:
    from botocore.exceptions import ClientError  # type: ignore[import-untyped]

    app = chalice_app()
    codes: list[tuple[str, int]] = []

    @app.on_ws_message()
    def message(event: Any) -> None:
        try:
            app.websocket_api.send(event.connection_id, "x" * (128 * 1024 + 1))
        except ClientError as error:
            codes.append((error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]))

    await talk(way, host(way, app, limits=AWS), "/api/", "x")
    assert codes == [("PayloadTooLargeException", 413)]


@both_ways
async def test_an_unknown_fate_is_no_success(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    app = chalice_app()
    hosted = host(way, app)
    client = app.websocket_api._get_client()

    def unknown(connection_id: str, message: Any) -> None:
        raise DeliveryUnknownError(connection_id)

    monkeypatch.setattr(client._api, "send", unknown)
    with pytest.raises(DeliveryUnknownException, match="may have been delivered or not"):
        app.websocket_api.send("x", "y")
    assert not hosted.core.is_running


@both_ways
async def test_bytes_and_files_can_be_sent_by_the_client_itself(way: Way) -> None:
    import io

    app = chalice_app()

    @app.on_ws_message()
    def message(event: Any) -> None:
        client = session_of(app).client("apigatewaymanagementapi", endpoint_url="https://elsewhere")
        answer = client.post_to_connection(ConnectionId=event.connection_id, Data=b"bytes")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        client.post_to_connection(ConnectionId=event.connection_id, Data=io.BytesIO(b"\xff\x00"))
        answer = client.delete_connection(ConnectionId=event.connection_id)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        with pytest.raises(client.exceptions.GoneException):
            client.get_connection(ConnectionId=event.connection_id)

    client = await talk(way, host(way, app), "/api/", "x")
    assert client.wire == [101, "bytes", b"\xff\x00", ("close", 1000)]


@both_ways
async def test_the_session_is_otherwise_that_of_the_application(way: Way) -> None:
    session = StubSession()
    app = chalice_app(session)
    host(way, app)
    assert session_of(app).client("dynamodb", region_name="x") == "client of dynamodb"
    assert session.asked == [("dynamodb", (), {"region_name": "x"})]
    assert session_of(app).region_name == "us-west-2"


@both_ways
async def test_ch_4_a_session_that_is_missing_and_one_that_comes_late(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    app = chalice_app()
    app.websocket_api.session = None

    @app.on_ws_message()
    def message(event: Any) -> None:
        if event.body == "now":
            app.websocket_api.session = StubSession()
        app.websocket_api.send(event.connection_id, "sent")

    hosted = host(way, app)
    assert "can send nothing: before that, assign app.websocket_api.session" in caplog.text
    client = await talk(way, hosted, "/api/", "x", "now")
    assert client.wire[0] == 101
    assert error_of(client.wire[1]) == "Internal server error"
    assert client.wire[2:] == ["sent"]
    (record,) = [each for each in caplog.records if each.exc_info]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == (
        "Assign app.websocket_api.session to a boto3 session before using the WebsocketAPI"
    )


@both_ways
async def test_ch_2_a_flag_that_is_missing(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = chalice_app(flags=())
    app.on_ws_message()(lambda event: None)
    host(way, app)
    assert "does not opt in to the feature WEBSOCKETS" in caplog.text


@both_ways
async def test_nothing_is_said_of_an_application_that_has_it_all(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = chalice_app()
    app.on_ws_message()(lambda event: None)
    host(way, app)
    assert caplog.records == []


@both_ways
async def test_ch_12_no_handler_no_websockets(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    hosted = host(way, chalice_app())
    client = await way.connect(hosted, "/api/", extensions=DENIAL)
    await client.ended()
    assert client.wire[0] == 403
    assert "has no on_ws_connect, on_ws_message, on_ws_disconnect: nothing is served" in caplog.text


@both_ways
async def test_ch_12_each_handler_is_optional(way: Way) -> None:
    app = chalice_app()
    seen: list[str] = []
    app.on_ws_disconnect()(lambda event: seen.append(event.body))
    client = await talk(way, host(way, app), "/api/", "x")
    assert client.wire[0] == 101
    assert error_of(client.wire[1]) == "Forbidden"
    # Chalice's own, whatever its documents say.
    assert seen == ["None"]


ANSWERS: list[tuple[Any, int]] = [
    (None, 101),
    ({}, 101),
    ("text", 101),
    ({"statusCode": 204}, 101),
    ({"headers": {"X": "y"}}, 101),
    (Response("", status_code=200), 101),
    ({"statusCode": 403}, 403),
    (Response("no", status_code=400), 400),
    # The gateway itself sends that one.
    ({"statusCode": 101}, 502),
]


@both_ways
@pytest.mark.parametrize(("returned", "status"), ANSWERS)
async def test_ch_14_to_16_what_connect_returns(way: Way, returned: Any, status: int) -> None:
    app = chalice_app()
    seen: list[str] = []
    app.on_ws_connect("connect")(lambda event: returned)
    app.on_ws_disconnect("disconnect")(lambda event: seen.append(event.connection_id))
    client = await way.connect(host(way, app), "/api/", extensions=DENIAL)
    if status == 101:
        client.disconnect(1000)
    await client.ended()
    await way.settle()
    assert client.wire[0] == status
    assert len(seen) == (status == 101)


@both_ways
@pytest.mark.parametrize("headers", [{"Sec-WebSocket-Protocol": "b"}, {"sec-websocket-protocol": ["b"]}])
async def test_ch_15_subprotocol_of_a_response(way: Way, headers: dict[str, Any]) -> None:
    app = chalice_app()
    app.on_ws_connect()(lambda event: Response("", headers=headers))
    client = await open_client(way, host(way, app), subprotocols=["a", "b"])
    assert client.sent[0]["subprotocol"] == "b"


@both_ways
async def test_exceptions(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = chalice_app()
    bodies: list[Any] = []

    @app.on_ws_connect()
    def connect(event: Any) -> None:
        if "fail" in event.to_dict().get("queryStringParameters", {}):
            raise ValueError("connect fails")

    @app.on_ws_message()
    def message(event: Any) -> None:
        try:
            bodies.append(event.json_body)
        except BadRequestError as error:
            bodies.append(error.STATUS_CODE)
            raise

    @app.on_ws_disconnect()
    def disconnect(event: Any) -> None:
        raise ValueError("disconnect fails")

    hosted = host(way, app)
    client = await way.connect(hosted, "/api/?fail=1", extensions=DENIAL)
    await client.ended()
    assert client.wire[0] == 502
    client = await talk(way, hosted, "/api/", "no json", '{"a": 1}')
    assert client.wire[0] == 101
    assert [error_of(each) for each in client.wire[1:]] == ["Internal server error"]
    assert bodies == [400, {"a": 1}]
    failed = [str(each.exc_info[1]) for each in caplog.records if each.exc_info]
    assert failed == ["connect fails", "Error Parsing JSON", "disconnect fails"]


@both_ways
async def test_ch_22_two_handlers_are_refused_by_chalice(way: Way) -> None:
    app = chalice_app()
    app.on_ws_connect()(lambda event: None)
    with pytest.raises(ValueError, match="Duplicate websocket handler: 'on_ws_connect'"):
        app.on_ws_connect()(lambda event: None)
    assert set(host(way, app).core.routes) == {"$connect"}


@both_ways
async def test_two_handlers_of_one_name(way: Way) -> None:
    app = chalice_app()
    app.on_ws_connect()(lambda event: None)
    app.on_ws_disconnect()(lambda event: None)
    with pytest.raises(ValueError, match="two handlers are named <lambda>, by which Chalice finds them"):
        host(way, app)


@both_ways
async def test_ch_23_middleware(way: Way) -> None:
    app = chalice_app()
    calls: list[str] = []

    @app.on_ws_message()
    def message(event: Any) -> None:
        calls.append(event.body)

    # Also what is registered behind the handler, and on every call.
    @app.middleware("websocket")
    def first(event: Any, get_response: Callable[[Any], Any]) -> Any:
        calls.append(f"first {event.body}")
        return get_response(event)

    @app.middleware("all")
    def second(event: Any, get_response: Callable[[Any], Any]) -> Any:
        calls.append(f"second {event.body}")
        return get_response(event)

    @app.middleware("http")
    def third(event: Any, get_response: Callable[[Any], Any]) -> Any:
        raise AssertionError

    await talk(way, host(way, app), "/api/", "a", "b")
    assert calls == ["first a", "second a", "a", "first b", "second b", "b"]


@both_ways
async def test_middleware_that_chalice_would_not_await(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = chalice_app()
    app.on_ws_message()(lambda event: None)

    @app.middleware("websocket")
    async def around(event: Any, get_response: Callable[[Any], Any]) -> Any:
        raise AssertionError

    host(way, app)
    assert "the middleware around is a coroutine function: Chalice does not await it" in caplog.text


@both_ways
async def test_ch_25_a_coroutine_that_takes_too_long_is_cancelled(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autobahnlike.gateway.chalice._GRACE", 0)
    app = chalice_app()
    cancelled = threading.Event()

    @app.on_ws_message()
    async def message(event: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    hosted = host(way, app, limits=Limits(integration_timeout=0.01))
    async with way.lifespan(hosted):
        client = await talk(way, hosted, "/api/", "x")
        assert error_of(client.wire[1]) == "Internal server error"
        assert cancelled.wait(30)
        (thread,) = [each for each in threading.enumerate() if each.name == "gateway-coroutines"]
    thread.join(30)
    assert not thread.is_alive()


@both_ways
async def test_ch_24_blueprint(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    app = chalice_app()
    blueprint = Blueprint("chalicelib.parts")

    @blueprint.on_ws_message()
    def message(event: Any) -> None:
        blueprint.current_app.websocket_api.send(event.connection_id, event.body)

    @blueprint.middleware("websocket")
    def around(event: Any, get_response: Callable[[Any], Any]) -> Any:
        return get_response(event)

    app.register_blueprint(blueprint)
    # What Chalice 1.34 would have Lambda call.
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        app.handler_map["message"]({}, None)
    hosted = host(way, app)
    assert "message is on a Blueprint: this Chalice deploys such handlers in a way" in caplog.text
    client = await talk(way, hosted, "/api/", "x")
    assert client.wire == [101, "x"]


@both_ways
async def test_handlers_are_given_a_context_and_the_events_of_api_gateway(way: Way) -> None:
    app = chalice_app()
    seen: list[Any] = []
    for decorator in (app.on_ws_connect, app.on_ws_message, app.on_ws_disconnect):
        decorator(name=f"named_{len(seen)}_{decorator.__name__}")(seen.append)
    await talk(way, host(way, app, stage="dev", limits=Limits(integration_timeout=5)), "/dev/", "x")
    kinds = [each.to_dict()["requestContext"]["eventType"] for each in seen]
    assert kinds == ["CONNECT", "MESSAGE", "DISCONNECT"]
    assert {each.stage for each in seen} == {"dev"}
    assert [each.context.function_name for each in seen][1] == "named_0_on_ws_message"
    assert 0 < seen[1].context.get_remaining_time_in_millis() <= 5000


@both_ways
async def test_sends_from_outside_of_handlers(way: Way) -> None:
    app = chalice_app()
    app.on_ws_message()(lambda event: None)
    hosted = host(way, app)
    with pytest.raises(RuntimeError, match="the gateway does not run"):
        app.websocket_api.send("x", "y")
    client = await open_client(way, hosted)
    (info,) = hosted.core.connections()
    app.websocket_api.send(info.connection_id, "from outside")
    # As the others would have to be asked.
    with pytest.raises(RuntimeError, match="this is the thread of the loop"):
        app.websocket_api.send("elsewhere", "from outside")
    await way.settle()
    assert client.wire == [101, "from outside"]


# -- REST


def rest_app() -> Chalice:
    app = chalice_app()
    app.log.setLevel(logging.CRITICAL)

    @app.route("/")
    def index() -> Any:
        return {"hello": "world"}

    @app.route("/items/{name}", methods=["GET", "POST"], cors=True)
    def item(name: str) -> Any:
        request = app.current_request
        assert request is not None
        if request.method == "POST":
            return Response(
                {"name": name, "body": request.json_body}, {"X-Kind": "item", "Set-Cookie": ["a", "b"]}, 201
            )
        return {"name": name, "query": request.to_dict()["query_params"]}

    @app.route("/fails")
    def fails() -> Any:
        raise ValueError("a secret")

    @app.route("/bytes")
    def some_bytes() -> Any:
        return Response(b"\x00\xff", {"Content-Type": "application/octet-stream"})

    return app


@both_ways
@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_rest_routes_at_the_root_and_below_the_stage(way: Way, prefix: str) -> None:
    app = host(way, rest_app())
    ask = functools.partial(way.request, app)
    response = await ask(f"{prefix}/", "GET")
    assert (response.status, json.loads(response.body)) == (200, {"hello": "world"})
    assert response.header("content-type") == "application/json"
    response = await ask(f"{prefix}/items/x?a=1&b=", "GET")
    assert json.loads(response.body) == {"name": "x", "query": {"a": "1", "b": ""}}
    headers = {"content-type": "application/json"}
    response = await ask(f"{prefix}/items/x", "POST", body=b'{"k": [1]}', headers=headers)
    assert (response.status, json.loads(response.body)) == (201, {"name": "x", "body": {"k": [1]}})
    assert response.header("x-kind") == "item"
    assert [value for name, value in response.headers if name == "set-cookie"] == ["a", "b"]
    response = await ask(f"{prefix}/items/x", "OPTIONS")
    assert (response.status, response.body) == (200, b"")
    assert response.header("access-control-allow-methods") == "GET,POST,OPTIONS"
    response = await ask(f"{prefix}/bytes", "GET", headers={"accept": "application/octet-stream"})
    assert response.body == b"\x00\xff"
    response = await ask(f"{prefix}/fails", "GET")
    assert (response.status, b"secret" in response.body) == (500, False)
    response = await ask(f"{prefix}/nothing", "GET")
    assert (response.status, json.loads(response.body)) == (403, {"message": "Missing Authentication Token"})
    assert (await ask(f"{prefix}/items/x", "DELETE")).status == 405


@both_ways
async def test_rest_and_websockets_of_one_application(way: Way) -> None:
    app = chalice_app()

    @app.route("/post/{connection_id}", methods=["POST"], content_types=["text/plain"])
    def post(connection_id: str) -> Any:
        request = app.current_request
        assert request is not None
        # Chalice decodes no path, neither here nor in chalice local.
        connection_id = unquote(connection_id)
        body = request.raw_body
        app.websocket_api.send(connection_id, body if isinstance(body, str) else body.decode())
        return {}

    app.on_ws_message()(lambda event: None)
    hosted = host(way, app)
    client = await open_client(way, hosted)
    (info,) = hosted.core.connections()
    path = f"/post/{info.connection_id.replace('/', '%2F')}"
    response = await way.request(hosted, path, "POST", body=b"from REST", headers={"content-type": "text/plain"})
    assert response.status == 200
    await way.settle()
    assert client.wire == [101, "from REST"]
    response = await way.request(hosted, "/api/", "GET")
    assert (response.status, response.header("upgrade")) == (426, "websocket")
    local = {"host": "127.0.0.1"}
    response = await way.request(hosted, f"/api/@connections/{info.connection_id}", "DELETE", headers=local)
    assert response.status == 204


@both_ways
async def test_a_body_that_is_too_large(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autobahnlike.gateway.chalice_rest._MAX_BODY", 100)
    app = host(way, rest_app())
    headers = {"content-type": "application/json"}
    for size, status in ((100, 201), (101, 413)):
        body = b'"' + b"x" * (size - 2) + b'"'
        assert (await way.request(app, "/items/x", "POST", body=body, headers=headers)).status == status


@both_ways
async def test_without_rest_routes_an_upgrade_is_required(way: Way) -> None:
    app = chalice_app()
    app.on_ws_message()(lambda event: None)
    hosted = host(way, app)
    assert (await way.request(hosted, "/api/", "GET")).status == 426
    assert (await way.request(hosted, "/elsewhere", "GET")).status == 404
