"""The events, compared with recorded ones of API Gateway: the same members, of the same types."""

from __future__ import annotations

from typing import Any

import pytest

from autobahnlike.backplane import ConnectionInfo
from autobahnlike.gateway.events import (
    Handshake,
    connect_event,
    disconnect_event,
    disconnect_reason,
    message_event,
    new_request_id,
    restore_case,
)
from tests.app.harness import Way, both_ways
from tests.gateway.kit import gateway, talk

NOW = 1_731_324_924_561

INFO = ConnectionInfo(
    "BFHPhfCWIAMCKlQ=",
    connected_at=1_731_324_924_553,
    last_active_at=NOW,
    source_ip="192.0.2.7",
    user_agent="wscat/1",
    host="abc.execute-api.us-east-1.amazonaws.com",
    domain_name="abc.execute-api.us-east-1.amazonaws.com",
    api_id="abc",
    stage="prod",
)

# Recorded (in the test events of AWS Lambda Powertools), with the addresses and keys changed.
CONTEXT = {
    "extendedRequestId": "BFHPhFe3IAMF95g=",
    "requestTime": "11/Nov/2024:11:35:24 +0000",
    "messageDirection": "IN",
    "stage": "prod",
    "connectedAt": 1731324924553,
    "requestTimeEpoch": 1731324924561,
    "identity": {"sourceIp": "192.0.2.7", "userAgent": "wscat/1"},
    "requestId": "BFHPhFe3IAMF95g=",
    "domainName": "abc.execute-api.us-east-1.amazonaws.com",
    "connectionId": "BFHPhfCWIAMCKlQ=",
    "apiId": "abc",
}
CONNECT: dict[str, Any] = {
    "headers": {
        "Host": "abc.execute-api.us-east-1.amazonaws.com",
        "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
        "Sec-WebSocket-Key": "bkkbFJjEAKUaVAcSg4sZuw==",
        "Sec-WebSocket-Version": "13",
        "X-Amzn-Trace-Id": "Root=1-6731ebfc-6e5a5ff8ea0aa2bd6a2b0f33",
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    },
    "requestContext": {"routeKey": "$connect", "eventType": "CONNECT", **CONTEXT},
    "isBase64Encoded": False,
}
CONNECT["multiValueHeaders"] = {name: [value] for name, value in CONNECT["headers"].items()}
MESSAGE: dict[str, Any] = {
    "requestContext": {
        "routeKey": "chat",
        "messageId": "BFHQpcjLoAMCKlQ=",
        "eventType": "MESSAGE",
        **CONTEXT,
    },
    "body": '{"action": "chat", "message": "Hello from client"}',
    "isBase64Encoded": False,
}
DISCONNECT: dict[str, Any] = {
    "headers": {
        "Host": "abc.execute-api.us-east-1.amazonaws.com",
        "x-api-key": "",
        "X-Forwarded-For": "",
        "x-restapi": "",
    },
    "requestContext": {
        "routeKey": "$disconnect",
        "disconnectStatusCode": 1005,
        "eventType": "DISCONNECT",
        "disconnectReason": "Client-side close frame status not set",
        **CONTEXT,
    },
    "isBase64Encoded": False,
}
DISCONNECT["multiValueHeaders"] = {name: [value] for name, value in DISCONNECT["headers"].items()}

# What is random.
NEW = {"extendedRequestId", "requestId", "messageId"}


def same(event: dict[str, Any], recorded: dict[str, Any]) -> None:
    """Complain unless an event is the recorded one, random ids apart."""
    context = event["requestContext"]
    assert context["requestId"] == context["extendedRequestId"]
    for name in NEW & context.keys():
        assert len(context[name]) == 16
        assert context[name].endswith("=")

    def without(event: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in event["requestContext"].items() if name not in NEW}
        return {**event, "requestContext": kept}

    assert event["requestContext"].keys() == recorded["requestContext"].keys()
    assert without(event) == without(recorded)


