"""That the benchmark of idle views runs, on each loop; not how fast anything is."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.idle_views import SERVERS, Figures, main, measure

NO_COMPILER = "the load generator is written in C" if shutil.which("cc") is None else ""


def test_the_ratio_is_the_median_of_those_of_the_rounds() -> None:
    assert Figures(alone=[1.0, 2.0, 4.0], beside=[1.5, 2.0, 40.0]).ratio == 1.5


@pytest.mark.parametrize("server", SERVERS)
def test_it_measures(server: str) -> None:
    if NO_COMPILER:
        with pytest.raises(Exception, match=NO_COMPILER):
            measure(server)
        return
    found = measure(server, idle=20, chat=5, rounds=2, seconds=0.05)
    assert len(found.alone) == len(found.beside) == 2
    assert all(0 < median <= p99 for median, p99 in zip(found.median_alone, found.alone, strict=True))
    assert all(cost > 0 for cost in found.cost_alone + found.cost_beside)


def test_it_prints_a_line_for_each_server(capsys: pytest.CaptureFixture[str]) -> None:
    if NO_COMPILER:
        return
    assert main(["--servers", "asyncio", "--idle=20", "--chat=5", "--rounds=1", "--seconds=0.05"]) == 0
    title, _, line = capsys.readouterr().out.splitlines()
    assert title.startswith("chat of 5, without and with 20 idle views")
    assert line.startswith("asyncio ")
