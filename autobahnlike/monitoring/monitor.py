"""``Monitor``: whether all is well, and what has happened, for those who look after a server."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from autobahnlike.asgi.counters import ServerCounters
from autobahnlike.monitoring.metrics import Metric, Samples, read_all

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ("HealthReport", "Monitor", "Status")

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Status: TypeAlias = Literal["ok", "degraded", "draining", "starting"]
"""How a process is; see :class:`HealthReport`."""

_NEEDED = "metrics need prometheus-client: pip install 'autobahnlike[monitoring]'"

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How a process is.

    Attributes:
        status: ``starting`` until the server listens; ``draining`` from when it was told to stop; ``degraded`` if other
            nodes cannot be reached, while all that concerns this one goes on working; else ``ok``.
        reason: one line for a person, empty if all is well.
        connections: the WebSockets that are open.
        node: the id of the node, in hexadecimal, with which its connection ids begin; None without a backplane.
    """

    status: Status
    reason: str
    connections: int
    node: str | None

    @property
    def http_status(self) -> int:
        """200 if the process is to be sent clients, else 503.

        It is when it is degraded: all nodes are at the same time, if Redis is away, and serve their own clients.
        """
        return 200 if self.status in ("ok", "degraded") else 503


class Monitor:
    """Tells how servers, gateways and backplanes are, and what they have done.

    ::

        monitor = Monitor(gateway)
        async with serve(gateway, "127.0.0.1:8000") as serving:
            monitor.watch(serving)
            async with serve(monitor.app, "127.0.0.1:9100"):
                ...

    :meth:`app` is an ASGI application with ``/health`` and ``/metrics``, which can be served or mounted anywhere.
    ``/metrics`` needs the extra ``monitoring``, ``/health`` nothing.

    Args:
        things: what to watch; see :meth:`watch`.
        registry: of ``prometheus_client``, to which the metrics are added when they are first asked for. If None, there
            is one for this monitor alone, with what is known of the process and of Python.

    Raises:
        TypeError: one of them cannot be watched.
    """

    def __init__(self, *things: object, registry: CollectorRegistry | None = None) -> None:
        self._given_registry = registry
        self._registry: CollectorRegistry | None = None
        self._servers: list[ServerCounters] = []
        self._cores: list[Any] = []
        self._apps: list[Any] = []
        self._backplanes: list[Any] = []
        for thing in things:
            self.watch(thing)

    def watch(self, thing: Any) -> None:
        """Watch something; what is watched already makes no difference.

        Args:
            thing: a server (what :func:`autobahnlike.asgi.asyncio.serve` returns, or an
                :class:`~autobahnlike.asgi.twisted.ASGIService`); a :class:`~autobahnlike.gateway.Gateway` or a
                :class:`~autobahnlike.gateway.chalice.ChaliceHost`, with its backplane; an
                :class:`~autobahnlike.app.application.App`, with its backplane and what is mounted in it; or a
                backplane.

        Raises:
            TypeError: it is something else.
        """
        place, watched = self._place_of(thing)
        if not any(each is watched for each in place):
            place.append(watched)

    def _place_of(self, thing: Any) -> tuple[list[Any], Any]:
        counters = thing if isinstance(thing, ServerCounters) else getattr(thing, "counters", None)
        if isinstance(counters, ServerCounters):
            return self._servers, counters
        if (core := _core_of(thing)) is not None:
            return self._cores, core
        if _is_app(thing):
            return self._apps, thing
        if all(hasattr(thing, name) for name in ("node_id", "health", "publish")):
            return self._backplanes, thing
        raise TypeError(
            f"{thing!r:.80} cannot be watched: give a server, a Gateway, a ChaliceHost, an App or a backplane"
        )

    # -- What is watched

    def _all_apps(self) -> list[Any]:
        found: dict[int, Any] = {}
        for app in self._apps:
            _find_apps(app, found)
        return list(found.values())

    def _all_cores(self) -> list[Any]:
        mounted = [_core_of(each) for app in self._all_apps() for each in _mounted_in(app)]
        return _unique([*self._cores, *mounted])

    def _all_backplanes(self) -> list[Any]:
        cores, apps = self._all_cores(), self._all_apps()
        return _unique([*self._backplanes, *(each.backplane for each in [*cores, *_nodes_of(apps)])])

    # -- Health

    @property
    def health(self) -> HealthReport:
        """How the process is at the moment."""
        status, reason = self._judge()
        if self._servers:
            connections = sum(server.websockets for server in self._servers)
        else:
            connections = sum(core.connection_count for core in self._all_cores())
        node = next((backplane.node_id.hex() for backplane in self._all_backplanes()), None)
        return HealthReport(status, reason, connections, node)

    def _judge(self) -> tuple[Status, str]:
        phases = [server.phase for server in self._servers]
        if "draining" in phases:
            return "draining", "the server was told to stop"
        if "starting" in phases:
            return "starting", "the server does not listen yet"
        for backplane in _unique([*self._backplanes, *self._joined()]):
            health = backplane.health
            if not health.is_healthy:
                return "degraded", health.reason
        return "ok", ""

    def _joined(self) -> Iterator[Any]:
        """The backplanes of what runs; what does not is started with its first connection."""
        yield from (core.backplane for core in self._all_cores() if core.is_running)
        yield from (node.backplane for node in _nodes_of(self._all_apps()) if node.is_started)

    # -- Metrics

    def _read(self) -> Iterable[tuple[Metric, Samples]]:
        """Read all metrics."""
        things: Mapping[str, list[Any]] = {
            "server": self._servers,
            "gateway": self._all_cores(),
            "rooms": [node.rooms for node in _nodes_of(self._all_apps())],
            "backplane": self._all_backplanes(),
        }
        return read_all(things)

    @property
    def registry(self) -> CollectorRegistry:
        """The registry with the metrics.

        Raises:
            ImportError: prometheus-client is not installed.
            ValueError: the registry that was given has metrics of these names.
        """
        if self._registry is None:
            try:
                from autobahnlike.monitoring.exposition import MonitorCollector, new_registry
            except ImportError as error:
                raise ImportError(_NEEDED) from error
            registry = new_registry() if self._given_registry is None else self._given_registry
            registry.register(MonitorCollector(self._read))
            self._registry = registry
        return self._registry

    # -- ASGI

    async def app(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Serve ``/health`` and ``/metrics``: an ASGI application."""
        kind = scope["type"]
        if kind == "lifespan":
            await _live(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        elif kind == "http":
            status, media_type, body, headers = self._answer(scope)
            headers = [
                (b"content-type", media_type.encode()),
                (b"content-length", str(len(body)).encode()),
                # What was true a moment ago is of no use to anybody.
                (b"cache-control", b"no-store"),
                *headers,
            ]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        else:
            raise ValueError(f"the monitor serves http, not {kind!r}")

    def _answer(self, scope: _Scope) -> tuple[int, str, bytes, list[tuple[bytes, bytes]]]:
        path = _path_of(scope)
        if path not in ("/health", "/metrics"):
            return 404, _TEXT, b"there are /health and /metrics\n", []
        if scope["method"] not in ("GET", "HEAD"):
            return 405, _TEXT, b"GET or HEAD\n", [(b"allow", b"GET, HEAD")]
        if path == "/health":
            report = self.health
            return report.http_status, _JSON, json.dumps(asdict(report)).encode() + b"\n", []
        try:
            registry = self.registry
        except ImportError as error:
            return 501, _TEXT, f"{error}\n".encode(), []
        from autobahnlike.monitoring.exposition import render

        accept = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"accept")
        body, media_type = render(registry, accept, (scope.get("query_string") or b"").decode("latin-1"))
        return 200, media_type, body, [(b"vary", b"Accept")]


def _path_of(scope: _Scope) -> str:
    """Return the path below where the application is mounted."""
    path: str = scope["path"]
    root = scope.get("root_path") or ""
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


async def _live(receive: _Receive, send: _Send) -> None:
    while True:
        step = (await receive())["type"]
        await send({"type": f"{step}.complete"})
        if step == "lifespan.shutdown":
            return


def _unique(things: Iterable[Any]) -> list[Any]:
    return list({id(thing): thing for thing in things if thing is not None}.values())


# What was never imported, nothing is an instance of: so that nothing is loaded here for the sake of looking.


def _core_of(thing: Any) -> Any:
    module = sys.modules.get("autobahnlike.gateway.core")
    core = getattr(thing, "core", thing)
    return core if module is not None and isinstance(core, module.Core) else None


def _is_app(thing: Any) -> bool:
    module = sys.modules.get("autobahnlike.app.application")
    return module is not None and isinstance(thing, module.App)


def _mounted_in(app: Any) -> list[Any]:
    return [route.app for route in app.router.routes if hasattr(route, "app")]


def _nodes_of(apps: list[Any]) -> list[Any]:
    """Return what has the rooms by name and the backplane of applications; those that have neither have no node."""
    return [app._node for app in apps if app._node is not None]


def _find_apps(app: Any, found: dict[int, Any]) -> None:
    if id(app) not in found:
        found[id(app)] = app
        for each in _mounted_in(app):
            if _is_app(each):
                _find_apps(each, found)
