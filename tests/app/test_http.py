"""HTTP views: methods, parameters, responses, errors, redirections, middleware, streams."""

from __future__ import annotations

import http
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from autobahnlike.app import (
    App,
    ClientDisconnect,
    ExpectedAsync,
    HTTPError,
    Middleware,
    Redirect,
    Request,
    Response,
    RouteDeclarationError,
    Router,
    create_client,
    server_event,
)
from autobahnlike.app.http import METHODS, HTTPRoute, error_to_html, error_to_json, error_to_text

from .harness import Exchange, Way, both_ways, http_scope


def app_with(view: Any, pattern: str = "/", **options: Any) -> App:
    app = App()
    app.route(pattern, **options)(view)
    return app


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


class TestRequest:
    @staticmethod
    @both_ways
    async def test_body_json_and_chunks(way: Way) -> None:
        class Index:
            async def post(self, req: Request, res: Response) -> None:
                res.json = await req.json()

            async def put(self, req: Request, res: Response) -> None:
                res.content = b"".join([chunk async for chunk in req])

            async def patch(self, req: Request, res: Response) -> None:
                res.json = dict(await req.form())

        app = app_with(Index)
        assert (await way.request(app, "/", "POST", body=b'{"a": 1}')).body == b'{"a": 1}'
        assert (await way.request(app, "/", "PUT", body=b"bytes")).body == b"bytes"
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert (await way.request(app, "/", "PATCH", form, b"foo=bar")).body == b'{"foo": "bar"}'

    @staticmethod
    @both_ways
    @pytest.mark.parametrize("body", [b"{", b"", b"\xff"])
    async def test_json_that_is_none(way: Way, body: bytes) -> None:
        async def view(req: Request, res: Response) -> None:
            await req.json()

        response = await way.request(app_with(view, methods=["POST"]), "/", "POST", body=body)
        assert json.loads(response.body) == {
            "error": "400 Bad Request",
            "status": 400,
            "detail": "JSON is malformed.",
        }

    @staticmethod
    @both_ways
    async def test_the_url_of_a_mounted_application(way: Way) -> None:
        async def view(req: Request, res: Response) -> None:
            res.text = str(req.url)

        outer = App()
        outer.mount("/outer", app_with(view, "/foo"))
        assert (await way.request(outer, "/outer/foo?a=1")).text == "http://testserver/outer/foo?a=1"

    @staticmethod
    @both_ways
    async def test_whether_the_client_has_gone(way: Way) -> None:
        waiting = []

        async def view(req: Request, res: Response) -> None:
            first = await req.is_disconnected()
            waiting.append(first)
            waiting.append(await req.is_disconnected())

        async def pending() -> Any:
            await way.waiter()

        exchange = Exchange(way, http_scope("/"), b"")
        exchange._receive = pending  # type: ignore[method-assign]
        await exchange.serve(app_with(view))
        assert waiting == [False, False]
        waiting.clear()
        # The harness says so after the body.
        await way.request(app_with(view), "/")
        assert waiting == [True, True]


