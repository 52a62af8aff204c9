"""Tests of permessage-deflate (RFC 7692, section 7)."""

from __future__ import annotations

import contextlib
import tracemalloc
import zlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobahnlike.exception import InvalidArgument, InvalidResponse, MessageTooBig, PayloadCorruptError
from autobahnlike.wire.deflate import (
    Codec,
    Deflate,
    DeflateOffer,
    DeflateParams,
    DeflateResponse,
    accept_offer,
    check_response,
    first_offer,
)

PLAIN = DeflateParams()
MEBIBYTE = 1024 * 1024
# Section 7.2.3.4: "Hello" in a block with BFINAL set, and the octet that makes room for the tail.
FINAL_HELLO = bytes.fromhex("f348cdc9c90700")

JSON = b'{"type": "update", "items": [{"id": 12345, "name": "alpha"}, {"id": 67890, "name": "beta"}]}'


def make_pair(params: DeflateParams = PLAIN, **kwargs: int) -> tuple[Deflate, Deflate]:
    """Make the server's and the client's codec of one connection."""
    return Deflate(params, is_server=True, **kwargs), Deflate(params, is_server=False, **kwargs)


def inflate_with_window(data: bytes, bits: int) -> bytes:
    """Inflate a message with a window of no more than so many bits.

    Octet by octet, because zlib's own output, where it is still at hand, would serve it as a larger window.
    """
    inflater = zlib.decompressobj(-bits)
    out = b""
    data += b"\x00\x00\xff\xff"
    while data:
        out += inflater.decompress(data, 1)
        data = inflater.unconsumed_tail
    return out


class TestOffers:
    @pytest.mark.parametrize(
        ("params", "offer"),
        [
            ([], DeflateOffer()),
            ([("server_no_context_takeover", None)], DeflateOffer(server_no_context_takeover=True)),
            ([("client_no_context_takeover", None)], DeflateOffer(client_no_context_takeover=True)),
            ([("client_max_window_bits", None)], DeflateOffer(client_max_window_bits=15)),
            ([("client_max_window_bits", "9")], DeflateOffer(client_max_window_bits=9)),
            ([("server_max_window_bits", "8")], DeflateOffer(server_max_window_bits=8)),
            (
                [
                    ("server_max_window_bits", "15"),
                    ("client_max_window_bits", "8"),
                    ("server_no_context_takeover", None),
                ],
                DeflateOffer(True, False, 15, 8),
            ),
        ],
    )
    def test_valid(self, params: list[tuple[str, str | None]], offer: DeflateOffer) -> None:
        assert DeflateOffer.parse(params) == offer

    @pytest.mark.parametrize("name", ["server_max_window_bits", "client_max_window_bits"])
    @pytest.mark.parametrize("value", ["7", "16", "0", "-9", "abc", "", "08", "010", "9.0", "1_0", "+9", " 9", "٩"])
    def test_window_bits_out_of_range(self, name: str, value: str) -> None:
        with pytest.raises(ValueError, match=name):
            DeflateOffer.parse([(name, value)])
        with pytest.raises(ValueError, match=name):
            DeflateResponse.parse([(name, value)])

    @pytest.mark.parametrize(
        "params",
        [
            [("server_max_window_bits", None)],
            [("server_no_context_takeover", "1")],
            [("client_no_context_takeover", "")],
            [("bogus", None)],
            [("Server_No_Context_Takeover", None)],
            [("server_no_context_takeover", None), ("server_no_context_takeover", None)],
            [("client_max_window_bits", "10"), ("client_max_window_bits", "10")],
            [("client_max_window_bits", None), ("client_max_window_bits", "10")],
        ],
    )
    def test_invalid(self, params: list[tuple[str, str | None]]) -> None:
        with pytest.raises(ValueError, match="permessage-deflate"):
            DeflateOffer.parse(params)
        with pytest.raises(ValueError, match="permessage-deflate"):
            DeflateResponse.parse(params)

    @pytest.mark.parametrize(
        ("offer", "text"),
        [
            (DeflateOffer(), "permessage-deflate"),
            (
                DeflateOffer(client_no_context_takeover=True, client_max_window_bits=15),
                "permessage-deflate; client_no_context_takeover; client_max_window_bits",
            ),
            (
                DeflateOffer(True, False, 15, 10),
                "permessage-deflate; client_max_window_bits=10; server_no_context_takeover; server_max_window_bits=15",
            ),
        ],
    )
    def test_format(self, offer: DeflateOffer, text: str) -> None:
        assert offer.format() == text

    @pytest.mark.parametrize("bits", [0, 7, 16, -8])
    def test_windows_the_application_may_not_ask_for(self, bits: int) -> None:
        for kind in (DeflateOffer, DeflateResponse, DeflateParams):
            with pytest.raises(InvalidArgument, match="server_max_window_bits"):
                kind(server_max_window_bits=bits)
            with pytest.raises(InvalidArgument, match="client_max_window_bits"):
                kind(client_max_window_bits=bits)


