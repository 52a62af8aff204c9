"""Counters of a connection, as Autobahn names them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autobahnlike.websocket.stats import TrafficStats
from autobahnlike.wire.connection import Connection
from autobahnlike.wire.deflate import Deflate, DeflateParams
from autobahnlike.wire.options import Options

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
MASKED_HELLO = b"\x81\x85\x00\x00\x00\x00hello"

NAMES = {
    f"{direction}{name}"
    for direction in ("outgoing", "incoming")
    for name in (
        *("OctetsWireLevel", "OctetsWebSocketLevel", "OctetsAppLevel"),
        *("WebSocketFrames", "WebSocketMessages"),
    )
} | {"preopenOutgoingOctetsWireLevel", "preopenIncomingOctetsWireLevel"}


class Handler:
    """An application that takes everything."""

    def on_message(self, payload: bytes, is_binary: bool) -> None:
        pass

    def on_closed(self, was_clean: bool, code: int | None, reason: str | None) -> None:
        pass

    def on_output(self) -> None:
        pass


def open_server(codec: Any = None) -> Connection:
    handler: Any = Handler()
    connection = Connection(handler, Options(auto_ping_interval=0), is_server=True, now=0.0)
    connection.receive_data(REQUEST[:-2], 0.0)
    connection.accept(RESPONSE, codec)
    connection.resume_delivery(0.0)
    return connection


def counted(stats: TrafficStats) -> dict[str, int]:
    """The counters that are not 0."""
    return {name: getattr(stats, name) for name in sorted(NAMES) if getattr(stats, name)}


def test_without_a_connection_everything_is_zero() -> None:
    stats = TrafficStats()
    assert counted(stats) == {}
    stats.reset()
    assert counted(stats) == {}


def test_a_connection_that_is_not_open_counts_its_handshake_only() -> None:
    handler: Any = Handler()
    connection = Connection(handler, Options(), is_server=True, now=0.0)
    connection.receive_data(b"GET / HT", 0.0)
    connection.refuse(b"HTTP/1.1 400 Bad Request\r\n\r\n", "no", 0)
    connection.receive_data(b"more", 0.0)
    assert counted(TrafficStats.of(connection)) == {
        "preopenIncomingOctetsWireLevel": 8,
        "preopenOutgoingOctetsWireLevel": 28,
    }


class TestLiveView:
    def test_what_is_received_is_counted(self) -> None:
        connection = open_server()
        stats = TrafficStats.of(connection)
        connection.receive_data(MASKED_HELLO + b"\x01\x81\x00\x00\x00\x00a\x80\x81\x00\x00\x00\x00b", 0.0)
        assert counted(stats) == {
            "incomingOctetsAppLevel": 7,
            "incomingOctetsWebSocketLevel": 7,
            "incomingOctetsWireLevel": 25,
            "incomingWebSocketFrames": 3,
            "incomingWebSocketMessages": 2,
            "preopenIncomingOctetsWireLevel": len(REQUEST) - 2,
            "preopenOutgoingOctetsWireLevel": len(RESPONSE),
        }

    def test_what_is_sent_is_counted_written_or_not(self) -> None:
        connection = open_server()
        stats = TrafficStats.of(connection)
        connection.send_message(b"hello", False, fragment_size=3)
        before = counted(stats)
        connection.data_to_send()
        assert before == counted(stats)
        assert stats.outgoingOctetsWireLevel == 9
        assert stats.outgoingOctetsWebSocketLevel == 5
        assert stats.outgoingOctetsAppLevel == 5
        assert stats.outgoingWebSocketFrames == 2
        assert stats.outgoingWebSocketMessages == 1

    def test_control_frames_count_on_the_wire_only(self) -> None:
        connection = open_server()
        stats = TrafficStats.of(connection)
        connection.receive_data(b"\x89\x80\x00\x00\x00\x00", 0.0)
        assert (stats.incomingOctetsWireLevel, stats.incomingWebSocketFrames) == (6, 0)
        assert (stats.outgoingOctetsWireLevel, stats.outgoingWebSocketFrames) == (2, 0)

    def test_compression_shows_between_the_levels(self) -> None:
        connection = open_server(Deflate(DeflateParams(), is_server=True))
        stats = TrafficStats.of(connection)
        connection.send_message(b"a" * 1000, False)
        assert stats.outgoingOctetsAppLevel == 1000
        assert stats.outgoingOctetsWebSocketLevel < 100
        assert stats.__json__()["outgoingCompressionRatio"] == stats.outgoingOctetsWebSocketLevel / 1000

    def test_it_can_be_read_when_the_connection_is_gone(self) -> None:
        connection = open_server()
        stats = TrafficStats.of(connection)
        connection.receive_data(MASKED_HELLO, 0.0)
        connection.connection_lost(1.0)
        assert stats.incomingWebSocketMessages == 1

    def test_a_drop_that_throws_the_handshake_away_counts_nothing_below_zero(self) -> None:
        connection = open_server()
        connection.drop(0.0)
        assert TrafficStats.of(connection).outgoingOctetsWireLevel == 0


class TestReset:
    def test_counting_starts_again_at_zero(self) -> None:
        connection = open_server()
        stats = TrafficStats.of(connection)
        connection.receive_data(MASKED_HELLO, 0.0)
        connection.send_message(b"hello", False)
        stats.reset()
        assert counted(stats) == {}
        connection.receive_data(MASKED_HELLO, 0.0)
        assert stats.incomingWebSocketMessages == 1
        assert stats.incomingOctetsWireLevel == 11

    def test_others_that_look_at_the_connection_are_not_reset(self) -> None:
        connection = open_server()
        connection.receive_data(MASKED_HELLO, 0.0)
        TrafficStats.of(connection).reset()
        assert TrafficStats.of(connection).incomingWebSocketMessages == 1


class TestJson:
    def test_it_has_autobahns_names(self) -> None:
        derived = {f"{direction}CompressionRatio" for direction in ("outgoing", "incoming")}
        derived |= {f"{direction}WebSocketOverhead" for direction in ("outgoing", "incoming")}
        fields = TrafficStats().__json__()
        assert set(fields) == NAMES | derived
        assert all(fields[name] is None for name in derived)

    def test_ratio_and_overhead(self) -> None:
        connection = open_server()
        connection.receive_data(MASKED_HELLO, 0.0)
        fields = TrafficStats.of(connection).__json__()
        assert fields["incomingCompressionRatio"] == 1.0
        assert fields["incomingWebSocketOverhead"] == pytest.approx(6 / 5)

    def test_str_is_json(self) -> None:
        stats = TrafficStats.of(open_server())
        assert json.loads(str(stats)) == stats.__json__()


def test_the_counters_are_documented_on_the_class() -> None:
    for name in NAMES:
        assert getattr(TrafficStats, name).__doc__.endswith(".")
