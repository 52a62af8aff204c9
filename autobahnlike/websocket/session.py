"""What drives one connection: between the application's hooks, the core, and the transport.

A ``Session`` belongs to one protocol instance, from the moment it has a transport. It hands what arrives to the core
(``autobahnlike.wire.connection``), does what the core wants done (write, pause reading, wake up, disconnect), and runs
the application's hooks: in order, one at a time, each finished, however long it takes, before the next one is called.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autobahnlike.exception import Disconnected, NotAnUpgrade
from autobahnlike.websocket.direct import receive, receive_into, send
from autobahnlike.websocket.link import EventLoop, Link, Timer
from autobahnlike.websocket.stats import TrafficStats
from autobahnlike.wire.connection import Connection, Disconnect
from autobahnlike.wire.handshake import Acceptance, Opening
from autobahnlike.wire.http11 import Request
from autobahnlike.wire.options import Options
from autobahnlike.wire.state import State

if TYPE_CHECKING:
    from autobahnlike.websocket.prepared import PreparedMessage
    from autobahnlike.websocket.protocol import WebSocketProtocol

__all__ = ("Batch", "Session")

# As in the core
_DISCONNECTING, _CLOSED = State.DISCONNECTING, State.CLOSED
_NO, _FINISH, _CLOSE, _ABORT = Disconnect.NO, Disconnect.FINISH, Disconnect.CLOSE, Disconnect.ABORT

# What is handed to the transport at a time. It is more than transports buffer before they ask for a pause, so a fast
# peer is never waited for, and it is what a slow one is given before it has to show progress.
_WRITE_SIZE = 262144

# The same where the socket is written to directly, and takes what fits.
_DIRECT_WRITE_SIZE = 1048576

# How much is read from a socket at a time: the larger size once an event has brought more than the smaller. It is read
# no more than this often for one event, or a fast peer would keep the loop to itself.
_READ_SIZE = 16384
_LARGE_READ_SIZE = 262144
_READS_PER_EVENT = 4

# After so many reads and writes a connection is worth the trouble of using its socket without the transport.
_WARM_UP = 16

_INTERNAL_ERROR = 1011

_NOTHING: Any = None

# Seconds after which a hook that holds up messages is worth a warning.
_LONG = 10.0


class Batch:
    """The sessions to which something was sent while the loop had one session deal with an event.

    Each is written to once, at the end of that: what a hook sends to many connections for each of the messages that one
    read has brought leaves each of them in one piece.
    """

    __slots__ = ("depth", "sessions")

    def __init__(self) -> None:
        self.depth = 0
        self.sessions: deque[Session] = deque()

    def flush(self) -> None:
        """Write. What one of them raises is raised when all have been written to."""
        try:
            while self.sessions:
                session = self.sessions.popleft()
                session._waits = False
                session._pump()
        finally:
            if self.sessions:
                self.flush()


class Session:
    """The common part of ``ServerSession`` and ``ClientSession``.

    Args:
        protocol: whose connection this is.
        link: the transport.
        loop: the event loop.
        options: the resolved options.
    """

    is_server = False

    def __init__(self, protocol: WebSocketProtocol, link: Link, loop: EventLoop, options: Options) -> None:
        self.protocol = protocol
        self.link = link
        self.loop = loop
        self.options = options
        self._now = loop.now
        self.connection = Connection(
            self,
            options,
            is_server=self.is_server,
            now=self._now(),
            is_secure=link.is_secure,
            external_port=self._external_port(),
        )
        # On a server, the request that the application is deciding about
        self._opening: Opening | None = None
        self._fd = -1
        self._cold_for = _WARM_UP
        self._batch = loop.batch
        self._log_octets = options.log_octets
        self._read_size = _READ_SIZE
        # Whether it is written to at the end of something that is going on.
        self._waits = False
        self._reading = True
        self._writable = True
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._turn: Timer | None = None
        self._disconnect = _NO
        self._cancel_hook: Callable[[], object] | None = None
        self._hook = ""
        self._hook_seen: Callable[[], object] | None = None
        self._hook_seen_at = 0.0
        self._has_warned = False
        self._drain_waiters: list[Any] = []
        self._lost = False
        self._traffic: TrafficStats | None = None

    def _external_port(self) -> int | None:
        """On a server, the port that a Host header has to name, if it names one; None for any."""
        return None

    def start(self) -> None:
        """The transport is connected: the time for the opening handshake runs."""
        self.pump()

    # -- What the transport tells

    def data_received(self, data: bytes) -> None:
        """The peer sent something."""
        if self._log_octets:
            self._log("received", data)
        if self._cold_for:
            self._warm_up()
        waited = self._begin()
        try:
            self.connection.receive_data(data if type(data) is bytes else bytes(data), self._now())
        finally:
            self._end(waited)

    def _warm_up(self) -> None:
        """Leave the transport out once the connection has shown that it is worth it."""
        self._cold_for -= 1
        if not self._cold_for and not self._log_octets:
            if self._reading:
                self._fd = self.link.go_direct(self.readable)
            else:
                self._cold_for = 1

    def readable(self) -> Any:
        """The socket can be read from: read, and deal with what was read.

        Returns:
            None, or what the link returns when it is told that the peer has ended its side or that reading failed.
        """
        try:
            if self._receive():
                return None
        except OSError as error:
            return self.link.reading_failed(error)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            # Such as the CancelledError of a future that a hook has touched: no transport lives on after that.
            self.link.abort()
            raise
        return self.link.peer_ended()

    def _receive(self) -> bool:
        """Read until there is nothing left, but not for ever; False if the peer has ended its side."""
        limit = self._read_size
        total = 0
        reads_left = _READS_PER_EVENT
        while reads_left:
            reads_left -= 1
            view = self.connection.room()
            if view is None:
                data = receive(self._fd, limit)
                if not data:
                    return data is None
                count = len(data)
                is_full = count == limit
                self.data_received(data)
            else:
                room = len(view)
                count = receive_into(self._fd, view)
                if count <= 0:
                    return count < 0
                is_full = count == room
                self._received_in_place(count)
            total += count
            if not is_full or not self._reading or self._fd < 0 or self._disconnect is not _NO:
                break
        # The next event will probably bring as much as this one.
        self._read_size = _READ_SIZE if total < _READ_SIZE else _LARGE_READ_SIZE
        return True

    def _received_in_place(self, count: int) -> None:
        waited = self._begin()
        try:
            self.connection.received_in_place(count, self._now())
        finally:
            self._end(waited)

    def connection_lost(self, why: str | None = None) -> None:
        """The transport is gone.

        Args:
            why: what broke it, if that is known and worth telling.
        """
        if self._lost:
            return
        self._lost = True
        self._fd = -1
        self._writable = False
        self._cancel_timers()
        never_opened = self.connection.reader is None
        if never_opened:
            # Whatever onConnect or onConnecting decides, there is nobody to tell.
            self._give_up_hook()
        self.connection.connection_lost(self._now(), why)
        # After that, because on Twisted a hook that waits goes on at once: it is to find the connection closed.
        self._fail_drain_waiters()
        if never_opened:
            # If it was onConnect that dropped the connection, it has been taken for busy since it returned.
            self._resume()
        self._arm_timer()

    def writing_paused(self) -> None:
        """The transport has enough to write for now."""
        self._writable = False
        self.connection.writing_paused(self._now())

    def writing_resumed(self) -> None:
        """The transport can take more."""
        if self._lost:
            return
        self._writable = True
        self._drive(self.connection.writing_resumed, self._now())

    # -- What the core wants done

    def _drive(self, call: Callable[..., object], *arguments: Any) -> None:
        """Make a call in which the application may send, and write all that it has sent at once."""
        waited = self._begin()
        try:
            call(*arguments)
        finally:
            self._end(waited)

    def _begin(self) -> bool:
        """Something begins in which the application may send; ``_end`` takes what this returns."""
        waited = self._waits
        self._waits = True
        self._batch.depth += 1
        return waited

    def _end(self, waited: bool) -> None:
        batch = self._batch
        batch.depth -= 1
        try:
            if not waited:
                self._waits = False
                self._pump()
        finally:
            if not batch.depth and batch.sessions:
                batch.flush()

    def pump(self) -> None:
        """Do what the core wants done now. Called after everything that may have changed something."""
        if not self._waits:
            self._due()

    def _due(self) -> None:
        """Pump now, or at the end of what the loop is at."""
        if self._batch.depth:
            self._waits = True
            self._batch.sessions.append(self)
        else:
            self._pump()

    def write_later(self) -> None:
        """Write what is sent from now on at the end of this turn of the loop, in one piece."""
        if not self._waits:
            self._waits = True
            batch = self._batch
            batch.sessions.append(self)
            if not batch.depth:
                self.loop.call_later(0, batch.flush)

    def _pump(self) -> None:
        if self._lost:
            return
        connection = self.connection
        if connection.output.size:
            self._write()
        if not (self._reading and connection.is_steady()):
            self._follow()
        self._arm_timer()
        if self._drain_waiters and self._writable and not connection.output.size:
            self._drained()

    def _follow(self) -> None:
        """Disconnect, pause or resume reading, or ask for a turn, as the core says."""
        connection = self.connection
        disconnect = connection.disconnect
        if disconnect is not self._disconnect:
            self._obey(disconnect)
        wants_read = connection.wants_read
        if wants_read is not self._reading:
            self._reading = wants_read
            if wants_read:
                self.link.resume_reading()
            else:
                self.link.pause_reading()
        if connection.wants_turn and self._turn is None:
            self._turn = self.loop.call_later(0, self._take_turn)

    def _write(self) -> None:
        connection = self.connection
        # One that is only sent to, as in a broadcast, has no less to gain.
        if self._cold_for and self._writable:
            self._warm_up()
        while self._writable and connection.output.size:
            is_direct = self._fd >= 0 and not self.link.queued()
            waiting = connection.output.size
            chunks = connection.data_to_send(_DIRECT_WRITE_SIZE if is_direct else _WRITE_SIZE)
            if self._log_octets:
                self._log("sent", b"".join(chunks))
            if not is_direct or not self._send(chunks, waiting - connection.output.size):
                self.link.write(chunks)

    def _send(self, chunks: list[bytes | bytearray | memoryview], size: int) -> bool:
        """Write to the socket itself; leave in ``chunks`` what it does not take.

        Args:
            chunks: what to write.
            size: how many bytes these are.

        Returns:
            Whether it took everything.
        """
        try:
            sent = send(self._fd, chunks)
        except OSError:
            # The transport will find the same, and knows what to do about it.
            return False
        if sent == size:
            return True
        while sent >= len(chunks[0]):
            sent -= len(chunks.pop(0))
        if sent:
            chunks[0] = memoryview(chunks[0])[sent:]
        return False

    def _obey(self, disconnect: Disconnect) -> None:
        self._disconnect = disconnect
        if disconnect is _FINISH:
            self.link.finish()
        elif disconnect is _CLOSE:
            self.link.close()
        elif disconnect is _ABORT:
            self._writable = False
            self.link.abort()

    def _take_turn(self) -> None:
        self._turn = None
        self._drive(self.connection.resume_reading, self._now())

    def _arm_timer(self) -> None:
        """Have a timer that fires no later than the core's deadline.

        One that fires too early is left alone: it costs one call, a timer for each read would cost more.
        """
        deadline = self.connection.next_deadline()
        if deadline is None:
            return
        at = deadline
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.loop.call_later(max(0.0, deadline - self._now()), self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._warn_of_endless_hook()
        self._drive(self.connection.handle_timeout, self._now())
        # Also when the transport is gone: a hook that does not end has a deadline then.
        self._arm_timer()

    def _warn_of_endless_hook(self) -> None:
        """Say so if one hook has held up what was received since the timer fired last, ten seconds ago or more.

        That is what becomes of a hook that loops for as long as the connection lives, and nothing else shows it.
        """
        hook = self._cancel_hook
        now = self._now()
        if hook is None or hook is not self._hook_seen:
            self._hook_seen = hook
            self._hook_seen_at = now
        elif now - self._hook_seen_at >= _LONG and not self._has_warned and self.connection.buffered:
            self._has_warned = True
            self.protocol.log.warn(
                "{hook} of {protocol} has been running for {seconds:.0f} seconds or more, and what {peer} has sent "
                "waits for it to finish; what goes on for as long as the connection does has to be a task of its own",
                hook=self._hook,
                protocol=type(self.protocol).__name__,
                seconds=now - self._hook_seen_at,
                peer=self.link.peer,
            )

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._turn):
            if timer is not None:
                timer.cancel()
        self._timer = self._turn = None

    def send_prepared(self, message: PreparedMessage) -> None:
        """Send a prepared message: as it is if that is how it goes over this connection."""
        connection = self.connection
        options = self.options
        masked = options.mask_server_frames if connection.is_server else options.mask_client_frames
        frame = None if masked or options.auto_fragment_size else message.frame_for(connection.codec)
        if frame is None:
            connection.send_message(message.payload, message.isBinary, not message.doNotCompress)
        else:
            connection.send_prepared(frame, len(message.payload))
        if not self._waits:
            self._due()

    @property
    def traffic(self) -> TrafficStats:
        """The counters of this connection."""
        if self._traffic is None:
            self._traffic = TrafficStats.of(self.connection)
        return self._traffic

    # -- Flow control for the application

    @property
    def is_writable(self) -> bool:
        """Whether the transport takes what is sent, as far as it has told."""
        return self._writable

    def buffered_amount(self) -> int:
        """Return how many bytes were sent and have not left, as far as the transport tells."""
        return 0 if self._lost else self.connection.output.size + self.link.buffered

    def drained(self) -> Any:
        """Return a future that is done when the transport can take more; see ``WebSocketProtocol.drained``."""
        txaio = self.loop.txaio
        if self._lost or self._disconnect is _ABORT:
            return txaio.create_future_error(_disconnected())
        if self._writable and not self.connection.output.size:
            return txaio.create_future_success(None)
        future = txaio.create_future()
        self._drain_waiters.append(future)
        return future

    def _drained(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, []
        for future in waiters:
            if not self.loop.txaio.is_called(future):
                self.loop.txaio.resolve(future, None)

    def _fail_drain_waiters(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, []
        for future in waiters:
            if not self.loop.txaio.is_called(future):
                self.loop.txaio.reject(future, _disconnected())

    # -- Hooks

    def _run_hook(
        self,
        name: str,
        arguments: tuple[Any, ...],
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Call a hook of the application and, when it has finished, ``done`` with what it returned.

        Nothing else is delivered in the meantime.
        """
        try:
            result = getattr(self.protocol, name)(*arguments)
        except Exception as error:
            failed(error)
            return
        if result is None:
            done(None)
        else:
            self._wait(name, result, done, failed)

    def _wait(
        self, name: str, result: object, done: Callable[[Any], None], failed: Callable[[BaseException], None]
    ) -> None:
        # What is settled already, as the result of many an async def is on Twisted, is not waited for: neither paused
        # nor resumed, so that a thousand messages in one read do not nest a thousand calls.
        settled: list[tuple[Callable[[Any], None], Any]] = []
        waiting = False

        def settle(then: Callable[[Any], None], value: Any) -> None:
            if waiting:
                self._hook_settled(then, value)
            else:
                settled.append((then, value))

        cancel = self.loop.wait(result, lambda value: settle(done, value), lambda error: settle(failed, error))
        if cancel is None:
            done(result)
        elif settled:
            then, value = settled[0]
            then(value)
        else:
            waiting = True
            self._cancel_hook = cancel
            self._hook = name
            self.connection.pause_delivery()

    def _hook_settled(self, then: Callable[[Any], None], value: Any) -> None:
        self._cancel_hook = None
        self._drive(then, value)

    def _give_up_hook(self) -> None:
        cancel, self._cancel_hook = self._cancel_hook, None
        if cancel is not None:
            cancel()

    def _resume(self, _: object = None) -> None:
        """The application has dealt with something; deliver the next."""
        self.connection.resume_delivery(self._now())

    def _opened(self, _: object = None) -> None:
        """The opening handshake is complete: tell the application, and only then deliver what the peer has sent."""
        if self.connection.state in (_DISCONNECTING, _CLOSED):
            # onConnect has dropped the connection, or took so long that it is gone: no onOpen, so no message either.
            self.connection.fail(_INTERNAL_ERROR, "the connection never opened", self._now())
            self._resume()
        else:
            self._run_hook("onOpen", (), self._open_done, self._open_failed)

    def _open_done(self, _: object) -> None:
        self.protocol._opened()
        self._resume()

    def _open_failed(self, error: BaseException) -> None:
        self._hook_failed("onOpen", error)
        self._resume()

    def _hook_failed(self, name: str, error: BaseException) -> None:
        if isinstance(error, Disconnected) and self.protocol.state != self.protocol.STATE_OPEN:
            # An answer to a message that was received before the connection closed: nobody is at fault.
            return
        self.log_failure(name, error)
        self.connection.fail(_INTERNAL_ERROR, "internal error", self._now())

    def log_failure(self, name: str, error: BaseException) -> None:
        """Log an exception that a hook raised."""
        self.loop.log_failure(f"{name} of {type(self.protocol).__name__} raised an exception", error)

    # -- What the core tells (``wire.handler.Handler``)

    def on_request(self, opening: Opening) -> None:
        """A client asks for a WebSocket; only servers are told."""
        raise AssertionError("a client reads no requests")

    def on_plain_request(self, request: Request, error: NotAnUpgrade) -> None:
        """A client sent a plain HTTP request; only servers are told."""
        raise AssertionError("a client reads no requests")

    def on_response(self, acceptance: Acceptance) -> None:
        """The server agreed; only clients are told."""
        raise AssertionError("a server reads no responses")

    def on_message(self, payload: bytes, is_binary: bool) -> None:
        """A message came."""
        try:
            result = self.protocol.onMessage(payload, is_binary)
        except Exception as error:
            self._hook_failed("onMessage", error)
            return
        if result is not None:
            self._after("onMessage", result)

    def on_ping(self, payload: bytes) -> None:
        """A ping came, and the application wants to answer it itself."""
        self._deliver("onPing", payload)

    def on_pong(self, payload: bytes) -> None:
        """A pong came, and the application wants to know."""
        self._deliver("onPong", payload)

    def on_output(self) -> None:
        """Much output has collected."""
        self._write()

    def on_frame(self, sent: bool, first_byte: int, length: int) -> None:
        """A frame was sent or received, and the option ``logFrames`` is set."""
        self.protocol.log.debug(
            "{peer}: frame {direction}: FIN={fin}, RSV={rsv}, opcode={opcode}, {length} bytes",
            peer=self.link.peer,
            direction="sent" if sent else "received",
            fin=first_byte >> 7,
            rsv=first_byte >> 4 & 7,
            opcode=first_byte & 15,
            length=length,
        )

    def _log(self, direction: str, data: bytes) -> None:
        self.protocol.log.debug(
            "{peer}: octets {direction}: {octets}", peer=self.link.peer, direction=direction, octets=data.hex()
        )

    def on_overdue(self) -> None:
        """A hook is still running long after the connection is gone."""
        self.protocol.log.warn(
            "{hook} of {protocol} was still running when its connection had been gone for {seconds} seconds: cancelled",
            hook=self._hook,
            protocol=type(self.protocol).__name__,
            seconds=self.options.close_handshake_timeout,
        )
        self._give_up_hook()
        self._resume()

    def on_closed(self, was_clean: bool, code: int | None, reason: str | None) -> None:
        """The end."""
        self._cancel_timers()
        self.protocol._closed(was_clean, code, reason)

    def let_go(self) -> None:
        """The application has dealt with the end: let go of what refers back, for the same reason as the core does.

        What the application may still ask for, the core has.
        """
        self.protocol = self.link = _NOTHING

    def _deliver(self, name: str, payload: bytes) -> None:
        try:
            result = getattr(self.protocol, name)(payload)
        except Exception as error:
            self._hook_failed(name, error)
            return
        if result is not None:
            self._after(name, result)

    def _after(self, name: str, result: object) -> None:
        """Wait for what a hook returned."""
        running = True

        def done(_: object) -> None:
            if not running:
                self._resume()

        def failed(error: BaseException) -> None:
            self._hook_failed(name, error)
            if not running:
                self._resume()

        self._wait(name, result, done, failed)
        running = False


def _disconnected() -> Disconnected:
    return Disconnected("the connection is closed")
