"""A Redis server for tests: the real one, on a free port of this machine, with a directory of its own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hiredis

__all__ = ("RedisServer", "free_port", "redis_program")

_PATIENCE = 20.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def redis_program() -> str | None:
    """Return the path of the server, None if it is not installed."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """A server that runs while its context lasts.

    Args:
        options: lines of its configuration.
        port: where it listens; a free port if 0.
        sentinel: whether it is a Sentinel.

    Attributes:
        port: where it listens.
        folder: its directory.
    """

    def __init__(self, *options: str, port: int = 0, sentinel: bool = False) -> None:
        self.port = port or free_port()
        self._options = options
        # A port for TLS is one for nothing else.
        self._port_option = "port 0\ntls-port" if any(each.startswith("tls-") for each in options) else "port"
        self._sentinel = sentinel
        self._folder = tempfile.TemporaryDirectory(prefix="redis-test-")
        self.folder = Path(self._folder.name)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = redis_program()
        if program is None:
            raise RuntimeError("these tests need redis-server, or valkey-server: apt install redis-server")
        lines = [f"{self._port_option} {self.port}", "bind 127.0.0.1", f"dir {self.folder}", 'save ""', *self._options]
        configuration = self.folder / "redis.conf"
        configuration.write_text("\n".join(lines) + "\n")
        command = [program, str(configuration), *(["--sentinel"] if self._sentinel else [])]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"redis-server ended at once, with {self._process.returncode}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                    # It answers when it listens everywhere.
                    if self._port_option == "port":
                        sock.sendall(b"PING\r\n")
                        sock.recv(1)
                    return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("redis-server did not start")

    def kill(self) -> None:
        """End it at once, as the loss of its machine would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Have it do nothing, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def command(self, *arguments: str | int) -> Any:
        """Send a command on a connection of its own and return the reply."""
        reader = hiredis.Reader(encoding="utf-8")
        with socket.create_connection(("127.0.0.1", self.port), _PATIENCE) as sock:
            sock.sendall(hiredis.pack_command(arguments))  # type: ignore[arg-type]
            while (reply := reader.gets()) is False:
                data = sock.recv(65536)
                assert data, "Redis closed the connection"
                reader.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def clients(self, name: str) -> list[int]:
        """Return the numbers of the connections whose name ends with something."""
        lines = [dict(item.partition("=")[::2] for item in line.split()) for line in self._list().splitlines()]
        return [int(line["id"]) for line in lines if line["name"].endswith(name)]

    def _list(self) -> str:
        text: str = self.command("CLIENT", "LIST")
        return text
