"""Builds and runs the load generator, ``load.c``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

__all__ = ("LoadFailed", "NoCompiler", "Result", "build", "idle", "run")

SOURCE = Path(__file__).with_name("load.c")

# More than any scenario takes, and than the patience of the load generator itself.
_PATIENCE = 60.0


class NoCompiler(Exception):
    """There is no C compiler, or it does not compile the load generator."""


class LoadFailed(Exception):
    """The load generator has found something wrong with what a server does."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What one run has measured. Times are in seconds.

    Attributes:
        messages: messages that came back; deliveries to all for a broadcast; handshakes.
        seconds: how long that took.
        server_cpu: CPU time of the server, user and system.
        load_cpu: CPU time of the load generator.
        p50: median latency.
        p99: 99th percentile of the latency.
    """

    messages: int
    seconds: float
    server_cpu: float
    load_cpu: float
    p50: float
    p99: float


def build(compiler: str | None = None) -> Path:
    """Compile the load generator, unless that was done before, and return the path of the programme.

    Args:
        compiler: the command; by default the environment variable CC, or cc.

    Raises:
        NoCompiler: it is not possible.
    """
    command = compiler or os.environ.get("CC") or "cc"
    if shutil.which(command) is None:
        raise NoCompiler(f"the load generator is written in C, and there is no compiler {command!r}; set CC to another")
    source = SOURCE.read_bytes()
    # Of this user: what lies in a directory that everybody can write to may be somebody else's programme.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autobahnlike-benchmarks"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = Path(tempfile.mkdtemp(prefix="autobahnlike-benchmarks-"))
    program = cache / f"load-{hashlib.sha256(command.encode() + source).hexdigest()[:16]}"
    if not program.exists():
        unfinished = program.with_suffix(f".{os.getpid()}")
        done = subprocess.run([command, "-O2", "-o", unfinished, SOURCE], capture_output=True, text=True)
        if done.returncode:
            raise NoCompiler(f"{command} does not compile {SOURCE.name}, which needs Linux:\n{done.stderr.strip()}")
        unfinished.replace(program)
    return program


def run(program: Path, arguments: Sequence[str], cpu: int | None = None) -> Result:
    """Run the load generator, and return what it measured.

    Args:
        program: from ``build``.
        arguments: its command line.
        cpu: the processor that it has to use; None for any.

    Raises:
        LoadFailed: the server did something wrong.
    """
    process = subprocess.Popen(
        [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _pin(process.pid, cpu)
    try:
        output, errors = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise LoadFailed("the load generator does not come to an end") from None
    if process.returncode:
        raise LoadFailed(errors.strip() or f"the load generator ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(output)
    return Result(**{field.name: found[field.name] for field in dataclasses.fields(Result)})


@dataclasses.dataclass
class Idle:
    """Connections that are open and do nothing.

    Attributes:
        process: the load generator that holds them.
    """

    process: subprocess.Popen[str]

    def close(self) -> None:
        """Let them go.

        Raises:
            LoadFailed: the server has ended one in the meantime.
        """
        _, errors = self.process.communicate(timeout=_PATIENCE)
        if self.process.returncode:
            raise LoadFailed(errors.strip())


def idle(program: Path, arguments: Sequence[str]) -> Idle:
    """Open connections that stay open, and return when they are, and have exchanged their messages.

    Args:
        program: from ``build``.
        arguments: its command line.

    Raises:
        LoadFailed: the server did something wrong.
    """
    process = subprocess.Popen(
        [program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    output: IO[str] | None = process.stdout
    assert output is not None
    if not output.readline():
        _, errors = process.communicate()
        raise LoadFailed(errors.strip())
    return Idle(process)


def _pin(pid: int, cpu: int | None) -> None:
    if cpu is not None:
        os.sched_setaffinity(pid, {cpu})
