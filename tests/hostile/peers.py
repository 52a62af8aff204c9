"""The attacker's toolkit: handshakes and frames as bytes, and a socket that sends and reads them as they are."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MASK = b"\x37\xfa\x21\x3d"
DEFLATE = "permessage-deflate"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1, RSV2, RSV3 = 4, 2, 1

KIB = 1024
MIB = 1024 * 1024

PATIENCE = 20.0
"""Seconds after which a test gives up to wait. Far beyond every deadline, so that a slow machine does not matter."""


class Patience:
    """Ends a wait for something, though other things, such as pings, come meanwhile."""

    def __init__(self) -> None:
        self._until = time.monotonic() + PATIENCE

    def check(self) -> None:
        """Raise ``AssertionError`` if it is over."""
        assert time.monotonic() < self._until, f"neither an answer nor an end in {PATIENCE:g} s"


class Ended(Exception):
    """The other side ended the connection, orderly or by a reset, where more was expected."""


class Weak(AssertionError):
    """The rule holds in that nothing bad happens, but not in the way the RFC asks for."""


class Frame(NamedTuple):
    """A frame that was read."""

    fin: bool
    rsv: int
    opcode: int
    payload: bytes
    mask: bytes | None

    @property
    def code(self) -> int | None:
        """The code of a close frame, None if it has none."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


class Head(NamedTuple):
    """A request or response head that was read: its first line and its fields."""

    line: str
    fields: list[tuple[str, str]]

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.line.split(" ")[1])

    def all(self, name: str) -> list[str]:
        """The values of all fields of that name."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str:
        """The values of all fields of that name, joined by a comma."""
        return ", ".join(self.all(name))


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a key (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


REQUEST = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request(
    line: str | bytes = "GET / HTTP/1.1",
    *extra: str | bytes,
    drop: Iterable[str] = (),
    change: dict[str, str] | None = None,
) -> bytes:
    """A valid request head, with the request line given, lines added, and fields dropped or changed."""
    fields = {name: value for name, value in (REQUEST | (change or {})).items() if name not in drop}
    lines = [line, *(f"{name}: {value}" for name, value in fields.items()), *extra, "", ""]
    return b"\r\n".join(text if isinstance(text, bytes) else text.encode("latin-1") for text in lines)


@functools.lru_cache(maxsize=64)
def _key_stream(mask: bytes, length: int) -> int:
    return int.from_bytes((mask * (length // 4 + 1))[:length], "big")


def mask_payload(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask a payload (RFC 6455, section 5.3)."""
    length = len(payload)
    return (int.from_bytes(payload, "big") ^ _key_stream(mask, length)).to_bytes(length, "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    claim: int | None = None,
    form: int | None = None,
) -> bytes:
    """A frame, valid or not.

    Args:
        opcode: the opcode.
        payload: what follows the header.
        fin: whether it is the last frame of its message.
        rsv: the three reserved bits, RSV1 is 4.
        mask: the masking key; None for an unmasked frame, as a server sends it.
        claim: the length the header claims, if not the payload's.
        form: the bytes of the extended length (0, 2 or 8), if not the shortest that fits.
    """
    length = len(payload) if claim is None else claim
    if form is None:
        form = 0 if length < 126 else 2 if length < 65536 else 8
    short = {0: length, 2: 126, 8: 127}[form]
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode, (0 if mask is None else 0x80) | short))
    head += length.to_bytes(form, "big") if form else b""
    return head + payload if mask is None else head + mask + mask_payload(payload, mask)


