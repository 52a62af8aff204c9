"""picows, by its own listener API."""

from __future__ import annotations

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.servers.common import HOST, Arguments, run


class Echo(WSListener):
    """Every message goes back."""

    def __init__(self) -> None:
        self.fragments: list[bytes] = []
        self.opcode = WSMsgType.BINARY

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Send a message on."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.fin and not self.fragments:
            # The view is documented as the way without a copy.
            self.on_message(transport, frame.msg_type, frame.get_payload_as_memoryview())
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            # Messages are left to the application.
            if not self.fragments:
                self.opcode = frame.msg_type
            self.fragments.append(frame.get_payload_as_bytes())
            if frame.fin:
                message, self.fragments = b"".join(self.fragments), []
                self.on_message(transport, self.opcode, message)

    def on_message(self, transport: WSTransport, opcode: WSMsgType, message: bytes | memoryview) -> None:
        """Send it."""
        transport.send(opcode, message)


class Broadcast(Echo):
    """Every message goes to everybody."""

    clients: set[WSTransport] = set()  # noqa: RUF012

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take it in."""
        self.clients.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Forget it."""
        self.clients.discard(transport)

    def on_message(self, transport: WSTransport, opcode: WSMsgType, message: bytes | memoryview) -> None:
        """Send it."""
        for client in self.clients:
            client.send(opcode, message)


async def serve(arguments: Arguments) -> object:
    """Listen."""
    listener = Broadcast if arguments.broadcast else Echo

    def accept(request: WSUpgradeRequest) -> WSListener:
        return listener()

    return await ws_create_server(accept, HOST, arguments.port)


if __name__ == "__main__":
    run(serve)
