"""Tests of ASGI applications: a client in memory, and a live server in a process of its own."""

from __future__ import annotations

import multiprocessing
import sys
import traceback
import warnings
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from starlette.types import ASGIApp

    from autobahnlike.testing.client import TestClient

__all__ = ("LiveServer", "ServerURL", "create_client")


def create_client(app: ASGIApp, **kwargs: Any) -> TestClient:
    """Return a client that asks an application in memory.

    It is httpx's client with ``websocket_connect``. As a context manager it has the application start and shut down.

    Args:
        app: the application.
        kwargs: arguments of Starlette's ``TestClient``: ``base_url``, ``raise_server_exceptions``, ``headers``, ...

    Raises:
        ImportError: httpx is not installed.
    """
    from autobahnlike.testing.client import TestClient

    return TestClient(app, **kwargs)


class ServerURL(str):
    """The URL of a server; called with a path, that of something on it."""

    __slots__ = ()

    def __call__(self, path: str = "") -> str:
        """Return the URL of a path."""
        return self + path


class LiveServer:
    """A server in a process of its own, for tests with real clients: a context manager.

    The process is forked, so the application may be any object. Where that is not possible, as on Windows, it has to be
    given as ``"module:attribute"``, which the new process imports.

    Args:
        app: an ASGI application, or ``"module:attribute"``.
        loop: ``"asyncio"``, ``"uvloop"``, ``"twisted"`` or ``"twisted-asyncio"``.
        ready_timeout: how many seconds it may take to start.
        stop_timeout: how many seconds it may take to stop.
        host: the address to listen on.
        port: the port; one that is free if 0.
        options: those of :func:`autobahnlike.asgi.run` and :class:`autobahnlike.asgi.ServerOptions`.
    """

    def __init__(
        self,
        app: ASGIApp | str,
        *,
        loop: str = "asyncio",
        ready_timeout: float = 5,
        stop_timeout: float = 5,
        host: str = "127.0.0.1",
        port: int = 0,
        **options: Any,
    ) -> None:
        self.app = app
        self.ready_timeout = ready_timeout
        self.stop_timeout = stop_timeout
        if "options" not in options:
            # What goes on at the end is not waited for longer than the whole may take.
            options.setdefault("shutdown_timeout", stop_timeout / 2)
        self._options = {"host": host, "port": port, "loop": loop, **options}
        self._process: BaseProcess | None = None
        self._url: str | None = None

    @property
    def url(self) -> ServerURL:
        """The URL, ``http://127.0.0.1:43210``; ``server.url("/path")`` is that of a path.

        Raises:
            RuntimeError: the server is not running.
        """
        if self._url is None:
            raise RuntimeError("the live server has a URL while it runs: within `with LiveServer(app) as server:`")
        return ServerURL(self._url)

    @property
    def ws_url(self) -> ServerURL:
        """The same for WebSockets, ``ws://127.0.0.1:43210``."""
        return ServerURL("ws" + self.url.removeprefix("http"))

    def __enter__(self) -> Self:
        """Start the server and wait until clients can connect.

        Raises:
            TimeoutError: it takes too long.
            RuntimeError: it does not start; the text says why. Or it would have to be forked, which is not possible.
        """
        can_fork = "fork" in multiprocessing.get_all_start_methods()
        if not can_fork and not isinstance(self.app, str):
            raise RuntimeError(
                'processes cannot be forked here: give the application as LiveServer("module:attribute")'
            )
        context: Any = multiprocessing.get_context("fork" if can_fork else "spawn")
        ours, theirs = context.Pipe(duplex=False)
        self._process = process = context.Process(target=_serve, args=(self.app, self._options, theirs), daemon=True)
        with warnings.catch_warnings():
            # Forking a process with threads can block the new one, if a thread held a lock. Those of a test runner, or
            # of the test client, hold none that the server needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        theirs.close()
        try:
            with ours:
                self._url = self._wait(ours)
        except BaseException:
            self._stop()
            raise
        return self

    def _wait(self, ready: Connection) -> str:
        if not ready.poll(self.ready_timeout):
            raise TimeoutError(f"Live server not ready after {self.ready_timeout} seconds")
        try:
            url, error = ready.recv()
        except EOFError:
            raise RuntimeError("the live server has ended before it was ready") from None
        if error is not None:
            raise RuntimeError(f"the live server does not start:\n{error}")
        return str(url).rstrip("/")

    def __exit__(self, *exc_info: object) -> None:
        """Stop the server.

        Raises:
            TimeoutError: it takes too long; it is killed then.
        """
        self._url = None
        if self._stop():
            raise TimeoutError(f"Live server still running after {self.stop_timeout} seconds.")

    def _stop(self) -> bool:
        """Stop the process; return whether it had to be killed."""
        assert self._process is not None
        process, self._process = self._process, None
        process.terminate()
        process.join(self.stop_timeout)
        is_late = process.is_alive()
        if is_late:
            process.kill()
            process.join()
        process.close()
        return is_late


def _serve(app: ASGIApp | str, options: dict[str, Any], ready: Connection) -> None:
    """Run the server in the new process, and tell the URL, or what is wrong."""
    from autobahnlike.app.application import serve

    # A reactor that was forked shares what it waits with, like an epoll object, with that of the other process.
    sys.modules.pop("twisted.internet.reactor", None)
    vars(sys.modules.get("twisted.internet", sys)).pop("reactor", None)

    def on_ready(urls: list[str]) -> None:
        ready.send((urls[0], None))
        ready.close()

    try:
        serve(app, on_ready=on_ready, announce=False, **options)
    except BaseException:
        if ready.closed:
            raise
        ready.send((None, traceback.format_exc()))
