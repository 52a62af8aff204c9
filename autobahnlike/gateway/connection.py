"""One WebSocket of a gateway: from the request for it to its ``$disconnect``."""

from __future__ import annotations

import enum
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Receive, Scope, Send

from autobahnlike import logs
from autobahnlike.app.waiting import Latch
from autobahnlike.backplane.interface import ConnectionInfo, Payload, Verdict
from autobahnlike.backplane.memory import payload_size
from autobahnlike.gateway.events import Handshake, connect_event, message_event
from autobahnlike.gateway.loop import Cancellable, TimedOut
from autobahnlike.gateway.results import (
    ConnectAnswer,
    MalformedResult,
    error_body,
    message_reply,
    read_connect_result,
    status_message,
)
from autobahnlike.gateway.routes import CONNECT, DEFAULT

if TYPE_CHECKING:
    from autobahnlike.gateway.core import Core

__all__ = ("Connection", "refuse")

_log = logging.getLogger("autobahnlike.gateway")

_GOING_AWAY = 1001
_UNSUPPORTED_DATA = 1003
_NO_CODE = 1005
_ABNORMAL = 1006
_TOO_BIG = 1009
# What makes a code of ours one for private use: 4003 for 1003.
_PRIVATE = 3000

_OK = ConnectAnswer(200)


class _State(enum.Enum):
    CONNECTING = "its $connect runs"
    OPEN = "messages go both ways"
    CLOSING = "we have closed it; what came before is still dealt with"
    GONE = "there is nobody any more"


