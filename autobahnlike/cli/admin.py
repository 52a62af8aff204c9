"""``--admin ADDRESS``: ``/health`` and ``/metrics``, at an address of their own, beside the application.

They are there before the application has started and until it has stopped, so that both can be seen. With
``--workers`` each worker has a port of its own: a scrape is to be of one process, always of the same. The sockets are
the parent's. A worker that replaces another one takes its place: the old one stops listening there when the new one is
ready, and not before; until then the new one does not listen.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from autobahnlike.asgi.address import TcpAddress, UnixAddress, parse_address, url_of
from autobahnlike.asgi.failure import CannotListen
from autobahnlike.asgi.listening import listening
from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.runner import ApplicationServer
from autobahnlike.exception import InvalidArgument
from autobahnlike.monitoring import Monitor

if TYPE_CHECKING:
    from autobahnlike.asgi.run_twisted import Places, Startable

__all__ = ("AdminServer", "add_arguments", "admin_sockets", "print_places")

_LAST_PORT = 65535

# Whoever asks here has a question that fits on a line, and is near.
_OPTIONS = ServerOptions(
    lifespan="off",
    max_head_size=16384,
    max_body_size=1024,
    write_timeout=10.0,
    shutdown_timeout=1.0,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--admin``."""
    parser.add_argument(
        "--admin",
        metavar="ADDRESS",
        help="serve /health and /metrics at this address: a port, host:port, [IPv6]:port or unix:PATH; with --workers"
        " it is that of the first, and the others have the ports behind it",
    )


def _addresses(text: str, count: int) -> list[str]:
    """Return the addresses of so many processes."""
    try:
        address = parse_address(text)
    except InvalidArgument as error:
        raise CannotListen(f"--admin: cannot listen on {text}: {error}", asked_wrongly=True) from None
    if count == 1:
        return [text]
    if isinstance(address, UnixAddress):
        return [f"{text}.{number}" for number in range(count)]
    assert isinstance(address, TcpAddress)
    if not address.port:
        return [text] * count
    if address.port + count - 1 > _LAST_PORT:
        raise CannotListen(
            f"--admin: {count} workers need as many ports, and behind {address.port} there are not so many", True
        )
    place = text.removesuffix(str(address.port))
    return [f"{place}{address.port + number}" for number in range(count)]


@contextmanager
def admin_sockets(address: str | None, count: int = 1) -> Iterator[list[list[socket.socket]]]:
    """Open the sockets for ``/health`` and ``/metrics``, and in the end close them.

    Args:
        address: where the first process has them; None for nowhere.
        count: how many processes there are.

    Yields:
        Those of each process; nothing if they are wanted nowhere.

    Raises:
        CannotListen: the address is none, or cannot be listened on.
    """
    with ExitStack() as stack:
        places = [] if address is None else _addresses(address, count)
        yield [stack.enter_context(listening([place])) for place in places]


def print_places(places: Sequence[Sequence[socket.socket]], *, of_workers: bool) -> None:
    """Print where ``/health`` and ``/metrics`` are, for people and for programmes that wait for it.

    Args:
        places: the sockets of each process.
        of_workers: whether there are workers, which are numbered.
    """
    for number, sockets in enumerate(places, 1):
        urls = " and ".join(url_of(sock, "http") for sock in sockets)
        print(f"Health and metrics on {urls}" + (f" (worker {number})" if of_workers else ""), flush=True)


class AdminServer:
    """A server of an application, with ``/health`` and ``/metrics`` beside it. See ``autobahnlike.asgi.runner.Server``.

    Args:
        server: the server of the application.
        sockets: where ``/health`` and ``/metrics`` are; they stay the caller's.
        is_successor: whether another process listens there until this one is ready.
    """

    def __init__(
        self, server: ApplicationServer, sockets: Sequence[socket.socket], *, is_successor: bool = False
    ) -> None:
        self._server = server
        self._sockets = sockets
        self._is_successor = is_successor
        self._leave: Callable[[], object] = lambda: None

    @property
    def scheme(self) -> str:
        """The scheme of its URLs."""
        return self._server.scheme

    def leave(self) -> None:
        """Listen no more, as another process does now. May be called on any thread."""
        self._leave()

    def _monitor(self, serving: object) -> Monitor:
        monitor = Monitor(serving)
        try:
            monitor.watch(self._server.loaded)
        except TypeError:
            # One of another framework: there is nothing to be known about it but what its server knows.
            pass
        return monitor

    def on_asyncio(self, sockets: Sequence[socket.socket]) -> AbstractAsyncContextManager[object]:
        """See ``Server``."""
        from autobahnlike.cli.admin_asyncio import OnAsyncio

        serving = self._server.on_asyncio(sockets)
        monitor = self._monitor(serving)
        both = OnAsyncio(serving, monitor.app, self._sockets, _OPTIONS, is_late=self._is_successor)
        self._leave = both.leave
        return both

    def on_twisted(self, reactor: Any, places: Places) -> Startable:
        """See ``Server``."""
        from autobahnlike.cli.admin_twisted import OnTwisted

        serving: Any = self._server.on_twisted(reactor, places)
        monitor = self._monitor(serving.service)
        both = OnTwisted(reactor, serving, monitor.app, self._sockets, _OPTIONS, is_late=self._is_successor)
        self._leave = both.leave
        return both
