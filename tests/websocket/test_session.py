"""The session: what is done with the transport and the clock, and how hooks are run."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from autobahnlike.exception import Disconnected
from autobahnlike.wire.state import State
from tests.wire.helpers import CLOSE, PING, PONG, REQUEST, TEXT, Frame

from .ends import End, NotingClient, NotingServer, answer_to

KIB = 1024


class Echo(NotingServer):
    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        self.sendMessage(payload, isBinary)


class Slow(NotingServer):
    """Waits, in each onMessage, for a Deferred of its own."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Any]] = []

    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        super().onMessage(payload, isBinary)
        self.waiting.append(Deferred())
        return self.waiting[-1]


class TestWriting:
    def test_all_that_one_read_brings_is_answered_with_one_write(self) -> None:
        end = End(Echo).open()
        before = end.link.writes
        end.receive(*(end.frame(TEXT, b"%d" % number) for number in range(50)))
        assert end.link.writes == before + 1
        assert [each.payload for each in end.sent()] == [b"%d" % number for number in range(50)]

    def test_what_the_application_sends_by_itself_is_written_at_once(self) -> None:
        end = End().open()
        end.protocol.sendMessage(b"now")
        assert end.sent() == [Frame(TEXT, b"now")]

    def test_a_link_that_is_full_is_not_written_to_until_it_says_so(self) -> None:
        end = End().open()
        end.link.is_full = True
        end.protocol.sendMessage(b"1")
        end.protocol.sendMessage(b"2")
        assert end.sent() == [Frame(TEXT, b"1")]
        assert end.protocol.bufferedAmount == 3
        end.link.is_full = False
        end.session.writing_resumed()
        assert end.sent() == [Frame(TEXT, b"2")]
        assert end.protocol.bufferedAmount == 0

    def test_much_output_is_written_in_portions_and_in_the_middle_of_a_read(self) -> None:
        class Talkative(NotingServer):
            def onMessage(self, payload: bytes, isBinary: bool) -> Any:
                for _ in range(10):
                    self.sendMessage(bytes(100 * KIB), True)
                    written.append(len(end.link.written))

        written: list[int] = []
        end = End(Talkative).open()
        end.receive(end.frame(TEXT))
        assert written[0] >= 100 * KIB
        assert written[-1] >= 1000 * KIB
        end.link.is_full = True
        end.protocol.sendMessage(bytes(1000 * KIB), True)
        assert end.protocol.bufferedAmount > 700 * KIB
        before = len(end.link.written)
        end.session.writing_resumed()
        assert 0 < len(end.link.written) - before <= 256 * KIB

    def test_what_the_link_holds_counts_as_buffered(self) -> None:
        end = End().open()
        end.link.buffered = 77
        assert end.protocol.bufferedAmount == 77
        end.session.connection_lost()
        assert end.protocol.bufferedAmount == 0


