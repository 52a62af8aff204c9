"""An application of ours, to be served by the servers of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from autobahnlike.app import App, Request, Response, Room, WebSocket, WebSocketDisconnect, provider

app = App()
journal: list[str] = []
room = Room("chat")


@provider(scope="app")
async def visits() -> AsyncIterator[dict[str, int]]:
    yield {"count": 0}


@provider
async def greeting() -> AsyncIterator[str]:
    yield "hello"
    journal.append("cleaned up")


@app.route("/journal")
async def read_journal(req: Request, res: Response) -> None:
    res.json = [*journal]


@app.route("/forget")
async def forget(req: Request, res: Response) -> None:
    journal.clear()
    res.text = "forgotten"


@app.websocket_route("/echo")
async def echo(ws: WebSocket) -> None:
    try:
        async for message in ws:
            await ws.send(message)
    except WebSocketDisconnect as error:
        journal.append(f"disconnect {error.code}")
        raise


@app.websocket_route("/binary", value_type="bytes")
async def binary(ws: WebSocket) -> None:
    await ws.send(await ws.receive())


@app.websocket_route("/item/{number}")
async def item(ws: WebSocket, number: int, limit: int = 5) -> None:
    await ws.send(f"{number!r} {limit!r} {ws.url.path} {ws.query_params.get('x')}")


@app.websocket_route("/api_key")
async def api_key(ws: WebSocket) -> None:
    if ws.headers.get("api-key") != "s3kr3t":
        await ws.reject()
        return
    async with ws:
        await ws.send("authorized")


@app.websocket_route("/subprotocol", auto_accept=False)
async def subprotocol(ws: WebSocket) -> None:
    await ws.accept(subprotocol="b", headers={"X-Greeting": "hello"})
    await ws.send("open")
    await ws.close()


@app.websocket_route("/close/{code}")
async def close(ws: WebSocket, code: int, reason: str = "") -> None:
    await ws.close(code, reason)


@app.websocket_route("/returns")
async def returns(ws: WebSocket) -> None:
    """Is accepted, and closed with 1000."""


@app.websocket_route("/fail")
async def fail(ws: WebSocket, greeting: str) -> None:
    await ws.send(greeting)
    raise ValueError("on purpose")


@app.websocket_route("/fail_unaccepted", auto_accept=False)
async def fail_unaccepted(ws: WebSocket) -> None:
    raise ValueError("on purpose")


@app.websocket_route("/neither", auto_accept=False)
async def neither(ws: WebSocket) -> None:
    """Forgets to accept."""


@app.websocket_route("/denied", auto_accept=False)
async def denied(ws: WebSocket) -> None:
    await ws.send_event({"type": "websocket.http.response.start", "status": 418, "headers": []})
    await ws.send_event({"type": "websocket.http.response.body", "body": b"no"})


@app.websocket_route("/providers/{name}")
async def providers(ws: WebSocket, name: str, greeting: str, visits: dict[str, int]) -> None:
    visits["count"] += 1
    await ws.send(f"{greeting} {name} {visits['count']}")


@app.websocket_route("/chat", value_type="json", caught_close_codes=all)
async def chat(ws: WebSocket) -> None:
    try:
        async with room.joined(ws):
            await ws.send({"people": len(room)})
            async for message in ws:
                await room.broadcast_json({"said": message})
    finally:
        journal.append("left")


@app.route("/")
async def index(req: Request, res: Response) -> None:
    res.html = "<h1>Hello</h1>"


@app.route("/body", methods=["POST"])
async def body(req: Request, res: Response) -> None:
    received: Any = await req.body()
    res.json = {"size": len(received)}