class TestResponses:
    def test_parse(self) -> None:
        params = [
            ("client_max_window_bits", "10"),
            ("server_max_window_bits", "8"),
            ("server_no_context_takeover", None),
            ("client_no_context_takeover", None),
        ]
        assert DeflateResponse.parse(params) == DeflateResponse(True, True, 8, 10)

    def test_client_max_window_bits_needs_a_value(self) -> None:
        with pytest.raises(ValueError, match="client_max_window_bits"):
            DeflateResponse.parse([("client_max_window_bits", None)])

    @pytest.mark.parametrize(
        ("response", "text"),
        [
            (DeflateResponse(), "permessage-deflate"),
            (DeflateResponse(False, True), "permessage-deflate; client_no_context_takeover"),
            (
                DeflateResponse(True, False, 9, 15),
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=15",
            ),
        ],
    )
    def test_format(self, response: DeflateResponse, text: str) -> None:
        assert response.format() == text

    def test_parameters_left_out_mean_the_largest_window(self) -> None:
        assert DeflateResponse().params() == DeflateParams(False, False, 15, 15)
        assert DeflateResponse(True, True, 8, 9).params() == DeflateParams(True, True, 8, 9)


class TestAcceptingOffers:
    @pytest.mark.parametrize(
        ("offer", "text"),
        [
            # The server may limit its own window unasked, but the client's only if it was offered.
            ("", "server_max_window_bits=11"),
            ("client_max_window_bits", "server_max_window_bits=11; client_max_window_bits=11"),
            ("client_max_window_bits=15", "server_max_window_bits=11; client_max_window_bits=11"),
            ("client_max_window_bits=13", "server_max_window_bits=11; client_max_window_bits=11"),
            ("client_max_window_bits=9", "server_max_window_bits=11; client_max_window_bits=9"),
            ("client_max_window_bits=8", "server_max_window_bits=11; client_max_window_bits=8"),
            ("server_max_window_bits=15", "server_max_window_bits=11"),
            ("server_max_window_bits=10", "server_max_window_bits=10"),
            ("server_max_window_bits=8", "server_max_window_bits=8"),
            ("server_no_context_takeover", "server_no_context_takeover; server_max_window_bits=11"),
            ("client_no_context_takeover", "server_max_window_bits=11"),
        ],
    )
    def test_default_answer(self, offer: str, text: str) -> None:
        params = [(name, value or None) for name, _, value in [offer.partition("=")]] if offer else []
        assert accept_offer(DeflateOffer.parse(params)).format() == f"permessage-deflate; {text}"

    def test_largest_windows(self) -> None:
        bare = accept_offer(DeflateOffer(client_max_window_bits=15), window_bits=15, request_window_bits=15)
        assert bare == DeflateResponse()
        asked = accept_offer(DeflateOffer(server_max_window_bits=15), window_bits=15)
        assert asked == DeflateResponse(server_max_window_bits=15)

    def test_context_takeover_can_be_refused_unasked(self) -> None:
        response = accept_offer(DeflateOffer(), no_context_takeover=True, request_no_context_takeover=True)
        assert response.server_no_context_takeover
        assert response.client_no_context_takeover

    def test_the_first_valid_offer_is_taken(self) -> None:
        bad: list[tuple[str, str | None]] = [("server_max_window_bits", "7")]
        good: list[tuple[str, str | None]] = [("server_max_window_bits", "10")]
        assert first_offer([bad, good, []]) == DeflateOffer(server_max_window_bits=10)
        assert first_offer([bad, [("bogus", None)]]) is None
        assert first_offer([]) is None


