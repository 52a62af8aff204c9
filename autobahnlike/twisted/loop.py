"""A Twisted reactor and a Twisted transport, as the shared code wants them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import txaio.tx
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableDescriptor, IPushProducer, ISSLTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from autobahnlike.twisted.util import address2str

if TYPE_CHECKING:
    from autobahnlike.websocket.session import Session

__all__ = ("TwistedLink", "TwistedLoop", "exception_of")

_log = Logger(namespace="autobahnlike")


class TwistedLoop:
    """A reactor as an ``EventLoop``.

    Args:
        reactor: anything that provides IReactorTime.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.txaio = txaio.tx.with_config()  # type: ignore[no-untyped-call]
        self.now: Callable[[], float] = reactor.seconds

    def call_later(self, delay: float, callback: Callable[[], object]) -> Any:
        """Call ``callback`` after ``delay`` seconds."""
        return self.reactor.callLater(delay, callback)

    def wait(
        self,
        result: object,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> Callable[[], object] | None:
        """Wait for a Deferred, a coroutine, or whatever else can be awaited on this reactor."""
        deferred = _as_deferred(result)
        if deferred is None:
            return None
        given_up = False

        def succeeded(value: Any) -> None:
            if not given_up:
                done(value)

        def errored(failure: Failure) -> None:
            if not given_up:
                failed(exception_of(failure))

        def give_up() -> None:
            nonlocal given_up
            given_up = True
            deferred.cancel()

        deferred.addCallbacks(succeeded, errored)
        # What done and failed raise is an error of ours: it must not vanish in a Deferred that nobody looks at.
        deferred.addErrback(lambda failure: _log.failure("Unhandled error", failure=failure))
        return give_up

    def log_failure(self, message: str, error: BaseException) -> None:
        """Log an exception of the application."""
        failure = Failure(error, type(error), error.__traceback__)  # type: ignore[no-untyped-call]
        _log.failure("{message}", failure=failure, message=message)


def _as_deferred(result: object) -> Deferred[Any] | None:
    if isinstance(result, Deferred):
        return result
    if inspect.iscoroutine(result):
        return Deferred.fromCoroutine(result)
    if hasattr(result, "_asyncio_future_blocking"):
        # What asyncio takes for a Future; it works when the reactor runs on the asyncio loop it belongs to.
        return Deferred.fromFuture(result)  # type: ignore[arg-type]
    if inspect.isawaitable(result):

        async def awaited() -> Any:
            return await result

        return Deferred.fromCoroutine(awaited())
    return None


def exception_of(failure: Failure) -> BaseException:
    """Return the exception in a Failure, with its traceback."""
    error = failure.value
    assert error is not None
    if error.__traceback__ is None:
        error = error.with_traceback(failure.getTracebackObject())  # type: ignore[no-untyped-call]
    return error


@implementer(IPushProducer)
class TwistedLink:
    """A transport as a ``Link``.

    Twisted transports tell nobody but their producer that they have enough to write, and have room for only one. The
    application may want to be that one, as it can with Autobahn: `transport.registerProducer` on a connection that
    feeds another. So we register only around a write that may fill the transport's buffer, and stay registered only
    while it is full. Where an application has registered, it is the one to keep the peace.

    Args:
        transport: anything that provides ITransport.
        session: gives the session of this connection.
        high_water: bytes that may be written without looking whether the transport has taken them.
    """

    def __init__(self, transport: Any, session: Callable[[], Session | None], high_water: int) -> None:
        self._transport = transport
        self._session = session
        self._high_water = high_water
        self._unchecked = 0
        self._paused = False
        self._finishing = False
        self.peer = address2str(transport.getPeer())
        self.own = address2str(transport.getHost())
        self.is_secure = bool(ISSLTransport.providedBy(transport))

    @property
    def buffered(self) -> int:
        """What was written since the transport was last known to have room; it may have written some of that."""
        return self._unchecked if self._paused else 0

    def write(self, chunks: Sequence[bytes | bytearray | memoryview]) -> None:
        """Write, and find out whether the transport can take more."""
        size = sum(map(len, chunks))
        self._unchecked += size
        check = self._unchecked > self._high_water and not self._paused and self._register()
        if len(chunks) == 1 or size <= self._high_water:
            self._transport.write(b"".join(chunks))
        else:
            self._transport.writeSequence([bytes(chunk) for chunk in chunks])
        if check and not self._paused:
            self._unregister()

    def finish(self) -> None:
        """Half-close plain TCP; TLS has no such thing."""
        # By its interface, because transports of tests have the method too, and do nothing in it.
        half_closes = bool(IHalfCloseableDescriptor.providedBy(self._transport))
        if self.is_secure or not half_closes:
            self._transport.loseConnection()
        elif self._paused:
            # Twisted forgets a half-close that it was asked for while a producer was paused.
            self._finishing = True
        else:
            self._transport.loseWriteConnection()

    def close(self) -> None:
        """Close when everything is written."""
        self._transport.loseConnection()

    def abort(self) -> None:
        """Drop the connection."""
        if hasattr(self._transport, "abortConnection"):
            self._transport.abortConnection()
        else:
            self._transport.loseConnection()

    def pause_reading(self) -> None:
        """Stop reading."""
        self._transport.pauseProducing()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resumeProducing()

    def _register(self) -> bool:
        try:
            self._transport.registerProducer(self, True)
        except RuntimeError:
            self._unchecked = 0
            return False
        return True

    def _unregister(self) -> None:
        self._unchecked = 0
        self._transport.unregisterProducer()

    # IPushProducer: the transport tells us.

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self._paused = True
        session = self._session()
        if session is not None:
            session.writing_paused()

    def resumeProducing(self) -> None:
        """The transport has written everything."""
        if not self._paused:
            return
        self._paused = False
        self._unregister()
        if self._finishing:
            self._transport.loseWriteConnection()
        session = self._session()
        if session is not None:
            session.writing_resumed()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost says so too."""
