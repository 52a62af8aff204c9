"""The examples of the two guides of Bocadillo whose API this is, with only the imports changed.

O is the older guide, of December 2018, N the newer one, of version 0.18. Where an example has an error of its own that
no library can mend, what was changed is said.
"""

from __future__ import annotations

import json
import random
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from autobahnlike.app import API, App, Templates, WebSocket, WebSocketDisconnect, provider, status

from .harness import Client, Way, both_ways

DONE = ("close", 1000)
BOOM = 4003


class TestOlder:
    @staticmethod
    @both_ways
    async def test_basic_example(way: Way) -> None:
        api = API()

        @api.websocket_route("/echo")
        async def echo(ws: WebSocket) -> None:
            await ws.accept()
            message = await ws.receive()  # the guide forgets the await
            await ws.send(f"You said: {message}")
            await ws.close()

        assert (await way.talk(api, "/echo", "hi")).wire == [101, "You said: hi", DONE]

    @staticmethod
    @both_ways
    async def test_context_manager(way: Way, capsys: pytest.CaptureFixture[str]) -> None:
        api = API()

        @api.websocket_route("/hello")
        async def hello(ws: WebSocket) -> None:
            async with ws:
                await ws.send("Hello, world!")
            print("Connection closed")

        talk = await way.talk(api, "/hello")
        assert (talk.wire, talk.error) == ([101, "Hello, world!", DONE], None)
        assert capsys.readouterr().out == "Connection closed\n"

    @staticmethod
    @both_ways
    async def test_what_the_context_manager_does(way: Way) -> None:
        api = API()

        @api.websocket_route("/hello")
        async def hello(ws: WebSocket) -> None:
            await ws.accept()
            try:
                await ws.send("Hello, world!")
            except WebSocketDisconnect:
                print("Connection closed")
            finally:
                await ws.close()

        talk = await way.talk(api, "/hello")
        assert (talk.wire, talk.error) == ([101, "Hello, world!", DONE], None)

    @staticmethod
    @both_ways
    async def test_iterating(way: Way) -> None:
        api = API()

        @api.websocket_route("/for")
        async def iterating(ws: WebSocket) -> None:
            async with ws:
                async for message in ws:
                    await ws.send(f"You said: {message}")

        @api.websocket_route("/while")
        async def looping(ws: WebSocket) -> None:
            async with ws:
                while True:
                    message = await ws.receive()
                    await ws.send(f"You said: {message}")

        for path in ("/for", "/while"):
            talk = await way.talk(api, path, "a", "b")
            assert (talk.wire, talk.error) == ([101, "You said: a", "You said: b"], None)

    @staticmethod
    @both_ways
    async def test_ping_pong(way: Way) -> None:
        api = API()

        @api.websocket_route("/ping-pong", value_type="json")
        async def ping_pong(ws: WebSocket) -> None:
            async with ws:
                async for message in ws:
                    resp = "pong" if message["type"] == "ping" else "ping"
                    await ws.send({"type": resp})

        talk = await way.talk(api, "/ping-pong", '{"type": "ping"}', '{"type": "pong"}')
        assert talk.wire == [101, '{"type": "pong"}', '{"type": "ping"}']

    @staticmethod
    @both_ways
    async def test_asgi_events(way: Way) -> None:
        api = API()

        @api.websocket_route("/echo")
        async def echo(ws: WebSocket) -> None:
            await ws.send_event({"type": "websocket.accept"})
            event = await ws.receive_event()
            message: str = event["text"]
            await ws.send_event({"type": "websocket.send", "text": f"You said: {message}"})  # in the guide {{...}}
            await ws.send_event({"type": "websocket.close"})

        talk = await way.talk(api, "/echo", "hi")
        assert (talk.wire, talk.error) == ([101, "You said: hi", DONE], None)

    @staticmethod
    @both_ways
    async def test_catch_disconnect(way: Way) -> None:
        api = API()

        async def echo(ws: WebSocket) -> None:
            async with ws:
                async for message in ws:
                    await ws.send(message)

        api.websocket_route("/caught", catch_disconnect=True)(echo)
        api.websocket_route("/raised", catch_disconnect=False)(echo)
        assert (await way.talk(api, "/caught", disconnect=4000)).error is None
        for code in (1000, 4000):
            error = (await way.talk(api, "/raised", disconnect=code)).error
            assert isinstance(error, WebSocketDisconnect)
            assert error.code == code


