"""The factories that make connections: where they go, what their options are, and which of them are open.

Nothing here needs ``__init__`` to have run: applications forget it, or mix in other bases whose ``__init__`` comes
first. Everything has a default on the class, and what cannot be shared is made when it is first used.

Options are plain attributes. The defaults stand on the classes, so that an application can override one on its own
class, set it on a factory, or set it on a protocol; see ``WebSocketFactory._resolve_options``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from operator import attrgetter
from typing import Any, ClassVar

from zope.interface import implementer

from autobahnlike import __version__
from autobahnlike.exception import InvalidArgument
from autobahnlike.websocket.attributes import OptionAttributes
from autobahnlike.websocket.channel import send_to_all
from autobahnlike.websocket.connections import Channel, Connections
from autobahnlike.websocket.interfaces import IWebSocketClientChannelFactory, IWebSocketServerChannelFactory
from autobahnlike.websocket.link import EventLoop
from autobahnlike.websocket.prepared import PreparedMessage
from autobahnlike.wire.options import CLIENT, OPTIONS, SERVER, OptionInfo, Options
from autobahnlike.wire.uri import parse_url

__all__ = ("PreparedMessage", "WebSocketClientFactory", "WebSocketFactory", "WebSocketServerFactory")

# What a connection is given to end its closing handshake in a shutdown, if there is no time-out to go by.
_CLOSING_TIME = 5.0


class WebSocketFactory:
    """What the factories of servers and clients have in common.

    Attributes:
        isServer: whether connections are a server's.
        protocol: what makes a connection's protocol: a class, or anything to call without arguments.
        url: the URL that was given, or None.
        isSecure: whether its scheme is ``wss``.
        host: its host, ``"localhost"`` without a URL.
        port: its port; the path of the socket for a Unix domain socket.
        resource: its path and query, percent-encoded.
        path: its path, decoded.
        params: the parameters of its query, decoded, with all the values of each.
        protocols: the subprotocols.
        headers: header fields for every request of a client, or response 101 of a server. Can be changed at any time.
        countConnections: how many connections there are, those in the opening handshake included.
    """

    isServer: ClassVar[bool]
    protocol: Any = None

    url: str | None = None
    isSecure: bool = False
    host: str = "localhost"
    # A number, or the path of a Unix domain socket; a union would make every caller of connectTCP tell them apart.
    port: Any = 80
    resource: str = "/"
    path: str = "/"
    countConnections: int = 0

    utf8validateIncoming: bool
    applyMask: bool
    maxFramePayloadSize: int
    maxMessagePayloadSize: int
    autoFragmentSize: int
    failByDrop: bool
    echoCloseCodeReason: bool
    openHandshakeTimeout: float
    closeHandshakeTimeout: float
    tcpNoDelay: bool
    perMessageCompressionAccept: Callable[..., Any] | None
    autoPingInterval: float
    autoPingTimeout: float
    autoPingSize: int
    autoPingRestartOnAnyTraffic: bool
    maxHandshakeSize: int
    maxHandshakeHeaders: int
    maxFragments: int
    writeBufferHighWater: int
    readAhead: int
    maxSendQueueSize: int
    logOctets: bool
    logFrames: bool

    _option_table: ClassVar[tuple[OptionInfo, ...]]
    _option_names: ClassVar[frozenset[str]]
    _option_index: ClassVar[dict[str, int]]  # where in the table each of them stands
    _read_options: ClassVar[attrgetter[tuple[Any, ...]]]
    _resolved: tuple[list[Any], Options] | None = None
    _stopping: bool = False

    @cached_property
    def params(self) -> dict[str, list[str]]:
        """The parameters of the URL."""
        return {}

    @cached_property
    def protocols(self) -> list[str]:
        """The subprotocols."""
        return []

    @cached_property
    def headers(self) -> dict[str, Any]:
        """Header fields for the opening handshake."""
        return {}

    @property
    def _event_loop(self) -> EventLoop:
        raise NotImplementedError(f"{type(self).__name__} has no event loop: use the factory of Twisted or of asyncio")

    def _set_target(self, url: str | None, protocols: Sequence[str] | None) -> None:
        if isinstance(protocols, str):
            raise InvalidArgument(f"subprotocols must be a list, not {protocols!r:.80}")
        parsed = parse_url(url or "ws://localhost")
        if self.isServer and parsed.params:
            raise InvalidArgument(f"the URL of a server has no query: {url!r:.80}")
        self.url = url
        self.isSecure, self.host, self.port, self.resource, self.path, self.params = parsed
        self.protocols = list(protocols or ())

    # -- Options

    def resetProtocolOptions(self) -> None:
        """Forget what was set by ``setProtocolOptions``, ``useAutobahnDefaults`` or as an attribute of the factory.

        What the class says stays in effect, and so do the options for logging and timings, as in Autobahn.
        """
        for info in self._option_table:
            if info.keyword:
                self.__dict__.pop(info.name, None)

    def useAutobahnDefaults(self) -> None:
        """Set every option to the default it has in Autobahn.

        These are less safe in places: messages of any size, no keepalive, violations answered by dropping the
        connection. The options for logging and timings stay as they are.
        """
        for info in self._option_table:
            if info.keyword:
                setattr(self, info.name, list(info.autobahn) if isinstance(info.autobahn, tuple) else info.autobahn)

    def _change_options(self, given: dict[str, Any]) -> None:
        """Set options by Autobahn's names, all or none of them; None leaves an option as it is."""
        changes = {name: value for name, value in given.items() if value is not None and name != "self"}
        Options(
            **{info.field: _coerce(info, changes[info.name]) for info in self._option_table if info.name in changes}
        )
        for name, value in changes.items():
            setattr(self, name, value)

    def _resolve_options(self, protocol: object) -> Options:
        """Return the options of a new connection.

        An attribute of the protocol, set on the instance or on any of its classes, is stronger than one of the factory,
        and that is stronger than the default. Connections with equal options share one object.

        Args:
            protocol: the protocol of the connection.

        Raises:
            InvalidArgument: an attribute has a value that may not be used.
        """
        # All of them in one call, and compared as they are: going through them one by one was a tenth of the opening
        # handshake.
        values = list(self._read_options(self))
        for name in self._own_options(protocol):
            values[self._option_index[name]] = getattr(protocol, name)
        resolved = self._resolved
        if resolved is None or resolved[0] != values:
            fields = {info.field: _coerce(info, value) for info, value in zip(self._option_table, values, strict=True)}
            options = Options(**fields)
            # Copies, because an application may change its lists.
            values = [copy(value) if isinstance(value, (list, set)) else value for value in values]
            self._resolved = resolved = values, options
        return resolved[1]

    def _own_options(self, protocol: object) -> frozenset[str]:
        """Return the names of the options that a protocol, or any of its classes, sets itself."""
        names = self._option_names
        own: frozenset[str] = frozenset()
        # Hardly any does, and an intersection takes three times as long.
        attributes = getattr(protocol, "__dict__", None)
        if attributes and not names.isdisjoint(attributes):
            own = names & attributes.keys()
        for cls in type(protocol).__mro__:
            # What stands behind it is hidden by it.
            if cls is OptionAttributes:
                break
            if not names.isdisjoint(cls.__dict__):
                own |= names & cls.__dict__.keys()
        return own

    # -- Messages

    def prepareMessage(self, payload: bytes, isBinary: bool = False, doNotCompress: bool = False) -> PreparedMessage:
        """Prepare a message for ``sendPreparedMessage`` of many connections.

        Args:
            payload: the message; UTF-8 if it is text.
            isBinary: whether it is binary.
            doNotCompress: send it uncompressed also where compression was negotiated.

        Raises:
            InvalidArgument: the payload is not bytes.
        """
        return PreparedMessage(payload, isBinary, doNotCompress)

    def broadcast(
        self,
        payload: bytes,
        isBinary: bool = False,
        *,
        doNotCompress: bool = False,
        exclude: Iterable[Any] = (),
    ) -> int:
        """Send a message over all connections that are open, those still opening and those closing left out.

        It is built once, and compressed once for all that compress alike; see ``PreparedMessage``. No connection keeps
        it from the others: one that is gone, or that reads too slowly and has more than ``maxSendQueueSize`` waiting,
        is dropped, and so is one with which something else goes wrong, which is logged.

        Args:
            payload: the message; UTF-8 if it is text.
            isBinary: whether it is binary.
            doNotCompress: send it uncompressed also where compression was negotiated.
            exclude: the connections to leave out, such as the one that the message came from: their protocols.

        Returns:
            How many connections it was sent to.

        Raises:
            InvalidArgument: the payload is not bytes, or ``exclude`` is one connection instead of a list or a set.
            PayloadExceededError: the message is larger than ``maxMessagePayloadSize``. Then it was sent to nobody.
        """
        message = PreparedMessage(payload, isBinary, doNotCompress)
        try:
            # By identity, as applications' protocols may be equal to each other, or not to be hashed.
            left_out = {id(connection) for connection in exclude}
        except TypeError:
            raise InvalidArgument(f"exclude must be a list of connections, not {exclude!r:.80}") from None
        return send_to_all(self._connections.references(), message, left_out)

    # -- Connections

    @cached_property
    def _connections(self) -> Connections:
        return Connections()

    def _add(self, connection: Channel) -> None:
        """Take in a connection that was made."""
        self._connections.add(connection)
        self.countConnections = len(self._connections)

    def _remove(self, connection: Channel) -> None:
        """Forget a connection that is gone and has told the application so."""
        self._connections.remove(connection)
        self.countConnections = len(self._connections)

    def getConnectionCount(self) -> int:
        """Return how many connections there are, those in the opening handshake included."""
        return self.countConnections

    def drain(self, seconds: float, code: int | None = 1012, reason: str | None = None) -> Any:
        """Close all connections one after another, and refuse new ones with status 503 from now on.

        It is what comes before ``shutdown`` where the clients shall not all come back at once: the oldest is closed at
        once, the others follow evenly. Connections in the opening handshake are left to ``shutdown``.

        Args:
            seconds: how long it is to take.
            code: the close code, by default 1012, "service restart" (IANA's registry of close codes).
            reason: text to go with the code.

        Returns:
            A Deferred or Future of the loop, done with None when all have been told, or are gone. The last of them may
            still be in the closing handshake, which ``shutdown`` waits for.

        Raises:
            InvalidArgument: the code may not be sent, there is a reason without a code, or the time is negative.
        """
        done = self._connections.drain(self._event_loop, seconds, code, reason)
        self._stopping = True
        return done

    def shutdown(self, timeout: float | None = None, code: int | None = 1001, reason: str | None = None) -> Any:
        """Close all connections, and refuse new ones with status 503 from now on.

        Connections in the opening handshake are dropped. The others are closed, and dropped if they have not done the
        closing handshake when the time is over. Calling it again waits for the same end.

        Args:
            timeout: seconds to wait before what is left is dropped; None for the option ``closeHandshakeTimeout``, or 5
                if that is off.
            code: the close code, by default 1001, "going away" (RFC 6455, section 7.4.1).
            reason: text to go with the code.

        Returns:
            A Deferred or Future of the loop, done with None when all connections are gone and have told the application
            so; at the latest one second after the time is over.

        Raises:
            InvalidArgument: the code may not be sent, there is a reason without a code, or the time-out is negative.
        """
        if timeout is None:
            timeout = self.closeHandshakeTimeout or _CLOSING_TIME
        done = self._connections.shut_down(self._event_loop, timeout, code, reason)
        self._stopping = True
        return done


