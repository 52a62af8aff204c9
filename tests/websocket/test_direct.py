"""Reading and writing without a transport, in Python and with the system calls themselves, over a pair of sockets."""

from __future__ import annotations

import importlib.util
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from twisted.internet.defer import Deferred

import autobahnlike
from autobahnlike.exception import Disconnected
from autobahnlike.speed import COMPILED
from autobahnlike.websocket import direct as running
from tests.wire.helpers import PING, PONG, TEXT, Frame, parse_frames

from .ends import End, FakeLink, NotingServer


def in_python() -> ModuleType:
    """The source in Python, where what is imported is the compiled one."""
    path = Path(autobahnlike.__file__).parent / "websocket" / "direct.py"
    spec = importlib.util.spec_from_file_location("direct_in_python", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BOTH: dict[str, Any] = {"compiled": running, "Python": in_python()} if COMPILED else {"Python": running}


@pytest.fixture(params=list(BOTH.values()), ids=list(BOTH))
def direct(request: pytest.FixtureRequest) -> Any:
    """The module."""
    return request.param


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection; the first one does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    near.setblocking(False)
    far.settimeout(10)
    with near, far:
        yield near, far


Ends = tuple[socket.socket, socket.socket]


def reset(sock: socket.socket) -> None:
    """Close, so that the other end gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def wait_to_read(sock: socket.socket) -> None:
    """Wait until there is something to read, if only the end."""
    sock.settimeout(10)
    try:
        sock.recv(1, socket.MSG_PEEK)
    finally:
        sock.setblocking(False)


def poller_says_so(sock: socket.socket) -> None:
    """Wait until there is something to be said of a socket, and leave it to be said."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    assert poller.poll(10_000)
    sock.setblocking(False)


def wait_to_write(sock: socket.socket) -> None:
    """Wait until something can be written."""
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    assert poller.poll(10_000)


def fill(direct: Any, sock: socket.socket) -> int:
    """Write until nothing is taken any more; return how much was."""
    total = 0
    while True:
        sent = direct.send(sock.fileno(), [bytes(100_000)])
        if sent == 0:
            return total
        total += sent


def test_it_is_available(direct: Any) -> None:
    assert direct.IS_AVAILABLE
    assert set(direct.__all__) == {"IS_AVAILABLE", "receive", "receive_into", "send"}


class TestReceiving:
    def test_nothing_has_arrived(self, direct: Any, ends: Ends) -> None:
        for limit in (1, 16384, 65536):
            assert direct.receive(ends[0].fileno(), limit) is None
        assert direct.receive_into(ends[0].fileno(), memoryview(bytearray(10))) == -1

    @pytest.mark.parametrize("limit", [1, 10, 16384, 16385, 65536, 1 << 20])
    @pytest.mark.parametrize("size", [1, 9, 10, 11, 16384, 50_000])
    def test_no_more_than_was_asked_for(self, direct: Any, ends: Ends, limit: int, size: int) -> None:
        near, far = ends
        data = os.urandom(size)
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        received = b""
        while len(received) < size:
            wait_to_read(near)
            piece = direct.receive(near.fileno(), limit)
            assert type(piece) is bytes
            assert 0 < len(piece) <= limit
            received += piece
            if limit == 1 and len(received) >= 20:
                size, data = 20, data[:20]
        assert received == data

    def test_the_end(self, direct: Any, ends: Ends) -> None:
        near, far = ends
        far.sendall(b"last")
        far.shutdown(socket.SHUT_WR)
        wait_to_read(near)
        assert direct.receive(near.fileno(), 100) == b"last"
        wait_to_read(near)
        for limit in (100, 100_000):
            assert direct.receive(near.fileno(), limit) == b""
        assert direct.receive_into(near.fileno(), memoryview(bytearray(10))) == 0

    @pytest.mark.parametrize("way", ["small", "large", "in place"])
    def test_a_reset(self, direct: Any, ends: Ends, way: str) -> None:
        near, far = ends
        reset(far)
        poller_says_so(near)
        ways = {
            "small": lambda: direct.receive(near.fileno(), 10),
            "large": lambda: direct.receive(near.fileno(), 100_000),
            "in place": lambda: direct.receive_into(near.fileno(), memoryview(bytearray(10))),
        }
        with pytest.raises(ConnectionResetError):
            ways[way]()

    def test_in_place(self, direct: Any, ends: Ends) -> None:
        near, far = ends
        memory = bytearray(b"." * 10)
        far.sendall(b"abc")
        wait_to_read(near)
        assert direct.receive_into(near.fileno(), memoryview(memory)[2:7]) == 3
        assert memory == b"..abc....."
        far.sendall(b"defghijk")
        wait_to_read(near)
        assert direct.receive_into(near.fileno(), memoryview(memory)[2:7]) == 5
        assert memory == b"..defgh..."
        assert direct.receive(near.fileno(), 100) == b"ijk"

    def test_in_place_only_what_can_be_written_to(self, direct: Any, ends: Ends) -> None:
        ends[1].sendall(b"abc")
        wait_to_read(ends[0])
        with pytest.raises((BufferError, TypeError)):
            direct.receive_into(ends[0].fileno(), memoryview(b"read-only"))

    def test_no_descriptor(self, direct: Any) -> None:
        calls: list[Callable[[], object]] = [
            lambda: direct.receive(-1, 10),
            lambda: direct.receive(-1, 100_000),
            lambda: direct.receive_into(-1, memoryview(bytearray(10))),
            lambda: direct.send(-1, [b"x"]),
            lambda: direct.send(-1, [b"x", b"y"]),
        ]
        for call in calls:
            with pytest.raises(OSError, match="Bad file descriptor"):
                call()


class TestSending:
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    @pytest.mark.parametrize("count", [1, 2, 15, 16])
    def test_chunks_of_every_kind(self, direct: Any, ends: Ends, kind: type, count: int) -> None:
        near, far = ends
        chunks = [kind(b"%d," % number * number) for number in range(count)]
        expected = b"".join(chunks)
        assert direct.send(near.fileno(), chunks) == len(expected)
        near.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: far.recv(1000), b"")) == expected
        assert len(chunks) == count

    def test_of_many_chunks_the_first(self, direct: Any, ends: Ends) -> None:
        near, far = ends
        chunks = [b"%03d" % number for number in range(100)]
        sent = direct.send(near.fileno(), chunks)
        assert 0 < sent <= 300
        near.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: far.recv(1000), b"")) == b"".join(chunks)[:sent]

    def test_a_part_and_then_nothing(self, direct: Any, ends: Ends) -> None:
        near, far = ends
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
        total = fill(direct, near)
        assert total > 0
        assert direct.send(near.fileno(), [b"x"]) == 0
        assert direct.send(near.fileno(), [b"x", b"y"]) == 0
        received = 0
        while received < total:
            received += len(far.recv(1 << 20))
        wait_to_write(near)
        assert direct.send(near.fileno(), [b"x", b"y"]) == 2

    @pytest.mark.parametrize("chunks", [[b"x"], [b"x", b"y"]])
    def test_nobody_is_there(self, direct: Any, ends: Ends, chunks: list[bytes]) -> None:
        near, far = ends
        reset(far)
        poller_says_so(near)
        for error in (ConnectionResetError, BrokenPipeError):
            with pytest.raises(error):
                direct.send(near.fileno(), chunks)

    def test_chunks_are_let_go(self, direct: Any, ends: Ends) -> None:
        chunk = bytearray(b"abc")
        direct.send(ends[0].fileno(), [chunk, memoryview(chunk)])
        direct.send(ends[0].fileno(), [chunk])
        with pytest.raises((TypeError, BufferError)):
            direct.send(ends[0].fileno(), [chunk, "text"])
        chunk += b"it can grow, so nobody holds it"


