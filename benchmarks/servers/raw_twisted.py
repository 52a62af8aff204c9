"""No WebSocket at all: what comes goes back, which is the price of the reactor itself."""

from __future__ import annotations

from benchmarks.servers.common import HOST, install_reactor, parse


def main() -> None:
    """Serve."""
    arguments = parse()
    reactor = install_reactor(arguments.loop)

    from twisted.internet.interfaces import ITCPTransport
    from twisted.internet.protocol import Factory, Protocol

    class Echo(Protocol):
        def connectionMade(self) -> None:
            # Everything else that runs here does the same.
            ITCPTransport(self.transport).setTcpNoDelay(True)

        def dataReceived(self, data: bytes) -> None:
            assert self.transport is not None
            self.transport.write(data)

    reactor.listenTCP(arguments.port, Factory.forProtocol(Echo), interface=HOST)
    reactor.run()


if __name__ == "__main__":
    main()
