"""A chat room: everybody hears what anybody says, and who comes sees what was said before.

With --backplane, everybody is whoever has connected to any of the processes. What was said before is that of one's own
process: a history for all of them belongs into a database.
"""

from collections import deque
from pathlib import Path
from typing import Any

from autobahnlike.app import App, Request, Response, Room, Templates, WebSocket, provider

app = App()
templates = Templates(app, directory=Path(__file__).with_name("templates"))


@provider(scope="app")
async def history() -> deque[Any]:
    return deque(maxlen=100)


@provider(scope="app")
async def clients() -> Room:
    # Nobody waits for a slow reader, who misses messages instead.
    return app.room("chat", policy="drop-oldest")


@app.route("/")
async def index(req: Request, res: Response) -> None:
    res.html = await templates.render("index.html")


@app.websocket_route("/chat", value_type="json", caught_close_codes=all)
async def chat(ws: WebSocket, history: deque[Any], clients: Room) -> None:
    await clients.join(ws)
    try:
        for message in list(history):
            await ws.send(message)
        async for message in ws:
            if message["type"] == "message":
                history.append(message)
                await clients.broadcast_json(message)
    finally:
        await clients.leave(ws)


if __name__ == "__main__":
    app.run(port=8000)
