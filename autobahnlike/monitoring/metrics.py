"""The metrics: their names, and where each is read.

Names are as Prometheus wants them: base units, counters end with ``_total``. Nothing is labelled by what clients or
applications make up without bound: no room, no connection, no path. Where there are several things of a kind in one
process, a metric is the sum over them, unless it says otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from autobahnlike.asgi.counters import ServerCounters

__all__ = ("METRICS", "Kind", "Labels", "Metric", "Samples", "read_all")

Labels: TypeAlias = tuple[str, ...]

# Of a histogram, the values are histograms of autobahnlike.gateway.measures.
Samples: TypeAlias = Mapping[Labels, Any]

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: its name; of a counter, with ``_total``.
        kind: its type.
        meaning: one line about it.
        read: gives its samples, by the values of the labels.
        labels: their names.
        merge: makes one value of those of two things.
    """

    name: str
    kind: Kind
    meaning: str
    read: Callable[[Any], Samples]
    labels: Labels = ()
    merge: Callable[[Any, Any], Any] = lambda one, other: one + other


def _one(read: Callable[[Any], float]) -> Callable[[Any], Samples]:
    return lambda thing: {(): read(thing)}


def _texts(samples: Mapping[Any, int]) -> Samples:
    """Return samples with what they are labelled by as text; 0 is what is not one of the codes that are told apart."""
    found: dict[Labels, int] = {}
    for key, value in list(samples.items()):
        parts = key if isinstance(key, tuple) else (key,)
        found[tuple("other" if part == 0 else str(part) for part in parts)] = value
    return found


def _refused(counters: ServerCounters) -> Samples:
    return {
        (reason, str(status) if status else "none"): value for (reason, status), value in list(counters.refused.items())
    }


_SERVER = (
    Metric(
        "autobahnlike_connections_total",
        "counter",
        "Connections that clients have made, of HTTP and for WebSockets alike.",
        _one(lambda server: server.connections),
    ),
    Metric(
        "autobahnlike_connections_open",
        "gauge",
        "Connections that are open, of HTTP and for WebSockets alike.",
        _one(lambda server: server.open_connections),
    ),
    Metric(
        "autobahnlike_http_requests_total",
        "counter",
        "Responses to HTTP requests, by their status.",
        lambda server: _texts(server.requests),
        ("status",),
    ),
    Metric(
        "autobahnlike_http_requests_in_progress",
        "gauge",
        "HTTP requests that the application is dealing with.",
        _one(lambda server: server.requests_in_progress),
    ),
    Metric(
        "autobahnlike_websockets_accepted_total",
        "counter",
        "WebSockets that were opened.",
        _one(lambda server: server.accepted),
    ),
    Metric(
        "autobahnlike_websockets_open",
        "gauge",
        "WebSockets that are open.",
        _one(lambda server: server.websockets),
    ),
    Metric(
        "autobahnlike_websocket_handshake_failures_total",
        "counter",
        "Opening handshakes that failed, by the reason and the status of the answer, which is none if there was none.",
        _refused,
        ("reason", "status"),
    ),
    Metric(
        "autobahnlike_websockets_closed_total",
        "counter",
        "WebSockets that were closed, by the code of the side that closed first, and by that side.",
        lambda server: _texts(server.closed),
        ("code", "by"),
    ),
    Metric(
        "autobahnlike_websocket_messages_received_total",
        "counter",
        "Messages of clients.",
        _one(lambda server: server.messages_in),
    ),
    Metric(
        "autobahnlike_websocket_received_bytes_total",
        "counter",
        "Bytes of the messages of clients, after inflation.",
        _one(lambda server: server.bytes_in),
    ),
    Metric(
        "autobahnlike_websocket_messages_sent_total",
        "counter",
        "Messages to clients.",
        _one(lambda server: server.messages_out),
    ),
    Metric(
        "autobahnlike_websocket_sent_bytes_total",
        "counter",
        "Bytes of the messages to clients, before compression.",
        _one(lambda server: server.bytes_out),
    ),
    Metric(
        "autobahnlike_websockets_congested",
        "gauge",
        "WebSockets whose transport takes no more for now, as the client does not read.",
        _one(lambda server: len(server.congested)),
    ),
    Metric(
        "autobahnlike_websocket_queued_bytes",
        "gauge",
        "Bytes that wait for the clients of congested WebSockets, as far as the transports tell.",
        _one(lambda server: server.queued_bytes),
    ),
)

_VERDICTS = ("delivered", "gone", "too_large", "buffer_full", "unknown")


