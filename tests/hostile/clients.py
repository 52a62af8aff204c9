"""The client under attack: made from the public API, with no option set. It connects to where it is told to.

Run as ``clients.py LOOP``. A line on standard input is a command in JSON:

- ``{"do": "connect", "id": 1, "url": "ws://…", "headers": {…}, "busy": false}``: connect; if busy, onMessage waits
- ``{"do": "close", "id": 1}``: close that connection
- ``{"do": "release", "id": 1}``: have onMessage wait no longer

A line on standard output is an event in JSON, with the id of its connection: open, message with its length, close with
clean, code and reason, or failed if there was no TCP connection. The cases about keepalive set its two times in
``HOSTILE_OPTIONS``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any


class Dialler:
    """Carries out commands; each loop says how to connect and how to wait.

    Args:
        websocket: the loop's module of the package.
        connect: makes a TCP connection, given a factory and a port.
        make_event: makes something to await, and a function that ends the wait.
    """

    def __init__(
        self,
        websocket: ModuleType,
        connect: Callable[[Any, int], None],
        make_event: Callable[[], tuple[Awaitable[Any], Callable[[], None]]],
    ) -> None:
        self._websocket = websocket
        self._connect = connect
        self._make_event = make_event
        self._protocols: dict[int, Any] = {}
        self._releases: dict[int, Callable[[], None]] = {}

    def obey(self, line: str) -> None:
        """Carry out the command on one line of input."""
        command = json.loads(line)
        number = command["id"]
        if command["do"] == "connect":
            factory = self._factory(command)
            self._connect(factory, factory.port)
        elif command["do"] == "close":
            self._protocols[number].sendClose(1000)
        elif command["do"] == "release":
            self._releases[number]()

    def _factory(self, command: dict[str, Any]) -> Any:
        number = command["id"]
        event = None
        if command.get("busy"):
            event, self._releases[number] = self._make_event()
        websocket, protocols = self._websocket, self._protocols

        class Reporter(websocket.WebSocketClientProtocol):  # type: ignore[name-defined, misc]
            waiting = event

            def onOpen(self) -> None:
                protocols[number] = self
                report(number, "open")

            def onMessage(self, payload: bytes, isBinary: bool) -> Any:
                if self.waiting is not None:
                    waiting, self.waiting = self.waiting, None
                    return self.wait_and_tell(waiting, payload)
                report(number, "message", length=len(payload))
                return None

            async def wait_and_tell(self, waiting: Awaitable[Any], payload: bytes) -> None:
                await waiting
                report(number, "message", length=len(payload))

            def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
                report(number, "close", clean=wasClean, code=code, reason=reason)

        factory = websocket.WebSocketClientFactory(command["url"], headers=command.get("headers"))
        factory.protocol = Reporter
        factory.setProtocolOptions(**json.loads(os.environ.get("HOSTILE_OPTIONS", "{}")))
        return factory


def report(number: int, event: str, **details: Any) -> None:
    """Print an event."""
    print(json.dumps({"id": number, "event": event, **details}), flush=True)


def follow_input(obey: Callable[[str], object], finish: Callable[[], object]) -> None:
    """Hand every line of standard input to the loop, from a thread, which every loop allows."""

    def read() -> None:
        for line in sys.stdin:
            obey(line)
        finish()

    threading.Thread(target=read, daemon=True).start()


async def run_asyncio() -> None:
    """Obey on the running loop until the end of the input."""
    from autobahnlike.asyncio import websocket

    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    tasks: set[asyncio.Task[Any]] = set()

    def connect(factory: Any, port: int) -> None:
        task = loop.create_task(loop.create_connection(factory, "127.0.0.1", port))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def make_event() -> tuple[Awaitable[Any], Callable[[], None]]:
        future = loop.create_future()
        return future, lambda: future.set_result(None)

    dialler = Dialler(websocket, connect, make_event)
    follow_input(
        lambda line: loop.call_soon_threadsafe(dialler.obey, line), lambda: loop.call_soon_threadsafe(over.set)
    )
    await over.wait()


def run_twisted() -> None:
    """Obey on the installed reactor until the end of the input."""
    from twisted.internet import defer
    from twisted.internet import reactor as installed
    from twisted.python import log

    from autobahnlike.twisted import websocket

    reactor: Any = installed
    log.startLogging(sys.stderr, setStdout=False)  # type: ignore[no-untyped-call]

    def connect(factory: Any, port: int) -> None:
        reactor.connectTCP("127.0.0.1", port, factory)

    def make_event() -> tuple[Awaitable[Any], Callable[[], None]]:
        deferred: defer.Deferred[None] = defer.Deferred()
        return deferred, lambda: deferred.callback(None)

    dialler = Dialler(websocket, connect, make_event)
    call = reactor.callFromThread
    follow_input(lambda line: call(dialler.obey, line), lambda: call(reactor.stop))
    reactor.run()


def main(loop: str) -> None:
    """Obey on a loop: asyncio, uvloop, twisted (the default reactor) or twisted-asyncio (on uvloop)."""
    if loop == "asyncio":
        asyncio.run(run_asyncio())
    elif loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_asyncio())
    else:
        if loop == "twisted-asyncio":
            import uvloop
            from twisted.internet import asyncioreactor

            asyncioreactor.install(uvloop.new_event_loop())  # type: ignore[no-untyped-call]
        run_twisted()


if __name__ == "__main__":
    main(sys.argv[1])