@implementer(IWebSocketServerChannelFactory)
class WebSocketServerFactory(WebSocketFactory):
    """Makes the connections of a server.

    Args:
        url: the URL of the server, without a query; None is ``ws://localhost``.
        protocols: for the application to look at; ``onConnect`` chooses.
        server: the value of the Server header; None sends none.
        headers: header fields for every response 101. A value may be a list of values, one for each line.
        externalPort: the port that clients see, if it is to be compared with the one in Host.

    Raises:
        InvalidArgument: the URL is none, or has a query, or the subprotocols are no list.
    """

    isServer = True
    server: str | None = f"autobahnlike/{__version__}"
    externalPort: int | None = None

    versions: Sequence[int]
    webStatus: bool
    maskServerFrames: bool
    requireMaskedClientFrames: bool
    serveFlashSocketPolicy: bool
    flashSocketPolicy: str
    allowedOrigins: Sequence[str]
    allowNullOrigin: bool
    maxConnections: int
    trustXForwardedFor: int

    def __init__(
        self,
        url: str | None = None,
        protocols: Sequence[str] | None = None,
        server: str | None = f"autobahnlike/{__version__}",
        headers: dict[str, Any] | None = None,
        externalPort: int | None = None,
    ) -> None:
        self.setSessionParameters(url, protocols, server, headers, externalPort)

    def setSessionParameters(
        self,
        url: str | None = None,
        protocols: Sequence[str] | None = None,
        server: str | None = None,
        headers: dict[str, Any] | None = None,
        externalPort: int | None = None,
    ) -> None:
        """Set what the opening handshake says; what is not given is reset. For the arguments see the class.

        Raises:
            InvalidArgument: the URL is none, or has a query, or the subprotocols are no list.
        """
        self._set_target(url, protocols)
        self.server = server
        self.headers = {} if headers is None else headers
        self.externalPort = externalPort

    def setProtocolOptions(
        self,
        versions: Sequence[int] | None = None,
        webStatus: bool | None = None,
        utf8validateIncoming: bool | None = None,
        maskServerFrames: bool | None = None,
        requireMaskedClientFrames: bool | None = None,
        applyMask: bool | None = None,
        maxFramePayloadSize: int | None = None,
        maxMessagePayloadSize: int | None = None,
        autoFragmentSize: int | None = None,
        failByDrop: bool | None = None,
        echoCloseCodeReason: bool | None = None,
        openHandshakeTimeout: float | None = None,
        closeHandshakeTimeout: float | None = None,
        tcpNoDelay: bool | None = None,
        perMessageCompressionAccept: Callable[..., Any] | None = None,
        autoPingInterval: float | None = None,
        autoPingTimeout: float | None = None,
        autoPingSize: int | None = None,
        autoPingRestartOnAnyTraffic: bool | None = None,
        serveFlashSocketPolicy: bool | None = None,
        flashSocketPolicy: str | None = None,
        allowedOrigins: Sequence[str] | None = None,
        allowNullOrigin: bool | None = None,
        maxConnections: int | None = None,
        trustXForwardedFor: int | None = None,
        maxHandshakeSize: int | None = None,
        maxHandshakeHeaders: int | None = None,
        maxFragments: int | None = None,
        writeBufferHighWater: int | None = None,
        readAhead: int | None = None,
        maxSendQueueSize: int | None = None,
    ) -> None:
        """Set options for the connections made from now on. None leaves an option as it is; several calls add up.

        The options page of the documentation says what each of them means.

        Raises:
            InvalidArgument: a value may not be used. Then nothing was changed.
        """
        self._change_options(locals())