class TestResponse:
    @staticmethod
    @both_ways
    async def test_of_nothing(way: Way) -> None:
        async def view(req: Request, res: Response) -> None: ...

        response = await way.request(app_with(view), "/")
        assert (response.status, response.body) == (200, b"")
        assert response.header("content-type") == "text/plain"
        assert response.header("content-length") == "0"

    @staticmethod
    @both_ways
    @pytest.mark.parametrize(
        ("attribute", "value", "content_type", "body"),
        [
            ("text", "foo", "text/plain", b"foo"),
            ("text", 5, "text/plain", b"5"),
            ("text", b"raw", "text/plain", b"raw"),
            ("html", "<h1>Fö</h1>", "text/html", "<h1>Fö</h1>".encode()),
            ("json", {"foo": "bär"}, "application/json", b'{"foo": "b\\u00e4r"}'),
            ("media", [1], "application/json", b"[1]"),
            ("content", b"\x00\xff", "text/plain", b"\x00\xff"),
            ("content", "plain", "text/plain", b"plain"),
        ],
    )
    async def test_of_each_kind(way: Way, attribute: str, value: Any, content_type: str, body: bytes) -> None:
        async def view(req: Request, res: Response) -> None:
            res.json = "overridden"
            if attribute == "content":
                res.headers.pop("Content-Type")
            setattr(res, attribute, value)

        response = await way.request(app_with(view), "/")
        assert (response.header("content-type"), response.body) == (content_type, body)

    @staticmethod
    @both_ways
    async def test_status_and_header(way: Way) -> None:
        async def view(req: Request, res: Response) -> None:
            res.status_code = http.HTTPStatus.ACCEPTED
            res.headers = {"X-Replaced": "1"}  # type: ignore[assignment]
            res.headers["X-Foo"] = "foo"
            res.headers.append("X-Many", "1")
            res.headers.append("X-Many", "2")
            assert res.headers["x-foo"] == "foo"
            assert res.headers.pop("nope", "default") == "default"
            with pytest.raises(KeyError):
                res.headers.pop("nope")

        response = await way.request(app_with(view), "/")
        assert response.status == 202
        assert [each for each in response.headers if each[0].startswith("x-")] == [
            ("x-replaced", "1"),
            ("x-foo", "foo"),
            ("x-many", "1"),
            ("x-many", "2"),
        ]

    @staticmethod
    @both_ways
    @pytest.mark.parametrize("status", [204, 304])
    async def test_without_a_body(way: Way, status: int) -> None:
        async def view(req: Request, res: Response) -> None:
            res.status_code = status

        response = await way.request(app_with(view), "/")
        assert (response.status, response.headers) == (status, [])

    @staticmethod
    @both_ways
    async def test_cookies(way: Way) -> None:
        async def view(req: Request, res: Response) -> None:
            res.set_cookie("a", "1", httponly=True, max_age=60)
            res.set_cookie("b", "2")
            res.delete_cookie("c")

        response = await way.request(app_with(view), "/")
        cookies = [value for name, value in response.headers if name == "set-cookie"]
        assert cookies[0].startswith("a=1; HttpOnly; Max-Age=60;")
        assert cookies[1].startswith("b=2;")
        assert cookies[2].startswith('c=""')
        assert "Max-Age=0" in cookies[2]

    @staticmethod
    @both_ways
    async def test_attachments(way: Way) -> None:
        for name, expected in (
            ("a b.txt", 'attachment; filename="a b.txt"'),
            ('a"b\\.txt', 'attachment; filename="a\\"b\\\\.txt"'),
            ("ä\r\n.txt", "attachment; filename*=UTF-8''%C3%A4%0D%0A.txt"),
        ):

            async def view(req: Request, res: Response, name: str = name) -> None:
                res.attachment = name
                res.text = "content"

            assert (await way.request(app_with(view), "/")).header("content-disposition") == expected

    @staticmethod
    @both_ways
    async def test_files(way: Way, tmp_path: Path) -> None:
        path = tmp_path / "hello.html"
        path.write_bytes(b"hi files" * 20_000)

        async def view(req: Request, res: Response, attach: bool = True) -> None:
            res.file(str(path), attach=attach)

        app = app_with(view)
        response = await way.request(app, "/")
        assert response.body == path.read_bytes()
        assert response.header("content-type") == "text/html"
        assert response.header("content-length") == "160000"
        assert response.header("content-disposition") == 'attachment; filename="hello.html"'
        assert (await way.request(app, "/?attach=0")).header("content-disposition") is None
        assert (await way.request(app, "/", "HEAD")).body == b""
        path.unlink()
        with pytest.raises(RuntimeError, match="does not exist"):
            await way.request(app, "/")

    @staticmethod
    @both_ways
    async def test_content_that_is_none(way: Way) -> None:
        async def view(req: Request, res: Response) -> None:
            res.content = 5  # type: ignore[assignment]

        with pytest.raises(TypeError, match="must be str or bytes, not int"):
            await way.request(app_with(view), "/")

    @staticmethod
    @both_ways
    async def test_without_a_length(way: Way) -> None:
        async def view(req: Request, res: Response) -> None:
            res.chunked = True
            res.text = "foo"

        response = await way.request(app_with(view), "/")
        assert (response.text, response.header("content-length")) == ("foo", None)

    @staticmethod
    @both_ways
    async def test_in_the_background(way: Way) -> None:
        done = []

        async def view(req: Request, res: Response) -> None:
            @res.background
            async def first() -> None:
                res.text = "too late"
                done.append("first")

            async def second(what: str, more: str) -> None:
                done.append(what + more)

            res.background(second, "sec", more="ond")
            res.text = "in time"

        assert (await way.request(app_with(view), "/")).text == "in time"
        assert done == ["first", "second"]

    @staticmethod
    @both_ways
    async def test_a_route_by_itself_is_an_application(way: Way) -> None:
        async def view(req: Request, res: Response, name: str) -> None:
            res.text = name

        route = HTTPRoute("/{name}", view)
        scope = {**http_scope("/foo"), "path_params": {"name": "foo"}}
        exchange = Exchange(way, scope, b"")
        await exchange.serve(route)
        assert exchange.response().text == "foo"


