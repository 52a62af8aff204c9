"""Prepared messages: one frame for many connections, also where each compresses (RFC 7692, section 7.2.1)."""

from __future__ import annotations

import re
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate as OtherDeflate
from websockets.frames import Frame as OtherFrame
from websockets.frames import Opcode

from autobahnlike.exception import Disconnected, InvalidArgument, PayloadExceededError
from autobahnlike.websocket.compress import (
    PERMESSAGE_COMPRESSION_EXTENSION,
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahnlike.websocket.prepared import PreparedMessage
from tests.websocket.ends import End, NotingClient, answer_to
from tests.wire.helpers import BINARY, REQUEST, TEXT, Frame, parse_frames

WORDS = b"a message in which not much is new: not much is new in a message. "

NO_TAKEOVER = "server_no_context_takeover"


def open_with(end: End, parameters: str = "") -> str:
    """Open a server's end with compression, and return what it answers."""
    offer = f"Sec-WebSocket-Extensions: permessage-deflate{parameters}\r\n\r\n".encode()
    end.connect()
    end.receive(REQUEST.removesuffix(b"\r\n") + offer)
    found = re.search(r"Sec-WebSocket-Extensions: (.*)\r\n", end.take().decode())
    assert found is not None
    return found[1]


class ByHand:
    """A client that inflates with zlib, and with websockets, exactly as was agreed on."""

    def __init__(self, answer: str) -> None:
        bits = re.search(r"server_max_window_bits=(\d+)", answer)
        self.bits = int(bits[1]) if bits else 15
        self.takeover = NO_TAKEOVER not in answer
        self.inflate = zlib.decompressobj(-self.bits)
        self.other = OtherDeflate(not self.takeover, True, self.bits, 15)

    def read(self, frame: Frame) -> bytes:
        if not frame.rsv:
            return frame.payload
        other = self.other.decode(OtherFrame(Opcode(frame.opcode), frame.payload, rsv1=True), max_size=None)
        payload = self.inflate.decompress(frame.payload + b"\x00\x00\xff\xff")
        assert bytes(other.data) == payload
        if not self.takeover:
            self.inflate = zlib.decompressobj(-self.bits)
        return payload


def compressions(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Note what is compressed from now on."""
    seen: list[bytes] = []
    compress = PerMessageDeflate.compress

    def noting(self: PerMessageDeflate, data: bytes, final: bool) -> bytes:
        seen.append(bytes(data))
        return compress(self, data, final)

    monkeypatch.setattr(PerMessageDeflate, "compress", noting)
    return seen


def test_a_frame_is_compressed_once_for_all_that_compress_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [End(), End(), End(), End()]
    peers = [ByHand(open_with(end, more)) for end, more in zip(ends, ["", "; " + NO_TAKEOVER, "", ""], strict=True)]
    small = End()
    peers.append(ByHand(open_with(small, "; server_max_window_bits=9")))
    seen = compressions(monkeypatch)
    prepared = PreparedMessage(WORDS)
    frames = []
    for end, peer in zip([*ends, small], peers, strict=True):
        end.protocol.sendPreparedMessage(prepared)
        frames.append(end.take())
        assert [peer.read(frame) for frame in parse_frames(frames[-1])] == [WORDS]
    assert seen == [WORDS, WORDS]
    assert len(set(frames[:4])) == 1
    assert len(frames[0]) < len(WORDS)


def test_what_is_sent_before_and_behind_it_is_still_understood() -> None:
    end, other = End(), End()
    peer = ByHand(open_with(end))
    open_with(other)
    prepared = PreparedMessage(WORDS[::-1])
    other.protocol.sendPreparedMessage(prepared)
    for _ in range(2):
        end.protocol.sendMessage(WORDS)
        end.protocol.sendPreparedMessage(prepared)
        end.protocol.sendPreparedMessage(prepared)
        end.protocol.sendMessage(WORDS)
    read = [peer.read(frame) for frame in end.sent()]
    assert read == [WORDS, prepared.payload, prepared.payload, WORDS] * 2


def test_without_compression_it_leaves_what_the_compressor_knows() -> None:
    end = End()
    peer = ByHand(open_with(end))
    sizes = []
    for _ in range(2):
        end.protocol.sendMessage(WORDS)
        end.protocol.sendPreparedMessage(PreparedMessage(WORDS, doNotCompress=True))
        compressed, plain = end.sent()
        assert (plain.rsv, plain.payload) == (0, WORDS)
        assert peer.read(compressed) == WORDS
        sizes.append(len(compressed.payload))
    assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize("options", [{"maskServerFrames": True}, {"autoFragmentSize": 10}])
def test_where_a_frame_of_its_own_is_needed_it_is_sent_as_a_message(options: dict[str, Any]) -> None:
    end = End(**options)
    peer = ByHand(open_with(end))
    prepared = PreparedMessage(WORDS, True)
    for _ in range(2):
        end.protocol.sendPreparedMessage(prepared)
        frames = end.sent()
        whole = Frame(BINARY, b"".join(frame.payload for frame in frames), True, frames[0].rsv, False)
        assert peer.read(whole) == WORDS


def test_a_client_sends_it_masked_and_compressed() -> None:
    end = End(NotingClient).connect()
    request = end.take()
    end.receive(answer_to(request, "Sec-WebSocket-Extensions: permessage-deflate\r\n"))
    prepared = PreparedMessage(WORDS, True)
    inflate = zlib.decompressobj(-15)
    for _ in range(2):
        end.protocol.sendPreparedMessage(prepared)
        [frame] = end.sent()
        assert (frame.opcode, frame.rsv, frame.masked) == (BINARY, 4, True)
        assert inflate.decompress(frame.payload + b"\x00\x00\xff\xff") == WORDS


class Peculiar(PerMessageDeflate):
    """An extension that compresses in its own way, and does not say that others may share it."""


def test_an_extension_that_does_not_share_compresses_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    known = PERMESSAGE_COMPRESSION_EXTENSION["permessage-deflate"]
    monkeypatch.setitem(PERMESSAGE_COMPRESSION_EXTENSION, "permessage-deflate", known | {"PMCE": Peculiar})
    seen = compressions(monkeypatch)
    prepared = PreparedMessage(WORDS)
    for end in (End(), End()):
        peer = ByHand(open_with(end))
        end.protocol.sendPreparedMessage(prepared)
        [frame] = end.sent()
        assert peer.read(frame) == WORDS
    assert seen == [WORDS, WORDS]


def test_it_is_counted_by_what_went_over_the_wire() -> None:
    end = End()
    open_with(end)
    end.protocol.sendPreparedMessage(PreparedMessage(WORDS))
    end.protocol.sendPreparedMessage(PreparedMessage(bytes(1000), doNotCompress=True))
    end.protocol.sendPreparedMessage(PreparedMessage(bytes(70000), doNotCompress=True))
    sent = sum(len(frame.payload) for frame in end.sent())
    stats = end.protocol.trafficStats
    assert stats.outgoingOctetsWebSocketLevel == sent < len(WORDS) + 71000
    assert stats.outgoingOctetsAppLevel == len(WORDS) + 71000
    assert (stats.outgoingWebSocketFrames, stats.outgoingWebSocketMessages) == (3, 3)


@pytest.mark.parametrize("message", [b"bytes", None, "text", object()])
def test_something_else_is_refused(message: Any) -> None:
    with pytest.raises(InvalidArgument, match="prepareMessage"):
        End().open().protocol.sendPreparedMessage(message)


@pytest.mark.parametrize(
    ("payload", "hint"), [("text", "encode it"), (5, "not int"), (None, "not NoneType"), ([1], "not list")]
)
def test_the_payload_is_judged_as_that_of_a_message(payload: Any, hint: str) -> None:
    end = End().open()
    for send in (end.factory.prepareMessage, end.protocol.sendMessage, end.factory.broadcast):
        with pytest.raises(InvalidArgument, match=hint):
            send(payload)


def test_the_limit_holds_before_compression() -> None:
    end = End(maxMessagePayloadSize=100)
    open_with(end)
    with pytest.raises(PayloadExceededError, match="101 bytes"):
        end.protocol.sendPreparedMessage(PreparedMessage(bytes(101)))
    end.protocol.sendPreparedMessage(PreparedMessage(bytes(100)))
    assert len(end.sent()) == 1


def test_a_connection_that_is_gone_says_so() -> None:
    end = End()
    open_with(end)
    end.session.connection_lost()
    with pytest.raises(Disconnected):
        end.protocol.sendPreparedMessage(PreparedMessage(WORDS))


def accept_as(window_bits: int, mem_level: int, takeover: bool) -> Any:
    """Give a ``perMessageCompressionAccept`` that goes to the limits of the first offer."""

    def accept(offers: list[PerMessageDeflateOffer]) -> PerMessageDeflateOfferAccept:
        return PerMessageDeflateOfferAccept(
            offers[0],
            no_context_takeover=None if takeover else True,
            window_bits=min(window_bits, offers[0].request_max_window_bits or 15),
            mem_level=mem_level,
        )

    return accept


PAYLOADS = st.binary(max_size=60) | st.sampled_from([WORDS, WORDS * 20, WORDS[7:] * 3, bytes(5000), b""])
CONNECTIONS = st.tuples(
    st.integers(8, 15),  # the window that the client allows
    st.integers(8, 15),  # what the server wants
    st.sampled_from([1, 8]),
    st.booleans(),
)


@given(
    st.lists(CONNECTIONS, min_size=1, max_size=3),
    st.lists(PAYLOADS, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from("mpmpbi")), min_size=15, max_size=25),
)
def test_any_interleaving_over_any_connections(
    connections: list[tuple[int, int, int, bool]], payloads: list[bytes], steps: list[tuple[int, int, str]]
) -> None:
    first = End()
    ends, peers = [], []
    for allowed, wanted, mem_level, takeover in connections:
        end = End()
        end.protocol.factory = end.factory = first.factory
        first.factory.setProtocolOptions(perMessageCompressionAccept=accept_as(wanted, mem_level, takeover))
        peers.append(ByHand(open_with(end, f"; server_max_window_bits={allowed}")))
        ends.append(end)
    expected: list[list[bytes]] = [[] for _ in ends]
    prepared = [PreparedMessage(payload, True) for payload in payloads]
    for number, chosen, what in steps:
        index = number % len(ends)
        message = prepared[chosen % len(prepared)]
        if what == "m":
            ends[index].protocol.sendMessage(message.payload, True)
        elif what == "p":
            ends[index].protocol.sendPreparedMessage(message)
        elif what == "b":
            assert first.factory.broadcast(message.payload, True, exclude=[ends[index].protocol]) == len(ends) - 1
        else:
            ends[index].session.connection.codec.idle()
        for other, sent in enumerate(expected):
            if what != "i" and (other == index) == (what != "b"):
                sent.append(message.payload)
    for end, peer, sent in zip(ends, peers, expected, strict=True):
        assert [peer.read(frame) for frame in end.sent()] == sent


@given(
    st.integers(8, 15),
    st.booleans(),
    st.lists(st.tuples(PAYLOADS, st.booleans()), max_size=10),
)
def test_any_interleaving_from_a_client(bits: int, takeover: bool, messages: list[tuple[bytes, bool]]) -> None:
    def accept(response: PerMessageDeflateResponse) -> PerMessageDeflateResponseAccept:
        return PerMessageDeflateResponseAccept(response, no_context_takeover=not takeover, window_bits=bits)

    end = End(NotingClient, perMessageCompressionAccept=accept, maskClientFrames=False).connect()
    agreed = f"client_max_window_bits={bits}" + "; client_no_context_takeover" * (not takeover)
    end.receive(answer_to(end.take(), f"Sec-WebSocket-Extensions: permessage-deflate; {agreed}\r\n"))
    peer = ByHand(agreed.replace("client", "server"))
    for payload, is_prepared in messages:
        if is_prepared:
            end.protocol.sendPreparedMessage(PreparedMessage(payload))
        else:
            end.protocol.sendMessage(payload)
    frames = end.sent()
    assert {frame.opcode for frame in frames} <= {TEXT}
    assert [peer.read(frame) for frame in frames] == [payload for payload, _ in messages]
