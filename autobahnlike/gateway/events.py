"""The events of API Gateway, as a Lambda function is given them: pure functions of what is known of a connection.

The shapes are those of recorded events (format version 1, WebSocket): what is not in one when API Gateway makes it is
not in one here.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from autobahnlike.backplane.interface import ConnectionInfo

__all__ = (
    "Handshake",
    "connect_event",
    "disconnect_event",
    "disconnect_reason",
    "message_event",
    "new_request_id",
    "restore_case",
)

# "11/Nov/2024:11:35:24 +0000", in English whatever the locale is.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Those of the handshake itself, which API Gateway does not pass on, and those that it sets.
_NOT_PASSED_ON = frozenset({"connection", "upgrade", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"})
_SHORT_NAMES = {"dnt": "DNT", "te": "TE", "etag": "ETag", "www": "WWW", "websocket": "WebSocket", "ua": "UA"}

# What API Gateway says where the client gave no reason.
_REASONS = {
    1001: "Going away",
    1005: "Client-side close frame status not set",
}


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the opening handshake brought.

    Attributes:
        headers: its header fields, in order, with the names as they shall be in the event.
        query: its query, undecoded.
        scheme: ``"https"`` or ``"http"``.
        port: the port that the client connected to.
        forwarded_for: the ``X-Forwarded-For`` of the request, if any; the address of the client goes behind it.
    """

    headers: Sequence[tuple[str, str]] = ()
    query: str = ""
    scheme: str = "https"
    port: int = 443
    forwarded_for: str = ""


def new_request_id() -> str:
    """Return an id of a request: 16 characters, like a connection id."""
    return base64.urlsafe_b64encode(secrets.token_bytes(11)).decode("ascii")


def restore_case(name: str) -> str:
    """Return the name of a header field as clients usually write it: ASGI has it in lower case.

    >>> restore_case("sec-websocket-key")
    'Sec-WebSocket-Key'
    """
    words = name.lower().split("-")
    return "-".join(_SHORT_NAMES.get(word, word.capitalize()) for word in words)


def disconnect_reason(code: int, reason: str) -> str:
    """Return the ``disconnectReason`` for a close code and the reason that the client gave, if it did."""
    return reason or _REASONS.get(code, "")


def connect_event(
    info: ConnectionInfo, handshake: Handshake, now: int, *, stage_variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the event of route ``$connect``.

    Args:
        info: the connection to be.
        handshake: its opening handshake.
        now: milliseconds since 1970.
        stage_variables: those of the stage, if it has any.
    """
    fields = [(name, value) for name, value in handshake.headers if name.lower() not in _NOT_PASSED_ON]
    trace_id = f"Root=1-{now // 1000:08x}-{secrets.token_hex(12)}"
    if not any(name.lower() == "x-amzn-trace-id" for name, _ in fields):
        fields.append(("X-Amzn-Trace-Id", trace_id))
    chain = f"{handshake.forwarded_for}, {info.source_ip}" if handshake.forwarded_for else info.source_ip
    fields += [
        ("X-Forwarded-For", chain),
        ("X-Forwarded-Port", str(handshake.port)),
        ("X-Forwarded-Proto", handshake.scheme),
    ]
    headers, many = _as_mappings(fields)
    event: dict[str, Any] = {"headers": headers, "multiValueHeaders": many}
    if handshake.query:
        pairs = parse_qsl(handshake.query, keep_blank_values=True)
        event["queryStringParameters"], event["multiValueQueryStringParameters"] = _as_mappings(pairs)
    if stage_variables:
        event["stageVariables"] = dict(stage_variables)
    event["requestContext"] = _context("$connect", "CONNECT", info, now)
    event["isBase64Encoded"] = False
    return event


def message_event(
    info: ConnectionInfo,
    route_key: str,
    body: str,
    now: int,
    *,
    is_base64: bool = False,
    stage_variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the event of a message.

    Args:
        info: the connection.
        route_key: the route that was selected.
        body: the message; binary ones in Base64.
        now: milliseconds since 1970.
        is_base64: whether it is binary.
        stage_variables: those of the stage, if it has any.
    """
    context = _context(route_key, "MESSAGE", info, now)
    context["messageId"] = new_request_id()
    event: dict[str, Any] = {"requestContext": context, "body": body, "isBase64Encoded": is_base64}
    if stage_variables:
        event["stageVariables"] = dict(stage_variables)
    return event


def disconnect_event(
    info: ConnectionInfo, code: int, reason: str, now: int, *, stage_variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the event of route ``$disconnect``.

    Args:
        info: the connection that was.
        code: its close code: that of the client, 1005 if it sent none, 1006 if it went without a word.
        reason: the reason that it gave.
        now: milliseconds since 1970.
        stage_variables: those of the stage, if it has any.
    """
    # Recorded like this: the names of the last two are not those of the first.
    fields = [("Host", info.host), ("x-api-key", ""), ("X-Forwarded-For", ""), ("x-restapi", "")]
    headers, many = _as_mappings(fields)
    context = _context("$disconnect", "DISCONNECT", info, now)
    context["disconnectStatusCode"] = code
    context["disconnectReason"] = disconnect_reason(code, reason)
    event: dict[str, Any] = {"headers": headers, "multiValueHeaders": many}
    if stage_variables:
        event["stageVariables"] = dict(stage_variables)
    event["requestContext"] = context
    event["isBase64Encoded"] = False
    return event


def _context(route_key: str, event_type: str, info: ConnectionInfo, now: int) -> dict[str, Any]:
    request_id = new_request_id()
    identity = {"sourceIp": info.source_ip}
    if info.user_agent is not None:
        identity["userAgent"] = info.user_agent
    return {
        "routeKey": route_key,
        "eventType": event_type,
        "extendedRequestId": request_id,
        "requestTime": _clf_time(now),
        "messageDirection": "IN",
        "stage": info.stage,
        "connectedAt": info.connected_at,
        "requestTimeEpoch": now,
        "identity": identity,
        "requestId": request_id,
        "domainName": info.domain_name,
        "connectionId": info.connection_id,
        "apiId": info.api_id,
    }


def _clf_time(now: int) -> str:
    time = datetime.fromtimestamp(now / 1000, UTC)
    return f"{time:%d}/{_MONTHS[time.month - 1]}/{time:%Y:%H:%M:%S} +0000"


def _as_mappings(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the last value of each name, and all values of each."""
    single: dict[str, str] = {}
    many: dict[str, list[str]] = {}
    for name, value in pairs:
        single[name] = value
        many.setdefault(name, []).append(value)
    return single, many
