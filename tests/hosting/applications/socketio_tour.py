"""python-socketio: stand-alone, and mounted in an application of ours."""

from typing import Any

import socketio  # type: ignore[import-untyped]

from autobahnlike.app import App, Request, Response, WebSocket


def _make_server() -> socketio.AsyncServer:
    server = socketio.AsyncServer(async_mode="asgi")

    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        await server.emit("welcome", {"path": environ["PATH_INFO"]}, to=sid)

    async def ask(sid: str, data: Any) -> Any:
        await server.emit("asked", data)
        return ["answer", data]

    server.on("connect", connect)
    server.on("ask", ask)
    return server


alone = socketio.ASGIApp(_make_server())

app = App()


@app.websocket_route("/echo")
async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


@app.route("/page")
async def page(req: Request, res: Response) -> None:
    res.text = "page"


app.mount("/sio", socketio.ASGIApp(_make_server(), socketio_path=""))
