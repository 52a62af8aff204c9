"""The base classes of per-message compression extensions (RFC 7692, section 5).

An extension is five classes, named in ``autobahnlike.websocket.compress.PERMESSAGE_COMPRESSION_EXTENSION``: a client
sends an *offer*, the server answers it with an *offer accept*; what the client receives is a *response*, which it takes
with a *response accept*; and from each accept object the fifth is made, which compresses and inflates the messages.

To write another extension, derive from these and register the five. A ``PerMessageCompress`` needs only the six methods
that Autobahn's have; what the protocol core calls is made of them here.
"""

from __future__ import annotations

import abc
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from autobahnlike.exception import InvalidArgument, MessageTooBig, PayloadExceededError

__all__ = (
    "ExtensionParams",
    "PerMessageCompress",
    "PerMessageCompressOffer",
    "PerMessageCompressOfferAccept",
    "PerMessageCompressResponse",
    "PerMessageCompressResponseAccept",
    "param_pairs",
    "require_bool",
)

# The parameters of an extension: as (name, value) pairs, where None is no value, or, as Autobahn has them, as a dict
# from each name to all its values, where True is no value.
ExtensionParams: TypeAlias = "Sequence[tuple[str, str | None]] | Mapping[str, Sequence[str | bool]]"


def param_pairs(params: ExtensionParams) -> list[tuple[str, str | None]]:
    """Give the parameters of an extension as pairs.

    Args:
        params: pairs, or a dict from each name to the list of its values, where True stands for no value.

    Returns:
        The (name, value) pairs; None is no value.
    """
    if not isinstance(params, Mapping):
        return list(params)
    return [(name, None if value is True else str(value)) for name, values in params.items() for value in values]


def require_bool(name: str, value: object) -> None:
    """Check an argument that has to be True or False.

    Raises:
        InvalidArgument: it is something else.
    """
    if not isinstance(value, bool):
        raise InvalidArgument(f"{name} must be True or False, not {value!r}")


class PerMessageCompressOffer(abc.ABC):
    """An offer of an extension, by a client.

    Attributes:
        EXTENSION_NAME: the name of the extension in the opening handshake.
    """

    EXTENSION_NAME: ClassVar[str]

    @classmethod
    @abc.abstractmethod
    def parse(cls, params: ExtensionParams) -> PerMessageCompressOffer:
        """Make the offer from the parameters that a client has sent.

        Raises:
            ValueError: they are not valid; the offer is declined.
        """

    @abc.abstractmethod
    def get_extension_string(self) -> str:
        """Give the element of Sec-WebSocket-Extensions."""

    def permits(self, response: PerMessageCompressResponse) -> bool:
        """Tell whether a response is an answer to this offer; if to none, the client fails the connection.

        Args:
            response: the server's response, of the same extension.

        Returns:
            True unless an extension knows better.
        """
        return response.EXTENSION_NAME == self.EXTENSION_NAME


class PerMessageCompressOfferAccept(abc.ABC):
    """How a server accepts an offer.

    Attributes:
        EXTENSION_NAME: the name of the extension in the opening handshake.
    """

    EXTENSION_NAME: ClassVar[str]

    @abc.abstractmethod
    def get_extension_string(self) -> str:
        """Give the element of Sec-WebSocket-Extensions."""


class PerMessageCompressResponse(abc.ABC):
    """The response of a server that has accepted an offer.

    Attributes:
        EXTENSION_NAME: the name of the extension in the opening handshake.
    """

    EXTENSION_NAME: ClassVar[str]

    @classmethod
    @abc.abstractmethod
    def parse(cls, params: ExtensionParams) -> PerMessageCompressResponse:
        """Make the response from the parameters that a server has sent.

        Raises:
            ValueError: they are not valid; the client fails the connection.
        """


class PerMessageCompressResponseAccept:
    """How a client takes a response.

    Attributes:
        EXTENSION_NAME: the name of the extension in the opening handshake.
    """

    EXTENSION_NAME: ClassVar[str]


class PerMessageCompress(abc.ABC):
    """What compresses and inflates the messages of one connection.

    An extension implements the six methods with Autobahn's names. ``compress``, ``decompress``, ``forget`` and
    ``idle``, which make it a ``Codec`` of ``autobahnlike.wire.deflate`` for the protocol core, come from here.

    Attributes:
        EXTENSION_NAME: the name of the extension in the opening handshake.
        share_key: None: prepared messages are compressed for each connection. An extension that knows better sets it,
            and has ``forget``; see ``autobahnlike.wire.deflate.Codec``.
    """

    EXTENSION_NAME: ClassVar[str]

    share_key: Hashable = None

    # On the class, because an extension written for Autobahn does not call this class's __init__.
    _compressing = False
    _inflating = False

    @classmethod
    @abc.abstractmethod
    def create_from_offer_accept(cls, is_server: bool, accept: Any) -> PerMessageCompress:
        """Make it on the server.

        Args:
            is_server: True.
            accept: the ``PerMessageCompressOfferAccept`` of the extension.
        """

    @classmethod
    @abc.abstractmethod
    def create_from_response_accept(cls, is_server: bool, accept: Any) -> PerMessageCompress:
        """Make it on the client.

        Args:
            is_server: False.
            accept: the ``PerMessageCompressResponseAccept`` of the extension.
        """

    @abc.abstractmethod
    def start_compress_message(self) -> None:
        """Begin to compress a message."""

    @abc.abstractmethod
    def compress_message_data(self, data: bytes) -> bytes:
        """Compress a piece of the message and give what is ready, perhaps nothing."""

    @abc.abstractmethod
    def end_compress_message(self) -> bytes:
        """End the message and give the rest of it."""

    @abc.abstractmethod
    def start_decompress_message(self) -> None:
        """Begin to inflate a message."""

    @abc.abstractmethod
    def decompress_message_data(self, data: bytes, max_output_len: int | None = None) -> bytes:
        """Inflate a piece of the message.

        Args:
            data: the piece.
            max_output_len: how many bytes may come out; None for any number.

        Raises:
            PayloadExceededError: more would come out; inflating stops near the limit.
            PayloadCorruptError: this does not inflate.
        """

    @abc.abstractmethod
    def end_decompress_message(self) -> None:
        """End the message.

        Raises:
            PayloadCorruptError: the message is not complete.
        """

    def compress(self, data: bytes | bytearray | memoryview, final: bool) -> bytes:
        """Compress a piece of a message; see ``autobahnlike.wire.deflate.Codec``."""
        if not self._compressing:
            self.start_compress_message()
        self._compressing = not final
        out = self.compress_message_data(bytes(data))
        return out + self.end_compress_message() if final else out

    def decompress(self, data: bytes | bytearray | memoryview, final: bool, max_length: int) -> bytes:
        """Inflate a piece of a message; see ``autobahnlike.wire.deflate.Codec``."""
        if not self._inflating:
            self.start_decompress_message()
        self._inflating = not final
        try:
            out = self.decompress_message_data(bytes(data), max(max_length, 0) if max_length else None)
        except PayloadExceededError as error:
            raise MessageTooBig("message inflates to more than is allowed") from error
        if final:
            self.end_decompress_message()
        return out

    def forget(self) -> None:  # noqa: B027  (an extension need not have it)
        """Compress the next message without reference to earlier ones; only asked for if there is a ``share_key``."""

    def idle(self) -> None:  # noqa: B027  (an extension need not have it)
        """Free memory that can be spared; nothing, unless an extension knows better."""
