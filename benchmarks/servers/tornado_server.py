"""Tornado."""

from __future__ import annotations

from typing import Any, ClassVar

from tornado.web import Application
from tornado.websocket import WebSocketHandler

from benchmarks.servers.common import HOST, Arguments, run


async def serve(arguments: Arguments) -> object:
    """Listen."""

    class Handler(WebSocketHandler):
        clients: ClassVar[set[WebSocketHandler]] = set()

        def open(self, *args: str, **kwargs: str) -> None:
            self.clients.add(self)

        def get_compression_options(self) -> dict[str, Any] | None:
            return {} if arguments.deflate else None

        def on_message(self, message: str | bytes) -> None:
            targets = self.clients if arguments.broadcast else (self,)
            for client in targets:
                client.write_message(message, isinstance(message, bytes))

        def on_close(self) -> None:
            self.clients.discard(self)

    # The largest message of its own default is 10 MiB.
    return Application([("/", Handler)], log_function=lambda handler: None).listen(arguments.port, HOST)


if __name__ == "__main__":
    run(serve)
