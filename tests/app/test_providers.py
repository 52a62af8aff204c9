"""Providers: made once per request or application, injected by name, cleaned up in time."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autobahnlike.app import App, Request, Response, WebSocket, discover_providers, provider, useprovider
from autobahnlike.app.providers import (
    Provider,
    ProviderDeclarationError,
    ProviderDoesNotExist,
    ProviderError,
    RecursiveProviderError,
    UnknownScope,
)
from autobahnlike.app.waiting import Latch

from .harness import Way, both_ways


class Log(list[str]):
    """What happened, in order."""

    def resource(self, name: str) -> Callable[[], Iterator[str]]:
        def make() -> Iterator[str]:
            self.append(f"open {name}")
            yield name
            self.append(f"close {name}")

        make.__name__ = name
        return make


class TestWhatAViewGets:
    @staticmethod
    @both_ways
    async def test_each_kind_of_function(way: Way) -> None:
        @provider
        def plain() -> str:
            return "plain"

        @provider
        async def coroutine() -> str:
            await way.settle()
            return "coroutine"

        @provider
        def generator() -> Iterator[str]:
            yield "generator"

        @provider
        async def async_generator() -> AsyncIterator[str]:
            yield "async generator"

        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, plain: str, coroutine: str, generator: str, async_generator: str) -> None:
            await ws.send(f"{plain}, {coroutine}, {generator}, {async_generator}")

        talk = await way.talk(app, "/")
        assert talk.wire == [101, "plain, coroutine, generator, async generator", ("close", 1000)]

    @staticmethod
    @both_ways
    async def test_it_stands_beside_route_and_query_parameters(way: Way) -> None:
        @provider
        def greeting() -> str:
            return "Hello, {}{}"

        app = App()

        @app.websocket_route("/hi/{who}")
        async def view(ws: WebSocket, greeting: str, who: str, mark: str = "!") -> None:
            await ws.send(greeting.format(who, mark))

        @app.route("/hi/{who}")
        async def page(req: Request, res: Response, who: str, greeting: str, mark: str = "!") -> None:
            res.text = greeting.format(who, mark)

        assert (await way.talk(app, "/hi/Ann?mark=.")).wire[1] == "Hello, Ann."
        assert (await way.request(app, "/hi/Ben")).text == "Hello, Ben!"

    @staticmethod
    @both_ways
    async def test_a_route_parameter_of_its_name_wins(way: Way) -> None:
        @provider
        def who() -> str:
            raise AssertionError("not needed")

        app = App()

        @app.route("/{who}")
        async def page(req: Request, res: Response, who: str) -> None:
            res.text = who

        assert (await way.request(app, "/Ann")).text == "Ann"

    @staticmethod
    @both_ways
    async def test_the_connection_itself_is_never_replaced(way: Way) -> None:
        for name in ("ws", "req", "res"):
            provider(name=name)(lambda: "provided")
        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket) -> None:
            await ws.send(type(ws).__name__)

        @app.route("/")
        async def page(req: Request, res: Response) -> None:
            res.text = f"{type(req).__name__} {type(res).__name__}"

        assert (await way.talk(app, "/")).wire[1] == "WebSocket"
        assert (await way.request(app, "/")).text == "Request Response"

    @staticmethod
    @both_ways
    async def test_it_may_be_declared_after_the_view_and_after_the_first_request(way: Way) -> None:
        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, late: str = "default") -> None:
            res.text = late

        assert (await way.request(app, "/")).text == "default"
        provider(name="late")(lambda: "provided")
        assert (await way.request(app, "/")).text == "provided"

    @staticmethod
    @both_ways
    async def test_methods_and_keyword_only_parameters(way: Way) -> None:
        @provider
        def note() -> str:
            return "C#"

        app = App()

        @app.route("/")
        class Page:
            async def get(self, req: Request, res: Response, *, note: str) -> None:
                res.text = note

        assert (await way.request(app, "/")).text == "C#"

    @staticmethod
    @both_ways
    async def test_a_name_of_its_own(way: Way) -> None:
        @provider(name="clients")
        def make_clients() -> str:
            return "named"

        provider(name="times")(functools.partial(lambda text, count: text * count, "ab", count=2))
        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, clients: str, times: str) -> None:
            res.text = clients + times

        assert (await way.request(app, "/")).text == "namedabab"

    @staticmethod
    @both_ways
    async def test_a_callable_object_and_a_class(way: Way) -> None:
        class Maker:
            async def __call__(self) -> str:
                return "made"

        provider(name="made")(Maker())
        provider(name="mapping")(dict)
        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, made: str, mapping: dict[str, str]) -> None:
            res.text = f"{made} {mapping}"

        assert (await way.request(app, "/")).text == "made {}"


class TestRequestScope:
    @staticmethod
    @both_ways
    async def test_each_connection_has_its_own(way: Way) -> None:
        @provider
        def box() -> list[int]:
            return []

        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, box: list[int]) -> None:
            async for _ in ws:
                box.append(1)
                await ws.send(str(len(box)))

        assert (await way.talk(app, "/", "a", "b")).wire == [101, "1", "2"]
        assert (await way.talk(app, "/", "a")).wire == [101, "1"]

    @staticmethod
    @both_ways
    async def test_one_connection_makes_it_once_for_view_and_providers(way: Way) -> None:
        @provider
        def box() -> list[int]:
            return []

        @provider
        def filled(box: list[int]) -> list[int]:
            box.append(1)
            return box

        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, filled: list[int], box: list[int]) -> None:
            res.text = str(box is filled)

        assert (await way.request(app, "/")).text == "True"


class TestCleaningUp:
    @staticmethod
    @both_ways
    async def test_in_the_reverse_order(way: Way) -> None:
        log = Log()
        provider(log.resource("first"))
        provider(log.resource("second"))
        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, first: str, second: str) -> None:
            await ws.receive()
            log.append("view")

        client = await way.connect(app, "/")
        client.send("go")
        await client.ended()
        assert log == ["open first", "open second", "view", "close second", "close first"]
        assert client.wire == [101, ("close", 1000)]

    @staticmethod
    @both_ways
    async def test_before_the_close_is_sent(way: Way) -> None:
        log = Log()

        @provider
        async def resource() -> AsyncIterator[None]:
            yield
            await way.settle()
            log.append(f"cleaned up, wire {client.wire}")

        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, resource: None) -> None:
            await ws.receive()

        client = await way.connect(app, "/")
        client.send("go")
        await client.ended()
        assert log == ["cleaned up, wire [101]"]
        assert client.wire == [101, ("close", 1000)]

    @staticmethod
    @both_ways
    async def test_after_an_exception_and_without_seeing_it(way: Way) -> None:
        log = Log()

        @provider
        async def asynchronous() -> AsyncIterator[str]:
            try:
                yield "a"
            except Exception:
                log.append("saw an exception")
            log.append("cleaned up")

        provider(log.resource("synchronous"))
        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, asynchronous: str, synchronous: str) -> None:
            raise KeyError("oops")

        @app.route("/")
        async def page(req: Request, res: Response, asynchronous: str, synchronous: str) -> None:
            raise LookupError("oops")

        talk = await way.talk(app, "/")
        assert isinstance(talk.error, KeyError)
        assert log == ["open synchronous", "close synchronous", "cleaned up"]
        log.clear()
        with pytest.raises(LookupError):
            await way.request(app, "/")
        assert log == ["open synchronous", "close synchronous", "cleaned up"]

    @staticmethod
    @both_ways
    async def test_when_the_client_goes(way: Way) -> None:
        log = Log()
        provider(log.resource("resource"))
        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, resource: str) -> None:
            async for _ in ws:
                pass

        await way.talk(app, "/", disconnect=1006)
        assert log == ["open resource", "close resource"]

    @staticmethod
    @both_ways
    async def test_one_that_fails_to_clean_up_does_not_keep_the_others_from_it(way: Way) -> None:
        log = Log()
        provider(log.resource("first"))

        @provider
        def second() -> Iterator[None]:
            yield
            raise OSError("cannot clean up")

        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, first: str, second: None) -> None:
            await ws.send("hi")

        talk = await way.talk(app, "/")
        assert isinstance(talk.error, OSError)
        assert talk.wire == [101, "hi", ("close", 1011)]
        assert log == ["open first", "close first"]

    @staticmethod
    @both_ways
    async def test_what_was_made_before_one_that_fails(way: Way) -> None:
        log = Log()
        provider(log.resource("first"))

        @provider
        def second() -> None:
            raise OSError("cannot be made")

        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, first: str, second: None) -> None:
            raise AssertionError("not called")

        talk = await way.talk(app, "/")
        assert isinstance(talk.error, OSError)
        assert log == ["open first", "close first"]

    @staticmethod
    @both_ways
    async def test_a_generator_yields_exactly_once(way: Way) -> None:
        log = Log()

        @provider
        def never() -> Iterator[None]:
            if log:
                yield

        @provider
        async def twice() -> AsyncIterator[None]:
            try:
                yield
                yield
            finally:
                log.append("closed")

        @provider
        def thrice() -> Iterator[None]:
            try:
                yield
                yield
            finally:
                log.append("closed")

        app = App()
        for name in ("never", "twice", "thrice"):
            exec(f"async def view(req, res, {name}): pass", scope := {})
            app.route(f"/{name}")(scope["view"])
        with pytest.raises(ProviderDeclarationError, match="'never' ended without a yield"):
            await way.request(app, "/never")
        for name in ("twice", "thrice"):
            log.clear()
            with pytest.raises(ProviderDeclarationError, match=f"'{name}' yields more than once"):
                await way.request(app, f"/{name}")
            assert log == ["closed"]


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
        assert (await second).text == "made"  # type: ignore[attr-defined]

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


class TestWithoutNamingIt:
    @staticmethod
    @both_ways
    async def test_autouse(way: Way) -> None:
        log = Log()
        provider(autouse=True)(log.resource("always"))
        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket) -> None:
            log.append("view")

        await way.talk(app, "/")
        assert log == ["open always", "view", "close always"]

    @staticmethod
    @both_ways
    async def test_useprovider_by_name_and_by_object(way: Way) -> None:
        log = Log()
        given = provider(log.resource("given"))
        app = App()

        @app.route("/")
        @useprovider("named")
        @useprovider(given)
        async def page(req: Request, res: Response) -> None: ...

        @app.route("/class")
        @useprovider(given)
        class Page:
            async def get(self, req: Request, res: Response) -> None: ...

        with pytest.raises(ProviderDoesNotExist, match="provider named does not exist"):
            await way.request(app, "/")
        provider(log.resource("named"))
        await way.request(app, "/")
        assert log == ["open named", "open given", "close given", "close named"]
        log.clear()
        await way.request(app, "/class")
        assert log == ["open given", "close given"]


class TestProvidersOfProviders:
    @staticmethod
    @both_ways
    async def test_declared_later_of_any_kind_and_with_defaults(way: Way) -> None:
        log = Log()

        @provider
        def message(name: str, /, salutation: str, mark: str = "!", *rest: str, **more: str) -> Iterator[str]:
            yield f"{salutation}, {name}{mark}"
            log.append("closed")

        @provider
        async def name() -> str:
            return "providers"

        @provider(scope="app")
        def salutation() -> Iterator[str]:
            yield "Hello"

        app = App()

        @app.websocket_route("/")
        async def view(ws: WebSocket, message: str) -> None:
            await ws.send(message)

        assert (await way.talk(app, "/")).wire == [101, "Hello, providers!", ("close", 1000)]
        assert log == ["closed"]

    @staticmethod
    @both_ways
    async def test_one_that_does_not_exist(way: Way) -> None:
        @provider
        def outer(inner: str) -> str:
            return inner

        app = App()

        @app.route("/")
        async def page(req: Request, res: Response, outer: str) -> None: ...

        with pytest.raises(ProviderDoesNotExist, match="'outer' needs 'inner', and there is no provider"):
            await way.request(app, "/")

    def test_circles_are_found_when_they_are_closed(self) -> None:
        provider(name="b")(lambda a: a)
        with pytest.raises(RecursiveProviderError) as caught:
            provider(name="a")(lambda b: b)
        assert str(caught.value) == "recursive provider detected: a and b depend on each other."
        provider(name="c")(lambda b: b)
        with pytest.raises(RecursiveProviderError, match="a -> c -> b -> a"):
            provider(name="a")(lambda c: c)
        with pytest.raises(RecursiveProviderError, match="self -> self"):
            provider(name="self")(lambda self: self)
        assert isinstance(provider(name="a")(lambda: 1), Provider)

    def test_a_circle_leaves_the_earlier_provider_in_place(self) -> None:
        def declare(needs: str) -> Provider:
            exec(f"def a({needs}): return 1", scope := {})
            return provider(scope["a"])

        earlier = declare("")
        provider(name="b")(lambda a: a)
        with pytest.raises(RecursiveProviderError):
            declare("b")
        from autobahnlike.app.providers import STORE

        assert STORE.get("a") is earlier


class TestDeclaring:
    def test_unknown_scope(self) -> None:
        with pytest.raises(UnknownScope, match="unknown provider scope 'connection': it must be"):
            provider(scope="connection", name="any")(lambda: None)

    def test_a_name_is_needed(self) -> None:
        with pytest.raises(ProviderDeclarationError, match="has no name of its own"):
            provider(functools.partial(print))

    def test_a_name_that_is_taken_elsewhere(self) -> None:
        def declare() -> Provider:
            @provider
            def hello() -> str:
                return "hello"

            return hello

        declare()
        declare()  # a function that makes applications, or a module that is reloaded

        def hello() -> str:
            return "HELLO"

        with pytest.raises(ProviderDeclarationError, match="there is a provider 'hello' already, declared as .*declare"):
            provider(hello)
        assert provider(replace=True)(hello).func is hello

    def test_what_a_provider_says_of_itself(self) -> None:
        @provider
        def documented() -> None:
            """What it is for."""

        assert isinstance(documented, Provider)
        assert documented.__doc__ == "What it is for."
        assert (documented.name, documented.scope, documented.lazy, documented.autouse) == (
            "documented",
            "request",
            False,
            False,
        )
        assert repr(documented) == "<Provider 'documented', scope 'request'>"


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
