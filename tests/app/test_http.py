"""HTTP views: methods, parameters, errors, redirections, middleware."""

from __future__ import annotations

import http
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from autobahnlike.app import (
    App,
    ExpectedAsync,
    HTTPError,
    Middleware,
    Redirect,
    Request,
    Response,
    RouteDeclarationError,
    Router,
    create_client,
)
from autobahnlike.app.http import METHODS, HTTPRoute, error_to_html, error_to_json, error_to_text

from .harness import Exchange, Way, both_ways, http_scope
from .kit import app_with


class TestViews:
    @staticmethod
    @both_ways
    async def test_a_function(way: Way) -> None:
        app = App()

        @app.route("/greet/{person}")
        async def greet(req: Request, res: Response, person: str) -> None:
            res.text = f"Hello, {person}"

        assert isinstance(greet, HTTPRoute)
        assert (greet.name, greet.pattern) == ("greet", "/greet/{person}")
        response = await way.request(app, "/greet/J%C3%B6rg")
        assert (response.status, response.text) == (200, "Hello, Jörg")

    @staticmethod
    @both_ways
    async def test_a_class_and_an_object(way: Way) -> None:
        class Items:
            async def get(self, req: Request, res: Response, pk: int) -> None:
                res.text = f"get {pk}"

            async def delete(self, req: Request, res: Response, pk: int) -> None:
                res.status_code = 204

        for view in (Items, Items()):
            app = app_with(view, "/{pk}")
            assert (await way.request(app, "/3")).text == "get 3"
            assert (await way.request(app, "/3", "DELETE")).status == 204
            response = await way.request(app, "/3", "POST")
            assert (response.status, response.header("allow")) == (405, "DELETE, GET, HEAD")
            assert json.loads(response.body) == {"error": "405 Method Not Allowed", "status": 405}
        assert app_with(Items).router.routes[0].name == "Items"  # type: ignore[union-attr]

    @staticmethod
    @both_ways
    async def test_handle_answers_all_methods(way: Way) -> None:
        class Index:
            async def handle(self, req: Request, res: Response) -> None:
                res.text = f"handle {req.method}"

            async def get(self, req: Request, res: Response) -> None:
                raise AssertionError("not called")

        for method in METHODS:
            response = await way.request(app_with(Index), "/", method.upper())
            assert response.text == ("" if method == "head" else f"handle {method.upper()}")

    @staticmethod
    @both_ways
    async def test_a_class_without_methods(way: Way) -> None:
        class Index:
            pass

        for method in METHODS:
            assert (await way.request(app_with(Index), "/", method.upper())).status == 405

    @staticmethod
    @both_ways
    @pytest.mark.parametrize(
        ("methods", "allowed"),
        [
            (None, {"get", "head"}),
            (["GET", "post"], {"get", "head", "post"}),
            (["post"], {"post"}),
            ([], set()),
            (all, set(METHODS)),
        ],
    )
    async def test_the_methods_of_a_function(way: Way, methods: Any, allowed: set[str]) -> None:
        async def view(req: Request, res: Response) -> None: ...

        app = app_with(view, methods=methods)
        found = {each for each in METHODS if (await way.request(app, "/", each.upper())).status == 200}
        assert found == allowed

    @staticmethod
    @both_ways
    async def test_head_has_the_header_of_get_and_no_body(way: Way) -> None:
        async def view(req: Request, res: Response) -> None:
            res.text = "some text"

        response = await way.request(app_with(view), "/", "HEAD")
        assert (response.status, response.body, response.header("content-length")) == (200, b"", "9")

    def test_views_must_be_asynchronous(self) -> None:
        def index(req: Request, res: Response) -> None: ...

        class Index:
            def get(self, req: Request, res: Response) -> None: ...

        hint = r" must be asynchronous\. Hint: use `async def` instead of `def`\.$"
        with pytest.raises(ExpectedAsync, match=r"^view 'index\(\)'" + hint):
            app_with(index)
        with pytest.raises(ExpectedAsync, match=r"^view 'Index\.get\(\)'" + hint):
            app_with(Index)

    def test_declarations_that_cannot_work(self) -> None:
        async def view(req: Request, res: Response) -> None: ...

        async def short(req: Request) -> None: ...

        class Index:
            pass

        with pytest.raises(RouteDeclarationError, match="unknown HTTP method 'FETCH'"):
            app_with(view, methods=["FETCH"])
        with pytest.raises(RouteDeclarationError, match=r"must be a list like \['GET', 'POST'\], not 'GET'"):
            app_with(view, methods="GET")
        with pytest.raises(RouteDeclarationError, match="leave out methods="):
            app_with(Index, methods=["GET"])
        with pytest.raises(RouteDeclarationError, match="'short' must be for the request and the response"):
            app_with(short)
        with pytest.raises(TypeError, match="Unknown path converter 'd' on route parameter 'x'"):
            app_with(view, "/{x:d}")


