"""permessage-deflate with the classes of Autobahn, on top of ``autobahnlike.wire.deflate`` (RFC 7692, section 7).

What is different from Autobahn, each time to be safe or to conform:

- A server's ``no_context_takeover`` and ``window_bits`` are announced in the response.
- Without ``window_bits`` and ``mem_level``, a compressor takes a window of 11 bits and a memory level of 4, about 23
  instead of 256 KiB. A smaller window than the agreed one is always allowed. The level is 3, not 6.
- Windows of 8 bits are spoken as well.
- Wrong arguments raise ``InvalidArgument`` (a ``ValueError``), and wrong parameters from the peer ``ValueError``,
  instead of ``Exception``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, ClassVar, TypeAlias

from autobahnlike import exception
from autobahnlike.websocket.compress_base import (
    ExtensionParams,
    PerMessageCompress,
    PerMessageCompressOffer,
    PerMessageCompressOfferAccept,
    PerMessageCompressResponse,
    PerMessageCompressResponseAccept,
    param_pairs,
    require_bool,
)
from autobahnlike.wire import deflate

__all__ = (
    "PerMessageDeflate",
    "PerMessageDeflateMixin",
    "PerMessageDeflateOffer",
    "PerMessageDeflateOfferAccept",
    "PerMessageDeflateResponse",
    "PerMessageDeflateResponseAccept",
    "codec_maker",
)


class PerMessageDeflateMixin:
    """What the classes of the extension have in common.

    Attributes:
        EXTENSION_NAME: "permessage-deflate".
        WINDOW_SIZE_PERMISSIBLE_VALUES: the window sizes, in bits, that can be set with gain. 8 is valid too (RFC 7692,
            section 7.1.2), but zlib can hardly compress with it.
        MEM_LEVEL_PERMISSIBLE_VALUES: zlib's memory levels.
    """

    EXTENSION_NAME: ClassVar[str] = deflate.EXTENSION_NAME
    WINDOW_SIZE_PERMISSIBLE_VALUES: ClassVar[list[int]] = [9, 10, 11, 12, 13, 14, 15]
    MEM_LEVEL_PERMISSIBLE_VALUES: ClassVar[list[int]] = [1, 2, 3, 4, 5, 6, 7, 8, 9]

    _FIELDS: ClassVar[tuple[str, ...]]

    def __json__(self) -> dict[str, Any]:
        """Give the object as a dict that can be written as JSON."""
        values = {name: getattr(self, name) for name in self._FIELDS}
        plain = {name: value.__json__() if hasattr(value, "__json__") else value for name, value in values.items()}
        return {"extension": self.EXTENSION_NAME, **plain}

    def __repr__(self) -> str:
        values = (f"{name} = {getattr(self, name)!r}" for name in self._FIELDS)
        return f"{type(self).__name__}({', '.join(values)})"


class PerMessageDeflateOffer(PerMessageDeflateMixin, PerMessageCompressOffer):
    """An offer of permessage-deflate, by a client.

    Args:
        accept_no_context_takeover: let the server have the client compress each message by itself.
        accept_max_window_bits: let the server limit the client's window.
        request_no_context_takeover: demand that the server compresses each message by itself.
        request_max_window_bits: the largest window, in bits, that the server may compress with, from 8 to 15; 0: any.

    Raises:
        InvalidArgument: an argument is of another type or out of its range.
    """

    _FIELDS = (
        "accept_no_context_takeover",
        "accept_max_window_bits",
        "request_no_context_takeover",
        "request_max_window_bits",
    )

    def __init__(
        self,
        accept_no_context_takeover: bool = True,
        accept_max_window_bits: bool = True,
        request_no_context_takeover: bool = False,
        request_max_window_bits: int = 0,
    ) -> None:
        require_bool("accept_no_context_takeover", accept_no_context_takeover)
        require_bool("accept_max_window_bits", accept_max_window_bits)
        require_bool("request_no_context_takeover", request_no_context_takeover)
        _check_bits("request_max_window_bits", request_max_window_bits)
        self.accept_no_context_takeover = accept_no_context_takeover
        self.accept_max_window_bits = accept_max_window_bits
        self.request_no_context_takeover = request_no_context_takeover
        self.request_max_window_bits = request_max_window_bits
        # The hint of a received offer: the client does not use a larger window than this.
        self._client_bits = 15

    @classmethod
    def parse(cls, params: ExtensionParams) -> PerMessageDeflateOffer:
        """Make the offer from the parameters that a client has sent.

        Args:
            params: (name, value) pairs, or a dict of all values of each name.

        Raises:
            ValueError: they are not valid (RFC 7692, section 7.1); the offer is declined.
        """
        wire = deflate.DeflateOffer.parse(param_pairs(params))
        # "A server MAY include" client_no_context_takeover (section 7.1.1.2), whether the client hints at it or not.
        offer = cls(
            True,
            wire.client_max_window_bits is not None,
            wire.server_no_context_takeover,
            wire.server_max_window_bits or 0,
        )
        offer._client_bits = wire.client_max_window_bits or 15
        return offer

    def get_extension_string(self) -> str:
        """Give the element of Sec-WebSocket-Extensions."""
        return self._wire().format()

    def permits(self, response: PerMessageCompressResponse) -> bool:
        """Tell whether a response is an answer to this offer (RFC 7692, section 7.1)."""
        if not isinstance(response, PerMessageDeflateResponse):
            return False
        try:
            deflate.check_response(self._wire(), response._wire())
        except exception.InvalidResponse:
            return False
        return True

    def _wire(self) -> deflate.DeflateOffer:
        return deflate.DeflateOffer(
            server_no_context_takeover=self.request_no_context_takeover,
            client_no_context_takeover=self.accept_no_context_takeover,
            server_max_window_bits=self.request_max_window_bits or None,
            client_max_window_bits=self._client_bits if self.accept_max_window_bits else None,
        )


class PerMessageDeflateOfferAccept(PerMessageDeflateMixin, PerMessageCompressOfferAccept):
    """How a server accepts an offer of permessage-deflate.

    Args:
        offer: the offer.
        request_no_context_takeover: have the client compress each message by itself.
        request_max_window_bits: the largest window, in bits, that the client may compress with, from 8 to 15; 0: any. A
            smaller one that the client hints at is answered in its place.
        no_context_takeover: compress each message by itself; None: if the client demands it.
        window_bits: the largest window, in bits, to compress with, from 8 to 15; None: 11, if the client allows that.
        mem_level: zlib's memory level for compressing, from 1 to 9; None: 4.
        max_message_size: the bytes that a message may inflate to; None: as much as the options of the connection allow.

    Raises:
        InvalidArgument: an argument is of another type, out of its range, or not compatible with the offer.
    """

    _FIELDS = (
        "offer",
        "request_no_context_takeover",
        "request_max_window_bits",
        "no_context_takeover",
        "window_bits",
        "mem_level",
        "max_message_size",
    )

    def __init__(
        self,
        offer: PerMessageDeflateOffer,
        request_no_context_takeover: bool = False,
        request_max_window_bits: int = 0,
        no_context_takeover: bool | None = None,
        window_bits: int | None = None,
        mem_level: int | None = None,
        max_message_size: int | None = None,
    ) -> None:
        if not isinstance(offer, PerMessageDeflateOffer):
            raise exception.InvalidArgument(f"offer must be a PerMessageDeflateOffer, not {offer!r}")
        require_bool("request_no_context_takeover", request_no_context_takeover)
        if request_no_context_takeover and not offer.accept_no_context_takeover:
            raise exception.InvalidArgument("request_no_context_takeover must be False: the client does not accept it")
        _check_bits("request_max_window_bits", request_max_window_bits)
        if request_max_window_bits and not offer.accept_max_window_bits:
            raise exception.InvalidArgument("request_max_window_bits must be 0: the client does not accept a limit")
        self.offer = offer
        self.request_no_context_takeover = request_no_context_takeover
        self.request_max_window_bits = request_max_window_bits
        self.no_context_takeover = no_context_takeover
        self.window_bits = window_bits
        self.mem_level = mem_level
        self.max_message_size = max_message_size
        _check_settings(self, offer.request_no_context_takeover, offer.request_max_window_bits)

    def get_extension_string(self) -> str:
        """Give the element of Sec-WebSocket-Extensions. It says what is really done."""
        return self._wire().format()

    def _wire(self) -> deflate.DeflateResponse:
        offer, own, bits = self.offer, self.no_context_takeover, self.request_max_window_bits
        return deflate.DeflateResponse(
            offer.request_no_context_takeover if own is None else own,
            self.request_no_context_takeover,
            self.window_bits or offer.request_max_window_bits or None,
            min(bits, offer._client_bits) if bits else None,
        )


class PerMessageDeflateResponse(PerMessageDeflateMixin, PerMessageCompressResponse):
    """The response of a server that has accepted an offer of permessage-deflate.

    Args:
        client_max_window_bits: the largest window, in bits, that the client may compress with, from 8 to 15; 0 for any.
        client_no_context_takeover: the client has to compress each message by itself.
        server_max_window_bits: the largest window, in bits, that the server compresses with, from 8 to 15; 0 for any.
        server_no_context_takeover: the server compresses each message by itself.

    Raises:
        InvalidArgument: a window is out of its range.
    """

    _FIELDS = (
        "client_max_window_bits",
        "client_no_context_takeover",
        "server_max_window_bits",
        "server_no_context_takeover",
    )

    def __init__(
        self,
        client_max_window_bits: int,
        client_no_context_takeover: bool,
        server_max_window_bits: int,
        server_no_context_takeover: bool,
    ) -> None:
        _check_bits("client_max_window_bits", client_max_window_bits)
        _check_bits("server_max_window_bits", server_max_window_bits)
        self.client_max_window_bits = client_max_window_bits
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.server_no_context_takeover = server_no_context_takeover

    @classmethod
    def parse(cls, params: ExtensionParams) -> PerMessageDeflateResponse:
        """Make the response from the parameters that a server has sent.

        Args:
            params: (name, value) pairs, or a dict of all values of each name.

        Raises:
            ValueError: they are not valid (RFC 7692, section 7.1); the client fails the connection.
        """
        wire = deflate.DeflateResponse.parse(param_pairs(params))
        return cls(
            wire.client_max_window_bits or 0,
            wire.client_no_context_takeover,
            wire.server_max_window_bits or 0,
            wire.server_no_context_takeover,
        )

    def _wire(self) -> deflate.DeflateResponse:
        return deflate.DeflateResponse(
            self.server_no_context_takeover,
            self.client_no_context_takeover,
            self.server_max_window_bits or None,
            self.client_max_window_bits or None,
        )


class PerMessageDeflateResponseAccept(PerMessageDeflateMixin, PerMessageCompressResponseAccept):
    """How a client takes a response for permessage-deflate.

    Args:
        response: the response.
        no_context_takeover: compress each message by itself; None: if the server demands it.
        window_bits: the largest window, in bits, to compress with, from 8 to 15; None: 11, if the server allows that.
        mem_level: zlib's memory level for compressing, from 1 to 9; None: 4.
        max_message_size: the bytes that a message may inflate to; None: as much as the options of the connection allow.

    Raises:
        InvalidArgument: an argument is of another type, out of its range, or not compatible with the response.
    """

    _FIELDS = ("response", "no_context_takeover", "window_bits", "mem_level")

    def __init__(
        self,
        response: PerMessageDeflateResponse,
        no_context_takeover: bool | None = None,
        window_bits: int | None = None,
        mem_level: int | None = None,
        max_message_size: int | None = None,
    ) -> None:
        if not isinstance(response, PerMessageDeflateResponse):
            raise exception.InvalidArgument(f"response must be a PerMessageDeflateResponse, not {response!r}")
        self.response = response
        self.no_context_takeover = no_context_takeover
        self.window_bits = window_bits
        self.mem_level = mem_level
        self.max_message_size = max_message_size
        _check_settings(self, response.client_no_context_takeover, response.client_max_window_bits)

    def _wire(self) -> deflate.DeflateResponse:
        """Give the response with the own settings in it, which go beyond what the server demands."""
        response, own = self.response, self.no_context_takeover
        return deflate.DeflateResponse(
            response.server_no_context_takeover,
            response.client_no_context_takeover if own is None else own,
            response.server_max_window_bits or None,
            self.window_bits or response.client_max_window_bits or None,
        )


_Accept: TypeAlias = PerMessageDeflateOfferAccept | PerMessageDeflateResponseAccept


class PerMessageDeflate(PerMessageDeflateMixin, PerMessageCompress):
    """What compresses and inflates the messages of one connection with permessage-deflate.

    Args:
        is_server: whether this is the server's end.
        server_no_context_takeover: the server compresses each message by itself.
        client_no_context_takeover: the client compresses each message by itself.
        server_max_window_bits: the largest window, in bits, of the server, from 8 to 15; 0: 15.
        client_max_window_bits: the largest window, in bits, of the client, from 8 to 15; 0: 15.
        mem_level: zlib's memory level for compressing, from 1 to 9; None: 4.
        max_message_size: the bytes that a message may inflate to; None: any number.
        window_bits: the largest window, in bits, to use for compressing, of what was agreed on.

    Attributes:
        DEFAULT_WINDOW_BITS: the window that a parameter of 0 stands for.
        DEFAULT_MEM_LEVEL: the memory level that None stands for.

    Raises:
        InvalidArgument: a window or the memory level is out of its range.
    """

    DEFAULT_WINDOW_BITS: ClassVar[int] = zlib.MAX_WBITS
    DEFAULT_MEM_LEVEL: ClassVar[int] = deflate.DEFAULT_MEM_LEVEL

    _FIELDS = (
        "is_server",
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
        "mem_level",
    )

    @classmethod
    def create_from_offer_accept(cls, is_server: bool, accept: PerMessageDeflateOfferAccept) -> PerMessageDeflate:
        """Make it on the server.

        Args:
            is_server: True.
            accept: how the offer was accepted.
        """
        return codec_maker(is_server, accept, cls)()

    @classmethod
    def create_from_response_accept(cls, is_server: bool, accept: PerMessageDeflateResponseAccept) -> PerMessageDeflate:
        """Make it on the client.

        Args:
            is_server: False.
            accept: how the response was taken.
        """
        return codec_maker(is_server, accept, cls)()

    def __init__(
        self,
        is_server: bool,
        server_no_context_takeover: bool,
        client_no_context_takeover: bool,
        server_max_window_bits: int,
        client_max_window_bits: int,
        mem_level: int | None,
        max_message_size: int | None = None,
        *,
        window_bits: int = deflate.DEFAULT_WINDOW_BITS,
    ) -> None:
        self.is_server = is_server
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits or self.DEFAULT_WINDOW_BITS
        self.client_max_window_bits = client_max_window_bits or self.DEFAULT_WINDOW_BITS
        self.mem_level = mem_level or self.DEFAULT_MEM_LEVEL
        self.max_message_size = max_message_size
        params = _params(
            server_no_context_takeover,
            client_no_context_takeover,
            self.server_max_window_bits,
            self.client_max_window_bits,
        )
        self._deflate = deflate.Deflate(params, is_server=is_server, mem_level=self.mem_level, window_bits=window_bits)
        # A subclass may compress otherwise.
        self.share_key = self._deflate.share_key if type(self) is PerMessageDeflate else None
        self._inflated = 0

    def compress(self, data: bytes | bytearray | memoryview, final: bool) -> bytes:
        """Compress a piece of a message; see ``autobahnlike.wire.deflate.Codec``."""
        return self._deflate.compress(data, final)

    def decompress(self, data: bytes | bytearray | memoryview, final: bool, max_length: int) -> bytes:
        """Inflate a piece of a message; see ``autobahnlike.wire.deflate.Codec``. ``max_message_size`` holds as well."""
        if self.max_message_size is None:
            return self._deflate.decompress(data, final, max_length)
        rest = self.max_message_size - self._inflated
        out = self._deflate.decompress(data, final, (min(rest, max_length) if max_length else rest) or -1)
        self._inflated = 0 if final else self._inflated + len(out)
        return out

    def forget(self) -> None:
        """Compress the next message without reference to earlier ones; see ``autobahnlike.wire.deflate.Codec``."""
        self._deflate.forget()

    def idle(self) -> None:
        """Free the compressor while nothing is sent; see ``autobahnlike.wire.deflate.Codec``."""
        self._deflate.idle()

    def start_compress_message(self) -> None:
        """Begin to compress a message: nothing has to be done, its first piece begins it."""

    def compress_message_data(self, data: bytes) -> bytes:
        """Compress a piece of the message and give what is ready, perhaps nothing."""
        return self.compress(data, False)

    def end_compress_message(self) -> bytes:
        """End the message and give the rest of it."""
        return self.compress(b"", True)

    def start_decompress_message(self) -> None:
        """Begin to inflate a message: nothing has to be done, its first piece begins it."""

    def decompress_message_data(self, data: bytes, max_output_len: int | None = None) -> bytes:
        """Inflate a piece of the message.

        Args:
            data: the piece.
            max_output_len: how many bytes may come out; None for any number.

        Raises:
            PayloadExceededError: more would come out, or more than ``max_message_size`` of the whole message.
            PayloadCorruptError: this does not inflate.
        """
        try:
            return self.decompress(data, False, 0 if max_output_len is None else max_output_len or -1)
        except exception.MessageTooBig as error:
            raise exception.PayloadExceededError(error.reason) from error

    def end_decompress_message(self) -> None:
        """End the message.

        Raises:
            PayloadCorruptError: what came does not end like a message.
        """
        if self.decompress(b"", True, 0):
            raise exception.PayloadCorruptError("permessage-deflate: the message is not complete")


def codec_maker(
    is_server: bool, accept: _Accept, kind: type[PerMessageDeflate] = PerMessageDeflate
) -> Callable[[], PerMessageDeflate]:
    """Give what makes the codec of one connection, or of many that agree on the same.

    Args:
        is_server: whether it is made on the server.
        accept: how the offer or the response was accepted.
        kind: the class of the codec.
    """
    wire = accept._wire()
    return partial(
        kind,
        is_server,
        wire.server_no_context_takeover,
        wire.client_no_context_takeover,
        wire.server_max_window_bits or 0,
        wire.client_max_window_bits or 0,
        accept.mem_level,
        accept.max_message_size,
        window_bits=accept.window_bits or deflate.DEFAULT_WINDOW_BITS,
    )


# There are not many, and they are not changed.
_params = lru_cache(maxsize=256)(deflate.DeflateParams)


def _check_bits(name: str, bits: int) -> None:
    if bits != 0 and bits not in range(8, 16):
        raise exception.InvalidArgument(f"{name} must be 0 or from 8 to 15, not {bits!r}")


def _check_settings(accept: _Accept, demanded: bool, limit: int) -> None:
    """Check what an accept object sets for this side against what the peer demands of it."""
    if accept.no_context_takeover is not None:
        require_bool("no_context_takeover", accept.no_context_takeover)
        if demanded and not accept.no_context_takeover:
            raise exception.InvalidArgument("no_context_takeover must not be False: the peer demands it")
    if accept.window_bits is not None and accept.window_bits not in range(8, (limit or 15) + 1):
        raise exception.InvalidArgument(
            f"window_bits must be None or from 8 to {limit or 15}, not {accept.window_bits!r}"
        )
    if accept.mem_level is not None and accept.mem_level not in accept.MEM_LEVEL_PERMISSIBLE_VALUES:
        raise exception.InvalidArgument(f"mem_level must be from 1 to 9, not {accept.mem_level!r}")
    if accept.max_message_size is not None and accept.max_message_size < 0:
        raise exception.InvalidArgument(
            f"max_message_size must be None or a number of bytes, not {accept.max_message_size!r}"
        )
