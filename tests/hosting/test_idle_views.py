"""That the benchmark of idle views runs, on each loop; not how fast anything is."""

from __future__ import annotations

import shutil

import pytest

from benchmarks import idle_views
from benchmarks.idle_views import SERVERS, Figures, measure

NO_COMPILER = "the load generator is written in C" if shutil.which("cc") is None else ""


def test_the_ratio_is_the_median_of_those_of_the_rounds() -> None:
    assert Figures(alone=[1.0, 2.0, 4.0], beside=[1.5, 2.0, 40.0]).ratio == 1.5


@pytest.mark.parametrize("server", SERVERS)
def test_it_measures(server: str) -> None:
    if NO_COMPILER:
        with pytest.raises(Exception, match=NO_COMPILER):
            measure(server)
        return
    found = measure(server, idle=20, chat=5, rounds=2, seconds=60, messages=20)
    assert len(found.alone) == len(found.beside) == 2
    assert all(0 < median <= p99 for median, p99 in zip(found.median_alone, found.alone, strict=True))
    # Time of the processor is counted in ticks, and so little may take none.
    assert all(cost >= 0 for cost in found.cost_alone + found.cost_beside)


def test_it_prints_a_line_for_each_server(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    figures = Figures([1e-3], [1.5e-3], [1e-4], [2e-4], [5e-6], [6e-6], 2048)
    monkeypatch.setattr(idle_views, "measure", lambda name, **options: figures)
    assert idle_views.main(["--servers", "asyncio", "--idle=20", "--chat=5", "--rounds=1"]) == 0
    title, _, line = capsys.readouterr().out.splitlines()
    assert title == "chat of 5, without and with 20 idle views; medians of 1 rounds"
    assert line.split() == ["asyncio", "0.10", "0.20", "1.00", "1.50", "1.50", "5.00", "6.00", "2.0"]