class TestParameters:
    @staticmethod
    @both_ways
    async def test_of_path_and_query(way: Way) -> None:
        async def view(req: Request, res: Response, pk: int, limit: int = 10, flag: bool = False) -> None:
            res.json = [pk, limit, flag, req.path_params, dict(req.query_params)]

        app = app_with(view, "/{pk}")
        assert json.loads((await way.request(app, "/3")).body) == [3, 10, False, {"pk": "3"}, {}]
        response = await way.request(app, "/3?limit=1&limit=2&flag=on&other=x")
        assert json.loads(response.body)[:3] == [3, 2, True]

    @staticmethod
    @both_ways
    async def test_what_cannot_be_converted(way: Way) -> None:
        async def view(req: Request, res: Response, pk: int, limit: int = 10) -> None:
            raise AssertionError("not called")

        response = await way.request(app_with(view, "/{pk}"), "/foo?limit=")
        assert response.status == 400
        body = json.loads(response.body)
        assert (body["error"], body["status"], set(body["detail"])) == ("400 Bad Request", 400, {"pk", "limit"})

    @staticmethod
    @both_ways
    async def test_routers_with_prefixes(way: Way) -> None:
        router = Router()

        @router.route("/{pk}")
        async def item(req: Request, res: Response, pk: int, user: str = "") -> None:
            res.text = f"{user} {pk}"

        app = App()
        app.include_router(router, prefix="/{user}/items")
        app.include_router(router)
        assert (await way.request(app, "/ann/items/3")).text == "ann 3"
        assert (await way.request(app, "/3")).text == " 3"
        assert (await way.request(app, "/ann/3")).status == 404


