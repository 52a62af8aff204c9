"""The page about monitoring lists the metrics that there are, and what the page of Prometheus and the alerts name."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families as parse

from autobahnlike.app import App
from autobahnlike.asgi.asyncio import serve
from autobahnlike.backplane import MemoryBackplane
from autobahnlike.backplane.redis.backplane import RedisCounters
from autobahnlike.backplane.redis.presence import PresenceCounters
from autobahnlike.backplane.redis.rooms import RoomCounters
from autobahnlike.gateway import Gateway
from autobahnlike.gateway.measures import Histogram
from autobahnlike.monitoring import Monitor
from autobahnlike.monitoring.exposition import render

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide" / "monitoring.rst"


class OnRedis(MemoryBackplane):
    """One that has the counters of a backplane on Redis."""

    counters = RedisCounters(RoomCounters(), PresenceCounters(), reconnects=0, deaf=0, requests=0, lag=0.0)


def exported() -> dict[str, tuple[str, frozenset[str], str]]:
    """What is exported where there is everything: type, labels and meaning of each metric."""
    gateway = Gateway("test", backplane=OnRedis())
    gateway.core.measures.count_closed(1000)
    gateway.core.measures.durations["$default"] = Histogram()
    app = App()
    app.room("lobby")
    serving = serve(gateway)
    serving.counters.count_request(200)
    serving.counters.count_refused("lost", 0)
    serving.counters.count_opened()
    serving.counters.count_closed(1000, "client")
    body, _ = render(Monitor(gateway, app, serving).registry, "", "")
    found = {}
    for family in parse(body.decode()):
        if family.name.startswith("autobahnlike_"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            assert family.samples, f"{family.name} has no sample, so its labels are not seen"
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = (family.type, frozenset(labels), family.documentation)
    return found


def shown() -> dict[str, tuple[str, frozenset[str], str]]:
    """What the page says."""
    text = PAGE.read_text()
    rows = re.findall(
        r"   \* - ``(autobahnlike_\w+)``\n     - (\w+)\n     -(.*)\n     - ((?:.*\n(?!   \*|\n))*.*)", text
    )
    return {
        name: (kind, frozenset(re.findall(r"\w+", labels)), re.sub(r"\s+", " ", meaning.replace("``", "")).strip())
        for name, kind, labels, meaning in rows
    }


def test_the_page_lists_what_is_exported() -> None:
    assert shown() == exported()


def test_what_examples_and_pages_name_is_there() -> None:
    known = exported()
    named = set()
    places = [*(ROOT / "examples" / "deploy").iterdir(), *(ROOT / "docs").rglob("*.rst"), ROOT / "README.md"]
    for place in places:
        named |= set(
            re.findall(
                r"\bautobahnlike_(?!plugin)[a-z_]+(?:_total|_seconds|_bytes|_open|_healthy|_waiting)\b",
                place.read_text(),
            )
        )
    assert len(named) > 10
    assert named <= set(known)
