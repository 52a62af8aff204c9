"""TLS to Redis: what is trusted, and TLS over a connection for bytes, with the library of Python, on whichever loop.

Twisted's own takes certificate and key as objects, and uses them in a way that pyOpenSSL deprecates.
"""

from __future__ import annotations

import ssl

from autobahnlike.backplane.redis.loop import Receiver, Wire
from autobahnlike.backplane.redis.resp import RedisMisconfigured
from autobahnlike.backplane.redis.url import Tls

__all__ = ("TlsWire", "explain", "tls_context")

_CHUNK = 65536


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return what is trusted, and what we show.

    Raises:
        RedisMisconfigured: the files are not usable.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:
        raise RedisMisconfigured(f"the files for TLS to Redis are not usable: {error.strerror or error}") from error
    return context


def explain(error: ssl.SSLError) -> str:
    """Say in words what is wrong."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return error.reason or str(error)


class TlsWire:
    """TLS over a ``Wire``: the receiver of that, and a ``Wire`` itself.

    Args:
        context: what is trusted.
        host: who the other end has to be.
        receiver: who is told what comes in.
    """

    _wire: Wire

    def __init__(self, context: ssl.SSLContext, host: str, receiver: Receiver) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._receiver = receiver
        self._is_ready = False
        self._early: list[bytes] = []
        self._error: ConnectionError | None = None

    def begin(self, wire: Wire) -> None:
        """Begin, on a connection that has been made."""
        self._wire = wire
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """See ``Receiver``."""
        if self._error is None:
            self._incoming.write(data)
            self._go_on()

    def connection_lost(self, why: BaseException | None) -> None:
        """See ``Receiver``."""
        self._receiver.connection_lost(self._error or why)

    def write(self, data: bytes) -> None:
        """Write, as soon as that can be done."""
        if not self._is_ready:
            self._early.append(data)
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._fail(error)
        self._flush()

    def abort(self) -> None:
        """Drop the connection."""
        self._wire.abort()

    def _go_on(self) -> None:
        try:
            if not self._is_ready:
                self._tls.do_handshake()
                self._is_ready = True
                for data in self._early:
                    self._tls.write(data)
                self._early.clear()
                self._flush()
            while data := self._tls.read(_CHUNK):
                self._receiver.data_received(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(error)
        self._flush()

    def _fail(self, error: ssl.SSLError) -> None:
        if self._error is None:
            self._error = ConnectionError(explain(error))
            # The other end is told why.
            self._flush()
            self._wire.abort()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._wire.write(self._outgoing.read())
