"""permessage-deflate: compression of messages (RFC 7692).

``DeflateOffer`` and ``DeflateResponse`` are the extension as it stands in the headers of the opening handshake.
``accept_offer`` (a server) and ``check_response`` (a client) lead from an offer to ``DeflateParams``, what both sides
have agreed on, and ``Deflate`` compresses and inflates the messages of one connection accordingly.

Memory is what this extension costs: with zlib's defaults a compressor takes 256 KiB, more than all the rest of a
connection. Hence the defaults here: windows of 2 KiB in both directions, where the peer lets us choose, and a small
hash table, together 23 KiB; and level 3, which takes a quarter less time than zlib's own choice, 6. What was measured
with JSON messages of 128 bytes, 1 KiB and 16 KiB and with lines of a chat, as sizes in per cent of what was compressed:
26, 30, 27 and 50 with zlib's defaults, 30, 35, 33 and 55 with the small window, 32, 37, 35 and 57 with level 3 as well.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Hashable, Iterable, Sequence
from functools import cache
from typing import Protocol

from autobahnlike.exception import InvalidArgument, InvalidResponse, MessageTooBig, PayloadCorruptError

__all__ = (
    "DEFAULT_LEVEL",
    "DEFAULT_MEM_LEVEL",
    "DEFAULT_WINDOW_BITS",
    "EXTENSION_NAME",
    "Codec",
    "Deflate",
    "DeflateOffer",
    "DeflateParams",
    "DeflateResponse",
    "accept_offer",
    "check_response",
    "first_offer",
)

EXTENSION_NAME = "permessage-deflate"

DEFAULT_WINDOW_BITS = 11
DEFAULT_MEM_LEVEL = 4
DEFAULT_LEVEL = 3

# "a decimal integer value without leading zeroes between 8 to 15, inclusive" (section 7.1.2)
_BITS = {str(bits): bits for bits in range(8, 16)}
_MAX_BITS = 15

# "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message" (section 7.2.2)
_TAIL = b"\x00\x00\xff\xff"
# An empty message: the header of an empty stored block, whose other 4 octets are the tail (section 7.2.3.6).
_EMPTY = b"\x00"

# A final block ends a deflate stream inside a message, and what follows is another stream. A stream takes two octets,
# and a microsecond to set up; a message of nothing else would keep the loop for seconds.
_MAX_STREAMS = 1024
# What is inflated at a time behind a final block. zlib hands the rest behind such a block back as a copy.
_STEP = 4096

# A decompressor takes 7 KiB besides its window. So between two messages only the window is kept, which makes inflating
# the next one 0.4 us slower; with a window of 32 KiB it would be 3 us, and there the decompressor stays.
_SMALL_WINDOW = 4096

_Parameters = Sequence[tuple[str, str | None]]


class Codec(Protocol):
    """What compresses and inflates the messages of one connection.

    The calls for one message come in order, one with ``final=True`` last, and never mixed with those for another
    message in the same direction. After an exception the codec is not used again.

    Attributes:
        share_key: what a message that is compressed right after ``forget`` depends on besides its payload: it can be
            sent over every connection whose codec has an equal key, if that codec has to forget as well. None if it is
            for one connection only.
    """

    @property
    def share_key(self) -> Hashable:
        """See above."""

    def compress(self, data: bytes | bytearray | memoryview, final: bool) -> bytes:
        """Compress a piece of a message.

        Args:
            data: the piece; may be empty.
            final: whether the message ends with it.

        Returns:
            What of the compressed message is ready to be sent, perhaps nothing.
        """

    def decompress(self, data: bytes | bytearray | memoryview, final: bool, max_length: int) -> bytes:
        """Inflate a piece of a message.

        Args:
            data: the piece; may be empty.
            final: whether the message ends with it.
            max_length: how many bytes may come out; 0 for any number. When nothing may come out any more, because
                earlier pieces have used up the limit of a message, give a negative number.

        Returns:
            The inflated bytes that are complete with this piece.

        Raises:
            MessageTooBig: more than ``max_length`` bytes would come out. Not more than one of them was inflated.
            PayloadCorruptError: this does not inflate.
        """

    def forget(self) -> None:
        """Have the next message compressed without reference to earlier ones. Called only between two messages."""

    def idle(self) -> None:
        """Free the memory that can be spared while nothing is sent. May be called at any time between two calls."""


@dataclasses.dataclass(frozen=True, slots=True)
class DeflateParams:
    """What both sides have agreed on (RFC 7692, section 7.1).

    Attributes:
        server_no_context_takeover: the server compresses each message by itself.
        client_no_context_takeover: the client compresses each message by itself.
        server_max_window_bits: the server's LZ77 window is at most 2 to the power of this, from 8 to 15.
        client_max_window_bits: the same for the client's.

    Raises:
        InvalidArgument: a window is not from 8 to 15 bits.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = _MAX_BITS
    client_max_window_bits: int = _MAX_BITS

    def __post_init__(self) -> None:
        _check_bits("server_max_window_bits", self.server_max_window_bits)
        _check_bits("client_max_window_bits", self.client_max_window_bits)


