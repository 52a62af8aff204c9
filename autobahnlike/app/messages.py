"""The request and the response of HTTP views."""

from __future__ import annotations

import json
import mimetypes
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from inspect import isasyncgenfunction
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from starlette.datastructures import URL, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.types import Receive, Scope, Send

from autobahnlike.app.errors import HTTPError
from autobahnlike.app.paths import full_path
from autobahnlike.app.waiting import pause

__all__ = ("ClientDisconnect", "Request", "Response", "ResponseHeaders", "server_event")

StreamFunction = Callable[[], AsyncIterator[str | bytes]]

_BLOCK = 64 * 1024


class Request(StarletteRequest):
    """What an HTTP view is asked: a Starlette request, which can also be iterated over for the chunks of its body.

    ``url``, ``headers``, ``query_params``, ``path_params``, ``cookies``, ``session``, ``client``, ``method``, and the
    coroutines ``body()``, ``json()`` and ``form()``.
    """

    @property
    def url(self) -> URL:
        """The URL, with the prefix under which the application is mounted."""
        if not hasattr(self, "_url"):
            self._url = URL(scope={**self.scope, "path": full_path(self.scope)})
        return self._url

    async def json(self) -> Any:
        """Return the body, parsed as JSON.

        Raises:
            HTTPError: 400, if it is not JSON.
        """
        try:
            return await super().json()
        except ValueError:  # a JSONDecodeError, or bytes that are not UTF-8
            raise HTTPError(400, detail="JSON is malformed.") from None

    async def is_disconnected(self) -> bool:
        """Say whether the client has gone, without waiting; parts of the body that were not read yet are dropped."""
        if not self._is_disconnected:
            self._is_disconnected = _has_disconnected(self.receive)
        return self._is_disconnected

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.stream():
            yield chunk


def _has_disconnected(receive: Receive) -> bool:
    """Look for a disconnect among the events that are there already.

    Starlette asks with a cancelled scope of anyio, which needs a loop of asyncio or trio. Here one step of the
    coroutine is made by hand: either it has an event at once, or it begins to wait, and is then closed.
    """
    while True:
        step = receive().__await__()
        try:
            step.send(None)
        except StopIteration as result:
            if result.value["type"] == "http.disconnect":
                return True
        else:
            step.close()
            return False


