"""The application as a whole: routing of both kinds, middleware, mounts, origins, events, lifespan."""

from __future__ import annotations

import inspect
import json
import logging
import sys
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

import autobahnlike.app
import autobahnlike.asgi
from autobahnlike.app import API, App, HTTPError, OriginPolicy, Request, Response, RouteDeclarationError, WebSocket
from autobahnlike.app.errors import WebSocketDisconnect
from autobahnlike.app.routing import WebSocketRoute

from .harness import Way, both_ways


def chat_app(**options: Any) -> App:
    app = App(**options)

    @app.websocket_route("/echo")
    async def echo(ws: WebSocket) -> None:
        await ws.send(f"You said: {await ws.receive()}")

    @app.route("/page")
    async def page(req: Request, res: Response) -> None:
        res.text = "page"

    return app


class TestRouting:
    @staticmethod
    @both_ways
    async def test_both_kinds(way: Way) -> None:
        app = chat_app()
        assert (await way.talk(app, "/echo", "hi")).wire == [101, "You said: hi", ("close", 1000)]
        assert (await way.request(app, "/page")).text == "page"

    @staticmethod
    @both_ways
    async def test_websockets_without_a_route_get_http_403(way: Way) -> None:
        for path in ("/nope", "/page", "/echo/"):
            talk = await way.talk(chat_app(), path)
            assert (talk.wire, talk.error) == ([403], None)
            assert talk.events == [{"type": "websocket.close", "code": 403, "reason": ""}]

    @staticmethod
    @both_ways
    async def test_requests_without_a_route_get_404(way: Way) -> None:
        for path in ("/nope", "/echo", "/page/"):
            response = await way.request(chat_app(), path)
            assert (response.status, response.header("content-type")) == (404, "application/json")
            assert response.body == b'{"error": "404 Not Found", "status": 404}'

    @staticmethod
    @both_ways
    async def test_both_kinds_at_the_same_path(way: Way) -> None:
        app = chat_app()

        @app.websocket_route("/page")
        async def live(ws: WebSocket) -> None:
            await ws.send("live")

        assert (await way.talk(app, "/page")).wire == [101, "live", ("close", 1000)]
        assert (await way.request(app, "/page")).text == "page"

    @staticmethod
    @both_ways
    async def test_a_slash_at_the_end_is_added_by_redirection_if_that_has_a_route(way: Way) -> None:
        app, inner = App(), App()

        async def view(req: Request, res: Response) -> None:
            res.text = req.url.path

        app.route("/foo/")(view)
        app.route("/{rest:path}/bar/")(view)
        inner.route("/")(view)
        inner.route("/deep/")(view)
        app.mount("/inner", inner)
        for path, location in (
            ("/foo?a=1", "http://testserver/foo/?a=1"),
            ("/inner", "http://testserver/inner/"),
            ("/inner/deep", "http://testserver/inner/deep/"),
            # Not "//evil.example/bar/", which a browser would take for another host.
            ("//evil.example/bar", "http://testserver//evil.example/bar/"),
        ):
            response = await way.request(app, path)
            assert (response.status, response.header("location")) == (302, location)
        assert (await way.request(app, "/inner/")).text == "/inner/"
        response = await way.request(app, "/site/foo", root_path="/site")
        assert response.header("location") == "http://testserver/site/foo/"

    def test_options_are_keywords(self) -> None:
        app = App()
        with pytest.raises(TypeError):
            app.websocket_route("/", False)  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            app.websocket_route("/", autoaccept=False)  # type: ignore[call-arg]

        async def view(ws: WebSocket) -> None: ...

        route = app.websocket_route("/", caught_close_codes=all, auto_accept=False, value_type="json")(view)
        assert isinstance(route, WebSocketRoute)
        assert route.view is view
        parameters = inspect.signature(App.websocket_route).parameters
        assert all(each.kind is each.KEYWORD_ONLY for each in list(parameters.values())[2:])

    def test_paths_of_views(self) -> None:
        app = chat_app()

        @app.route("/items/{pk}")
        class Items:
            async def get(self, req: Request, res: Response, pk: int) -> None: ...

        assert app.url_for("echo") == "/echo"
        assert app.url_for("Items", pk="a b") == "/items/a%20b"
        with pytest.raises(LookupError, match="'nope'"):
            app.url_for("nope")
        with pytest.raises(ValueError, match="pk"):
            app.url_for("Items")

    def test_names(self) -> None:
        assert API is App
        assert repr(App("chat")) == "<App 'chat'>"
        assert repr(App()) == "<App>"


