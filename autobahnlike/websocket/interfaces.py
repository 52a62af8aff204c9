"""The contracts of the callback API, as zope Interfaces: for adaptation, verification and documentation.

What an application calls and what it implements are different Interfaces; ``IWebSocketChannel`` is both, as in
Autobahn. Annotations had better name the concrete classes: a type checker without the plugin for zope.interface does
not understand Interfaces.

Every hook may be a plain function, return a Deferred or Future, or be ``async def``: what can be waited for is waited
for, and no other hook of the connection is called in the meantime. An exception in a hook is logged and closes the
connection with 1011.
"""

# ruff: noqa: N805 - what is called with an instance is declared without self

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from zope.interface import Attribute, Interface

from autobahnlike.websocket.types import ConnectingResult, HookResult, TransportDetails

__all__ = (
    "IWebSocketChannel",
    "IWebSocketChannelFactory",
    "IWebSocketClientChannel",
    "IWebSocketClientChannelFactory",
    "IWebSocketClientHandler",
    "IWebSocketHandler",
    "IWebSocketSender",
    "IWebSocketServerChannelFactory",
)


class IWebSocketSender(Interface):
    """What an application calls on a connection."""

    bufferedAmount: int = Attribute("How many bytes were sent and not yet taken by the network, as far as is known.")

    def sendMessage(
        payload: bytes,
        isBinary: bool = False,
        fragmentSize: int | None = None,
        sync: bool = False,
        doNotCompress: bool = False,
    ) -> None:
        """Send a message (RFC 6455, section 6.1). It is queued if the transport cannot take it now.

        Args:
            payload: the message; UTF-8 if it is text.
            isBinary: whether it is binary.
            fragmentSize: the most payload to put into a frame, in bytes; None for the option ``autoFragmentSize``.
            sync: accepted for compatibility and without effect.
            doNotCompress: send it uncompressed although compression was negotiated.

        Raises:
            Disconnected: the connection is not open.
            PayloadExceededError: the message is larger than the option ``maxMessagePayloadSize``.
            InvalidArgument: the payload is not bytes.
        """

    def sendPreparedMessage(preparedMsg: Any) -> None:
        """Send a message that the factory has prepared, for instance to many connections.

        Args:
            preparedMsg: from ``prepareMessage`` of the factory.

        Raises:
            Disconnected: the connection is not open.
        """

    def sendClose(code: int | None = None, reason: str | None = None) -> None:
        """Start the closing handshake (RFC 6455, section 7.1.2); ignored if the connection is closing or closed.

        Args:
            code: 1000 to 1003, 1007 to 1014 or 3000 to 4999 (section 7.4); None sends none.
            reason: text to go with the code, cut to 123 bytes of UTF-8.

        Raises:
            InvalidArgument: the code may not be sent, or there is a reason without a code.
            LocalProtocolError: the connection is not open yet.
        """

    def sendPing(payload: bytes | None = None) -> None:
        """Send a ping (RFC 6455, section 5.5.2); ignored if the connection is not open.

        Args:
            payload: at most 125 bytes, which the pong will repeat.

        Raises:
            InvalidArgument: the payload is too long.
        """

    def sendPong(payload: bytes | None = None) -> None:
        """Send a pong that was not asked for (RFC 6455, section 5.5.3); ignored if the connection is not open.

        Args:
            payload: at most 125 bytes.

        Raises:
            InvalidArgument: the payload is too long.
        """

    def dropConnection(abort: bool = False) -> None:
        """End the TCP connection without a closing handshake; ignored if there is none.

        Args:
            abort: throw away what is still to be written.
        """

    def drained() -> Awaitable[None]:
        """Wait until the transport has taken what was sent, so that a fast sender keeps pace with a slow peer.

        Returns:
            A Deferred or Future of the loop; done at once if nothing is waiting. It fails with ``Disconnected`` if the
            connection is lost first.
        """


class IWebSocketHandler(Interface):
    """What an application implements: the hooks of a connection.

    Nothing that the peer sends is delivered before ``onOpen`` is done, and nothing after ``onClose``.
    """

    def onConnect(request_or_response: Any) -> Any:
        """Decide on a client's request, on a server; learn of the server's response, on a client.

        Args:
            request_or_response: a ``ConnectionRequest`` on a server, a ``ConnectionResponse`` on a client.

        Returns:
            On a server None to accept, one of the subprotocols that the client offers, a pair of a subprotocol or None
            and header fields for the response, or a ``ConnectionAccept``. On a client nothing.

        Raises:
            ConnectionDeny: to refuse, on a server. Any other exception is answered with status 500.
        """

    def onOpen() -> HookResult:
        """The opening handshake is complete: messages can be sent, and will be received."""

    def onMessage(payload: bytes, isBinary: bool) -> HookResult:
        """A message is complete (RFC 6455, section 6.2).

        Args:
            payload: the message; valid UTF-8 if it is text.
            isBinary: whether it is binary.
        """

    def onPing(payload: bytes) -> HookResult:
        """A ping came. The default answers it; who overrides it has to call ``sendPong(payload)``.

        Args:
            payload: at most 125 bytes.
        """

    def onPong(payload: bytes) -> HookResult:
        """A pong came, asked for or not.

        Args:
            payload: at most 125 bytes.
        """

    def onClose(wasClean: bool, code: int | None, reason: str | None) -> HookResult:
        """The connection is gone. Called once, and last; also if it never opened.

        Args:
            wasClean: whether the closing handshake was completed.
            code: the peer's close code, None if it gave none; 1006 if the closing was not clean.
            reason: the peer's close reason, None if it gave none; what happened, if the closing was not clean.
        """