@implementer(IWebSocketClientChannelFactory)
class WebSocketClientFactory(WebSocketFactory):
    """Makes the connections of a client.

    Args:
        url: the URL to ask for; None is ``ws://localhost``.
        origin: the value of the Origin header; None sends none.
        protocols: the subprotocols to offer, in order of preference.
        useragent: the value of the User-Agent header; None sends none.
        headers: header fields for every request. A value may be a list of values, one for each line.
        proxy: the HTTP proxy to connect through, as ``{"host": "localhost", "port": 8080}``.

    Raises:
        InvalidArgument: the URL is none, or the subprotocols are no list.
    """

    isServer = False
    origin: str | None = None
    useragent: str | None = f"autobahnlike/{__version__}"
    proxy: Mapping[str, Any] | None = None

    version: int
    acceptMaskedServerFrames: bool
    maskClientFrames: bool
    serverConnectionDropTimeout: float
    perMessageCompressionOffers: Sequence[Any] | None

    def __init__(
        self,
        url: str | None = None,
        origin: str | None = None,
        protocols: Sequence[str] | None = None,
        useragent: str | None = f"autobahnlike/{__version__}",
        headers: dict[str, Any] | None = None,
        proxy: Mapping[str, Any] | None = None,
    ) -> None:
        self.setSessionParameters(url, origin, protocols, useragent, headers, proxy)

    def setSessionParameters(
        self,
        url: str | None = None,
        origin: str | None = None,
        protocols: Sequence[str] | None = None,
        useragent: str | None = None,
        headers: dict[str, Any] | None = None,
        proxy: Mapping[str, Any] | None = None,
    ) -> None:
        """Set what the opening handshake says; what is not given is reset. For the arguments see the class.

        Raises:
            InvalidArgument: the URL is none, or the subprotocols are no list.
        """
        self._set_target(url, protocols)
        self.origin = origin
        self.useragent = useragent
        self.headers = {} if headers is None else headers
        self.proxy = proxy

    def setProtocolOptions(
        self,
        version: int | None = None,
        utf8validateIncoming: bool | None = None,
        acceptMaskedServerFrames: bool | None = None,
        maskClientFrames: bool | None = None,
        applyMask: bool | None = None,
        maxFramePayloadSize: int | None = None,
        maxMessagePayloadSize: int | None = None,
        autoFragmentSize: int | None = None,
        failByDrop: bool | None = None,
        echoCloseCodeReason: bool | None = None,
        serverConnectionDropTimeout: float | None = None,
        openHandshakeTimeout: float | None = None,
        closeHandshakeTimeout: float | None = None,
        tcpNoDelay: bool | None = None,
        perMessageCompressionOffers: Sequence[Any] | None = None,
        perMessageCompressionAccept: Callable[..., Any] | None = None,
        autoPingInterval: float | None = None,
        autoPingTimeout: float | None = None,
        autoPingSize: int | None = None,
        autoPingRestartOnAnyTraffic: bool | None = None,
        maxHandshakeSize: int | None = None,
        maxHandshakeHeaders: int | None = None,
        maxFragments: int | None = None,
        writeBufferHighWater: int | None = None,
        readAhead: int | None = None,
        maxSendQueueSize: int | None = None,
    ) -> None:
        """Set options for the connections made from now on. None leaves an option as it is; several calls add up.

        The options page of the documentation says what each of them means.

        Raises:
            InvalidArgument: a value may not be used. Then nothing was changed.
        """
        self._change_options(locals())


def _coerce(info: OptionInfo, value: Any) -> Any:
    """Return the value of an option as ``Options`` takes it: a tuple for what applications give as a list."""
    if isinstance(value, (list, set, frozenset)):
        value = tuple(value)
    if info.field == "compression_offers" and value is not None and not isinstance(value, tuple):
        raise InvalidArgument(f"{info.name} must be a list, not {value!r:.80}")
    if info.field == "allowed_origins" and not all(isinstance(pattern, str) for pattern in value):
        raise InvalidArgument(f"{info.name} must be a list of texts, not {value!r:.80}")
    return value


def _install_options(factory: type[WebSocketFactory], side: str) -> None:
    """Put the defaults of the options onto a class of factories."""
    factory._option_table = tuple(info for info in OPTIONS if side in info.sides)
    factory._option_index = {info.name: index for index, info in enumerate(factory._option_table)}
    factory._option_names = frozenset(factory._option_index)
    factory._read_options = attrgetter(*factory._option_index)
    for info in factory._option_table:
        setattr(factory, info.name, info.default)


_install_options(WebSocketServerFactory, SERVER)
_install_options(WebSocketClientFactory, CLIENT)
