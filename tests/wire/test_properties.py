"""What holds for every input, however it is cut, delayed or lost."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autobahnlike.wire.deflate import Deflate, DeflateParams
from autobahnlike.wire.options import Options
from autobahnlike.wire.state import State

from .helpers import (
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    REQUEST,
    ROLES,
    RSV1,
    TEXT,
    Pair,
    Side,
    close_frame,
    deflate,
    frame,
    opened,
    splits,
)

thorough = settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
roles = st.sampled_from(list(ROLES.values()))
sizes = st.lists(st.one_of(st.integers(1, 8), st.integers(1, 200)), max_size=80)
bounds = st.sampled_from([0, 1, 40, 300])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(str.encode)
payloads = st.one_of(texts, st.binary(max_size=300), st.builds(lambda byte, n: byte * n, st.binary(max_size=3), bounds))


def fits(each: dict[str, Any]) -> bool:
    """Whether the length can be written as it is to be."""
    return each.get("form") != 2 or each.get("claim", 0) < 65536


def bad_frames() -> st.SearchStrategy[dict[str, Any]]:
    """Frames of every kind, most of them wrong in some place."""
    frames: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {"opcode": st.integers(0, 15), "payload": payloads},
        optional={
            "fin": st.booleans(),
            "rsv": st.integers(0, 7),
            "mask": st.sampled_from([None, MASK]),
            "form": st.sampled_from([2, 8]),
            "claim": st.one_of(st.integers(0, 200), st.sampled_from([65536, 1 << 40, (1 << 63) - 1, 1 << 63])),
        },
    )
    return frames.filter(fits)


@st.composite
def messages(draw: st.DrawFn) -> list[tuple[int, bytes, bool, int]]:
    """A message as frames: opcode, payload, FIN, and control frames between them."""
    opcode, payload = draw(st.sampled_from([(TEXT, texts), (2, payloads)]))
    parts = splits(draw(payload), draw(st.lists(st.integers(1, 40), max_size=4))) or [b""]
    frames = []
    for index, part in enumerate(parts):
        frames.append((CONTINUATION if index else opcode, part, index == len(parts) - 1, 0))
        if draw(st.booleans()):
            frames.append((draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=20)), True, 0))
    return frames


@st.composite
def streams(draw: st.DrawFn) -> tuple[bool, bytes]:
    """What a peer sends after the opening handshake: right for a while, then perhaps wrong, or a close frame."""
    is_server = draw(roles)
    mask = MASK if is_server else None
    data = b""
    for opcode, payload, fin, rsv in itertools.chain(*draw(st.lists(messages(), max_size=5))):
        data += frame(opcode, payload, fin=fin, rsv=rsv, mask=mask)
    for each in draw(st.lists(bad_frames(), max_size=2)):
        data += frame(**{"mask": mask, **each})
    if draw(st.booleans()):
        data += close_frame(draw(st.sampled_from([None, 1000, 1006, 4000])), draw(texts)[:120], mask=mask)
    return is_server, data + draw(st.binary(max_size=30))


def outcome(side: Side) -> tuple[Any, ...]:
    """Everything that is to be seen of a connection that is then lost."""
    sent = bytes(side.outgoing)
    state, failure = side.connection.state, side.connection.failure
    side.lose()
    return side.handler.events, sent, state, failure


class TestSplits:
    @thorough
    @given(streams(), sizes, st.integers(1, 2000))
    def test_any_split_of_the_stream_gives_the_same_events(
        self, stream: tuple[bool, bytes], cuts: list[int], limit: int
    ) -> None:
        is_server, data = stream
        outcomes = []
        for reads in ([data], splits(data, cuts), splits(data, [1] * len(data))):
            side = opened(is_server=is_server, max_message_size=limit, max_fragments=4)
            side.connection.auto_pong, side.connection.report_pongs = False, True
            side.receive(*filter(None, reads))
            outcomes.append(outcome(side))
        assert outcomes[0] == outcomes[1] == outcomes[2]

    @thorough
    @given(streams(), sizes)
    def test_also_of_the_handshake_and_what_is_behind_it(self, stream: tuple[bool, bytes], cuts: list[int]) -> None:
        outcomes = []
        data = REQUEST + stream[1]
        for reads in ([data], splits(data, cuts), splits(data, [1] * len(data))):
            side = Side(is_server=True)
            side.receive(*reads)
            outcomes.append(outcome(side))
        assert outcomes[0] == outcomes[1] == outcomes[2]

    @thorough
    @given(st.lists(payloads, max_size=6), sizes, roles, st.integers(0, 3))
    def test_also_of_compressed_messages(
        self, sent: list[bytes], cuts: list[int], is_server: bool, damage: int
    ) -> None:
        codec = deflate(not is_server)
        data = b"".join(
            frame(2, codec.compress(each, True), rsv=RSV1, mask=MASK if is_server else None) for each in sent
        )
        data = data[:-damage] + bytes(damage) if damage and len(data) > 3 else data
        outcomes = []
        for reads in ([data], splits(data, cuts), splits(data, [1] * len(data))):
            side = opened(is_server=is_server, codec=deflate(is_server))
            side.receive(*filter(None, reads))
            outcomes.append(outcome(side))
        assert outcomes[0] == outcomes[1] == outcomes[2]

    @thorough
    @given(streams(), st.lists(st.booleans(), max_size=20), st.integers(1, 400))
    def test_a_busy_handler_is_told_the_same_later(
        self, stream: tuple[bool, bytes], pauses: list[bool], read_ahead: int
    ) -> None:
        is_server, data = stream
        at_once = opened(is_server=is_server, read_ahead=read_ahead)
        at_once.receive(data or b"\x00")
        later = opened(is_server=is_server, read_ahead=read_ahead)
        decisions = itertools.chain(pauses, itertools.repeat(True))
        later.handler.hooks["message"] = lambda *_: later.connection.pause_delivery() if next(decisions) else None
        later.receive(data or b"\x00")
        at_once.lose()
        later.lose()
        while not later.handler.events or later.handler.events[-1][0] != "closed":
            later.resume()
        assert later.messages == at_once.messages
        assert later.closed[0] == at_once.closed[0]


class TestRoundTrips:
    @thorough
    @given(
        st.lists(st.tuples(payloads, st.booleans()), max_size=8),
        st.sampled_from([0, 1, 7, 125, 126]),
        st.one_of(
            st.none(),
            st.builds(
                DeflateParams,
                st.booleans(),
                st.booleans(),
                server_max_window_bits=st.integers(8, 15),
                client_max_window_bits=st.integers(8, 15),
            ),
        ),
        st.integers(-1, 9),
        st.integers(1, 9),
        st.integers(1, 3000),
    )
    def test_every_message_arrives(
        self,
        sent: list[tuple[bytes, bool]],
        fragment_size: int,
        params: DeflateParams | None,
        level: int,
        mem_level: int,
        read: int,
    ) -> None:

        def codec(is_server: bool) -> Deflate | None:
            if params is None:
                return None
            return Deflate(params, is_server=is_server, level=level, mem_level=mem_level)

        pair = Pair(codecs=(codec(False), codec(True)))
        pair.run()
        for index, (payload, compress) in enumerate(sent):
            for side in pair.sides:
                side.connection.send_message(payload, True, compress=compress, fragment_size=fragment_size)
                side.settle()
            if index % 2:
                pair.run(read)
        for side in pair.sides:
            side.connection.close(1000, None, pair.now)
            side.settle()
        pair.run(read)
        assert pair.client.messages == pair.server.messages == [payload for payload, _ in sent]
        assert pair.client.closed == pair.server.closed == (True, 1000, None)


class TestBounds:
    @thorough
    @given(
        st.binary(max_size=2000),
        st.lists(st.one_of(bad_frames(), payloads), max_size=40),
        st.integers(1, 300),
        st.integers(1, 300),
        st.integers(1, 500),
        st.booleans(),
        st.booleans(),
    )
    def test_what_is_held_is_bounded(
        self,
        noise: bytes,
        parts: list[dict[str, Any] | bytes],
        limit: int,
        read_ahead: int,
        step: int,
        is_busy: bool,
        compresses: bool,
    ) -> None:
        packer = deflate(False)
        side = Side(options=Options(max_message_size=limit, read_ahead=read_ahead))
        side.handler.codec = deflate(True) if compresses else None
        side.handler.is_slow = side.handler.decides = is_busy
        data = REQUEST
        for part in parts:
            if isinstance(part, dict):
                data += frame(**{"mask": MASK, **part})
            elif compresses:
                data += frame(2, packer.compress(part, True), rsv=RSV1, mask=MASK)
            else:
                data += frame(2, part, mask=MASK)
        data += noise
        # An unfinished message, one that was read ahead, what may be read ahead beside it, what one read brings, and
        # the beginning of a control frame. If it is a violation that was read ahead last, the close frame behind it is
        # read too.
        bound = limit + limit + read_ahead + step + 64 + 131 + 64 + 125
        for start in range(0, len(data), step):
            if not side.connection.wants_read:
                if side.connection.state is State.CONNECTING:
                    side.handler.accept()
                side.resume()
            if side.connection.wants_read:
                side.receive(data[start : start + step])
            assert side.connection.buffered <= max(bound, read_ahead + step)


# What is done, on which side, and with what.
CARRYING = st.tuples(st.just("carry"), st.booleans(), st.integers(1, 3000))
BUSY = st.tuples(st.just("busy"), st.booleans(), st.booleans())
WAITING = st.tuples(st.just("wait"), st.just(True), st.sampled_from([0.5, 3, 10, 30]))
ACTIONS = st.one_of(
    CARRYING,
    BUSY,
    WAITING,
    st.tuples(st.just("stall"), st.just(True), st.sampled_from([0.5, 3, 10, 30])),
    st.tuples(st.just("send"), st.booleans(), st.integers(0, 3000)),
    st.tuples(st.just("ping"), st.booleans(), st.integers(0, 125)),
    st.tuples(st.just("close"), st.booleans(), st.sampled_from([1000, 3000])),
    st.tuples(st.just("fail"), st.booleans(), st.just(1011)),
    st.tuples(st.just("drop"), st.booleans(), st.booleans()),
    st.tuples(st.just("noise"), st.booleans(), st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("cut"), st.booleans(), st.none()),
)


def act(pair: Pair, action: tuple[str, bool, Any]) -> None:
    """Do one thing on one of the sides."""
    what, which, argument = action
    side = pair.sides[which]
    connection = side.connection
    if what == "carry":
        pair.carry(side, argument)
    elif what == "send" and connection.state is State.OPEN:
        connection.send_message(bytes(argument), True)
    elif what == "ping":
        connection.send_ping(bytes(argument))
    elif what == "close" and connection.state is not State.CONNECTING:
        connection.close(argument, None, pair.now)
    elif what == "fail":
        connection.fail(argument, "internal error", pair.now)
    elif what == "drop":
        connection.drop(pair.now, abort=argument)
    elif what == "busy":
        side.handler.is_slow = argument
        if not argument:
            side.resume()
    elif what in ("wait", "stall"):
        pair.advance(argument, carries=what == "wait")
    elif what == "noise" and not pair.is_cut:
        side.outgoing += argument
    elif what == "cut":
        pair.cut()
    side.settle()


class TestPairs:
    @settings(thorough, max_examples=600)
    @given(st.lists(ACTIONS, max_size=40), st.sampled_from([1, 500, 1 << 40]), st.booleans())
    def test_every_connection_is_closed_once_and_in_time(
        self, actions: list[tuple[str, bool, Any]], high_water: int, drops: bool
    ) -> None:
        options = Options(fail_by_drop=drops, read_ahead=500, write_high_water=500, max_send_queue=20_000)
        pair = Pair(options, options, high_water=high_water)
        for action in actions:
            act(pair, action)
        for side in pair.sides:
            side.handler.is_slow = False
            side.resume()
        pair.cut()
        pair.advance(5 + 20 + 20 + 5 + 5, carries=False)
        for side in pair.sides:
            assert side.connection.state is State.CLOSED
            assert side.closed[1] is not None or side.closed[0]
            assert side.connection.next_deadline() is None
            assert side.connection.buffered == 0
            names = [event[0] for event in side.handler.events]
            if "message" in names:
                assert names.index("open") < names.index("message")

    @settings(thorough, max_examples=500)
    @given(
        st.lists(st.one_of(CARRYING, BUSY, WAITING), max_size=40),
        st.lists(st.integers(0, 3000), min_size=1, max_size=20),
        st.booleans(),
    )
    def test_pausing_and_resuming_changes_nothing_but_the_time(
        self, actions: list[tuple[str, bool, Any]], sent: list[int], which: bool
    ) -> None:
        # Without keepalive: a handler that is busy for long enough looks like a dead peer.
        options = Options(read_ahead=500, write_high_water=500, auto_ping_interval=0)
        pair = Pair(options, options, high_water=500)
        pair.run()
        sender = pair.sides[which]
        receiver = pair.other(sender)
        for action, size in itertools.zip_longest(actions, sent):
            if size is not None:
                sender.connection.send_message(bytes(size), True)
                sender.settle()
            if action is not None:
                act(pair, action)
        while len(receiver.messages) < len(sent):
            before = len(receiver.messages), len(receiver.outgoing), len(sender.outgoing), sender.connection.output.size
            for side in pair.sides:
                side.handler.is_slow = False
                side.resume()
            pair.run()
            after = len(receiver.messages), len(receiver.outgoing), len(sender.outgoing), sender.connection.output.size
            assert before != after, "nothing moves any more"
        assert [len(message) for message in receiver.messages] == sent
        for side in pair.sides:
            side.resume()
        sender.connection.close(1000, None, pair.now)
        sender.settle()
        pair.run()
        assert pair.client.closed == pair.server.closed == (True, 1000, None)


def test_the_close_frame_is_the_last_frame() -> None:
    side = opened()
    side.connection.close(1000, None, 0)
    side.connection.send_ping(b"late")
    side.settle()
    assert [each.opcode for each in side.sent()] == [CLOSE]
