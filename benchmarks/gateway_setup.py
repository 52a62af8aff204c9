"""What :mod:`benchmarks.gateway_nodes` measures, running: Redis, the nodes, and the clients."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from benchmarks import gateway_app
from benchmarks.gateway_redis import Redis, redis_running
from benchmarks.process import ROOT, Running, ServerFailed, _free_port, _wait

__all__ = ("Clients", "LoadFailed", "Setup", "raise_limit", "running")

_SERVE = ("-m", "autobahnlike", "serve", "--factory", "benchmarks.gateway_app:make_app", "--log-level", "warning")
_TICK = os.sysconf("SC_CLK_TCK")
# Descriptors that a process needs besides those of connections.
_SPARE = 200
# Seconds that a command of the load may take beyond what it is asked for.
_PATIENCE = 300.0


class LoadFailed(Exception):
    """The clients have failed."""


@dataclass
class Setup:
    """What is running.

    Attributes:
        redis: the server of Redis.
        nodes: the nodes.
        loops: what each of them runs on.
        load: the clients.
    """

    redis: Redis
    nodes: list[Running]
    loops: list[str]
    load: Clients

    def cpu(self) -> list[float]:
        """Return the CPU time of each node and of Redis, in seconds.

        Raises:
            ServerFailed: a node has died.
        """
        for loop, node in zip(self.loops, self.nodes, strict=True):
            if node.process.poll() is not None:
                status = node.process.returncode
                raise ServerFailed(f"the node on {loop} has ended with status {status}: {node.last_words()}")
        return [*(_cpu(node.process.pid) for node in self.nodes), self.redis.cpu()]


def _cpu(pid: int) -> float:
    """Return the CPU time of a process, user and system, in seconds."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


class Clients:
    """The process that holds the connections: ``benchmarks.gateway_load``.

    Args:
        process: it.

    Attributes:
        problems: what went wrong, and how often.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.problems: dict[str, int] = {}

    def ask(self, what: str, seconds: float = 0.0, **arguments: Any) -> dict[str, Any]:
        """Have something done, and return the answer.

        Args:
            what: the command.
            seconds: how long it takes if all is well.
            arguments: those of the command.

        Raises:
            LoadFailed: the process has ended, or takes far too long.
        """
        if seconds:
            arguments["seconds"] = seconds
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
            self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], seconds + _PATIENCE)[0]:
            raise LoadFailed(f"the clients do not come to an end with {what!r}")
        line = self.process.stdout.readline()
        if not line:
            raise LoadFailed(f"the clients have ended while they should {what!r}")
        answer: dict[str, Any] = json.loads(line)
        for problem, count in answer["problems"].items():
            self.problems[problem] = self.problems.get(problem, 0) + count
        return answer


@contextlib.contextmanager
def _process(command: Sequence[str], environment: dict[str, str], **pipes: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=os.environ | environment, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def _node(loop: str, url: str, output: IO[bytes]) -> Iterator[Running]:
    port = _free_port()
    command = (*_SERVE, "--loop", loop, "--listen", f"127.0.0.1:{port}")
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", gateway_app.REDIS_URL: url}
    with _process(command, environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process:
        node = Running(process, port, output)
        try:
            _wait(process, port)
        except ServerFailed as error:
            raise ServerFailed(f"a node on {loop}: {error}: {node.last_words()}") from None
        yield node


@contextlib.contextmanager
def running(loops: Sequence[str]) -> Iterator[Setup]:
    """Redis, a node on each loop, and the clients, for as long as the context lasts.

    Raises:
        NoRedis: there is no server of Redis.
        ServerFailed: a node does not start.
    """
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(redis_running())
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in loops]
        nodes = [
            stack.enter_context(_node(loop, redis.url, output)) for loop, output in zip(loops, outputs, strict=True)
        ]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        load = stack.enter_context(_process(("-m", "benchmarks.gateway_load"), {"PYTHONPATH": str(ROOT)}, **pipes))
        yield Setup(redis, nodes, list(loops), Clients(load))


def raise_limit(connections: int) -> None:
    """Allow this process, and those that it starts, as many descriptors as are needed.

    Raises:
        LoadFailed: that is not possible.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _SPARE
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise LoadFailed(f"{connections} connections need {needed} descriptors, and ulimit -Hn allows {hard}")
    if soft < hard or hard == resource.RLIM_INFINITY:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(soft, needed) if hard == resource.RLIM_INFINITY else hard, hard)
        )
