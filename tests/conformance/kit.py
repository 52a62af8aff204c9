"""What scenarios are written against: the same on each loop."""

from __future__ import annotations

import abc
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from types import ModuleType
from typing import Any, TypeVar

from tests.conformance.peers import Listener, RawPeer
from tests.hostile.peers import accept_key
from tests.wire.helpers import KEY

T = TypeVar("T")

PATIENCE = 10.0


class Journal:
    """What one side's hooks were told, in order."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._waiters: list[tuple[str, int, Any]] = []
        self.events: list[tuple[Any, ...]] = []

    def note(self, name: str, *what: Any) -> None:
        """Write an event down."""
        self.events.append((name, *what))
        for waiter in list(self._waiters):
            awaited, missing, future = waiter
            if awaited == name:
                self._waiters.remove(waiter)
                if missing > 1:
                    self._waiters.append((awaited, missing - 1, future))
                else:
                    self._kit.fire(future, None)

    @property
    def names(self) -> list[str]:
        """The names of the events."""
        return [event[0] for event in self.events]

    def all(self, name: str) -> list[tuple[Any, ...]]:
        """What came with each event of this name."""
        return [event[1:] for event in self.events if event[0] == name]

    async def wait(self, name: str, count: int = 1) -> tuple[Any, ...]:
        """Wait for so many events of this name; returns what came with the last of them."""
        missing = count - len(self.all(name))
        if missing > 0:
            future = self._kit.future()
            self._waiters.append((name, missing, future))
            await self._kit.within(future, f"{name} number {count}, not only {self.events}")
        return self.all(name)[count - 1]


class Recording:
    """Hooks that note what they are told. Mixed with the protocol class of a loop and a role."""

    journal: Journal

    def note(self, name: str, *what: Any) -> None:
        self.journal.note(name, *what)

    def onConnecting(self, transport_details: Any) -> Any:
        self.note("connecting", transport_details)

    def onConnect(self, request_or_response: Any) -> Any:
        self.note("connect", request_or_response)

    def onOpen(self) -> Any:
        self.note("open")

    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        self.note("message", payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> Any:
        self.note("close", wasClean, code, reason)


class Kit(abc.ABC):
    """A loop, and what belongs to one scenario on it.

    Attributes:
        name: the name of the loop.
        websocket: the module of the package for this loop.
        server, client: the journals of the two sides.
        Server, Client: protocol classes that keep them; Any, because what they derive from depends on the loop.
        errors: what was logged as an error, as (text, exception); a scenario that expects some takes them out.
    """

    name: str
    websocket: ModuleType

    def __init__(self) -> None:
        self.server = Journal(self)
        self.client = Journal(self)
        module = self.websocket
        self.Server: Any = type(
            "Server", (Recording, module.WebSocketServerProtocol), {"journal": self.server, "kit": self}
        )
        self.Client: Any = type(
            "Client", (Recording, module.WebSocketClientProtocol), {"journal": self.client, "kit": self}
        )
        self.errors: list[tuple[str, BaseException | None]] = []
        self.factories: list[Any] = []
        self.raw_peers: list[RawPeer] = []

    def log(self, text: str, error: BaseException | None) -> None:
        """Note what was logged as a warning or an error."""
        self.errors.append((text, error))

    def take_errors(self) -> list[tuple[str, BaseException | None]]:
        """Return what was logged so far; the scenario has expected it."""
        taken, self.errors = self.errors, []
        return taken

    # -- Futures and time

    @abc.abstractmethod
    def future(self) -> Any:
        """Return a new Deferred or Future."""

    @abc.abstractmethod
    def fire(self, future: Any, value: object) -> None:
        """Give it its result."""

    @abc.abstractmethod
    def fail(self, future: Any, error: BaseException) -> None:
        """Give it an exception."""

    @abc.abstractmethod
    def start(self, coroutine: Coroutine[Any, Any, T]) -> Any:
        """Run a coroutine beside this one; returns a Deferred or Task."""

    @abc.abstractmethod
    def sleep(self, seconds: float) -> Any:
        """Return a Deferred or coroutine that is done after some time."""

    @abc.abstractmethod
    async def within(self, awaitable: Awaitable[T], what: str, seconds: float = PATIENCE) -> T:
        """Wait for something; an AssertionError says what did not come in time."""

    @abc.abstractmethod
    def now(self) -> float:
        """The time of the loop, in seconds."""

    @abc.abstractmethod
    def styles(self) -> dict[str, Callable[[Callable[..., Coroutine[Any, Any, Any]]], Callable[..., Any]]]:
        """The ways in which a hook may take its time: functions that make one out of an ``async def``."""

    async def turns(self, count: int = 5) -> None:
        """Let the loop turn a few times, for what is due already but must not happen."""
        for _ in range(count):
            await self.sleep(0)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds that nobody tells."""
        deadline = self.now() + PATIENCE
        while not condition():
            assert self.now() < deadline, f"in vain: {what}"
            await self.sleep(0.005)

    # -- Connections

    def server_factory(self, server: Any = None, *args: Any, **options: Any) -> Any:
        """Make a factory of servers; options are those of ``setProtocolOptions``."""
        factory = self.websocket.WebSocketServerFactory(*args)
        factory.protocol = server or self.Server
        factory.setProtocolOptions(**options)
        self.factories.append(factory)
        return factory

    def client_factory(self, client: Any = None, url: str = "ws://localhost/", **options: Any) -> Any:
        """Make a factory of clients; options are those of ``setProtocolOptions``."""
        factory = self.websocket.WebSocketClientFactory(url)
        factory.protocol = client or self.Client
        factory.setProtocolOptions(**options)
        self.factories.append(factory)
        return factory

    @abc.abstractmethod
    async def listen(
        self, factory: Any, *, host: str = "127.0.0.1", unix: str | None = None, tls: Any = None
    ) -> Listener:
        """Listen the way the loop itself does, on any port."""

    @abc.abstractmethod
    async def connect(self, factory: Any, where: Listener, *, tls: Any = None) -> Any:
        """Connect the way the loop itself does; returns the protocol, whose opening handshake has begun."""

    @abc.abstractmethod
    async def listen_ws(self, factory: Any, tls: Any = None, **arguments: Any) -> Listener:
        """``listenWS``."""

    @abc.abstractmethod
    async def connect_ws(self, factory: Any, tls: Any = None) -> str | None:
        """``connectWS``; returns why there is no connection, or None once it is open."""

    @abc.abstractmethod
    async def listen_raw(self) -> tuple[Listener, Callable[[], Awaitable[RawPeer]]]:
        """Listen without a WebSocket; returns also how to wait for the next connection."""

    @abc.abstractmethod
    async def open_raw(self, where: Listener, *, tls: Any = None) -> RawPeer:
        """Connect without a WebSocket."""

    @abc.abstractmethod
    def server_tls(self, certificate: Any) -> Any:
        """The TLS settings of a server that has a certificate of ``trustme``."""

    @abc.abstractmethod
    def client_tls(self, authority: Any, host: str) -> Any:
        """The TLS settings of a client that trusts an authority of ``trustme`` and expects a host."""

    async def serve(self, server: Any = None, **options: Any) -> Listener:
        """Listen with a protocol class."""
        return await self.listen(self.server_factory(server, **options))

    async def open_peer(self, where: Listener, *more: bytes, headers: str = "", wait: bool = True) -> RawPeer:
        """Open a WebSocket to our server by hand.

        Args:
            where: our server.
            more: bytes to send in the same segment as the handshake.
            headers: header lines to add, each ended by CR LF.
            wait: whether to wait for the response.
        """
        peer = await self.open_raw(where)
        peer.send(request(headers=headers), *more)
        if wait:
            head = await peer.read_head()
            assert head.startswith("HTTP/1.1 101 "), head
        return peer

    async def accept_client(
        self, client: Any = None, *more: bytes, headers: str = "", url: str = "ws://localhost/", **options: Any
    ) -> tuple[Any, RawPeer]:
        """Connect our client to a server that is a raw peer, which accepts.

        Returns:
            The client's protocol and the peer.
        """
        where, accepted = await self.listen_raw()
        protocol = await self.connect(self.client_factory(client, url, **options), where)
        peer = await accepted()
        peer.request = await peer.read_head()
        peer.send(response(peer.request, headers), *more)
        return protocol, peer

    async def pair(self, server: Any = None, client: Any = None, **options: Any) -> Any:
        """Connect our client to our server, both with these options; returns the client's protocol, open."""
        where = await self.serve(server, **options)
        protocol = await self.connect(self.client_factory(client, **options), where)
        await self.within(protocol.is_open, "the connection is open")
        return protocol

    @abc.abstractmethod
    async def clean_up(self) -> None:
        """End what the scenario has left open, and check that nothing else is left."""


class LogCapture(logging.Handler):
    """Hands what is logged as a warning or worse to the kit."""

    def __init__(self, kit: Kit) -> None:
        super().__init__(logging.WARNING)
        self._kit = kit

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._kit.log(record.getMessage(), error)


def request(target: str = "/", headers: str = "", key: str = KEY) -> bytes:
    """A client's opening handshake."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    ).encode()


def response(head: str, headers: str = "") -> bytes:
    """A server's answer to the opening handshake ``head``."""
    found = re.search(r"(?i)^sec-websocket-key: *(\S+)", head, re.MULTILINE)
    assert found, head
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(found[1])}\r\n{headers}\r\n"
    ).encode()
