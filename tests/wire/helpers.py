"""What the tests of the core share: frames as bytes, one side of a connection, and two sides joined by a wire."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from autobahnlike.exception import NotAnUpgrade
from autobahnlike.wire.connection import Connection, Disconnect
from autobahnlike.wire.deflate import Codec, Deflate, DeflateParams
from autobahnlike.wire.handshake import Acceptance, Opening, accept_response, build_request, refuse_response
from autobahnlike.wire.http11 import Request, RequestReader
from autobahnlike.wire.options import Options
from autobahnlike.wire.state import State

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1, RSV2, RSV3 = 4, 2, 1

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x37\xfa\x21\x3d"

REQUEST = (
    b"GET /chat HTTP/1.1\r\n"
    b"Host: localhost\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"\r\n"
)

ROLES = {"server": True, "client": False}
"""For ``pytest.mark.parametrize("is_server", ROLES.values(), ids=ROLES)``."""

DEFLATE_TAIL = b"\x00\x00\xff\xff"


class Frame(NamedTuple):
    """A frame as it was on the wire, its payload unmasked."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masked: bool = False


def mask_payload(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask, octet by octet, as RFC 6455, section 5.3 words it."""
    return bytes(octet ^ mask[index & 3] for index, octet in enumerate(payload))


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    claim: int | None = None,
    form: int = 0,
) -> bytes:
    """A frame, valid or not.

    Args:
        opcode: any of 0 to 15.
        payload: what follows the header.
        fin: the FIN bit.
        rsv: the three reserved bits.
        mask: a masking key, or None.
        claim: the length to announce instead of that of the payload.
        form: 2 or 8 to announce it in so many bytes although it may fit into fewer.
    """
    length = len(payload) if claim is None else claim
    form = form or (0 if length < 126 else 2 if length < 65536 else 8)
    marker = {0: length, 2: 126, 8: 127}[form]
    head = bytes((fin << 7 | rsv << 4 | opcode, (mask is not None) << 7 | marker)) + length.to_bytes(form or 1, "big")
    if not form:
        head = head[:2]
    return head + payload if mask is None else head + mask + mask_payload(payload, mask)


def close_frame(code: int | None = None, reason: bytes = b"", *, mask: bytes | None = None) -> bytes:
    """A close frame with any code."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason, mask=mask)


def parse_frames(data: bytes) -> list[Frame]:
    """Parse whole frames, by the letter of RFC 6455, section 5.2; nothing may be left over."""
    frames = []
    while data:
        first, second, start = data[0], data[1], 2
        length = second & 127
        if length > 125:
            start = 4 if length == 126 else 10
            length = int.from_bytes(data[2:start], "big")
        mask = data[start : start + 4] if second & 128 else None
        start += 4 if mask else 0
        payload = data[start : start + length]
        assert len(payload) == length, "the last frame is not complete"
        data = data[start + length :]
        payload = mask_payload(payload, mask) if mask else payload
        frames.append(Frame(first & 15, payload, bool(first & 128), first >> 4 & 7, mask is not None))
    return frames


def deflate(is_server: bool, **params: Any) -> Deflate:
    """The codec of one side."""
    return Deflate(DeflateParams(**params), is_server=is_server)


class RecordingHandler:
    """A handler that notes what it is told, in ``events``, and decides as it was told to.

    Attributes:
        events: tuples of a name and what came with it: ("open",), ("message", payload, is_binary), ("closed", …), …
        decides: whether requests and responses are accepted at once; otherwise the test does it.
        opens: whether the opening is dealt with at once.
        is_slow: whether delivery pauses at each message, until the test resumes it.
        codec: the compression that openings agree on.
        hooks: functions, by the name of the event, that are called with what came with it.
    """

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.decides = True
        self.opens = True
        self.is_slow = False
        self.codec: Codec | None = None
        self.hooks: dict[str, Callable[..., None]] = {}
        self.side: Side
        self.opening: Opening
        self.outputs = 0

    def _note(self, name: str, *what: Any) -> None:
        self.events.append((name, *what))
        if name in self.hooks:
            self.hooks[name](*what)

    def _opened(self) -> None:
        self._note("open")
        if self.opens:
            self.side.connection.resume_delivery(self.side.now)

    def on_request(self, opening: Opening) -> None:
        self.opening = opening
        self._note("request", opening.resource)
        if self.decides:
            self.accept()

    def accept(self) -> None:
        """Accept the request."""
        self.side.connection.accept(accept_response(self.opening), self.codec)
        self._opened()

    def on_plain_request(self, request: Request, error: NotAnUpgrade) -> None:
        self._note("plain request", request.target)
        self.side.connection.refuse(refuse_response(error.http_status), error.reason, self.side.now)

    def on_response(self, acceptance: Acceptance) -> None:
        self._note("response", acceptance.subprotocol)
        if self.decides:
            self.establish()

    def establish(self) -> None:
        """Agree to the response."""
        self.side.connection.establish(self.codec)
        self._opened()

    def on_message(self, payload: bytes, is_binary: bool) -> None:
        if self.is_slow:
            self.side.connection.pause_delivery()
        self._note("message", payload, is_binary)

    def on_ping(self, payload: bytes) -> None:
        self._note("ping", payload)

    def on_pong(self, payload: bytes) -> None:
        self._note("pong", payload)

    def on_closed(self, was_clean: bool, code: int | None, reason: str | None) -> None:
        self._note("closed", was_clean, code, reason)

    def on_output(self) -> None:
        self.outputs += 1
        self.side.write()

    def on_frame(self, sent: bool, first_byte: int, length: int) -> None:
        self._note("frame", sent, first_byte, length)

    def on_overdue(self) -> None:
        self._note("overdue")


class Side:
    """One side of a connection, with an honest edge around it: what it writes collects in ``outgoing``.

    Attributes:
        now: the time, in seconds.
        outgoing: what was written and has not been taken.
        high_water: bytes in ``outgoing`` from which on the transport takes no more.
        mask: the masking key of the peer's frames, or None.
    """

    def __init__(
        self,
        *,
        is_server: bool = True,
        options: Options | None = None,
        handler: RecordingHandler | None = None,
        high_water: int = 1 << 40,
    ) -> None:
        self.now = 0.0
        self.is_server = is_server
        self.handler = RecordingHandler() if handler is None else handler
        self.handler.side = self
        self.outgoing = bytearray()
        self.high_water = high_water
        self.is_paused = False
        self.mask = MASK if is_server else None
        self.connection = Connection(
            self.handler,
            Options() if options is None else options,
            is_server=is_server,
            now=self.now,
            random_bytes=random.Random(6455).randbytes,
        )

    # -- What an edge does

    def write(self) -> None:
        """Take what is to be written, as far as the transport takes it."""
        if not self.is_paused:
            for chunk in self.connection.data_to_send():
                self.outgoing += chunk
            if len(self.outgoing) > self.high_water:
                self.is_paused = True
                self.connection.writing_paused(self.now)

    def settle(self) -> None:
        """What an edge does after every call."""
        self.write()
        while self.connection.wants_turn:
            self.connection.resume_reading(self.now)
            self.write()

    def take(self, size: int = 1 << 40) -> bytes:
        """The peer reads what was written."""
        data = bytes(self.outgoing[:size])
        del self.outgoing[:size]
        if self.is_paused and not self.outgoing:
            self.is_paused = False
            self.connection.writing_resumed(self.now)
            self.settle()
        return data

    def receive(self, *reads: bytes) -> None:
        """Receive, one read after the other."""
        for data in reads:
            self.connection.receive_data(data, self.now)
            self.settle()

    def receive_bytewise(self, data: bytes) -> None:
        """Receive in reads of one byte."""
        self.receive(*(data[index : index + 1] for index in range(len(data))))

    def resume(self) -> None:
        """The handler has finished what it was busy with."""
        self.connection.resume_delivery(self.now)
        self.settle()

    def advance(self, seconds: float) -> None:
        """Let time go by, and wake the connection whenever it wants to be."""
        end = self.now + seconds
        while (deadline := self.connection.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.connection.handle_timeout(self.now)
            self.settle()
            after = self.connection.next_deadline()
            assert after is None or after > self.now, "a deadline that has passed is gone"
        self.now = end

    def lose(self, why: str | None = None) -> None:
        """The TCP connection is gone."""
        self.connection.connection_lost(self.now, why)

    # -- What the peer sends

    def frame(self, opcode: int, payload: bytes = b"", **details: Any) -> bytes:
        """A frame as the peer of this side sends it."""
        details.setdefault("mask", self.mask)
        return frame(opcode, payload, **details)

    def close_frame(self, code: int | None = None, reason: bytes = b"") -> bytes:
        """A close frame as the peer of this side sends it."""
        return close_frame(code, reason, mask=self.mask)

    # -- What is to be seen

    def asked(self) -> Disconnect:
        """What the connection asks to be done with the transport."""
        return self.connection.disconnect

    def sent(self) -> list[Frame]:
        """The frames that were written since the last time, taken."""
        return parse_frames(self.take())

    @property
    def messages(self) -> list[bytes]:
        """The payloads of the messages that were delivered."""
        return [event[1] for event in self.handler.events if event[0] == "message"]

    @property
    def closed(self) -> tuple[bool, int | None, str | None]:
        """What ``on_closed`` was told; it was told once, and last."""
        told = [index for index, event in enumerate(self.handler.events) if event[0] == "closed"]
        assert told == [len(self.handler.events) - 1]
        return self.handler.events[-1][1:]

    def assert_sent(self, *expected: Frame) -> None:
        """These frames were written, and no others; masked on a client only."""
        assert [Frame(*each[:4], masked=not self.is_server) for each in expected] == self.sent()

    def assert_failed(self, code: int) -> None:
        """The connection was failed with this close code, and waits for the peer's close frame."""
        frames = self.sent()
        assert [each.opcode for each in frames[-1:]] == [CLOSE], frames
        assert int.from_bytes(frames[-1].payload[:2], "big") == code, frames[-1]
        assert self.connection.state is State.CLOSE_SENT
        assert self.connection.failure is not None

    def assert_dropped(self, why: str) -> None:
        """The connection was dropped for this reason, with nothing more to be written."""
        assert self.connection.disconnect is Disconnect.ABORT
        assert self.connection.data_to_send() == []
        self.lose()
        assert self.closed == (False, 1006, f'connection was closed uncleanly ("{why}")')


def opened(
    *,
    is_server: bool = True,
    codec: Codec | None = None,
    handler: RecordingHandler | None = None,
    high_water: int = 1 << 40,
    **options: Any,
) -> Side:
    """One side of an open connection, at time 0, with nothing written and nothing noted."""
    side = Side(is_server=is_server, options=Options(**options), handler=handler)
    side.handler.codec = codec
    if is_server:
        side.receive(REQUEST)
    else:
        side.connection.send_request(REQUEST, key=KEY)
        side.receive(RESPONSE)
    assert side.connection.state is State.OPEN
    side.take()
    side.high_water = high_water
    side.handler.events.clear()
    return side


def undecided(is_server: bool = True, **options: Any) -> Side:
    """A side that has the peer's head, and decides later."""
    side = Side(is_server=is_server, options=Options(**options))
    side.handler.decides = False
    if is_server:
        side.receive(REQUEST)
    else:
        side.connection.send_request(REQUEST, key=KEY)
        side.receive(RESPONSE)
    return side


class Pair:
    """A client and a server on a wire whose every read is up to the test.

    Args:
        client_options, server_options: the options of both.
        codecs: the compression of client and server.
        high_water: bytes on the way from which on a transport takes no more.
    """

    def __init__(
        self,
        client_options: Options | None = None,
        server_options: Options | None = None,
        *,
        codecs: tuple[Codec | None, Codec | None] = (None, None),
        high_water: int = 1 << 40,
    ) -> None:
        self.client = Side(is_server=False, options=client_options, high_water=high_water)
        self.server = Side(is_server=True, options=server_options, high_water=high_water)
        self.sides = (self.client, self.server)
        for side, codec in zip(self.sides, codecs, strict=True):
            side.handler.codec = codec
        self._ended: set[Side] = set()
        self._lost: set[Side] = set()
        self.is_cut = False
        request = build_request(host="localhost", port=80, secure=False, resource="/", key=KEY)
        self.client.connection.send_request(request, key=KEY)
        self.client.settle()

    @property
    def now(self) -> float:
        """The time, in seconds."""
        return self.client.now

    def other(self, side: Side) -> Side:
        """The other side."""
        return self.server if side is self.client else self.client

    def carry(self, side: Side, size: int = 1 << 40) -> int:
        """Bring what one side has written to the other, if that reads; returns the number of bytes."""
        other = self.other(side)
        if self.is_cut or other in self._lost or not other.connection.wants_read:
            return 0
        data = side.take(size)
        if data:
            other.receive(data)
        self._obey()
        return len(data)

    def run(self, size: int = 1 << 40) -> None:
        """Carry until nothing moves any more."""
        while self.carry(self.client, size) + self.carry(self.server, size):
            pass

    def cut(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self.is_cut = True

    def advance(self, seconds: float, *, carries: bool = True) -> None:
        """Let time go by, deadline by deadline, and, if asked to, carry whatever is written meanwhile."""
        end = self.now + seconds
        while True:
            if carries:
                self.run()
            self._obey()
            deadlines = (side.connection.next_deadline() for side in self.sides)
            upcoming = min((each for each in deadlines if each is not None), default=end)
            step = min(max(upcoming, self.now), end) - self.now
            for side in self.sides:
                side.advance(step)
            self._obey()
            if upcoming >= end:
                return

    def _obey(self) -> None:
        """Do with the transports what the connections ask for; tell each side what it sees of it."""
        for side in self.sides:
            what = side.connection.disconnect
            if what is Disconnect.ABORT or (what is Disconnect.CLOSE and not side.outgoing):
                side.outgoing.clear()
                self._lose(side)
            elif what is Disconnect.FINISH:
                self._ended.add(side)
        for side in self.sides:
            # The end of one direction is read behind all data, and answered by ending the other one.
            if side in self._ended and not side.outgoing and not self.is_cut:
                self._lose(self.other(side))

    def _lose(self, side: Side) -> None:
        if side not in self._lost:
            self._lost.add(side)
            side.lose()
            self._ended.add(side)


def parse_request(data: bytes) -> Request:
    """The request head that a client has written."""
    request = RequestReader().feed(data)
    assert request is not None
    return request


def splits(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut data into pieces of these sizes, with what is left as the last."""
    pieces = []
    for size in sizes:
        if not data:
            break
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data] if data else pieces