class TestCheckingResponses:
    @pytest.mark.parametrize(
        ("offer", "response", "params"),
        [
            (DeflateOffer(), DeflateResponse(), DeflateParams()),
            (DeflateOffer(), DeflateResponse(True, True, 9), DeflateParams(True, True, 9)),
            (DeflateOffer(True), DeflateResponse(True), DeflateParams(True)),
            (DeflateOffer(False, True), DeflateResponse(), DeflateParams()),
            (DeflateOffer(False, False, 12), DeflateResponse(False, False, 12), DeflateParams(False, False, 12)),
            (DeflateOffer(False, False, 12), DeflateResponse(False, False, 8), DeflateParams(False, False, 8)),
            (DeflateOffer(False, False, None, 15), DeflateResponse(), DeflateParams()),
            (
                DeflateOffer(False, False, None, 15),
                DeflateResponse(False, False, None, 8),
                DeflateParams(False, False, 15, 8),
            ),
            # The hint in the offer binds the client, also unanswered.
            (DeflateOffer(False, False, None, 10), DeflateResponse(), DeflateParams(False, False, 15, 10)),
        ],
    )
    def test_allowed(self, offer: DeflateOffer, response: DeflateResponse, params: DeflateParams) -> None:
        assert check_response(offer, response) == params

    @pytest.mark.parametrize(
        ("offer", "response", "name"),
        [
            (DeflateOffer(True), DeflateResponse(), "server_no_context_takeover"),
            (DeflateOffer(False, False, 12), DeflateResponse(), "server_max_window_bits"),
            (DeflateOffer(False, False, 12), DeflateResponse(False, False, 13), "server_max_window_bits"),
            (DeflateOffer(False, False, 15), DeflateResponse(), "server_max_window_bits"),
            (DeflateOffer(), DeflateResponse(False, False, None, 12), "client_max_window_bits"),
            (DeflateOffer(), DeflateResponse(False, False, None, 15), "client_max_window_bits"),
            (DeflateOffer(False, False, None, 10), DeflateResponse(False, False, None, 11), "client_max_window_bits"),
        ],
    )
    def test_not_allowed(self, offer: DeflateOffer, response: DeflateResponse, name: str) -> None:
        with pytest.raises(InvalidResponse, match=name):
            check_response(offer, response)

    @given(st.booleans(), st.booleans(), st.none() | st.integers(8, 15), st.none() | st.integers(8, 15))
    def test_every_answer_to_an_offer_is_allowed(
        self, server_nct: bool, client_nct: bool, server_bits: int | None, client_bits: int | None
    ) -> None:
        offer = DeflateOffer(server_nct, client_nct, server_bits, client_bits)
        for bits in range(8, 16):
            response = accept_offer(offer, window_bits=bits, request_window_bits=bits)
            params = check_response(offer, response)
            assert params.server_max_window_bits == response.params().server_max_window_bits
            assert params.client_max_window_bits <= response.params().client_max_window_bits


