"""autobahnlike on Twisted: on the default reactor, and on that of asyncio over uvloop."""

from __future__ import annotations

from benchmarks.servers.common import HOST, install_reactor, parse


def main() -> None:
    """Serve."""
    arguments = parse()
    reactor = install_reactor(arguments.loop)

    # Only now, because its transports import the reactor.
    from autobahnlike.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
    from benchmarks.servers.ours import behaviour, configure

    class Server(behaviour(arguments), WebSocketServerProtocol):  # type: ignore[misc]
        pass

    factory = WebSocketServerFactory()
    factory.protocol = Server
    configure(factory, arguments)
    reactor.listenTCP(arguments.port, factory, interface=HOST)
    reactor.run()


if __name__ == "__main__":
    main()