class TestOrigins:
    @staticmethod
    @both_ways
    async def test_the_same_origin_unless_told_otherwise(way: Way, caplog: pytest.LogCaptureFixture) -> None:
        app = chat_app()
        assert (await way.talk(app, "/echo", "hi")).wire[0] == 101
        assert (await way.talk(app, "/echo", "hi", headers={"origin": "http://testserver"})).wire[0] == 101
        with caplog.at_level(logging.WARNING, "autobahnlike.app"):
            talk = await way.talk(app, "/echo", "hi", headers={"origin": "https://evil.example"})
        assert talk.wire == [403]
        [record] = caplog.records
        for part in ("'https://evil.example'", "'testserver'", "allowed_origins", "/echo"):
            assert part in record.getMessage()

    @staticmethod
    @both_ways
    async def test_more_of_them(way: Way) -> None:
        page = {"origin": "https://page.example"}
        allowed: Any
        for allowed in ("*", ["https://page.example"], ["https://*.example"], OriginPolicy("https://page.example")):
            assert (await way.talk(chat_app(allowed_origins=allowed), "/echo", "hi", headers=page)).wire[0] == 101
        for allowed in ([], ["https://other.example"], None):
            assert (await way.talk(chat_app(allowed_origins=allowed), "/echo", "hi", headers=page)).wire == [403]
        with pytest.raises(ValueError, match=r"'page\.example' is no origin"):
            App(allowed_origins=["page.example"])

    @staticmethod
    @both_ways
    async def test_for_a_single_route(way: Way) -> None:
        app = App()

        @app.websocket_route("/open", allowed_origins="*")
        async def view(ws: WebSocket) -> None:
            await ws.send("hi")

        page = {"origin": "https://page.example"}
        assert (await way.talk(app, "/open", headers=page)).wire[0] == 101

    @staticmethod
    @both_ways
    async def test_mounted_applications(way: Way, caplog: pytest.LogCaptureFixture) -> None:
        async def foreign(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})

        page = {"origin": "https://page.example"}
        for allowed, wire in ((None, [403]), ("*", [101, ("close", 1000)])):
            app = App(allowed_origins=allowed)
            app.mount("/foreign", foreign)
            app.mount("/strict", chat_app())
            app.mount("/open", chat_app(allowed_origins="*"))
            assert (await way.talk(app, "/foreign/", headers=page)).wire == wire
            assert (await way.talk(app, "/strict/echo", "hi", headers=page)).wire == [403]
            assert (await way.talk(app, "/open/echo", "hi", headers=page)).wire[0] == 101
        assert "WebSocket to '/foreign/' refused with HTTP 403" in caplog.text


class TestMount:
    @staticmethod
    @both_ways
    async def test_what_the_other_application_sees(way: Way) -> None:
        scopes = []

        async def foreign(scope: Any, receive: Any, send: Any) -> None:
            scopes.append((scope["type"], scope["path"], scope["root_path"]))
            if scope["type"] == "http":
                await PlainTextResponse("foreign")(scope, receive, send)
            else:
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.send", "text": "foreign"})
                await send({"type": "websocket.close"})

        app = App()
        app.mount("/socket.io", foreign)
        assert (await way.request(app, "/socket.io/x/y?EIO=4")).text == "foreign"
        assert (await way.talk(app, "/socket.io/z")).wire == [101, "foreign", ("close", 1000)]
        assert scopes == [("http", "/x/y", "/socket.io"), ("websocket", "/z", "/socket.io")]

    @staticmethod
    @both_ways
    async def test_its_type_error_stays_one(way: Way) -> None:
        async def broken(scope: Any, receive: Any, send: Any) -> None:
            raise TypeError("inside")

        app = App()
        app.mount("/broken", broken)
        talk = await way.talk(app, "/broken/")
        assert isinstance(talk.error, TypeError)
        with pytest.raises(TypeError, match="inside"):
            await way.request(app, "/broken/")

    def test_what_is_no_asgi_application(self) -> None:
        def wsgi(environ: Any, start_response: Any) -> Any: ...

        for app in (wsgi, None):
            with pytest.raises(RouteDeclarationError, match="mounted at '/old' is no ASGI 3 application"):
                App().mount("/old", app)  # type: ignore[arg-type]

    @staticmethod
    @both_ways
    async def test_applications_in_applications(way: Way) -> None:
        inner, middle, outer = chat_app(), App(), App()
        middle.mount("/inner", inner)
        outer.mount("middle/", middle)
        assert (await way.request(outer, "/middle/inner/page")).text == "page"
        assert (await way.talk(outer, "/middle/inner/echo", "x")).wire == [101, "You said: x", ("close", 1000)]
        assert (await way.request(outer, "/middle/inner/nope")).status == 404
        assert (await way.talk(outer, "/middle/inner/nope")).wire == [403]


