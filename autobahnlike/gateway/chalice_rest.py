"""The REST routes of a Chalice application, served as ``chalice local`` does, by Chalice's own code."""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from chalice.config import Config
from chalice.local import LocalChalice, LocalGateway, LocalGatewayException, RouteMatcher
from starlette.types import Receive, Scope, Send

from autobahnlike.gateway.scopes import raw_path_of, respond

__all__ = ("RestRoutes",)

_log = logging.getLogger("autobahnlike.gateway")

# API Gateway's own bound is 10 MB.
_MAX_BODY = 10 * 1024 * 1024
_TYPE = b"content-type"


class RestRoutes:
    """An ASGI application of the REST routes.

    They are found where ``chalice local`` has them, ``/route``, and where a deployed application has them, below the
    stage, ``/api/route``.

    Args:
        app: an object of Chalice. From now on, ``app.current_request`` is that of the thread.
        config: its configuration.
        stage: the first part of the path that WebSockets have as well.
        has_websockets: whether they are served there.
        run_blocking: runs a function in a thread.
    """

    def __init__(
        self,
        app: Any,
        config: Config,
        stage: str,
        has_websockets: bool,
        run_blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        app.__class__ = type("HostedChalice", (LocalChalice, type(app)), {})
        self._gateway = LocalGateway(app, config)
        self._matcher = RouteMatcher(list(app.routes))
        self._stage = f"/{stage}"
        self._has_websockets = has_websockets
        self._run_blocking = run_blocking

    def _target_of(self, scope: Scope) -> str | None:
        """Return path and query as Chalice wants them; None if WebSockets are served there, and no route is."""
        path = raw_path_of(scope) or "/"
        query = (scope.get("query_string") or b"").decode("latin-1")
        if not self._matches(path) and (path == self._stage or path.startswith(f"{self._stage}/")):
            below = path.removeprefix(self._stage) or "/"
            if below == "/" and self._has_websockets and not self._matches(below):
                return None
            path = below
        return f"{path}?{query}" if query else path

    def _matches(self, path: str) -> bool:
        try:
            self._matcher.match_route(path)
        except ValueError:
            return False
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        method = scope["method"]
        is_head = method == "HEAD"
        target = self._target_of(scope)
        if target is None:
            upgrade = [(b"upgrade", b"websocket")]
            await respond(send, 426, {"message": "Upgrade Required"}, upgrade, is_bodiless=is_head)
            return
        body = bytearray()
        more = True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            body += event.get("body", b"")
            more = event.get("more_body", False)
            if len(body) > _MAX_BODY:
                await respond(send, 413, {"message": "Request Too Long"}, [(b"connection", b"close")])
                return
        headers = _headers_of(scope)

        def call() -> tuple[int, dict[str, Any], Any]:
            try:
                response = self._gateway.handle_request(method, target, headers, bytes(body) or None)
            except LocalGatewayException as error:
                return error.CODE, error.headers, error.body
            content = response["body"]
            if response.get("isBase64Encoded"):
                content = base64.b64decode(content)
            return response["statusCode"], {**response["headers"], **response["multiValueHeaders"]}, content

        try:
            status, fields, content = await self._run_blocking(call)
        except Exception:
            _log.exception("%s %s failed", method, scope["path"])
            await respond(send, 502, {"message": "Internal server error"}, is_bodiless=is_head)
            return
        await _answer(send, status, fields, content, is_head)


def _headers_of(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        separator = "; " if key == "cookie" else ", "
        headers[key] = f"{headers[key]}{separator}{text}" if key in headers else text
    return headers


async def _answer(send: Send, status: int, fields: dict[str, Any], content: Any, is_head: bool) -> None:
    body = content.encode() if isinstance(content, str) else (content or b"")
    headers = [
        (str(name).lower().encode("latin-1"), str(each).encode("latin-1"))
        for name, value in fields.items()
        for each in (value if isinstance(value, list) else [value])
        if str(name).lower() != "content-length"
    ]
    if content is not None and not any(name == _TYPE for name, _ in headers):
        headers.append((_TYPE, b"application/json"))
    if status >= 200 and status not in (204, 304):
        headers.append((b"content-length", str(len(body)).encode()))
    else:
        body = b""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else body})