def test_connect() -> None:
    names = ("Host", "Sec-WebSocket-Extensions", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "X-Amzn-Trace-Id")
    headers = [(name, CONNECT["headers"][name]) for name in names]
    same(connect_event(INFO, Handshake(headers), NOW), CONNECT)


def test_message() -> None:
    same(message_event(INFO, "chat", MESSAGE["body"], NOW), MESSAGE)


def test_disconnect() -> None:
    same(disconnect_event(INFO, 1005, "", NOW), DISCONNECT)


@pytest.mark.parametrize(
    ("code", "given", "reason"),
    [
        (1005, "", "Client-side close frame status not set"),
        (1001, "", "Going away"),
        (1000, "", ""),
        (1006, "", ""),
        (4000, "enough", "enough"),
    ],
)
def test_reasons(code: int, given: str, reason: str) -> None:
    assert disconnect_reason(code, given) == reason


def test_what_is_there_only_if_there_is_something() -> None:
    event = connect_event(INFO, Handshake(), NOW)
    assert not {"queryStringParameters", "multiValueQueryStringParameters", "stageVariables"} & event.keys()
    event = connect_event(INFO, Handshake(query="a=1&b=&a=%C3%BC+x"), NOW, stage_variables={"v": "1"})
    assert event["queryStringParameters"] == {"a": "ü x", "b": ""}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "ü x"], "b": [""]}
    assert event["stageVariables"] == {"v": "1"}
    nobody = ConnectionInfo("x", 0, 0, source_ip="::1")
    assert connect_event(nobody, Handshake(), NOW)["requestContext"]["identity"] == {"sourceIp": "::1"}


def test_a_trace_id_is_made_where_there_is_none() -> None:
    event = connect_event(INFO, Handshake(), NOW)
    root, epoch, rest = event["headers"]["X-Amzn-Trace-Id"].split("-")
    assert root == "Root=1"
    assert int(epoch, 16) == NOW // 1000
    assert len(rest) == 24


