"""What runs behind nginx: a gateway that says what it sees, and an application with pages and a WebSocket."""

from __future__ import annotations

import json
import os
import sys

from autobahnlike.app import App, Request, Response, WebSocket
from autobahnlike.asgi import ServerOptions, run
from autobahnlike.gateway import Gateway, WebsocketEvent

KEYS = {"AKIDNGINX": "the secret of the tests"}


def make_gateway(keys: dict[str, str] | None) -> Gateway:
    """Make a gateway that echoes, and answers a few questions."""
    gateway = Gateway(app_name="behind nginx", keys=keys)
    seen: dict[str, dict[str, object]] = {}

    @gateway.on_ws_connect()
    async def connect(event: WebsocketEvent) -> None:
        seen[event.connection_id] = event.to_dict()

    @gateway.on_ws_message()
    async def message(event: WebsocketEvent) -> None:
        answers = {
            "who am I?": event.connection_id,
            "who are you?": str(os.getpid()),
            "what do you see?": json.dumps(seen[event.connection_id]),
        }
        body = event.body or ""
        await gateway.websocket_api.send(event.connection_id, answers.get(body, body))

    @gateway.on_ws_disconnect()
    async def disconnect(event: WebsocketEvent) -> None:
        seen.pop(event.connection_id, None)

    return gateway


unsigned = make_gateway(None)
signed = make_gateway(KEYS)

pages = App()


@pages.route("/seen")
async def see(req: Request, res: Response) -> None:
    """Tell what is known of the client."""
    res.json = {"client": req.client.host if req.client else None, "url": str(req.url)}


@pages.websocket_route("/echo")
async def echo(ws: WebSocket) -> None:
    """Tell the same, and then echo."""
    await ws.send_text(json.dumps({"client": ws.client.host if ws.client else None, "url": str(ws.url)}))
    async for text in ws:
        await ws.send_text(text)


if __name__ == "__main__":
    # A server whose pings are as often as the test wants them: application, loop, port, seconds between pings or 0.
    name, loop, port, interval = sys.argv[1:]
    options = ServerOptions(proxies=1, websocket={"autoPingInterval": float(interval)})
    run({"signed": signed, "pages": pages}[name], listen=port, loop=loop, options=options)
