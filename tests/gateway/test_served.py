"""Gateways on real servers, on every loop: WebSocket clients, and boto3 as the client of the @connections API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from autobahnlike.asgi import ServerOptions
from autobahnlike.asgi.asyncio import serve
from tests.cli.process import LOOPS, Process
from tests.gateway import served_applications
from tests.gateway.served_applications import KEYS, SUBPROTOCOL
from tests.hosting.serving import served

PATIENCE = 20.0

Served = tuple[Process, str]


@pytest.fixture(scope="module", params=LOOPS)
def gateway(request: pytest.FixtureRequest) -> Iterator[Served]:
    with served("tests.gateway.served_applications:app", request.param) as running:
        yield running


@pytest.fixture(scope="module", params=LOOPS)
def signed(request: pytest.FixtureRequest) -> Iterator[Served]:
    with served("tests.gateway.served_applications:signed", request.param) as running:
        yield running


@pytest.fixture(scope="module", params=LOOPS)
def aws(request: pytest.FixtureRequest) -> Iterator[Served]:
    with served("tests.gateway.served_applications:aws", request.param) as running:
        yield running


@contextmanager
def opened(url: str, query: str = "") -> Iterator[tuple[ClientConnection, str]]:
    """Connect; gives the client, and its connection id, which the gateway sends first."""
    target = f"{url.replace('http', 'ws', 1)}api/{query}"
    subprotocols: Any = [SUBPROTOCOL]
    with connect(target, subprotocols=subprotocols, open_timeout=PATIENCE, close_timeout=PATIENCE) as client:
        yield client, received(client)


def received(client: ClientConnection) -> str:
    message = client.recv(PATIENCE)
    assert isinstance(message, str)
    return message


def ask(client: ClientConnection, **message: str) -> None:
    client.send(json.dumps(message))


def management(url: str, stage: str = "api", secret: str = KEYS["AKIDEXAMPLE"]) -> Any:
    """Return a client of boto3."""
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"{url}{stage}",
        region_name="us-west-2",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE),
    )


# -- WebSocket clients


def test_from_the_beginning_to_the_end(gateway: Served) -> None:
    process, url = gateway
    with opened(url) as (client, connection_id):
        assert client.subprotocol == SUBPROTOCOL
        for text in ("foo", "bar", "foo bar baz", "grüße"):
            client.send(text)
            assert received(client) == text
        client.close(4321)
    process.out.expect(f"{connection_id} connects\n(.*\n)*{connection_id} disconnects 4321\n".replace("+", r"\+"))


def test_messages_of_one_connection_are_handled_in_order(gateway: Served) -> None:
    with opened(gateway[1]) as (client, _):
        for number in range(200):
            client.send(str(number))
        assert [received(client) for _ in range(200)] == [str(number) for number in range(200)]


def test_handlers_of_two_connections_run_at_once(gateway: Served) -> None:
    with opened(gateway[1]) as (one, _), opened(gateway[1]) as (other, _):
        ask(one, action="meet")
        ask(other, action="meet")
        assert received(one) == received(other) == "met"


def test_coroutine_functions_send_to_others(gateway: Served) -> None:
    with opened(gateway[1]) as (one, _), opened(gateway[1]) as (other, their_id):
        ask(one, action="tell", whom=their_id, what="hello")
        assert received(other) == "hello"
        ask(one, action="tell", whom="nobody", what="hello")
        assert json.loads(received(one))["message"] == "Internal server error"


def test_info_close_and_failures(gateway: Served) -> None:
    with opened(gateway[1]) as (client, connection_id):
        ask(client, action="info")
        assert json.loads(received(client))["SourceIp"] == "127.0.0.1"
        ask(client, action="fail")
        assert json.loads(received(client))["connectionId"] == connection_id
        ask(client, action="close")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "as you wish")


def test_rooms(gateway: Served) -> None:
    with opened(gateway[1]) as (one, _), opened(gateway[1]) as (other, _):
        ask(one, action="join", name="one")
        one.send("joined")
        assert received(one) == "joined"
        ask(other, action="join", name="other")
        assert received(one) == "other is here"
        ask(one, action="say", what="hello")
        assert received(one) == received(other) == "hello"


def test_a_refused_handshake(gateway: Served) -> None:
    with pytest.raises(InvalidStatus) as caught, opened(gateway[1], "?refuse=1"):
        pass
    assert caught.value.response.status_code == 403
    assert json.loads(caught.value.response.body or b"{}")["message"] == "Forbidden"


def test_a_binary_message(gateway: Served) -> None:
    with opened(gateway[1]) as (client, _):
        client.send(b"binary")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1003


@pytest.mark.parametrize("size", [128 * 1024, 128 * 1024 + 1])
def test_the_size_of_messages_at_aws(aws: Served, size: int) -> None:
    with opened(aws[1]) as (client, _):
        # Fragmented, as API Gateway wants it.
        client.send("x" * 32768 if number < 4 else "x" * (size - 131072) for number in range(5))
        if size == 128 * 1024:
            assert received(client) == "x" * size
        else:
            with pytest.raises(ConnectionClosed) as caught:
                client.recv(PATIENCE)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1009


def test_frames_are_the_business_of_the_server() -> None:
    async def run() -> None:
        options = ServerOptions(websocket=served_applications.aws.server_options)
        async with serve(served_applications.aws, "127.0.0.1:0", options=options) as serving:
            url = f"{serving.urls[0].replace('http', 'ws', 1)}api/"
            async with connect_async(url, compression=None) as client:
                await client.recv()
                await client.send("x" * 32768)
                assert await client.recv() == "x" * 32768
                await client.send("x" * 32769)
                with pytest.raises(ConnectionClosed) as caught:
                    await client.recv()
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1009

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


# -- boto3


def test_post_get_delete(gateway: Served) -> None:
    process, url = gateway
    api = management(url)
    with opened(url) as (client, connection_id):
        for data in ("hello", b"bytes", "grüße", ""):
            answer = api.post_to_connection(ConnectionId=connection_id, Data=data)
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert [received(client) for _ in range(4)] == ["hello", "bytes", "grüße", ""]
        info = api.get_connection(ConnectionId=connection_id)
        assert info["Identity"]["SourceIp"] == "127.0.0.1"
        assert "websockets" in info["Identity"]["UserAgent"]
        assert abs((datetime.now(UTC) - info["ConnectedAt"]).total_seconds()) < 60
        assert info["LastActiveAt"] >= info["ConnectedAt"]
        assert api.delete_connection(ConnectionId=connection_id)["ResponseMetadata"]["HTTPStatusCode"] == 204
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1000
    process.out.expect(f"{connection_id} disconnects 1000\n".replace("+", r"\+"))
    for call, more in (
        (api.post_to_connection, {"Data": "x"}),
        (api.get_connection, {}),
        (api.delete_connection, {}),
    ):
        with pytest.raises(api.exceptions.GoneException):
            call(ConnectionId=connection_id, **more)


@pytest.mark.parametrize("stage", ["", "api/"])
def test_other_endpoints(gateway: Served, stage: str) -> None:
    with opened(gateway[1]) as (client, connection_id):
        management(gateway[1], stage).post_to_connection(ConnectionId=connection_id, Data="x")
        assert received(client) == "x"


@pytest.mark.parametrize("connection_id", ["nobody", "a/b+c=", "ü ö", "%2F", "L0SM9cOFvHcCIhw="])
def test_ids_that_nobody_has(gateway: Served, connection_id: str) -> None:
    api = management(gateway[1])
    with pytest.raises(api.exceptions.GoneException) as caught:
        api.post_to_connection(ConnectionId=connection_id, Data="x")
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_too_large(aws: Served) -> None:
    api = management(aws[1])
    with opened(aws[1]) as (client, connection_id):
        for size in (131073, 5_000_000):
            with pytest.raises(api.exceptions.PayloadTooLargeException):
                api.post_to_connection(ConnectionId=connection_id, Data="x" * size)
        api.post_to_connection(ConnectionId=connection_id, Data="x" * 131072)
        assert received(client) == "x" * 131072


def test_signatures(signed: Served) -> None:
    with opened(signed[1]) as (client, connection_id):
        for stage in ("api", ""):
            management(signed[1], stage).post_to_connection(ConnectionId=connection_id, Data="right")
            assert received(client) == "right"
        wrong = management(signed[1], secret="wrong")
        with pytest.raises(wrong.exceptions.ForbiddenException) as caught:
            wrong.post_to_connection(ConnectionId=connection_id, Data="wrong")
        assert isinstance(caught.value, ClientError)
        assert "does not match" in str(caught.value)
        management(signed[1]).get_connection(ConnectionId=connection_id)


def test_the_server_stops_with_clients(gateway: Served) -> None:
    """The last test of the module on each server: all clients get their $disconnect before it ends."""
    process, url = gateway
    with opened(url) as (client, connection_id):
        process.popen.terminate()
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001
    assert process.popen.wait(PATIENCE) == 0
    assert f"{connection_id} disconnects" in process.out.all()
