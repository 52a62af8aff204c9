"""The server of Redis that :mod:`benchmarks.gateway_nodes` uses: started, asked, and measured by itself."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hiredis

from autobahnlike.backplane.redis.scripts import PUBLISH, SEND, Keys
from benchmarks.process import _free_port

__all__ = ("NoRedis", "Redis", "bench", "redis_running")

_PATIENCE = 20.0
# Commands under way on each connection: as if little is to do, and as if much is.
_DEPTHS = (1, 16)


class NoRedis(Exception):
    """There is no server of Redis, or it does not start."""


class Redis:
    """A server that runs.

    Args:
        process: it.
        port: where it listens.

    Attributes:
        version: its version.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.port = port
        self._reader = hiredis.Reader(encoding="utf-8")
        self._socket = _connected(process, port)
        self.version = self._facts("server")["redis_version"]

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}"

    def command(self, *arguments: str | int) -> Any:
        """Send a command and return the reply."""
        self._socket.sendall(hiredis.pack_command(arguments))  # type: ignore[arg-type]
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(65536)
            if not data:
                raise NoRedis("Redis has closed the connection")
            self._reader.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def _facts(self, section: str) -> dict[str, str]:
        lines = self.command("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def commands(self) -> dict[str, int]:
        """Return how often each command was done, those of scripts included."""
        facts = self._facts("commandstats")
        return {name.partition("_")[2]: int(value[6:].partition(",")[0]) for name, value in facts.items()}

    def traffic(self) -> tuple[int, int]:
        """Return the bytes that were received, and sent."""
        facts = self._facts("stats")
        return int(facts["total_net_input_bytes"]), int(facts["total_net_output_bytes"])

    def memory(self) -> int:
        """Return the bytes that its data take, and its connections."""
        return int(self._facts("memory")["used_memory"])

    def cpu(self) -> float:
        """Return its CPU time, user and system, in seconds."""
        facts = self._facts("cpu")
        return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])

    def close(self) -> None:
        """Close the connection of ours."""
        self._socket.close()


def _connected(process: subprocess.Popen[bytes], port: int) -> socket.socket:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NoRedis(f"redis-server ended at once, with status {process.returncode}")
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), _PATIENCE)
        time.sleep(0.02)
    raise NoRedis(f"redis-server did not listen within {_PATIENCE:.0f} seconds")


@contextlib.contextmanager
def redis_running() -> Iterator[Redis]:
    """A server without anything on disk, for as long as the context lasts.

    Raises:
        NoRedis: it is not installed, or does not start.
    """
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise NoRedis("this needs redis-server or valkey-server: apt install redis-server")
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "redis.conf"
        configuration.write_text(f'port {port}\nbind 127.0.0.1\ndir {folder}\nsave ""\n')
        process = subprocess.Popen([program, configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            redis = Redis(process, port)
            yield redis
            redis.close()
        finally:
            process.kill()
            process.wait()


# -- What it can do by itself


class _Subscriber:
    """Takes what is published, and does nothing with it."""

    def __init__(self, port: int, channel: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _PATIENCE)
        self._socket.sendall(hiredis.pack_command(("SUBSCRIBE", channel)))  # type: ignore[arg-type]
        self._socket.recv(4096)
        self._socket.settimeout(None)
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while self._socket.recv(1 << 20):
                pass

    def close(self) -> None:
        """End."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def bench(size: int, *, quick: bool = False) -> None:
    """Measure the commands that the backplane uses with redis-benchmark, and print what each costs.

    Args:
        size: the bytes of a message.
        quick: with few of them.

    Raises:
        NoRedis: there is no server, or no redis-benchmark.
    """
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        raise NoRedis("this needs redis-benchmark, which comes with redis-server: apt install redis-tools")
    keys = Keys("autobahnlike")
    node, room = "0a0b0c0d", "room"
    message = '{"k":"send","c":"CgsMDQAAAAAAAAA=","t":1,"r":1234567,"f":"01020304"}\n'.ljust(70 + size, "x")
    channel, room_channel = keys.node_channel(node), keys.room_channel(room)
    send = ["EVAL", SEND, "1", keys.alive(node), channel, message]
    publish = ["EVAL", PUBLISH, "2", keys.head(room), keys.log(room), "f" * 40, "01020304", "3600000"]
    publish += [room_channel, '{"t":1}\n' + "x" * size, "1000"]
    cases = [
        ("PUBLISH to a node", ["PUBLISH", channel, message], channel, 1),
        ("send: EVAL, one node hears it", send, channel, 1),
        ("verdict: PUBLISH, one node hears it", ["PUBLISH", channel, message[:50]], channel, 1),
        *(
            (f"room: EVAL, {count} {'node' if count == 1 else 'nodes'} with members", publish, room_channel, count)
            for count in (1, 3, 10, 30)
        ),
    ]
    count = 2_000 if quick else 100_000
    with redis_running() as redis:
        print(
            f"Redis {redis.version}, messages of {size} bytes, 12 connections, with so many commands under way on each"
        )
        print(f"{'':40}" + "".join(f"{depth:>10}: a second, CPU µs" for depth in _DEPTHS))
        for title, command, heard_at, listeners in cases:
            subscribers = [_Subscriber(redis.port, heard_at) for _ in range(listeners)]
            line = f"{title:40}"
            for depth in _DEPTHS:
                before, began = redis.cpu(), time.monotonic()
                subprocess.run(
                    [program, "-p", str(redis.port), "-n", str(count), "-c", "12", "-P", str(depth), "-q", *command],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    timeout=600,
                )
                took, elapsed = redis.cpu() - before, time.monotonic() - began
                line += f"{count / elapsed:>20,.0f}{took / count * 1e6:>9.1f}"
            print(line, flush=True)
            for subscriber in subscribers:
                subscriber.close()
