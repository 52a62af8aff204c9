"""``Monitor``: how things are, and its application, with things that only pretend."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from autobahnlike.app import App
from autobahnlike.asgi.counters import ServerCounters
from autobahnlike.backplane import Health, MemoryBackplane
from autobahnlike.gateway import Gateway
from autobahnlike.monitoring import HealthReport, Monitor
from tests.app.harness import Way, both_ways


class Backplane(MemoryBackplane):
    """One whose health is the test's.

    Attributes:
        state: how it is.
    """

    state = Health(True)

    @property
    def health(self) -> Health:
        return self.state


class Server:
    """A server as far as a monitor sees it."""

    def __init__(self, **counted: Any) -> None:
        self.counters = ServerCounters()
        for name, value in counted.items():
            setattr(self.counters, name, value)


class Stage:
    """The server behind the counters."""

    is_stopping = False
    websockets = None
    _http: tuple[()] = ()


def serving(**counted: Any) -> Server:
    """One that listens."""
    return Server(has_started=True, server=Stage(), **counted)


def status_of(monitor: Monitor) -> str:
    """How things are, at the moment."""
    return monitor.health.status


class TestHealth:
    def test_of_a_server_from_beginning_to_end(self) -> None:
        server = Server()
        monitor = Monitor(server)
        assert monitor.health == HealthReport("starting", "the server does not listen yet", 0, None)
        stage: Any = Stage()
        server.counters.server = stage
        server.counters.has_started = True
        server.counters.websockets = 3
        assert monitor.health == HealthReport("ok", "", 3, None)
        stage.is_stopping = True
        assert monitor.health == HealthReport("draining", "the server was told to stop", 3, None)

    def test_of_a_backplane(self) -> None:
        backplane = Backplane()
        monitor = Monitor(serving(), backplane)
        node = backplane.node_id.hex()
        assert monitor.health == HealthReport("ok", "", 0, node)
        backplane.state = Health(False, "Redis is away")
        assert monitor.health == HealthReport("degraded", "Redis is away", 0, node)

    def test_the_end_is_worse_than_the_beginning_and_that_than_redis(self) -> None:
        backplane = Backplane()
        backplane.state = Health(False, "Redis is away")
        one, other = serving(), Server()
        monitor = Monitor(one, other, backplane)
        assert status_of(monitor) == "starting"
        stage: Any = one.counters.server
        stage.is_stopping = True
        assert status_of(monitor) == "draining"

    @pytest.mark.parametrize(
        ("status", "expected"), [("ok", 200), ("degraded", 200), ("starting", 503), ("draining", 503)]
    )
    def test_whether_clients_are_to_come(self, status: Any, expected: int) -> None:
        assert HealthReport(status, "", 0, None).http_status == expected

    def test_twice_the_same_is_once(self) -> None:
        server, backplane = serving(websockets=2), Backplane()
        monitor = Monitor(server, server, server.counters, Gateway("test", backplane=backplane), backplane)
        monitor.watch(backplane)
        assert monitor.health.connections == 2
        samples = {sample.name for family in monitor.registry.collect() for sample in family.samples}
        assert "autobahnlike_backplane_healthy" in samples

    @pytest.mark.parametrize("thing", [None, "app", object(), CollectorRegistry()])
    def test_of_something_else_nothing_is_known(self, thing: object) -> None:
        with pytest.raises(TypeError, match="cannot be watched: give a server, a Gateway, a ChaliceHost, an App or a"):
            Monitor(thing)


def values(text: str) -> dict[str, float]:
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sample.labels.items()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@both_ways
async def test_of_a_gateway(way: Way) -> None:
    backplane = Backplane()
    gateway = Gateway("test", backplane=backplane)

    @gateway.on_ws_message()
    async def message(event: object) -> None:
        """Do nothing."""

    app = App()
    app.mount("/ws", gateway)
    monitor = Monitor(app)
    backplane.state = Health(False, "Redis is away")
    # It starts with its first client, which would never come.
    assert monitor.health.status == "ok"
    client = await way.connect(gateway, "/api/")
    assert monitor.health == HealthReport("degraded", "Redis is away", 1, backplane.node_id.hex())
    backplane.state = Health(True)
    assert monitor.health == HealthReport("ok", "", 1, backplane.node_id.hex())
    client.disconnect(1000)
    await client.ended()
    assert monitor.health.connections == 0


@both_ways
async def test_health(way: Way) -> None:
    server = serving(websockets=7)
    monitor = Monitor(server)
    response = await way.request(monitor.app, "/health")
    assert (response.status, response.header("content-type")) == (200, "application/json")
    assert response.header("cache-control") == "no-store"
    assert json.loads(response.body) == {"status": "ok", "reason": "", "connections": 7, "node": None}
    stage: Any = server.counters.server
    stage.is_stopping = True
    response = await way.request(monitor.app, "/health")
    assert (response.status, json.loads(response.body)["status"]) == (503, "draining")


@both_ways
async def test_head_has_the_head_only(way: Way) -> None:
    monitor = Monitor(serving())
    for path in ("/health", "/metrics"):
        whole = await way.request(monitor.app, path)
        head = await way.request(monitor.app, path, "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.header("content-type") == whole.header("content-type")
        assert int(head.header("content-length") or 0) > 0


@both_ways
async def test_metrics(way: Way) -> None:
    closed = {(1000, "client"): 4, (0, "client"): 5}
    monitor = Monitor(serving(messages_in=3, requests={200: 2, 404: 1}, closed=closed))
    response = await way.request(monitor.app, "/metrics")
    assert response.status == 200
    assert response.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    assert response.header("cache-control") == "no-store"
    found = values(response.body.decode())
    assert found["autobahnlike_websocket_messages_received_total"] == 3
    assert found["autobahnlike_http_requests_total status=404"] == 1
    assert found["autobahnlike_websockets_closed_total by=client code=1000"] == 4
    assert found["autobahnlike_websockets_closed_total by=client code=other"] == 5
    assert found["process_cpu_seconds_total"] > 0
    assert "python_info" in response.body.decode()
    # There is none.
    assert not [name for name in found if "gateway" in name or "backplane" in name]


@both_ways
async def test_the_client_chooses_the_format_and_the_metrics(way: Way) -> None:
    monitor = Monitor(serving(messages_in=3))
    accept = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")]
    response = await way.request(
        monitor.app, "/metrics?name[]=autobahnlike_websocket_messages_received_total", headers=accept
    )
    assert (response.header("content-type") or "").startswith("application/openmetrics-text; version=1.0.0")
    (family,) = parse_openmetrics(response.body.decode())  # type: ignore[no-untyped-call]
    assert (family.name, family.type) == ("autobahnlike_websocket_messages_received", "counter")
    assert family.samples[0].value == 3


@both_ways
async def test_what_is_not_there(way: Way) -> None:
    monitor = Monitor()
    for path in ("/", "/healthy", "/metrics/"):
        response = await way.request(monitor.app, path)
        assert (response.status, response.body) == (404, b"there are /health and /metrics\n")
    response = await way.request(monitor.app, "/health", "POST")
    assert (response.status, response.header("allow")) == (405, "GET, HEAD")
    client = await way.connect(monitor.app, "/health")
    await client.ended()
    assert client.wire == [403]


@both_ways
async def test_mounted(way: Way) -> None:
    app = App()
    app.mount("/admin", Monitor(serving()).app)
    assert (await way.request(app, "/admin/health")).status == 200
    assert (await way.request(app, "/admin/nothing")).status == 404
    assert (await way.request(app, "/health")).status == 404


@both_ways
async def test_in_frameworks_that_leave_the_path_whole(way: Way) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(routes=[Mount("/admin", Monitor(serving()).app)])
    assert (await way.request(app, "/admin/health")).status == 200


@both_ways
async def test_lifespan(way: Way) -> None:
    async with way.lifespan(Monitor().app):
        pass


@both_ways
async def test_without_the_library_it_says_what_to_install(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "autobahnlike.monitoring.exposition", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monitor = Monitor(serving())
    response = await way.request(monitor.app, "/metrics")
    assert response.status == 501
    assert response.body == b"metrics need prometheus-client: pip install 'autobahnlike[monitoring]'\n"
    assert (await way.request(monitor.app, "/health")).status == 200
    with pytest.raises(ImportError, match="autobahnlike\\[monitoring\\]"):
        assert monitor.registry


class TestRegistry:
    def test_one_of_the_programme(self) -> None:
        registry = CollectorRegistry()
        own = Counter("dinners", "Dinners that were cooked.", registry=registry)
        own.inc()
        monitor = Monitor(serving(accepted=5), registry=registry)
        assert monitor.registry is registry
        assert registry.get_sample_value("autobahnlike_websockets_accepted_total") == 5
        assert registry.get_sample_value("dinners_total") == 1
        assert registry.get_sample_value("process_cpu_seconds_total") is None

    def test_two_monitors_in_one_are_refused(self) -> None:
        registry = CollectorRegistry()
        assert Monitor(registry=registry).registry is registry
        with pytest.raises(ValueError, match="Duplicated"):
            assert Monitor(registry=registry).registry

    def test_servers_are_summed(self) -> None:
        registry = Monitor(
            serving(accepted=5, closed={(1000, "client"): 1}), serving(accepted=2, closed={(1000, "client"): 1})
        ).registry
        assert registry.get_sample_value("autobahnlike_websockets_accepted_total") == 7
        labels = {"code": "1000", "by": "client"}
        assert registry.get_sample_value("autobahnlike_websockets_closed_total", labels) == 2

    def test_of_backplanes_the_worst_counts(self) -> None:
        one, other = Backplane(), Backplane()
        registry = Monitor(one, other).registry
        assert registry.get_sample_value("autobahnlike_backplane_healthy") == 1
        other.state = Health(False, "away")
        assert registry.get_sample_value("autobahnlike_backplane_healthy") == 0
        for each in (one, other):
            assert registry.get_sample_value("autobahnlike_backplane_info", {"node": each.node_id.hex()}) == 1
