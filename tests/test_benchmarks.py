"""The benchmarks: that they run and see what is wrong, and how they count; not how fast anything is."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import catalogue, instructions, load, payloads, scenarios
from benchmarks.__main__ import main
from benchmarks.catalogue import Server
from benchmarks.counted import CASES, work
from benchmarks.goals import COLUMNS, GOALS, goals_table, reached
from benchmarks.load import Result
from benchmarks.measure import Effort, Outcome, measure
from benchmarks.page import page
from benchmarks.process import Processors, ServerFailed, started
from benchmarks.results import Machine, Report, figures_of
from benchmarks.tables import microseconds, ratio, scenario_table

# No more than it takes to see that messages come back.
EFFORT = Effort(rounds=1, seconds=60, warm_up=0, messages=20)
ANYWHERE = Processors(set())


def result(cpu: float = 10e-6, messages: int = 1000, **more: float) -> Result:
    """A run in which a message takes so much CPU time."""
    fields: dict[str, float] = {"seconds": 0.5, "load_cpu": 0.1, "p50": 50e-6, "p99": 4e-3} | more
    return Result(messages=messages, server_cpu=cpu * messages, **fields)


def outcome(*costs: float) -> Outcome:
    """Rounds in which a message takes so many microseconds of CPU time."""
    return Outcome([result(cost * 1e-6) for cost in costs])


def report(**outcomes: dict[str, Outcome]) -> Report:
    """Results, by scenario: with _ for - in its name."""
    named = {name.replace("_", "-"): servers for name, servers in outcomes.items()}
    return Report(Machine("a processor", 2, "a system", "3.11.0"), Effort(), True, {"picows": "1.0"}, named)


class TestRun:
    """The load generator is compiled where there is a compiler; without one, that is said."""

    @pytest.mark.parametrize(
        "server", catalogue.select(["autobahnlike-asyncio", "autobahnlike-twisted"]), ids=lambda server: server.name
    )
    @pytest.mark.parametrize(
        "scenario",
        [
            *scenarios.select(["pp-128-c10", "pipe-1K-utf8", "fragments-16K", "deflate-1K", "handshakes"]),
            dataclasses.replace(scenarios.named("broadcast-200-w8"), connections=20),
            dataclasses.replace(scenarios.named("memory-deflate"), connections=20),
            dataclasses.replace(scenarios.named("memory-silence"), connections=20, silence=0),
        ],
        ids=lambda scenario: scenario.name,
    )
    def test_a_scenario(self, scenario: scenarios.Scenario, server: Server) -> None:
        if shutil.which("cc") is None:
            # What the load generator would talk to starts nevertheless.
            with started(server, scenario) as running:
                assert running.memory() > 0
            return
        found = measure(load.build(), scenario, [server], ANYWHERE, EFFORT)[server.name]
        assert found.problem is None
        if scenario.mode == "idle":
            assert found.memory[0] > 0
        else:
            assert found.results[0].messages >= EFFORT.messages
            assert 0 < found.results[0].p50 <= found.results[0].p99

    def test_the_time_of_the_server_is_counted(self) -> None:
        """Over so many messages that it takes many ticks of any kernel."""
        scenario, servers = scenarios.named("pipe-128"), catalogue.select(["autobahnlike-asyncio"])
        if shutil.which("cc") is None:
            assert main(["--server", servers[0].name]) == 2
            return
        found = measure(load.build(), scenario, servers, ANYWHERE, dataclasses.replace(EFFORT, messages=60_000))
        (measured,) = found[servers[0].name].results
        assert measured.server_cpu > 0.005

    def test_what_does_not_speak_websocket_is_not_measured(self) -> None:
        server = Server("liar", "raw_asyncio")
        with started(server, scenarios.named("pp-128-c10")) as running:
            assert running.last_words() == ""
        if shutil.which("cc") is not None:
            found = measure(load.build(), scenarios.named("pp-128-c10"), [server], ANYWHERE, EFFORT)
            assert found["liar"].problem == "load: the response: GET / HTTP/1.1"
            assert found["liar"].results == []

    def test_a_server_that_does_not_start_says_why(self) -> None:
        with (
            pytest.raises(ServerFailed, match=r"No module named benchmarks\.servers\.none"),
            started(Server("none", "none"), scenarios.named("pp-128-c10")),
        ):
            pass

    def test_without_a_compiler(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("CC", "no-such-compiler")
        assert main(["--quick"]) == 2
        assert "there is no compiler 'no-such-compiler'" in capsys.readouterr().err

    def test_with_a_compiler_that_fails(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with pytest.raises(load.NoCompiler, match=r"does not compile load\.c"):
            load.build(sys.executable)


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--scenario", "pp-*,nothing"], "no scenario is called nothing"),
            (["--server", "nobody-*"], "no server is called nobody-*"),
            (["--rounds", "0"], "0 is not more than 0"),
            (["--rounds", "1.5"], "invalid int value: '1.5'"),
            (["--seconds", "-1"], "-1 is not more than 0"),
        ],
    )
    def test_wrong_arguments(self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert message in capsys.readouterr().err

    def test_list_names_everything(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--list"]) == 0
        printed = capsys.readouterr().out.split()
        assert {scenario.name for scenario in scenarios.SCENARIOS} <= set(printed)
        assert {server.name for server in catalogue.SERVERS} <= set(printed)

    def test_read_shows_several_files_as_one(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        report(pp_128_c10={"picows-uvloop": outcome(5)}).write(tmp_path / "1")
        report(pp_16K_c10={"picows-uvloop": outcome(20)}).write(tmp_path / "2")
        assert main(["--read", str(tmp_path / "1"), "--read", str(tmp_path / "2")]) == 0
        printed = capsys.readouterr().out
        assert printed.index("5.00 µs of CPU for a message") < printed.index("20.0 µs of CPU for a message")

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"outcomes": {}, "speed": 1}'])
    def test_read_what_is_not_a_file_of_results(
        self, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").write_text(text)
        assert main(["--read", str(tmp_path / "file")]) == 2
        assert capsys.readouterr().err.strip()

    def test_a_scenario_that_takes_minutes_is_asked_for_by_name(self) -> None:
        assert "memory-silence" not in {scenario.name for scenario in scenarios.select(["*"])}
        assert [scenario.name for scenario in scenarios.select(["memory-silence"])] == ["memory-silence"]

    def test_the_quick_selection_is_of_what_there_is(self) -> None:
        assert [scenario.name for scenario in scenarios.select(scenarios.QUICK)] == list(scenarios.QUICK)
        assert {server.name for server in catalogue.select(catalogue.QUICK)} == set(catalogue.QUICK)


class TestCatalogue:
    def test_every_server_has_its_file(self) -> None:
        folder = Path(catalogue.__file__).with_name("servers")
        assert all((folder / f"{server.module}.py").is_file() for server in catalogue.SERVERS)

    def test_what_is_not_installed_is_named(self) -> None:
        assert catalogue.missing_of(Server("a", "a", packages=("no-such-thing", "zope.interface"))) == ["no-such-thing"]

    def test_only_what_a_server_can_do_is_asked_of_it(self) -> None:
        raw, picows = catalogue.select(["raw-asyncio", "picows-asyncio"])[::-1]
        assert raw.can(scenarios.named("pp-16-c10"))
        assert not raw.can(scenarios.named("handshakes"))
        assert picows.can(scenarios.named("broadcast-200"))
        assert not picows.can(scenarios.named("deflate-1K"))


class TestPayloads:
    @pytest.mark.parametrize("scenario", scenarios.SCENARIOS, ids=lambda scenario: scenario.name)
    def test_a_message_has_its_size_and_kind(self, scenario: scenarios.Scenario) -> None:
        message = payloads.payload(scenario)
        assert len(message) == scenario.size
        if scenario.kind != "binary":
            message.decode()
        assert message.isascii() == (scenario.kind in ("text", "json"))

    @pytest.mark.parametrize("takeover", [True, False])
    def test_compressed_messages_can_be_repeated_for_ever(self, takeover: bool, tmp_path: Path) -> None:
        messages = payloads.json_messages(256)
        payloads.compressed_file(messages, tmp_path / "file", takeover)
        data, at, parts = (tmp_path / "file").read_bytes(), 8, []
        while at < len(data):
            size = int.from_bytes(data[at : at + 4])
            parts.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        repeated = parts + 2 * parts[len(messages) :]
        answers = b"".join(b"\xc1" + len(part).to_bytes(8) + part for part in repeated)
        assert list(payloads.inflated(answers)) == 4 * messages

    def test_answers_may_come_in_fragments_and_uncompressed(self) -> None:
        frames = [(0x01, b"Hel"), (0x80, b"lo"), (0x81, b"again")]
        answers = b"".join(bytes([first]) + len(part).to_bytes(8) + part for first, part in frames)
        assert list(payloads.inflated(answers)) == [b"Hello", b"again"]


class TestFigures:
    def test_a_ratio_is_the_median_of_those_of_the_rounds(self) -> None:
        """Not that of the medians: a machine that is slow for a round is so for both."""
        figures = figures_of(outcome(10, 90, 11), outcome(10, 45, 11))
        assert figures is not None
        assert figures.cpu_ratio == pytest.approx(1.0)
        assert figures.cpu == pytest.approx(11e-6)
        assert figures.rate == pytest.approx(2000)
        assert figures.load == pytest.approx(0.2)

    def test_without_a_reference_there_is_no_ratio(self) -> None:
        figures = figures_of(outcome(10), None)
        assert figures is not None
        assert figures.cpu_ratio is figures.rate_ratio is None

    def test_memory(self) -> None:
        figures = figures_of(Outcome(memory=[2048.0, 4096.0, 2048.0]), Outcome(memory=[8192.0, 8192.0, 8192.0]))
        assert figures is not None
        assert (figures.memory, figures.memory_ratio) == (2048, 0.25)

    @pytest.mark.parametrize("nothing", [Outcome(problem="it hangs"), Outcome(), Outcome([result(messages=0)])])
    def test_nothing_measured(self, nothing: Outcome) -> None:
        assert figures_of(nothing, outcome(1)) is None

    def test_a_report_is_the_same_after_writing_and_reading(self, tmp_path: Path) -> None:
        whole = report(pp_128_c10={"a": outcome(1, 2)}, memory={"b": Outcome(memory=[1.5]), "c": Outcome(problem="x")})
        whole.write(tmp_path / "file")
        assert Report.read(tmp_path / "file") == whole


class TestTables:
    @pytest.mark.parametrize(
        ("value", "text"), [(None, "-"), (0.0714, "0.07"), (1, "1.00"), (12.34, "12.3"), (123.4, "123")]
    )
    def test_ratio(self, value: float | None, text: str) -> None:
        assert ratio(value) == text

    @pytest.mark.parametrize(("seconds", "text"), [(5.5e-7, "0.55"), (12.34e-6, "12.3"), (1.2344e-3, "1,234")])
    def test_microseconds(self, seconds: float, text: str) -> None:
        assert microseconds(seconds) == text

    def test_a_scenario_with_the_reference(self) -> None:
        servers = {
            "autobahnlike-uvloop": outcome(12, 12),
            "picows-uvloop": outcome(10, 10),
            "raw-uvloop": outcome(8, 8),
        }
        table = scenario_table(report(pp_128_c10=servers), "pp-128-c10")
        assert table.splitlines() == [
            "ping-pong, 128 B, 10 connections (pp-128-c10)",
            "  1.00 is picows-uvloop: 10.0 µs of CPU for a message",
            "                                        CPU       µs    rate         1/s    p50 µs    p99 µs",
            "  raw-uvloop                           0.80     8.00    1.00       2,000      50.0     4,000",
            "  picows-uvloop                        1.00     10.0    1.00       2,000      50.0     4,000",
            "  autobahnlike-uvloop                  1.20     12.0    1.00       2,000      50.0     4,000",
        ]

    def test_without_the_reference_another_peer_is_it(self) -> None:
        """Never one of ours, and never what does not speak WebSocket."""
        servers = {"raw-uvloop": outcome(1), "autobahnlike-uvloop": outcome(2), "tornado": outcome(8)}
        servers["picows-uvloop"] = Outcome(problem="it hangs\nfor ever")
        table = scenario_table(report(pp_128_c10=servers), "pp-128-c10")
        assert "1.00 is tornado: 8.00 µs of CPU for a message, because picows-uvloop was not measured" in table
        assert "  picows-uvloop was not measured: for ever" in table
        assert "autobahnlike-uvloop                  0.25" in table

    def test_without_any_peer(self) -> None:
        table = scenario_table(report(handshakes={"autobahnlike-uvloop": outcome(100)}), "handshakes")
        assert "there is no peer to compare with" in table
        assert "autobahnlike-uvloop                     -      100" in table

    def test_memory(self) -> None:
        servers = {"picows-uvloop": Outcome(memory=[20480.0]), "autobahnlike-twisted": Outcome(memory=[5120.0])}
        assert scenario_table(report(memory=servers), "memory").splitlines()[1:] == [
            "  1.00 is picows-uvloop: 20.0 KiB for a connection",
            "                                      ratio      KiB",
            "  autobahnlike-twisted                 0.25      5.0",
            "  picows-uvloop                        1.00     20.0",
        ]

    def test_a_busy_load_generator_is_pointed_out(self) -> None:
        busy = Outcome([result(load_cpu=0.49)])
        table = scenario_table(report(pp_128_c10={"picows-uvloop": busy, "tornado": outcome(1)}), "pp-128-c10")
        assert "the load generator was busy all the time with picows-uvloop: " in table


class TestGoals:
    def test_the_worst_scenario_counts(self) -> None:
        peers = {"picows-uvloop": outcome(10)}
        whole = report(
            pipe_16=peers | {"autobahnlike-asyncio": outcome(1)},
            pipe_128=peers | {"autobahnlike-asyncio": outcome(2), "autobahnlike-uvloop": outcome(0.9)},
        )
        goal = next(goal for goal in GOALS if goal.scenarios == ("pipe-16", "pipe-128"))
        assert reached(goal, whole)[:3] == [pytest.approx(0.2), pytest.approx(0.09), None]
        table = goals_table(whole)
        assert "0.20 !(0.10)" in table
        assert "0.09  (0.10)" in table

    def test_the_cheapest_peer_counts(self) -> None:
        servers = {"aiohttp-asyncio": outcome(20), "aiohttp-uvloop": outcome(10), "autobahnlike-uvloop": outcome(5)}
        whole = report(fragments_16K={**servers, "websockets-uvloop": outcome(50), COLUMNS[-1]: outcome(40)})
        goal = next(goal for goal in GOALS if goal.scenarios == ("fragments-*",))
        assert reached(goal, whole) == [None, pytest.approx(0.5), None, None, pytest.approx(0.8)]

    def test_memory_is_not_compared(self) -> None:
        goal = next(goal for goal in GOALS if goal.scenarios == ("memory",))
        assert reached(goal, report(memory={"autobahnlike-twisted": Outcome(memory=[6144.0])}))[2] == 6.0

    def test_nothing_measured(self) -> None:
        assert goals_table(report(pp_128_c10={"tornado": outcome(1)})) == ""

    def test_every_goal_has_scenarios_and_a_limit_for_each_column(self) -> None:
        for goal in GOALS:
            assert scenarios.select(goal.scenarios)
            assert len(goal.limits) == len(COLUMNS)


class TestPage:
    def test_everything_that_was_measured_is_in_it(self) -> None:
        text = page(
            report(
                pp_128_c10={"picows-uvloop": outcome(10), COLUMNS[0]: outcome(9), "tornado": outcome(40)},
                deflate_1K={"websockets-uvloop": outcome(60), COLUMNS[0]: outcome(30)},
                memory={COLUMNS[0]: Outcome(memory=[5120.0])},
            )
        )
        assert "* Versions: Python 3.11.0, picows 1.0." in text
        assert "   * - ping-pong, 128 B, 10 connections\n     - 0.90\n     - 10.0 µs\n" in text
        assert "JSON, 10 connections\n     - 0.50\n     - 60.0 µs (websockets-uvloop)\n" in text
        assert "   * -\n     - websockets-uvloop\n     - tornado\n" in text
        assert "     - 50.0 / 4,000\n" in text
        assert f"   * - {COLUMNS[0]}\n     - 5.0\n" in text


class TestInstructions:
    def test_more_than_five_percent_above_is_too_many(self) -> None:
        counts = {"decode-16": 1050, "encode-16": 1051, "echo-16": 10}
        assert instructions.compare(counts, dict.fromkeys(counts, 1000)) == ["encode-16"]

    def test_what_was_never_counted_is_too_many(self) -> None:
        assert instructions.compare({"decode-16": 1}, {}) == ["decode-16"]

    def test_where_the_allocator_has_a_say_there_is_more_room(self) -> None:
        baseline = {"encode-16": 1000, "encode-1024": 1000}
        assert instructions.compare({"encode-16": 1049, "encode-1024": 1249}, baseline) == []
        assert instructions.compare({"encode-16": 1051, "encode-1024": 1251}, baseline) == ["encode-16", "encode-1024"]

    def test_without_valgrind(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("PATH", "")
        assert instructions.main([]) == 2
        assert "there is no valgrind" in capsys.readouterr().err

    @pytest.mark.parametrize("case", CASES)
    def test_a_case_can_be_counted(self, case: str) -> None:
        """It does what it should; how many instructions that takes is counted elsewhere."""
        work(case, 50)
