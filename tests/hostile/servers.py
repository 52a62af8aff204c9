"""The server under attack: an echo made from the public API, with no option set. It prints its port.

Run as ``servers.py LOOP``. The cases about keepalive set its two times in ``HOSTILE_OPTIONS``, so that they need not
wait for 40 seconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from types import ModuleType
from typing import Any


def make_factory(websocket: ModuleType) -> Any:
    """An echo server's factory, made of the loop's module of the package."""

    class Echo(websocket.WebSocketServerProtocol):  # type: ignore[name-defined, misc]
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.sendMessage(payload, isBinary)

    factory = websocket.WebSocketServerFactory()
    factory.protocol = Echo
    factory.setProtocolOptions(**json.loads(os.environ.get("HOSTILE_OPTIONS", "{}")))
    return factory


async def serve_asyncio() -> None:
    """Serve on the running loop until SIGTERM."""
    from autobahnlike.asyncio import websocket

    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    loop = asyncio.get_running_loop()
    factory = make_factory(websocket)
    server = await loop.create_server(factory, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await factory.shutdown()
    server.close()


def serve_twisted() -> None:
    """Serve on the installed reactor until SIGTERM."""
    from twisted.internet import reactor
    from twisted.python import log

    from autobahnlike.twisted import websocket

    log.startLogging(sys.stderr, setStdout=False)  # type: ignore[no-untyped-call]
    factory = make_factory(websocket)
    port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", factory.shutdown)
    reactor.run()


def main(loop: str) -> None:
    """Serve on a loop: asyncio, uvloop, twisted (the default reactor) or twisted-asyncio (on uvloop)."""
    if loop == "asyncio":
        asyncio.run(serve_asyncio())
    elif loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_asyncio())
    else:
        if loop == "twisted-asyncio":
            import uvloop
            from twisted.internet import asyncioreactor

            asyncioreactor.install(uvloop.new_event_loop())  # type: ignore[no-untyped-call]
        serve_twisted()


if __name__ == "__main__":
    main(sys.argv[1])
