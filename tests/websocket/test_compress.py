"""Tests of the compression classes of the public API and of their negotiation (RFC 7692, sections 5 and 7.1)."""

from __future__ import annotations

import copy
import json
import pickle
import zlib
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahnlike.exception import (
    InvalidArgument,
    InvalidResponse,
    MessageTooBig,
    PayloadCorruptError,
    PayloadExceededError,
)
from autobahnlike.websocket import compress, compress_base, compress_deflate
from autobahnlike.websocket.compress import (
    PERMESSAGE_COMPRESSION_EXTENSION,
    PerMessageCompress,
    PerMessageCompressOffer,
    PerMessageCompressOfferAccept,
    PerMessageCompressResponse,
    PerMessageCompressResponseAccept,
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
    default_accept,
    default_offers,
    negotiate_client,
    negotiate_server,
)

NAME = "permessage-deflate"
TEXT = b'{"type": "update", "items": [{"id": 12345, "name": "alpha"}, {"id": 67890, "name": "beta"}]}'


def parse_element(text: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Take an element of Sec-WebSocket-Extensions apart; none if it is empty."""
    if not text:
        return []
    name, *params = text.split("; ")
    return [(name, [(key, value or None) for key, _, value in (param.partition("=") for param in params)])]


def make_pair(**kwargs: Any) -> tuple[PerMessageDeflate, PerMessageDeflate]:
    """Make the server's and the client's codec of one connection."""
    return PerMessageDeflate(True, False, False, 0, 0, None, **kwargs), PerMessageDeflate(
        False, False, False, 0, 0, None
    )


def squeeze(codec: PerMessageCompress, *pieces: bytes) -> bytes:
    """Compress a message with Autobahn's methods."""
    codec.start_compress_message()
    return b"".join(codec.compress_message_data(piece) for piece in pieces) + codec.end_compress_message()


def expand(codec: PerMessageCompress, *pieces: bytes, limit: int | None = None) -> bytes:
    """Inflate a message with Autobahn's methods."""
    codec.start_decompress_message()
    out = b"".join(codec.decompress_message_data(piece, limit) for piece in pieces)
    codec.end_decompress_message()
    return out


class TestNames:
    def test_the_names_of_autobahn(self) -> None:
        for module in (compress, compress_base, compress_deflate):
            assert all(hasattr(module, name) for name in module.__all__)
        assert PerMessageDeflateOffer.WINDOW_SIZE_PERMISSIBLE_VALUES == [9, 10, 11, 12, 13, 14, 15]
        assert PerMessageDeflateOffer.MEM_LEVEL_PERMISSIBLE_VALUES == [1, 2, 3, 4, 5, 6, 7, 8, 9]
        assert PerMessageDeflate.DEFAULT_WINDOW_BITS == zlib.MAX_WBITS

    def test_the_registry(self) -> None:
        classes = PERMESSAGE_COMPRESSION_EXTENSION[NAME]
        bases = {
            "Offer": PerMessageCompressOffer,
            "OfferAccept": PerMessageCompressOfferAccept,
            "Response": PerMessageCompressResponse,
            "ResponseAccept": PerMessageCompressResponseAccept,
            "PMCE": PerMessageCompress,
        }
        assert classes.keys() == bases.keys()
        for key, base in bases.items():
            assert issubclass(classes[key], base)
            assert classes[key].EXTENSION_NAME == NAME


class TestOffer:
    def test_defaults(self) -> None:
        offer = PerMessageDeflateOffer()
        assert offer.get_extension_string() == f"{NAME}; client_no_context_takeover; client_max_window_bits"
        assert offer.__json__() == {
            "extension": NAME,
            "accept_no_context_takeover": True,
            "accept_max_window_bits": True,
            "request_no_context_takeover": False,
            "request_max_window_bits": 0,
        }

    def test_positional_arguments(self) -> None:
        offer = PerMessageDeflateOffer(False, False, True, 9)
        assert offer.get_extension_string() == f"{NAME}; server_no_context_takeover; server_max_window_bits=9"

    def test_attributes_can_be_changed(self) -> None:
        offer = PerMessageDeflateOffer()
        offer.accept_max_window_bits = False
        assert offer.get_extension_string() == f"{NAME}; client_no_context_takeover"

    def test_repr_can_be_evaluated(self) -> None:
        offer = PerMessageDeflateOffer(request_max_window_bits=10)
        assert repr(offer) == (
            "PerMessageDeflateOffer(accept_no_context_takeover = True, accept_max_window_bits = True, "
            "request_no_context_takeover = False, request_max_window_bits = 10)"
        )
        assert eval(repr(offer)).__json__() == offer.__json__()

    def test_copies(self) -> None:
        offer = PerMessageDeflateOffer(request_max_window_bits=10)
        for other in (copy.deepcopy(offer), pickle.loads(pickle.dumps(offer))):
            assert other.__json__() == offer.__json__()

    @pytest.mark.parametrize(
        "kwargs",
        [
            {"accept_no_context_takeover": 1},
            {"accept_max_window_bits": 12},
            {"request_no_context_takeover": None},
            {"request_max_window_bits": 7},
            {"request_max_window_bits": 16},
            {"request_max_window_bits": None},
        ],
    )
    def test_wrong_arguments(self, kwargs: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument, match=next(iter(kwargs))):
            PerMessageDeflateOffer(**kwargs)

    @pytest.mark.parametrize(
        ("params", "fields"),
        [
            ({}, (True, False, False, 0)),
            ({"client_max_window_bits": [True]}, (True, True, False, 0)),
            ({"client_max_window_bits": ["10"]}, (True, True, False, 0)),
            ({"client_no_context_takeover": [True]}, (True, False, False, 0)),
            ({"server_no_context_takeover": [True], "server_max_window_bits": ["9"]}, (True, False, True, 9)),
            ({"server_max_window_bits": ["8"]}, (True, False, False, 8)),
            ([("server_max_window_bits", "8"), ("client_max_window_bits", None)], (True, True, False, 8)),
        ],
    )
    def test_parse(self, params: Any, fields: tuple[bool, bool, bool, int]) -> None:
        assert PerMessageDeflateOffer.parse(params).__json__() == PerMessageDeflateOffer(*fields).__json__()

    @pytest.mark.parametrize(
        "params",
        [
            {"server_max_window_bits": [True]},
            {"server_max_window_bits": ["7"]},
            {"server_max_window_bits": ["abc"]},
            {"server_max_window_bits": ["10", "10"]},
            {"client_max_window_bits": ["16"]},
            {"server_no_context_takeover": ["true"]},
            {"bogus": [True]},
        ],
    )
    def test_parse_refuses(self, params: Any) -> None:
        with pytest.raises(ValueError, match=NAME):
            PerMessageDeflateOffer.parse(params)


class TestOfferAccept:
    @pytest.mark.parametrize(
        ("offer", "kwargs", "text"),
        [
            (PerMessageDeflateOffer(), {}, ""),
            (
                PerMessageDeflateOffer(False, False, True, 15),
                {},
                "; server_no_context_takeover; server_max_window_bits=15",
            ),
            (PerMessageDeflateOffer(), {"request_no_context_takeover": True}, "; client_no_context_takeover"),
            (PerMessageDeflateOffer(), {"request_max_window_bits": 9}, "; client_max_window_bits=9"),
            # What is set for this side is announced.
            (PerMessageDeflateOffer(), {"no_context_takeover": True}, "; server_no_context_takeover"),
            (PerMessageDeflateOffer(), {"window_bits": 9}, "; server_max_window_bits=9"),
            (PerMessageDeflateOffer(False, False, False, 12), {"window_bits": 9}, "; server_max_window_bits=9"),
            (PerMessageDeflateOffer(), {"no_context_takeover": False, "mem_level": 1, "max_message_size": 9}, ""),
        ],
    )
    def test_extension_string(self, offer: PerMessageDeflateOffer, kwargs: dict[str, Any], text: str) -> None:
        assert PerMessageDeflateOfferAccept(offer, **kwargs).get_extension_string() == NAME + text

    @pytest.mark.parametrize(("hint", "answer"), [("9", 9), ("11", 10), (True, 10)])
    def test_the_hint_of_the_client_is_not_exceeded(self, hint: str | bool, answer: int) -> None:
        offer = PerMessageDeflateOffer.parse({"client_max_window_bits": [hint]})
        accept = PerMessageDeflateOfferAccept(offer, request_max_window_bits=10)
        assert accept.get_extension_string() == f"{NAME}; client_max_window_bits={answer}"

    @pytest.mark.parametrize(
        ("fields", "kwargs", "name"),
        [
            ((), {"offer": None}, "offer"),
            ((), {"request_no_context_takeover": 0}, "request_no_context_takeover"),
            ((False,), {"request_no_context_takeover": True}, "request_no_context_takeover"),
            ((), {"request_max_window_bits": 7}, "request_max_window_bits"),
            ((True, False), {"request_max_window_bits": 9}, "request_max_window_bits"),
            ((), {"no_context_takeover": 1}, "no_context_takeover"),
            ((True, True, True), {"no_context_takeover": False}, "no_context_takeover"),
            ((), {"window_bits": 7}, "window_bits"),
            ((), {"window_bits": 0}, "window_bits"),
            ((), {"window_bits": 16}, "window_bits"),
            ((True, True, True, 10), {"window_bits": 11}, "window_bits"),
            ((), {"mem_level": 0}, "mem_level"),
            ((), {"mem_level": 10}, "mem_level"),
            ((), {"max_message_size": -1}, "max_message_size"),
        ],
    )
    def test_wrong_arguments(self, fields: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> None:
        with pytest.raises(InvalidArgument, match=f"^{name}"):
            PerMessageDeflateOfferAccept(**{"offer": PerMessageDeflateOffer(*fields), **kwargs})

    def test_json_and_repr(self) -> None:
        accept = PerMessageDeflateOfferAccept(PerMessageDeflateOffer(), True, 9, True, 10, 4, 1000)
        assert json.loads(json.dumps(accept.__json__())) == {
            "extension": NAME,
            "offer": PerMessageDeflateOffer().__json__(),
            "request_no_context_takeover": True,
            "request_max_window_bits": 9,
            "no_context_takeover": True,
            "window_bits": 10,
            "mem_level": 4,
            "max_message_size": 1000,
        }
        assert eval(repr(accept)).__json__() == accept.__json__()


class TestResponse:
    @pytest.mark.parametrize(
        ("params", "fields"),
        [
            ({}, (0, False, 0, False)),
            (
                {
                    "client_max_window_bits": ["9"],
                    "client_no_context_takeover": [True],
                    "server_max_window_bits": ["8"],
                    "server_no_context_takeover": [True],
                },
                (9, True, 8, True),
            ),
        ],
    )
    def test_parse(self, params: Any, fields: tuple[int, bool, int, bool]) -> None:
        response = PerMessageDeflateResponse.parse(params)
        assert response.__json__() == PerMessageDeflateResponse(*fields).__json__()
        assert eval(repr(response)).__json__() == response.__json__()
        assert list(response.__json__()) == [
            "extension",
            "client_max_window_bits",
            "client_no_context_takeover",
            "server_max_window_bits",
            "server_no_context_takeover",
        ]

    @pytest.mark.parametrize("params", [{"client_max_window_bits": [True]}, {"bogus": ["1"]}])
    def test_parse_refuses(self, params: Any) -> None:
        with pytest.raises(ValueError, match=NAME):
            PerMessageDeflateResponse.parse(params)

    @pytest.mark.parametrize(
        ("fields", "name"), [((7, False, 0, False), "client_max"), ((0, False, 16, False), "server_max")]
    )
    def test_wrong_arguments(self, fields: tuple[int, bool, int, bool], name: str) -> None:
        with pytest.raises(InvalidArgument, match=name):
            PerMessageDeflateResponse(*fields)


class TestResponseAccept:
    def test_json_and_repr(self) -> None:
        accept = PerMessageDeflateResponseAccept(PerMessageDeflateResponse(0, False, 0, False), True, 10, 4)
        assert json.loads(json.dumps(accept.__json__())) == {
            "extension": NAME,
            "response": PerMessageDeflateResponse(0, False, 0, False).__json__(),
            "no_context_takeover": True,
            "window_bits": 10,
            "mem_level": 4,
        }
        assert eval(repr(accept)).__json__() == accept.__json__()

    @pytest.mark.parametrize(
        ("kwargs", "name"),
        [
            ({"response": None}, "response"),
            ({"no_context_takeover": False}, "no_context_takeover"),
            ({"no_context_takeover": 1}, "no_context_takeover"),
            ({"window_bits": 11}, "window_bits"),
            ({"window_bits": 7}, "window_bits"),
            ({"mem_level": 0}, "mem_level"),
            ({"max_message_size": -1}, "max_message_size"),
        ],
    )
    def test_wrong_arguments(self, kwargs: dict[str, Any], name: str) -> None:
        with pytest.raises(InvalidArgument, match=f"^{name}"):
            PerMessageDeflateResponseAccept(**{"response": PerMessageDeflateResponse(10, True, 0, False), **kwargs})


class TestDeflate:
    def test_created_by_the_server(self) -> None:
        offer = PerMessageDeflateOffer(request_no_context_takeover=True, request_max_window_bits=13)
        codec = PerMessageDeflate.create_from_offer_accept(True, PerMessageDeflateOfferAccept(offer))
        assert codec.__json__() == {
            "extension": NAME,
            "is_server": True,
            "server_no_context_takeover": True,
            "client_no_context_takeover": False,
            "server_max_window_bits": 13,
            "client_max_window_bits": 15,
            "mem_level": 4,
        }
        assert repr(codec) == (
            "PerMessageDeflate(is_server = True, server_no_context_takeover = True, "
            "client_no_context_takeover = False, server_max_window_bits = 13, "
            "client_max_window_bits = 15, mem_level = 4)"
        )

    def test_created_by_the_client(self) -> None:
        response = PerMessageDeflateResponse(12, False, 10, True)
        accept = PerMessageDeflateResponseAccept(response, True, 9, 3, 1000)
        codec = PerMessageDeflate.create_from_response_accept(False, accept)
        assert codec.__json__() == {
            "extension": NAME,
            "is_server": False,
            "server_no_context_takeover": True,
            "client_no_context_takeover": True,
            "server_max_window_bits": 10,
            "client_max_window_bits": 9,
            "mem_level": 3,
        }
        assert codec.max_message_size == 1000

    def test_what_the_client_sets_for_itself_is_done(self) -> None:
        response = PerMessageDeflateResponse(0, False, 0, False)
        accept = PerMessageDeflateResponseAccept(response, no_context_takeover=True)
        codec = PerMessageDeflate.create_from_response_accept(False, accept)
        assert squeeze(codec, TEXT) == squeeze(codec, TEXT)

    @pytest.mark.parametrize(("window_bits", "smaller"), [(None, False), (9, False), (15, True)])
    def test_a_window_is_large_only_if_the_application_asks_for_it(
        self, window_bits: int | None, smaller: bool
    ) -> None:
        block = bytes(range(256)) * 2 + zlib.compress(TEXT * 9) * 40
        data = b"".join(bytes((number,)) + block[number : number + 7000] for number in range(20))
        accept = PerMessageDeflateOfferAccept(PerMessageDeflateOffer(), window_bits=window_bits)
        codec = PerMessageDeflate.create_from_offer_accept(True, accept)
        compressed = squeeze(codec, data)
        reach = 11 if window_bits is None else window_bits
        inflater = zlib.decompressobj(-reach)
        out, rest = b"", compressed
        while rest:
            out += inflater.decompress(rest, 1)
            rest = inflater.unconsumed_tail
        assert out == data
        assert (len(compressed) < len(squeeze(PerMessageDeflate(True, True, True, 0, 0, None), data))) == smaller

    def test_messages_with_the_methods_of_autobahn(self) -> None:
        server, client = make_pair()
        for message in (TEXT, b"", TEXT, b"x" * 100000):
            assert expand(client, squeeze(server, message)) == message
            compressed = squeeze(client, message[:3], message[3:])
            assert expand(server, compressed[:1], b"", compressed[1:], limit=100000) == message

    def test_messages_with_the_methods_of_the_core(self) -> None:
        server, client = make_pair()
        for message in (TEXT, b"", TEXT):
            assert client.decompress(server.compress(message, True), True, 100) == message
            server.idle()

    @pytest.mark.parametrize("limit", [0, 1, len(TEXT) - 1])
    def test_the_limit_of_a_call(self, limit: int) -> None:
        server, client = make_pair()
        compressed = squeeze(server, TEXT)
        client.start_decompress_message()
        with pytest.raises(PayloadExceededError):
            client.decompress_message_data(compressed, max_output_len=limit)

    def test_the_limit_of_a_message_holds_over_its_pieces_only(self) -> None:
        server, client = make_pair(max_message_size=len(TEXT))
        for _ in range(2):
            compressed = squeeze(client, TEXT)
            assert expand(server, compressed[:50], compressed[50:]) == TEXT
        compressed = squeeze(client, TEXT + b"x")
        with pytest.raises(PayloadExceededError):
            expand(server, compressed[:50], compressed[50:])

    @pytest.mark.parametrize(("own", "given"), [(10, 100), (100, 10), (10, 0), (0, 0), (0, 100), (100, -1)])
    def test_the_smaller_limit_counts(self, own: int, given: int) -> None:
        server, client = make_pair(max_message_size=own)
        with pytest.raises(MessageTooBig):
            server.decompress(client.compress(TEXT[:11], True), True, given)

    def test_corrupt_data(self) -> None:
        with pytest.raises(PayloadCorruptError):
            expand(make_pair()[0], b"\xff\xff\xff")

    def test_a_message_that_is_not_complete(self) -> None:
        """Cut in the middle of a code, so that the tail completes it to a byte that was never sent."""
        compressed = squeeze(make_pair()[1], b"Hello")
        with pytest.raises(PayloadCorruptError, match="not complete"):
            expand(make_pair()[0], compressed[:3])


class TestNegotiation:
    @pytest.mark.parametrize(
        ("offer", "answer"),
        [
            ("", "; server_max_window_bits=11"),
            ("; client_max_window_bits", "; server_max_window_bits=11; client_max_window_bits=11"),
            ("; client_max_window_bits=9", "; server_max_window_bits=11; client_max_window_bits=9"),
            ("; server_max_window_bits=9", "; server_max_window_bits=9"),
            ("; server_max_window_bits=15", "; server_max_window_bits=11"),
            ("; server_no_context_takeover", "; server_no_context_takeover; server_max_window_bits=11"),
        ],
    )
    def test_the_default_of_a_server(self, offer: str, answer: str) -> None:
        text, codec = negotiate_server(parse_element(NAME + offer))
        assert text == NAME + answer
        assert isinstance(codec, PerMessageDeflate)

    def test_a_bad_offer_among_several_is_declined(self) -> None:
        elements = [
            *parse_element(f"{NAME}; server_max_window_bits=7"),
            ("permessage-unknown", []),
            *parse_element(f"{NAME}; server_max_window_bits=9"),
            *parse_element(NAME),
        ]
        assert negotiate_server(elements)[0] == f"{NAME}; server_max_window_bits=9"

    @pytest.mark.parametrize(
        "elements", [[], [("permessage-unknown", [])], [(NAME, [("bogus", None)])], [(NAME, {"bogus": [True]})]]
    )
    def test_without_a_valid_offer_nothing_is_asked(self, elements: list[Any]) -> None:
        asked: list[Any] = []
        assert negotiate_server(elements, asked.append) == ("", None)
        assert not asked
        assert negotiate_server(elements) == ("", None)

    def test_equal_offers_are_answered_alike_and_each_connection_has_its_own_codec(self) -> None:
        (first, one), (second, other) = (negotiate_server(parse_element(NAME)) for _ in range(2))
        assert first == second
        assert one is not other
        assert isinstance(one, PerMessageDeflate)
        assert isinstance(other, PerMessageDeflate)
        assert expand(make_pair()[1], squeeze(one, TEXT)) == expand(make_pair()[1], squeeze(other, TEXT)) == TEXT

    def test_a_class_that_was_registered_instead_of_ours_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Mine(PerMessageDeflate):
            pass

        monkeypatch.setitem(PERMESSAGE_COMPRESSION_EXTENSION[NAME], "PMCE", Mine)
        text, codec = negotiate_server(parse_element(NAME))
        assert text == f"{NAME}; server_max_window_bits=11"
        assert isinstance(codec, Mine)

    @pytest.mark.parametrize("answer", [None, False])
    def test_the_application_of_a_server_declines(self, answer: object) -> None:
        assert negotiate_server(parse_element(NAME), lambda _: answer) == ("", None)

    def test_the_application_of_a_server_chooses(self) -> None:
        def accept(offers: list[Any]) -> Any:
            return PerMessageDeflateOfferAccept(offers[1], no_context_takeover=True)

        text, codec = negotiate_server([(NAME, {}), (NAME, {"server_max_window_bits": ["10"]})], accept)
        assert text == f"{NAME}; server_no_context_takeover; server_max_window_bits=10"
        assert isinstance(codec, PerMessageDeflate)
        assert codec.server_max_window_bits == 10

    @pytest.mark.parametrize("answer", [True, "permessage-deflate", object()])
    def test_the_application_of_a_server_gives_something_else(self, answer: object) -> None:
        with pytest.raises(InvalidArgument, match="perMessageCompressionAccept"):
            negotiate_server(parse_element(NAME), lambda _: answer)

    def test_the_default_of_a_client(self) -> None:
        (offer,) = default_offers()
        assert offer.get_extension_string() == f"{NAME}; client_max_window_bits"
        codec = negotiate_client(parse_element(f"{NAME}; client_max_window_bits=10"), [offer])
        assert isinstance(codec, PerMessageDeflate)
        assert codec.client_max_window_bits == 10
        assert not codec.is_server

    def test_a_server_that_does_not_compress(self) -> None:
        assert negotiate_client([], default_offers()) is None

    @pytest.mark.parametrize(
        ("elements", "reason"),
        [
            ([(NAME, []), (NAME, [])], "more than one"),
            ([("permessage-unknown", [])], "not offered"),
            ([(NAME, [("bogus", None)])], "not valid"),
            ([(NAME, [("server_max_window_bits", "7")])], "not valid"),
            ([(NAME, [("client_max_window_bits", None)])], "not valid"),
            ([(NAME, [("client_max_window_bits", "10")])], "not offered"),
            ([(NAME, [])], "not offered"),
        ],
    )
    def test_answers_that_fail_a_client(self, elements: list[Any], reason: str) -> None:
        offers = [PerMessageDeflateOffer(True, False, False, 12), PerMessageDeflateOffer(True, False, True, 0)]
        with pytest.raises(InvalidResponse, match=reason):
            negotiate_client(elements, offers)

    def test_any_of_the_offers_may_be_answered(self) -> None:
        offers = [PerMessageDeflateOffer(True, False, False, 12), PerMessageDeflateOffer(True, False, True, 0)]
        for text in ("; server_max_window_bits=9", "; server_no_context_takeover"):
            assert isinstance(negotiate_client(parse_element(NAME + text), offers), PerMessageDeflate)

    def test_the_application_of_a_client_refuses(self) -> None:
        with pytest.raises(InvalidResponse, match="not accepted"):
            negotiate_client(parse_element(NAME), default_offers(), lambda _: None)

    def test_the_application_of_a_client_sets_something(self) -> None:
        codec = negotiate_client(
            parse_element(NAME),
            default_offers(),
            lambda response: PerMessageDeflateResponseAccept(response, window_bits=9),
        )
        assert isinstance(codec, PerMessageDeflate)
        assert codec.client_max_window_bits == 9

    def test_default_accept_knows_only_deflate(self) -> None:
        assert default_accept(True)([Rot13Offer()]) is None
        assert default_accept(False)(Rot13Response()) is None
        assert default_accept(True)([Rot13Offer(), PerMessageDeflateOffer()]).EXTENSION_NAME == NAME
        accept = default_accept(False)(PerMessageDeflateResponse(0, False, 0, False))
        assert isinstance(accept, PerMessageDeflateResponseAccept)

    def test_an_offer_does_not_permit_a_response_of_another_extension(self) -> None:
        assert not PerMessageDeflateOffer().permits(Rot13Response())
        assert not Rot13Offer().permits(PerMessageDeflateResponse(0, False, 0, False))

    @given(
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.just(0) | st.integers(8, 15),
        st.sampled_from([None, 8, 9, 12, 15]),
        st.booleans(),
        st.lists(st.sampled_from([b"", TEXT, TEXT * 100]) | st.binary(max_size=50), max_size=4),
    )
    def test_both_sides_understand_each_other(
        self,
        accept_nct: bool,
        accept_bits: bool,
        request_nct: bool,
        request_bits: int,
        window_bits: int | None,
        own_nct: bool,
        messages: list[bytes],
    ) -> None:
        offer = PerMessageDeflateOffer(accept_nct, accept_bits, request_nct, request_bits)
        bits = min(window_bits, request_bits or 15) if window_bits else None

        def accept(offers: list[Any]) -> Any:
            return PerMessageDeflateOfferAccept(
                offers[0], own_nct, 8 if accept_bits else 0, own_nct or request_nct, bits
            )

        for function in (accept, None):
            text, server = negotiate_server(parse_element(offer.get_extension_string()), function)
            client = negotiate_client(parse_element(text), [offer])
            assert server is not None
            assert client is not None
            for message in messages:
                assert client.decompress(server.compress(message, True), True, 0) == message
                assert server.decompress(client.compress(message, True), True, 0) == message


class Rot13Offer(PerMessageCompressOffer):
    """An extension as somebody would write it for Autobahn: no check, bare exceptions, only Autobahn's methods."""

    EXTENSION_NAME = "permessage-rot13"

    @classmethod
    def parse(cls, params: compress_base.ExtensionParams) -> Rot13Offer:
        if params:
            raise Exception("no parameters please")
        return cls()

    def get_extension_string(self) -> str:
        return self.EXTENSION_NAME


class Rot13OfferAccept(PerMessageCompressOfferAccept):
    EXTENSION_NAME = "permessage-rot13"

    def get_extension_string(self) -> str:
        return self.EXTENSION_NAME


class Rot13Response(PerMessageCompressResponse):
    EXTENSION_NAME = "permessage-rot13"

    @classmethod
    def parse(cls, params: compress_base.ExtensionParams) -> Rot13Response:
        if params:
            raise Exception("no parameters please")
        return cls()


class Rot13ResponseAccept(PerMessageCompressResponseAccept):
    EXTENSION_NAME = "permessage-rot13"


class Rot13(PerMessageCompress):
    EXTENSION_NAME = "permessage-rot13"

    def __init__(self) -> None:
        self.calls: list[str] = []

    @classmethod
    def create_from_offer_accept(cls, is_server: bool, accept: object) -> Rot13:
        return cls()

    @classmethod
    def create_from_response_accept(cls, is_server: bool, accept: object) -> Rot13:
        return cls()

    def start_compress_message(self) -> None:
        self.calls.append("start")

    def compress_message_data(self, data: bytes) -> bytes:
        return bytes((octet + 13) & 255 for octet in data)

    def end_compress_message(self) -> bytes:
        self.calls.append("end")
        return b"."

    def start_decompress_message(self) -> None:
        self.calls.append("start")

    def decompress_message_data(self, data: bytes, max_output_len: int | None = None) -> bytes:
        data = data.removesuffix(b".")
        if max_output_len is not None and len(data) > max_output_len:
            raise PayloadExceededError("too much")
        return bytes((octet - 13) & 255 for octet in data)

    def end_decompress_message(self) -> None:
        self.calls.append("end")


@pytest.fixture
def rot13(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {
        "Offer": Rot13Offer,
        "OfferAccept": Rot13OfferAccept,
        "Response": Rot13Response,
        "ResponseAccept": Rot13ResponseAccept,
        "PMCE": Rot13,
    }
    monkeypatch.setitem(PERMESSAGE_COMPRESSION_EXTENSION, "permessage-rot13", classes)


@pytest.mark.usefixtures("rot13")
class TestOtherExtensions:
    ELEMENTS: ClassVar[Any] = [("permessage-rot13", [("mode", "fast")]), ("permessage-rot13", [])]

    def test_negotiation(self) -> None:
        text, server = negotiate_server(self.ELEMENTS, lambda _: Rot13OfferAccept())
        assert text == "permessage-rot13"
        client = negotiate_client(parse_element(text), [Rot13Offer()], lambda _: Rot13ResponseAccept())
        assert isinstance(server, Rot13)
        assert isinstance(client, Rot13)

    def test_an_answer_it_does_not_understand(self) -> None:
        with pytest.raises(InvalidResponse, match="no parameters please"):
            negotiate_client(self.ELEMENTS[:1], [Rot13Offer()])

    def test_an_extension_that_was_not_offered_is_not_accepted(self) -> None:
        with pytest.raises(InvalidArgument, match="perMessageCompressionAccept"):
            negotiate_server(parse_element(NAME), lambda _: Rot13OfferAccept())

    def test_six_methods_make_a_codec(self) -> None:
        codec = Rot13()
        for _ in range(2):
            assert codec.compress(b"ab", False) + codec.compress(memoryview(b"c"), True) == b"nop."
            assert codec.decompress(b"no", False, 0) + codec.decompress(bytearray(b"p."), True, 1) == b"abc"
            codec.idle()
        assert codec.calls == ["start", "end"] * 4

    @pytest.mark.parametrize("limit", [1, -1])
    def test_its_limit_is_that_of_the_core(self, limit: int) -> None:
        with pytest.raises(MessageTooBig):
            Rot13().decompress(b"no", False, limit)
