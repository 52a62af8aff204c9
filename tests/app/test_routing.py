"""Patterns, the order of routes, included routers and mounted applications."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from autobahnlike.app.errors import ExpectedAsync, RouteDeclarationError
from autobahnlike.app.paths import Pattern, full_path
from autobahnlike.app.routing import Mount, Router, WebSocketRoute, route_path
from autobahnlike.app.websocket import WebSocket
from tests.app.harness import Way, both_ways, http_scope, websocket_scope


async def view(ws: WebSocket) -> None:
    await ws.send("reached")


@pytest.mark.parametrize(
    ("pattern", "path", "parameters"),
    [
        ("/echo", "/echo", {}),
        ("/echo", "/echo/", None),
        ("/echo", "/Echo", None),
        ("/echo", "/echo\n", None),
        ("noslash", "/noslash", {}),
        ("/a.b", "/axb", None),
        ("/items/{id}", "/items/42", {"id": "42"}),
        ("/items/{id}", "/items/", None),
        ("/items/{id}", "/items/a/b", None),
        ("/items/{id}", "/items/a\nb", {"id": "a\nb"}),
        ("/items/{id}/", "/items/42/", {"id": "42"}),
        ("/{a}-{b}", "/x-y", {"a": "x", "b": "y"}),
        ("/files/{path:path}", "/files/a/b.txt", {"path": "a/b.txt"}),
        ("/files/{path:path}", "/files/", {"path": ""}),
        ("/files/{path:path}", "/files", None),
        ("/wild/{}", "/wild/x/y", {}),
        ("/wild/{}", "/wild/", {}),
        ("/wild/{}", "/wild", None),
        ("/a{}z", "/a/m/z", {}),
        ("{}", "/anything/at/all", {}),
        ("{}", "", {}),
        ("/{:path}", "/x/y", {}),
        ("/{_x1}", "/é", {"_x1": "é"}),
    ],
)
def test_patterns(pattern: str, path: str, parameters: dict[str, str] | None) -> None:
    assert Pattern(pattern).match(path) == parameters


def test_unknown_converter() -> None:
    with pytest.raises(TypeError) as caught:
        Router().websocket_route("/{a:int}")(view)
    assert str(caught.value) == "Unknown path converter 'int' on route parameter 'a'. Available: path"


@pytest.mark.parametrize("pattern", ["/{a", "/a}", "/{a-b}", "/{1}", "/{{a}}", "/{a b}"])
def test_stray_braces(pattern: str) -> None:
    with pytest.raises(RouteDeclarationError, match="stray brace"):
        Pattern(pattern)


def test_a_name_stands_once() -> None:
    with pytest.raises(RouteDeclarationError, match="'a' stands twice"):
        Pattern("/{a}/{a}")


def test_paths_are_built() -> None:
    pattern = Pattern("/a b/{name}/{rest:path}")
    assert pattern.names == ("name", "rest")
    assert pattern.build(name="ü?", rest="x/y") == "/a%20b/%C3%BC%3F/x/y"
    assert repr(pattern) == "Pattern('/a b/{name}/{rest:path}')"


@pytest.mark.parametrize(
    ("pattern", "parameters", "message"),
    [
        ("/{a}", {}, r"has the parameters \['a'\], not \[\]"),
        ("/{a}", {"a": 1, "b": 2}, "has the parameters"),
        ("/{a}", {"a": "x/y"}, "would not match"),
        ("/{a}", {"a": ""}, "would not match"),
        ("/{}", {}, "wildcard"),
    ],
)
def test_paths_that_cannot_be_built(pattern: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pattern(pattern).build(**parameters)


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        ("/x", "", "/x"),
        ("/mount/x", "/mount", "/x"),
        ("/mount/x", "/mount/", "/x"),
        ("/mount", "/mount", ""),
        ("/mounted", "/mount", "/mounted"),
        # Servers before version 2.4 of the specification, which take it off.
        ("/x", "/mount", "/x"),
    ],
)
def test_root_path_is_no_part_of_the_route(path: str, root_path: str, expected: str) -> None:
    scope = websocket_scope(path, root_path=root_path)
    assert route_path(scope) == expected
    assert full_path(scope) == root_path.rstrip("/") + expected


def test_the_decorator_returns_the_route() -> None:
    router = Router()
    route = router.websocket_route("/{id}")(view)
    assert isinstance(route, WebSocketRoute)
    assert (route.pattern, route.name, route.view) == ("/{id}", "view", view)
    assert router.routes == [route]
    assert route.match("/1") == {"id": "1"}


def test_options_are_keywords() -> None:
    with pytest.raises(TypeError):
        Router().websocket_route("/x", False)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Router().websocket_route("/x", accept=False)  # type: ignore[call-arg]


def test_views_are_coroutine_functions() -> None:
    def sync_view(ws: WebSocket) -> None: ...

    class ClassView:
        async def __call__(self, ws: WebSocket) -> None: ...

    with pytest.raises(ExpectedAsync) as caught:
        Router().websocket_route("/x")(sync_view)
    assert str(caught.value) == (
        "WebSocket view 'sync_view' must be asynchronous. Hint: use `async def` instead of `def`."
    )
    with pytest.raises(ExpectedAsync, match="WebSocket view 'ClassView' must be asynchronous"):
        Router().websocket_route("/x")(ClassView)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"value_type": "xml"}, "value_type must be one of text, bytes, json, event, not 'xml'"),
        ({"receive_type": "str"}, "receive_type must be one of"),
        ({"send_type": "event "}, "send_type must be one of"),
        ({"caught_close_codes": "1000"}, "caught_close_codes must be close codes"),
        ({"caught_close_codes": any}, "caught_close_codes must be close codes"),
        ({"caught_close_codes": (1000, "1001")}, "caught_close_codes must be close codes"),
        ({"caught_close_codes": (), "catch_disconnect": True}, "either caught_close_codes or catch_disconnect"),
        ({"allowed_origins": ["example.com"]}, "allowed_origins: 'example.com' is no origin"),
    ],
)
def test_options_are_checked_where_they_are_given(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RouteDeclarationError, match=message):
        Router().websocket_route("/x", **options)(view)


def test_the_first_route_wins() -> None:
    router = Router()
    first = router.websocket_route("/{name}")(view)
    router.websocket_route("/special")(view)
    found = router.find(websocket_scope("/special"))
    assert found is not None
    assert found[0] is first
    assert found[1]["path_params"] == {"name": "special"}


def test_routes_are_for_one_kind_of_scope() -> None:
    router = Router()
    router.websocket_route("/x")(view)
    assert router.find(http_scope("/x")) is None
    assert router.find(websocket_scope("/y")) is None


def test_matching_is_done_with_the_decoded_path() -> None:
    router = Router()
    router.websocket_route("/items/{id}")(view)
    found = router.find(websocket_scope("/items/%34%32"))
    assert found is not None
    assert found[1]["path_params"] == {"id": "42"}
    assert router.find(websocket_scope("/items/a%2Fb")) is None


@both_ways
async def test_included_routes_keep_their_options(way: Way) -> None:
    inner = Router()

    @inner.websocket_route("/{id}", value_type="json", auto_accept=False)
    async def item(ws: WebSocket, id: int, user: str) -> None:  # noqa: A002
        async with ws:
            await ws.send({"id": id, "user": user})

    outer = Router()
    outer.include_router(inner, prefix="/users/{user}/items/")
    talk = await way.talk(outer, "/users/ann/items/7")
    assert talk.wire == [101, '{"id": 7, "user": "ann"}', ("close", 1000)]
    assert (await way.talk(outer, "/7")).wire == [403]
    assert [route.pattern for route in outer.routes if isinstance(route, WebSocketRoute)] == [
        "/users/{user}/items/{id}"
    ]
    assert [route.pattern for route in inner.routes if isinstance(route, WebSocketRoute)] == ["/{id}"]


@both_ways
async def test_inclusion_without_a_prefix_and_of_mounts(way: Way) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": scope["root_path"] + " " + scope["path"]})
        await send({"type": "websocket.close"})

    inner = Router()
    inner.websocket_route("plain")(view)
    inner.mount("mnt/", app)
    outer = Router()
    outer.include_router(inner)
    outer.include(inner, "/below")
    assert (await way.talk(outer, "/plain")).wire == [101, "reached", ("close", 1000)]
    assert (await way.talk(outer, "/below/plain")).wire == [101, "reached", ("close", 1000)]
    assert (await way.talk(outer, "/mnt/a/b")).wire == [101, "/mnt /a/b", ("close", 1000)]
    assert (await way.talk(outer, "/below/mnt/", root_path="/r")).wire == [101, "/r/below/mnt /", ("close", 1000)]
    assert (await way.talk(outer, "/r/mnt/x", root_path="/r")).wire == [101, "/r/mnt /x", ("close", 1000)]
    assert (await way.talk(outer, "/mnt")).wire == [403]


@both_ways
async def test_an_application_mounted_in_another_one(way: Way) -> None:
    inner = Router()

    @inner.websocket_route("/a/{name}")
    async def show(ws: WebSocket, name: str) -> None:
        await ws.send(f"{name} {ws.url.path}")

    async def inner_app(scope: Scope, receive: Receive, send: Send) -> None:
        found = inner.find(scope)
        assert found is not None
        route, child_scope = found
        await route(child_scope, receive, send)

    outer = Router()
    outer.mount("/a", inner_app)
    # What is left of the path begins like the prefix that was taken off.
    assert (await way.talk(outer, "/a/a/x")).wire == [101, "x /a/a/x", ("close", 1000)]


def test_a_mount_at_the_root_takes_everything() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    router = Router()
    router.mount("", app)
    found = router.find(http_scope("/x"))
    assert found is not None
    assert isinstance(found[0], Mount)
    assert (found[1]["path"], found[1]["root_path"]) == ("/x", "")


def test_what_is_mounted_can_be_called() -> None:
    with pytest.raises(RouteDeclarationError, match="no ASGI application"):
        Router().mount("/x", object())  # type: ignore[arg-type]


@both_ways
async def test_an_exception_of_a_mounted_application_is_its_own(way: Way) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise TypeError("inside")

    router = Router()
    router.mount("/mnt", app)
    talk = await way.talk(router, "/mnt/x")
    assert talk.wire == [101]
    assert repr(talk.error) == "TypeError('inside')"
