"""The test client and the live server."""

from __future__ import annotations

import builtins
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from websockets.sync.client import connect

from autobahnlike.app import App, LiveServer, Request, Response, WebSocket, WebSocketDisconnect, create_client


def echo_app() -> App:
    app = App()

    @app.websocket_route("/echo")
    async def echo(ws: WebSocket) -> None:
        async for message in ws:
            await ws.send(f"You said: {message}")

    @app.websocket_route("/json", value_type="json", auto_accept=False)
    async def json_echo(ws: WebSocket) -> None:
        await ws.accept("chat", headers={"x-foo": "foo"})
        await ws.send({"got": await ws.receive()})
        await ws.send_bytes(b"\x00\xff")
        await ws.close(4000, "enough")

    @app.websocket_route("/fail")
    async def fail(ws: WebSocket) -> None:
        await ws.receive()
        raise KeyError("oops")

    @app.websocket_route("/reject")
    async def reject(ws: WebSocket) -> None:
        await ws.reject()

    @app.route("/")
    async def index(req: Request, res: Response) -> None:
        res.text = str(os.getpid())

    return app


class TestClient:
    def test_http(self) -> None:
        client = create_client(echo_app())
        assert client.get("/").text == str(os.getpid())
        assert client.get("/nope").status_code == 404

    def test_a_websocket(self) -> None:
        with create_client(echo_app()).websocket_connect("/echo") as ws:
            ws.send_text("hi")
            assert ws.receive_text() == "You said: hi"
            ws.send({"type": "websocket.receive", "text": "event"})
            assert ws.receive() == {"type": "websocket.send", "text": "You said: event"}
            ws.close(1001)

    def test_what_the_application_chooses_and_how_it_closes(self) -> None:
        client = create_client(echo_app())
        with client.websocket_connect("/json?a=1", subprotocols=["chat", "other"], headers={"X-Foo": "bar"}) as ws:
            assert ws.accepted_subprotocol == "chat"
            assert (b"x-foo", b"foo") in ws.extra_headers
            assert ws.scope["subprotocols"] == ["chat", "other"]
            assert (b"x-foo", b"bar") in ws.scope["headers"]
            ws.send_json({"a": "ä"})
            assert ws.receive_json() == {"got": {"a": "ä"}}
            assert ws.receive_bytes() == b"\x00\xff"
            with pytest.raises(WebSocketDisconnect) as caught:
                ws.receive_text()
            assert (caught.value.code, caught.value.reason) == (4000, "enough")

    @pytest.mark.parametrize("path", ["/reject", "/nope", "/"])
    def test_a_refusal(self, path: str) -> None:
        with pytest.raises(WebSocketDisconnect) as caught, create_client(echo_app()).websocket_connect(path):
            pass
        assert caught.value.code == 403

    def test_binary_json(self) -> None:
        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket) -> None:
            await ws.send_bytes(await ws.receive_bytes())

        with create_client(app).websocket_connect("/") as ws:
            ws.send_json([1], mode="binary")
            assert ws.receive_json(mode="binary") == [1]

    def test_another_origin_is_refused_as_in_real_life(self) -> None:
        client = create_client(echo_app())
        with (
            pytest.raises(WebSocketDisconnect, match="403"),
            client.websocket_connect("/echo", headers={"origin": "https://evil.example"}),
        ):
            pass

    def test_exceptions_of_views(self) -> None:
        client = create_client(echo_app())
        for receive_more in (False, True):
            ws = client.websocket_connect("/fail")
            ws.__enter__()
            ws.send_text("go")
            assert ws.receive() == {"type": "websocket.close", "code": 1011, "reason": ""}
            if receive_more:
                with pytest.raises(KeyError, match="oops"):
                    ws.receive()
                ws.__exit__(None, None, None)
            else:
                with pytest.raises(KeyError, match="oops"):
                    ws.__exit__(None, None, None)

    def test_exceptions_before_accepting(self) -> None:
        async def broken(scope: Any, receive: Any, send: Any) -> None:
            raise KeyError("oops")

        with pytest.raises(KeyError, match="oops"), create_client(broken).websocket_connect("/"):
            pass

    def test_after_the_end_nothing_is_waited_for(self) -> None:
        with create_client(echo_app()).websocket_connect("/json") as ws:
            ws.send_json(1)
            ws.receive_json()
            ws.receive_bytes()
            assert ws.receive()["code"] == 4000
            for _ in range(2):
                with pytest.raises(RuntimeError, match="the application has ended"):
                    ws.receive()

    @pytest.mark.parametrize("code", [1000, 4000])
    def test_a_view_runs_to_its_end(self, code: int) -> None:
        app, done = App(), []

        @app.websocket_route("/")
        async def view(ws: WebSocket) -> None:
            try:
                await ws.receive()
            finally:
                for _ in range(100):
                    await anyio.lowlevel.checkpoint()
                done.append(1)

        ws = create_client(app).websocket_connect("/")
        ws.__enter__()
        if code != 1000:
            ws.close(code)
            with pytest.raises(WebSocketDisconnect, match="4000"):
                ws.__exit__(None, None, None)
        else:
            ws.__exit__(None, None, None)
        assert done == [1]

    def test_one_that_does_not_end_is_cancelled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from autobahnlike.testing import client

        monkeypatch.setattr(client, "_PARTING_TIME", 0.0)
        app, done = App(), []

        @app.websocket_route("/")
        async def view(ws: WebSocket) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                done.append(1)

        with create_client(app).websocket_connect("/"):
            pass
        assert done == [1]

    def test_startup_and_shutdown(self) -> None:
        app, events = echo_app(), []
        app.on("startup", lambda: events.append("startup"))
        app.on("shutdown", lambda: events.append("shutdown"))
        with create_client(app) as client:
            assert events == ["startup"]
            client.get("/")
        assert events == ["startup", "shutdown"]

    def test_what_one_connection_leaves_another_finds(self) -> None:
        app = App()
        clients: set[WebSocket] = set()

        @app.websocket_route("/chat")
        async def chat(ws: WebSocket) -> None:
            clients.add(ws)
            try:
                async for message in ws:
                    for client in clients:
                        await client.send(message)
            finally:
                clients.remove(ws)

        # As a context manager, so that both run on the same loop.
        with create_client(app) as client:
            with client.websocket_connect("/chat") as ann, client.websocket_connect("/chat") as ben:
                ann.send_text("hi")
                assert ann.receive_text() == ben.receive_text() == "hi"
            assert not clients

    def test_without_httpx(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real_import = builtins.__import__

        def without(name: str, *args: Any, **kwargs: Any) -> Any:
            if name in ("httpx", "httpx2"):
                raise ModuleNotFoundError(f"No module named {name!r}")
            return real_import(name, *args, **kwargs)

        for name in ("starlette.testclient", "autobahnlike.testing.client"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.delattr("starlette.testclient", raising=False)
        monkeypatch.delattr("autobahnlike.testing.client", raising=False)
        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(ImportError, match=r"pip install 'autobahnlike\[testing\]'"):
            create_client(echo_app())


class TestLiveServer:
    @pytest.mark.parametrize("loop", ["asyncio", "uvloop", "twisted", "twisted-asyncio"])
    def test_on_every_loop(self, loop: str) -> None:
        if loop == "uvloop":
            pytest.importorskip("uvloop")
        with LiveServer(echo_app(), loop=loop, ready_timeout=30, stop_timeout=30) as server:
            assert server.url.startswith("http://127.0.0.1:")
            assert server.url("/echo") == f"{server.url}/echo"
            with httpx.Client(trust_env=False) as client:
                pid = int(client.get(server.url).text)
                assert pid != os.getpid()
                assert client.get(server.url("/nope")).json() == {"error": "404 Not Found", "status": 404}
            with connect(server.ws_url("/echo"), proxy=None) as ws:
                ws.send("hi")
                assert ws.recv() == "You said: hi"
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(RuntimeError, match="has a URL while it runs"):
            _ = server.url

    def test_options_reach_the_server(self) -> None:
        live = LiveServer(echo_app(), server_header="ours", ready_timeout=30, stop_timeout=30)
        with live as server, httpx.Client(trust_env=False) as client:
            assert client.get(server.url).headers["server"] == "ours"

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_an_application_by_its_name(self, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: [method])
        (tmp_path / "app_of_a_test.py").write_text("from autobahnlike.app import App\napp = App()\n")
        monkeypatch.syspath_prepend(tmp_path)
        live = LiveServer("app_of_a_test:app", ready_timeout=30, stop_timeout=30)
        with live as server, httpx.Client(trust_env=False) as client:
            assert client.get(server.url).status_code == 404

    def test_what_does_not_start(self) -> None:
        app = App()

        @app.on("startup")
        def fail() -> None:
            raise OSError("no database")

        with (
            pytest.raises(RuntimeError, match=r"(?s)the live server does not start:.*no database"),
            LiveServer(app, ready_timeout=30),
        ):
            raise AssertionError("not reached")

    def test_what_ends_at_once(self) -> None:
        app = App()
        app.on("startup", lambda: os._exit(3))
        with pytest.raises(RuntimeError, match="has ended before it was ready"), LiveServer(app, ready_timeout=30):
            raise AssertionError("not reached")

    def test_what_takes_too_long_to_start(self) -> None:
        app = App()
        blocked = multiprocessing.get_context("fork").Event()
        app.on("startup", blocked.wait)
        with (
            pytest.raises(TimeoutError, match=r"Live server not ready after 0\.1 seconds"),
            LiveServer(app, ready_timeout=0.1, stop_timeout=0.1),
        ):
            raise AssertionError("not reached")

    def test_what_takes_too_long_to_stop(self) -> None:
        app = App()
        blocked = multiprocessing.get_context("fork").Event()
        app.on("shutdown", blocked.wait)
        with (
            pytest.raises(TimeoutError, match=r"Live server still running after 0\.1 seconds"),
            LiveServer(app, ready_timeout=30, stop_timeout=0.1),
        ):
            pass

    def test_where_processes_cannot_be_forked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
        with (
            pytest.raises(RuntimeError, match='give the application as LiveServer\\("module:attribute"\\)'),
            LiveServer(echo_app()),
        ):
            raise AssertionError("not reached")
