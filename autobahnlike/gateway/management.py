"""The @connections API: what an SDK of AWS calls ``apigatewaymanagementapi``.

``POST``, ``GET`` and ``DELETE`` of ``/{stage}/@connections/{id}`` send to a connection, describe it and close it. The
id is percent-encoded, ``@`` may be; the stage may be missing, as it is at custom domains of API Gateway.

SDKs tell errors apart by the header ``x-amzn-ErrorType``. They repeat what is answered with 429 and 5xx. So nothing is
answered with these that may have been delivered: where a verdict is missing, it is 424, which is not repeated.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from autobahnlike.backplane.interface import ConnectionInfo, Payload, Verdict
from autobahnlike.gateway.scopes import Place, header_of, raw_path_of, respond
from autobahnlike.gateway.sigv4 import NotSigned, verify

if TYPE_CHECKING:
    from autobahnlike.gateway.core import Core

__all__ = ("Management", "as_payload", "iso_time")

_log = logging.getLogger("autobahnlike.gateway")

_METHODS = ("DELETE", "GET", "POST")
# What is received of a body whatever the limit is.
_MAX_BODY = 16 * 1024 * 1024
# The longest id that is worth looking at.
_MAX_ID = 256
# A proxy in front says so with one of these, and then whoever is behind it is not this machine.
_FORWARDED = (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip")
_NORMAL = 1000
_AWS_HOST = re.compile(r"[a-z0-9-]+\.execute-api\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")

# Status, type and text of the errors.
_ERRORS: dict[Verdict, tuple[int, str, str | None]] = {
    # Its body is empty at AWS, too.
    Verdict.GONE: (410, "GoneException", None),
    Verdict.TOO_LARGE: (413, "PayloadTooLargeException", "Message too long"),
    Verdict.BUFFER_FULL: (429, "LimitExceededException", "The client does not take what it was sent before"),
    Verdict.UNKNOWN: (
        424,
        "DeliveryUnknownException",
        "There was no answer from the node of the connection: it may have been delivered or not",
    ),
}


class _Refused(Exception):
    def __init__(self, status: int, kind: str, message: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


def as_payload(data: bytes) -> Payload:
    """Return what a client is sent: text, and a binary message if it is none. An SDK does not tell which it was."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def iso_time(milliseconds: int) -> str:
    """Return a time as ``2026-01-02T03:04:05.678Z``."""
    time = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


