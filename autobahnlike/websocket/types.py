"""What hooks are given and may return.

The representation of a request or response leaves out header values and query parameters, because they may be
credentials and representations end up in logs; ``str`` shows everything, as in Autobahn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pprint import pformat
from typing import Any, ClassVar, TypeAlias

from autobahnlike.exception import InvalidArgument
from autobahnlike.wire.frames import MAX_CONTROL_PAYLOAD
from autobahnlike.wire.headers import HeaderSource

__all__ = (
    "ConnectResult",
    "ConnectingRequest",
    "ConnectingResult",
    "ConnectionAccept",
    "ConnectionDeny",
    "ConnectionRequest",
    "ConnectionResponse",
    "HookResult",
    "IncomingMessage",
    "Message",
    "OutgoingMessage",
    "Ping",
    "TransportDetails",
)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, if it knows how to become that."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.__json__() if hasattr(value, "__json__") else value


class _Described:
    """A type that tells its fields as Autobahn's types do."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __json__(self) -> dict[str, Any]:
        """Return the fields as a dictionary, ready for ``json.dumps``."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    def __str__(self) -> str:
        return pformat(self.__json__())


@dataclass(slots=True, eq=False)
class ConnectionRequest(_Described):
    """A client's request for a WebSocket (RFC 6455, section 4.2.1), for ``onConnect`` of a server.

    Attributes:
        peer: who asks, as ``"tcp4:127.0.0.1:51234"``, or what the trusted proxy says if ``trustXForwardedFor`` is set.
        headers: header fields, names in lower case, repeated ones joined.
        host: the host the client asked for, without the port.
        path: the path of the resource, without the query, as it was sent.
        params: the parameters of the query, decoded, with all the values of each.
        version: Sec-WebSocket-Version, 13 or 8.
        origin: the origin as it was sent, ``""`` if there was none. Only browsers can be relied on to tell the truth.
        protocols: the subprotocols that the client offers, in its order of preference.
        extensions: the extensions that the client offers, as (name, parameters with all the values of each).
    """

    peer: str
    headers: dict[str, str] = field(repr=False)
    host: str
    path: str
    params: dict[str, list[str]] = field(repr=False)
    version: int
    origin: str
    protocols: list[str]
    extensions: list[Any]


@dataclass(slots=True, eq=False)
class ConnectionResponse(_Described):
    """A server's acceptance (RFC 6455, section 4.1), for ``onConnect`` of a client.

    Attributes:
        peer: the server, as ``"tcp4:127.0.0.1:9000"``.
        headers: header fields, names in lower case, repeated ones joined.
        version: the specification that is spoken, as Autobahn counts them: 18 is RFC 6455.
        protocol: the subprotocol that the server chose, None if none.
        extensions: the extensions in use, as the objects that do the compression.
    """

    peer: str
    headers: dict[str, str] = field(repr=False)
    version: int
    protocol: str | None
    extensions: list[Any]


@dataclass(slots=True, eq=False, init=False)
class ConnectingRequest(_Described):
    """What a client asks the server for, returned from ``onConnecting``. It replaces all that the factory says of it.

    Args:
        host: the host for the Host header; None is ``"localhost"``.
        port: its port, or the path of a Unix domain socket; None is 80.
        resource: path and query, percent-encoded; None is ``"/"``.
        headers: header fields to add. A value may be a list of values, one for each line.
        useragent: the value of User-Agent; None sends none.
        origin: the value of Origin; None sends none.
        protocols: the subprotocols to offer, in order of preference.
    """

    host: str
    port: int | str
    resource: str
    headers: dict[str, Any] = field(repr=False)
    useragent: str | None
    origin: str | None
    protocols: list[str]

    def __init__(
        self,
        host: str | None = None,
        port: int | str | None = None,
        resource: str | None = None,
        headers: Mapping[str, Any] | None = None,
        useragent: str | None = None,
        origin: str | None = None,
        protocols: Sequence[str] | None = None,
    ) -> None:
        self.host = "localhost" if host is None else host
        self.port = 80 if port is None else port
        self.resource = "/" if resource is None else resource
        self.headers = dict(headers or {})
        self.useragent = useragent
        self.origin = origin
        self.protocols = list(protocols or ())


@dataclass(slots=True, eq=False)
class ConnectionAccept(_Described):
    """What ``onConnect`` of a server may return to accept, instead of a subprotocol or a tuple.

    Attributes:
        subprotocol: one of those that the client offers, or None for none.
        headers: header fields for the response; see ``ConnectingRequest``.
    """

    subprotocol: str | None = None
    headers: HeaderSource = None


class ConnectionDeny(Exception):
    """Raise it in ``onConnect`` of a server to refuse the request.

    Args:
        code: the HTTP status for the response, from 400 to 599. With any other, the answer is 500.
        reason: one line of text for the status line, None for the usual phrase. The client can read it.

    Raises:
        InvalidArgument: ``code`` is not a number, or ``reason`` is not text.
    """

    BAD_REQUEST = 400
    FORBIDDEN = 403
    NOT_FOUND = 404
    NOT_ACCEPTABLE = 406
    REQUEST_TIMEOUT = 408
    INTERNAL_SERVER_ERROR = 500
    NOT_IMPLEMENTED = 501
    SERVICE_UNAVAILABLE = 503

    def __init__(self, code: int, reason: str | None = None) -> None:
        if not isinstance(code, int) or isinstance(code, bool):
            raise InvalidArgument(f"code must be an HTTP status, not {code!r:.80}")
        if reason is not None and not isinstance(reason, str):
            raise InvalidArgument(f"reason must be text or None, not {reason!r:.80}")
        super().__init__(code, reason)
        self.code = int(code)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code} {self.reason}" if self.reason else str(self.code)


class Message:
    """A message, in one direction or the other (RFC 6455, section 5.6)."""

    __slots__ = ()


def _check_payload(payload: object) -> None:
    if not isinstance(payload, bytes):
        raise InvalidArgument(f"payload must be bytes, not {type(payload).__name__}; encode text as UTF-8")


@dataclass(slots=True)
class IncomingMessage(Message):
    """A message that was received.

    Attributes:
        payload: the message; UTF-8 if it is text.
        is_binary: whether it is binary.

    Raises:
        InvalidArgument: ``payload`` is not bytes.
    """

    payload: bytes
    is_binary: bool = False

    def __post_init__(self) -> None:
        _check_payload(self.payload)


@dataclass(slots=True)
class OutgoingMessage(Message):
    """A message to send.

    Attributes:
        payload: the message; UTF-8 if it is text.
        is_binary: whether it is binary.
        skip_compress: send it uncompressed although compression was negotiated.

    Raises:
        InvalidArgument: ``payload`` is not bytes.
    """

    payload: bytes
    is_binary: bool = False
    skip_compress: bool = False

    def __post_init__(self) -> None:
        _check_payload(self.payload)


@dataclass(slots=True)
class Ping:
    """A ping (RFC 6455, section 5.5.2).

    Attributes:
        payload: at most 125 bytes, or None for none.

    Raises:
        InvalidArgument: ``payload`` is not bytes, or too long.
    """

    payload: bytes | None = None

    def __post_init__(self) -> None:
        if self.payload is not None:
            _check_payload(self.payload)
            if len(self.payload) > MAX_CONTROL_PAYLOAD:
                raise InvalidArgument(f"payload of {len(self.payload)} bytes is too long for a ping: at most 125")


@dataclass(slots=True)
class TransportDetails:
    """What is known of the transport under a connection. All of it can be set; None is not known.

    Attributes:
        channel_type: what carries the bytes, one of ``CHANNEL_TYPE_TCP`` and its kin.
        channel_framing: what cuts them into messages, one of ``CHANNEL_FRAMING_WEBSOCKET`` and its kin.
        channel_serializer: what the messages are written in, for applications that have a notion of it.
        own: our address, as ``"tcp4:127.0.0.1:9000"``.
        peer: the peer's address, the same way. It is that of the transport: a proxy's, if there is one.
        is_server: whether we are the server.
        own_pid, own_tid: our process and thread.
        own_fd: the file descriptor of the transport, -1 if unknown.
        is_secure: whether the transport is TLS.
        channel_id: what identifies the TLS connection, by the name of the binding (RFC 5929).
        peer_cert: the certificate of the peer.
        websocket_protocol: the subprotocol in use.
        websocket_extensions_in_use: the extensions in use.
        http_headers_received, http_headers_sent: the header fields of the opening handshake.
        http_cbtid: a tracking cookie, for applications that set one.
    """

    CHANNEL_TYPE_NONE: ClassVar[int] = 0
    CHANNEL_TYPE_FUNCTION: ClassVar[int] = 1
    CHANNEL_TYPE_MEMORY: ClassVar[int] = 2
    CHANNEL_TYPE_SERIAL: ClassVar[int] = 3
    CHANNEL_TYPE_TCP: ClassVar[int] = 4
    CHANNEL_TYPE_TLS: ClassVar[int] = 5
    CHANNEL_TYPE_UDP: ClassVar[int] = 6
    CHANNEL_TYPE_DTLS: ClassVar[int] = 7
    CHANNEL_TYPE_TO_STR: ClassVar[dict[int, str]] = dict(
        enumerate(("null", "function", "memory", "serial", "tcp", "tls", "udp", "dtls"))
    )
    CHANNEL_FRAMING_NONE: ClassVar[int] = 0
    CHANNEL_FRAMING_NATIVE: ClassVar[int] = 1
    CHANNEL_FRAMING_WEBSOCKET: ClassVar[int] = 2
    CHANNEL_FRAMING_RAWSOCKET: ClassVar[int] = 3
    CHANNEL_FRAMING_TO_STR: ClassVar[dict[int, str]] = dict(enumerate(("null", "native", "websocket", "rawsocket")))
    CHANNEL_SERIALIZER_NONE: ClassVar[int] = 0
    CHANNEL_SERIALIZER_TO_STR: ClassVar[dict[int, str]] = dict(
        enumerate(("null", "json", "msgpack", "cbor", "ubjson", "flatbuffers"))
    )

    channel_type: int | None = None
    channel_framing: int | None = None
    channel_serializer: int | None = None
    own: str | None = None
    peer: str | None = None
    is_server: bool | None = None
    own_pid: int | None = None
    own_tid: int | None = None
    own_fd: int | None = None
    is_secure: bool | None = None
    channel_id: dict[str, bytes] | None = None
    peer_cert: dict[str, Any] | None = None
    websocket_protocol: str | None = None
    websocket_extensions_in_use: list[Any] | None = None
    http_headers_received: dict[str, Any] | None = None
    http_headers_sent: dict[str, Any] | None = None
    http_cbtid: str | None = None

    @property
    def channel_typeid(self) -> str:
        """The kind of channel in one word, as ``"tcp-websocket-null"``."""
        return "-".join(
            (
                self.CHANNEL_TYPE_TO_STR[self.channel_type or 0],
                self.CHANNEL_FRAMING_TO_STR[self.channel_framing or 0],
                self.CHANNEL_SERIALIZER_TO_STR[self.channel_serializer or 0],
            )
        )

    def marshal(self) -> dict[str, Any]:
        """Return the fields as a dictionary, with names for the numbers of the channel."""
        return {
            **{item.name: _plain(getattr(self, item.name)) for item in fields(self)},
            "channel_type": self.CHANNEL_TYPE_TO_STR.get(self.channel_type or 0),
            "channel_framing": self.CHANNEL_FRAMING_TO_STR.get(self.channel_framing or 0),
            "channel_serializer": self.CHANNEL_SERIALIZER_TO_STR.get(self.channel_serializer or 0),
        }

    def __str__(self) -> str:
        return pformat(self.marshal())


HookResult: TypeAlias = "Awaitable[object] | None"
"""What a hook returns: nothing, or a coroutine, Deferred or Future, which is waited for."""

_Accepted: TypeAlias = "str | ConnectionAccept | tuple[str | None, HeaderSource] | None"
ConnectResult: TypeAlias = "_Accepted | Awaitable[_Accepted]"
"""What ``onConnect`` of a server accepts with, which is None, a subprotocol, or one with header fields
for the response; at once or, with a coroutine, Deferred or Future, later."""

ConnectingResult: TypeAlias = "ConnectingRequest | Awaitable[ConnectingRequest | None] | None"
"""What ``onConnecting`` of a client asks for, at once or later; None for what the factory says."""