class TestMiddleware:
    @staticmethod
    @both_ways
    async def test_it_sees_requests_and_websockets(way: Way) -> None:
        seen = []

        class Noting:
            def __init__(self, app: Any, name: str) -> None:
                assert not isinstance(app, App)
                self.app, self.name = app, name

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                async def note(event: Any) -> None:
                    seen.append(f"{self.name} {event['type']}")
                    await send(event)

                seen.append(f"{self.name} {scope['type']}")
                await self.app({**scope, self.name: True}, receive, note)

        app = App()

        @app.route("/")
        async def page(req: Request, res: Response) -> None:
            res.json = [req.scope.get("inner"), req.scope.get("outer")]

        @app.websocket_route("/")
        async def view(ws: WebSocket) -> None: ...

        app.add_middleware(Noting, name="inner")
        app.add_asgi_middleware(Noting, name="outer")
        assert json.loads((await way.request(app, "/")).body) == [True, True]
        assert seen[:3] == ["outer http", "inner http", "inner http.response.start"]
        seen.clear()
        await way.talk(app, "/")
        assert seen[:2] == ["outer websocket", "inner websocket"]
        # The answer to an exception of a view goes the same way.
        seen.clear()
        assert (await way.request(app, "/nope")).status == 404
        assert "outer http.response.start" in seen

    @staticmethod
    @both_ways
    async def test_it_answers_or_raises_itself(way: Way) -> None:
        def answering(app: Any) -> Any:
            return PlainTextResponse("from the middleware")

        class Raising:
            def __init__(self, app: Any) -> None: ...

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                raise HTTPError(503)

        app = chat_app()
        app.add_middleware(answering)
        assert (await way.request(app, "/page")).text == "from the middleware"
        app = chat_app()
        app.add_middleware(Raising)
        assert (await way.request(app, "/page")).status == 503

    def test_of_asgi_2(self) -> None:
        class Old:
            def __init__(self, app: Any) -> None: ...

            def __call__(self, scope: Any) -> Any: ...

        upgrade = r"Old seems to be using the legacy ASGI2 .*Please upgrade to ASGI3: \(scope, receive, send\)"
        with pytest.raises(ValueError, match=upgrade):
            App().add_middleware(Old)


class TestEvents:
    @staticmethod
    @both_ways
    async def test_startup_and_shutdown(way: Way) -> None:
        app = App()
        events = []

        @app.on("startup")
        async def first() -> None:
            await way.settle()
            events.append("first")

        @app.on("startup")
        def second() -> None:
            events.append("second")

        async def last() -> None:
            events.append("last")

        assert app.on("shutdown", last) is last
        assert first.__name__ == "first"
        async with way.lifespan(app):
            assert events == ["first", "second"]
        assert events == ["first", "second", "last"]

    def test_there_are_only_these(self) -> None:
        with pytest.raises(ValueError, match="there is no event 'start'"):
            App().on("start")

    @staticmethod
    @both_ways
    @pytest.mark.parametrize("phase", ["startup", "shutdown"])
    async def test_a_handler_that_fails(way: Way, phase: str) -> None:
        app = App()

        @app.on(phase)
        async def fail() -> None:
            raise OSError("no database")

        events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent = []

        async def receive() -> Any:
            return events.pop(0)

        async def send(event: Any) -> None:
            sent.append(event)

        with pytest.raises(OSError, match="no database"):
            await app({"type": "lifespan"}, receive, send)
        assert sent[-1]["type"] == f"lifespan.{phase}.failed"
        assert "OSError: no database" in sent[-1]["message"]

    @staticmethod
    @both_ways
    async def test_an_application_need_not_be_configured(way: Way) -> None:
        app = chat_app()
        async with way.lifespan(app):
            assert (await way.request(app, "/page")).text == "page"

    @staticmethod
    @both_ways
    async def test_an_unknown_scope(way: Way) -> None:
        with pytest.raises(ValueError, match="unknown type of ASGI scope: 'telnet'"):
            await App()({"type": "telnet"}, None, None)  # type: ignore[arg-type]


class TestRunning:
    def test_what_the_server_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[Any] = []

        def run(app: Any, *, listen: str, loop: str = "asyncio", announce: bool = True, options: Any = None) -> None:
            told.append((app, listen, loop, announce, options))

        monkeypatch.setattr(autobahnlike.asgi, "run", run, raising=False)
        app = App()
        app.run()
        assert told.pop() == (app, "127.0.0.1:8000", "asyncio", True, None)
        app.run("::1", 0, loop="twisted", announce=False, access_log=True, debug=True)
        served, listen, loop, announce, options = told.pop()
        assert (served, listen, loop, announce) == (app, "[::1]:0", "twisted", False)
        assert options.access_log
        assert app.debug
        with pytest.raises(TypeError, match="no_such_option"):
            app.run(no_such_option=1)
        with pytest.raises(TypeError, match="give either options= or access_log"):
            app.run(options=options, access_log=True)


def test_the_package_uses_no_loop() -> None:
    # What the tests themselves load is no matter.
    for name, module in list(sys.modules.items()):
        if name.startswith("autobahnlike.app"):
            assert not {"asyncio", "anyio", "twisted"} & set(vars(module)), name
    assert autobahnlike.app.WebSocketDisconnect is WebSocketDisconnect