class TestErrors:
    @staticmethod
    @both_ways
    @pytest.mark.parametrize("status", [400, 401, 403, 500, 200, 204])
    async def test_http_errors(way: Way, status: int) -> None:
        async def view(req: Request, res: Response) -> None:
            res.headers["x-kept"] = "1"
            res.text = "dropped"
            raise HTTPError(status, headers={"x-more": "2"})

        response = await way.request(app_with(view), "/")
        assert response.status == status
        assert http.HTTPStatus(status).phrase in response.text
        assert (response.header("x-kept"), response.header("x-more")) == ("1", "2")

    @staticmethod
    @both_ways
    @pytest.mark.parametrize(
        ("handler", "content_type", "plain", "detailed"),
        [
            (error_to_html, "text/html", "<h1>403 Forbidden</h1>", "<h1>403 Forbidden</h1>\n<p>&lt;Nope&gt;</p>"),
            (
                error_to_json,
                "application/json",
                '{"error": "403 Forbidden", "status": 403}',
                '{"error": "403 Forbidden", "status": 403, "detail": "<Nope>"}',
            ),
            (error_to_text, "text/plain", "403 Forbidden", "403 Forbidden\n<Nope>"),
        ],
    )
    async def test_the_handlers_that_there_are(
        way: Way, handler: Any, content_type: str, plain: str, detailed: str
    ) -> None:
        async def view(req: Request, res: Response, detail: str = "") -> None:
            raise HTTPError(403, detail=detail)

        app = app_with(view)
        app.add_error_handler(HTTPError, handler)
        response = await way.request(app, "/")
        assert (response.header("content-type"), response.text) == (content_type, plain)
        assert (await way.request(app, "/?detail=<Nope>")).text == detailed

    @staticmethod
    @both_ways
    async def test_the_nearest_handler_answers(way: Way) -> None:
        class Nearer(LookupError):
            pass

        async def view(req: Request, res: Response, which: str) -> None:
            raise {"key": KeyError, "lookup": LookupError, "nearer": Nearer, "value": ValueError}[which]("oops")

        app = app_with(view, "/{which}")

        @app.error_handler(LookupError)
        async def on_lookup(req: Request, res: Response, exc: LookupError) -> None:
            res.text = f"lookup {type(exc).__name__}"

        @app.error_handler(Nearer)
        async def on_nearer(req: Request, res: Response, exc: Nearer) -> None:
            res.text = "nearer"

        assert (await way.request(app, "/key")).text == "lookup KeyError"
        assert (await way.request(app, "/lookup")).text == "lookup LookupError"
        assert (await way.request(app, "/nearer")).text == "nearer"
        with pytest.raises(ValueError, match="oops"):
            await way.request(app, "/value")

    @staticmethod
    @both_ways
    async def test_a_handler_may_raise_for_another_but_not_for_itself(way: Way) -> None:
        async def view(req: Request, res: Response, which: str) -> None:
            raise {"key": KeyError, "value": ValueError}[which]("oops")

        app = app_with(view, "/{which}")

        @app.error_handler(KeyError)
        async def on_key(req: Request, res: Response, exc: KeyError) -> None:
            raise HTTPError(404)

        @app.error_handler(ValueError)
        async def on_value(req: Request, res: Response, exc: ValueError) -> None:
            raise ValueError("again")

        assert (await way.request(app, "/key")).status == 404
        with pytest.raises(ValueError, match="again"):
            await way.request(app, "/value")

    @staticmethod
    @both_ways
    @pytest.mark.parametrize("debug", [False, True])
    async def test_an_unhandled_exception_is_answered_with_500_and_raised(way: Way, debug: bool) -> None:
        async def view(req: Request, res: Response) -> None:
            res.json = "dropped"
            raise RuntimeError("inner workings")

        app = app_with(view)
        app.debug = debug
        exchange = Exchange(way, http_scope("/"), b"")
        with pytest.raises(RuntimeError, match="inner workings"):
            await exchange.serve(app)
        response = exchange.response()
        assert (response.status, response.header("content-type")) == (500, "text/plain")
        assert response.text.startswith("500 Internal Server Error")
        assert ("inner workings" in response.text) is debug

    @staticmethod
    @both_ways
    async def test_an_exception_after_the_beginning_of_the_response_is_only_raised(way: Way) -> None:
        async def view(req: Request, res: Response) -> None:
            @res.stream
            async def broken() -> AsyncIterator[str]:
                yield "begin"
                raise RuntimeError("in the middle")

        exchange = Exchange(way, http_scope("/"), b"")
        with pytest.raises(RuntimeError, match="in the middle"):
            await exchange.serve(app_with(view))
        assert [event["type"] for event in exchange.sent] == ["http.response.start", "http.response.body"]
        assert exchange.sent[-1]["more_body"]

    def test_handlers_are_checked(self) -> None:
        def handler(req: Request, res: Response, exc: Exception) -> None: ...

        with pytest.raises(ExpectedAsync, match="error handler 'handler' must be asynchronous"):
            App().add_error_handler(KeyError, handler)
        with pytest.raises(TypeError, match="not for 404"):
            App().add_error_handler(404, error_to_json)  # type: ignore[arg-type]