def close_frame(code: int | None = 1000, reason: bytes = b"", *, mask: bytes | None = MASK) -> bytes:
    """A close frame."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason, mask=mask)


class Peer:
    """A socket that sends any bytes and reads heads and frames.

    Args:
        sock: a connected stream socket.
        client: whether this end is the client, which masks (RFC 6455, section 5.1).
    """

    def __init__(self, sock: socket.socket, *, client: bool) -> None:
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.mask = MASK if client else None
        self.buffer = bytearray()
        self.head = Head("", [])
        self.port: int = sock.getsockname()[1]

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.sock.close()

    # Sending

    def send(self, data: bytes) -> None:
        """Send, or raise ``Ended``."""
        try:
            self.sock.sendall(data)
        except (ConnectionError, BrokenPipeError) as error:
            raise Ended(str(error)) from error

    def try_send(self, data: bytes) -> None:
        """Send, if the connection still stands."""
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def send_frame(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> None:
        """Send a frame, masked if this end is the client."""
        self.send(frame(opcode, payload, fin=fin, rsv=rsv, mask=self.mask))

    def pump(self, blocks: Iterable[bytes], *, reading: bool = True, patience: float = PATIENCE) -> int:
        """Send blocks until something comes back, the connection ends, or nothing is taken for some time.

        Args:
            blocks: what to send.
            reading: stop as soon as there is something to read. If not, nothing is ever read.
            patience: seconds without progress after which to stop.

        Returns:
            How many bytes were sent.
        """
        sent = 0
        poll = select.poll()
        poll.register(self.sock, select.POLLOUT | (select.POLLIN if reading else 0))
        for block in blocks:
            view = memoryview(block)
            while view:
                ready = poll.poll(patience * 1000)
                if not ready or ready[0][1] != select.POLLOUT:
                    return sent
                try:
                    count = self.sock.send(view, socket.MSG_DONTWAIT)
                except OSError:
                    return sent
                sent += count
                view = view[count:]
        return sent

    def finish(self) -> None:
        """End this side's stream: a TCP FIN."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with a TCP RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # Reading

    def _fill(self) -> None:
        try:
            data = self.sock.recv(256 * KIB)
        except TimeoutError:
            raise AssertionError(f"neither an answer nor an end in {PATIENCE:g} s") from None
        except OSError as error:
            raise Ended(str(error)) from error
        if not data:
            raise Ended("end of stream")
        self.buffer += data

    def read(self, count: int) -> bytes:
        """Read that many bytes."""
        while len(self.buffer) < count:
            self._fill()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read_head(self) -> Head:
        """Read a request or response head."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            self._fill()
        lines = self.read(end + 4)[:-4].decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in lines[1:]]
        return Head(lines[0], [(name, value.strip(" \t")) for name, _, value in pairs])

    def read_response(self) -> Head:
        """Read a response head.

        Raises:
            Weak: the connection was ended without a response.
        """
        try:
            return self.read_head()
        except Ended as error:
            raise Weak(f"ended without a response ({error})") from error

    def read_body(self, head: Head) -> bytes:
        """Read the body of a response: as long as it says, else until the end."""
        if length := head.get("content-length"):
            return self.read(int(length))
        return self.read_rest()

    def read_rest(self) -> bytes:
        """Read until the connection ends."""
        patience = Patience()
        try:
            while True:
                patience.check()
                self._fill()
        except Ended:
            return self.read(len(self.buffer))

    def read_frame(self) -> Frame:
        """Read a frame."""
        first, second = self.read(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(self.read(2 if length == 126 else 8), "big")
        mask = self.read(4) if second & 0x80 else None
        payload = self.read(length)
        if mask:
            payload = mask_payload(payload, mask)
        return Frame(bool(first & 0x80), first >> 4 & 7, first & 0xF, payload, mask)

    def read_message(self, until: Callable[[Frame], bool] = lambda frame: False) -> Frame:
        """Read a message, answering pings. The first frame that ``until`` accepts is given as it is."""
        message = b""
        first: Frame | None = None
        patience = Patience()
        while True:
            patience.check()
            part = self.read_frame()
            if part.opcode == PING:
                self.send_frame(PONG, part.payload)
            if until(part) or part.opcode == CLOSE:
                return part
            if part.opcode in (CONTINUATION, TEXT, BINARY):
                first = first or part
                message += part.payload
                if part.fin:
                    return first._replace(payload=message, fin=True)

    # Expecting

    def expect_echo(self, payload: bytes, opcode: int = TEXT) -> None:
        """Send a message and read it back."""
        self.send_frame(opcode, payload)
        self.expect_message(payload, opcode)

    def expect_message(self, payload: bytes, opcode: int = TEXT) -> None:
        """Read exactly this message."""
        answer = self.read_message()
        same = (answer.opcode, answer.payload) == (opcode, payload)
        assert same, f"expected {_brief(opcode, payload)}, got {_brief(answer.opcode, answer.payload)}"

    def expect_close(self, *codes: int | None, ended: bool = True) -> Frame:
        """Read a close frame with one of these codes and no data before it, answer it, and read the end.

        Args:
            codes: which codes are right; none: any.
            ended: whether to answer and to wait for the other side's end.

        Raises:
            Weak: the connection was ended without the close frame that says why.
        """
        try:
            answer = self.read_message()
        except Ended as error:
            raise Weak(f"ended without a close frame ({error})") from error
        got = _brief(answer.opcode, answer.payload)
        assert answer.opcode == CLOSE, f"expected close {codes}, got {got}"
        assert not codes or answer.code in codes, f"expected close {codes}, got {got}"
        if ended:
            self.try_send(frame(CLOSE, answer.payload[:2], mask=self.mask))
            if not self.mask:
                # RFC 6455, section 7.1.1: the server ends TCP first, and the client may wait for that.
                self.finish()
            self.expect_end()
        return answer

    def expect_end(self) -> None:
        """Read the end of the connection; only frames that are no messages may come before it."""
        patience = Patience()
        try:
            while True:
                patience.check()
                part = self.read_frame()
                assert part.opcode > 7, f"expected the end, got {_brief(part.opcode, part.payload)}"
        except Ended:
            pass

    def expect_refusal(self, *statuses: int) -> Head:
        """Read a whole error response.

        Args:
            statuses: which are right; none: any from 400 to 599.

        Raises:
            Weak: the connection was ended without a response.
        """
        head = self.read_response()
        right = head.status in statuses if statuses else 400 <= head.status < 600
        assert right, f"expected status {statuses or '4xx or 5xx'}, got {head.line!r}"
        self.read_body(head)
        return head

    def expect_no_data(self, seconds: float) -> None:
        """Nothing comes for some time, and the connection stands."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        came = self.buffer or poll.poll(seconds * 1000)
        assert not came, "something came, or the connection ended"


def _brief(opcode: int, payload: bytes) -> str:
    shown = payload[:80]
    return f"opcode {opcode} with {len(payload)} bytes {shown!r}"


def wait_until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
    """Wait until a condition holds.

    Returns:
        The seconds it took.

    Raises:
        AssertionError: it does not hold in time.
    """
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < patience, f"not in {patience:g} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - start
