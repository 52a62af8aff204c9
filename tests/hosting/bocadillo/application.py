"""The application that is served with both frameworks; see ``views``, which has most of its WebSocket views.

Here are providers, the chat room, pages, and what can be found out without a client.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from autobahnlike.app import (
    App,
    Request,
    Response,
    Templates,
    WebSocket,
    configure,
    create_client,
    provider,
    useprovider,
)
from tests.hosting.bocadillo.observer import note
from tests.hosting.bocadillo.views import app, session

templates = Templates(app)

# -- Providers


@provider
async def hello_format() -> str:
    return "Hello, {}!"


@provider(scope="app")
async def counter() -> dict[str, int]:
    return {"visits": 0}


@provider
def plain() -> str:
    return "plain"


@provider(scope="request")
async def resource() -> AsyncIterator[str]:
    note("set up")
    yield "resource"
    note("cleaned up")


@provider(lazy=True)
async def later() -> str:
    note("computed")
    return "later"


@app.websocket_route("/providers_with_route/{name}")
async def providers_with_route(ws: WebSocket, name: str, hello_format: str, plain: str, shout: bool = False) -> None:
    await ws.send(hello_format.format(name) + plain + str(shout))


@app.websocket_route("/providers_scopes")
async def providers_scopes(ws: WebSocket, counter: dict[str, int]) -> None:
    counter["visits"] += 1
    await ws.send(str(counter["visits"]))


@app.websocket_route("/providers_cleanup")
async def providers_cleanup(ws: WebSocket, resource: str) -> None:
    await ws.send(resource)
    if await ws.receive() == "fail":
        raise ValueError("on purpose")
    note("view ends")


@app.websocket_route("/providers_lazy")
async def providers_lazy(ws: WebSocket, later: Awaitable[str]) -> None:
    note("view begins")
    if await ws.receive() == "use":
        await ws.send(await later)


@app.websocket_route("/providers_use")
@useprovider("resource")
async def providers_use(ws: WebSocket) -> None:
    await ws.send("used")


# -- The chat room


@provider(scope="app")
async def history() -> list[dict[str, Any]]:
    return []


@provider(scope="app")
async def clients() -> set[WebSocket]:
    return set()


@app.route("/")
async def index(req: Request, res: Response) -> None:
    res.html = await templates.render("index.html", title="Chat room <1>")


@app.websocket_route("/chat", value_type="json")
async def chat(ws: WebSocket, history: list[dict[str, Any]], clients: set[WebSocket]) -> None:
    clients.add(ws)
    await ws.send({"type": "count", "count": len(clients)})
    try:
        for message in history:
            await ws.send(message)
        async for message in ws:
            if message["type"] == "message":
                history.append(message)
                for client in clients:
                    await client.send(message)
            else:
                history.append(message)
    finally:
        clients.remove(ws)


@app.route("/client-count")
async def client_count(req: Request, res: Response, clients: set[WebSocket], history: list[Any]) -> None:
    res.json = {"count": len(clients), "history": len(history)}


@app.route("/clear-history")
async def clear_history(req: Request, res: Response, history: list[Any]) -> None:
    history.clear()
    res.text = "cleared"


# -- HTTP


@app.route("/items/{number}")
async def http_item(req: Request, res: Response, number: int, limit: int = 5) -> None:
    res.json = {"number": number, "limit": limit}


@app.route("/class")
class ClassBased:
    async def get(self, req: Request, res: Response) -> None:
        res.text = "got"

    async def post(self, req: Request, res: Response) -> None:
        res.json = await req.json()
        res.status_code = 201


@app.route("/slash/")
async def slash(req: Request, res: Response) -> None:
    res.html = "<p>slash</p>"


# -- What can be found out without a client


def _caught(function: Callable[[], object]) -> str:
    try:
        result = function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return type(result).__name__


def _declared() -> list[str]:
    """What is said of routes that cannot be."""
    other = App()

    def sync_view(ws: WebSocket) -> None: ...

    async def view(ws: WebSocket) -> None: ...

    class ClassView: ...

    register: Any = other.websocket_route
    return [
        _caught(lambda: register("/a")(sync_view)),
        _caught(lambda: register("/a")(ClassView)),
        _caught(lambda: register("/a")(view)),
        _caught(lambda: register("/a", False)).partition(":")[0],
        _caught(lambda: register("/a", unknown=True)).partition(":")[0],
        _caught(lambda: register("/{a:int}")(view)),
        _caught(lambda: register("/a", value_type="xml")(view)),
        _caught(lambda: configure(app)),
    ]


def _tested() -> list[str]:
    """What the client for tests sees."""
    # Without sessions: only one application can be configured.
    other = App()
    other.websocket_route("/session")(session)

    def talk(client: Any, path: str, *texts: str, **options: Any) -> list[str]:
        said: list[str] = []

        def converse() -> None:
            with client.websocket_connect(path, **options) as ws:
                said.append(repr(ws.accepted_subprotocol))
                for text in texts:
                    ws.send_text(text)
                while True:
                    said.append(ws.receive_text())

        said.append(_caught(converse))
        return said

    with create_client(app) as client:
        said = [
            *talk(client, "/echo", "hi"),
            *talk(client, "/close_in_auto"),
            *talk(client, "/nowhere"),
            *talk(client, "/reject"),
            *talk(client, "/fail"),
            *talk(client, "/fail_after_send"),
            *talk(client, "/subprotocol", subprotocols=["chat.v1", "chat.v2"]),
            *talk(client, "/api_key", headers={"api-key": "s3kr3t"}),
        ]
    with create_client(other) as client:
        said += talk(client, "/session")
    return said


@app.route("/declared")
async def declared(req: Request, res: Response) -> None:
    res.text = "\n".join(_found[0])


@app.route("/tested")
async def tested(req: Request, res: Response) -> None:
    res.text = "\n".join(_found[1])


configure(app, sessions={"secret_key": "not a secret"})
_found = (_declared(), _tested())