class TestDrained:
    def test_at_once_when_the_link_takes_everything(self) -> None:
        end = End().open()
        results: list[Any] = []
        end.protocol.drained().addCallback(results.append)
        assert results == [None]

    def test_inside_a_hook_it_is_done_when_the_hook_has_returned(self) -> None:
        results: list[Any] = []

        class Server(NotingServer):
            def onMessage(self, payload: bytes, isBinary: bool) -> Any:
                self.sendMessage(payload)
                self.drained().addCallback(results.append)
                assert not results

        end = End(Server).open()
        end.receive(end.frame(TEXT, b"x"))
        assert results == [None]

    def test_when_everything_has_been_taken(self) -> None:
        end = End().open()
        end.link.is_full = True
        end.protocol.sendMessage(b"1")
        results: list[Any] = []
        end.protocol.drained().addCallback(results.append)
        cancelled = end.protocol.drained()
        cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        end.session.writing_resumed()
        assert results == [None]

    def test_it_fails_when_the_connection_is_lost_or_dropped(self) -> None:
        end = End().open()
        end.link.is_full = True
        end.protocol.sendMessage(b"1")
        failures: list[Any] = []
        end.protocol.drained().addErrback(lambda failure: failures.append(failure.type))
        cancelled = end.protocol.drained()
        cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        end.protocol.dropConnection(abort=True)
        end.protocol.drained().addErrback(lambda failure: failures.append(failure.type))
        assert failures == [Disconnected]
        end.session.connection_lost()
        end.protocol.drained().addErrback(lambda failure: failures.append(failure.type))
        assert failures == [Disconnected] * 3

    def test_a_hook_that_waits_for_it_when_the_connection_is_lost_has_not_failed(self) -> None:
        """On Twisted it goes on within the call that tells of the loss."""

        class Server(NotingServer):
            async def onMessage(self, payload: bytes, isBinary: bool) -> None:
                self.sendMessage(payload)
                await self.drained()

        end = End(Server).open()
        end.link.is_full = True
        end.receive(end.frame(TEXT, b"x"))
        end.session.connection_lost("reset")
        assert end.loop.failures == []
        assert [event[1:3] for event in end.protocol.events if event[0] == "close"] == [(False, 1006)]


class TestReading:
    def test_reading_stops_while_a_hook_is_busy_and_enough_was_read_ahead(self) -> None:
        end = End(Slow, readAhead=1000).open()
        end.receive(end.frame(TEXT, b"1"))
        assert end.link.calls == []
        end.receive(end.frame(TEXT, bytes(1000)))
        assert end.link.calls == ["pause"]
        end.protocol.waiting[0].callback(None)
        assert len(end.protocol.waiting) == 2
        assert end.link.calls == ["pause"]
        end.protocol.waiting[1].callback(None)
        assert end.link.calls == ["pause", "resume"]

    def test_reading_stops_while_the_peer_does_not(self) -> None:
        end = End(Echo).open()
        end.link.is_full = True
        received = 0
        while "pause" not in end.link.calls:
            end.receive(end.frame(TEXT, bytes(1000)))
            received += 1000
            assert received < 300 * KIB, "what cannot be answered is not read for ever"
        assert end.link.calls == ["pause"]
        end.link.is_full = False
        end.session.writing_resumed()
        assert end.link.calls == ["pause", "resume"]

    def test_a_lot_of_work_is_done_in_several_turns(self) -> None:
        end = End().open()
        end.receive(end.frame(TEXT, b"x") * 30000)
        first = len(end.events)
        assert 0 < first < 30000
        while len(end.events) < 30000:
            before = len(end.events)
            end.advance(0)
            assert len(end.events) > before
        assert len(end.events) == 30000

    def test_a_turn_that_is_due_is_not_taken_when_the_connection_is_lost(self) -> None:
        end = End().open()
        end.receive(end.frame(TEXT, b"x") * 30000)
        end.session.connection_lost()
        # What was received before the loss is delivered all the same, at once.
        assert len(end.events) == 30001
        assert end.names()[-1] == "close"
        assert not end.loop.clock.getDelayedCalls()


class TestTimers:
    def test_the_opening_handshake_has_a_deadline(self) -> None:
        end = End(openHandshakeTimeout=3.0).connect()
        end.advance(2.9)
        assert end.link.calls == []
        end.advance(0.2)
        assert end.link.calls == ["abort"]

    def test_one_timer_is_enough_and_is_left_alone_when_the_deadline_moves_away(self) -> None:
        end = End(autoPingInterval=10.0).open()
        (timer,) = end.loop.clock.getDelayedCalls()
        for _ in range(5):
            end.advance(1)
            end.receive(end.frame(TEXT))
        assert end.loop.clock.getDelayedCalls() == [timer]

    def test_it_is_brought_forward_when_a_deadline_comes_nearer(self) -> None:
        end = End(autoPingInterval=100.0, closeHandshakeTimeout=1.0).open()
        end.advance(6)
        end.protocol.sendClose(1000)
        end.advance(1.1)
        assert end.link.calls == ["abort"]

    def test_keepalive_pings_and_gives_a_silent_peer_up(self) -> None:
        end = End(autoPingInterval=10.0, autoPingTimeout=5.0, autoPingSize=4).open()
        end.advance(10)
        (ping,) = end.sent()
        assert (ping.opcode, len(ping.payload)) == (PING, 4)
        end.advance(4)
        end.receive(end.frame(PONG, ping.payload))
        end.advance(5)
        assert end.link.calls == []
        end.advance(10)
        assert end.link.calls == ["abort"]

    def test_no_timer_is_left_when_it_is_over(self) -> None:
        end = End().open()
        end.session.connection_lost()
        end.session.connection_lost()
        assert end.loop.clock.getDelayedCalls() == []
        assert end.names() == ["close"]
        end.session.writing_resumed()