class TestCompressing:
    def test_the_example_of_the_rfc(self) -> None:
        """Section 7.2.3.2: the second "Hello" refers to the first."""
        server, _ = make_pair()
        assert server.compress(b"Hello", True) == bytes.fromhex("f248cdc9c90700")
        assert server.compress(b"Hello", True) == bytes.fromhex("f200110000")

    def test_without_context_takeover_messages_stand_alone(self) -> None:
        server, client = make_pair(DeflateParams(True, True))
        for codec in (server, client):
            assert codec.compress(JSON, True) == codec.compress(JSON, True)

    def test_each_direction_has_its_own_takeover(self) -> None:
        server, client = make_pair(DeflateParams(server_no_context_takeover=True))
        assert server.compress(JSON, True) == server.compress(JSON, True)
        assert client.compress(JSON, True) != client.compress(JSON, True)

    @pytest.mark.parametrize("params", [PLAIN, DeflateParams(True, True)])
    def test_an_empty_message_is_one_octet(self, params: DeflateParams) -> None:
        server, client = make_pair(params)
        for data in (b"", b"a", b"", b"", b"b"):
            compressed = server.compress(data, True)
            assert data or compressed == b"\x00"
            assert client.decompress(compressed, True, 1) == data

    def test_the_tail_is_removed_also_from_pieces(self) -> None:
        server, client = make_pair()
        pieces = [server.compress(JSON, False), server.compress(b"", False), server.compress(b"", True)]
        compressed = b"".join(pieces)
        assert not compressed.endswith(b"\x00\x00\xff\xff")
        assert client.decompress(compressed, True, 0) == JSON

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_takes_any_buffer(self, kind: type) -> None:
        server, client = make_pair()
        assert client.decompress(kind(server.compress(kind(JSON), True)), True, 0) == JSON

    def test_levels(self) -> None:
        sizes = []
        for level in (0, 1, 9):
            server, client = make_pair(level=level)
            compressed = server.compress(JSON * 100, True)
            assert client.decompress(compressed, True, 0) == JSON * 100
            sizes.append(len(compressed))
        assert sizes[0] > len(JSON) * 100 > sizes[1] > sizes[2]

    @pytest.mark.parametrize(
        "kwargs",
        [{"level": -2}, {"level": 10}, {"mem_level": 0}, {"mem_level": 10}, {"window_bits": 7}, {"window_bits": 16}],
    )
    def test_settings_out_of_range(self, kwargs: dict[str, int]) -> None:
        with pytest.raises(InvalidArgument, match=next(iter(kwargs))):
            Deflate(PLAIN, is_server=True, **kwargs)


