"""Every connection until it is known to become a WebSocket, and then those of the scope ``http``.

``HttpConnection`` reads the head of a request. One that asks for a WebSocket it gives away, with the connection;
any other goes to h11, which knows how bodies are framed, and to an ``HttpExchange``, which is what the application
talks to. After that the next request may follow on the same connection.

Heads are checked for what makes two readers disagree about where a request ends, before h11, which is more lenient,
sees them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import h11

from autobahnlike.asgi.condition import Condition
from autobahnlike.asgi.exchange import HttpExchange
from autobahnlike.websocket.link import EventLoop, Link, Timer
from autobahnlike.wire.handshake import refuse_response

if TYPE_CHECKING:
    from autobahnlike.asgi.server import Server

__all__ = ("HttpConnection",)

_NOTHING: Any = None

_END = b"\r\n\r\n"

# Whether the handshake is in order is for the WebSocket to say.
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*websocket", re.IGNORECASE)

# A line feed without a carriage return or the reverse, a folded line, or a space before the colon: proxies and servers
# disagree about what these mean (RFC 9112, sections 2.2, 5.1 and 5.2).
_AMBIGUOUS = re.compile(rb"(?<!\r)\n|\r(?!\n)|\n[ \t]|\n[^\r\n:]*[ \t]:|\x00")

_BARE = re.compile(rb"(?<!\r)\n")
_MISUNDERSTOOD = "the head of the request has a line that can be misunderstood"

_START = re.compile(rb"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,24}(?: |\Z)")

# What may be received ahead of a response that is still under way.
_READ_AHEAD = 65536

# What the transport is given at a time; it says whether it wants more.
_WRITE_SIZE = 262144

# A client that still sends is given this time, and is listened to for this much, so that it sees the response and not
# only that the connection was reset (RFC 9112, section 9.6).
_LINGER_TIME = 2.0
_LINGER_SIZE = 1048576


class HttpConnection:
    """One connection, for as long as it speaks HTTP.

    Args:
        server: whose application it is for.
        link: the transport.
        upgrade: takes the connection, with the head of the request and what came behind it.

    Attributes:
        server: as given.
        link: as given, until the connection is lost or given away.
        peer: who the client is, as the link says.
        is_lost: whether the transport is gone.
        can_write: happens when the client has taken what was written, and when it is gone.
    """

    def __init__(self, server: Server, link: Link, upgrade: Callable[[bytes, bytes], None]) -> None:
        self.server = server
        self.link = link
        self.peer = link.peer
        self.is_lost = False
        self.can_write = Condition(server.apps)
        self._loop: EventLoop = server.loop
        self._upgrade = upgrade
        self._exchange: HttpExchange | None = None
        # What was received: the head of the next request, or what came behind this one.
        self._head = bytearray()
        self._searched = 0
        # Whether that head is looked at in the next turn of the loop.
        self._is_next_due = False
        self._is_reading = True
        self._peer_ended = False
        # What is to be written. The transport is given a piece at a time, so that a client that takes some of it is
        # seen to do so.
        self._output: deque[memoryview] = deque()
        self._is_writable = True
        self._write_timer: Timer | None = None
        # What to do when everything is written.
        self._next_step: Callable[[], None] | None = None
        self._is_ending = False
        self._is_new = True
        # Whether the client has ever sent a request before it had the response to the one before.
        self._is_pipelining = False
        self._lingered = 0
        self._unwritten = 0
        # Of the head, of the wait for the next request, of the body, or of the end.
        self._timer: Timer | None = None
        server.add(self)
        if server.is_stopping:
            self.stop()
        else:
            self.set_timer(server.options.head_timeout, self._late)

    # -- What the transport tells

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        if self._is_ending:
            self._lingered += len(data)
            if self._lingered > _LINGER_SIZE:
                self.link.abort()
        elif self._exchange is not None and not self._exchange.has_request:
            self._exchange.data_received(data)
        else:
            self._head += data
            if self._exchange is None and self._next_step is None and not self._is_next_due:
                self._read_head()
            elif len(self._head) > _READ_AHEAD:
                self.pause_reading()

    def peer_ended(self) -> None:
        """The client has ended its side: it is gone, or it wants nothing but the response."""
        if self._peer_ended:
            return
        self._peer_ended = True
        self._is_reading = False
        if self._is_ending:
            self.link.close()
        elif self._exchange is not None:
            self._exchange.peer_ended()
        elif self._next_step is None and not self._is_next_due:
            self._end()

    def connection_lost(self) -> None:
        """The transport is gone."""
        self.is_lost = True
        self._output.clear()
        self._next_step = None
        self._clear_timers()
        self.server.remove(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lost()
        self.can_write.notify_all()
        self._let_go()

    def _let_go(self) -> None:
        """Let go of what refers back to us, so that no garbage collector has to find it."""
        self.link = self._upgrade = _NOTHING

    def writing_paused(self) -> None:
        """The transport has enough to write."""
        self._is_writable = False
        if self._write_timer is None and self.server.options.write_timeout:
            self._write_timer = self._loop.call_later(self.server.options.write_timeout, self._given_up)

    def writing_resumed(self) -> None:
        """The transport can take more."""
        self._is_writable = True
        timer, self._write_timer = self._write_timer, None
        if timer is not None:
            timer.cancel()
        self._flush()

    # -- What the server wants

    def stop(self) -> None:
        """The server stops: what is not under way is not begun."""
        if self._exchange is not None or self._next_step is not None:
            return
        options = self.server.options
        if self._is_new and options.drain_timeout:
            # The first request may be on its way, from a client that has no reason to try again elsewhere.
            self.set_timer(min(options.drain_timeout, options.head_timeout or options.drain_timeout), self._late)
        else:
            self._end_idle()

    def abort(self) -> None:
        """Drop the connection now."""
        if not self.is_lost:
            self.link.abort()

    # -- Requests

    def _read_head(self) -> None:
        head = self._head
        while head.startswith(b"\r\n"):
            # RFC 9112, section 2.2: some clients send an empty line behind a body.
            del head[:2]
            self._searched = 0
        if not head or head == b"\r":
            return
        stop = head.find(_END, max(0, self._searched - 3))
        bound = self.server.options.max_head_size
        if bound and (stop if stop >= 0 else len(head)) > bound:
            self.refuse(431, "the head of the request is too long")
        elif stop >= 0:
            rest = bytes(head[stop + 4 :])
            whole = bytes(head[: stop + 4])
            head.clear()
            self._searched = 0
            self._begin(whole, rest)
        elif not _START.match(head[:25]):
            self.refuse(400, "this is not an HTTP request")
        elif _BARE.search(head, max(0, self._searched - 1)):
            # The end that is looked for may never come.
            self.refuse(400, _MISUNDERSTOOD)
        else:
            if not self._searched:
                # Idle until now.
                self.set_timer(self.server.options.head_timeout, self._late)
            self._searched = len(head)

    def _begin(self, head: bytes, rest: bytes) -> None:
        self._is_new = False
        self.clear_timer()
        if _UPGRADE.search(head):
            self.server.remove(self)
            self._is_ending = True
            upgrade = self._upgrade
            self._let_go()
            upgrade(head, rest)
            return
        if _AMBIGUOUS.search(head):
            self.refuse(400, _MISUNDERSTOOD)
            return
        # One for each request, because what comes behind a request is kept here and not there.
        bound = max(len(head), self.server.options.max_head_size or len(head))
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=bound)
        try:
            parser.receive_data(head)
            request = parser.next_event()
        except h11.RemoteProtocolError as error:
            self.refuse(error.error_status_hint, str(error))
            return
        assert isinstance(request, h11.Request)
        if request.http_version not in (b"1.0", b"1.1"):
            self.refuse(505, "this server speaks HTTP/1.1")
            return
        names = [name for name, _ in request.headers]
        if b"transfer-encoding" in names and (b"content-length" in names or request.http_version < b"1.1"):
            # RFC 9112, sections 6.1 and 6.3: such a request is one that a proxy in front may have understood otherwise.
            self.refuse(400, "the request has a Transfer-Encoding that may not be there")
            return
        if request.method == b"CONNECT":
            self.refuse(501, "this server is not a proxy")
            return
        self._exchange = exchange = HttpExchange(self, parser, request)
        exchange.begin(rest)

    def exchanged(self, rest: bytes, *, is_reusable: bool) -> None:
        """A response is complete.

        Args:
            rest: what was received behind the request.
            is_reusable: whether another request may follow.
        """
        self._exchange = None
        if self.is_lost:
            return
        if is_reusable:
            self._head[:0] = rest
            self._is_pipelining = self._is_pipelining or bool(self._head)
            # Not before the client has this response: those that never read would have us collect one after the other.
            self._when_written(self._await_next)
        else:
            self._end()

    def _await_next(self) -> None:
        if self.server.is_stopping or (self._peer_ended and not self._head):
            self._end()
            return
        self.set_timer(self.server.options.keep_alive_timeout, self._end_idle)
        self.resume_reading()
        if self._head:
            # In a turn of its own: a thousand requests in one read are no thousand calls within each other.
            self._is_next_due = True
            self._loop.call_later(0, self._next)

    def _next(self) -> None:
        self._is_next_due = False
        if self._exchange is None and self._next_step is None and not self.is_lost and not self._is_ending:
            self._read_head()
            if self._peer_ended and self._exchange is None:
                self._end()

    def refuse(self, status: int, reason: str) -> None:
        """Answer what is no request that the application could answer, and end the connection."""
        self.server.counters.count_request(status)
        self.write(refuse_response(status, reason, (), None, self.server.options.server_header or ""))
        self._end()

    def _late(self) -> None:
        """The head of a request took too long."""
        if self._head:
            self.refuse(408, "the head of the request took too long")
        else:
            self._end_idle()

    # -- Writing

    @property
    def is_drained(self) -> bool:
        """Whether the transport can take more."""
        return self._is_writable and not self._output

    def write(self, data: bytes) -> None:
        """Write, now or when the transport can take more."""
        if self.is_lost:
            return
        if self._is_writable and not self._output and len(data) <= _WRITE_SIZE:
            self.link.write([data])
            return
        self._output.append(memoryview(data))
        self._flush()

    def _flush(self) -> None:
        output = self._output
        while self._is_writable and output:
            piece = output.popleft()
            if len(piece) > _WRITE_SIZE:
                output.appendleft(piece[_WRITE_SIZE:])
                piece = piece[:_WRITE_SIZE]
            self.link.write([piece])
        if self.is_drained:
            self.can_write.notify_all()
            step, self._next_step = self._next_step, None
            if step is not None:
                step()

    def _when_written(self, step: Callable[[], None]) -> None:
        if self.is_drained:
            step()
        else:
            self._next_step = step

    def _given_up(self) -> None:
        self._write_timer = None
        self.abort()

    # -- The end

    def _end(self) -> None:
        """End the connection once everything is written."""
        if self.is_lost or self._is_ending:
            return
        self._is_ending = True
        self._exchange = None
        self._head.clear()
        self.clear_timer()
        self.resume_reading()
        self._when_written(self._finish)

    def _end_idle(self) -> None:
        """End the connection between two requests, or before the first one.

        There is no response that the client could lose, for it sends nothing before it has read the last one: so it is
        not listened to any more. It would not even notice before it sends its next request, which may be in an hour.
        """
        if self._head or self._is_pipelining or self.is_lost or self._is_ending:
            self._end()
            return
        self._is_ending = True
        self.link.close()
        # TLS waits for the client to say goodbye.
        self.set_timer(_LINGER_TIME, self._lingered_enough)

    def _finish(self) -> None:
        if self._peer_ended:
            self.link.close()
        else:
            self.link.finish()
        self._unwritten = self.link.buffered
        self.set_timer(_LINGER_TIME, self._lingered_enough)

    def _lingered_enough(self) -> None:
        """A client that still takes what was written has the time for it."""
        unwritten, self._unwritten = self._unwritten, self.link.buffered
        if self._unwritten < unwritten:
            self.set_timer(_LINGER_TIME, self._lingered_enough)
        else:
            self.abort()

    # -- For the exchange

    def pause_reading(self) -> None:
        """Read nothing from the network for now."""
        if self._is_reading and not self.is_lost:
            self._is_reading = False
            self.link.pause_reading()

    def resume_reading(self) -> None:
        """Read again, unless there is nothing any more."""
        if not self._is_reading and not self.is_lost and not self._peer_ended:
            self._is_reading = True
            self.link.resume_reading()

    def set_timer(self, delay: float, action: Callable[[], None]) -> None:
        """Have something done after ``delay`` seconds, 0 for never, unless something else is to be done before."""
        self.clear_timer()
        if delay:
            self._timer = self._loop.call_later(delay, partial(self._due, action))

    def _due(self, action: Callable[[], None]) -> None:
        self._timer = None
        action()

    def clear_timer(self) -> None:
        """What was waited for has come."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _clear_timers(self) -> None:
        self.clear_timer()
        timer, self._write_timer = self._write_timer, None
        if timer is not None:
            timer.cancel()