class TestDisconnecting:
    def test_a_server_ends_its_side_after_the_closing_handshake(self) -> None:
        end = End().open()
        end.receive(end.frame(CLOSE, b"\x03\xe8"))
        assert end.link.calls == ["finish"]
        end.session.connection_lost()
        assert end.events == [("close", True, 1000, None)]

    def test_what_is_still_to_be_written_goes_first(self) -> None:
        end = End().open()
        end.link.is_full = True
        end.protocol.sendMessage(b"1")
        end.protocol.sendMessage(b"2")
        end.protocol.dropConnection()
        assert "close" not in end.link.calls
        end.link.is_full = False
        end.session.writing_resumed()
        assert end.sent() == [Frame(TEXT, b"1"), Frame(TEXT, b"2")]
        assert end.link.calls[-1] == "close"

    def test_unless_it_is_aborted(self) -> None:
        end = End().open()
        end.link.is_full = True
        end.protocol.sendMessage(b"1")
        end.protocol.sendMessage(b"2")
        end.protocol.dropConnection(abort=True)
        assert "abort" in end.link.calls
        end.session.connection_lost()
        assert end.sent() == [Frame(TEXT, b"1")]

    def test_why_a_connection_was_lost_is_told(self) -> None:
        end = End().open()
        end.session.connection_lost("SSL error: bad record mac")
        assert end.events == [("close", False, 1006, 'connection was closed uncleanly ("SSL error: bad record mac")')]


