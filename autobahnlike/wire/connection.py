"""One WebSocket connection without I/O: bytes and the time go in, messages and bytes to write come out.

Whoever does the I/O owns a ``Connection`` and keeps four promises:

- what is received goes to ``receive_data``, the end of the TCP connection to ``connection_lost``, with the time;
- after every call, ``data_to_send`` is written, ``disconnect`` obeyed, reading paused while ``wants_read`` is false,
  and, if ``wants_turn``, ``resume_reading`` called in a later turn of the loop;
- ``handle_timeout`` is called at ``next_deadline``, which may have changed after every call;
- when the transport cannot take more, ``writing_paused`` is called, and when it can again, ``writing_resumed``.

Whoever wrote the application is told through a ``Handler``, in order. A handler that needs time for something calls
``pause_delivery`` and, when it is done, ``resume_delivery``: until then nothing else is delivered to it, but the
connection lives on. Pings are answered and a bounded amount is read ahead.

Time is a float in seconds from any clock that does not go back.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from autobahnlike.exception import (
    Disconnected,
    HandshakeError,
    InvalidArgument,
    InvalidResponse,
    LocalProtocolError,
    NotAnUpgrade,
    PayloadExceededError,
    RemoteProtocolError,
)
from autobahnlike.wire.deflate import Codec
from autobahnlike.wire.delivery import ReadAhead
from autobahnlike.wire.frames import CLOSE, MAX_CONTROL_PAYLOAD, PING, PONG, close_payload, parse_close_payload
from autobahnlike.wire.handler import Disconnect, Handler
from autobahnlike.wire.handshake import Opening, refuse_response
from autobahnlike.wire.keepalive import Keepalive
from autobahnlike.wire.masking import MaskSource
from autobahnlike.wire.messages import CloseSeeker, MessageReader
from autobahnlike.wire.opening import OpeningHandshake
from autobahnlike.wire.options import Options
from autobahnlike.wire.output import OutputQueue
from autobahnlike.wire.state import TRANSITIONS, Input, State

__all__ = ("Connection", "Disconnect", "Handler")

# The members that every connection asks for: until Python 3.12, to ask an Enum for one costs as much as a call.
_CONNECTING, _OPEN, _CLOSE_SENT = State.CONNECTING, State.OPEN, State.CLOSE_SENT
_DISCONNECTING, _CLOSED = State.DISCONNECTING, State.CLOSED
_OPENED, _REFUSED, _DROP, _LOST = Input.OPENED, Input.REFUSED, Input.DROP, Input.LOST
_SEND_CLOSE, _RECEIVE_CLOSE = Input.SEND_CLOSE, Input.RECEIVE_CLOSE
_NO, _FINISH, _CLOSE, _ABORT = Disconnect.NO, Disconnect.FINISH, Disconnect.CLOSE, Disconnect.ABORT
_NOBODY: Any = None

# How long the other side has to end the TCP connection after we have ended ours, if there is no time-out to go by.
_LINGER = 5.0

# How long a server that has failed a connection waits for the answer to its close frame, which is not owed, before it
# ends its side of the TCP connection.
_ANSWER = 1.0


class Connection:
    """One side of one WebSocket connection.

    Args:
        handler: who is told what happens.
        options: the limits, time-outs and rules; resolved, and not changed any more.
        is_server: which side we are.
        now: the time at which the TCP connection was made; the opening handshake's time-out runs from there.
        is_secure: on a server, whether the transport is TLS: it decides which port a Host header without one means.
        external_port: on a server, the port that a Host header has to name, if it names one; None for any.
        random_bytes: where masking keys and ping payloads come from, "a strong source of entropy" (section 5.3); None
            for ``os.urandom``.

    Attributes:
        state: where the connection is in its life. Only ``_move`` sets it.
        auto_pong: answer pings at once, and do not tell the handler.
        report_pongs: tell the handler of pongs.
        close_code, close_reason: what the peer's close frame said; None if it said nothing, or did not come.
        sent_close_code, sent_close_reason: what our close frame said.
        failure: why we failed or dropped the connection, or None.
        reader: what parses, or has parsed, the frames, for its counters; None before the connection is open.
        output: what is still to be written, and its counters.
        codec: the compression agreed on, or None.
        octets_received, octets_sent: counters of everything, the opening handshake included.
        handshake_octets_received, handshake_octets_sent: counters of the opening handshake alone.
    """

    __slots__ = (
        "_ahead",
        "_answering",
        "_answers",
        "_busy",
        "_congested",
        "_deadline",
        "_disconnect",
        "_dropped",
        "_fragment_size",
        "_handler",
        "_high_water",
        "_initiated",
        "_keepalive",
        "_max_message",
        "_max_queue",
        "_now",
        "_on_deadline",
        "_opening",
        "_reader",
        "_received_close",
        "_reported",
        "_seeker",
        "_size_seen",
        "auto_pong",
        "close_code",
        "close_reason",
        "codec",
        "failure",
        "handshake_octets_received",
        "handshake_octets_sent",
        "is_server",
        "octets_received",
        "octets_sent",
        "options",
        "output",
        "reader",
        "report_pongs",
        "sent_close_code",
        "sent_close_reason",
        "state",
    )

    def __init__(
        self,
        handler: Handler,
        options: Options,
        *,
        is_server: bool,
        now: float,
        is_secure: bool = False,
        external_port: int | None = None,
        random_bytes: Callable[[int], bytes] | None = None,
    ) -> None:
        random_bytes = random_bytes or os.urandom
        self.state = _CONNECTING
        self.options = options
        self.is_server = is_server
        self.auto_pong = True
        self.report_pongs = False
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.sent_close_code: int | None = None
        self.sent_close_reason: str | None = None
        self.failure: str | None = None
        self.codec: Codec | None = None
        self.octets_received = 0
        self.octets_sent = 0
        self.handshake_octets_received = 0
        self.handshake_octets_sent = 0
        self._handler = handler
        self._now = now
        # What is asked for each message
        self._max_message = min(options.max_message_size or sys.maxsize, sys.maxsize)
        self._max_queue = min(options.max_send_queue or sys.maxsize, sys.maxsize)
        self._high_water = options.write_high_water
        self._fragment_size = options.auto_fragment_size
        masked = options.mask_server_frames if is_server else options.mask_client_frames
        self.output = OutputQueue(
            MaskSource(random_bytes) if masked else None,
            apply_mask=options.apply_mask,
            on_frame=partial(handler.on_frame, True) if options.log_frames else None,
        )
        self._keepalive = Keepalive(
            options.auto_ping_interval,
            options.auto_ping_timeout,
            options.auto_ping_size,
            any_traffic=options.auto_ping_restart_on_any_traffic,
            random_bytes=random_bytes,
        )
        # The opening handshake, until it is over, one way or the other
        self._opening: OpeningHandshake | None = OpeningHandshake(
            options, is_server=is_server, is_secure=is_secure, external_port=external_port
        )
        # Receiving
        self.reader: MessageReader | None = None
        self._reader: MessageReader | None = None
        self._seeker: CloseSeeker | None = None
        # Closing
        self._received_close = False
        self._initiated = False
        self._dropped = False
        # Delivery. Nothing is delivered until the application has dealt with the opening of the connection.
        self._busy = True
        self._ahead = ReadAhead()
        self._reported = False
        # Transport
        self._congested = False
        # Whether what is sent now is taken for an answer to what the peer sent; and, while the transport takes nothing,
        # how much of that waits. What the application sends unasked does not count: if it stopped us reading, two
        # peers that send each other much at once would wait for each other for ever.
        self._answering = False
        self._answers = 0
        self._size_seen = 0
        self._disconnect = _NO
        # The one deadline besides keepalive: of the opening handshake, then of the closing, then of the end.
        self._deadline: float | None = None
        self._on_deadline: Callable[[], None] = self._opening_overdue
        self._set_deadline(options.open_handshake_timeout, self._opening_overdue)

    # -- The state

    def _move(self, what: Input) -> None:
        self.state = TRANSITIONS[self.state, what]

    # -- What the I/O asks

    @property
    def wants_read(self) -> bool:
        """Whether to read from the transport. While false, nothing the peer sends is taken from the network."""
        if self._opening is not None:
            return len(self._opening.rest) <= self.options.read_ahead
        if self._reader is not None:
            return not self._reader.halted
        return self.state is not _CLOSED

    @property
    def wants_turn(self) -> bool:
        """Whether ``resume_reading`` is to be called in a later turn of the loop: there was a lot to do at once."""
        return self._reader is not None and self._reader.yielded and not self._is_stuck() and not self._busy

    @property
    def disconnect(self) -> Disconnect:
        """What to do with the transport now."""
        if self.output and self._disconnect is not _ABORT:
            return _NO
        return self._disconnect

    @property
    def buffered(self) -> int:
        """Bytes held of what the peer sent: unparsed, in an unfinished message, or delivered later.

        It is at most the message limit, one message that was read ahead, ``read_ahead``, and what one read brings.
        """
        rest = len(self._opening.rest) if self._opening is not None else 0
        reader = self._reader
        return rest + self._ahead.size + (reader.buffered if reader is not None else 0)

    @property
    def rtt(self) -> float | None:
        """The round-trip time that the last answered automatic ping took, in seconds; None if there was none."""
        return self._keepalive.rtt

    def is_steady(self) -> bool:
        """Whether the connection is open and there is nothing to do but to read on, write, and mind the time.

        It is what a reader of the properties above would find, asked once, for after every read.
        """
        return (
            self._reader is not None and not self._reader.halted and self._disconnect is _NO and self._deadline is None
        )

    def data_to_send(self, limit: int = sys.maxsize) -> list[bytes | bytearray | memoryview]:
        """Take what is to be written next, in order; empty if there is nothing.

        Args:
            limit: bytes to take at the most. Ask again when the transport has taken them.
        """
        size = self.output.size
        if not size:
            return []
        chunks = self.output.take(limit)
        self.octets_sent += size - self.output.size
        return chunks

    def next_deadline(self) -> float | None:
        """When ``handle_timeout`` wants to be called, at the latest; None for never."""
        ping = self._keepalive.deadline
        if self._deadline is None or (ping is not None and ping < self._deadline):
            return ping
        return self._deadline

    # -- What the I/O tells

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what the peer sent.

        Args:
            data: one or more bytes.
            now: the time.
        """
        self._received(len(data), now)
        reader = self._reader
        if reader is not None:
            self._read(data)
            if reader.halted:
                self._deliver()
        elif self._seeker is not None:
            self._seeker.feed(data)
        elif self._opening is not None:
            self._receive_handshake(self._opening, data)

    def _received(self, count: int, now: float) -> None:
        self._now = now
        self.octets_received += count
        if not self._congested:
            self._keepalive.heard(now)

    def room(self) -> memoryview | None:
        """Give memory into which to receive what is left of a large frame; then call ``received_in_place``.

        Returns:
            The memory, which is not to be used for anything else; None if what the peer sends next is for
            ``receive_data``.
        """
        return None if self._reader is None else self._reader.room()

    def received_in_place(self, count: int, now: float) -> None:
        """Take what the peer sent and ``room`` had memory for.

        Args:
            count: how many bytes, one or more.
            now: the time.
        """
        self._received(count, now)
        self._read(None, count)
        self._deliver()

    def resume_reading(self, now: float) -> None:
        """Go on with what was received, in a turn of its own; see ``wants_turn``."""
        self._now = now
        if self._reader is not None:
            self._reader.yielded = False
        self._deliver()

    def connection_lost(self, now: float, why: str | None = None) -> None:
        """The TCP connection is gone.

        What was received before is still delivered, then ``on_closed``.

        Args:
            now: the time.
            why: what broke it, for the close reason, if something is known.
        """
        if self.state is _CLOSED:
            return
        self._now = now
        self._move(_LOST)
        self._keepalive.stop()
        self._deadline = None
        self._disconnect = _NO
        self._congested = False
        self.output.clear()
        if self.failure is None:
            self.failure = why
        if self._opening is not None:
            # There never was a WebSocket; whatever the handler is deciding will be ignored.
            self._opening = None
            self._busy = False
        self._set_deadline(self.options.close_handshake_timeout, self._handler_overdue)
        self._deliver()

    def writing_paused(self, now: float) -> None:
        """The transport cannot take more: write nothing until it can, and read no more than can be answered."""
        self._now = now
        self._congested = True
        self._answers = 0
        self._size_seen = self.output.size
        # From now on it is the peer that has to show that it lives, by reading.
        self._keepalive.resume(now)

    def writing_resumed(self, now: float) -> None:
        """The transport can take more; the peer has read something."""
        self._now = now
        self._congested = False
        self._keepalive.heard(now)
        if self.state is _CLOSE_SENT:
            # What was sent before the close frame is still on its way: it is the peer's progress that is bounded.
            self._set_deadline(self.options.close_handshake_timeout, self._closing_overdue)
        self._deliver()

    def handle_timeout(self, now: float) -> None:
        """Do what is due; does nothing if nothing is."""
        self._now = now
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._on_deadline()
        if self._busy and not self._congested and self._reader is not None and self._reader.halted:
            # We have stopped to read for the handler's sake, and would not see a pong.
            self._keepalive.suspend()
        try:
            payload = self._keepalive.due(now)
        except TimeoutError:
            self._drop("WebSocket ping timeout (peer did not respond with pong in time)")
        else:
            if payload is not None:
                self.output.add_control(PING, payload)
                if self.codec is not None:
                    self.codec.idle()

    # -- Opening handshake

    def send_request(self, request: bytes, *, key: str, protocols: tuple[str, ...] = ()) -> None:
        """Send a client's opening handshake.

        Args:
            request: the request, from ``build_request``.
            key: the key in it.
            protocols: the subprotocols in it.
        """
        if self._opening is not None:
            self._opening.key = key
            self._opening.protocols = protocols
            self._send_handshake(request)

    def accept(self, response: bytes, codec: Codec | None = None) -> None:
        """Accept a client's request: the connection is open, and paused until ``resume_delivery``.

        Does nothing if the connection is lost by now.

        Args:
            response: the response, from ``accept_response``.
            codec: the compression that it agrees to.
        """
        if self.state is _CONNECTING:
            self._send_handshake(response)
            self._open(codec)

    def refuse(self, response: bytes, reason: str, now: float) -> None:
        """Answer a request without opening a WebSocket, and end the connection.

        Does nothing if the connection is lost by now.

        Args:
            response: a complete HTTP response, from ``refuse_response``.
            reason: why, for ``on_closed``.
            now: the time; the peer has from now on to read the response.
        """
        if self.state is _CONNECTING:
            self._now = now
            self.failure = reason
            self._send_handshake(response)
            self._opening = None
            self._busy = False
            self._move(_REFUSED)
            self._finish(_FINISH)

    def establish(self, codec: Codec | None = None) -> None:
        """Agree to a server's response: the connection is open, and paused until ``resume_delivery``.

        Args:
            codec: the compression agreed on.
        """
        if self.state is _CONNECTING:
            self._open(codec)

    def fail_handshake(self, reason: str) -> None:
        """Give an opening handshake up, on a client.

        Args:
            reason: why, for ``on_closed``.
        """
        if self.state is _CONNECTING:
            self.failure = reason
            self._opening = None
            self._busy = False
            self._move(_REFUSED)
            self._disconnect = _ABORT
            self._deadline = None

    def _receive_handshake(self, opening: OpeningHandshake, data: bytes) -> None:
        self.handshake_octets_received += len(data)
        try:
            head = opening.receive(data)
        except NotAnUpgrade as error:
            assert opening.request is not None
            self._handler.on_plain_request(opening.request, error)
        except InvalidResponse as error:
            self.fail_handshake(error.reason)
        except HandshakeError as error:
            self.refuse(refuse_response(error.http_status, error.reason, error.headers), error.reason, self._now)
        else:
            if isinstance(head, Opening):
                self._handler.on_request(head)
            elif head is not None:
                self._handler.on_response(head)

    def _send_handshake(self, data: bytes) -> None:
        self.handshake_octets_sent += len(data)
        self.output.add(data)

    def _open(self, codec: Codec | None) -> None:
        self._move(_OPENED)
        self._deadline = None
        rest = self._opening.rest if self._opening is not None else b""
        self._opening = None
        self._busy = True
        self.codec = codec
        self._keepalive.start(self._now)
        self.reader = self._reader = MessageReader(
            self.options,
            is_server=self.is_server,
            codec=codec,
            on_message=self._keep_message,
            on_control=self._control_received,
            on_frame=partial(self._handler.on_frame, False) if self.options.log_frames else None,
        )
        if rest:
            self.handshake_octets_received -= len(rest)
            self._read(rest)

    # -- Delivery

    def pause_delivery(self) -> None:
        """Deliver nothing more to the handler for now; it is busy."""
        self._busy = True
        if self._reader is not None:
            self._reader.on_message = self._keep_message

    def resume_delivery(self, now: float) -> None:
        """Deliver again; the handler has finished what it was told last."""
        self._now = now
        self._busy = False
        self._deliver()
        # Not before everything that has waited was delivered.
        if self._reader is not None and not self._busy:
            self._reader.on_message = self._handler.on_message

    def _deliver(self) -> None:
        """Deliver what has waited, then read on, then, if nothing more can come, report the end."""
        while not self._busy:
            reader = self._reader
            if self._ahead:
                self._answering = True
                try:
                    self._ahead.call_next()
                finally:
                    self._answering = False
            elif reader is not None and reader.halted and not self._is_stuck() and self._may_go_on(reader):
                self._keepalive.resume(self._now)
                self._read(None)
            else:
                if self.state is _CLOSED and not self._reported:
                    self._report()
                return

    def _is_stuck(self) -> bool:
        return self._congested and self._answers >= self._high_water

    def _may_go_on(self, reader: MessageReader) -> bool:
        # When the TCP connection is gone, nobody gives this one a turn any more.
        return not reader.yielded or self.state is _CLOSED

    def _dispatch(self, size: int, call: Callable[..., None], *arguments: Any) -> None:
        """Call the handler, or later if it is busy."""
        if not self._busy:
            call(*arguments)
            return
        self._ahead.add(size, call, arguments)
        if self._ahead.size >= self.options.read_ahead and self._reader is not None:
            self._reader.halted = True

    def _report(self) -> None:
        self._reported = True
        self._deadline = None
        self._abandon_reader()
        # Nobody is told anything any more. What refers to each other here is let go now; only the garbage collector
        # would find it, and for that it would have to go through the connections that are open.
        handler, self._handler = self._handler, _NOBODY
        self._on_deadline = _NOBODY
        if self.reader is not None:
            self.reader.forget()
        if self._received_close and not self._dropped:
            handler.on_closed(True, self.close_code, self.close_reason)
            return
        why = self.failure or "peer dropped the TCP connection without previous WebSocket closing handshake"
        handler.on_closed(False, 1006, f'connection was closed uncleanly ("{why}")')

    # -- Receiving

    def _abandon_reader(self) -> None:
        if self._reader is not None:
            self._reader.abandon()
            self._reader = None

    def _read(self, data: bytes | None, count: int = 0) -> None:
        """Have the reader go on: with data, with what was received in place, or with what it has."""
        reader = self._reader
        if reader is None:
            return
        self._answering = True
        try:
            if data is not None:
                reader.feed(data)
            elif count:
                reader.filled(count)
            else:
                reader.proceed()
        except RemoteProtocolError as error:
            self._stop_reading(self._seek_close, error)
        finally:
            self._answering = False

    def _stop_reading(self, then: Callable[..., None], *arguments: Any) -> None:
        """Deliver nothing more, and look for nothing but the peer's close frame in what is still to come."""
        reader = self._reader
        if reader is None:
            then(*arguments)
            return
        self._reader = None
        skip, rest = reader.abandon()
        self._seeker = seeker = None if skip is None else CloseSeeker(skip, self._close_frame)
        then(*arguments)
        # Unless that has dropped the connection.
        if seeker is not None and self._seeker is seeker:
            seeker.feed(rest)

    def _seek_close(self, error: RemoteProtocolError) -> None:
        self._dispatch(0, self._violated, error)

    def _keep_message(self, payload: bytes, is_binary: bool) -> None:
        """Take a message while the handler is busy; while it is not, the reader gives it messages directly."""
        self._dispatch(len(payload), self._handler.on_message, payload, is_binary)

    def _control_received(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            if self.auto_pong:
                self.send_pong(payload)
            else:
                self._dispatch(len(payload), self._handler.on_ping, payload)
        elif opcode == PONG:
            self._keepalive.pong(payload, self._now)
            if self.report_pongs:
                self._dispatch(len(payload), self._handler.on_pong, payload)
        else:
            self._close_frame(payload)

    def _close_frame(self, payload: bytes) -> None:
        """A close frame came. "An endpoint MUST NOT process any data received after a Close frame" (section 5.5.1)."""
        self._abandon_reader()
        self._seeker = None
        # It may be a while until a busy application lets us answer, and the peer answers no pings any more.
        self._keepalive.stop()
        self._dispatch(len(payload), self._close_received, payload)

    def _close_received(self, payload: bytes) -> None:
        violation = None
        try:
            self.close_code, self.close_reason = parse_close_payload(payload)
        except RemoteProtocolError as error:
            violation = error
            if len(payload) > 1:
                # What Autobahn reports for a code or a reason that may not be.
                self.close_code = 1000 if error.close_code == 1002 else int.from_bytes(payload[:2], "big")
        self._received_close = True
        if self.state is _OPEN:
            if violation is not None:
                if self.options.fail_by_drop:
                    self._drop(f"I dropped the WebSocket TCP connection: {violation.reason}")
                    return
                self._send_close(violation.close_code, violation.reason)
            elif self.options.echo_close_code_reason:
                self._send_close(self.close_code, self.close_reason)
            else:
                self._send_close(1000, None)
        if self.state is _CLOSE_SENT:
            self._move(_RECEIVE_CLOSE)
            self._end(violation is None and self._initiated)

    def _end(self, initiated: bool) -> None:
        """The closing handshake is complete: end the TCP connection, which is the server's part (section 7.1.1)."""
        self._keepalive.stop()
        if self.is_server:
            self._finish(_FINISH)
        else:
            overdue = self._server_overdue if initiated else self._linger_overdue
            self._set_deadline(self.options.server_connection_drop_timeout, overdue)

    def _violated(self, error: RemoteProtocolError) -> None:
        """Fail the connection (section 7.1.7): say why, then close."""
        if self.options.fail_by_drop and self.state in (_OPEN, _CLOSE_SENT):
            self._drop(f"I dropped the WebSocket TCP connection: {error.reason}")
        elif self.state is _OPEN:
            self.failure = f"I failed the WebSocket connection: {error.reason}"
            self._send_close(error.close_code, error.reason)
            if self.is_server:
                # The server closes the TCP connection (section 7.1.7); at once if no answer will come, or be found.
                if self._seeker is None:
                    self._end_unanswered(0)
                else:
                    timeout = self.options.close_handshake_timeout
                    wait = min(_ANSWER, timeout / 2) if timeout else _ANSWER
                    self._set_deadline(wait, partial(self._end_unanswered, wait))

    # -- Sending

    def send_message(
        self, payload: bytes, is_binary: bool, compress: bool = True, fragment_size: int | None = None
    ) -> None:
        """Queue a message.

        Args:
            payload: the message; UTF-8 if it is text.
            is_binary: whether it is binary.
            compress: False to send it uncompressed although compression was negotiated.
            fragment_size: the most payload to put into a frame, in bytes; None for ``auto_fragment_size``, 0 for no
            bound.

        Raises:
            Disconnected: the connection is not open.
            PayloadExceededError: the message is over ``max_message_size``.
        """
        output = self.output
        # Before compressing: a message that is compressed and then not sent would leave the peer without its context.
        if self.state is not _OPEN or len(payload) > self._max_message or output.size > self._max_queue:
            self._cannot_send(len(payload))
            return
        output.add_message(
            payload,
            is_binary,
            self.codec if compress else None,
            self._fragment_size if fragment_size is None else fragment_size,
        )
        if self._congested or output.size >= self._high_water:
            self._announce_output()

    def send_prepared(self, frame: bytes, size: int) -> None:
        """Queue a message that is a whole frame already, and not masked; see ``send_message``.

        Args:
            frame: the frame.
            size: the length of the message in it, in bytes, before compression.

        Raises:
            Disconnected: as ``send_message``.
            PayloadExceededError: as ``send_message``.
        """
        output = self.output
        if self.state is not _OPEN or size > self._max_message or output.size > self._max_queue:
            self._cannot_send(size)
            return
        output.add_prepared(frame, size)
        if self._congested or output.size >= self._high_water:
            self._announce_output()

    def _cannot_send(self, length: int) -> None:
        """Say why a message of this length is not queued, or drop the connection if too much is waiting already."""
        if self.state is not _OPEN:
            raise Disconnected("Attempt to send on a closed protocol")
        if length > self._max_message:
            raise PayloadExceededError(
                f"message of {length} bytes is over the limit of {self._max_message} (maxMessagePayloadSize)"
            )
        self._drop(f"peer did not take what was sent: more than {self._max_queue} bytes are waiting (maxSendQueueSize)")
        self._ahead.forget()

    def send_ping(self, payload: bytes = b"") -> None:
        """Queue a ping; ignored if the connection is not open.

        Raises:
            InvalidArgument: the payload is longer than 125 bytes.
        """
        self._send_control(PING, payload)

    def send_pong(self, payload: bytes = b"") -> None:
        """Queue a pong; ignored if the connection is not open.

        Raises:
            InvalidArgument: the payload is longer than 125 bytes.
        """
        self._send_control(PONG, payload)

    def send_keepalive_ping(self, now: float) -> None:
        """Queue an automatic ping before it is due, and wait for its pong as for any; ignored if not open."""
        if self.state is _OPEN:
            self.output.add_control(PING, self._keepalive.ping(now))

    def _send_control(self, opcode: int, payload: bytes) -> None:
        if len(payload) > MAX_CONTROL_PAYLOAD:
            raise InvalidArgument(f"payload of {len(payload)} bytes is too long for a ping or pong: at most 125")
        if self.state is _OPEN:
            self.output.add_control(opcode, payload)
            if self._congested or self.output.size >= self._high_water:
                self._announce_output()

    def _announce_output(self) -> None:
        """Much output has collected, or the transport takes none."""
        size = self.output.size
        if not self._congested:
            self._handler.on_output()
            return
        if self._answering or self._busy:
            self._answers += size - self._size_seen
            if self._reader is not None and self._is_stuck():
                self._reader.halted = True
        self._size_seen = size

    # -- Closing

    def close(self, code: int | None, reason: str | None, now: float) -> None:
        """Start the closing handshake; does nothing if the connection is closing or closed.

        Args:
            code: the close code to send, or None to send none.
            reason: text to go with the code, cut to 123 bytes of UTF-8; or None.
            now: the time.

        Raises:
            InvalidArgument: the code may not be sent, or there is a reason without a code.
            LocalProtocolError: the connection is not open yet.
        """
        close_payload(code, reason)
        if self.state is _CONNECTING:
            raise LocalProtocolError("cannot close a connection not yet connected")
        if self.state is _OPEN:
            self._now = now
            self._initiated = True
            self._send_close(code, reason)

    def fail(self, code: int, reason: str, now: float) -> None:
        """Close the connection because of an error on our side: nothing more is delivered but the end.

        Args:
            code: the close code to send, 1011 for an internal error (section 7.4.1).
            reason: text to go with it.
            now: the time.
        """
        self._now = now
        self._ahead.forget(keep=self._close_received)
        self._stop_reading(self._fail, code, reason)

    def _fail(self, code: int, reason: str) -> None:
        if self.state is _OPEN:
            self.failure = f"I failed the WebSocket connection: {reason}"
            self._send_close(code, reason)

    def drop(self, now: float, why: str = "None", *, abort: bool = True) -> None:
        """End the TCP connection without a closing handshake; deliver nothing more but the end.

        Args:
            now: the time.
            why: the reason for ``on_closed``.
            abort: whether what is still to be written is thrown away.
        """
        if self.state is _CLOSED:
            return
        self._now = now
        self._ahead.forget()
        # A closing handshake that is complete stays so (section 7.1.4), and a refusal its own reason.
        report = (self._dropped, self.failure) if self.state is _DISCONNECTING else (True, why)
        if abort or self._disconnect is _ABORT:
            self._drop(why)
        else:
            self._stop(why)
            self._finish(_CLOSE)
        self._dropped, self.failure = report

    def _drop(self, why: str) -> None:
        self._stop(why)
        self._disconnect = _ABORT
        self._deadline = None
        self.output.clear()

    def _stop(self, why: str) -> None:
        self.failure = why
        self._dropped = True
        self._move(_DROP)
        self._keepalive.stop()
        self._seeker = None
        if self._opening is not None:
            self._opening = None
            self._busy = False
        self._abandon_reader()

    def _send_close(self, code: int | None, reason: str | None) -> None:
        self.output.add_control(CLOSE, close_payload(code, reason))
        self.sent_close_code = code
        self.sent_close_reason = reason
        self._move(_SEND_CLOSE)
        self._keepalive.stop()
        self._set_deadline(self.options.close_handshake_timeout, self._closing_overdue)

    def _finish(self, disconnect: Disconnect) -> None:
        self._disconnect = disconnect
        self._set_deadline(self.options.close_handshake_timeout or _LINGER, self._linger_overdue)

    # -- Deadlines

    def _set_deadline(self, timeout: float, overdue: Callable[[], None]) -> None:
        self._deadline = self._now + timeout if timeout else None
        self._on_deadline = overdue

    def _opening_overdue(self) -> None:
        self._drop("WebSocket opening handshake timeout (peer did not finish the opening handshake in time)")

    def _end_unanswered(self, waited: float) -> None:
        self._disconnect = _FINISH
        self._set_deadline(max(self.options.close_handshake_timeout - waited, 0), self._closing_overdue)

    def _closing_overdue(self) -> None:
        self._drop(
            self.failure or "WebSocket closing handshake timeout (peer did not finish the closing handshake in time)"
        )

    def _server_overdue(self) -> None:
        self._drop("WebSocket closing handshake timeout (server did not drop TCP connection in time)")

    def _linger_overdue(self) -> None:
        self._disconnect = _ABORT
        self.output.clear()

    def _handler_overdue(self) -> None:
        self._abandon_reader()
        self._ahead.forget()
        self._handler.on_overdue()
