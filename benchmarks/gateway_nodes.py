"""What many nodes of a gateway carry on one Redis: any node sends to any connection, and rooms are on all nodes.

``python -m benchmarks.gateway_nodes`` starts redis-server and nodes on different loops, opens 10,000 connections over
them, and sends to random ones by their ids, from any node to any node, through the @connections API and from handlers.
Nothing may be lost, come twice, or overtake another one; the exit status is 1 if something does, or if anything fails.
``--room`` measures a room with members on all nodes, ``--pair`` what one node can send to another, ``--kill`` what
happens when a node dies, and ``--redis`` what Redis itself can do; ``--ramp`` raises the rate until it is too much.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import autobahnlike
from autobahnlike import speed
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.scripts import Keys
from benchmarks.gateway_redis import NoRedis, bench
from benchmarks.gateway_setup import LoadFailed, Setup, raise_limit, running
from benchmarks.process import Running, ServerFailed

__all__ = ("Figures", "main", "measure")

LOOPS = ("asyncio", "uvloop", "twisted", "twisted-asyncio")
KINDS = ("http", "handler", "thread")

# Where a ramp ends: the median of the latency, in seconds, or the share of what was asked for that was sent. The 99th
# percentile would tell more of what else the machine has to do.
_TOO_LATE = 0.1
_TOO_FEW = 0.95
# Seconds until a node that was killed must be forgotten.
_KILL_PATIENCE = 120.0
_COMPLAINTS = ("ERROR", "WARNING", "Error")


# -- Measuring


@dataclass
class Figures:
    """What one run has measured. Times are in seconds.

    Attributes:
        found: what the clients have found.
        elapsed: how long it took.
        cpu: the CPU time of each node, and of Redis.
        commands: how often Redis did each command.
        traffic: the bytes that Redis received, and sent.
    """

    found: dict[str, Any]
    elapsed: float
    cpu: list[float]
    commands: dict[str, int]
    traffic: tuple[int, int]

    @property
    def silent(self) -> list[str]:
        """What went wrong without anybody being told, in words."""
        names = ("lost", "doubled", "overtaken", "foreign", "unanswered")
        return [f"{self.found[name]} messages {name}" for name in names if self.found[name]]

    @property
    def refused(self) -> list[str]:
        """Which verdicts there were but that a message was delivered, in words."""
        verdicts = self.found["verdicts"].items()
        return [f"{count} times {name}" for name, count in verdicts if name.split(" ", 1)[1] not in _GOOD]

    @property
    def faults(self) -> list[str]:
        """All that must not be, in words."""
        return self.silent + self.refused

    @property
    def is_too_much(self) -> bool:
        """Whether the rate was more than can be carried."""
        found = self.found
        in_time = found["sent"] >= _TOO_FEW * found["asked"] and found["until_last"] < found["seconds"] + 1
        return bool(found["p50"] > _TOO_LATE or not in_time)


_GOOD = ("delivered", "200")


def measure(setup: Setup, what: str, seconds: float, **arguments: Any) -> Figures:
    """Have the clients do something, and see what it costs.

    Args:
        setup: what is running.
        what: the command.
        seconds: how long it takes.
        arguments: those of the command.
    """
    commands, traffic, cpu, began = setup.redis.commands(), setup.redis.traffic(), setup.cpu(), time.monotonic()
    found = setup.load.ask(what, seconds, **arguments)
    elapsed = time.monotonic() - began
    cpu = [after - before for before, after in zip(cpu, setup.cpu(), strict=True)]
    after = setup.redis.traffic()
    done = {name: count - commands.get(name, 0) for name, count in setup.redis.commands().items()}
    return Figures(
        found,
        elapsed,
        cpu,
        {name: count for name, count in sorted(done.items()) if count and name != "info"},
        (after[0] - traffic[0], after[1] - traffic[1]),
    )


def _open(setup: Setup, connections: int) -> bool:
    """Open all connections, and print what that took and what they take; returns whether there are as many."""
    before = [each.memory() for each in setup.nodes]
    redis_before = setup.redis.memory()
    figures = measure(setup, "open", 0.0, ports=[each.port for each in setup.nodes], connections=connections)
    opened = figures.found["opened"]
    memory = [
        (node.memory() - had) / 1024 / max(1, count)
        for node, had, count in zip(setup.nodes, before, opened, strict=True)
    ]
    redis_memory = (setup.redis.memory() - redis_before) / 1024 / max(1, sum(opened))
    print(
        f"{sum(opened)} of {connections} connections opened in {figures.found['seconds']:.1f} s; "
        f"CPU {sum(figures.cpu[:-1]) / max(1, sum(opened)) * 1e3:.2f} ms each, "
        f"of Redis {figures.cpu[-1] / max(1, sum(opened)) * 1e6:.0f} µs, of the clients {figures.found['cpu']:.1f} s"
    )
    for loop, count, each, had in zip(setup.loops, opened, memory, before, strict=True):
        print(f"  {loop:16}{count:>7} connections, {each:.1f} KiB each, besides {had / 1024**2:.0f} MiB")
    print(f"  {'Redis':16}{redis_memory:.2f} KiB for each connection", flush=True)
    return bool(sum(opened) == connections)


def _print_run(setup: Setup, figures: Figures, idle: list[float], messages: int, per: str) -> None:
    """Print what a run has measured.

    Args:
        setup: what is running.
        figures: those.
        idle: what nodes and Redis take when nothing is sent, in seconds of CPU time for a second.
        messages: how many there were, for what each costs.
        per: what these are.
    """
    found = figures.found
    print(
        f"  {found['sent']} messages in {found['seconds']:.1f} s, {found['received']} received: "
        f"{found['lost']} lost, {found['doubled']} doubled, {found['overtaken']} out of order"
    )
    print(f"  verdicts: {', '.join(f'{count} {name}' for name, count in sorted(found['verdicts'].items())) or 'none'}")
    print(
        f"  latency: median {found['p50'] * 1e3:.1f} ms, p99 {found['p99'] * 1e3:.1f} ms, "
        f"max {found['max'] * 1e3:.1f} ms; the clients were {found['lateness'] * 1e3:.1f} ms late at most"
    )
    extra = [max(0.0, took - each * figures.elapsed) for took, each in zip(figures.cpu, idle, strict=True)]
    names = [*setup.loops, "Redis"]
    busy = [f"{name} {took / figures.elapsed:.1%}" for name, took in zip(names, figures.cpu, strict=True)]
    print(f"  of one processor: {', '.join(busy)}, clients {found['load_cpu'] / figures.elapsed:.1%}")
    print(
        f"  beyond idling, for each {per}: {sum(extra[:-1]) / max(1, messages) * 1e6:.0f} µs of all nodes, "
        f"{extra[-1] / max(1, messages) * 1e6:.0f} µs of Redis"
    )
    each_second = [f"{name} {count / figures.elapsed:.0f}" for name, count in figures.commands.items()]
    received, sent = (amount / figures.elapsed / 1024 for amount in figures.traffic)
    print(f"  Redis, a second: {', '.join(each_second)}; {received:.0f} KiB in, {sent:.0f} KiB out", flush=True)


def _idle(setup: Setup, seconds: float) -> list[float]:
    """Print and return what nodes and Redis take when nothing is sent, in seconds of CPU time for a second."""
    figures = measure(setup, "idle", seconds)
    idle = [took / figures.elapsed for took in figures.cpu]
    names = [*setup.loops, "Redis"]
    busy = ", ".join(f"{name} {took:.1%}" for name, took in zip(names, idle, strict=True))
    each_second = ", ".join(f"{name} {count / figures.elapsed:.1f}" for name, count in figures.commands.items())
    print(f"idle, of one processor: {busy}; Redis, a second: {each_second or 'nothing'}", flush=True)
    return idle


def _ramp(setup: Setup, what: str, options: argparse.Namespace, **arguments: Any) -> list[str]:
    """Raise the rate until it is too much; print a line for each; returns the faults before that."""
    names = [*setup.loops, "Redis", "clients"]
    print(f"{'asked':>8}{'sent/s':>9}{'median':>9}{'p99':>9}   of one processor: {', '.join(names)}")
    faults: list[str] = []
    rate = options.rate
    while not faults:
        figures = measure(setup, what, options.seconds, rate=rate, **arguments)
        if figures.is_too_much:
            # It may have been something else on this machine.
            again = measure(setup, what, options.seconds, rate=rate, **arguments)
            faults += figures.silent
            figures = again
        found = figures.found
        busy = [took / found["until_last"] for took in (*figures.cpu, found["load_cpu"])]
        print(
            f"{rate:>8.0f}{found['sent'] / found['until_last']:>9.0f}"
            f"{found['p50'] * 1e3:>6.1f} ms{found['p99'] * 1e3:>6.1f} ms   {' '.join(f'{each:.0%}' for each in busy)}",
            flush=True,
        )
        if figures.is_too_much:
            # Then a message may be refused, but nothing be lost without a word.
            print(f"  too much{''.join(f', {fault}' for fault in figures.refused)}", flush=True)
            return faults + figures.silent
        faults += figures.faults
        rate *= options.factor
    return faults


def _spread(setup: Setup, options: argparse.Namespace) -> list[str]:
    """Send from any node to any connection."""
    nodes = list(range(len(setup.nodes)))
    senders, receivers = ([0], [len(nodes) - 1]) if options.pair else (nodes, nodes)
    arguments = {"kinds": options.kinds, "senders": senders, "receivers": receivers, "size": options.size}
    if not setup.load.ask("prepare", kinds=options.kinds, nodes=senders)["ready"]:
        return ["the clients cannot ask for anything to be sent"]
    # What is made once is made now.
    measure(setup, "send", 0.5, rate=100, **arguments)
    if options.ramp:
        return _ramp(setup, "send", options, **arguments)
    idle = _idle(setup, options.idle)
    figures = measure(setup, "send", options.seconds, rate=options.rate, **arguments)
    print(f"{options.rate:g} messages of {options.size} bytes a second, by {' and '.join(options.kinds)}")
    _print_run(setup, figures, idle, figures.found["sent"], "message")
    return figures.faults


def _room(setup: Setup, options: argparse.Namespace) -> list[str]:
    """Publish to a room with members on all nodes."""
    nodes = list(range(len(setup.nodes)))
    ready = setup.load.ask("prepare", kinds=["room"], nodes=nodes)["ready"]
    if not ready or setup.load.ask("join", members=options.room)["joined"] != options.room:
        return ["not all could join the room"]
    arguments = {"senders": nodes, "size": options.size}
    measure(setup, "publish", 0.5, rate=10, **arguments)
    if options.ramp:
        return _ramp(setup, "publish", options, **arguments)
    idle = _idle(setup, options.idle)
    figures = measure(setup, "publish", options.seconds, rate=options.rate, **arguments)
    print(f"{options.rate:g} messages of {options.size} bytes a second to a room of {options.room}")
    _print_run(setup, figures, idle, figures.found["received"], "delivery")
    cost = figures.cpu[-1] / max(1, figures.found["sent"]) * 1e6
    print(f"  of Redis {cost:.0f} µs for each message to the room", flush=True)
    return figures.faults


def _kill(setup: Setup, options: argparse.Namespace) -> list[str]:
    """Kill a node, and see how long it takes until others have seen to all of its connections."""
    redis, keys = setup.redis, Keys(RedisOptions().prefix)
    # Which node has which id only Redis knows, and which process has died only we: the one that gives no more signs.
    ids = redis.command("ZRANGE", keys.nodes, 0, -1)
    held = {each: redis.command("HLEN", keys.connections(each)) for each in ids}
    idle = _idle(setup, options.idle)
    killed = setup.nodes.pop(0)
    loop = setup.loops.pop(0)
    killed.process.kill()
    began = time.monotonic()
    noticed = ended = 0.0
    before, dead = setup.cpu(), ""
    while not ended and time.monotonic() < began + _KILL_PATIENCE:
        setup.load.ask("idle", 0.05)
        for each in ids:
            if not noticed and redis.command("EXISTS", keys.dead(each)):
                noticed, dead = time.monotonic() - began, each
        if noticed and redis.command("ZSCORE", keys.nodes, dead) is None:
            ended = time.monotonic() - began
    lost = setup.load.problems
    closed = sum(lost.values())
    lost.clear()
    if not ended:
        return ["nobody has seen to the connections of the node that was killed"]
    took = sum(after - each for after, each in zip(setup.cpu(), before, strict=True)) - sum(idle[1:]) * ended
    print(
        f"the node on {loop} was killed: its {held[dead]} connections were closed ({closed} seen by clients), after "
        f"{noticed:.1f} s it was taken for dead, and {ended - noticed:.1f} s later all $disconnect had been run\n"
        f"  {took / max(1, held[dead]) * 1e6:.0f} µs of CPU for each, Redis included",
        flush=True,
    )
    return [] if closed == held[dead] else [f"{held[dead]} connections were registered, and {closed} lost"]


# -- The command line


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway_nodes", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--pair", action="store_true", help="only from the first node to the last")
    what.add_argument("--room", type=int, metavar="MEMBERS", help="publish to a room of so many")
    what.add_argument("--kill", action="store_true", help="kill the first node")
    what.add_argument("--redis", action="store_true", help="only what Redis itself can do; needs redis-benchmark")
    parser.add_argument("--ramp", action="store_true", help="raise the rate until it is too much")
    parser.add_argument("--factor", type=float, default=1.5, help="by which a ramp rises (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--nodes", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--loops", nargs="+", choices=LOOPS, default=["asyncio", "uvloop", "twisted"], help="of the nodes, in turns"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["http", "handler"], help="how it is sent")
    parser.add_argument("--rate", type=float, default=200.0, help="messages a second (default: %(default)g)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (default: %(default)g)")
    parser.add_argument(
        "--idle", type=float, default=20.0, help="for how long nothing is done before (default: %(default)g)"
    )
    parser.add_argument("--size", type=int, default=128, help="bytes of a message (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="200 connections, for a few seconds")
    options = parser.parse_args(argv)
    if options.quick:
        options.connections, options.seconds, options.idle = 200, 3.0, 0.5
        options.room = options.room and min(options.room, 100)
    options.connections = max(options.connections, options.room or 0)
    for name in ("connections", "nodes", "rate", "seconds", "idle"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name} is more than 0")
    if options.factor <= 1 or not 100 <= options.size <= 60_000:
        parser.error("--factor is more than 1, and --size 100 to 60000")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if anything was lost or failed, 2 if nothing could be measured."""
    options = _arguments(argv)
    loops = [options.loops[number % len(options.loops)] for number in range(options.nodes)]
    try:
        if options.redis:
            bench(options.size, quick=options.quick)
            return 0
        raise_limit(options.connections)
        with running(loops) as setup:
            print(
                f"{options.nodes} nodes ({', '.join(loops)}), Redis {setup.redis.version}, "
                f"Python {platform.python_version()}, autobahnlike {autobahnlike.__version__}"
                f"{' compiled' if speed.COMPILED else ''}, {len(os.sched_getaffinity(0))} processors",
                flush=True,
            )
            faults = [] if _open(setup, options.connections) else ["not all connections could be opened"]
            faults += (_room if options.room else _kill if options.kill else _spread)(setup, options)
            faults += [f"{count} times: {what}" for what, count in setup.load.problems.items()]
            faults += [
                f"the node on {loop} says: {node.last_words()}"
                for loop, node in zip(setup.loops, setup.nodes, strict=True)
                if _has_complained(node)
            ]
    except (NoRedis, LoadFailed, ServerFailed) as error:
        print(error, file=sys.stderr)
        return 2
    for fault in faults:
        print(f"FAULT: {fault}", flush=True)
    return 1 if faults else 0


def _has_complained(node: Running) -> bool:
    return any(word in node.last_words() for word in _COMPLAINTS) and "gives no sign of life" not in node.last_words()


def _terminated(number: int, frame: object) -> None:
    # So that what was started is ended.
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(main())
