"""The command line as a process of its own, and what it prints, waited for with a deadline."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).parents[2]
DEADLINE = 30.0
LOOPS = ("asyncio", "uvloop", "twisted", "twisted-asyncio")

RUN = "from autobahnlike.cli import main; main()"
# A terminal sends its signals to the processes of the session that it controls.
RUN_ON_TERMINAL = f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {RUN}"


class Output:
    """What a descriptor gives, collected by a thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = ""
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        while True:
            try:
                chunk = os.read(self._descriptor, 65536)
            except OSError:
                # What a terminal gives when nobody has it open any more
                chunk = b""
            with self._changed:
                self._text += chunk.decode()
                self._ended = not chunk
                self._changed.notify_all()
            if not chunk:
                return

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until the output has a match."""
        with self._changed:
            self._changed.wait_for(lambda: re.search(pattern, self._text) or self._ended, DEADLINE)
            match = re.search(pattern, self._text)
        assert match is not None, f"no {pattern!r} in {self._text!r}"
        return match

    def all(self) -> str:
        """Wait for the end, and return everything."""
        self._thread.join(DEADLINE)
        assert self._ended, f"no end after {self._text!r}"
        return self._text


class Process:
    """``autobahnlike`` with arguments.

    Attributes:
        out: standard output, unless it was redirected.
        err: standard error.
    """

    out: Output
    err: Output

    def __init__(
        self,
        *arguments: str,
        code: str = RUN,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        new_session: bool = False,
        cwd: Path | None = None,
    ) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
        self.popen = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=cwd,
            env=environment,
            bufsize=0,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=new_session,
        )
        if self.popen.stdout is not None:
            self.out = Output(self.popen.stdout.fileno())
        if self.popen.stderr is not None:
            self.err = Output(self.popen.stderr.fileno())

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.popen.kill()
        self.popen.wait(DEADLINE)
        for name in ("out", "err"):
            if hasattr(self, name):
                getattr(self, name).all()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()

    def write(self, data: bytes) -> None:
        """Write to standard input, a pipe."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(data)

    def close_stdin(self) -> None:
        """End standard input, a pipe."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()

    def status(self) -> int:
        """Wait for the end, and return the exit status."""
        return self.popen.wait(DEADLINE)


# An application that says which process it is, and when it starts and stops; WebSockets are echoed.
APPLICATION = """
import os

print("loaded", os.getpid(), flush=True)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            print(event["type"], os.getpid(), flush=True)
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "http":
        body = f"{scope['scheme']} {scope['root_path']} {os.getpid()}".encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
    else:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})
"""


def write_application(directory: Path, name: str = "hello", text: str = APPLICATION) -> None:
    """Write a module."""
    (directory / f"{name}.py").write_text(text)


@contextmanager
def serving_app(directory: Path, *arguments: str) -> Iterator[tuple[Process, list[str]]]:
    """A running ``serve hello:app`` in a directory that has it, and its URLs."""
    if "--listen" not in arguments:
        arguments += ("--listen", "0")
    with Process("serve", "hello:app", *arguments, cwd=directory) as process:
        yield process, process.out.expect(r"Listening on (\S+(?: and \S+)*) \(")[1].split(" and ")


@contextmanager
def serving(loop: str, listen: str = "0", code: str = RUN) -> Iterator[tuple[Process, str]]:
    """A running ``serve echo``, and its URL."""
    with Process("serve", "echo", "--loop", loop, "--listen", listen, code=code) as process:
        yield process, process.out.expect(r"Listening on (\S+) ")[1]