class Connection:
    """One WebSocket.

    Args:
        core: the gateway.
        scope: of ASGI, as are ``receive`` and ``send``.
        info: what is known of it.
        handshake: what its opening handshake brought.

    Attributes:
        is_registered: whether the backplane has been told of it.
        is_taken: whether its ``$disconnect`` is the business of another node.
    """

    def __init__(
        self, core: Core, scope: Scope, receive: Receive, send: Send, info: ConnectionInfo, handshake: Handshake
    ) -> None:
        self.is_registered = False
        self.is_taken = False
        self._core = core
        self._scope = scope
        self._receive = receive
        self._send = send
        self._info = info
        self._handshake = handshake
        self._state = _State.CONNECTING
        self._last_active = info.connected_at
        # What is to be sent, each with its size; the last may be the close.
        self._outbox: deque[tuple[Message, int]] = deque()
        self._queued_size = 0
        self._is_draining = False
        self._has_close = False
        self._was_open = False
        # Events for which no handler was called yet.
        self._pending: deque[dict[str, Any]] = deque()
        self._running = 0
        self._space: Latch | None = None
        self._done: Latch | None = None
        self._timers: dict[str, Cancellable] = {}

    def __repr__(self) -> str:
        return f"<Connection {self._info.connection_id} {self._state.name}>"

    @property
    def connection_id(self) -> str:
        """Its id."""
        return self._info.connection_id

    @property
    def info(self) -> ConnectionInfo | None:
        """What is known of it; None where others shall not see it."""
        return None if self._is_hidden() else self._info.active(self._last_active)

    @property
    def first_info(self) -> ConnectionInfo:
        """What was known of it in the beginning."""
        return self._info

    def _is_hidden(self) -> bool:
        if self._state is _State.CONNECTING:
            return self._core.aws_strict or self._has_close
        return self._state is not _State.OPEN

    # -- What others want of it

    def deliver(self, payload: Payload, *, holds: bool = False) -> Verdict:
        """Put a message behind the others for the client.

        Args:
            payload: text or bytes.
            holds: whether to hold it while ``$connect`` runs, also where others do not see the connection then.
        """
        if self._is_hidden() and not (holds and self._state is _State.CONNECTING):
            return Verdict.GONE
        limits = self._core.limits
        size = payload_size(payload)
        if limits.max_message_size and size > limits.max_message_size:
            return Verdict.TOO_LARGE
        if len(self._outbox) >= limits.max_queued_messages or self._queued_size >= limits.max_queued_size:
            return Verdict.BUFFER_FULL
        kind = "text" if isinstance(payload, str) else "bytes"
        self._queue({"type": "websocket.send", kind: payload}, size)
        # It may be that this was the one by which it was found out.
        if self._state is _State.GONE:
            return Verdict.GONE
        self._last_active = self._core.now()
        self._core.counters.messages_out += 1
        self._core.counters.bytes_out += size
        return Verdict.DELIVERED

    def close(self, code: int, reason: str) -> Verdict:
        """Close it after what is to be sent; its ``$disconnect`` follows."""
        if self._is_hidden():
            return Verdict.GONE
        self.end(code, reason)
        return Verdict.DELIVERED

    def end(self, code: int, reason: str) -> None:
        """Close it also where others do not see it yet."""
        if self._has_close or self._state is _State.GONE:
            return
        self._has_close = True
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
        self._queue({"type": "websocket.close", "code": code, "reason": reason}, 0)

    def _queue(self, event: Message, size: int) -> None:
        self._outbox.append((event, size))
        self._core.measures.count_queued(1, size)
        self._queued_size += size
        self._start_draining()

    def _start_draining(self) -> None:
        if self._outbox and not self._is_draining and self._state in (_State.OPEN, _State.CLOSING):
            self._is_draining = True
            self._core.loop.spawn(self._drain())

    async def _drain(self) -> None:
        # It may be a handler of another connection that sends.
        logs.connection_id.set(self.connection_id)
        try:
            while self._outbox:
                event, size = self._outbox.popleft()
                self._core.measures.count_queued(-1, -size)
                await self._send_or_close(event)
                self._queued_size -= size
        except Exception as error:
            # A server may say so with whichever exception; that of ASGI is an OSError.
            level = logging.DEBUG if isinstance(error, OSError) or self._has_close else logging.WARNING
            _log.log(level, "nothing can be sent to %s any more: %s", self.connection_id, error, extra=self._extra())
            self._lose()
        finally:
            self._is_draining = False

    async def _send_or_close(self, event: Message) -> None:
        try:
            await self._send(event)
        except OSError:
            raise
        except Exception:
            code = event.get("code", 0)
            if not 1001 <= code < 2000:
                raise
            # Daphne sends 1000 and those from 3000 on alone, and then the connection would stay.
            await self._send({**event, "code": code + _PRIVATE})

    def _lose(self) -> None:
        self._state = _State.GONE
        self._core.measures.count_queued(-len(self._outbox), -sum(size for _, size in self._outbox))
        self._outbox.clear()
        self._queued_size = 0
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _extra(self) -> dict[str, str]:
        return {"connection_id": self.connection_id}

    # -- From the beginning to the end

    async def serve(self) -> None:
        """Serve the client until it is gone and its handlers have ended."""
        with logs.about(self.connection_id):
            await self._serve()

    async def _serve(self) -> None:
        core = self._core
        code, reason = _ABNORMAL, ""
        was_accepted = False
        try:
            await self._receive()
            answer, request_id = await self._ask()
            if not answer.is_accepted:
                core.counters.refused += 1
                self._lose()
                core.forget(self)
                await self._refuse(answer.status, request_id)
                return
            was_accepted = True
            # Before the client knows: nothing that it does is then lost with this node.
            self.is_registered = True
            await core.backplane.register(self._info)
            if await self._accept(answer):
                code, reason = await self._read_all()
        except BaseException:
            # The server has given the connection up, which must not go unnoticed.
            if was_accepted:
                core.loop.spawn(self._end(code, reason))
            else:
                self._lose()
                core.forget(self)
            raise
        await self._end(code, reason)

    async def _end(self, code: int, reason: str) -> None:
        self._lose()
        if self._was_open:
            self._core.measures.count_closed(code)
        self._core.closing(self)
        try:
            while self._running:
                self._done = Latch()
                await self._done.wait()
            await self._core.disconnected(self, code, reason)
        finally:
            self._core.forget(self)

    async def _ask(self) -> tuple[ConnectAnswer, str]:
        """Run ``$connect``; returns what the client is answered, and the id of the request."""
        core = self._core
        event = connect_event(self._info, self._handshake, core.now(), stage_variables=core.stage_variables)
        request_id = event["requestContext"]["requestId"]
        if CONNECT not in core.routes:
            return _OK, request_id
        try:
            return read_connect_result(await core.invoke(CONNECT, event)), request_id
        except TimedOut as error:
            _log.error("%s: $connect %s", self.connection_id, error, extra=self._extra())
            return ConnectAnswer(504), request_id
        except MalformedResult as error:
            _log.error("%s: %s", self.connection_id, error, extra=self._extra())
        except Exception as error:
            _log.error("%s: $connect failed", self.connection_id, exc_info=error, extra=self._extra())
        core.counters.failures += 1
        return ConnectAnswer(502), request_id

    async def _accept(self, answer: ConnectAnswer) -> bool:
        event: Message = {"type": "websocket.accept"}
        if answer.subprotocol is not None:
            offered = self._scope.get("subprotocols") or ()
            if answer.subprotocol in offered:
                event["subprotocol"] = answer.subprotocol
            else:
                # RFC 6455, section 4.1: the client would have to fail the connection.
                _log.warning(
                    "%s: $connect chose the subprotocol %r, which the client does not offer (it offers: %s): left out",
                    self.connection_id,
                    answer.subprotocol,
                    ", ".join(offered) or "none",
                    extra=self._extra(),
                )
        try:
            await self._send(event)
        except OSError:
            return False
        if self._state is _State.GONE:
            return False
        self._state = _State.CLOSING if self._has_close else _State.OPEN
        self._was_open = True
        self._core.counters.accepted += 1
        self._start_timers()
        self._start_draining()
        return True

    async def _refuse(self, status: int, request_id: str) -> None:
        await refuse(
            self._scope, self._send, status, error_body(status_message(status), self.connection_id, request_id)
        )

    def _start_timers(self) -> None:
        limits, core = self._core.limits, self._core
        if limits.idle_timeout:
            self._timers["idle"] = core.loop.call_later(limits.idle_timeout, self._check_idle)
        if limits.max_lifetime:
            self._timers["lifetime"] = core.loop.call_later(
                limits.max_lifetime, lambda: self._expire("lifetime", "lasted long enough")
            )

    def _check_idle(self) -> None:
        core = self._core
        left = core.limits.idle_timeout - (core.now() - self._last_active) / 1000
        if left > 0:
            self._timers["idle"] = core.loop.call_later(left, self._check_idle)
        else:
            self._expire("idle", "was idle")

    def _expire(self, timer: str, why: str) -> None:
        # It has run: there is nothing to cancel.
        self._timers.pop(timer, None)
        _log.info("%s %s: closed", self.connection_id, why, extra=self._extra())
        self.close(_GOING_AWAY, "Going away")

    # -- Messages of the client

    async def _read_all(self) -> tuple[int, str]:
        """Take what the client sends; returns its close code and reason."""
        limits = self._core.limits
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                code = event.get("code")
                return (_NO_CODE if code is None else code), event.get("reason") or ""
            if self._state is not _State.OPEN:
                continue
            self._receive_message(event.get("text"), event.get("bytes"))
            while len(self._pending) >= limits.max_pending_messages:
                self._space = Latch()
                await self._space.wait()

    def _receive_message(self, text: str | None, data: bytes | None) -> None:
        core = self._core
        is_binary = text is None
        payload: Payload = (data or b"") if text is None else text
        size = payload_size(payload)
        if is_binary and core.refuses_binary:
            self.close(_UNSUPPORTED_DATA, "binary messages are not supported")
            return
        if core.limits.max_message_size and size > core.limits.max_message_size:
            self.close(_TOO_BIG, f"a message may have {core.limits.max_message_size} bytes")
            return
        now = self._last_active = core.now()
        core.counters.messages_in += 1
        core.counters.bytes_in += size
        body = core.to_body(payload)
        route_key = core.selector.select(body, core.routes) if not is_binary else DEFAULT
        event = message_event(
            self._info, route_key, body, now, is_base64=is_binary, stage_variables=core.stage_variables
        )
        self._pending.append(event)
        core.measures.pending += 1
        if self._running < core.concurrency:
            self._running += 1
            core.loop.spawn(self._handle_all())

    async def _handle_all(self) -> None:
        try:
            while self._pending:
                event = self._pending.popleft()
                self._core.measures.pending -= 1
                if self._space is not None:
                    space, self._space = self._space, None
                    space.open()
                await self._handle(event)
        finally:
            self._running -= 1
            if not self._running and self._done is not None:
                self._done.open()

    async def _handle(self, event: dict[str, Any]) -> None:
        core = self._core
        route_key = event["requestContext"]["routeKey"]
        if route_key not in core.routes:
            self._send_error("Forbidden", event)
            return
        try:
            result = await core.invoke(route_key, event)
            reply = message_reply(result)
        except TimedOut as error:
            _log.error("%s: %s %s", self.connection_id, route_key, error, extra=self._extra())
            self._send_error("Endpoint request timed out", event)
        except Exception as error:
            _log.error("%s: %s failed", self.connection_id, route_key, exc_info=error, extra=self._extra())
            self._send_error("Internal server error", event)
        else:
            if reply is not None and core.routes[route_key].has_response:
                self._reply(reply)

    def _send_error(self, message: str, event: dict[str, Any]) -> None:
        self._core.counters.failures += 1
        self._reply(error_body(message, self.connection_id, event["requestContext"]["requestId"]))

    def _reply(self, text: str) -> None:
        verdict = self.deliver(text)
        if verdict not in (Verdict.DELIVERED, Verdict.GONE):
            _log.warning("%s: an answer was not sent: %s", self.connection_id, verdict.value, extra=self._extra())


async def refuse(scope: Scope, send: Send, status: int, body: str) -> None:
    """Answer an opening handshake with a status and JSON; with 403 and nothing where the server can do no more."""
    try:
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        data = body.encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": data})
    except OSError:
        pass  # the client did not wait for it
