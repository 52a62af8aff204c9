"""Static files: a directory as an ASGI application, to be mounted.

WhiteNoise finds the files, when the application is made, and knows their types, compressed variants and headers. Only
what was found then is ever served, so no path can lead elsewhere. What it leaves to WSGI is done here: conditional
requests, ranges, and sending.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import IO, Any

__all__ = ("StaticFiles", "static")

Headers = list[tuple[str, str]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_BLOCK = 64 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def static(root: str | os.PathLike[str], **kwargs: Any) -> StaticFiles:
    """Return an ASGI application that serves the files below a directory; mount it with ``app.mount("static", ...)``.

    Files that are changed are noticed, new ones with ``autorefresh=True`` only, which is for development.

    Args:
        root: the directory; if it does not exist, every request is answered with 404.
        kwargs: WhiteNoise's options, among them ``max_age`` (how many seconds browsers may keep a file; default 60),
            ``index_file`` (``True`` serves ``index.html`` for its directory), ``add_headers_function`` and
            ``autorefresh``.

    Raises:
        ImportError: WhiteNoise is not installed.
    """
    return StaticFiles(root, **kwargs)


class StaticFiles:
    """An ASGI application that serves files; made by :func:`static`."""

    def __init__(self, root: str | os.PathLike[str], **kwargs: Any) -> None:
        try:
            from whitenoise.base import WhiteNoise  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError("static files need WhiteNoise: pip install 'autobahnlike[app]'") from error
        self._files = WhiteNoise(None, root=str(root) if os.path.isdir(root) else None, **kwargs)

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 403})
            return
        if scope["type"] != "http":
            raise ValueError(f"static files are served to http scopes only, not to {scope['type']}")
        status, headers, file, count = self._respond(scope)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            }
        )
        if file is None:
            await send({"type": "http.response.body", "body": b""})
            return
        with file:
            await _send_file(file, count, send)

    def _respond(self, scope: Any) -> tuple[int, Headers, IO[bytes] | None, int]:
        """Return status, header, the file at its position or None, and how many bytes of it are to be sent."""
        if scope["method"] not in ("GET", "HEAD"):
            return 405, [("Allow", "GET, HEAD"), ("Content-Length", "0")], None, 0
        environ = _environ(scope["headers"])
        path: str = scope["path"]
        root_path: str = scope.get("root_path", "")
        found = self._find(path)
        if found is None and root_path and path.startswith(root_path):
            found = self._find(path[len(root_path) :])
        if found is None:
            return self._not_found(scope["method"])
        if not hasattr(found, "alternatives"):  # a redirect to or from an index file
            response = found.get_response(scope["method"], environ)
            return int(response.status), [*response.headers, ("Content-Length", "0")], None, 0
        if _matches(environ.get("HTTP_IF_NONE_MATCH"), found.etag):
            environ["HTTP_IF_NONE_MATCH"] = found.etag
        if found.is_not_modified(environ):
            return 304, found.not_modified_response.headers, None, 0
        file_path, headers = found.get_path_and_headers(environ)
        try:
            return _select(open(file_path, "rb"), list(headers), environ, scope["method"])
        except OSError:  # removed between finding and opening it
            return self._not_found(scope["method"])

    def _not_found(self, method: str) -> tuple[int, Headers, IO[bytes] | None, int]:
        body = b"Not Found"
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        return 404, headers, None if method == "HEAD" else io.BytesIO(body), len(body)

    def _find(self, url: str) -> Any:
        """Return what WhiteNoise knows of a file, brought up to date, or None."""
        if self._files.autorefresh:
            return self._files.find_file(url)
        found = self._files.files.get(url)
        if found is None or not hasattr(found, "alternatives"):
            return found
        path, headers = found.get_path_and_headers({})
        try:
            now = os.stat(path)
        except OSError:
            return None
        if str(now.st_size) != _value(headers, "Content-Length") or formatdate(now.st_mtime, usegmt=True) != _value(
            headers, "Last-Modified"
        ):
            found = self._files.files[url] = self._files.get_static_file(path, url)
        return found


async def _send_file(file: IO[bytes], count: int, send: Send) -> None:
    while True:
        block = file.read(min(_BLOCK, count))
        count -= len(block)
        # A file that became shorter in the meantime ends early; the server then breaks the connection off, because
        # the length was announced.
        more = bool(count and block)
        await send({"type": "http.response.body", "body": block, "more_body": more})
        if not more:
            return


def _environ(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {
        "HTTP_" + name.decode("latin-1").upper().replace("-", "_"): value.decode("latin-1") for name, value in headers
    }


def _value(headers: Headers, wanted: str) -> str | None:
    return next((value for name, value in headers if name == wanted), None)


def _matches(condition: str | None, etag: str) -> bool:
    """Say whether If-None-Match names an entity tag, by weak comparison (RFC 9110, section 13.1.2)."""
    if condition is None:
        return False
    return condition.strip() == "*" or etag in [each.strip().removeprefix("W/") for each in condition.split(",")]


def _select(
    file: IO[bytes], headers: Headers, environ: dict[str, str], method: str
) -> tuple[int, Headers, IO[bytes] | None, int]:
    """Answer with the file, or the part of it that was asked for (RFC 9110, section 14.2)."""
    size = os.fstat(file.fileno()).st_size
    headers = [each for each in headers if each[0] != "Content-Length"]
    headers.append(("Accept-Ranges", "bytes"))
    wanted = _wanted_range(environ, headers, size) if method == "GET" else None
    if wanted is None:
        status, start, count = 200, 0, size
    else:
        status, start, count = 206, wanted.start, len(wanted)
        if not wanted:
            file.close()
            return 416, [("Content-Range", f"bytes */{size}"), ("Content-Length", "0")], None, 0
        headers.append(("Content-Range", f"bytes {wanted.start}-{wanted.stop - 1}/{size}"))
    headers.append(("Content-Length", str(count)))
    if method == "HEAD":
        file.close()
        return status, headers, None, 0
    file.seek(start)
    return status, headers, file, count


def _wanted_range(environ: dict[str, str], headers: Headers, size: int) -> range | None:
    """Return which bytes are asked for, an empty range if there are none of these, None if all are."""
    match = _RANGE.fullmatch(environ.get("HTTP_RANGE", "").strip())
    if match is None or not any(match.groups()):
        return None
    if environ.get("HTTP_IF_RANGE") not in (None, _value(headers, "ETag"), _value(headers, "Last-Modified")):
        return None
    first, last = match.groups()
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):  # not a valid range at all, hence ignored
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)
