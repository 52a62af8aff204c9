"""The judgement on the Autobahn TestSuite's reports; running it is ``tox -e conformance``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.testsuite.results import QUICK, SECTIONS, Expectation, Outcome, Run, read_index, table, write_page

EXPECTATION = Expectation.load(Path(__file__).parent / "testsuite" / "expected.json")
OK = ("OK", "OK")
INFORMATIONAL = ("INFORMATIONAL", "INFORMATIONAL")


def run_of(outcomes: dict[str, Outcome], *, cases: list[str] | None = None, errors: tuple[str, ...] = ()) -> Run:
    return Run("server", "asyncio", list(outcomes) if cases is None else cases, outcomes, list(errors), 1.0)


class TestExpectation:
    def test_every_case_of_the_suite_is_expected_to_be_ok_but_three(self) -> None:
        assert len(EXPECTATION.outcomes) == 517
        others = {case: outcome for case, outcome in EXPECTATION.outcomes.items() if outcome != OK}
        assert others == {"7.1.6": INFORMATIONAL, "7.13.1": INFORMATIONAL, "7.13.2": INFORMATIONAL}

    def test_the_quick_selection_covers_every_section(self) -> None:
        quick = EXPECTATION.select(QUICK)
        assert {int(case.split(".")[0]) for case in quick} == set(SECTIONS)
        assert {case.split(".")[1] for case in quick if case.startswith("13.")} == set("1234567")

    def test_a_pattern_takes_whole_components(self) -> None:
        assert EXPECTATION.select(["7.1.*"]) == [f"7.1.{number}" for number in range(1, 7)]
        assert EXPECTATION.select(["10.1.1", "1.1.1"]) == ["1.1.1", "10.1.1"]

    def test_a_pattern_that_matches_nothing_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="8"):
            EXPECTATION.select(["1.*", "8.*"])


class TestDifferences:
    def test_none(self) -> None:
        assert run_of({"1.1.1": OK, "7.1.6": INFORMATIONAL}).differences(EXPECTATION) == []

    @pytest.mark.parametrize("outcome", ["NON-STRICT", "UNIMPLEMENTED", "FAILED", "INFORMATIONAL"])
    def test_behaviour(self, outcome: str) -> None:
        assert len(run_of({"1.1.1": (outcome, "OK")}).differences(EXPECTATION)) == 1

    @pytest.mark.parametrize("outcome", ["WRONG CODE", "UNCLEAN", "FAILED", "FAILED BY CLIENT"])
    def test_behaviour_at_closing(self, outcome: str) -> None:
        (line,) = run_of({"1.1.1": ("OK", outcome)}).differences(EXPECTATION)
        assert line == f"server asyncio: case 1.1.1 is OK / {outcome}, expected OK / OK"

    def test_a_case_that_did_not_run(self) -> None:
        (line,) = run_of({"1.1.1": OK}, cases=["1.1.1", "1.1.2"]).differences(EXPECTATION)
        assert "1.1.2 is MISSING" in line

    def test_no_case_at_all(self) -> None:
        assert run_of({}).differences(EXPECTATION) == ["server asyncio: no case ran"]

    def test_an_error_beside_the_cases(self) -> None:
        assert run_of({"1.1.1": OK}, errors=("it broke",)).differences(EXPECTATION) == ["server asyncio: it broke"]


class TestReports:
    def test_the_index_is_read_for_one_agent(self, tmp_path: Path) -> None:
        index = tmp_path / "index.json"
        report = {"behavior": "OK", "behaviorClose": "UNCLEAN", "duration": 3}
        index.write_text(json.dumps({"asyncio": {"1.1.1": report}, "uvloop": {}}))
        assert read_index(index, "asyncio") == {"1.1.1": ("OK", "UNCLEAN")}
        assert read_index(index, "twisted") == {}
        assert read_index(tmp_path / "none.json", "asyncio") == {}

    def test_the_table_counts_outcomes_by_section(self) -> None:
        lines = table([run_of({"7.1.1": OK, "7.1.6": INFORMATIONAL}, cases=["1.1.1", "7.1.1", "7.1.6"])]).splitlines()
        assert lines[1].split() == ["1", "Framing", "1", "MISSING"]
        assert lines[7].split() == ["7", "Closing", "1", "OK,", "1", "INFORMATIONAL"]
        assert lines[8].split()[-2:] == ["not", "run"]

    def test_the_page_names_what_ran(self, tmp_path: Path) -> None:
        page = tmp_path / "page.rst"
        write_page(page, [run_of({"1.1.1": OK, "1.1.2": ("NON-STRICT", "OK")})], EXPECTATION, ["Python 3.14"])
        text = page.read_text()
        assert "Run with: Python 3.14." in text
        assert "Cases run: 2. Not as expected: 1." in text
        assert "     - 1 OK, 1 NON-STRICT / OK\n" in text
