"""Sessions in a signed cookie."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from autobahnlike.app import App, Request, Response, SettingsError, WebSocket, configure, create_client

from .harness import Way, both_ways


def app_with_sessions(**configured: Any) -> App:
    app = configure(App(), sessions=configured or {"secret_key": "not so secret"})

    @app.route("/set", methods=["POST"])
    async def store(req: Request, res: Response) -> None:
        req.session["data"] = "something"
        res.text = "Saved"

    @app.route("/")
    async def load(req: Request, res: Response) -> None:
        res.json = dict(req.session)

    @app.websocket_route("/ws")
    async def session(ws: WebSocket) -> None:
        before = dict(ws.session)
        ws.session["more"] = 1
        await ws.send_json([before, dict(ws.session)])

    return app


async def cookie_of(way: Way, app: App) -> str:
    response = await way.request(app, "/set", "POST")
    cookie = response.header("set-cookie")
    assert cookie is not None
    assert "httponly" in cookie.lower()
    return cookie.partition(";")[0]


@both_ways
async def test_an_http_view_writes_and_reads(way: Way) -> None:
    app = app_with_sessions()
    cookie = await cookie_of(way, app)
    assert cookie.startswith("session=")
    assert (await way.request(app, "/", headers={"cookie": cookie})).text == '{"data": "something"}'
    assert (await way.request(app, "/")).text == "{}"


@both_ways
async def test_a_websocket_view_reads_and_what_it_writes_is_not_kept(way: Way) -> None:
    app = app_with_sessions()
    cookie = await cookie_of(way, app)
    talk = await way.talk(app, "/ws", headers={"cookie": cookie})
    assert talk.wire[1] == '[{"data": "something"}, {"data": "something", "more": 1}]'
    assert not talk.events[0].get("headers")


@both_ways
async def test_a_bad_signature_makes_an_empty_session(way: Way) -> None:
    app = app_with_sessions()
    cookie = await cookie_of(way, app)
    # Not its last character, of which not every bit counts.
    changed = cookie[:-5] + ("a" if cookie[-5] != "a" else "b") + cookie[-4:]
    for bad in (changed, "session=rubbish", "session="):
        talk = await way.talk(app, "/ws", headers={"cookie": bad})
        assert talk.wire[1] == '[{}, {"more": 1}]'
        assert (await way.request(app, "/", headers={"cookie": bad})).text == "{}"


@both_ways
async def test_not_enabled(way: Way) -> None:
    app = App()

    @app.websocket_route("/")
    async def view(ws: WebSocket) -> None:
        with pytest.raises(AssertionError, match=r"^SessionMiddleware must be installed to access request\.session$"):
            _ = ws.session
        await ws.send("checked")

    assert (await way.talk(app, "/")).wire[1] == "checked"


def test_options_of_the_cookie() -> None:
    app = app_with_sessions(secret_key="s3kr3t", session_cookie="crumb", max_age=60)
    client = create_client(app)
    assert "Max-Age=60" in client.post("/set").headers["set-cookie"]
    assert "crumb" in client.cookies
    assert client.get("/").json() == {"data": "something"}


class TestKey:
    def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_KEY", "not so secret")
        configure(App(), sessions=True)

    @pytest.mark.parametrize("value", ["", None])
    def test_an_empty_one(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        if value is None:
            monkeypatch.delenv("SECRET_KEY", raising=False)
        else:
            monkeypatch.setenv("SECRET_KEY", value)
        message = r"^`SESSIONS` must have a non-empty `secret_key` to use sessions\.$"
        for sessions in (True, {"secret_key": value}, {}):
            with pytest.raises(SettingsError, match=message):
                configure(App(), sessions=sessions)

    def test_switched_off(self) -> None:
        configure(App(), sessions=False)


def test_without_itsdangerous(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "starlette.middleware.sessions":
            raise ImportError("No module named 'itsdangerous'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'autobahnlike\[app\]'"):
        configure(App(), sessions={"secret_key": "s3kr3t"})