class TestWindows:
    # Repeats at every distance, so that a compressor uses all of its window.
    DATA = b"".join(bytes(range(256)) + b"%d" % (number % 97) * 40 for number in range(300))

    @pytest.mark.parametrize("bits", range(8, 16))
    @pytest.mark.parametrize("is_server", [True, False])
    def test_the_agreed_window_suffices_to_inflate(self, bits: int, is_server: bool) -> None:
        params = DeflateParams(server_max_window_bits=bits, client_max_window_bits=bits)
        codec = Deflate(params, is_server=is_server, window_bits=15)
        compressed = codec.compress(self.DATA, True)
        assert inflate_with_window(compressed, bits) == self.DATA
        assert len(compressed) < len(self.DATA)

    def test_the_check_sees_a_window_that_is_too_large(self) -> None:
        compressed = Deflate(PLAIN, is_server=True, window_bits=15).compress(self.DATA, True)
        with pytest.raises(zlib.error):
            inflate_with_window(compressed, 8)

    @pytest.mark.parametrize("bits", range(8, 16))
    def test_round_trip_both_ways(self, bits: int) -> None:
        params = DeflateParams(server_max_window_bits=bits, client_max_window_bits=23 - bits)
        server, client = make_pair(params, window_bits=15)
        for _ in range(3):
            assert client.decompress(server.compress(self.DATA, True), True, 0) == self.DATA
            assert server.decompress(client.compress(self.DATA, True), True, 0) == self.DATA

    @pytest.mark.parametrize("is_server", [True, False])
    def test_a_smaller_window_can_be_used_than_agreed(self, is_server: bool) -> None:
        compressed = Deflate(PLAIN, is_server=is_server, window_bits=9).compress(self.DATA, True)
        assert inflate_with_window(compressed, 9) == self.DATA

    def test_the_default_window_is_small(self) -> None:
        compressed = Deflate(PLAIN, is_server=True).compress(self.DATA, True)
        assert inflate_with_window(compressed, 11) == self.DATA

    @pytest.mark.parametrize("bits", range(8, 16))
    @pytest.mark.parametrize("size", [1, 7, 100, 300, 3000, 40000])
    def test_messages_refer_to_earlier_ones(self, bits: int, size: int) -> None:
        """As far back as the agreed window reaches, whatever is kept of it in between."""
        server = Deflate(DeflateParams(server_max_window_bits=bits), is_server=True, window_bits=15)
        client = Deflate(DeflateParams(server_max_window_bits=bits), is_server=False)
        random = Random(size)
        block = random.randbytes(max(200, size))
        for _ in range(40):
            start = random.randrange(len(block) - size + 1)
            data = block[start : start + size]
            compressed = server.compress(data, True)
            half = random.randrange(len(compressed))
            out = client.decompress(compressed[:half], False, 0)
            assert out + client.decompress(compressed[half:], True, 0) == data


class TestInflating:
    def test_examples_of_the_rfc(self) -> None:
        """Section 7.2.3: fragments, context takeover, no compression, a final block, two blocks."""
        codec = Deflate(PLAIN, is_server=True)
        assert codec.decompress(bytes.fromhex("f248cd"), False, 0) + codec.decompress(
            bytes.fromhex("c9c90700"), True, 0
        )
        assert codec.decompress(bytes.fromhex("f200110000"), True, 0) == b"Hello"
        assert codec.decompress(bytes.fromhex("000500faff48656c6c6f00"), True, 0) == b"Hello"
        assert codec.decompress(bytes.fromhex("f348cdc9c9070000"), True, 0) == b"Hello"
        assert codec.decompress(bytes.fromhex("f248050000 00ffffcac9c90700"), True, 0) == b"Hello"

    @pytest.mark.parametrize("params", [PLAIN, DeflateParams(True, True)])
    def test_messages_without_any_octet(self, params: DeflateParams) -> None:
        server, client = make_pair(params)
        for data in (b"first", b"second"):
            assert client.decompress(b"", True, 0) == b""
            assert client.decompress(b"", False, -1) == b""
            assert client.decompress(b"", True, -1) == b""
            assert client.decompress(server.compress(data, True), True, 0) == data

    def test_empty_fragments(self) -> None:
        server, client = make_pair()
        for data in (b"first", b"second"):
            compressed = server.compress(data, True)
            out = client.decompress(b"", False, 0)
            for octet in compressed:
                out += client.decompress(bytes((octet,)), False, 0) + client.decompress(b"", False, 0)
            assert out + client.decompress(b"", True, 0) == data

    @pytest.mark.parametrize(
        "data", [b"\xff\xff\xff", b"\x07", b"\x06\xff", b"\x00\x05\x00\x05\x00abcde", b"not deflate"]
    )
    def test_corrupt(self, data: bytes) -> None:
        with pytest.raises(PayloadCorruptError) as info:
            Deflate(PLAIN, is_server=True).decompress(data + b"\x00" * 8, True, 0)
        assert info.value.close_code == 1007

    def test_a_reference_to_what_was_never_sent(self) -> None:
        """What a message compressed with context takeover is to a peer that has agreed on none."""
        server, _ = make_pair()
        server.compress(JSON, True)
        with pytest.raises(PayloadCorruptError):
            Deflate(DeflateParams(True, True), is_server=False).decompress(server.compress(JSON, True), True, 0)


