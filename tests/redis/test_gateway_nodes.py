"""That the benchmark of many nodes runs, and sees what it is there to see; not how fast anything is."""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gateway_nodes
from benchmarks.gateway_load import Load
from benchmarks.gateway_nodes import Figures, main, measure
from benchmarks.gateway_setup import running
from benchmarks.process import ROOT, ServerFailed


def figures(**found: Any) -> Figures:
    """What a run of two messages has measured."""
    nothing = dict.fromkeys(("lost", "doubled", "overtaken", "foreign", "unanswered"), 0)
    times = {"p50": 0.001, "p99": 0.002, "seconds": 1.0, "until_last": 1.0, "load_cpu": 0.1}
    counts = {"sent": 2, "asked": 2, "verdicts": {"http 200": 1, "handler delivered": 1}}
    return Figures({**nothing, **times, **counts, **found}, 1.0, [0.1, 0.1], {}, (0, 0))


def test_any_node_to_any_connection(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--quick", "--connections=200", "--kinds", "http", "handler", "thread"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "200 of 200 connections opened" in printed
    assert "600 messages in" in printed
    assert "600 received: 0 lost, 0 doubled, 0 out of order" in printed
    verdicts = dict(re.findall(r"(?<=[ ,])(\d+) (http 200|handler delivered|thread delivered)", printed))
    assert sum(map(int, verdicts)) == 600
    for loop in ("asyncio", "uvloop", "twisted"):
        assert re.search(rf"  {loop} +\d+ connections, ", printed)


def test_a_room(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--quick", "--room=30", "--rate=20", "--loops", "asyncio", "twisted-asyncio"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "60 messages in" in printed
    assert "1800 received: 0 lost, 0 doubled, 0 out of order" in printed


def test_a_node_that_is_killed(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--quick", "--kill", "--connections=30"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "the node on asyncio was killed: its 67 connections were closed (67 seen by clients)" in printed


def test_what_redis_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--redis", "--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("room: EVAL, 30 nodes with members")
    assert all(float(each.replace(",", "")) > 0 for line in lines[2:] for each in line.split()[-4:])


def test_a_node_that_dies_is_a_fault() -> None:
    with running(["asyncio", "uvloop"]) as setup:
        assert setup.load.ask("open", ports=[each.port for each in setup.nodes], connections=20)["opened"] == [10, 10]
        assert setup.load.ask("prepare", kinds=["http"], nodes=[0])["ready"]
        arguments: dict[str, Any] = {"kinds": ["http"], "senders": [0], "receivers": [0, 1], "rate": 100, "size": 128}
        assert measure(setup, "send", 0.2, **arguments).faults == []
        setup.nodes[0].process.kill()
        setup.nodes[0].process.wait()
        found = figures(**setup.load.ask("send", 0.2, **arguments))
        assert found.refused == ["20 times http the connection was lost"]
        assert found.silent == []
        assert sum(setup.load.problems.values()) == 10
        with pytest.raises(ServerFailed, match="the node on asyncio has ended with status -9"):
            measure(setup, "idle", 0.1)


def test_it_ends_what_it_has_started() -> None:
    command = [sys.executable, "-m", "benchmarks.gateway_nodes", "--quick", "--idle=60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout is not None
        assert process.stdout.readline().startswith("3 nodes (asyncio, uvloop, twisted)")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 5
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
        watchdog.cancel()
    assert not [each for each in children if Path(f"/proc/{each}").exists()]


def test_without_redis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["--quick"]) == 2
    assert capsys.readouterr().err == "this needs redis-server or valkey-server: apt install redis-server\n"


def test_more_connections_than_descriptors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--connections=1000000000"]) == 2
    assert "ulimit -Hn allows" in capsys.readouterr().err


class TestFaults:
    def test_none(self) -> None:
        assert figures().faults == []

    @pytest.mark.parametrize("name", ["lost", "doubled", "overtaken", "foreign", "unanswered"])
    def test_silent(self, name: str) -> None:
        assert figures(**{name: 3}).faults == [f"3 messages {name}"]

    def test_refused(self) -> None:
        found = figures(verdicts={"http 200": 1, "http 424": 2, "handler DeliveryUnknownError": 1})
        assert found.faults == ["2 times http 424", "1 times handler DeliveryUnknownError"]
        assert found.silent == []


class Client:
    """A client that messages come to."""

    connection_id = "here="

    def __init__(self) -> None:
        self.newest: dict[int, int] = {}
        self.order = self.told = 0


@pytest.fixture
def load() -> Iterator[Load]:
    """One that has sent three messages."""
    load = Load()
    for _ in range(3):
        load._due.append(0.0)
        load._arrivals.append(0)
    yield load
    load.poller.close()


class TestArrivals:
    def test_all_is_well(self, load: Load) -> None:
        client: Any = Client()
        for number in range(3):
            load.arrived(client, f"{number} 5 here= xxx")
        assert (load._doubled, load._overtaken, load._foreign) == (0, 0, 0)
        assert list(load._arrivals) == [1, 1, 1]

    def test_doubled(self, load: Load) -> None:
        client: Any = Client()
        load.arrived(client, "1 5 here= xxx")
        load.arrived(client, "1 5 here= xxx")
        assert load._doubled == 1

    def test_overtaken(self, load: Load) -> None:
        client: Any = Client()
        load.arrived(client, "2 5 here= xxx")
        # What went another way has no order with it.
        load.arrived(client, "0 6 here= xxx")
        assert load._overtaken == 0
        load.arrived(client, "1 5 here= xxx")
        assert load._overtaken == 1

    def test_for_another_one(self, load: Load) -> None:
        client: Any = Client()
        load.arrived(client, "1 5 there= xxx")
        load.arrived(client, "7 5 here= xxx")
        assert load._foreign == 2

    def test_members_of_a_room_that_see_other_orders(self, load: Load) -> None:
        clients: list[Any] = [Client(), Client()]
        for client, order in zip(clients, ((0, 1, 2), (0, 2, 1)), strict=True):
            for number in order:
                load.arrived_in_room(client, f"{number} xxx")
        assert clients[0].told == clients[1].told == 3
        assert clients[0].order != clients[1].order


class TestRamp:
    @pytest.fixture
    def ramp(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        def run(found: dict[float, list[Figures]]) -> list[str]:
            def measured(setup: Any, what: str, seconds: float, *, rate: float) -> Figures:
                return found[rate].pop(0)

            monkeypatch.setattr(gateway_nodes, "measure", measured)
            setup: Any = argparse.Namespace(loops=["asyncio"])
            faults = gateway_nodes._ramp(setup, "send", argparse.Namespace(rate=1.0, factor=2.0, seconds=1.0))
            assert not any(found.values())
            return faults

        return run

    def test_it_ends_when_it_is_too_much_twice(self, ramp: Any, capsys: pytest.CaptureFixture[str]) -> None:
        late = {"p50": 1.0, "verdicts": {"http 424": 1}}
        # The first time it may have been something else.
        found = {1.0: [figures()], 2.0: [figures(**late), figures()], 4.0: [figures(**late), figures(**late)]}
        assert ramp(found) == []
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "4"]
        assert lines[4] == "  too much, 1 times http 424"

    def test_what_is_lost_is_a_fault_also_then(self, ramp: Any) -> None:
        assert ramp({1.0: [figures(p50=1.0, lost=1), figures(p50=1.0)]}) == ["1 messages lost"]

    def test_what_is_refused_is_a_fault_before(self, ramp: Any) -> None:
        assert ramp({1.0: [figures(verdicts={"http 424": 1})]}) == ["1 times http 424"]
