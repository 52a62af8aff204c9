"""What views cost that wait for something: the latency of a chat beside them, and their memory.

``python -m benchmarks.idle_views`` serves an application with a chat and many idle views on each loop, and with
Starlette on uvicorn for comparison. It tells the latency of the chat without and with the idle views, as a ratio of
the 99th percentiles, and the memory of an idle view.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.process import ROOT, Running, _free_port, _wait, processors

__all__ = ("SERVERS", "Figures", "main", "make_app", "make_starlette", "measure")

_OURS = ("-m", "autobahnlike", "serve", "--factory", "benchmarks.idle_views:make_app", "--log-level", "error")

SERVERS = {
    **{
        loop: (*_OURS, "--loop", loop, "--listen", "127.0.0.1:{port}")
        for loop in ("asyncio", "uvloop", "twisted", "twisted-asyncio")
    },
    "uvicorn and Starlette": (
        *("-m", "uvicorn", "--factory", "benchmarks.idle_views:make_starlette", "--port", "{port}"),
        *("--loop", "uvloop", "--ws", "websockets-sansio", "--log-level", "error", "--ws-per-message-deflate", "false"),
    ),
}
"""How each is started."""


# -- What is served


def make_app() -> Any:
    """Make an application of ours."""
    from autobahnlike.app import App, Request, Response, Room, WebSocket

    app = App()
    room = Room("chat")
    kind = "chat"

    @app.route("/kind/{name}")
    async def choose(req: Request, res: Response, name: str) -> None:
        """Say what connections are from now on."""
        nonlocal kind
        kind = name
        res.text = name

    @app.websocket_route("/", value_type="bytes", caught_close_codes=all)
    async def view(ws: WebSocket) -> None:
        if kind == "idle":
            async for message in ws:
                await ws.send(message)
        else:
            async with room.joined(ws):
                async for message in ws:
                    await room.broadcast(message)

    return app


def make_starlette() -> Any:
    """Make the same with Starlette."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    kind = "chat"
    members: set[WebSocket] = set()

    async def choose(request: Request) -> Response:
        nonlocal kind
        kind = request.path_params["name"]
        return PlainTextResponse(kind)

    async def view(ws: WebSocket) -> None:
        await ws.accept()
        if kind == "idle":
            async for message in ws.iter_bytes():
                await ws.send_bytes(message)
            return
        members.add(ws)
        try:
            async for message in ws.iter_bytes():
                for member in list(members):
                    await member.send_bytes(message)
        finally:
            members.discard(ws)

    return Starlette(routes=[Route("/kind/{name}", choose), WebSocketRoute("/", view)])


# -- Measuring


@dataclass
class Figures:
    """What was measured of one server. Times are in seconds, sizes in bytes.

    Attributes:
        alone: the 99th percentile of the chat's latency without idle views, in each round.
        beside: the same with them.
        median_alone: the median without them.
        median_beside: the median with them.
        cost_alone: the server's CPU time for each message that all in the chat receive, without them; it depends less
            than the latency on what else the machine has to do.
        cost_beside: the same with them.
        memory: of an idle view.
    """

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    median_alone: list[float] = field(default_factory=list)
    median_beside: list[float] = field(default_factory=list)
    cost_alone: list[float] = field(default_factory=list)
    cost_beside: list[float] = field(default_factory=list)
    memory: float = 0

    @property
    def ratio(self) -> float:
        """How many times the 99th percentile is what it is without idle views: the median over the rounds."""
        return statistics.median(beside / alone for alone, beside in zip(self.alone, self.beside, strict=True))


@contextlib.contextmanager
def _started(command: Sequence[str], cpu: int | None) -> Iterator[Running]:
    port = _free_port()
    arguments = [part.format(port=port) for part in command]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            if cpu is not None:
                os.sched_setaffinity(process.pid, {cpu})
            _wait(process, port)
            yield Running(process, port, output)
        finally:
            process.kill()
            process.wait()


def _choose(port: int, kind: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", f"/kind/{kind}")
        connection.getresponse().read()
    finally:
        connection.close()


def measure(
    server: str, *, idle: int = 2000, chat: int = 50, rounds: int = 5, seconds: float = 2.0, messages: int = 0
) -> Figures:
    """Measure a server.

    Args:
        server: one of ``SERVERS``.
        idle: how many idle views there are.
        chat: how many are in the chat. One of them says something, and again as soon as all have received it.
        rounds: how often the chat is looked at, without and with idle views by turns.
        seconds: for how long, each time.
        messages: end sooner, as soon as everybody has received so many; 0 to go on until the time is over.

    Raises:
        LoadFailed: the server did something wrong.
        NoCompiler: the load generator cannot be built.
        ServerFailed: the server does not start.
    """
    program = load.build()
    shares = processors()
    figures = Figures()
    with _started(SERVERS[server], shares.server) as running, tempfile.TemporaryDirectory() as folder:
        payload = Path(folder) / "payload"
        payload.write_bytes(b"x" * 128)
        common = [f"--port={running.port}", f"--pid={running.process.pid}", f"--payload={payload}"]

        def hold(count: int) -> load.Idle:
            _choose(running.port, "idle")
            return load.idle(program, ["idle", *common, f"--connections={count}", "--messages=1"])

        def talk() -> load.Result:
            _choose(running.port, "chat")
            arguments = ["broadcast", *common, f"--connections={chat}", f"--seconds={seconds}", "--warm-up=0.3"]
            found = load.run(program, [*arguments, f"--messages={messages}"], shares.load)
            if not found.messages:
                raise load.LoadFailed(f"nobody has received anything in {seconds} seconds")
            return found

        # What is made once is made now.
        hold(1).close()
        talk()
        for number in range(rounds):
            alone = talk()
            before = running.memory()
            held = hold(idle)
            if number == 0:
                figures.memory = (running.memory() - before) / idle
            beside = talk()
            held.close()
            figures.alone.append(alone.p99)
            figures.beside.append(beside.p99)
            figures.median_alone.append(alone.p50)
            figures.median_beside.append(beside.p50)
            figures.cost_alone.append(alone.server_cpu / alone.messages)
            figures.cost_beside.append(beside.server_cpu / beside.messages)
    return figures


def _pair(alone: list[float], beside: list[float], scale: float) -> str:
    return f"{scale * statistics.median(alone):.2f} {scale * statistics.median(beside):>7.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a line for each server."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle_views", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS), metavar="NAME")
    parser.add_argument("--idle", type=int, default=2000, help="how many idle views (default: %(default)s)")
    parser.add_argument("--chat", type=int, default=50, help="how many in the chat (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round (default: %(default)s)")
    options = parser.parse_args(arguments)
    print(f"chat of {options.chat}, without and with {options.idle} idle views; medians of {options.rounds} rounds")
    print(f"{'':24}{'median, ms':>16}{'p99, ms':>18}{'ratio':>8}{'CPU, us':>16}{'KiB each':>11}")
    for name in options.servers:
        found = measure(name, idle=options.idle, chat=options.chat, rounds=options.rounds, seconds=options.seconds)
        p50 = _pair(found.median_alone, found.median_beside, 1e3)
        p99 = _pair(found.alone, found.beside, 1e3)
        cost = _pair(found.cost_alone, found.cost_beside, 1e6)
        print(f"{name:24}{p50:>16}{p99:>18}{found.ratio:>8.2f}{cost:>16}{found.memory / 1024:>11.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
