"""One process that serves with Twisted and with asyncio, on Twisted's asyncio reactor, and is its own client on both.

It prints what came back over each.
"""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import Any

from twisted.internet import asyncioreactor

loop = asyncio.new_event_loop()
asyncioreactor.install(loop)  # type: ignore[no-untyped-call]

from twisted.internet import reactor as installed_reactor  # noqa: E402 - it has to be installed first
from twisted.internet.defer import Deferred  # noqa: E402
from twisted.internet.endpoints import TCP4ClientEndpoint  # noqa: E402

import autobahnlike.asyncio.websocket  # noqa: E402
import autobahnlike.twisted.websocket  # noqa: E402

reactor: Any = installed_reactor


def factories(module: ModuleType) -> tuple[Any, Any]:
    class Server(module.WebSocketServerProtocol):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.sendMessage(payload, isBinary)

    class Client(module.WebSocketClientProtocol):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.sendMessage(module.__name__.encode())

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            print(payload.decode(), flush=True)
            self.sendClose(1000)

    server, client = module.WebSocketServerFactory(), module.WebSocketClientFactory()
    server.protocol, client.protocol = Server, Client
    return server, client


async def main() -> None:
    server, client = factories(autobahnlike.twisted.websocket)
    listening = reactor.listenTCP(0, server, interface="127.0.0.1")
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", listening.getHost().port)
    connected: Any = await endpoint.connect(client)
    await connected.is_closed

    async def on_asyncio() -> None:
        server, client = factories(autobahnlike.asyncio.websocket)
        listening = await loop.create_server(server, "127.0.0.1", 0)
        _, protocol = await loop.create_connection(client, *listening.sockets[0].getsockname())
        await protocol.is_closed
        listening.close()
        await server.shutdown()

    await Deferred.fromFuture(loop.create_task(on_asyncio()))


def run() -> None:
    done = Deferred.fromCoroutine(main())
    done.addErrback(lambda failure: print(failure.getTraceback(), file=sys.stderr))
    done.addBoth(lambda _: reactor.stop())


reactor.callWhenRunning(run)
reactor.run()
