"""Per-message compression: what there is, and how it is negotiated (RFC 7692, section 5).

``PERMESSAGE_COMPRESSION_EXTENSION`` has the five classes of each extension by its name. Whatever is in it is understood
by both sides; an application may add to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from autobahnlike.exception import InvalidArgument, InvalidResponse
from autobahnlike.websocket.compress_base import (
    ExtensionParams,
    PerMessageCompress,
    PerMessageCompressOffer,
    PerMessageCompressOfferAccept,
    PerMessageCompressResponse,
    PerMessageCompressResponseAccept,
    param_pairs,
)
from autobahnlike.websocket.compress_deflate import (
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
    codec_maker,
)
from autobahnlike.wire.deflate import DEFAULT_MEM_LEVEL, DEFAULT_WINDOW_BITS, EXTENSION_NAME

__all__ = [
    "PERMESSAGE_COMPRESSION_EXTENSION",
    "PerMessageCompress",
    "PerMessageCompressOffer",
    "PerMessageCompressOfferAccept",
    "PerMessageCompressResponse",
    "PerMessageCompressResponseAccept",
    "PerMessageDeflate",
    "PerMessageDeflateOffer",
    "PerMessageDeflateOfferAccept",
    "PerMessageDeflateResponse",
    "PerMessageDeflateResponseAccept",
    "default_accept",
    "default_offers",
    "negotiate_client",
    "negotiate_server",
]

_DEFLATE: dict[str, Any] = {
    "Offer": PerMessageDeflateOffer,
    "OfferAccept": PerMessageDeflateOfferAccept,
    "Response": PerMessageDeflateResponse,
    "ResponseAccept": PerMessageDeflateResponseAccept,
    "PMCE": PerMessageDeflate,
}

#: The classes of each extension by its name: "Offer", "OfferAccept", "Response", "ResponseAccept" and "PMCE".
PERMESSAGE_COMPRESSION_EXTENSION: dict[str, dict[str, Any]] = {EXTENSION_NAME: _DEFLATE.copy()}

# The elements of Sec-WebSocket-Extensions: the name and the parameters of each.
_Extensions = Iterable[tuple[str, ExtensionParams]]


def default_offers() -> list[PerMessageDeflateOffer]:
    """Give what a client offers if the application has set nothing: permessage-deflate, as the server likes it.

    The hint client_no_context_takeover is not in it. It says that the client "is not going to use context takeover"
    (RFC 7692, section 7.1.1.2), but it is, if the server allows it.
    """
    return [PerMessageDeflateOffer(accept_no_context_takeover=False)]


def default_accept(is_server: bool) -> Callable[[Any], Any]:
    """Give the function that accepts permessage-deflate if the application has set none.

    Args:
        is_server: True for the function of a server, which takes the list of offers and gives an offer accept for the
            first of permessage-deflate, with windows of 11 bits in both directions as far as the offer allows, or None;
            False for that of a client, which takes a response and gives a response accept, or None.
    """
    return _accept_offers if is_server else _accept_response


def _accept_offers(offers: Sequence[PerMessageCompressOffer]) -> PerMessageDeflateOfferAccept | None:
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return _accept_offer(offer)
    return None


def _accept_offer(offer: PerMessageDeflateOffer) -> PerMessageDeflateOfferAccept:
    return PerMessageDeflateOfferAccept(
        offer,
        request_max_window_bits=DEFAULT_WINDOW_BITS if offer.accept_max_window_bits else 0,
        window_bits=min(offer.request_max_window_bits or DEFAULT_WINDOW_BITS, DEFAULT_WINDOW_BITS),
        mem_level=DEFAULT_MEM_LEVEL,
    )


def _accept_response(response: PerMessageCompressResponse) -> PerMessageDeflateResponseAccept | None:
    return PerMessageDeflateResponseAccept(response) if isinstance(response, PerMessageDeflateResponse) else None


def negotiate_server(
    extensions: _Extensions, accept: Callable[[list[Any]], Any] | None = None
) -> tuple[str, PerMessageCompress | None]:
    """Negotiate compression on a server.

    Args:
        extensions: what the client asks for, from Sec-WebSocket-Extensions.
        accept: ``perMessageCompressionAccept``: takes the list of valid offers, in the client's order, and gives an
            offer accept or None. Not called without offers. None: ``default_accept(True)``.

    Returns:
        The value of Sec-WebSocket-Extensions for the response and the codec of the connection; "" and None without
        compression. Offers that are not valid are declined: they never fail the handshake.

    Raises:
        InvalidArgument: ``accept`` gave something else, or accepted an extension that was not offered.
    """
    if not extensions:
        return "", None
    if accept is None and PERMESSAGE_COMPRESSION_EXTENSION.get(EXTENSION_NAME) == _DEFLATE:
        return _negotiate_default(extensions)
    offers: list[PerMessageCompressOffer] = []
    for name, params in extensions:
        if name in PERMESSAGE_COMPRESSION_EXTENSION:
            # Any exception, because that is what extensions written for Autobahn raise.
            with contextlib.suppress(Exception):
                offers.append(PERMESSAGE_COMPRESSION_EXTENSION[name]["Offer"].parse(params))
    accepted = (accept or _accept_offers)(offers) if offers else None
    if not accepted:
        return "", None
    if getattr(accepted, "EXTENSION_NAME", None) not in {offer.EXTENSION_NAME for offer in offers}:
        raise InvalidArgument(f"perMessageCompressionAccept must give an offer accept or None, not {accepted!r}")
    kind = PERMESSAGE_COMPRESSION_EXTENSION[accepted.EXTENSION_NAME]["PMCE"]
    return accepted.get_extension_string(), kind.create_from_offer_accept(True, accepted)


def _negotiate_default(extensions: _Extensions) -> tuple[str, PerMessageCompress | None]:
    """Negotiate as ``default_accept(True)`` does, where nothing else was registered for permessage-deflate."""
    for name, params in extensions:
        if name == EXTENSION_NAME:
            with contextlib.suppress(ValueError):
                answer, make_codec = _answer(tuple(param_pairs(params)))
                return answer, make_codec()
    return "", None


# Browsers all send the same offer, and to work out the answer was a sixth of the opening handshake. What can be kept
# is bounded: only valid offers are, which have four parameters and few values.
@lru_cache(maxsize=64)
def _answer(params: tuple[tuple[str, str | None], ...]) -> tuple[str, Callable[[], PerMessageDeflate]]:
    """Give the answer to an offer of permessage-deflate, and what makes the codec that it promises.

    Raises:
        ValueError: the offer is not valid.
    """
    accepted = _accept_offer(PerMessageDeflateOffer.parse(params))
    return accepted.get_extension_string(), codec_maker(True, accepted)


def negotiate_client(
    extensions: _Extensions,
    offers: Sequence[PerMessageCompressOffer],
    accept: Callable[[Any], Any] | None = None,
) -> PerMessageCompress | None:
    """Negotiate compression on a client.

    Args:
        extensions: what the server answers, from Sec-WebSocket-Extensions.
        offers: what the client has offered.
        accept: ``perMessageCompressionAccept``: takes the response and gives a response accept or None, which fails the
            connection. None: ``default_accept(False)``.

    Returns:
        The codec of the connection, or None without compression.

    Raises:
        InvalidResponse: the server answered with an extension that was not offered, with one more than once, or with
            parameters that no offer allows (RFC 6455, section 4.1; RFC 7692, section 7.1); or it was not accepted.
    """
    answers = list(extensions)
    if not answers:
        return None
    if len(answers) > 1:
        raise InvalidResponse("the server accepts more than one compression extension")
    name, params = answers[0]
    offered = [offer for offer in offers if name == offer.EXTENSION_NAME]
    if not offered:
        raise InvalidResponse("the server accepts an extension that was not offered")
    try:
        response = PERMESSAGE_COMPRESSION_EXTENSION[name]["Response"].parse(params)
    except Exception as error:
        # Any exception, because that is what extensions written for Autobahn raise.
        raise InvalidResponse(f"the server's answer to {name} is not valid: {error}") from error
    if not any(offer.permits(response) for offer in offered):
        raise InvalidResponse(f"the server answers {name} with parameters that were not offered")
    accepted = (accept or _accept_response)(response)
    if not accepted:
        raise InvalidResponse("the server's answer to the offered compression was not accepted")
    codec: PerMessageCompress = PERMESSAGE_COMPRESSION_EXTENSION[name]["PMCE"].create_from_response_accept(
        False, accepted
    )
    return codec
