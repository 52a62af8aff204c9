"""The requests and responses of HTTP views, streams among them."""

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
    Request,
    Response,
    server_event,
)
from autobahnlike.app.http import HTTPRoute

from .harness import AsyncioWay, Exchange, Way, both_ways, http_scope
from .kit import app_with


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
            res.headers = {"X-Replaced": "1"}
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

    def test_a_loop_of_asyncio_can_do_other_things_meanwhile(self) -> None:
        # Of the others only the server's send can make us wait.
        way = AsyncioWay()
        sent = []
        exchange = Exchange(way, http_scope("/"), b"")

        async def other() -> None:
            await way.settle()
            sent.append(len(exchange.sent))

        async def story() -> None:
            task = way.spawn(other())
            await exchange.serve(app_with(Stream()))
            await task

        way.run(story())
        assert 0 < sent[0] < 100

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
