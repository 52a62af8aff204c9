"""One process, both loops: an echo server on Twisted at port 9000 and one on asyncio at port 9001.

The asyncio reactor runs Twisted on an asyncio loop, here on uvloop's if it is installed.
"""

from __future__ import annotations

import asyncio
from importlib import import_module, util
from typing import Any

from twisted.internet import asyncioreactor

loop: asyncio.AbstractEventLoop
loop = import_module("uvloop").new_event_loop() if util.find_spec("uvloop") else asyncio.new_event_loop()
asyncio.set_event_loop(loop)
# Before anything imports the reactor.
asyncioreactor.install(loop)

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402

from autobahnlike.asyncio import websocket as on_asyncio  # noqa: E402
from autobahnlike.twisted import websocket as on_twisted  # noqa: E402


class TwistedEcho(on_twisted.WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class AsyncioEcho(on_asyncio.WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


twisted_factory = on_twisted.WebSocketServerFactory()
twisted_factory.protocol = TwistedEcho
asyncio_factory = on_asyncio.WebSocketServerFactory()
asyncio_factory.protocol = AsyncioEcho


async def stop(server: asyncio.Server) -> None:
    server.close()
    await asyncio_factory.shutdown()


async def start() -> None:
    server = await loop.create_server(asyncio_factory, "127.0.0.1", 9001)
    # The Twisted factory sees to its own connections when the reactor stops; here somebody has to.
    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromFuture(asyncio.ensure_future(stop(server)))
    )


def failed(failure: Any) -> None:
    failure.printTraceback()
    reactor.stop()


reactor.listenTCP(9000, twisted_factory, interface="127.0.0.1")
starting: Any = Deferred.fromFuture(asyncio.ensure_future(start(), loop=loop))
starting.addErrback(failed)
reactor.run()