class TestRedirect:
    @staticmethod
    @both_ways
    @pytest.mark.parametrize(("permanent", "status"), [(False, 302), (True, 301)])
    async def test_a_view_redirects(way: Way, permanent: bool, status: int) -> None:
        async def view(req: Request, res: Response) -> None:
            res.text = "dropped"
            raise Redirect("https://example.com/ä?a=%20\r\nx", permanent=permanent)

        response = await way.request(app_with(view), "/")
        assert (response.status, response.body) == (status, b"")
        assert response.header("location") == "https://example.com/%C3%A4?a=%20%0D%0Ax"

    def test_a_client_follows(self) -> None:
        app = App()

        @app.route("/about/{who}")
        async def about(req: Request, res: Response, who: str) -> None:
            res.text = who

        @app.route("/")
        async def index(req: Request, res: Response) -> None:
            raise Redirect("/about/me")

        assert create_client(app).get("/").text == "me"


class TestMiddleware:
    @staticmethod
    @both_ways
    async def test_before_and_after(way: Way) -> None:
        events = []

        class Noting(Middleware):
            def __init__(self, inner: Any, name: str) -> None:
                super().__init__(inner)
                self.name = name

            async def before_dispatch(self, req: Request, res: Response) -> None:
                await way.settle()
                events.append(f"before {self.name}")

            async def after_dispatch(self, req: Request, res: Response) -> None:
                events.append(f"after {self.name}")
                res.headers[f"x-{self.name}"] = "1"

        async def view(req: Request, res: Response) -> None:
            events.append("view")

        app = app_with(view)
        app.add_middleware(Noting, name="inner")
        app.add_middleware(Noting, name="outer")
        response = await way.request(app, "/")
        assert events == ["before outer", "before inner", "view", "after inner", "after outer"]
        assert response.header("x-inner") == response.header("x-outer") == "1"
        events.clear()
        assert (await way.request(app, "/", "PUT")).status == 405
        assert events == ["before outer", "before inner"]

    @staticmethod
    @both_ways
    async def test_it_answers_itself(way: Way) -> None:
        class Answering(Middleware):
            async def before_dispatch(self, req: Request, res: Response) -> Response:
                res.text = "Foo"
                return res

        async def view(req: Request, res: Response) -> None:
            raise AssertionError("not called")

        app = app_with(view)
        app.add_middleware(Answering)
        assert (await way.request(app, "/")).text == "Foo"

    @staticmethod
    @both_ways
    async def test_it_sees_mounted_applications_and_lets_websockets_pass(way: Way) -> None:
        events = []

        class Noting(Middleware):
            async def after_dispatch(self, req: Request, res: Response) -> None:
                events.append(req.url.path)

        async def view(req: Request, res: Response) -> None:
            res.text = "OK"

        inner = app_with(view, "/home")

        @inner.websocket_route("/ws")
        async def ws_view(ws: Any) -> None:
            await ws.send("hi")

        app = App()
        app.add_middleware(Noting)
        app.mount("/sub", inner)
        assert (await way.request(app, "/sub/home")).text == "OK"
        assert events == ["/sub/home"]
        assert (await way.talk(app, "/sub/ws")).wire == [101, "hi", ("close", 1000)]

    @staticmethod
    @both_ways
    @pytest.mark.parametrize("when", ["before_dispatch", "after_dispatch"])
    async def test_its_errors_are_handled(way: Way, when: str) -> None:
        async def fail(self: Middleware, req: Request, res: Response) -> None:
            raise HTTPError(401)

        async def view(req: Request, res: Response) -> None: ...

        app = app_with(view)
        app.add_middleware(type("Failing", (Middleware,), {when: fail}))
        assert (await way.request(app, "/")).status == 401

    @pytest.mark.parametrize("name", ["before_dispatch", "after_dispatch"])
    def test_its_methods_must_be_asynchronous(self, name: str) -> None:
        with pytest.raises(ExpectedAsync, match=f"'Wrong.{name}' must be asynchronous"):
            type("Wrong", (Middleware,), {name: lambda self, req, res: None})
