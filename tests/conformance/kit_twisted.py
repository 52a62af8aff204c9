"""The kit for Twisted, on whichever reactor is installed."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

from twisted.internet import defer, ssl
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, DeferredQueue, ensureDeferred, inlineCallbacks, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.protocol import ClientFactory, Factory

from autobahnlike.twisted import websocket
from autobahnlike.twisted.util import sleep
from tests.conformance.kit import PATIENCE, Kit
from tests.conformance.peers import Listener, RawPeer, TwistedPeer

T = TypeVar("T")

reactor = cast(Any, installed_reactor)


class TwistedKit(Kit):
    """Scenarios run as a coroutine in a Deferred."""

    websocket = websocket

    def __init__(self) -> None:
        self._ports: list[Any] = []
        self.on_asyncio = "asyncio" in type(reactor).__module__
        super().__init__()

    def future(self) -> Deferred[Any]:
        return Deferred()

    def fire(self, future: Deferred[Any], value: object) -> None:
        future.callback(value)

    def fail(self, future: Deferred[Any], error: BaseException) -> None:
        future.errback(error)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
        return Deferred.fromCoroutine(coroutine)

    def sleep(self, seconds: float) -> Deferred[None]:
        return sleep(seconds, reactor)

    async def within(self, awaitable: Awaitable[T], what: str, seconds: float = PATIENCE) -> T:
        deferred = ensureDeferred(cast(Any, awaitable))
        deferred.addTimeout(seconds, reactor)
        try:
            return cast(T, await deferred)
        except defer.TimeoutError:
            raise AssertionError(f"in vain: {what}") from None

    def now(self) -> float:
        return float(reactor.seconds())

    def styles(self) -> dict[str, Callable[[Callable[..., Coroutine[Any, Any, Any]]], Callable[..., Any]]]:
        def returns_deferred(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
            def hook(*arguments: Any) -> Any:
                return self.start(method(*arguments))

            return hook

        def inline_callbacks(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
            @inlineCallbacks
            def hook(*arguments: Any) -> Any:
                result = yield self.start(method(*arguments))
                return result

            return hook

        def returns_future(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
            def hook(*arguments: Any) -> Any:
                return self.start(method(*arguments)).asFuture(asyncio.get_event_loop())

            return hook

        styles: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
            "async def": lambda method: method,
            "returns a Deferred": returns_deferred,
            "inlineCallbacks": inline_callbacks,
        }
        if self.on_asyncio:
            styles["returns an asyncio Future"] = returns_future
        return styles

    async def listen(
        self, factory: Any, *, host: str = "127.0.0.1", unix: str | None = None, tls: Any = None
    ) -> Listener:
        if unix is not None:
            return self._listener(reactor.listenUNIX(unix, factory), unix)
        if tls is not None:
            return self._listener(reactor.listenSSL(0, factory, tls, interface=host))
        return self._listener(reactor.listenTCP(0, factory, interface=host))

    def _listener(self, port: Any, unix: str | None = None) -> Listener:
        self._ports.append(port)

        async def stop() -> None:
            self._ports.remove(port)
            await maybeDeferred(port.stopListening)

        if unix is not None:
            return Listener("", 0, unix, stop)
        return Listener(port.getHost().host, port.getHost().port, None, stop)

    def _endpoint(self, where: Listener, tls: Any) -> Any:
        if where.unix is not None:
            return UNIXClientEndpoint(reactor, where.unix)
        kind = TCP6ClientEndpoint if ":" in where.host else TCP4ClientEndpoint
        endpoint = kind(reactor, where.host, where.port)
        return endpoint if tls is None else wrapClientTLS(tls, endpoint)

    async def connect(self, factory: Any, where: Listener, *, tls: Any = None) -> Any:
        return await self._endpoint(where, tls).connect(factory)

    async def listen_ws(self, factory: Any, tls: Any = None, **arguments: Any) -> Listener:
        port = websocket.listenWS(factory, tls, **arguments)
        return self._listener(port, str(factory.port) if factory.host == "unix" else None)

    async def connect_ws(self, factory: Any, tls: Any = None) -> str | None:
        outcome: Deferred[str | None] = Deferred()

        def build_and_watch(address: Any) -> Any:
            protocol = type(factory).buildProtocol(factory, address)
            protocol.is_open.addCallbacks(lambda _: None, lambda failure: str(failure.value)).chainDeferred(outcome)
            return protocol

        factory.buildProtocol = build_and_watch
        factory.clientConnectionFailed = lambda connector, reason: outcome.callback(reason.getErrorMessage())
        websocket.connectWS(factory, tls)
        return await self.within(outcome, "connectWS")

    async def listen_raw(self) -> tuple[Listener, Callable[[], Awaitable[RawPeer]]]:
        connected: DeferredQueue[RawPeer] = DeferredQueue()

        class Acceptor(Factory):
            noisy = False

            def buildProtocol(inner, address: Any) -> TwistedPeer:  # noqa: N805 - self is the kit
                peer = TwistedPeer(self)
                peer.mask = None
                connected.put(peer)
                return peer

        port = reactor.listenTCP(0, Acceptor(), interface="127.0.0.1")
        return self._listener(port), lambda: self.within(connected.get(), "a connection")

    async def open_raw(self, where: Listener, *, tls: Any = None) -> RawPeer:
        factory = ClientFactory.forProtocol(lambda: TwistedPeer(self))
        factory.noisy = False
        return cast(RawPeer, await self._endpoint(where, tls).connect(factory))

    def server_tls(self, certificate: Any) -> Any:
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        return ssl.PrivateCertificate.loadPEM(chain + certificate.private_key_pem.bytes()).options()

    def client_tls(self, authority: Any, host: str) -> Any:
        trusted = ssl.Certificate.loadPEM(authority.cert_pem.bytes())
        return ssl.optionsForClientTLS(host, trustRoot=trusted)

    async def clean_up(self) -> None:
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        for peer in self.raw_peers:
            if not peer.is_over:
                peer.abort()
        for factory in self.factories:
            await factory.shutdown(0)
        await self.turns()
        timers = [call for call in reactor.getDelayedCalls() if call.active()]
        # The runner's own, for the scenario as a whole.
        assert len(timers) <= 1, f"timers are left: {timers}"
