"""``serve echo`` on Twisted: on the default reactor of the platform, or on that of asyncio."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.logger import STDLibLogObserver, globalLogBeginner

from autobahnlike.cli.address import open_sockets, parse_address
from autobahnlike.cli.demo import EchoDemo, announce
from autobahnlike.cli.failure import USAGE, CommandFailed, explain
from autobahnlike.cli.signals import on_first_signal
from autobahnlike.exception import InvalidArgument
from autobahnlike.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahnlike.wire.uri import create_url

__all__ = ("serve",)


class EchoServer(EchoDemo, WebSocketServerProtocol):
    """The demo on Twisted."""


def serve(listen: str, loop: str) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        listen: where; see ``parse_address``, or an endpoint string.
        loop: "twisted" or "twisted-asyncio".

    Raises:
        CommandFailed: it is not possible to listen there.
    """
    _install_reactor(loop)
    from twisted.internet import reactor as installed

    # Its type is that of few of its interfaces.
    reactor: Any = installed
    globalLogBeginner.beginLoggingTo([STDLibLogObserver()], redirectStandardIO=False)
    factory = WebSocketServerFactory(reactor=reactor)
    factory.protocol = EchoServer
    listening = _listen(reactor, factory, listen)
    failures: list[Exception] = []

    def announce_ports(ports: list[Any]) -> None:
        secure = listen.lower().startswith("ssl:")
        announce([_url(port.getHost(), secure) or listen for port in ports], loop)
        # Before the factory says goodbye to its connections, which it does in such a trigger as well.
        reactor.addSystemEventTrigger(
            "before", "shutdown", lambda: gatherResults([maybeDeferred(port.stopListening) for port in ports])
        )

    def failed(failure: Any) -> None:
        failures.append(failure.value)
        reactor.stop()

    # When the reactor has made sure that it wakes up for signals. Its own handlers answer a second Ctrl-C with a
    # traceback.
    reactor.callWhenRunning(on_first_signal, lambda: reactor.callFromThread(reactor.stop))
    # Only a running reactor can be stopped.
    reactor.callWhenRunning(lambda: listening.addCallbacks(announce_ports, failed))
    reactor.run()
    if failures:
        raise CommandFailed(f"cannot listen on {listen}: {failures[0]}")


def _install_reactor(loop: str) -> None:
    if loop != "twisted-asyncio":
        return
    from twisted.internet import asyncioreactor

    if find_spec("uvloop") is not None:
        import uvloop as loops
    else:
        import asyncio as loops  # type: ignore[no-redef]
    asyncioreactor.install(loops.new_event_loop())  # type: ignore[no-untyped-call]


def _listen(reactor: Any, factory: WebSocketServerFactory, listen: str) -> Deferred[list[Any]]:
    """Listen, and give the ports."""
    endpoint = None
    # A Unix domain socket is ours, unless it has options, which only the endpoint knows.
    if not listen.startswith("unix:") or listen.count(":") > 1:
        endpoint = _endpoint(reactor, listen)
    if endpoint is not None:
        listening: Deferred[Any] = endpoint.listen(factory)
        return listening.addCallback(lambda port: [port])
    try:
        return succeed([_adopt(reactor, factory, sock) for sock in open_sockets(parse_address(listen))])
    except InvalidArgument as error:
        raise CommandFailed(f"cannot listen on {listen}: {error}, or an endpoint string", USAGE) from None
    except OSError as error:
        raise CommandFailed(f"cannot listen on {listen}: {explain(error)}") from None


def _endpoint(reactor: Any, listen: str) -> Any:
    """Return the endpoint that an endpoint string means, None if it is none."""
    try:
        return serverFromString(reactor, listen)  # type: ignore[no-untyped-call]
    except Exception as error:
        # Endpoints may come from plug-ins, and what they raise is up to them.
        if str(error).startswith("Unknown endpoint type"):
            return None
        raise CommandFailed(f"cannot listen on {listen}: {error}", USAGE) from None


def _adopt(reactor: Any, factory: WebSocketServerFactory, sock: socket.socket) -> Any:
    with sock:
        return reactor.adoptStreamPort(sock.fileno(), sock.family, factory)


def _url(address: object, secure: bool) -> str | None:
    """Return the URL of a port, None if it has none that is known."""
    if isinstance(address, UNIXAddress):
        return create_url("unix", os.fsdecode(address.name or b""), secure)
    if isinstance(address, (IPv4Address, IPv6Address)):
        return create_url(address.host, address.port, secure)
    return None