class Management:
    """The API of one gateway.

    Args:
        core: the gateway.
        place: where it is found.
        keys: secret keys by access key id. If None, requests need not be signed, and must come from this machine.
        time: the time in seconds since 1970.
    """

    def __init__(self, core: Core, place: Place, keys: Mapping[str, str] | None, time: Callable[[], float]) -> None:
        self._core = core
        self._place = place
        self._keys = None if keys is None else dict(keys)
        self._time = time
        self._second = 0
        self._requests = 0

    def is_meant(self, scope: Scope) -> bool:
        """Whether a request is for this API."""
        return self._id_of(scope) is not None

    def _id_of(self, scope: Scope) -> str | None:
        rest = self._place.below_stage(raw_path_of(scope))
        if rest is None:
            return None
        name, _, connection_id = rest[1:].partition("/")
        if unquote(name) != "@connections":
            return None
        return unquote(connection_id)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers = [(b"x-amzn-requestid", str(uuid.uuid4()).encode())]
        try:
            status, value = await self._answer(scope, receive)
        except _Refused as error:
            headers.append((b"x-amzn-errortype", error.kind.encode()))
            message = None if error.message is None else {"message": error.message}
            await respond(send, error.status, message, headers)
            return
        await respond(send, status, value, headers)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        method = scope["method"]
        if method not in _METHODS:
            raise _Refused(405, "MethodNotAllowedException", f"{method} is not allowed: use {', '.join(_METHODS)}")
        if self._keys is None:
            self._check_local(scope)
        body = await self._read(receive)
        if self._keys is not None:
            self._check_signature(scope, body, self._keys)
        self._check_rate()
        connection_id = self._id_of(scope) or ""
        if not connection_id or len(connection_id) > _MAX_ID:
            raise _refused_by(Verdict.GONE)
        core = self._core
        if method == "GET":
            verdict, info = await core.describe(connection_id)
            if info is None:
                raise _refused_by(verdict)
            return 200, _describe(info)
        if method == "DELETE":
            verdict = await core.disconnect(connection_id, _NORMAL)
            if verdict is not Verdict.DELIVERED:
                raise _refused_by(verdict)
            return 204, None
        verdict = await core.send(connection_id, as_payload(body))
        if verdict is not Verdict.DELIVERED:
            raise _refused_by(verdict)
        return 200, None

    async def _read(self, receive: Receive) -> bytes:
        limit = self._core.limits.max_message_size or _MAX_BODY
        body = bytearray()
        size = 0
        # Who sends too much reads the answer when it has sent it all; who sends far too much is not waited for.
        while size <= max(limit, _MAX_BODY):
            event = await receive()
            if event["type"] == "http.disconnect":
                raise _Refused(400, "BadRequestException", "the request has ended before its body")
            part = event.get("body", b"")
            size += len(part)
            if size <= limit:
                body += part
            if not event.get("more_body", False):
                break
        if size > limit:
            raise _refused_by(Verdict.TOO_LARGE)
        return bytes(body)

    # -- Who may

    def _check_local(self, scope: Scope) -> None:
        """Refuse all but programmes on this machine that speak to us themselves.

        A proxy on this machine forwards for others, and a browser for web pages of others. Such a page may be of a name
        that its owner has turned to this machine (DNS rebinding), so ``Host`` has to be a name that nobody else can
        turn: of this machine; the one that the gateway is configured with; or of API Gateway, with which programmes
        come through ``autobahnlike aws-proxy``.
        """
        client = scope.get("client")
        names = {name for name, _ in scope["headers"]}
        field = header_of(scope, b"host") or ""
        host = field[1:].partition("]")[0] if field.startswith("[") else field.partition(":")[0]
        if (
            client is None
            or not _is_loopback(client[0])
            or not self._is_own_name(host.lower(), field)
            or names.intersection(_FORWARDED)
            or b"origin" in names
        ):
            _log.warning("a request of the management API was refused: it comes from elsewhere, and there are no keys")
            raise _Refused(
                403,
                "ForbiddenException",
                "The management API serves this machine alone: configure keys, and sign requests with them",
            )

    def _is_own_name(self, host: str, field: str) -> bool:
        is_local = host == "localhost" or host.endswith(".localhost") or _is_loopback(host)
        return is_local or _AWS_HOST.fullmatch(host) is not None or self._place.domain_name in (host, field)

    def _check_signature(self, scope: Scope, body: bytes, keys: Mapping[str, str]) -> None:
        raw: bytes | None = scope.get("raw_path")
        path = raw_path_of(scope) if raw is None else raw.decode("latin-1").partition("?")[0]
        query = (scope.get("query_string") or b"").decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        try:
            verify(scope["method"], path, query, headers, body, keys, self._time())
        except NotSigned as error:
            raise _Refused(403, "ForbiddenException", str(error)) from None

    def _check_rate(self) -> None:
        limit = self._core.limits.requests_per_second
        second = int(self._time())
        if second != self._second:
            self._second, self._requests = second, 0
        self._requests += 1
        if limit and self._requests > limit:
            raise _Refused(429, "LimitExceededException", f"more than {limit} requests within a second")


def _refused_by(verdict: Verdict) -> _Refused:
    return _Refused(*_ERRORS[verdict])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _describe(info: ConnectionInfo) -> dict[str, Any]:
    identity = {"sourceIp": info.source_ip}
    if info.user_agent is not None:
        identity["userAgent"] = info.user_agent
    return {
        "connectedAt": iso_time(info.connected_at),
        "identity": identity,
        "lastActiveAt": iso_time(info.last_active_at),
    }