class TestHooks:
    def test_results_that_are_there_already_do_not_nest(self) -> None:
        class Server(NotingServer):
            async def onMessage(self, payload: bytes, isBinary: bool) -> None:
                self.events.append(("message", payload))

        end = End(Server).open()
        end.receive(*(end.frame(TEXT, b"%d" % number) for number in range(3000)))
        assert [payload for _, payload in end.events] == [b"%d" % number for number in range(3000)]

    def test_a_result_that_is_no_awaitable_is_ignored(self) -> None:
        class Server(NotingServer):
            def onMessage(self, payload: bytes, isBinary: bool) -> Any:
                super().onMessage(payload, isBinary)
                return "a result"

            def onOpen(self) -> Any:
                return "a result"

            def onPing(self, payload: bytes) -> Any:
                return "a result"

        end = End(Server).open()
        end.receive(end.frame(TEXT, b"1"), end.frame(PING), end.frame(TEXT, b"2"))
        assert end.events == [("message", b"1"), ("message", b"2")]

    def test_the_next_message_waits_for_the_last(self) -> None:
        end = End(Slow).open()
        end.receive(end.frame(TEXT, b"1"), end.frame(TEXT, b"2"))
        assert end.events == [("message", b"1")]
        end.protocol.waiting[0].callback(None)
        assert end.events == [("message", b"1"), ("message", b"2")]

    def test_pings_are_answered_meanwhile(self) -> None:
        end = End(Slow).open()
        end.receive(end.frame(TEXT, b"1"))
        end.receive(end.frame(PING, b"2"))
        assert end.sent() == [Frame(PONG, b"2")]

    @pytest.mark.parametrize("name", ["onMessage", "onPing", "onPong"])
    def test_a_failure_is_logged_and_closes_with_1011(self, name: str) -> None:
        def fail(*_: Any) -> Any:
            raise ValueError(name)

        async def fail_async(*_: Any) -> Any:
            raise ValueError(name)

        later: Deferred[Any] = Deferred()
        for hook in (fail, fail_async, lambda *_: later):
            end = End(type("Server", (NotingServer,), {name: hook})).open()
            end.receive(end.frame({"onMessage": TEXT, "onPing": PING, "onPong": PONG}[name]))
            if not end.loop.failures:
                later.errback(ValueError(name))
            ((text, error),) = end.loop.failures
            assert text == f"{name} of Server raised an exception"
            assert isinstance(error, ValueError)
            (closing,) = end.sent()
            assert closing.payload[:2] == (1011).to_bytes(2, "big")

    def test_on_open_that_fails_closes_with_1011_and_never_makes_it_open(self) -> None:
        class Server(NotingServer):
            def onOpen(self) -> Any:
                raise ValueError

        end = End(Server).connect()
        failures: list[Any] = []
        end.protocol.is_open.addErrback(lambda failure: failures.append(failure.type))
        end.receive(REQUEST, end.frame(TEXT, b"1"))
        assert end.take().partition(b"\r\n\r\n")[2][2:4] == (1011).to_bytes(2, "big")
        assert len(end.loop.failures) == 1
        end.session.connection_lost()
        assert end.names() == ["connect", "close"]
        assert failures == [Disconnected]

    def test_sending_to_a_peer_that_has_gone_is_no_failure_of_a_hook(self) -> None:
        class Server(Slow):
            async def onMessage(self, payload: bytes, isBinary: bool) -> Any:
                await Slow.onMessage(self, payload, isBinary)
                self.sendMessage(b"answer")

        end = End(Server).open()
        end.receive(end.frame(TEXT, b"question"))
        end.session.connection_lost()
        end.protocol.waiting[0].callback(None)
        assert end.names() == ["message", "close"]
        assert end.loop.failures == []

    def test_what_failed_to_be_awaited_because_it_is_ours_is_not_hidden(self) -> None:
        """An error in what follows a hook comes out of the read, as any error of ours would."""

        class Server(NotingServer):
            def onClose(self, *told: Any) -> Any:
                raise KeyboardInterrupt

        end = End(Server).open()
        with pytest.raises(KeyboardInterrupt):
            end.session.connection_lost()

    def test_a_hook_is_cancelled_when_its_connection_is_gone_for_too_long(self) -> None:
        end = End(Slow, closeHandshakeTimeout=2.0).open()
        end.receive(end.frame(TEXT, b"1"), end.frame(TEXT, b"2"))
        end.session.connection_lost()
        end.advance(1.9)
        assert end.events == [("message", b"1")]
        cancelled: list[Any] = []
        end.protocol.waiting[0].addErrback(cancelled.append)
        end.advance(0.2)
        assert len(cancelled) == 0, "given up: its result is nobody's business any more"
        assert end.names() == ["message", "close"]
        assert end.log.warnings == [
            "onMessage of Slow was still running when its connection had been gone for 2.0 seconds: cancelled"
        ]

    def test_a_hook_that_ends_in_time_delays_on_close(self) -> None:
        end = End(Slow).open()
        end.receive(end.frame(TEXT, b"1"), end.frame(TEXT, b"2"))
        end.session.connection_lost()
        end.protocol.waiting[0].callback(None)
        end.protocol.waiting[1].callback(None)
        assert end.names() == ["message", "message", "close"]
        assert end.session.connection.state is State.CLOSED

    def test_on_connect_is_cancelled_when_the_client_is_gone(self) -> None:
        cancelled: list[Any] = []

        class Server(NotingServer):
            def onConnect(self, request: Any) -> Any:
                return Deferred(cancelled.append)

        end = End(Server).connect()
        end.receive(REQUEST)
        end.session.connection_lost()
        assert len(cancelled) == 1
        assert end.names() == ["close"]
        assert end.loop.failures == []

    def test_on_connect_is_cancelled_when_it_drops_the_connection_and_goes_on(self) -> None:
        cancelled: list[Any] = []

        class Server(NotingServer):
            def onConnect(self, request: Any) -> Any:
                self.dropConnection(abort=True)
                return Deferred(cancelled.append)

        end = End(Server).connect()
        end.receive(REQUEST)
        end.session.connection_lost()
        assert len(cancelled) == 1
        assert end.names() == ["close"]

    def test_on_connect_is_cancelled_when_it_takes_too_long(self) -> None:
        cancelled: list[Any] = []

        class Server(NotingServer):
            def onConnect(self, request: Any) -> Any:
                return Deferred(cancelled.append)

        end = End(Server, openHandshakeTimeout=1.0).connect()
        end.receive(REQUEST)
        end.advance(1.1)
        assert end.link.calls == ["abort"]
        end.session.connection_lost()
        assert len(cancelled) == 1
        assert end.names() == ["close"]

    def test_nobody_is_told_of_requests_on_the_wrong_side(self) -> None:
        client, server = End(NotingClient).connect(), End().connect()
        for call in (
            lambda: client.session.on_request(None),
            lambda: client.session.on_plain_request(None, None),
            lambda: server.session.on_response(None),
        ):
            with pytest.raises(AssertionError):
                call()