class TestFinalBlocks:
    """Section 7.2.3.4: blocks with BFINAL set."""

    @pytest.mark.parametrize("params", [PLAIN, DeflateParams(True, True)])
    def test_a_message_may_end_with_one(self, params: DeflateParams) -> None:
        server, client = make_pair(params)
        for _ in range(3):
            assert client.decompress(FINAL_HELLO + b"\x00", True, 5) == b"Hello"
            assert client.decompress(server.compress(b"x", True), True, 1) == b"x"
            server.idle()

    def test_nothing_refers_to_what_was_before_it(self) -> None:
        """It ends a stream, and with it goes the window."""
        server, client = make_pair()
        client.decompress(server.compress(JSON, True), True, 0)
        reference = server.compress(JSON, True)
        client.decompress(FINAL_HELLO + b"\x00", True, 5)
        with pytest.raises(PayloadCorruptError):
            client.decompress(reference, True, 0)

    def test_messages_behind_it_refer_to_each_other(self) -> None:
        server, client = make_pair()
        client.decompress(FINAL_HELLO + b"\x00", True, 5)
        for _ in range(3):
            assert client.decompress(server.compress(JSON, True), True, 0) == JSON

    def test_the_octet_behind_it_may_be_missing(self) -> None:
        client = Deflate(PLAIN, is_server=False)
        assert client.decompress(FINAL_HELLO, True, 5) == b"Hello"
        assert client.decompress(FINAL_HELLO, False, 5) == b"Hello"
        assert client.decompress(b"", True, -1) == b""
        assert client.decompress(bytes.fromhex("f248cdc9c90700"), True, 5) == b"Hello"

    def test_the_rest_may_come_in_the_next_fragment(self) -> None:
        client = Deflate(PLAIN, is_server=False)
        assert client.decompress(FINAL_HELLO, False, 0) == b"Hello"
        assert client.decompress(b"\x00", True, -1) == b""
        assert client.decompress(FINAL_HELLO + FINAL_HELLO[:3], False, 0) == b"HelloHe"
        assert client.decompress(FINAL_HELLO[3:] + b"\x00", True, 0) == b"llo"

    @pytest.mark.parametrize("length", [*range(4090, 4102), 20000])
    def test_data_behind_it_is_inflated(self, length: int) -> None:
        """Of any length, so that the pieces in which it is inflated end anywhere."""
        stored = b"\x00" + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little") + b"x" * length
        client = Deflate(PLAIN, is_server=False)
        for _ in range(2):
            message = FINAL_HELLO + FINAL_HELLO + stored + b"\x00"
            assert client.decompress(message, True, 10 + length) == b"HelloHello" + b"x" * length

    @pytest.mark.parametrize("limit", [-1, 1, 4, 5, 9, 10, 14])
    def test_the_limit_holds_over_all_streams(self, limit: int) -> None:
        with pytest.raises(MessageTooBig):
            Deflate(PLAIN, is_server=False).decompress(FINAL_HELLO * 3 + b"\x00", True, limit)
        assert Deflate(PLAIN, is_server=False).decompress(FINAL_HELLO * 3 + b"\x00", True, 15) == b"Hello" * 3

    def test_corrupt_data_behind_it(self) -> None:
        with pytest.raises(PayloadCorruptError):
            Deflate(PLAIN, is_server=False).decompress(FINAL_HELLO + b"\xff\xff\xff", True, 0)

    def test_a_message_of_nothing_else_is_refused(self) -> None:
        client = Deflate(PLAIN, is_server=False)
        for _ in range(2):
            assert client.decompress(b"\x03\x00" * 1000 + b"\x00", True, 0) == b""
        for _ in range(2):
            assert client.decompress(b"\x03\x00" * 1000, False, 0) == b""
            assert client.decompress(b"", True, 0) == b""
        with pytest.raises(PayloadCorruptError, match="final blocks"):
            client.decompress(b"\x03\x00" * MEBIBYTE, True, 0)

    def test_they_are_counted_over_all_fragments(self) -> None:
        client = Deflate(PLAIN, is_server=False)
        assert client.decompress(b"\x03\x00" * 1000, False, 0) == b""
        with pytest.raises(PayloadCorruptError, match="final blocks"):
            client.decompress(b"\x03\x00" * 1000, False, 0)