class ResponseHeaders(MutableHeaders):
    """Header fields of a response: a case-insensitive dictionary; ``append`` adds one more field of the same name."""

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a field and return its value, as a dictionary does it."""
        if key in self:
            value = self[key]
            del self[key]
            return value
        if default:
            return default[0]
        raise KeyError(key)


class Response:
    """What an HTTP view answers; it has to set what differs from an empty text with the status 200.

    Attributes:
        content: the body, as text or bytes. ``text``, ``html`` and ``json`` set it together with the content type;
            ``media`` is an older name of ``json``.
        status_code: the status; 200 if None.
        headers: the header fields. The content type is ``text/plain`` unless set. Text is sent in UTF-8, which content
            types set here do not say, as with Bocadillo: pages say it in a ``<meta>`` element, others can set the type.
        chunked: whether to send without a Content-Length.
        attachment: the name of the file as which browsers shall save the body, if not None.
        request: the request.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.content: str | bytes | None = None
        self.status_code: int | None = None
        self.chunked = False
        self.attachment: str | None = None
        self._headers = ResponseHeaders()
        self._file: Path | None = None
        self._stream: StreamFunction | None = None
        self._raise_on_disconnect = False
        self._background: list[Callable[[], Awaitable[Any]]] = []

    def _set(self, content: str | bytes, content_type: str) -> None:
        self.content = content
        self.headers["content-type"] = content_type

    def _set_text(self, value: Any) -> None:
        self._set(value if isinstance(value, bytes) else str(value), "text/plain")

    def _set_html(self, value: Any) -> None:
        self._set(value if isinstance(value, bytes) else str(value), "text/html")

    def _set_json(self, value: Any) -> None:
        self._set(json.dumps(value), "application/json")

    text = property(None, _set_text, doc="Write-only: sets the content, and the content type to ``text/plain``.")
    html = property(None, _set_html, doc="Write-only: sets the content, and the content type to ``text/html``.")
    json = property(None, _set_json, doc="Write-only: sets the content to a value as JSON, and its content type.")
    media = property(None, _set_json, doc="An older name of ``json``.")

    @property
    def headers(self) -> ResponseHeaders:
        """The header fields; a mapping that is assigned replaces all."""
        return self._headers

    @headers.setter
    def headers(self, headers: Mapping[str, str]) -> None:
        self._headers = ResponseHeaders(headers)

    def set_cookie(self, key: str, value: str = "", **options: Any) -> None:
        """Set a cookie.

        Args:
            key: its name.
            value: its value.
            options: ``max_age`` in seconds, ``expires``, ``path``, ``domain``, ``secure``, ``httponly``, ``samesite``
                (``"lax"`` unless given), as Starlette has them.
        """
        self._add_cookies(lambda response: response.set_cookie(key, value, **options))

    def delete_cookie(self, key: str, **options: Any) -> None:
        """Have the browser delete a cookie; ``path`` and ``domain`` must be those with which it was set."""
        self._add_cookies(lambda response: response.delete_cookie(key, **options))

    def _add_cookies(self, add: Callable[[StarletteResponse], None]) -> None:
        response = StarletteResponse()
        add(response)
        for cookie in response.headers.getlist("set-cookie"):
            self.headers.append("set-cookie", cookie)

    def file(self, path: str | os.PathLike[str], attach: bool = True) -> None:
        """Send a file. It is read on the thread of the loop, in blocks of 64 KiB.

        Args:
            path: the file.
            attach: whether to have browsers save it under its name.

        Raises:
            RuntimeError: when the response is sent: there is no such file.
        """
        self._file = Path(path)
        if attach:
            self.attachment = self._file.name

    def background(self, func: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Run a coroutine function when the response was sent; also a decorator. Several are run one after another.

        Args:
            func: the coroutine function.
            args: its arguments, as are ``kwargs``.
            kwargs: see ``args``.
        """
        self._background.append(partial(func, *args, **kwargs))
        return func

    def stream(self, func: StreamFunction | None = None, raise_on_disconnect: bool = False) -> Callable[..., Any]:
        """Send what an asynchronous generator yields: a decorator, with or without arguments.

        Args:
            func: a function without parameters that yields text or bytes.
            raise_on_disconnect: whether to raise :exc:`ClientDisconnect` at its ``yield`` when the client has gone.
                Otherwise it is closed.

        Raises:
            TypeError: it is no asynchronous generator function.
        """
        if func is None:
            return partial(self.stream, raise_on_disconnect=raise_on_disconnect)
        if not isasyncgenfunction(func):
            raise TypeError(f"{getattr(func, '__name__', func)!r} must be an asynchronous generator: async def, yield")
        self._stream = func
        self._raise_on_disconnect = raise_on_disconnect
        return func

    def event_stream(self, func: StreamFunction | None = None, **options: Any) -> Callable[..., Any]:
        """Send server-sent events: as :meth:`stream`, with the header fields for them. See :class:`server_event`."""
        self.headers.setdefault("cache-control", "no-cache")
        self.headers["content-type"] = "text/event-stream"
        return self.stream(func, **options)

    def start_over(self) -> None:
        """Drop the content, whichever form it has, so that an error can be answered; the header stays."""
        self.content = self.status_code = self.attachment = self._file = self._stream = None
        self._background.clear()
        self.headers.pop("content-length", None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and then run what is to be run in the background."""
        status = 200 if self.status_code is None else int(self.status_code)
        if self._file is not None:
            await self._send_file(self._file, status, scope, send)
        elif self._stream is not None:
            await self._send_stream(self._stream, status, scope, receive, send)
        else:
            body = self._encoded()
            await self._start(status, None if self.chunked else len(body), send)
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        for background in self._background:
            await background()

    def _encoded(self) -> bytes:
        if isinstance(self.content, str):
            return self.content.encode()
        if self.content is None or isinstance(self.content, bytes | bytearray | memoryview):
            return bytes(self.content or b"")
        raise TypeError(f"the content of a response must be str or bytes, not {type(self.content).__name__}")

    async def _start(self, status: int, length: int | None, send: Send) -> None:
        # "A server MUST NOT send a Content-Length header field in any response with a status code of 1xx or 204"
        # (RFC 9110, section 8.6); that of a 304 would be the length of the body that it does not have.
        if status >= 200 and status not in (204, 304):
            self.headers.setdefault("content-type", "text/plain")
            if length is not None:
                self.headers.setdefault("content-length", str(length))
        if self.attachment is not None:
            self.headers.setdefault("content-disposition", _disposition(self.attachment))
        await send({"type": "http.response.start", "status": status, "headers": self.headers.raw})

    async def _send_file(self, path: Path, status: int, scope: Scope, send: Send) -> None:
        try:
            file = path.open("rb")
        except OSError as error:
            raise RuntimeError(f"File at path {path} does not exist or cannot be read: {error}") from error
        with file:
            self.headers.setdefault("content-type", mimetypes.guess_type(path.name)[0] or "application/octet-stream")
            left = os.fstat(file.fileno()).st_size
            await self._start(status, left, send)
            if scope["method"] == "HEAD":
                left = 0
            while left and (block := file.read(min(_BLOCK, left))):
                left -= len(block)
                await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _send_stream(
        self, function: StreamFunction, status: int, scope: Scope, receive: Receive, send: Send
    ) -> None:
        await self._start(status, None, send)
        if scope["method"] != "HEAD":
            source = cast(AsyncGenerator[str | bytes, None], function())
            try:
                async for chunk in source:
                    if await _was_sent(chunk, scope, receive, send):
                        continue
                    if self._raise_on_disconnect:
                        try:
                            await source.athrow(ClientDisconnect())
                        except (StopAsyncIteration, ClientDisconnect):
                            pass
                    return
            finally:
                await source.aclose()
        await send({"type": "http.response.body", "body": b""})


async def _was_sent(chunk: str | bytes, scope: Scope, receive: Receive, send: Send) -> bool:
    """Send a part of the body; return False if the client has gone."""
    # Servers of ASGI 2.4 raise an OSError. Of older ones, some drop what is sent to nobody without a word.
    if not _raises_on_disconnect(scope) and _has_disconnected(receive):
        return False
    body = chunk.encode() if isinstance(chunk, str) else bytes(chunk)
    # Neither the generator nor the server need have waited for anything.
    await pause()
    try:
        await send({"type": "http.response.body", "body": body, "more_body": True})
    except OSError:
        return False
    return True


def _raises_on_disconnect(scope: Scope) -> bool:
    version: str = scope.get("asgi", {}).get("spec_version", "2.0")
    return tuple(int(part) for part in version.split(".")) >= (2, 4)


def _disposition(name: str) -> str:
    """Return a Content-Disposition with a file name (RFC 6266, and appendix D for names that are not ASCII)."""
    if name.isascii() and name.isprintable():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'attachment; filename="{escaped}"'
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


class server_event(str):  # noqa: N801 - a function as far as its users are concerned, with Bocadillo's name
    r"""The text of one server-sent event, to be yielded to :meth:`Response.event_stream`.

    ``server_event("joined", json={"user": "Ann"})`` is ``'event: joined\ndata: {"user": "Ann"}\n\n'``.

    Args:
        name: the type of the event; ``message`` for browsers if None.
        data: its text, or a sequence of lines.
        json: a value that is sent as JSON instead.
        id: what a browser that reconnects says it has got last.

    Raises:
        ValueError: ``name`` or ``id`` has a line break, and so would become something else.
    """

    def __new__(
        cls,
        name: str | None = None,
        *,
        data: str | Sequence[str] | None = None,
        json: Any = None,
        id: int | str | None = None,  # noqa: A002 - Bocadillo's name
    ) -> server_event:
        """Make the text."""
        lines = []
        for field, value in (("id", id), ("event", name)):
            if value is not None:
                if len(str(value).splitlines()) > 1:
                    raise ValueError(f"the {field} of a server-sent event must be one line, not {value!r}")
                lines.append(f"{field}: {value}")
        if json is not None:
            data = _dumps(json)
        parts = [data] if isinstance(data, str) else data or ()
        lines += [f"data: {line}" for part in parts for line in part.splitlines() or [""]]
        return super().__new__(cls, "\n".join(lines) + "\n\n")


_dumps = json.dumps