class TestNeverOpen:
    def test_a_client_that_loses_its_server_in_on_connect_is_told_of_nothing_but_the_end(self) -> None:
        connected: Deferred[Any] = Deferred()

        class Client(NotingClient):
            def onConnect(self, response: Any) -> Any:
                super().onConnect(response)
                return connected

        end = End(Client).connect()
        end.receive(answer_to(end.take()), end.frame(TEXT, b"early"))
        end.session.connection_lost()
        connected.callback(None)
        assert end.names() == ["connecting", "connect", "close"]

    def test_a_close_frame_that_came_before_the_loss_still_counts(self) -> None:
        connected: Deferred[Any] = Deferred()

        class Client(NotingClient):
            def onConnect(self, response: Any) -> Any:
                return connected

        end = End(Client).connect()
        end.receive(answer_to(end.take()), end.frame(TEXT, b"early"), end.frame(CLOSE, b"\x03\xe9bye"))
        end.session.connection_lost()
        connected.callback(None)
        assert end.events[1:] == [("close", True, 1001, "bye")]


class TestLogging:
    def test_octets_and_frames_are_logged_if_asked_for(self) -> None:
        end = End(Echo)
        end.factory.logOctets = end.factory.logFrames = True
        end.open()
        end.log.details.clear()
        end.receive(end.frame(TEXT, b"hello"))
        assert end.log.details == [
            f"tcp4:192.0.2.1:1234: octets received: {end.frame(TEXT, b'hello').hex()}",
            "tcp4:192.0.2.1:1234: frame received: FIN=1, RSV=0, opcode=1, 5 bytes",
            "tcp4:192.0.2.1:1234: frame sent: FIN=1, RSV=0, opcode=1, 5 bytes",
            "tcp4:192.0.2.1:1234: octets sent: 810568656c6c6f",
        ]

    def test_nothing_is_logged_otherwise(self) -> None:
        end = End(Echo).open()
        end.receive(end.frame(TEXT, b"hello"))
        assert end.log.details == []


class TestPreparedMessages:
    @pytest.mark.parametrize("options", [{}, {"autoFragmentSize": 3}, {"maskServerFrames": True}])
    def test_they_go_out_as_the_options_want_it(self, options: dict[str, Any]) -> None:
        end = End(**options).open()
        end.protocol.sendPreparedMessage(end.factory.prepareMessage(b"hello"))
        assert b"".join(each.payload for each in end.sent()) == b"hello"