class TestNewer:
    @staticmethod
    @both_ways
    async def test_hello_websockets(way: Way) -> None:
        app = App()

        @app.websocket_route("/echo")
        async def echo(ws):  # type: ignore[no-untyped-def]
            message = await ws.receive()
            await ws.send(f"You said: {message}")

        assert (await way.talk(app, "/echo", "hi")).wire == [101, "You said: hi", DONE]

    @staticmethod
    @both_ways
    async def test_views_with_parameters(way: Way) -> None:
        app = App()

        @app.websocket_route("/chat/{channel}", value_type="json")
        async def chat(ws, channel: str, anonymous: bool = False):  # type: ignore[no-untyped-def]
            user = "Anonymous" if anonymous else ws.headers["user"]
            async for message in ws:
                channel_message = {"user": user, "message": message}
                # TODO: send `channel_message` to other clients in the channel…
                await ws.send(channel_message)

        talk = await way.talk(app, "/chat/news?anonymous=true", "1")
        assert talk.wire == [101, '{"user": "Anonymous", "message": 1}']
        talk = await way.talk(app, "/chat/news", '"hi"', headers={"User": "Ann"})
        assert talk.wire == [101, '{"user": "Ann", "message": "hi"}']
        talk = await way.talk(app, "/chat/news")
        assert isinstance(talk.error, KeyError)
        assert talk.wire == [101, ("close", 1011)] or talk.wire == [403]
        assert (await way.talk(app, "/chat/news?anonymous=maybe")).wire == [403]

    @staticmethod
    @both_ways
    async def test_inspecting_the_request(way: Way) -> None:
        app = App()

        @app.websocket_route("/inspect")
        async def inspect(ws: WebSocket) -> None:
            await ws.send_json([str(ws.url), ws.headers["x-foo"], ws.query_parameters["a"], ws.query_params["a"]])

        talk = await way.talk(app, "/inspect?a=1", headers={"X-Foo": "foo"})
        assert json.loads(talk.wire[1]) == ["ws://testserver/inspect?a=1", "foo", "1", "1"]

    @staticmethod
    @both_ways
    async def test_types_of_messages(way: Way) -> None:
        app = App()

        async def chat(ws: WebSocket) -> None:
            async for message in ws:
                await ws.send(message)

        app.websocket_route("/receive", receive_type="json", send_type="json")(chat)
        app.websocket_route("/value", value_type="json")(chat)
        app.websocket_route("/bytes", value_type="bytes")(chat)
        app.websocket_route("/text")(chat)
        assert (await way.talk(app, "/receive", '{"a":1}')).wire == [101, '{"a": 1}']
        assert (await way.talk(app, "/value", '{"a":1}')).wire == [101, '{"a": 1}']
        assert (await way.talk(app, "/bytes", b"\x00")).wire == [101, b"\x00"]
        assert (await way.talk(app, "/text", "{}")).wire == [101, "{}"]

    @staticmethod
    @both_ways
    async def test_asgi_events(way: Way) -> None:
        app = App()

        @app.websocket_route("/echo")
        async def echo(ws):  # type: ignore[no-untyped-def]
            event = await ws.receive_event()
            message = event["text"]
            await ws.send_event({"type": "websocket.send", "text": f"You said: {message}"})

        assert (await way.talk(app, "/echo", "hi")).wire == [101, "You said: hi", DONE]

    @staticmethod
    @both_ways
    async def test_accepting_by_hand(way: Way, capsys: pytest.CaptureFixture[str]) -> None:
        app = App()

        @app.websocket_route("/hello", auto_accept=False)
        async def hello(ws):  # type: ignore[no-untyped-def]
            print("Going to accept connection…")
            await ws.accept()
            ...  # noqa: PIE790 - what the guide has there
            await ws.close()
            print("Connection closed!")

        @app.websocket_route("/with", auto_accept=False)
        async def hello_with(ws):  # type: ignore[no-untyped-def]
            print("Going to accept connection…")
            async with ws:
                ...
            print("Connection closed normally!")

        assert (await way.talk(app, "/hello")).wire == [101, DONE]
        assert capsys.readouterr().out == "Going to accept connection…\nConnection closed!\n"
        assert (await way.talk(app, "/with")).wire == [101, DONE]
        assert capsys.readouterr().out == "Going to accept connection…\nConnection closed normally!\n"

    @staticmethod
    @both_ways
    async def test_rejecting(way: Way) -> None:
        app = App()

        @app.websocket_route("/hello")
        async def hello(ws):  # type: ignore[no-untyped-def]
            if ws.headers.get("api-key") != "s3kr3t":
                await ws.reject()
            async with ws:
                ...  # Proceed with an authorized client

        talk = await way.talk(app, "/hello", headers={"api-key": "s3kr3t"})
        assert (talk.wire, talk.error) == ([101, DONE], None)
        for headers in ({}, {"api-key": "wrong"}):
            talk = await way.talk(app, "/hello", headers=headers)
            assert (talk.wire, talk.error) == ([403], None)

    @staticmethod
    @both_ways
    async def test_returning_errors(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
        app = App()

        @app.websocket_route("/dangerous")
        async def dangerous(ws):  # type: ignore[no-untyped-def]
            for _ in range(100):
                message = await ws.receive()  # ws.message() in the guide, which there never was
                if random.random() < 0.1:
                    await ws.close(BOOM)
                    return
                await ws.send("OK")

            # Bocadillo does this automatically, but we can
            # close the connection ourself if we need to.
            await ws.close(status.WS_1000_NORMAL_CLOSURE)
            assert message

        @app.websocket_route("/verbatim")
        async def verbatim(ws):  # type: ignore[no-untyped-def]
            await ws.message()

        draws = deque([0.5, 0.05])
        monkeypatch.setattr(random, "random", draws.popleft)
        assert (await way.talk(app, "/dangerous", "a", "b", "c")).wire == [101, "OK", ("close", BOOM)]
        draws.extend([0.5] * 100)
        assert (await way.talk(app, "/dangerous", *["a"] * 100)).wire == [101, *["OK"] * 100, DONE]
        error = (await way.talk(app, "/verbatim")).error
        assert isinstance(error, AttributeError)
        assert str(error) == "'WebSocket' object has no attribute 'message'"

    @staticmethod
    @both_ways
    async def test_closing_with_a_code(way: Way) -> None:
        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket) -> None:
            await ws.accept()
            await ws.close(1003)

        assert (await way.talk(app, "/")).wire == [101, ("close", 1003)]

    @staticmethod
    @both_ways
    @pytest.mark.parametrize(
        ("caught", "silenced"),
        [(None, {1000, 1001}), ((1000, 1001, 1006), {1000, 1001, 1006}), (all, {1000, 1001, 1006, 4000}), ((), set())],
    )
    async def test_closures_by_the_client(way: Way, caught: Any, silenced: set[int]) -> None:
        app = App()

        @app.websocket_route("/chat", caught_close_codes=caught)
        async def chat(ws: WebSocket) -> None:
            await ws.receive()

        for code in (1000, 1001, 1006, 4000):
            error = (await way.talk(app, "/chat", disconnect=code)).error
            assert (error is None) is (code in silenced)
            assert error is None or str(error) == str(code)