class IWebSocketClientHandler(IWebSocketHandler):
    """The hooks of a client's connection."""

    def onConnecting(transport_details: TransportDetails) -> ConnectingResult:
        """The transport is connected, and the request is about to be sent.

        Args:
            transport_details: what is known of the transport.

        Returns:
            What to ask the server for, or None to ask for what the factory says.
        """


class IWebSocketChannel(IWebSocketSender, IWebSocketHandler):
    """One WebSocket connection: what the application calls, and what it implements."""


class IWebSocketClientChannel(IWebSocketChannel, IWebSocketClientHandler):
    """One WebSocket connection, on a client."""


class IWebSocketChannelFactory(Interface):
    """What the factories of servers and clients have in common."""

    isServer: bool = Attribute("Whether connections are a server's.")
    protocol: Any = Attribute("What makes a connection's protocol: a class, or anything to call without arguments.")
    headers: dict[str, Any] = Attribute("Header fields for every request, or response 101. Can be changed at any time.")

    setProtocolOptions: Callable[..., None] = Attribute(
        "Set options for the connections made from now on: a method that takes them as keywords, by the names in "
        "``autobahnlike.wire.options``. None leaves an option as it is; one value that may not be used, and nothing "
        "changes but InvalidArgument is raised."
    )

    def resetProtocolOptions() -> None:
        """Forget what was set by ``setProtocolOptions``, ``useAutobahnDefaults`` or as an attribute of the factory."""

    def useAutobahnDefaults() -> None:
        """Set every option to the default it has in Autobahn, which is less safe in places: no limits, no keepalive."""

    def prepareMessage(payload: bytes, isBinary: bool = False, doNotCompress: bool = False) -> Any:
        """Prepare a message for ``sendPreparedMessage`` of many connections.

        Args:
            payload: the message; UTF-8 if it is text.
            isBinary: whether it is binary.
            doNotCompress: send it uncompressed also where compression was negotiated.

        Raises:
            InvalidArgument: the payload is not bytes.
        """

    def broadcast(
        payload: bytes, isBinary: bool = False, *, doNotCompress: bool = False, exclude: Iterable[Any] = ()
    ) -> int:
        """Send a message over all connections that are open.

        Args:
            payload: the message; UTF-8 if it is text.
            isBinary: whether it is binary.
            doNotCompress: send it uncompressed also where compression was negotiated.
            exclude: the connections to leave out.

        Returns:
            How many connections it was sent to.

        Raises:
            InvalidArgument: the payload is not bytes.
            PayloadExceededError: the message is larger than the option ``maxMessagePayloadSize``.
        """

    def shutdown(timeout: float | None = None, code: int | None = 1001, reason: str | None = None) -> Awaitable[None]:
        """Close all connections, and refuse new ones with status 503.

        Args:
            timeout: seconds to wait for the closing handshakes before what is left is dropped; None for the option
                ``closeHandshakeTimeout``, or 5 if that is off.
            code: the close code, by default 1001, "going away" (RFC 6455, section 7.4.1).
            reason: text to go with the code.

        Returns:
            A Deferred or Future of the loop, done when all connections are gone.

        Raises:
            InvalidArgument: the code may not be sent, there is a reason without a code, or the time-out is negative.
        """


class IWebSocketServerChannelFactory(IWebSocketChannelFactory):
    """What makes the connections of a server."""

    def setSessionParameters(
        url: str | None = None,
        protocols: Sequence[str] | None = None,
        server: str | None = None,
        headers: dict[str, Any] | None = None,
        externalPort: int | None = None,
    ) -> None:
        """Set what the opening handshake says; what is not given is reset.

        Args:
            url: the URL of the server, without a query; None is ``ws://localhost``.
            protocols: for the application to look at; ``onConnect`` chooses.
            server: the value of the Server header; None sends none.
            headers: header fields for every response 101. A value may be a list of values, one for each line.
            externalPort: the port that clients see, if it is to be compared with the one in Host.

        Raises:
            InvalidArgument: the URL is none, or has a query, or the subprotocols are no list.
        """

    def getConnectionCount() -> int:
        """Return how many connections there are, those in the opening handshake included."""


class IWebSocketClientChannelFactory(IWebSocketChannelFactory):
    """What makes the connections of a client."""

    def setSessionParameters(
        url: str | None = None,
        origin: str | None = None,
        protocols: Sequence[str] | None = None,
        useragent: str | None = None,
        headers: dict[str, Any] | None = None,
        proxy: Mapping[str, Any] | None = None,
    ) -> None:
        """Set what the opening handshake says; what is not given is reset.

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
