"""Views that do not keep up, and views that send more than their client takes."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

from autobahnlike.app import App, Request, Response, WebSocket

app = App()

BLOCK = b"x" * 65536
BLOCKS = 1024

state: dict[str, Any] = {"sent": 0, "received": 0, "ended": []}
gates: list[Any] = []


def make_future() -> Any:
    """What the loop has to wait for: a future, or a Deferred where there is no asyncio."""
    try:
        return asyncio.get_running_loop().create_future()
    except RuntimeError:
        from twisted.internet.defer import Deferred

        return Deferred()


def memory() -> int:
    """The memory of this process in bytes: now, or where that is not told, at the most."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@app.route("/reset")
async def reset(req: Request, res: Response) -> None:
    state.update(sent=0, received=0, ended=[])
    res.json = state


@app.route("/state")
async def read_state(req: Request, res: Response) -> None:
    res.json = {**state, "memory": memory()}


@app.route("/open")
async def open_gates(req: Request, res: Response) -> None:
    """Let the views that wait go on."""
    while gates:
        gate = gates.pop()
        (gate.set_result if hasattr(gate, "set_result") else gate.callback)(None)
    res.text = "open"


@app.websocket_route("/never_reads", value_type="bytes", caught_close_codes=all)
async def never_reads(ws: WebSocket) -> None:
    """Does not receive before it is allowed to."""
    gates.append(gate := make_future())
    await ws.send(b"here")
    await gate
    async for message in ws:
        number = int.from_bytes(message[:4], "big")
        assert number == state["received"]
        state["received"] += 1


@app.websocket_route("/never_stops", value_type="bytes", caught_close_codes=all)
async def never_stops(ws: WebSocket) -> None:
    """Sends 64 MiB as fast as it can."""
    try:
        for number in range(BLOCKS):
            await ws.send(number.to_bytes(4, "big") + BLOCK)
            state["sent"] += 1
    finally:
        state["ended"].append(state["sent"])
