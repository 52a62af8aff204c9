"""A Twisted reactor and a Twisted transport, as the shared code wants them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import txaio.tx
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableDescriptor, IPushProducer, ISSLTransport
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from autobahnlike.twisted.util import address2str
from autobahnlike.websocket.direct import IS_AVAILABLE
from autobahnlike.websocket.session import Batch, Session

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
        self.batch = Batch()
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


def _runs_on_asyncio(reactor: Any) -> bool:
    """Tell whether it is the reactor that runs on an event loop of asyncio, without importing it."""
    module = sys.modules.get("twisted.internet.asyncioreactor")
    return module is not None and isinstance(reactor, module.AsyncioSelectorReactor)


@implementer(IPushProducer)
class TwistedLink:
    """A transport as a ``Link``.

    Twisted transports tell nobody but their producer that they have enough to write, and have room for only one. The
    application may want to be that one, as it can with Autobahn: `transport.registerProducer` on a connection that
    feeds another. So we register only around a write that may fill the transport's buffer, and stay registered only
    while it is full. Where an application has registered, it is the one to keep the peace.

    Args:
        transport: anything that provides ITransport.
        protocol: the protocol it belongs to.
        high_water: bytes that may be written without looking whether the transport has taken them.
    """

    def __init__(self, transport: Any, protocol: Any, high_water: int) -> None:
        self._transport = transport
        self._protocol = protocol
        kind = type(transport)
        # Whether it does nothing but what TCP connections of Twisted's own reactors do by default: no Unix sockets,
        # which take descriptors too, and nothing that wraps a transport.
        self._is_plain = (
            issubclass(kind, Connection)
            and kind.doRead is Connection.doRead
            and kind.writeSomeData is Connection.writeSomeData
        )
        # What reads from the socket instead of the transport
        self._readable: Callable[[], Any] | None = None
        self._high_water = high_water
        self._unchecked = 0
        self._paused = False
        self._finishing = False
        # Nobody can tell any more when the connection is gone.
        self.peer = address2str(transport.getPeer())
        self.own = address2str(transport.getHost())
        self.is_secure = bool(ISSLTransport.providedBy(transport))

    @property
    def buffered(self) -> int:
        """What was written since the transport was last known to have room; it may have written some of that."""
        return self._unchecked if self._paused else 0

    def go_direct(self, readable: Callable[[], Any]) -> int:
        """Stand in for the transport's ``doRead``, which is what the reactor calls (``IReadDescriptor``).

        The transport stays registered, paused and resumed, and closed, as Twisted does it.
        """
        transport: Any = self._transport
        if (
            not IS_AVAILABLE
            or not self._is_plain
            or transport.TLS
            or transport.disconnecting
            or transport.protocol is not self._protocol
            or not self._protocol._may_go_direct()
        ):
            return -1
        self._readable = readable
        transport.doRead = readable
        self._read_on_asyncio()
        return int(transport.fileno())

    def _read_on_asyncio(self) -> None:
        """Where the reactor runs on a loop of asyncio, be called by that loop, and not by way of the reactor.

        That spares the logging context in which reactors call a transport, a third of what a small message costs. A
        loop has one callback for each descriptor: when the transport is paused ours is gone, and when it is resumed the
        reactor has registered its own, which works as well.
        """
        reactor = self._transport.reactor
        if _runs_on_asyncio(reactor):
            import asyncio

            asyncio.get_running_loop().add_reader(self._transport.fileno(), self._asyncio_readable)

    def _asyncio_readable(self) -> None:
        try:
            has_ended = self._readable is not None and self._readable() is not None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            # As the reactor does with what doRead raises: log it where Twisted logs, and drop the connection.
            _log.failure("Unhandled Error")
            self.abort()
            return
        if has_ended:
            # The reactor knows what to do about it. It will find it again.
            self._transport.stopReading()
            self._transport.startReading()

    def queued(self) -> int:
        """Return what the transport has in its two buffers; anything but 0 when its descriptor is not its own any more.

        Transports close their socket before they say so, and the application may be told before we are.
        """
        transport = self._transport
        if not transport.connected:
            return 1
        return len(transport.dataBuffer) - int(transport.offset) + int(transport._tempDataLen)

    def lost(self) -> None:
        """The connection is gone: let the transport be as it was, and free of us, and let go of what refers back."""
        self._protocol = None
        if self._readable is not None:
            self._readable = None
            del self._transport.doRead

    def peer_ended(self) -> Any:
        """Tell the reactor what ``doRead`` would have told it."""
        return CONNECTION_DONE

    def reading_failed(self, error: OSError) -> Any:
        """Tell the reactor what ``doRead`` would have told it."""
        return CONNECTION_LOST

    def write(self, chunks: list[bytes | bytearray | memoryview]) -> None:
        """Write, and find out whether the transport can take more."""
        size = sum(map(len, chunks))
        if self._is_plain and size <= self._high_water and not self._transport.TLS and not self.queued():
            chunks, size = self._write_now(chunks, size)
            if not size:
                return
        self._unchecked += size
        check = self._unchecked > self._high_water and not self._paused and self._register()
        if len(chunks) == 1 or size <= self._high_water:
            self._transport.write(b"".join(chunks))
        else:
            self._transport.writeSequence([bytes(chunk) for chunk in chunks])
        if check and not self._paused:
            self._unregister()

    def _write_now(
        self, chunks: list[bytes | bytearray | memoryview], size: int
    ) -> tuple[list[bytes | bytearray | memoryview], int]:
        """Write what the socket takes, and return what is left, and how many bytes these are.

        To have the transport keep it until the reactor says that the socket takes something, which it does, is three
        system calls and a turn of the reactor more.
        """
        data = b"".join(chunks)
        sent = self._transport.writeSomeData(data)
        # What is wrong otherwise, the transport will find as well.
        if isinstance(sent, int) and sent > 0:
            return [data[sent:]], size - sent
        return [data], size

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
        transport: Any = self._transport
        transport.resumeProducing()
        if self._readable is not None and transport.connected and not transport.disconnecting:
            self._read_on_asyncio()

    def _session(self) -> Session | None:
        return None if self._protocol is None else self._protocol._session

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
