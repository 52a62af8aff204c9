"""What Starlette has for WebSockets and for what is served beside them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

STATIC = Path(__file__).with_name("static")

journal: list[str] = []


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield {"greeting": "hello from the lifespan"}
    print("shutdown", flush=True)


class Echo(WebSocketEndpoint):
    """Echoes JSON, and says how it ended."""

    encoding = "json"

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept(headers=[(b"x-greeting", websocket.state.greeting.encode())])

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_json({"data": data})

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        journal.append(f"disconnected {close_code}")


async def plain(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol=(websocket.scope["subprotocols"] or [None])[0])
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def reasoned(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_bytes(b"\0\xff")
    await websocket.close(4001, "enough é")


async def refused(websocket: WebSocket) -> None:
    await websocket.close()


async def denied(websocket: WebSocket) -> None:
    await websocket.send_denial_response(JSONResponse({"why": "no"}, 418, headers={"X-Why": "no"}))


async def failing(websocket: WebSocket) -> None:
    await websocket.accept()
    raise ValueError("on purpose")


async def impatient(websocket: WebSocket) -> None:
    """Gives up waiting for a message, and loses none."""
    await websocket.accept()
    for _ in range(3):
        try:
            async with asyncio.timeout(0.001):
                await websocket.receive_text()
        except TimeoutError:
            await websocket.send_text("too late")
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


class Page(HTTPEndpoint):
    """A class with methods."""

    async def get(self, request: Request) -> Response:
        return PlainTextResponse(f"{request.state.greeting}, {request.url.path}")

    async def post(self, request: Request) -> Response:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return JSONResponse({"size": size})


async def streamed(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d " % number * 100
            await asyncio.sleep(0)

    return StreamingResponse(chunks())


async def in_background(request: Request) -> Response:
    async def note() -> None:
        journal.append("background")

    return JSONResponse(journal, background=BackgroundTask(note))


async def file(request: Request) -> Response:
    return FileResponse(STATIC / "style.css")


def in_thread(request: Request) -> Response:
    return PlainTextResponse("from a thread")


class Stamp(BaseHTTPMiddleware):
    """Adds a header field, in the way that needs tasks."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-stamp"] = "stamped"
        return response


app = Starlette(
    routes=[
        Route("/", Page),
        Route("/stream", streamed),
        Route("/background", in_background),
        Route("/file", file),
        Route("/thread", in_thread),
        Mount("/static", StaticFiles(directory=STATIC)),
        WebSocketRoute("/echo", Echo),
        WebSocketRoute("/plain", plain),
        WebSocketRoute("/reasoned", reasoned),
        WebSocketRoute("/refused", refused),
        WebSocketRoute("/denied", denied),
        WebSocketRoute("/failing", failing),
        WebSocketRoute("/impatient", impatient),
    ],
    middleware=[Middleware(Stamp), Middleware(GZipMiddleware, minimum_size=500)],
    lifespan=lifespan,
)
