"""Serving until the process is told to stop, on any of the four loops."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from autobahnlike.asgi.failure import CannotServe
from autobahnlike.asgi.listening import listening
from autobahnlike.asgi.loading import load
from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.tls import Certificate

if TYPE_CHECKING:
    from autobahnlike.asgi.run_twisted import Places, Startable

__all__ = ("LOOPS", "ApplicationServer", "Server", "is_installed", "print_urls", "run", "run_server")

LOOPS = {"asyncio": None, "uvloop": "uvloop", "twisted": "twisted", "twisted-asyncio": "twisted"}
"""The loops, and what each needs beside a plain install, which is also the name of the extra that brings it."""


class Server(Protocol):
    """What can be served on every loop."""

    @property
    def scheme(self) -> str:
        """The scheme of its URLs."""

    def on_asyncio(self, sockets: Sequence[socket.socket]) -> AbstractAsyncContextManager[object]:
        """Return what listens while it is entered. Called before the loop runs."""

    def on_twisted(self, reactor: Any, places: Places) -> Startable:
        """Return what listens from its start to its stop. Called before the reactor runs."""


class ApplicationServer:
    """A server of an application.

    Args:
        app: an application of ASGI 3, or "module:attribute".
        factory: whether it has to be called to get the application.
        certificate: for https and wss, or None.
        options: what else can be set.
        on_loaded: called with the application before it is served.

    Attributes:
        loaded: the application; None before it is served.
    """

    def __init__(
        self,
        app: object,
        *,
        factory: bool = False,
        certificate: Certificate | None = None,
        options: ServerOptions,
        on_loaded: Callable[[Any], object] = lambda app: None,
    ) -> None:
        self.loaded: Any = None
        self._app = app
        self._on_loaded = on_loaded
        self._factory = factory
        self._certificate = certificate
        self._options = options

    @property
    def scheme(self) -> str:
        """The scheme of its URLs."""
        return "http" if self._certificate is None else "https"

    def on_asyncio(self, sockets: Sequence[socket.socket]) -> AbstractAsyncContextManager[object]:
        """See ``Server``."""
        from autobahnlike.asgi.asyncio import serve

        context = None if self._certificate is None else self._certificate.for_asyncio()
        return serve(self._load(), sockets=sockets, ssl=context, options=self._options)

    def on_twisted(self, reactor: Any, places: Places) -> Startable:
        """See ``Server``."""
        from autobahnlike.asgi.run_twisted import StartableService
        from autobahnlike.asgi.twisted import ASGIService

        if self._certificate is not None:
            places.tls = self._certificate.for_twisted()
        # The reactor is installed by now: an application may import it.
        app = self._load()
        return StartableService(ASGIService(app, places, reactor=reactor, options=self._options))

    def _load(self) -> Any:
        app = self.loaded = load(self._app, self._factory)
        self._on_loaded(app)
        return app


def run(
    app: object,
    *,
    listen: str | Iterable[str] = "127.0.0.1:8000",
    loop: str = "asyncio",
    tls_cert: str | None = None,
    tls_key: str | None = None,
    options: ServerOptions | None = None,
    on_ready: Callable[[list[str]], object] | None = None,
    announce: bool = True,
) -> None:
    """Serve an application until SIGINT or SIGTERM.

    The first of these signals ends the server gracefully: WebSockets are closed, at once or as ``drain_timeout`` says,
    requests are finished, the application is told to shut down. A second one ends the process at once. To be called in
    the main thread.

    Args:
        app: an application of ASGI 3, or "module:attribute".
        listen: a port, ``host:port``, ``[IPv6]:port``, ``unix:PATH``, or with Twisted an endpoint string; or several of
            these. Port 0 is one that is free.
        loop: "asyncio", "uvloop", "twisted" (the default reactor of the platform) or "twisted-asyncio" (Twisted on a
            loop of asyncio, which is uvloop's if that is installed).
        tls_cert: the file with the certificate, and the chain up to the authority, as PEM; then https and wss are
            served.
        tls_key: the file with its private key, as PEM; None if the certificate's file has it too.
        options: what else can be set.
        on_ready: called with the URLs as soon as clients can connect.
        announce: whether to print the URLs then.

    Raises:
        CannotServe: an address cannot be listened on, a certificate not used, the application not loaded, or there is
            no such loop here.
        LifespanFailed: the application did not start.
    """
    server = ApplicationServer(app, certificate=Certificate.of(tls_cert, tls_key), options=options or ServerOptions())

    def ready(urls: list[str]) -> None:
        if announce:
            print_urls(urls, loop)
        if on_ready is not None:
            on_ready(urls)

    run_server(server, [listen] if isinstance(listen, str) else list(listen), loop, ready)


def run_server(
    server: Server,
    listen: Sequence[str | socket.socket],
    loop: str,
    on_ready: Callable[[list[str]], object],
    supervised: bool = False,
) -> None:
    """Run a server until SIGINT or SIGTERM.

    Args:
        server: what to run.
        listen: where, see ``run``; or sockets that listen already, which stay the caller's.
        loop: on what; see ``LOOPS``.
        on_ready: called with the URLs as soon as clients can connect.
        supervised: whether it is a parent that ends the process; see ``on_first_signal``.

    Raises:
        CannotServe: see ``run``.
        Exception: whatever the server raises when it starts.
    """
    if loop not in LOOPS:
        raise CannotServe(f"there is no loop {loop!r}, but {', '.join(LOOPS)}", asked_wrongly=True)
    needed = LOOPS[loop]
    if needed is not None and not is_installed(needed):
        raise CannotServe(f"the loop {loop} needs {needed}: pip install 'autobahnlike[{needed}]'", asked_wrongly=True)
    # Here and not above: a plain install has neither Twisted nor uvloop.
    if needed == "twisted":
        from autobahnlike.asgi.run_twisted import run_twisted

        run_twisted(server, listen, loop, on_ready, supervised)
        return
    from autobahnlike.asgi.run_asyncio import run_asyncio

    sockets = [place for place in listen if isinstance(place, socket.socket)]
    with listening(place for place in listen if isinstance(place, str)) as opened:
        run_asyncio(server, sockets + opened, loop, on_ready, supervised)


def is_installed(package: str) -> bool:
    """Whether a package can be imported. A folder without code of its own, as plug-ins leave behind, is none."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def print_urls(urls: Iterable[str], loop: str) -> None:
    """Print where a server listens, for people and for programmes that wait for it.

    Args:
        urls: where.
        loop: what it runs on.
    """
    print(f"Listening on {' and '.join(urls)} ({loop})", flush=True)