BROKEN_PIPE = """
import signal, socket
from autobahnlike.speed import COMPILED
from autobahnlike.websocket import direct
if COMPILED:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
near, far = socket.socketpair()
near.setblocking(False)
far.close()
for chunks in ([b"x"], [b"x", b"y"]):
    try:
        direct.send(near.fileno(), chunks)
    except BrokenPipeError:
        print("broken")
"""


def test_a_broken_pipe_is_an_error() -> None:
    """Compiled, also in a process that would be ended by it; in Python that is left to Python, which ignores it."""
    done = subprocess.run([sys.executable, "-c", BROKEN_PIPE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["broken", "broken"]


def test_a_signal_is_handled_and_the_call_repeated(direct: Any, ends: Ends) -> None:
    """Calls that do not wait are not interrupted; what was pending before them is dealt with by Python as ever."""
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert direct.receive(ends[0].fileno(), 10) is None
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [1]


class DirectLink(FakeLink):
    """Leaves a socket to the session; what does not go there is written like everything else in tests."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.sock = sock
        self.waiting = 0

    def go_direct(self, readable: Callable[[], Any]) -> int:
        self.calls.append("direct")
        return self.sock.fileno()

    def queued(self) -> int:
        return self.waiting

    def peer_ended(self) -> Any:
        self.calls.append("ended")
        return "ended"

    def reading_failed(self, error: OSError) -> Any:
        self.calls.append(type(error).__name__)
        return "failed"


class Direct:
    """A session that reads from a socket, in fake time.

    Args:
        ends: its end and that of the peer.
        protocol: the protocol.
        **options: as for End.
    """

    def __init__(self, ends: Ends, protocol: type[Any] = NotingServer, **options: Any) -> None:
        self.near, self.far = ends
        self.end = End(protocol, **options)
        self.end.link = self.link = DirectLink(self.near)
        self.link.end = self.end
        self.end.open()
        while "direct" not in self.link.calls:
            self.end.receive(self.end.frame(PONG))
        self.link.calls.clear()

    def receive(self, *data: bytes) -> Any:
        """Have the peer send, and the loop notice."""
        self.far.sendall(b"".join(data))
        poller_says_so(self.near)
        return self.end.session.readable()

    def sent(self) -> list[Frame]:
        """What went out through the socket."""
        poller_says_so(self.far)
        return parse_frames(self.far.recv(1 << 20))


class TestSession:
    def test_it_reads_and_writes_itself(self, ends: Ends) -> None:
        direct = Direct(ends)
        assert direct.receive(direct.end.frame(TEXT, b"one"), direct.end.frame(PING, b"?")) is None
        assert direct.end.events == [("message", b"one")]
        assert direct.sent() == [Frame(PONG, b"?")]
        assert direct.link.writes == 1

    def test_it_is_called_for_nothing(self, ends: Ends) -> None:
        direct = Direct(ends)
        assert direct.end.session.readable() is None
        assert direct.link.calls == []

    def test_what_waits_in_the_transport_goes_first(self, ends: Ends) -> None:
        direct = Direct(ends)
        direct.end.take()
        direct.link.waiting = 1
        direct.end.protocol.sendMessage(b"behind it")
        assert direct.end.sent() == [Frame(TEXT, b"behind it")]
        direct.link.waiting = 0
        direct.end.protocol.sendMessage(b"now")
        assert direct.sent() == [Frame(TEXT, b"now")]

    def test_what_the_socket_does_not_take_goes_to_the_transport(self, ends: Ends) -> None:
        direct = Direct(ends)
        direct.end.take()
        direct.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
        payloads = [bytes((number,)) * 100_000 for number in range(200)]
        direct.link.is_full = True
        for payload in payloads:
            direct.end.protocol.sendMessage(payload, True)
        rest = direct.end.take()
        direct.link.is_full = False
        direct.link.waiting = 0
        assert rest
        received = bytearray()
        direct.far.setblocking(False)
        while piece := (running.receive(direct.far.fileno(), 1 << 20) or b""):
            received += piece
        # From here on everything is said to wait in the transport, so that its order is kept.
        direct.link.waiting = 1
        direct.end.session.writing_resumed()
        data = bytes(received) + rest + direct.end.take()
        assert [each.payload for each in parse_frames(data)] == payloads

    def test_the_transport_finds_out_why_writing_fails(self, ends: Ends) -> None:
        direct = Direct(ends)
        direct.end.take()
        reset(direct.far)
        poller_says_so(direct.near)
        direct.end.protocol.sendMessage(b"lost")
        assert direct.end.sent() == [Frame(TEXT, b"lost")]

    @pytest.mark.parametrize("how", ["ended", "failed"])
    def test_the_link_says_what_becomes_of_the_connection(self, ends: Ends, how: str) -> None:
        direct = Direct(ends)
        if how == "ended":
            direct.far.close()
        else:
            reset(direct.far)
        poller_says_so(direct.near)
        assert direct.end.session.readable() == how
        assert direct.link.calls == [{"ended": "ended", "failed": "ConnectionResetError"}[how]]

    def test_what_came_before_the_end_is_delivered(self, ends: Ends) -> None:
        direct = Direct(ends)
        direct.far.sendall(direct.end.frame(TEXT, b"last"))
        direct.far.close()
        poller_says_so(direct.near)
        while direct.end.session.readable() is None:
            poller_says_so(direct.near)
        assert direct.end.events == [("message", b"last")]

    def test_keepalive(self, ends: Ends) -> None:
        direct = Direct(ends, autoPingInterval=10.0, autoPingTimeout=5.0)
        direct.end.take()
        for _ in range(3):
            direct.end.advance(10.1)
            [ping] = direct.sent()
            assert ping.opcode == PING
            direct.receive(direct.end.frame(PONG, ping.payload))
        direct.end.advance(10.1)
        assert [each.opcode for each in direct.sent()] == [PING]
        direct.end.advance(5.1)
        assert direct.link.calls == ["abort"]

    def test_reading_pauses_and_goes_on(self, ends: Ends) -> None:
        waiting: list[Deferred[None]] = []

        class Slow(NotingServer):
            def onMessage(self, payload: bytes, isBinary: bool) -> Any:
                super().onMessage(payload, isBinary)
                waiting.append(Deferred())
                return waiting[-1]

        direct = Direct(ends, Slow, readAhead=100)
        direct.receive(*[direct.end.frame(TEXT, b"x" * 100)] * 3)
        assert direct.link.calls == ["pause"]
        for number in range(3):
            assert len(direct.end.events) == number + 1
            waiting[number].callback(None)
        assert direct.link.calls == ["pause", "resume"]

    def test_nothing_is_read_any_more_when_a_hook_has_dropped_the_connection(self, ends: Ends) -> None:
        class Dropping(NotingServer):
            def onMessage(self, payload: bytes, isBinary: bool) -> Any:
                super().onMessage(payload, isBinary)
                self.dropConnection(abort=True)

        direct = Direct(ends, Dropping)
        message = direct.end.frame(2, bytes(1000))
        direct.receive(message * 40)
        assert direct.end.events == [("message", bytes(1000))]
        assert direct.link.calls == ["abort"]
        # More than one read takes was sent, and only one was read.
        assert running.receive(direct.near.fileno(), 10)

    def test_one_connection_does_not_keep_the_loop_to_itself(self, ends: Ends) -> None:
        direct = Direct(ends)
        direct.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        data = direct.end.frame(2, bytes(1000)) * 2000
        direct.far.setblocking(False)
        sent = 0
        while sent < len(data) and (taken := running.send(direct.far.fileno(), [data[sent:]])):
            sent += taken
        poller_says_so(direct.near)
        direct.end.session.readable()
        assert 0 < len(direct.end.events) < sent // 1100

    def test_a_lost_connection_neither_reads_nor_writes(self, ends: Ends) -> None:
        direct = Direct(ends)
        direct.end.take()
        direct.end.session.connection_lost()
        with pytest.raises(Disconnected):
            direct.end.protocol.sendMessage(b"late")
        direct.far.setblocking(False)
        assert running.receive(direct.far.fileno(), 10) is None
        assert direct.end.take() == b""