def _sends(core: Any) -> Samples:
    return {(verdict,): getattr(core.counters, verdict) for verdict in _VERDICTS}


def _durations(core: Any) -> Samples:
    return {(route,): histogram for route, histogram in list(core.measures.durations.items())}


_GATEWAY = (
    Metric(
        "autobahnlike_gateway_connections",
        "gauge",
        "Connections, with those whose $connect runs.",
        _one(lambda core: core.connection_count),
    ),
    Metric(
        "autobahnlike_gateway_connections_accepted_total",
        "counter",
        "Connections that were made.",
        _one(lambda core: core.counters.accepted),
    ),
    Metric(
        "autobahnlike_gateway_connections_refused_total",
        "counter",
        "Opening handshakes that the gateway or its $connect has refused.",
        _one(lambda core: core.counters.refused),
    ),
    Metric(
        "autobahnlike_gateway_connections_closed_total",
        "counter",
        "Connections that have ended, by the close code that $disconnect is told.",
        lambda core: _texts(core.measures.closed),
        ("code",),
    ),
    Metric(
        "autobahnlike_gateway_messages_received_total",
        "counter",
        "Messages of clients that handlers are called with.",
        _one(lambda core: core.counters.messages_in),
    ),
    Metric(
        "autobahnlike_gateway_received_bytes_total",
        "counter",
        "Bytes of the messages of clients.",
        _one(lambda core: core.counters.bytes_in),
    ),
    Metric(
        "autobahnlike_gateway_messages_sent_total",
        "counter",
        "Messages that were taken for clients of this node, whoever has sent them.",
        _one(lambda core: core.counters.messages_out),
    ),
    Metric(
        "autobahnlike_gateway_sent_bytes_total",
        "counter",
        "Bytes of the messages that were taken for clients of this node.",
        _one(lambda core: core.counters.bytes_out),
    ),
    Metric(
        "autobahnlike_gateway_sends_total",
        "counter",
        "Messages that this node was asked to send by connection id, by what became of them.",
        _sends,
        ("verdict",),
    ),
    Metric(
        "autobahnlike_gateway_errors_total",
        "counter",
        "Errors that clients were told of: of handlers that failed or took too long, and messages without a route.",
        _one(lambda core: core.counters.failures),
    ),
    Metric(
        "autobahnlike_gateway_handler_duration_seconds",
        "histogram",
        "How long the handlers of each route took, with the wait for a thread.",
        _durations,
        ("route",),
    ),
    Metric(
        "autobahnlike_gateway_handlers_running",
        "gauge",
        "Handlers that were called and have not ended, those that wait for a thread included.",
        _one(lambda core: core.measures.running),
    ),
    Metric(
        "autobahnlike_gateway_handlers_waiting",
        "gauge",
        "Handlers that wait for a thread, as max_threads are busy.",
        _one(lambda core: core.waiting_for_thread),
    ),
    Metric(
        "autobahnlike_gateway_pending_messages",
        "gauge",
        "Messages of clients for which no handler was called yet.",
        _one(lambda core: core.measures.pending),
    ),
    Metric(
        "autobahnlike_gateway_queued_messages",
        "gauge",
        "Messages to clients, and their closes, that wait for the server to take those before them.",
        _one(lambda core: core.measures.queued_messages),
    ),
    Metric(
        "autobahnlike_gateway_queued_bytes",
        "gauge",
        "Bytes of the messages to clients that wait for the server to take those before them.",
        _one(lambda core: core.measures.queued_bytes),
    ),
)


_ROOMS = (
    Metric(
        "autobahnlike_rooms",
        "gauge",
        "Rooms that somebody holds, is in, or is still sent something by.",
        _one(len),
    ),
    Metric(
        "autobahnlike_room_members",
        "gauge",
        "Connections in rooms, those in several counted for each.",
        _one(lambda rooms: rooms.counters.members),
    ),
    Metric(
        "autobahnlike_room_queued_messages",
        "gauge",
        "Messages in the outboxes of members.",
        _one(lambda rooms: rooms.counters.queued),
    ),
    Metric(
        "autobahnlike_room_broadcasts_total",
        "counter",
        "Messages that rooms were given, by other processes as well.",
        _one(lambda rooms: rooms.counters.broadcasts),
    ),
    Metric(
        "autobahnlike_room_messages_sent_total",
        "counter",
        "Messages that were sent to members, once for each of them.",
        _one(lambda rooms: rooms.counters.sent),
    ),
    Metric(
        "autobahnlike_room_messages_dropped_total",
        "counter",
        "Messages that were not: an outbox was full, or its member was gone.",
        _one(lambda rooms: rooms.counters.dropped),
    ),
    Metric(
        "autobahnlike_room_disconnects_total",
        "counter",
        "Members that were disconnected, as they were too slow or messages were lost.",
        _one(lambda rooms: rooms.counters.disconnected),
    ),
)


