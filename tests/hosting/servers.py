"""Servers of other makes, and ours, as processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

from tests.hosting.peer import PATIENCE
from tests.programs import ROOT, _accepts, free_port

__all__ = ("COMMANDS", "serving_with")

_UVICORN = ("-m", "uvicorn", "{app}", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning")

COMMANDS: dict[str, tuple[str, ...]] = {
    **{
        f"{loop}": ("-m", "autobahnlike", "serve", "{app}", "--listen", "127.0.0.1:{port}", "--loop", loop)
        for loop in ("asyncio", "uvloop", "twisted", "twisted-asyncio")
    },
    **{f"uvicorn {ws}": (*_UVICORN, "--ws", ws) for ws in ("websockets", "websockets-sansio", "wsproto")},
    "hypercorn": ("-m", "hypercorn", "--bind", "127.0.0.1:{port}", "{app}"),
    "daphne": ("-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", "{port}", "{app}"),
}
"""How each is started."""


@contextmanager
def serving_with(names: list[str], application: str) -> Iterator[dict[str, str]]:
    """Servers of an application, started side by side, and their URLs by name."""
    ports = {name: free_port() for name in names}
    processes = {}
    with TemporaryFile() as log:
        try:
            for name, port in ports.items():
                arguments = [part.format(app=application, port=port) for part in COMMANDS[name]]
                processes[name] = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=log, stderr=log)
            deadline = time.monotonic() + 2 * PATIENCE
            for name, port in ports.items():
                while not _accepts(port):
                    assert processes[name].poll() is None, f"{name} has ended"
                    assert time.monotonic() < deadline, f"{name} does not listen"
                    time.sleep(0.02)
            yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        finally:
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
