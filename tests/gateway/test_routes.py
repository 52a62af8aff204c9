"""The route selection expression, and what results mean."""

from __future__ import annotations

from typing import Any

import pytest

from autobahnlike.gateway.results import MalformedResult, message_reply, read_connect_result, status_message
from autobahnlike.gateway.routes import RouteSelector

KEYS = {"$connect", "$disconnect", "$default", "join", "leave"}


@pytest.mark.parametrize(
    ("body", "route"),
    [
        ('{"action": "join"}', "join"),
        (' \n{"action": "leave", "x": {}}', "leave"),
        ('{"action": "other"}', "$default"),
        ('{"action": "$default"}', "$default"),
        ('{"action": "$connect"}', "$default"),
        ('{"action": "$disconnect"}', "$default"),
        ('{"action": 1}', "$default"),
        ('{"action": ["join"]}', "$default"),
        ('{"Action": "join"}', "$default"),
        ("{}", "$default"),
        ('["action", "join"]', "$default"),
        ('"join"', "$default"),
        ("join", "$default"),
        ("", "$default"),
        ('{"action": "join"', "$default"),
        ('{"a":' * 100_000, "$default"),
    ],
)
def test_selection(body: str, route: str) -> None:
    assert RouteSelector().select(body, KEYS) == route


def test_more_names() -> None:
    for expression in ("$request.body.header.route-key", "${request.body.header.route-key}"):
        selector = RouteSelector(expression)
        assert selector.expression == expression
        assert selector.select('{"header": {"route-key": "join"}}', KEYS) == "join"
        assert selector.select('{"header": "join"}', KEYS) == "$default"


@pytest.mark.parametrize(
    "expression", ["", "action", "$request.header.x", "$request.body", "$request.body.", "$request.body.a b"]
)
def test_what_is_no_expression(expression: str) -> None:
    with pytest.raises(ValueError, match=r"like \$request\.body\.action"):
        RouteSelector(expression)


@pytest.mark.parametrize("result", [None, "x", [], {}, {"statusCode": None}, {"statusCode": 2.5}, {"statusCode": "20"}])
def test_what_is_no_result(result: Any) -> None:
    with pytest.raises(MalformedResult):
        read_connect_result(result)
    with pytest.raises(MalformedResult):
        message_reply(result)


@pytest.mark.parametrize("headers", ["x", {"Sec-WebSocket-Protocol": 1}, {"Sec-WebSocket-Protocol": [1]}])
def test_headers_that_cannot_be_read(headers: Any) -> None:
    with pytest.raises(MalformedResult):
        read_connect_result({"statusCode": 200, "headers": headers})


def test_subprotocols() -> None:
    for result, expected in (
        ({}, None),
        ({"headers": None, "multiValueHeaders": None}, None),
        ({"headers": {"sec-websocket-PROTOCOL": "a"}}, "a"),
        ({"multiValueHeaders": {"Sec-WebSocket-Protocol": ["a", "b"]}}, "a"),
        ({"multiValueHeaders": {"Sec-WebSocket-Protocol": []}}, None),
    ):
        assert read_connect_result({"statusCode": 200, **result}).subprotocol == expected


def test_replies() -> None:
    assert message_reply({"statusCode": 200}) is None
    assert message_reply({"statusCode": 200, "body": "x"}) == "x"
    assert message_reply({"statusCode": 200, "body": {"a": 1}}) == '{"a": 1}'
    assert message_reply({"statusCode": 200, "body": "eA==", "isBase64Encoded": True}) == "x"
    for body in ("/w==", "no base64"):
        with pytest.raises(MalformedResult):
            message_reply({"statusCode": 200, "body": body, "isBase64Encoded": True})


def test_what_is_said_with_a_status() -> None:
    assert [status_message(status) for status in (403, 502, 504, 499)] == [
        "Forbidden",
        "Internal server error",
        "Endpoint request timed out",
        "Refused",
    ]