def _redis(read: Callable[[Any], float | None]) -> Callable[[Any], Samples]:
    def samples(backplane: Any) -> Samples:
        module = sys.modules.get("autobahnlike.backplane.redis.backplane")
        counters = getattr(backplane, "counters", None)
        if module is None or not isinstance(counters, module.RedisCounters):
            # There is none, or it has not been started.
            return {}
        value = read(counters)
        return {} if value is None else {(): value}

    return samples


_BACKPLANE = (
    Metric(
        "autobahnlike_backplane_healthy",
        "gauge",
        "1 if other nodes can be reached, else 0; of several backplanes, the worst.",
        _one(lambda backplane: int(backplane.health.is_healthy)),
        merge=min,
    ),
    Metric(
        "autobahnlike_backplane_info",
        "gauge",
        "1, labelled with the id of this node, with which its connection ids begin.",
        lambda backplane: {(backplane.node_id.hex(),): 1},
        ("node",),
        merge=max,
    ),
    Metric(
        "autobahnlike_backplane_lag_seconds",
        "gauge",
        "How long the last message of this node to itself took through Redis; of several backplanes, the slowest.",
        _redis(lambda counters: counters.lag),
        merge=max,
    ),
    Metric(
        "autobahnlike_backplane_pending_requests",
        "gauge",
        "Requests to other nodes that wait for their verdict.",
        _redis(lambda counters: counters.requests),
    ),
    Metric(
        "autobahnlike_backplane_reconnects_total",
        "counter",
        "How often a connection to Redis was lost and made again.",
        _redis(lambda counters: counters.reconnects),
    ),
    Metric(
        "autobahnlike_backplane_deaf_total",
        "counter",
        "How often nothing came in on a connection to Redis that seemed to be well.",
        _redis(lambda counters: counters.deaf),
    ),
    Metric(
        "autobahnlike_backplane_room_messages_total",
        "counter",
        "Messages of rooms that this node was told.",
        _redis(lambda counters: counters.rooms.received),
    ),
    Metric(
        "autobahnlike_backplane_room_messages_recovered_total",
        "counter",
        "Messages of rooms that had been missed, and were fetched.",
        _redis(lambda counters: counters.rooms.recovered),
    ),
    Metric(
        "autobahnlike_backplane_room_duplicates_total",
        "counter",
        "Messages of rooms that came a second time, and were dropped.",
        _redis(lambda counters: counters.rooms.duplicates),
    ),
    Metric(
        "autobahnlike_backplane_room_gaps_total",
        "counter",
        "How often messages of a room were lost for good.",
        _redis(lambda counters: counters.rooms.gaps),
    ),
    Metric(
        "autobahnlike_backplane_dead_nodes_total",
        "counter",
        "Dead nodes that this node has seen to.",
        _redis(lambda counters: counters.presence.claimed),
    ),
    Metric(
        "autobahnlike_backplane_orphans_total",
        "counter",
        "Connections of dead nodes for which this node has run $disconnect.",
        _redis(lambda counters: counters.presence.orphans),
    ),
    Metric(
        "autobahnlike_backplane_declared_dead_total",
        "counter",
        "How often others took this node for dead.",
        _redis(lambda counters: counters.presence.declared_dead),
    ),
)

METRICS: Mapping[str, Sequence[Metric]] = {
    "server": _SERVER,
    "gateway": _GATEWAY,
    "rooms": _ROOMS,
    "backplane": _BACKPLANE,
}
"""All metrics, by what they are read from."""


def read_all(things: Mapping[str, Sequence[Any]]) -> Iterable[tuple[Metric, Samples]]:
    """Read the metrics of everything.

    Args:
        things: by their kinds, which are those of ``METRICS``.

    Returns:
        Each metric with its samples, which may be none; a metric of a kind of which there is nothing is left out.
    """
    for kind, metrics in METRICS.items():
        if not things[kind]:
            continue
        for metric in metrics:
            merged: dict[Labels, Any] = {}
            for thing in things[kind]:
                for labels, value in metric.read(thing).items():
                    merged[labels] = metric.merge(merged[labels], value) if labels in merged else value
            yield metric, merged
