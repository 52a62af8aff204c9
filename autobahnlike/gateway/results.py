"""What becomes of what a handler returns: the result of a Lambda function behind API Gateway."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

__all__ = ("ConnectAnswer", "MalformedResult", "error_body", "message_reply", "read_connect_result", "status_message")


class MalformedResult(Exception):
    """A handler returned something that is no result of a Lambda function."""


@dataclass(frozen=True, slots=True)
class ConnectAnswer:
    """What a client is answered to its opening handshake.

    Attributes:
        status: 200 to 299 if it is accepted, else the status that it is refused with.
        subprotocol: that of the connection; None if there is none.
    """

    status: int
    subprotocol: str | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the connection is made."""
        return 200 <= self.status < 300


def read_connect_result(result: Any) -> ConnectAnswer:
    """Return what the result of ``$connect`` means.

    Only ``Sec-WebSocket-Protocol``, in any case, of its headers reaches the client.

    Raises:
        MalformedResult: it is no mapping with a fitting ``statusCode``.
    """
    status = _status_of(result)
    if status == HTTPStatus.SWITCHING_PROTOCOLS:
        raise MalformedResult("$connect returned the status 101, which the gateway sends itself: return 200")
    if not 200 <= status <= 599:
        raise MalformedResult(f"$connect returned the status {status}; it is 200 to accept, 4xx or 5xx to refuse")
    return ConnectAnswer(status, _subprotocol_of(result) if status < 300 else None)


def message_reply(result: Any) -> str | None:
    """Return the text that a route with a route response sends back; None if it is none.

    Raises:
        MalformedResult: it is no result.
    """
    _status_of(result)
    body = result.get("body")
    if body is None:
        return None
    if not isinstance(body, str):
        return json.dumps(body)
    if result.get("isBase64Encoded"):
        try:
            return base64.b64decode(body, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise MalformedResult(f"the body of the result is not text in Base64: {error}") from None
    return body


def _status_of(result: Any) -> int:
    if not isinstance(result, Mapping):
        raise MalformedResult(f"the result of a handler is a dict with statusCode, not {result!r:.100}")
    status = result.get("statusCode")
    # Lambda takes it as text as well.
    if isinstance(status, str) and status.isascii() and status.isdigit() and len(status) == 3:
        return int(status)
    if not isinstance(status, int) or isinstance(status, bool):
        raise MalformedResult(f"statusCode in the result of a handler is a number like 200, not {status!r:.100}")
    return int(status)


def _subprotocol_of(result: Mapping[str, Any]) -> str | None:
    for member in ("multiValueHeaders", "headers"):
        fields = result.get(member) or {}
        if not isinstance(fields, Mapping):
            raise MalformedResult(f"{member} in the result of a handler is a dict, not {fields!r:.100}")
        for name, value in fields.items():
            if isinstance(name, str) and name.lower() == "sec-websocket-protocol":
                values = [value] if isinstance(value, str) else value
                if not isinstance(values, (list, tuple)) or not all(isinstance(each, str) for each in values):
                    raise MalformedResult(f"{name} in the result of a handler is text, not {value!r:.100}")
                if values:
                    return str(values[0])
    return None


def status_message(status: int) -> str:
    """Return what API Gateway says with a status."""
    if status >= 500:
        return "Endpoint request timed out" if status == HTTPStatus.GATEWAY_TIMEOUT else "Internal server error"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"


def error_body(message: str, connection_id: str, request_id: str) -> str:
    """Return what API Gateway sends a client when something went wrong: as the frame, or the body, of an answer."""
    return json.dumps({"message": message, "connectionId": connection_id, "requestId": request_id})
