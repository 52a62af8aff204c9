"""The @connections API, in memory; tests/gateway/test_boto3.py has a real client."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from autobahnlike.backplane import ConnectionInfo, MemoryBackplane, Payload, Verdict
from autobahnlike.gateway import Gateway, Limits
from autobahnlike.gateway.management import iso_time
from tests.app.harness import Client, Response, Way, both_ways
from tests.gateway.kit import gateway, open_client
from tests.gateway.served_applications import KEYS
from tests.gateway.test_sigv4 import signed

LOCAL = {"host": "127.0.0.1:8000"}


async def connected(way: Way, app: Gateway, **options: Any) -> tuple[Client, str]:
    """Have a client connect; returns it and its id."""
    before = {info.connection_id for info in app.core.connections()}
    client = await open_client(way, app, **options)
    (connection_id,) = {info.connection_id for info in app.core.connections()} - before
    return client, connection_id


def quoted(connection_id: str) -> str:
    return connection_id.replace("%", "%25").replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")


async def ask(
    way: Way,
    app: Any,
    method: str,
    connection_id: str,
    body: bytes = b"",
    prefix: str = "/api/@connections/",
    **options: Any,
) -> Response:
    options.setdefault("headers", LOCAL)
    return await way.request(app, prefix + quoted(connection_id), method, body=body, **options)


def error_type(response: Response) -> tuple[int, str | None]:
    assert response.header("x-amzn-requestid")
    return response.status, response.header("x-amzn-errortype")


GONE = (410, "GoneException")
FORBIDDEN = (403, "ForbiddenException")


@both_ways
@pytest.mark.parametrize("prefix", ["/api/@connections/", "/api/%40connections/", "/@connections/", "/%40connections/"])
async def test_post_get_delete(way: Way, prefix: str) -> None:
    app = gateway(way)
    gone: list[Any] = []
    app.on_ws_disconnect()(lambda event: gone.append(event.to_dict()["requestContext"]["disconnectStatusCode"]))
    client, connection_id = await connected(way, app, headers={"User-Agent": "test/1"})
    response = await ask(way, app, "POST", connection_id, "grüße".encode(), prefix)
    assert (response.status, response.body, response.header("content-length")) == (200, b"", "0")
    response = await ask(way, app, "GET", connection_id, prefix=prefix)
    assert response.status == 200
    assert json.loads(response.body) == {
        "connectedAt": "2024-11-11T11:35:24.553Z",
        "identity": {"sourceIp": "127.0.0.1", "userAgent": "test/1"},
        "lastActiveAt": "2024-11-11T11:35:24.553Z",
    }
    response = await ask(way, app, "DELETE", connection_id, prefix=prefix)
    assert (response.status, response.body, response.header("content-length")) == (204, b"", None)
    await way.settle()
    assert client.wire == [101, "grüße", ("close", 1000)]
    assert gone == [1000]
    for method in ("POST", "GET", "DELETE"):
        response = await ask(way, app, method, connection_id, prefix=prefix)
        assert error_type(response) == GONE
        assert response.body == b""


@both_ways
async def test_what_is_no_text_is_sent_as_binary_and_nothing_as_empty_text(way: Way) -> None:
    app = gateway(way)
    client, connection_id = await connected(way, app)
    for body in (b"\xff\x00", b"", b"text"):
        assert (await ask(way, app, "POST", connection_id, body)).status == 200
    await way.settle()
    assert client.wire == [101, b"\xff\x00", "", "text"]


@both_ways
@pytest.mark.parametrize("connection_id", ["", "x", "a/b", "ü", "A" * 300, "L0SM9cOFvHcCIhw="])
async def test_ids_that_nobody_has(way: Way, connection_id: str) -> None:
    app = gateway(way)
    for method in ("POST", "GET", "DELETE"):
        assert error_type(await ask(way, app, method, connection_id, b"x" if method == "POST" else b"")) == GONE


@both_ways
async def test_other_methods_and_paths(way: Way) -> None:
    app = gateway(way)
    assert (await ask(way, app, "PUT", "x")).status == 405
    assert (await way.request(app, "/other/@connections/x", "GET", LOCAL)).status == 404
    assert (await way.request(app, "/api/@connection/x", "GET", LOCAL)).status == 404
    assert (await way.request(app, "/nothing")).status == 404
    for path in ("/api", "/api/", "/"):
        response = await way.request(app, path)
        assert (response.status, response.header("upgrade")) == (426, "websocket")
    strict = gateway(way, aws_strict=True)
    assert (await way.request(strict, "/")).status == 404
    assert (await way.request(strict, "/@connections/x", "GET", LOCAL)).status == 404


@both_ways
async def test_http_requests_for_somebody_else(way: Way) -> None:
    async def http(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    app = gateway(way, http=http)
    for path in ("/", "/api/", "/x"):
        response = await way.request(app, path)
        assert (response.status, response.text) == (418, path)
    assert error_type(await ask(way, app, "GET", "x")) == GONE


@both_ways
async def test_too_large(way: Way) -> None:
    app = gateway(way, limits=Limits(max_message_size=4))
    client, connection_id = await connected(way, app)
    response = await ask(way, app, "POST", connection_id, b"12345")
    assert error_type(response) == (413, "PayloadTooLargeException")
    assert json.loads(response.body) == {"message": "Message too long"}
    assert (await ask(way, app, "POST", connection_id, b"1234")).status == 200
    await way.settle()
    assert client.wire == [101, "1234"]


@both_ways
async def test_a_client_that_takes_nothing(way: Way) -> None:
    app = gateway(way, limits=Limits(max_queued_messages=2))
    client, connection_id = await connected(way, app)
    client.hold_sends()
    statuses = []
    for number in range(5):
        statuses.append((await ask(way, app, "POST", connection_id, str(number).encode())).status)
        await way.settle()
    assert statuses == [200, 200, 200, 429, 429]
    response = await ask(way, app, "POST", connection_id, b"x")
    assert error_type(response) == (429, "LimitExceededException")
    client.release_sends()
    await way.settle()
    assert client.wire == [101, "0", "1", "2"]
    assert (await ask(way, app, "POST", connection_id, b"5")).status == 200
    assert app.counters.buffer_full == 3


@both_ways
async def test_requests_per_second(way: Way) -> None:
    app = gateway(way, limits=Limits(requests_per_second=2))
    loop: Any = app.core.loop
    for _ in range(2):
        responses = [await ask(way, app, "GET", "x") for _ in range(3)]
        assert [response.status for response in responses] == [410, 410, 429]
        assert error_type(responses[2]) == (429, "LimitExceededException")
        loop.time += 1


class Undecided(MemoryBackplane):
    """Has no answer, ever."""

    async def send(self, connection_id: str, payload: Payload, /, *, timeout: float | None = None) -> Verdict:  # noqa: ASYNC109
        return Verdict.UNKNOWN

    async def info(
        self,
        connection_id: str,
        /,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[Verdict, ConnectionInfo | None]:
        return Verdict.UNKNOWN, None


@both_ways
async def test_a_verdict_that_is_missing_is_not_repeated_by_sdks(way: Way) -> None:
    app = gateway(way, backplane=Undecided())
    for method in ("POST", "GET"):
        response = await ask(way, app, method, "x")
        assert error_type(response) == (424, "DeliveryUnknownException")
    assert app.counters.unknown == 1


# -- Who may


@both_ways
@pytest.mark.parametrize(
    ("client", "headers"),
    [
        (("192.0.2.1", 5), LOCAL),
        (None, LOCAL),
        (("127.0.0.1", 5), {"host": "evil.example"}),
        (("127.0.0.1", 5), {"host": "127.0.0.1.evil.example"}),
        (("127.0.0.1", 5), {"host": "abc.execute-api.us-west-2.amazonaws.com.evil.example"}),
        (("127.0.0.1", 5), {"host": "evil.amazonaws.com"}),
        (("192.0.2.1", 5), {"host": "abc.execute-api.us-west-2.amazonaws.com"}),
        (("127.0.0.1", 5), {**LOCAL, "origin": "http://evil.example"}),
        (("127.0.0.1", 5), {**LOCAL, "x-forwarded-for": "192.0.2.1"}),
        (("127.0.0.1", 5), {**LOCAL, "forwarded": "for=192.0.2.1"}),
    ],
)
async def test_without_keys_it_serves_this_machine_alone(
    way: Way, client: Any, headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = gateway(way)
    target, connection_id = await connected(way, app)
    for method in ("POST", "GET", "DELETE"):
        response = await ask(way, app, method, connection_id, b"x", headers=headers, client=client)
        assert error_type(response) == FORBIDDEN
        assert "configure keys" in json.loads(response.body)["message"]
    await way.settle()
    assert target.wire == [101]
    assert caplog.records[0].levelno == logging.WARNING


@both_ways
@pytest.mark.parametrize("host", ["localhost", "localhost:80", "127.0.0.2:80", "[::1]:8000", "api.localhost"])
async def test_names_of_this_machine(way: Way, host: str) -> None:
    app = gateway(way)
    assert error_type(await ask(way, app, "GET", "x", headers={"host": host}, client=("::1", 1))) == GONE


@both_ways
@pytest.mark.parametrize(
    "host", ["abc.execute-api.us-west-2.amazonaws.com", "ABC.execute-api.cn-north-1.amazonaws.com.cn:443"]
)
async def test_names_of_api_gateway_with_which_workers_come_through_the_proxy(way: Way, host: str) -> None:
    app = gateway(way)
    assert error_type(await ask(way, app, "GET", "x", headers={"host": host})) == GONE


@both_ways
async def test_the_name_that_the_gateway_has_been_given(way: Way) -> None:
    app = gateway(way, domain_name="ws.example.com")
    assert error_type(await ask(way, app, "GET", "x", headers={"host": "ws.example.com"})) == GONE
    assert error_type(await ask(way, app, "GET", "x", headers={"host": "www.example.com"})) == FORBIDDEN


@both_ways
async def test_with_keys_every_request_has_to_be_signed(way: Way) -> None:
    app = gateway(way, keys=KEYS)
    loop: Any = app.core.loop
    client, connection_id = await connected(way, app)
    path = f"/api/@connections/{quoted(connection_id)}"
    headers, loop.time = signed("POST", path, body=b"hello")
    response = await way.request(app, path, "POST", headers, b"hello", client=("192.0.2.1", 1))
    assert response.status == 200
    for body, fields, match in (
        (b"other", headers, "does not match"),
        (b"hello", LOCAL, "Missing Authentication Token"),
        (b"hello", signed("POST", path, body=b"hello", secret="wrong")[0], "does not match"),
    ):
        response = await way.request(app, path, "POST", fields, body)
        assert error_type(response) == FORBIDDEN
        assert match in json.loads(response.body)["message"]
    await way.settle()
    assert client.wire == [101, "hello"]


@both_ways
async def test_below_a_root_path(way: Way) -> None:
    app = gateway(way, keys=KEYS)
    loop: Any = app.core.loop
    client, connection_id = await connected(way, app, path="/ws/api/", root_path="/ws")
    path = f"/ws/api/@connections/{quoted(connection_id)}"
    headers, loop.time = signed("POST", path)
    assert (await way.request(app, path, "POST", headers, b"hello", root_path="/ws")).status == 200
    await way.settle()
    assert client.wire == [101, "hello"]


@both_ways
async def test_a_stage_that_is_percent_encoded(way: Way) -> None:
    app = gateway(way, stage="$default")
    client, connection_id = await connected(way, app, path="/%24default/")
    for prefix in ("/$default/@connections/", "/%24default/%40connections/"):
        assert (await ask(way, app, "POST", connection_id, b"x", prefix)).status == 200
    await way.settle()
    assert client.wire == [101, "x", "x"]


def test_times() -> None:
    assert iso_time(1_767_323_045_678) == "2026-01-02T03:04:05.678Z"
    assert iso_time(1_767_323_045_000) == "2026-01-02T03:04:05.000Z"
