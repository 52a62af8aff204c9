"""Servers as processes: started, pinned to a processor, and looked at from outside."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from benchmarks.catalogue import Server
from benchmarks.scenarios import Scenario

__all__ = ("Processors", "Running", "ServerFailed", "processors", "started")

ROOT = Path(__file__).parents[1]

_STARTING = 30.0


class ServerFailed(Exception):
    """A server does not start."""


class Processors:
    """Which processor the server has, and which the load generator.

    Args:
        allowed: those that this process may use.
    """

    def __init__(self, allowed: set[int]) -> None:
        several = len(allowed) > 1
        self.server = min(allowed) if several else None
        self.load = max(allowed) if several else None


def processors() -> Processors:
    """Return how the processors of this machine are shared out."""
    return Processors(os.sched_getaffinity(0))


class Running:
    """A server that runs.

    Args:
        process: it.
        port: where it listens.
        output: what it prints.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, output: IO[bytes]) -> None:
        self.process = process
        self.port = port
        self._output = output

    def last_words(self) -> str:
        """Return the last line that it has printed."""
        # Not the position of the server, which shares the file: that stays at the end.
        size = os.fstat(self._output.fileno()).st_size
        printed = os.pread(self._output.fileno(), 4096, max(0, size - 4096)).decode(errors="replace").strip()
        return printed.rpartition("\n")[2]

    def memory(self) -> int:
        """Return the memory that is its own, in bytes: its proportional share where the kernel tells."""
        for name, field in (("smaps_rollup", "Pss_Anon:"), ("status", "VmRSS:")):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{self.process.pid}/{name}").read_text().splitlines():
                    if line.startswith(field):
                        return int(line.split()[1]) * 1024
        raise ServerFailed("the server is gone")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _accepts(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def started(server: Server, scenario: Scenario, cpu: int | None = None) -> Iterator[Running]:
    """A server that listens, for as long as the context lasts.

    Args:
        server: which.
        scenario: what it is for.
        cpu: the processor that it has to use; None for any.

    Raises:
        ServerFailed: it does not start.
    """
    port = _free_port()
    command = [sys.executable, "-m", f"benchmarks.servers.{server.module}", "--port", str(port), "--loop", server.loop]
    command += ["--broadcast"] * (scenario.mode == "broadcast") + ["--deflate"] * scenario.deflate
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    if server.pure:
        environment["AUTOBAHNLIKE_PURE"] = "1"
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        running = Running(process, port, output)
        try:
            if cpu is not None:
                os.sched_setaffinity(process.pid, {cpu})
            try:
                _wait(process, port)
            except ServerFailed as error:
                raise ServerFailed(f"{error}: {running.last_words()}") from None
            yield running
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _STARTING
    while not _accepts(port):
        if process.poll() is not None:
            raise ServerFailed(f"it ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"it did not listen within {_STARTING:.0f} seconds")
        time.sleep(0.02)