class Stream:
    """A view that streams until the client has gone."""

    def __init__(self, **options: Any) -> None:
        self.events: list[str] = []
        self.stream_options = options

    async def get(self, req: Request, res: Response) -> None:
        @res.stream(**self.stream_options)
        async def numbers() -> AsyncIterator[str]:
            try:
                for number in range(100):
                    self.events.append(str(number))
                    yield str(number)
            except ClientDisconnect:
                self.events.append("disconnect")
            finally:
                self.events.append("closed")


class TestStreams:
    @staticmethod
    @both_ways
    async def test_text_and_bytes(way: Way) -> None:
        background = []

        async def view(req: Request, res: Response, word: str) -> None:
            @res.stream
            async def letters() -> AsyncIterator[str | bytes]:
                for letter in word:
                    yield letter
                    await way.settle()
                yield b"!"

            @res.background
            async def later() -> None:
                background.append(1)

            res.headers["x-foo"] = "foo"
            res.status_code = 202

        response = await way.request(app_with(view, "/{word}"), "/hello")
        assert (response.status, response.text, response.header("x-foo")) == (202, "hello!", "foo")
        assert response.header("content-length") is None
        assert background == [1]
        assert (await way.request(app_with(view, "/{word}"), "/hello", "HEAD")).body == b""

    @staticmethod
    @both_ways
    @pytest.mark.parametrize("raising", [False, True])
    async def test_the_client_goes_where_sending_tells_it(way: Way, raising: bool) -> None:
        view = Stream(raise_on_disconnect=raising)
        exchange = Exchange(way, http_scope("/"), b"")

        async def send(event: Any) -> None:
            if len(exchange.sent) == 3:
                raise OSError("gone")
            exchange.sent.append(event)

        exchange._send = send  # type: ignore[method-assign]
        await exchange.serve(app_with(view))
        assert view.events == ["0", "1", "2", *(["disconnect"] if raising else []), "closed"]

    @staticmethod
    @both_ways
    @pytest.mark.parametrize("raising", [False, True])
    async def test_the_client_goes_where_only_receiving_tells_it(way: Way, raising: bool) -> None:
        view = Stream(raise_on_disconnect=raising)
        exchange = Exchange(way, http_scope("/", asgi={"version": "3.0", "spec_version": "2.3"}), b"body")
        asked = []

        async def receive() -> Any:
            asked.append(1)
            if len(asked) == 1:
                return {"type": "http.request", "body": b"body", "more_body": False}
            if len(asked) < 4:
                await way.waiter()
            return {"type": "http.disconnect"}

        exchange._receive = receive  # type: ignore[method-assign]
        await exchange.serve(app_with(view))
        assert view.events == ["0", "1", "2", *(["disconnect"] if raising else []), "closed"]

    def test_what_is_no_generator(self) -> None:
        res = Response(Request({"type": "http"}))

        async def coroutine() -> None: ...

        with pytest.raises(TypeError, match="'coroutine' must be an asynchronous generator"):
            res.stream(coroutine)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="must be an asynchronous generator"):
            res.stream(lambda: "text")  # type: ignore[arg-type, return-value]

    @staticmethod
    @both_ways
    async def test_server_sent_events(way: Way) -> None:
        async def view(req: Request, res: Response) -> None:
            @res.event_stream
            async def events() -> AsyncIterator[str]:
                yield server_event("joined", json={"user": "Ann"})
                yield server_event(data="bye")

        response = await way.request(app_with(view), "/")
        assert response.text == 'event: joined\ndata: {"user": "Ann"}\n\ndata: bye\n\n'
        assert response.header("content-type") == "text/event-stream"
        assert response.header("cache-control") == "no-cache"

    def test_the_text_of_an_event(self) -> None:
        assert server_event() == "\n\n"
        assert server_event(data="hello, world") == "data: hello, world\n\n"
        assert server_event(data=["one", "two"]) == "data: one\ndata: two\n\n"
        assert server_event(data="one\ntwo\n\nfour") == "data: one\ndata: two\ndata: \ndata: four\n\n"
        assert server_event("ping", id=3) == "id: 3\nevent: ping\n\n"
        assert server_event(json=None, data="") == "data: \n\n"
        assert isinstance(server_event(), str)
        with pytest.raises(ValueError, match="the event of a server-sent event must be one line"):
            server_event("a\ndata: b")


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