class TestLimits:
    @pytest.mark.parametrize("size", [1, 2, 5, 100, 16384, 65536, 100000])
    @pytest.mark.parametrize("params", [PLAIN, DeflateParams(True, True)])
    def test_exactly_the_limit_passes_and_one_more_does_not(self, size: int, params: DeflateParams) -> None:
        server, client = make_pair(params)
        data = (JSON * (size // len(JSON) + 1))[:size]
        assert client.decompress(server.compress(data, True), True, size) == data
        compressed = server.compress(data, True)
        assert client.decompress(compressed, True, size) == data
        with pytest.raises(MessageTooBig) as info:
            client.decompress(server.compress(data + b"x", True), True, size)
        assert info.value.close_code == 1009

    def test_zero_is_no_limit(self) -> None:
        server, client = make_pair()
        assert client.decompress(server.compress(bytes(MEBIBYTE), True), True, 0) == bytes(MEBIBYTE)

    def test_a_negative_limit_lets_nothing_pass(self) -> None:
        server, client = make_pair()
        compressed = server.compress(b"a", True)
        assert client.decompress(compressed, False, 1) == b"a"
        assert client.decompress(b"", True, -1) == b""
        with pytest.raises(MessageTooBig):
            client.decompress(server.compress(b"b", True), True, -1)

    def test_a_bomb_stops_at_the_limit_in_bounded_memory(self) -> None:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        block = deflater.compress(bytes(MEBIBYTE)) + deflater.flush(zlib.Z_FULL_FLUSH)
        bomb = block * 960
        assert len(bomb) < MEBIBYTE
        client = Deflate(PLAIN, is_server=False)
        tracemalloc.start()
        try:
            with pytest.raises(MessageTooBig):
                client.decompress(bomb, True, MEBIBYTE)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 6 * MEBIBYTE

    def test_a_bomb_in_fragments(self) -> None:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        fragment = deflater.compress(bytes(MEBIBYTE)) + deflater.flush(zlib.Z_FULL_FLUSH)
        client = Deflate(PLAIN, is_server=False)
        budget = 2 * MEBIBYTE
        for _ in range(2):
            budget -= len(client.decompress(fragment, False, budget))
        assert budget == 0
        with pytest.raises(MessageTooBig):
            client.decompress(fragment, False, -1)


def memory_of_a_server(params: DeflateParams, idle: bool = False) -> float:
    """Give the KiB that a server's codec holds after a message of 1 KiB in each direction."""
    to_server = Deflate(params, is_server=False).compress(JSON * 10, True)
    tracemalloc.start()
    try:
        server = Deflate(params, is_server=True)
        server.decompress(to_server, True, 0)
        server.compress(JSON * 10, True)
        if idle:
            server.idle()
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return current / 1024


class TestMemory:
    DEFAULT = accept_offer(DeflateOffer(client_max_window_bits=15)).params()

    def test_nothing_is_made_before_it_is_needed(self) -> None:
        tracemalloc.start()
        try:
            codec = Deflate(PLAIN, is_server=True)
            current, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert current < 1024
        assert codec.compress(b"", True) == b"\x00"

    def test_the_default_agreement_is_small(self) -> None:
        assert memory_of_a_server(self.DEFAULT) < 26

    def test_without_context_takeover_nothing_stays(self) -> None:
        assert memory_of_a_server(DeflateParams(True, True)) < 2

    def test_idle_frees_the_compressor(self) -> None:
        assert memory_of_a_server(self.DEFAULT, idle=True) < 2

    def test_of_what_was_received_the_window_is_kept(self) -> None:
        assert memory_of_a_server(DeflateParams(client_max_window_bits=9), idle=True) < 1

    def test_a_large_window_is_left_to_the_decompressor(self) -> None:
        server, client = make_pair(window_bits=15)
        random = Random(1)
        messages = [random.randbytes(1024) for _ in range(40)]
        for message in (*messages, *messages[10:]):
            compressed = client.compress(message, True)
            assert server.decompress(compressed, True, 0) == message
        assert len(compressed) < 100


class TestIdle:
    def test_messages_after_it_can_be_read(self) -> None:
        server, client = make_pair()
        for _ in range(3):
            compressed = server.compress(JSON, True)
            assert len(compressed) > 20
            assert client.decompress(compressed, True, 0) == JSON
            server.idle()
            client.idle()

    def test_it_leaves_a_message_that_has_begun_alone(self) -> None:
        server, client = make_pair()
        out = client.decompress(server.compress(JSON, False), False, 0)
        server.idle()
        client.idle()
        out += client.decompress(server.compress(JSON, True), True, 0)
        assert out == JSON + JSON


def cut(data: st.DataObject, message: bytes) -> list[bytes]:
    """Cut a message into pieces, some of them empty; at least one."""
    pieces: list[bytes] = []
    while message and len(pieces) < 8:
        size = data.draw(st.integers(0, len(message)))
        pieces.append(message[:size])
        message = message[size:]
    return [*pieces, message]


@settings(deadline=None)
@given(
    st.booleans(),
    st.booleans(),
    st.integers(8, 15),
    st.integers(8, 15),
    st.integers(8, 15),
    st.lists(st.binary(max_size=40) | st.sampled_from([JSON, JSON * 50, bytes(5000)]), max_size=6),
    st.data(),
)
def test_any_messages_in_any_pieces_with_any_parameters(
    server_nct: bool,
    client_nct: bool,
    server_bits: int,
    client_bits: int,
    window_bits: int,
    messages: list[bytes],
    data: st.DataObject,
) -> None:
    params = DeflateParams(server_nct, client_nct, server_bits, client_bits)
    server: Codec
    client: Codec
    server, client = make_pair(params, window_bits=window_bits)
    for message in messages:
        sender, receiver = data.draw(st.sampled_from([(server, client), (client, server)]))
        pieces = cut(data, message)
        compressed = b"".join(sender.compress(piece, index == len(pieces) - 1) for index, piece in enumerate(pieces))
        fragments = cut(data, compressed)
        received = b""
        for index, fragment in enumerate(fragments):
            budget = len(message) - len(received) or -1
            received += receiver.decompress(fragment, index == len(fragments) - 1, budget)
        assert received == message
        if data.draw(st.booleans()):
            sender.idle()


@given(st.booleans(), st.booleans(), st.none() | st.integers(8, 15), st.none() | st.integers(8, 15))
def test_what_is_formatted_can_be_parsed(
    server_nct: bool, client_nct: bool, server_bits: int | None, client_bits: int | None
) -> None:
    for kind in (DeflateOffer, DeflateResponse):
        element = kind(server_nct, client_nct, server_bits, client_bits)
        name, *params = element.format().split("; ")
        assert name == "permessage-deflate"
        pairs = [(key, value or None) for key, _, value in (param.partition("=") for param in params)]
        assert kind.parse(pairs) == element


@given(st.binary(max_size=200), st.booleans())
def test_garbage_never_raises_anything_else(garbage: bytes, final: bool) -> None:
    codec = Deflate(DeflateParams(client_max_window_bits=9), is_server=True)
    with contextlib.suppress(PayloadCorruptError, MessageTooBig):
        assert len(codec.decompress(garbage, final, 1000)) <= 1000
