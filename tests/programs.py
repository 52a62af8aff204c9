"""Runs the programmes that the documentation and the examples show, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from websockets.asyncio.client import connect

ROOT = Path(__file__).parents[1]

# No programme here takes more than a second; this is for a machine that is busy with something else.
PATIENCE = 30.0


def free_port() -> int:
    """A port at which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Program:
    """A Python programme in a process.

    Args:
        source: its text.
        directory: where it is written, and where it runs.
        ports: the ports to use instead of those in the text.
    """

    def __init__(self, source: str, directory: Path, ports: dict[int, int] | None = None) -> None:
        for shown, used in (ports or {}).items():
            assert str(shown) in source, f"the programme does not use port {shown}"
            source = source.replace(str(shown), str(used))
        path = directory / "program.py"
        path.write_text(source)
        self.process = subprocess.Popen(
            # A coroutine that nobody awaits. Not every warning: pyOpenSSL warns of how Twisted uses it.
            [sys.executable, "-W", "error::RuntimeWarning", path],
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_until_listening(self, address: int | Path) -> None:
        """Wait until it can be connected to.

        Args:
            address: a port of the loopback interface, or the path of a Unix domain socket.
        """
        deadline = time.monotonic() + PATIENCE
        while not _accepts(address):
            assert time.monotonic() < deadline, f"nothing listens at {address}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
                raise AssertionError(f"it ended before it listened:\n{self.finish()}")

    def finish(self) -> str:
        """Wait until it ends by itself, demand that it ends well, and return what it printed."""
        output, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, output
        assert "Traceback" not in output, output
        assert "Warning" not in output, output
        return output

    def interrupt(self) -> str:
        """Stop it as Ctrl-C does; see ``finish``.

        Once may not be enough: when a signal arrives just before asyncio's loop goes to sleep, Python notices it only
        when something else wakes the loop.
        """
        self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.finish()


def echoes_over_tls(url: str, context: ssl.SSLContext, *messages: str | bytes) -> list[str | bytes]:
    """Connect, send messages, and return what comes for each.

    Not with a client of threads: one reads while another writes, and with older versions of Python what is written then
    may be lost.
    """

    async def talk() -> list[str | bytes]:
        async with asyncio.timeout(PATIENCE), connect(url, ssl=context) as connection:
            answers = []
            for message in messages:
                await connection.send(message)
                answers.append(await connection.recv())
            return answers

    return asyncio.run(talk())


def _accepts(address: int | Path) -> bool:
    family, target = (
        (socket.AF_INET, ("127.0.0.1", address)) if isinstance(address, int) else (socket.AF_UNIX, str(address))
    )
    with socket.socket(family) as sock:
        return sock.connect_ex(target) == 0


@contextlib.contextmanager
def running(source: str, directory: Path, ports: dict[int, int] | None = None) -> Iterator[Program]:
    """A programme that is ended by force if the test does not see to its end. For the arguments see ``Program``."""
    program = Program(source, directory, ports)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.process.kill()
            program.process.communicate()
