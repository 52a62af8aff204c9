"""Measures servers in a scenario, in interleaved rounds."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import load
from benchmarks.catalogue import Server
from benchmarks.payloads import compressed_file, inflated, json_messages, payload
from benchmarks.process import Processors, Running, ServerFailed, started
from benchmarks.scenarios import Scenario

__all__ = ("Effort", "Outcome", "measure")

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is done.

    Attributes:
        rounds: how often each server is measured.
        seconds: how long each time.
        warm_up: seconds before that.
        messages: end as soon as there were so many; 0 to go on until the time is over.
    """

    rounds: int = 5
    seconds: float = 1.0
    warm_up: float = 0.3
    messages: int = 0


@dataclasses.dataclass
class Outcome:
    """What is known of a server in a scenario.

    Attributes:
        results: one for each round.
        memory: bytes for each connection, one for each round.
        problem: why there is nothing.
    """

    results: list[load.Result] = dataclasses.field(default_factory=list)
    memory: list[float] = dataclasses.field(default_factory=list)
    problem: str | None = None


@dataclasses.dataclass(frozen=True)
class _Bench:
    """What all measurements of a scenario need."""

    program: Path
    scenario: Scenario
    payload: Path
    directory: Path
    processors: Processors
    effort: Effort

    def arguments(self, server: Server, running: Running, **more: object) -> list[str]:
        """Return the command line of the load generator."""
        scenario = self.scenario
        words = [scenario.mode, "--port", str(running.port), "--pid", str(running.process.pid)]
        words += ["--connections", str(scenario.connections), "--window", str(scenario.window)]
        words += ["--payload", str(self.payload)]
        if scenario.fragment:
            words += ["--fragment", str(scenario.fragment)]
        words += ["--text"] * (scenario.kind != "binary")
        words += ["--no-takeover"] * (not scenario.takeover)
        words += ["--deflate"] * scenario.deflate + ["--raw"] * server.raw
        for name, value in more.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        return words


def measure(
    program: Path,
    scenario: Scenario,
    servers: Sequence[Server],
    processors: Processors,
    effort: Effort,
    say: Say = lambda text: None,
) -> dict[str, Outcome]:
    """Measure servers, and return what came out by their names.

    A server is verified first: the load generator compares what comes back with what it sent, and what comes back
    compressed is inflated here. One that does not do what it should is not measured, and the outcome says why.

    Args:
        program: the load generator.
        scenario: what they have to do.
        servers: those that can.
        processors: who runs where.
        effort: how often and how long.
        say: is told what goes on.
    """
    with tempfile.TemporaryDirectory(prefix="autobahnlike-benchmarks-") as name:
        directory = Path(name)
        path = directory / "payload"
        if scenario.deflate:
            compressed_file(json_messages(scenario.size), path, scenario.takeover)
        else:
            path.write_bytes(payload(scenario))
        bench = _Bench(program, scenario, path, directory, processors, effort)
        return (_measure_memory if scenario.mode == "idle" else _measure_traffic)(bench, servers, say)


def _measure_traffic(bench: _Bench, servers: Sequence[Server], say: Say) -> dict[str, Outcome]:
    outcomes = {server.name: Outcome() for server in servers}
    with contextlib.ExitStack() as stack:
        running = {}
        for server in servers:
            try:
                found = stack.enter_context(started(server, bench.scenario, bench.processors.server))
            except ServerFailed as error:
                outcomes[server.name].problem = str(error)
                continue
            running[server.name] = found
            _try(outcomes[server.name], found, functools.partial(_verify, bench, server))
        for number in range(bench.effort.rounds):
            say(f"{bench.scenario.name}: round {number + 1} of {bench.effort.rounds}")
            for server in servers:
                outcome = outcomes[server.name]
                if outcome.problem is None:
                    _try(outcome, running[server.name], functools.partial(_run, bench, server, outcome))
    return outcomes


def _try(outcome: Outcome, running: Running, action: Callable[[Running], None]) -> None:
    """Do something with a server; where the load generator is not content, the server may have said why."""
    try:
        action(running)
    except load.LoadFailed as error:
        outcome.problem = " / ".join(filter(None, (str(error), running.last_words())))


def _run(bench: _Bench, server: Server, outcome: Outcome, running: Running) -> None:
    effort = bench.effort
    arguments = bench.arguments(
        server, running, seconds=effort.seconds, warm_up=effort.warm_up, messages=effort.messages
    )
    outcome.results.append(load.run(bench.program, arguments, bench.processors.load))


def _verify(bench: _Bench, server: Server, running: Running) -> None:
    """Exchange some messages of which every byte is compared: those of the warm-up are."""
    answers = bench.directory / "answers"
    more = {"answers": answers} if bench.scenario.deflate else {}
    arguments = bench.arguments(server, running, seconds=0, warm_up=0.05, messages=1, **more)
    load.run(bench.program, arguments, bench.processors.load)
    if not bench.scenario.deflate:
        return
    messages = json_messages(bench.scenario.size)
    got = list(inflated(answers.read_bytes()))
    if not got or any(answer != messages[index % len(messages)] for index, answer in enumerate(got)):
        raise load.LoadFailed("a compressed message came back changed")


def _measure_memory(bench: _Bench, servers: Sequence[Server], say: Say) -> dict[str, Outcome]:
    outcomes = {server.name: Outcome() for server in servers}
    for number in range(bench.effort.rounds):
        say(f"{bench.scenario.name}: round {number + 1} of {bench.effort.rounds}")
        for server in servers:
            outcome = outcomes[server.name]
            if outcome.problem is not None:
                continue
            try:
                with started(server, bench.scenario, bench.processors.server) as running:
                    _try(outcome, running, functools.partial(_memory, bench, server, outcome))
            except ServerFailed as error:
                outcome.problem = str(error)
    return outcomes


def _memory(bench: _Bench, server: Server, outcome: Outcome, running: Running) -> None:
    messages = 1 if bench.scenario.deflate else 0
    # A first connection makes whatever is made once, and is gone.
    load.idle(bench.program, bench.arguments(server, running, messages=messages, connections=1)).close()
    before = running.memory()
    held = load.idle(bench.program, bench.arguments(server, running, messages=messages))
    time.sleep(bench.scenario.silence)
    outcome.memory.append((running.memory() - before) / bench.scenario.connections)
    held.close()
