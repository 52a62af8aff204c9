"""The client of the checks: real WebSockets and real HTTP, blocking, to be used in a thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

__all__ = ("CHECKS", "Check", "Peer", "Talk", "check")

PATIENCE = 10.0


class Talk:
    """One WebSocket connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.subprotocol = connection.subprotocol
        self.headers = connection.response.headers if connection.response else {}

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, *messages: str | bytes) -> None:
        for message in messages:
            self._connection.send(message)

    def send_json(self, *values: Any) -> None:
        self.send(*map(json.dumps, values))

    def receive(self) -> str | bytes:
        return self._connection.recv(PATIENCE)

    def receive_json(self) -> Any:
        message = self.receive()
        assert isinstance(message, str), "JSON is sent as text"
        return json.loads(message)

    def ask(self, message: str | bytes) -> str | bytes:
        self.send(message)
        return self.receive()

    def ask_json(self, value: Any) -> Any:
        self.send_json(value)
        return self.receive_json()

    def closed(self) -> int:
        """Wait for the close frame of the server, without any message before it, and return its code."""
        with pytest.raises(ConnectionClosed) as closed:
            self.receive()
        received = closed.value.rcvd
        assert received is not None, "the connection was lost without a close frame"
        self.reason = received.reason
        return received.code

    def drop(self) -> None:
        """Be gone without a word."""
        self._connection.close_socket()

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._connection.close(code, reason)


class Peer:
    """A client of one server.

    Args:
        url: where it listens, without a path.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.host = self.url.partition("://")[2]

    def connect(self, path: str, subprotocols: Sequence[str] = (), **headers: str) -> Talk:
        """Connect. Keyword arguments are header fields, with an underscore for each hyphen."""
        return Talk(
            connect(
                f"ws://{self.host}{path}",
                subprotocols=list(subprotocols) or None,  # type: ignore[arg-type]
                additional_headers=_fields(headers),
                open_timeout=PATIENCE,
                close_timeout=PATIENCE,
                proxy=None,
            )
        )

    def refused(self, path: str, **headers: str) -> int:
        """Try to connect, and return the HTTP status with which that was refused."""
        with pytest.raises(InvalidStatus) as refused:
            self.connect(path, **headers)
        return refused.value.response.status_code

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.request("GET", path, headers=_fields(headers))

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=PATIENCE, trust_env=False, **options)


def _fields(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class Check:
    """What a view has to do.

    Attributes:
        function: drives it.
        logs: what has to stand in the log of errors; None if nothing may.
    """

    def __init__(self, function: Callable[[Peer], None], logs: str | None) -> None:
        self.function = function
        self.logs = logs


CHECKS: dict[tuple[str, str], Check] = {}

_Driver: TypeAlias = Callable[[Peer], None]


def check(page: str, *views: str, logs: str | None = None) -> Callable[[_Driver], _Driver]:
    """Return a decorator for what views of a page have to do.

    Args:
        page: the name of the page's file, without its suffix.
        views: the names of views; ``name#2`` is the second on the page with that name.
        logs: what has to stand in the log of errors.
    """

    def register(function: _Driver) -> _Driver:
        for view in views:
            assert (page, view) not in CHECKS, f"two checks for {view} of {page}"
            CHECKS[page, view] = Check(function, logs)
        return function

    return register
