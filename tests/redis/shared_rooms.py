"""An application with a room for each path, for tests that serve it in several processes."""

from __future__ import annotations

from autobahnlike.app import App, BackplaneError, WebSocket

app = App()


@app.websocket_route("/{name}", caught_close_codes=all)
async def talk(ws: WebSocket, name: str) -> None:
    """Everybody hears what begins with no exclamation mark."""
    room = app.room(name)
    async with room.joined(ws):
        await ws.send("welcome")
        async for message in ws:
            try:
                await room.broadcast(message, exclude=ws if message[0] == "!" else ())
            except BackplaneError as error:
                await ws.send(f"not said: {error}")
