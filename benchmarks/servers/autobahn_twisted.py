"""Autobahn on Twisted."""

from __future__ import annotations

from benchmarks.servers.common import HOST, install_reactor, parse


def main() -> None:
    """Serve."""
    arguments = parse()
    reactor = install_reactor(arguments.loop)

    from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol

    from benchmarks.servers.autobahn_common import configure, make_protocol

    factory = WebSocketServerFactory(f"ws://{HOST}:{arguments.port}")
    factory.protocol = make_protocol(WebSocketServerProtocol, arguments)
    configure(factory, arguments)
    reactor.listenTCP(arguments.port, factory, interface=HOST)
    reactor.run()


if __name__ == "__main__":
    main()
