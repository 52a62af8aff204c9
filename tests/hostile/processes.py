"""The process under attack, and what the kernel tells of it: memory, CPU time, open files, sockets."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .peers import DEFLATE, KEY, MIB, PATIENCE, TEXT, Head, Peer, accept_key, frame, request, wait_until

ROOT = Path(__file__).resolve().parents[2]
LOOPS = ("asyncio", "uvloop", "twisted", "twisted-asyncio")
KEEPALIVE = {"autoPingInterval": 1.0, "autoPingTimeout": 2.0}
TICKS = os.sysconf("SC_CLK_TCK")
SIGNS_OF_TROUBLE = ("Traceback", "Unhandled", "never retrieved", "never awaited", "was destroyed but", "Exception in")


def script(name: str, loop: str) -> list[str]:
    """The command that runs one of the scripts of this package on a loop."""
    return [sys.executable, "-P", str(Path(__file__).with_name(f"{name}.py")), loop]


def allow_many_files() -> None:
    """Raise this process's limit of open files, which processes that it starts inherit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 16384), hard), hard))


class Process:
    """A process that is watched from outside.

    Args:
        command: its command line.
        keepalive: whether to give it short keepalive times.
    """

    def __init__(self, command: list[str], *, keepalive: bool = False) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        if keepalive:
            environment["HOSTILE_OPTIONS"] = json.dumps(KEEPALIVE)
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment, bufsize=0
        )
        self.pid = self.process.pid

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """End the process, if it still runs."""
        if self.alive():
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()
        self._log.close()

    def log(self, start: int = 0) -> bytes:
        """What it wrote to its standard error, from there on."""
        return os.pread(self._log.fileno(), self.log_size() - start, start)

    def log_size(self) -> int:
        """How many bytes it wrote to its standard error."""
        return os.fstat(self._log.fileno()).st_size

    def check_log(self, start: int = 0) -> None:
        """Nothing that it logged, from there on, tells of an error which nobody handled."""
        text = self.log(start).decode("utf-8", "backslashreplace")
        found = [text.find(sign) for sign in SIGNS_OF_TROUBLE if sign in text]
        assert not found, f"in the log:\n{text[max(0, min(found) - 200) :][:2000]}"

    def check_alive(self) -> None:
        """The process runs."""
        assert self.alive(), f"the process is gone:\n{self.log()[-2000:].decode('utf-8', 'backslashreplace')}"

    def cpu(self) -> float:
        """The seconds of CPU time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss(self) -> float:
        """Its resident memory in MiB."""
        return self._status("VmRSS") / 1024

    def peak_rss(self) -> float:
        """The most resident memory in MiB since ``forget_peak``."""
        return self._status("VmHWM") / 1024

    def forget_peak(self) -> None:
        """Count the peak of the resident memory from now on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        match = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert match
        return int(match[1])

    def fds(self) -> int:
        """How many files it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Server(Process):
    """A server under attack.

    Args:
        command: it prints its port, or has ``{port}`` in it and serves there.
        keepalive: whether to give it short keepalive times.
    """

    def __init__(self, command: list[str], *, keepalive: bool = False) -> None:
        self.port = 0
        if any("{port}" in word for word in command):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            command = [word.replace("{port}", str(self.port)) for word in command]
        super().__init__(command, keepalive=keepalive)
        if not self.port:
            assert self.process.stdout
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
                self.check_alive()
            self.port = int(line)
        try:
            wait_until(self._listens, "the server listens")
            self._warm_up()
        except BaseException:
            self.stop()
            raise

    def _listens(self) -> bool:
        self.check_alive()
        with contextlib.suppress(OSError), self.connect():
            return True
        return False

    def _warm_up(self) -> None:
        # What a first connection of a kind loads and keeps is no growth that a peer could repeat.
        with self.open(extensions=DEFLATE) as peer:
            peer.send_frame(TEXT, b"warm " * 1000)
            peer.read_message()
            peer.send(frame(TEXT, b"\xff"))
            peer.expect_close()
        with self.ask(request("BREW / HTTP/1.1")) as peer:
            peer.read_rest()

    def connect(self, receive_buffer: int = 0) -> Peer:
        """Connect, and say nothing yet.

        Args:
            receive_buffer: the kernel's receive buffer in bytes, 0 for the usual one.
        """
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE)
        try:
            sock.connect(("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        return Peer(sock, client=True)

    def ask(self, data: bytes) -> Peer:
        """Connect and send these bytes."""
        peer = self.connect()
        peer.try_send(data)
        return peer

    def open(self, *lines: str, extensions: str = "", receive_buffer: int = 0) -> Peer:
        """Connect and do the opening handshake.

        Args:
            lines: more lines for the request.
            extensions: what to offer in Sec-WebSocket-Extensions.
            receive_buffer: the kernel's receive buffer in bytes, 0 for the usual one.
        """
        peer = self.connect(receive_buffer)
        offer = [f"Sec-WebSocket-Extensions: {extensions}"] if extensions else []
        try:
            peer.send(request("GET / HTTP/1.1", *lines, *offer))
            self.expect_accepted(peer)
        except BaseException:
            peer.sock.close()
            raise
        return peer

    def expect_accepted(self, peer: Peer) -> Head:
        """Read the response that opens a connection."""
        peer.head = peer.read_response()
        assert peer.head.status == 101, f"expected status 101, got {peer.head.line!r}"
        assert peer.head.get("sec-websocket-accept") == accept_key(KEY)
        return peer.head

    def check(self) -> None:
        """The server runs and serves."""
        self.check_alive()
        with self.open() as peer:
            peer.expect_echo(b"healthy?")

    def _kernel_entry(self, local: int, remote: int) -> list[str]:
        """What the kernel lists of one end of a connection between two ports, or nothing."""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{local:04X}") and fields[2].endswith(f":{remote:04X}"):
                return fields
        return []

    def holds(self, peer: Peer) -> bool:
        """Whether the server still has its end of a connection open; nothing is read to find out."""
        entry = self._kernel_entry(self.port, peer.port)
        # An end of a connection that no process has any more has inode 0.
        return bool(entry) and entry[9] != "0"

    def has_read(self, peer: Peer) -> bool:
        """Whether the server has read all that was sent to it."""
        received = self._kernel_entry(self.port, peer.port)
        sent = self._kernel_entry(peer.port, self.port)
        empty = "00000000"
        return bool(received and sent) and received[4].endswith(f":{empty}") and sent[4].startswith(f"{empty}:")

    def terminate(self) -> None:
        """Ask the process to end."""
        self.process.send_signal(signal.SIGTERM)


class Healthy(threading.Thread):
    """A client that behaves, and echoes without a pause worth mentioning while others attack."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._over = threading.Event()
        self._sent: float | None = None
        self._worst = 0.0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Echo until stopped."""
        try:
            with self._server.open() as peer:
                while not self._over.wait(0.02):
                    self._sent = time.monotonic()
                    peer.expect_echo(b"healthy")
                    self._worst = max(self._worst, time.monotonic() - self._sent)
                    self._sent = None
        except BaseException as error:
            # Raised again by stop(), in the thread that runs the case.
            self.error = error

    def stop(self) -> float:
        """Stop, and give the longest time that an echo took, in seconds."""
        self._over.set()
        self.join(PATIENCE)
        assert not self.is_alive(), f"a healthy client waits for its echo for more than {PATIENCE:g} s"
        assert self.error is None, f"a healthy client suffered: {self.error!r}"
        return self._worst


class Client(Process):
    """A client under attack: it connects to where it is told to, as often as it is told to."""

    def __init__(self, command: list[str], *, keepalive: bool = False) -> None:
        super().__init__(command, keepalive=keepalive)
        self._dials: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._warm_up()
        except BaseException:
            self.stop()
            raise

    def _warm_up(self) -> None:
        with self.dial() as dial:
            dial.accept(extensions=DEFLATE)
            dial.peer.send(frame(TEXT, b"warm", mask=None) + frame(TEXT, b"\xff", mask=None))
            dial.peer.expect_close(1007)
            dial.outcome()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            event = json.loads(line)
            self._dials[event.pop("id")].put(event)

    def stop(self) -> None:
        """End the process, and what reads from it before its pipe is closed."""
        self.process.kill()
        self._reader.join(PATIENCE)
        super().stop()

    def tell(self, command: dict[str, Any]) -> None:
        """Send a command."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command).encode() + b"\n")

    @contextlib.contextmanager
    def dial(self, **options: Any) -> Iterator[Dial]:
        """Have the client connect, and take the connection.

        Args:
            options: more for the command: ``headers``, a dict, and ``busy``, whether onMessage is to wait.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            number = len(self._dials)
            events: queue.Queue[dict[str, Any]] = queue.Queue()
            self._dials[number] = events
            port = listener.getsockname()[1]
            self.tell({"do": "connect", "id": number, "url": f"ws://127.0.0.1:{port}/", **options})
            with Peer(listener.accept()[0], client=False) as peer:
                yield Dial(self, number, events, peer, listener)

    def check(self) -> None:
        """The client runs, and connects where it should."""
        self.check_alive()
        with self.dial() as dial:
            dial.accept()
            dial.expect_works(b"healthy?")


class Dial:
    """One connection of a client under attack, seen from the server.

    Attributes:
        peer: the server's socket.
        request: the head the client sent.
        listener: where it connected to.
    """

    def __init__(
        self, client: Client, number: int, events: queue.Queue[dict[str, Any]], peer: Peer, listener: socket.socket
    ) -> None:
        self.client = client
        self.number = number
        self.peer = peer
        self.listener = listener
        self.request = peer.read_head()
        self.seen: list[dict[str, Any]] = []
        self._events = events
        self._start = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the request came."""
        return time.monotonic() - self._start

    def response(self, *lines: str | bytes, extensions: str = "", first: str = "", drop: str = "") -> bytes:
        """A response head that accepts, with lines added, another first line, or a field dropped."""
        key = self.request.get("sec-websocket-key")
        fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_key(key)}
        head: list[str | bytes] = [first or "HTTP/1.1 101 Switching Protocols"]
        head += [f"{name}: {value}" for name, value in fields.items() if name != drop]
        head += [f"Sec-WebSocket-Extensions: {extensions}"] if extensions else []
        head += [*lines, "", ""]
        return b"\r\n".join(line if isinstance(line, bytes) else line.encode("latin-1") for line in head)

    def accept(self, extensions: str = "") -> Peer:
        """Accept the handshake, and wait until the client takes the connection for open."""
        self.peer.send(self.response(extensions=extensions))
        self.await_event("open")
        return self.peer

    def await_event(self, *names: str) -> dict[str, Any]:
        """Wait for one of these events, and give it; others before it are kept in ``seen``."""
        while True:
            try:
                event = self._events.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"the client reports none of {names}, only {self.seen}") from None
            self.seen.append(event)
            if event["event"] in names:
                return event

    def outcome(self) -> dict[str, Any]:
        """Wait until the application is told that the connection is over."""
        return self.await_event("close", "failed")

    def messages(self) -> list[int]:
        """The lengths of the messages the application has got so far."""
        while not self._events.empty():
            self.seen.append(self._events.get())
        return [event["length"] for event in self.seen if event["event"] == "message"]

    def close(self) -> None:
        """Have the application close the connection."""
        self.client.tell({"do": "close", "id": self.number})

    def release(self) -> None:
        """Have the application end to be busy."""
        self.client.tell({"do": "release", "id": self.number})

    def expect_works(self, payload: bytes) -> None:
        """A message arrives, and the connection can be closed properly."""
        self.peer.send_frame(TEXT, payload)
        assert self.await_event("message", "close")["event"] == "message", self.seen
        self.peer.send(frame(8, b"\x03\xe8", mask=None))
        assert self.peer.read_message().opcode == 8
        self.peer.sock.close()
        assert self.outcome().get("clean"), self.seen

    def expect_failure(self) -> str:
        """The handshake fails, with a reason given, and the socket is closed.

        Returns:
            The reason.
        """
        outcome = self.outcome()
        assert not [event for event in self.seen if event["event"] == "open"], "the connection was opened"
        assert not outcome.get("clean")
        assert outcome.get("reason"), "failed without saying why"
        self.expect_gone()
        return str(outcome["reason"])

    def expect_gone(self) -> None:
        """The client's socket is closed."""
        self.peer.read_rest()


def split_command(command: str) -> list[str]:
    """A command line as words."""
    return shlex.split(command)


def mib(count: float) -> float:
    """Bytes as MiB."""
    return count / MIB