def test_headers_that_were_sent_twice_and_those_of_the_hop() -> None:
    headers = [
        ("X-A", "1"),
        ("X-A", "2"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("X-Forwarded-For", "9"),
    ]
    event = connect_event(INFO, Handshake(headers, forwarded_for="203.0.113.9"), NOW)
    assert event["headers"]["X-A"] == "2"
    assert event["multiValueHeaders"]["X-A"] == ["1", "2"]
    assert event["headers"]["X-Forwarded-For"] == "203.0.113.9, 192.0.2.7"
    assert not {"Connection", "Upgrade"} & event["headers"].keys()


@pytest.mark.parametrize("name", ["Sec-WebSocket-Key", "User-Agent", "Host", "X-Amzn-Trace-Id", "Origin", "DNT"])
def test_the_case_of_names(name: str) -> None:
    assert restore_case(name.lower()) == name


def test_request_ids_differ() -> None:
    assert len({new_request_id() for _ in range(100)}) == 100


# -- And as handlers see them


@both_ways
async def test_the_events_of_a_connection(way: Way) -> None:
    app = gateway(way, domain_name="ws.example.com", api_id="abc", stage="prod", stage_variables={"v": "1"})
    events: list[Any] = []
    app.on_ws_connect()(lambda event: events.append(event.to_dict()))
    app.on_ws_message()(lambda event: events.append(event.to_dict()))
    app.on_ws_disconnect()(lambda event: events.append(event.to_dict()))
    headers = {"user-agent": "test/1", "Sec-WebSocket-Protocol": "p", "cookie": "a=b"}
    await talk(way, app, "/prod?x=1&x=2", "hello", headers=headers, disconnect=1005)
    connect, message, disconnect = events
    assert (
        connect["headers"].items() >= {"User-Agent": "test/1", "Sec-WebSocket-Protocol": "p", "Cookie": "a=b"}.items()
    )
    assert connect["queryStringParameters"] == {"x": "2"}
    assert connect["headers"]["X-Forwarded-Proto"] == "http"
    assert connect["headers"]["X-Forwarded-Port"] == "80"
    assert message["body"] == "hello"
    assert not {"headers", "queryStringParameters"} & message.keys()
    assert disconnect["headers"]["Host"] == "testserver"
    assert disconnect["requestContext"]["disconnectStatusCode"] == 1005
    contexts = [event["requestContext"] for event in events]
    for name in ("connectionId", "connectedAt", "apiId", "domainName", "stage", "identity"):
        assert len({str(context[name]) for context in contexts}) == 1, name
    assert len({context["requestId"] for context in contexts}) == 3
    assert contexts[0]["domainName"] == "ws.example.com"
    assert all(event["stageVariables"] == {"v": "1"} for event in events)


@both_ways
async def test_proxies_in_front_are_believed_so_far(way: Way) -> None:
    forwarded = [
        ("X-Forwarded-For", "1.1.1.1, 2.2.2.2"),
        ("X-Forwarded-For", "3.3.3.3"),
        ("X-Forwarded-Proto", "https"),
    ]
    seen: list[Any] = []
    for proxies in range(5):
        app = gateway(way, proxies=proxies)
        app.on_ws_connect()(lambda event: seen.append(event.to_dict()))
        await talk(way, app, "/api/", headers=forwarded)
    sources = [event["requestContext"]["identity"]["sourceIp"] for event in seen]
    assert sources == ["127.0.0.1", "3.3.3.3", "2.2.2.2", "1.1.1.1", "1.1.1.1"]
    chains = [event["headers"]["X-Forwarded-For"] for event in seen]
    whole = "1.1.1.1, 2.2.2.2, 3.3.3.3"
    assert chains == [f"{whole}, 127.0.0.1", whole, "1.1.1.1, 2.2.2.2", "1.1.1.1", "1.1.1.1"]
    assert [event["headers"]["X-Forwarded-Proto"] for event in seen] == ["http"] + ["https"] * 4


@both_ways
async def test_proxies_that_the_server_believes(way: Way) -> None:
    """It has put client and scheme into the scope; the chain is in the header field."""
    app = gateway(way)
    events: list[Any] = []
    app.on_ws_connect()(lambda event: events.append(event.to_dict()))
    headers = [("X-Forwarded-For", "1.1.1.1, 2.2.2.2"), ("X-Forwarded-Proto", "https")]
    extensions = {"autobahnlike.proxies": 1}
    await talk(way, app, "/api/", headers=headers, client=("2.2.2.2", 0), scheme="wss", extensions=extensions)
    (event,) = events
    assert event["requestContext"]["identity"]["sourceIp"] == "2.2.2.2"
    assert event["headers"]["X-Forwarded-For"] == "1.1.1.1, 2.2.2.2"
    assert event["headers"]["X-Forwarded-Proto"] == "https"
    assert event["headers"]["X-Forwarded-Port"] == "443"


@both_ways
async def test_names_in_their_own_case_from_a_server_that_keeps_them(way: Way) -> None:
    app = gateway(way)
    events: list[Any] = []
    app.on_ws_connect()(lambda event: events.append(event.to_dict()))
    extensions = {"autobahnlike.header_names": [b"HOST", b"x-ODD-case"]}
    await talk(way, app, "/api/", headers={"host": "h", "x-ODD-case": "1"}, extensions=extensions)
    assert events[0]["headers"].items() >= {"HOST": "h", "x-ODD-case": "1"}.items()


@both_ways
async def test_binary_messages_in_base64(way: Way) -> None:
    app = gateway(way, binary="base64")
    events: list[Any] = []
    app.on_ws_message()(lambda event: events.append(event.to_dict()))
    await talk(way, app, "/api/", b"\x00\xff")
    assert (events[0]["body"], events[0]["isBase64Encoded"]) == ("AP8=", True)
