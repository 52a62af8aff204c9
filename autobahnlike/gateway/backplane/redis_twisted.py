"""Connections to Redis on Twisted, whichever its reactor."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from autobahnlike.gateway.backplane.redis_loop import Receiver, Timer, Wire
from autobahnlike.gateway.backplane.redis_url import Place, TcpPlace, Tls, UnixPlace
from autobahnlike.gateway.backplane.resp import RedisMisconfigured, RedisUnavailable

__all__ = ("TwistedLoop",)

# Their types are few.
_CONNECT: Any = connectProtocol

_log = logging.getLogger("autobahnlike.gateway")


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
        try:
            wire = _Protocol(receiver)
            await _CONNECT(self._endpoint(place, patience), wire)
        except error.TimeoutError:
            raise RedisUnavailable(f"cannot connect to Redis at {place} within {patience:g} seconds") from None
        except (error.ConnectError, error.DNSLookupError, OSError) as failed:
            cause = getattr(failed, "osError", None)
            why = getattr(cause, "strerror", None) or " ".join(str(failed).split())
            raise RedisUnavailable(f"cannot connect to Redis at {place}: {why}") from failed
        return wire

    def _endpoint(self, place: Place, timeout: float) -> Any:
        if isinstance(place, UnixPlace):
            return UNIXClientEndpoint(self._reactor, place.path, timeout)
        endpoint = self._tcp_endpoint(place, timeout)
        return endpoint if place.tls is None else wrapClientTLS(_options(place.host, place.tls), endpoint)

    def _tcp_endpoint(self, place: TcpPlace, timeout: float) -> Any:
        # An address needs none of the threads in which names are looked up.
        if isIPAddress(place.host):
            return TCP4ClientEndpoint(self._reactor, place.host, place.port, timeout)  # type: ignore[no-untyped-call]
        if isIPv6Address(place.host):
            return TCP6ClientEndpoint(self._reactor, place.host, place.port, timeout)  # type: ignore[no-untyped-call]
        return HostnameEndpoint(self._reactor, place.host, place.port, timeout)


# Between the certificates in one file.
_END = b"-----END CERTIFICATE-----"


def _log_failure(failure: Failure) -> None:
    _log.error("something failed in the backplane", exc_info=failure.value)


def _options(host: str, tls: Tls) -> Any:
    from OpenSSL import SSL
    from twisted.internet.ssl import (
        Certificate,
        PrivateCertificate,
        optionsForClientTLS,
        platformTrust,
        trustRootFromCertificates,
    )

    try:
        load: Any = Certificate.loadPEM
        trust: Any = platformTrust()  # type: ignore[no-untyped-call]
        if tls.ca is not None:
            pems = Path(tls.ca).read_bytes().split(_END)[:-1]
            roots: Any = trustRootFromCertificates
            trust = roots([load(pem + _END + b"\n") for pem in pems])
        own = None
        if tls.cert is not None:
            pem = Path(tls.cert).read_bytes() + Path(tls.key or tls.cert).read_bytes()
            own = PrivateCertificate.loadPEM(pem)  # type: ignore[no-untyped-call]
        return optionsForClientTLS(host, trustRoot=trust, clientCertificate=own)
    except (OSError, ValueError, SSL.Error, ssl.SSLError) as failed:
        why = getattr(failed, "strerror", None) or "they have to be PEM"
        raise RedisMisconfigured(f"the files for TLS to Redis are not usable: {why}") from failed


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
