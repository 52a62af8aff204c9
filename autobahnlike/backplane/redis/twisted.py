"""Connections to Redis on Twisted, whichever its reactor."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
    connectProtocol,
)
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from autobahnlike.backplane.redis.loop import Receiver, Timer, Wire
from autobahnlike.backplane.redis.resp import RedisUnavailable
from autobahnlike.backplane.redis.tls import TlsWire, tls_context
from autobahnlike.backplane.redis.url import Place, TcpPlace, UnixPlace

__all__ = ("TwistedLoop",)

# Their types are few.
_CONNECT: Any = connectProtocol

_log = logging.getLogger("autobahnlike.backplane")


class TwistedLoop:
    """A reactor as a ``Loop``.

    Args:
        reactor: the reactor; that of the process if None.
    """

    def __init__(self, reactor: Any = None) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self._reactor: Any = reactor
        self.now: Callable[[], float] = self._reactor.seconds

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call something after ``delay`` seconds."""
        timer: Timer = self._reactor.callLater(delay, callback)
        return timer

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine, up to where it waits at once."""
        Deferred.fromCoroutine(coroutine).addErrback(_log_failure)

    def waiter(self) -> Deferred[None]:
        """Return a Deferred."""
        return Deferred()

    def wake(self, waiter: Deferred[None]) -> None:
        """Give a Deferred its result."""
        if not waiter.called:
            waiter.callback(None)

    async def connect(self, place: Place, receiver: Receiver, patience: float) -> Wire:
        """Connect; with TLS, the handshake has not happened when it returns."""
        if isinstance(place, TcpPlace) and place.tls is not None:
            secure = TlsWire(tls_context(place.tls), place.host, receiver)
            secure.begin(await self._connect(place, secure, patience))
            return secure
        return await self._connect(place, receiver, patience)

    async def _connect(self, place: Place, receiver: Receiver, patience: float) -> Wire:
        wire = _Protocol(receiver)
        try:
            connecting: Deferred[Any] = _CONNECT(self._endpoint(place, patience), wire)
            # Endpoints see to that themselves, but not to looking up a name.
            await connecting.addTimeout(patience, self._reactor)
        except (error.TimeoutError, DeferredTimeout, error.ConnectingCancelledError):
            raise RedisUnavailable(f"cannot connect to Redis at {place} within {patience:g} seconds") from None
        except (error.ConnectError, error.DNSLookupError, OSError) as failed:
            raise RedisUnavailable(f"cannot connect to Redis at {place}: {_explain(failed)}") from failed
        return wire

    def _endpoint(self, place: Place, timeout: float) -> Any:
        if isinstance(place, UnixPlace):
            return UNIXClientEndpoint(self._reactor, place.path, timeout)  # type: ignore[no-untyped-call]
        # An address needs none of the threads in which names are looked up.
        if isIPAddress(place.host):
            return TCP4ClientEndpoint(self._reactor, place.host, place.port, timeout)
        if isIPv6Address(place.host):
            return TCP6ClientEndpoint(self._reactor, place.host, place.port, timeout)  # type: ignore[no-untyped-call]
        return HostnameEndpoint(self._reactor, place.host, place.port, timeout)


def _explain(failed: Exception) -> str:
    cause = getattr(failed, "osError", None)
    if isinstance(cause, int):
        return os.strerror(cause)
    return getattr(cause, "strerror", None) or " ".join(str(failed).split())


def _log_failure(failure: Failure) -> None:
    _log.error("something failed in the backplane", exc_info=failure.value)


class _Protocol(Protocol):
    """A transport as a ``Wire``."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._is_lost = False

    def connectionMade(self) -> None:  # noqa: N802 (it is Twisted that calls it)
        transport: Any = self.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (it is Twisted that calls it)
        self._receiver.data_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 (it is Twisted that calls it)
        self._is_lost = True
        self._receiver.connection_lost(None if isinstance(reason.value, error.ConnectionDone) else reason.value)

    def write(self, data: bytes) -> None:
        """Write."""
        if not self._is_lost:
            self.transport.write(data)  # type: ignore[union-attr]

    def abort(self) -> None:
        """Drop the connection."""
        if not self._is_lost:
            transport: Any = self.transport
            transport.abortConnection()