PAGE = """<!-- templates/index.html -->
<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>Chat room</title></head>
<body><h1>Chat room</h1></body></html>
"""


def chat_room(templates_directory: Path) -> App:
    """The chat room of N; the guide shows its page, and names what its script uses."""
    app = App()
    templates = Templates(app, directory=templates_directory)

    @provider(scope="app")
    async def history() -> list[Any]:
        return []

    @provider(scope="app")
    async def clients() -> set[WebSocket]:
        return set()

    @app.websocket_route("/chat", value_type="json")
    async def chat(ws, history, clients):  # type: ignore[no-untyped-def]
        clients.add(ws)
        for message in history:
            await ws.send(message)
        try:
            async for message in ws:
                if message["type"] == "message":
                    history.append(message)
                    for client in clients:
                        await client.send(message)
        finally:
            clients.remove(ws)

    @app.route("/")
    async def index(req, res):  # type: ignore[no-untyped-def]
        res.html = await templates.render("index.html")

    @app.route("/client-count")
    async def client_count(req, res, clients):  # type: ignore[no-untyped-def]
        res.json = {"count": len(clients)}

    return app


class TestChatRoom:
    @staticmethod
    @both_ways
    async def test_the_page(way: Way, tmp_path: Path) -> None:
        (tmp_path / "index.html").write_text(PAGE)
        response = await way.request(chat_room(tmp_path), "/")
        assert (response.status, response.header("content-type")) == (200, "text/html")
        assert response.text == PAGE.removesuffix("\n")

    @staticmethod
    @both_ways
    async def test_a_conversation(way: Way, tmp_path: Path) -> None:
        app = chat_room(tmp_path)

        async def count() -> int:
            number: int = json.loads((await way.request(app, "/client-count")).body)["count"]
            return number

        async def say(client: Client, text: str, **more: str) -> dict[str, str]:
            message = {"type": "message", "user": "someone", "text": text, **more}
            client.send(json.dumps(message))
            await way.settle()
            return message

        def heard(client: Client) -> list[Any]:
            return [json.loads(each) for each in client.wire if isinstance(each, str)]

        ann, ben = await way.connect(app, "/chat"), await way.connect(app, "/chat")
        assert await count() == 2
        first = await say(ann, "hello")
        second = await say(ben, "hi")
        await say(ben, "not for all", type="typing")
        assert heard(ann) == heard(ben) == [first, second]
        late = await way.connect(app, "/chat")
        assert heard(late) == [first, second]
        # One goes, one loses the connection, one sends what the room does not understand.
        ann.disconnect(1000)
        assert await ann.ended() is None
        assert await count() == 2
        late.disconnect(1006)
        await late.ended()
        assert await count() == 1
        ben.send('{"text": "no type"}')
        assert isinstance(await ben.ended(), KeyError)
        assert ben.wire[-1] == ("close", 1011)
        assert await count() == 0
