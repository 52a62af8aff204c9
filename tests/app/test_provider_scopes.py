"""Providers that live as long as the application, lazy ones, where they are found, and waiting for them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autobahnlike.app import App, Request, Response, WebSocket, discover_providers, provider
from autobahnlike.app.providers import (
    ProviderDeclarationError,
    ProviderError,
)
from autobahnlike.app.waiting import Latch

from .harness import Way, both_ways
from .kit import Log


class TestAppScope:
    @staticmethod
    @both_ways
    async def test_it_is_shared_and_made_at_first_use_where_there_is_no_lifespan(way: Way) -> None:
        made = []

        @provider(scope="app")
        async def clients() -> set[WebSocket]:
            made.append(1)
            return set()

        app = App()

        @app.websocket_route("/chat")
        async def chat(ws: WebSocket, clients: set[WebSocket]) -> None:
            clients.add(ws)
            await ws.receive()

        @app.route("/count")
        async def count(req: Request, res: Response, clients: set[WebSocket]) -> None:
            res.json = {"count": len(clients)}

        await way.connect(app, "/chat")
        await way.connect(app, "/chat")
        assert (await way.request(app, "/count")).text == '{"count": 2}'
        assert made == [1]

    @staticmethod
    @both_ways
    async def test_connections_that_come_at_the_same_time_wait_for_the_one_that_makes_it(way: Way) -> None:
        latch = Latch()
        made = []

        @provider(scope="app")
        async def slow() -> object:
            made.append(1)
            await latch.wait()
            return object()

        app = App()
        seen = []

        @app.route("/")
        async def page(req: Request, res: Response, slow: object) -> None:
            seen.append(slow)

        requests = [way.spawn(way.request(app, "/")) for _ in range(3)]
        await way.settle()
        assert not seen
        latch.open()
        for request in requests:
            await request
        assert made == [1]
        assert len(seen) == 3
        assert len(set(map(id, seen))) == 1

    @staticmethod
    @both_ways
    async def test_when_making_it_fails_the_next_one_tries_again(way: Way) -> None:
        latch = Latch()
        made = []

        @provider(scope="app")
        async def flaky() -> str:
            made.append(1)
            if len(made) == 1:
                await latch.wait()
                raise OSError("not yet")
            return "made"

        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, flaky: str) -> None:
            res.text = flaky

        first = way.spawn(way.request(app, "/"))
        second = way.spawn(way.request(app, "/"))
        await way.settle()
        latch.open()
        with pytest.raises(OSError, match="not yet"):
            await first
        assert (await second).text == "made"

    @staticmethod
    @both_ways
    async def test_it_is_made_at_startup_if_a_view_needs_it_and_torn_down_at_shutdown(way: Way) -> None:
        log = Log()
        provider(scope="app")(log.resource("database"))
        provider(scope="app")(log.resource("unused"))
        provider(scope="app", autouse=True)(log.resource("always"))

        @provider
        def rows(database: str) -> str:
            return f"rows of {database}"

        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, rows: str) -> None:
            await ws.send(rows)

        for _ in range(2):  # a server that is started again
            async with way.lifespan(app):
                assert log == ["open always", "open database"]
                assert (await way.talk(app, "/")).wire[1] == "rows of database"
                assert log == ["open always", "open database"]
            assert log == ["open always", "open database", "close database", "close always"]
            log.clear()

    @staticmethod
    @both_ways
    async def test_what_cannot_be_made_at_startup_keeps_the_application_from_starting(way: Way) -> None:
        log = Log()
        provider(scope="app")(log.resource("first"))

        @provider(scope="app")
        def database(first: str) -> None:
            raise OSError("no database")

        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, database: None) -> None: ...

        sent = []

        async def receive() -> Any:
            return {"type": "lifespan.startup"}

        async def send(event: Any) -> None:
            sent.append(event)

        with pytest.raises(OSError, match="no database"):
            await app({"type": "lifespan"}, receive, send)
        assert [event["type"] for event in sent] == ["lifespan.startup.failed"]
        assert "OSError: no database" in sent[0]["message"]
        assert log == ["open first", "close first"]

    @staticmethod
    @both_ways
    async def test_applications_have_their_own_and_those_mounted_in_one_share_it(way: Way) -> None:
        @provider(scope="app")
        def box() -> list[int]:
            return []

        async def page(req: Request, res: Response, box: list[int]) -> None:
            box.append(1)
            res.text = str(len(box))

        outer, inner, other = App(), App(), App()
        for app in (outer, inner, other):
            app.route("/")(page)
        outer.mount("/inner", inner)
        answers = [await way.request(*each) for each in ((outer, "/"), (outer, "/inner/"), (other, "/"))]
        assert [answer.text for answer in answers] == ["1", "2", "1"]

    @staticmethod
    @both_ways
    async def test_it_cannot_depend_on_a_request(way: Way) -> None:
        @provider
        def short() -> None: ...

        @provider(scope="app")
        def long(short: None) -> None: ...

        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, long: None) -> None: ...

        with pytest.raises(ProviderDeclarationError, match="'long' has the scope \"app\" and needs 'short'"):
            await way.request(app, "/")


class TestLazy:
    @staticmethod
    @both_ways
    async def test_it_is_made_when_awaited_and_once(way: Way) -> None:
        log = Log()
        provider(lazy=True)(log.resource("lazy"))
        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, lazy: Awaitable[str]) -> None:
            async for message in ws:
                log.append(message)
                if message == "now":
                    await ws.send(f"{await lazy} {await lazy}")

        assert (await way.talk(app, "/", "not yet", "now")).wire == [101, "lazy lazy"]
        assert log == ["not yet", "now", "open lazy", "close lazy"]

    @staticmethod
    @both_ways
    async def test_nothing_is_said_of_one_that_is_never_awaited(way: Way) -> None:
        @provider(lazy=True)
        async def lazy() -> None:
            raise AssertionError("not needed")

        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, lazy: Awaitable[None]) -> None: ...

        assert (await way.request(app, "/")).status == 200
        gc.collect()  # would warn of a coroutine that was never awaited

    @staticmethod
    @both_ways
    async def test_a_provider_may_await_it(way: Way) -> None:
        @provider(lazy=True)
        def lazy() -> str:
            return "lazy"

        @provider
        async def eager(lazy: Awaitable[str]) -> str:
            return f"not {await lazy}"

        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, eager: str) -> None:
            res.text = eager

        assert (await way.request(app, "/")).text == "not lazy"

    @staticmethod
    @both_ways
    async def test_when_the_view_has_ended_it_is_too_late(way: Way) -> None:
        kept = []

        @provider(lazy=True)
        def lazy() -> str:
            return "lazy"

        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, lazy: Awaitable[str]) -> None:
            kept.append(lazy)

        await way.request(app, "/")
        with pytest.raises(ProviderError, match="'lazy' was asked for after the view had ended"):
            await kept[0]

    def test_it_cannot_have_the_scope_app(self) -> None:
        with pytest.raises(ProviderDeclarationError, match="'one' is lazy and of scope \"app\""):
            provider(scope="app", lazy=True, name="one")(lambda: None)
        with pytest.raises(ProviderDeclarationError, match="'one' is lazy and autouse"):
            provider(autouse=True, lazy=True, name="one")(lambda: None)


class TestDiscovering:
    def test_modules_by_name(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "discovered_providers.py").write_text(
            "from autobahnlike.app import provider\n@provider\ndef found(): return 'found'\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "discovered_providers", raising=False)
        discover_providers("discovered_providers")
        from autobahnlike.app.providers import STORE

        assert "found" in STORE.providers
        with pytest.raises(ImportError):
            discover_providers("there_is_no_such_module")

    def test_providerconf_is_imported_when_an_application_is_made(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        from autobahnlike.app.providers import STORE

        App()
        (tmp_path / "providerconf.py").write_text(
            "from autobahnlike.app import provider\n@provider\ndef default(): return 'found'\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        try:
            App()
        finally:
            sys.modules.pop("providerconf", None)
        assert "default" in STORE.providers
        monkeypatch.setitem(sys.modules, "providerconf", ModuleType("providerconf"))
        App()  # one without a spec, as it is when it was made by hand


class TestWaiting:
    def test_without_a_loop_that_is_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "twisted.internet.defer")
        waiting = Latch().wait()
        with pytest.raises(RuntimeError, match="neither with asyncio nor with Twisted"):
            waiting.send(None)

    @staticmethod
    @both_ways
    async def test_an_open_latch_is_passed_and_one_who_was_cancelled_is_forgotten(way: Way) -> None:
        latch = Latch()
        waiting = way.spawn(latch.wait())
        cancelled: Any = way.spawn(latch.wait())
        await way.settle()
        cancelled.cancel()
        if hasattr(cancelled, "addErrback"):
            cancelled.addErrback(lambda failure: None)
        await way.settle()
        latch.open()
        await waiting
        await latch.wait()