@dataclasses.dataclass(frozen=True, slots=True)
class _Element:
    """The parameters in an element of Sec-WebSocket-Extensions; None is a parameter left out."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None

    def __post_init__(self) -> None:
        for name in ("server_max_window_bits", "client_max_window_bits"):
            bits = getattr(self, name)
            if bits is not None:
                _check_bits(name, bits)


@dataclasses.dataclass(frozen=True, slots=True)
class DeflateOffer(_Element):
    """An offer of a client.

    Attributes:
        server_no_context_takeover: the client demands that the server compresses each message by itself
            (section 7.1.1.1).
        client_no_context_takeover: the client hints that it will do so itself (section 7.1.1.2).
        server_max_window_bits: the largest window the client allows the server, from 8 to 15 bits, or None
            (section 7.1.2.1).
        client_max_window_bits: the client lets the server limit the client's window, and hints that it will not use
            more than this many bits. 15, which limits nothing, is how a parameter without a value is read and written.
            None if the server may not set a limit (section 7.1.2.2).

    Raises:
        InvalidArgument: a window is not from 8 to 15 bits.
    """

    @classmethod
    def parse(cls, params: _Parameters) -> DeflateOffer:
        """Read an offer.

        Args:
            params: the parameters of the element as (name, value) pairs; the value is None for a name alone.

        Raises:
            ValueError: "A server MUST decline an extension negotiation offer for this extension" that has an unknown or
                repeated parameter or an invalid value (section 7.1). The connection goes on without it.
        """
        return cls(*_parse(params, bare_client_bits=True))

    def format(self) -> str:
        """Give the element of Sec-WebSocket-Extensions."""
        text = EXTENSION_NAME
        if self.client_no_context_takeover:
            text += "; client_no_context_takeover"
        if self.client_max_window_bits is not None:
            text += "; client_max_window_bits"
            if self.client_max_window_bits < _MAX_BITS:
                text += f"={self.client_max_window_bits}"
        if self.server_no_context_takeover:
            text += "; server_no_context_takeover"
        if self.server_max_window_bits is not None:
            text += f"; server_max_window_bits={self.server_max_window_bits}"
        return text


@dataclasses.dataclass(frozen=True, slots=True)
class DeflateResponse(_Element):
    """The answer of a server that accepts an offer.

    Attributes:
        server_no_context_takeover: the server compresses each message by itself.
        client_no_context_takeover: the client has to.
        server_max_window_bits: the server's window in bits, from 8 to 15, or None: 15.
        client_max_window_bits: the client's window in bits, from 8 to 15, or None: 15.

    Raises:
        InvalidArgument: a window is not from 8 to 15 bits.
    """

    @classmethod
    def parse(cls, params: _Parameters) -> DeflateResponse:
        """Read a response.

        Args:
            params: the parameters of the element as (name, value) pairs; the value is None for a name alone.

        Raises:
            ValueError: an unknown or repeated parameter or an invalid value (section 7.1).
        """
        return cls(*_parse(params, bare_client_bits=False))

    def format(self) -> str:
        """Give the element of Sec-WebSocket-Extensions."""
        text = EXTENSION_NAME
        if self.server_no_context_takeover:
            text += "; server_no_context_takeover"
        if self.server_max_window_bits is not None:
            text += f"; server_max_window_bits={self.server_max_window_bits}"
        if self.client_no_context_takeover:
            text += "; client_no_context_takeover"
        if self.client_max_window_bits is not None:
            text += f"; client_max_window_bits={self.client_max_window_bits}"
        return text

    def params(self) -> DeflateParams:
        """Give what is agreed on with this response."""
        return DeflateParams(
            self.server_no_context_takeover,
            self.client_no_context_takeover,
            self.server_max_window_bits or _MAX_BITS,
            self.client_max_window_bits or _MAX_BITS,
        )


def accept_offer(
    offer: DeflateOffer,
    *,
    no_context_takeover: bool = False,
    request_no_context_takeover: bool = False,
    window_bits: int = DEFAULT_WINDOW_BITS,
    request_window_bits: int = DEFAULT_WINDOW_BITS,
) -> DeflateResponse:
    """Answer an offer. Every valid offer can be accepted.

    Args:
        offer: the client's offer.
        no_context_takeover: compress each message by itself, also if the client does not demand it.
        request_no_context_takeover: have the client do so. Its hint alone does not: "the server may either ignore the
            parameter" (section 7.1.1.2), and there are clients that always send it and compress better without.
        window_bits: the largest window to compress with, from 8 to 15.
        request_window_bits: the largest window the client is to compress with, from 8 to 15. Without effect if the
            client does not offer client_max_window_bits: then it MUST NOT be in the response (section 7.1.2.2).

    Returns:
        The response; its ``params()`` are what is agreed on.
    """
    server_bits = min(offer.server_max_window_bits or _MAX_BITS, window_bits)
    client_bits = offer.client_max_window_bits
    if client_bits is not None:
        client_bits = min(client_bits, request_window_bits)
    return DeflateResponse(
        server_no_context_takeover=offer.server_no_context_takeover or no_context_takeover,
        client_no_context_takeover=request_no_context_takeover,
        # An offer that has the parameter is accepted "by including" it (section 7.1.2.1), also with the value 15.
        server_max_window_bits=None
        if offer.server_max_window_bits is None and server_bits == _MAX_BITS
        else server_bits,
        client_max_window_bits=None if client_bits == _MAX_BITS else client_bits,
    )


def first_offer(offers: Iterable[_Parameters]) -> DeflateOffer | None:
    """Give the first valid one of several offers, which come in the order of the client's preference (section 5.1).

    Args:
        offers: the parameters of each offer, as for ``DeflateOffer.parse``.

    Returns:
        The offer, or None if none is valid: the connection goes on without the extension.
    """
    for params in offers:
        try:
            return DeflateOffer.parse(params)
        except ValueError:
            continue
    return None


def check_response(offer: DeflateOffer, response: DeflateResponse) -> DeflateParams:
    """Check that a response answers an offer.

    Args:
        offer: what the client has sent.
        response: what it was answered.

    Returns:
        What is agreed on.

    Raises:
        InvalidResponse: "A client MUST _Fail the WebSocket Connection_ if the peer server accepted an extension
            negotiation offer for this extension with an extension negotiation response" that the offer does not allow
            (section 7.1).
    """
    if offer.server_no_context_takeover and not response.server_no_context_takeover:
        raise InvalidResponse("permessage-deflate: the server does not confirm server_no_context_takeover")
    params = response.params()
    # Without the parameter in the response the offer is not accepted "by including" it (section 7.1.2.1).
    if (response.server_max_window_bits or _MAX_BITS + 1) > (offer.server_max_window_bits or _MAX_BITS + 1):
        raise InvalidResponse("permessage-deflate: the server does not confirm server_max_window_bits")
    if response.client_max_window_bits is not None:
        if offer.client_max_window_bits is None:
            raise InvalidResponse("permessage-deflate: client_max_window_bits was not offered")
        if response.client_max_window_bits > offer.client_max_window_bits:
            raise InvalidResponse("permessage-deflate: client_max_window_bits is larger than offered")
    elif offer.client_max_window_bits is not None:
        # The hint in the offer binds the client also when the server does not repeat it.
        params = dataclasses.replace(params, client_max_window_bits=offer.client_max_window_bits)
    return params


class Deflate:
    """The codec of one connection that has agreed on permessage-deflate. It is a ``Codec``.

    Compressor and decompressor are made when first needed, and without context takeover dropped with each message.
    With it, the decompressor is too, and a copy of its window kept, if that is small.

    Args:
        params: what was agreed on.
        is_server: whether this is the server's end.
        level: zlib's compression level, from 0 to 9; -1 is zlib's own choice, 6.
        mem_level: zlib's memory level for compressing, from 1 to 9; about 2 to the power of (mem_level + 9) bytes.
        window_bits: compress with at most this window, from 8 to 15, even if a larger one was agreed on. Compressing
            takes about 2 to the power of (window_bits + 2) bytes besides.

    Attributes:
        share_key: see ``Codec``.

    Raises:
        InvalidArgument: a level or a window is out of its range.
    """

    __slots__ = (
        "_bits_in",
        "_bits_out",
        "_compressing",
        "_compressor",
        "_decompressor",
        "_inflating",
        "_keep_in",
        "_keep_out",
        "_level",
        "_mem_level",
        "_streams",
        "_window",
        "share_key",
    )

    def __init__(
        self,
        params: DeflateParams,
        *,
        is_server: bool,
        level: int = DEFAULT_LEVEL,
        mem_level: int = DEFAULT_MEM_LEVEL,
        window_bits: int = DEFAULT_WINDOW_BITS,
    ) -> None:
        if level not in range(-1, 10):
            raise InvalidArgument(f"level must be from -1 to 9, not {level!r}")
        if mem_level not in range(1, 10):
            raise InvalidArgument(f"mem_level must be from 1 to 9, not {mem_level!r}")
        _check_bits("window_bits", window_bits)
        server = (params.server_max_window_bits, not params.server_no_context_takeover)
        client = (params.client_max_window_bits, not params.client_no_context_takeover)
        bits_out, self._keep_out = server if is_server else client
        self._bits_in, self._keep_in = client if is_server else server
        self._bits_out = min(bits_out, window_bits)
        self._level = level
        self._mem_level = mem_level
        self.share_key: Hashable = _share_key(self._bits_out, level, mem_level)
        self._compressor: zlib._Compress | None = None
        self._decompressor: zlib._Decompress | None = None
        # The end of what was inflated, which the next message may refer to. None: only the decompressor knows it.
        self._window: bytes | None = b""
        self._compressing = False
        self._inflating = False
        self._streams = 0

    def compress(self, data: bytes | bytearray | memoryview, final: bool) -> bytes:
        """Compress a piece of a message; see ``Codec``."""
        if not self._compressing and final and not data:
            return _EMPTY
        compressor = self._compressor
        if compressor is None:
            compressor = self._compressor = self._make_compressor()
        out = compressor.compress(data)
        self._compressing = not final
        if final:
            # "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end" (section 7.2.1)
            out += compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]
            if not self._keep_out:
                self._compressor = None
        return out

    def decompress(self, data: bytes | bytearray | memoryview, final: bool, max_length: int) -> bytes:
        """Inflate a piece of a message; see ``Codec``."""
        if not data and not self._inflating:
            # A message without any octet is not what section 7.2.3.6 calls an empty message, but means nothing else;
            # the tail alone would begin a block that goes on in the next message. The same behind a final block.
            if final:
                self._streams = 0
            return b""
        self._inflating = not final
        decompressor = self._decompressor
        if decompressor is None:
            decompressor = self._decompressor = zlib.decompressobj(-self._bits_in, self._window or b"")
        if final:
            data = b"".join((data, _TAIL))
        # One byte more than allowed tells a message that is too large from one that is just as large as it may be.
        # For zlib, 0 is no limit.
        limit = max(max_length, 0) + 1 if max_length else 0
        try:
            out = decompressor.decompress(data, limit)
            if decompressor.eof:
                out = self._inflate_streams(out, decompressor.unused_data, final, limit)
        except zlib.error as error:
            raise PayloadCorruptError("permessage-deflate: the payload does not inflate") from error
        if limit and len(out) >= limit:
            raise MessageTooBig("message inflates to more than is allowed")
        if self._keep_in and self._window is not None:
            self._keep_window(self._window, out)
        if final:
            self._streams = 0
            if self._window is not None:
                self._decompressor = None
        return out

    def _keep_window(self, window: bytes, out: bytes) -> None:
        """Note what was inflated, unless that is too much to be noted each time."""
        size = 1 << self._bits_in
        window = out[-size:] if len(out) >= size else (window + out)[-size:]
        self._window = window if len(window) <= _SMALL_WINDOW else None

    def forget(self) -> None:
        """Have the next message compressed without reference to earlier ones, which is always allowed; see ``Codec``.

        What the peer has sent has to stay: only the peer can tell what its next message refers to.
        """
        if not self._compressing:
            self._compressor = None

    def idle(self) -> None:
        """Free the compressor, which is most of the memory; see ``Codec``."""
        self.forget()

    def _make_compressor(self) -> zlib._Compress:
        # zlib cannot compress with a window of 256 bytes, and a peer that has only that might not be able to read what
        # was compressed with 512. Z_RLE, with matches at a distance of one byte only, fits into any window.
        if self._bits_out == 8:
            return zlib.compressobj(self._level, zlib.DEFLATED, -9, self._mem_level, zlib.Z_RLE)
        return zlib.compressobj(self._level, zlib.DEFLATED, -self._bits_out, self._mem_level)

    def _inflate_streams(self, out: bytes, rest: bytes, final: bool, limit: int) -> bytes:
        """Go on behind a block with BFINAL set (section 7.2.3.4): a new stream begins there.

        Args:
            out: what was inflated up to there.
            rest: what follows, with the tail if it is ``final``.
            final: whether the message ends with it.
            limit: how many bytes may come out altogether, or 0.
        """
        outs = [out]
        size = len(out)
        position = 0
        # What is in the window is not what was inflated last, but what was since the last of these blocks. Hardly any
        # peer sends them: leave that to the decompressor.
        if self._keep_in:
            self._window = None
        decompressor = self._next_stream()
        fresh = True
        while position < len(rest) and not (limit and size >= limit):
            # A sender that ends a message with such a block appends an octet 0x00, which goes with the tail. If it is
            # missing, there is nothing left to inflate but our own tail.
            if fresh and final and len(rest) - position == len(_TAIL):
                break
            piece = rest[position : position + _STEP]
            out = decompressor.decompress(piece, limit and limit - size)
            outs.append(out)
            size += len(out)
            position += len(piece) - len(decompressor.unused_data)
            fresh = decompressor.eof
            if fresh:
                decompressor = self._next_stream()
        self._inflating = not (final or fresh)
        return b"".join(outs)

    def _next_stream(self) -> zlib._Decompress:
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise PayloadCorruptError("permessage-deflate: too many final blocks in a message")
        self._decompressor = zlib.decompressobj(-self._bits_in)
        return self._decompressor


# One for all connections that agree on the same. With different parameters agreed on, what is compressed may be the
# same all the same: it depends on what our own compressor is made with, and on nothing of the other direction.
@cache
def _share_key(bits: int, level: int, mem_level: int) -> Hashable:
    return EXTENSION_NAME, bits, level, mem_level


def _check_bits(name: str, bits: int) -> None:
    if bits not in range(8, 16):
        raise InvalidArgument(f"{name} must be from 8 to 15, not {bits!r}")


def _parse(params: _Parameters, bare_client_bits: bool) -> tuple[bool, bool, int | None, int | None]:
    """Read the parameters of an element into the fields of ``_Element``, in their order."""
    values: dict[str, int] = {}
    for name, value in params:
        if name in values:
            raise ValueError(f"permessage-deflate: parameter {name} is repeated")
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                raise ValueError(f"permessage-deflate: parameter {name} has a value")
            values[name] = 1
        elif name in ("server_max_window_bits", "client_max_window_bits"):
            if value is None and bare_client_bits and name == "client_max_window_bits":
                values[name] = _MAX_BITS
            elif value in _BITS:
                values[name] = _BITS[value]
            else:
                raise ValueError(f"permessage-deflate: parameter {name} is not from 8 to 15")
        else:
            raise ValueError("permessage-deflate: unknown parameter")
    return (
        "server_no_context_takeover" in values,
        "client_no_context_takeover" in values,
        values.get("server_max_window_bits"),
        values.get("client_max_window_bits"),
    )
