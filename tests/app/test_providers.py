"""Providers: made once per request or application, injected by name, cleaned up in time."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from autobahnlike.app import App, Request, Response, WebSocket, provider, useprovider
from autobahnlike.app.providers import (
    Provider,
    ProviderDeclarationError,
    ProviderDoesNotExist,
    RecursiveProviderError,
    UnknownScope,
)

from .harness import Way, both_ways
from .kit import Log


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
            exec(f"async def view(req, res, {name}): pass", scope := dict[str, Any]())
            app.route(f"/{name}")(scope["view"])
        with pytest.raises(ProviderDeclarationError, match="'never' ended without a yield"):
            await way.request(app, "/never")
        for name in ("twice", "thrice"):
            log.clear()
            with pytest.raises(ProviderDeclarationError, match=f"'{name}' yields more than once"):
                await way.request(app, f"/{name}")
            assert log == ["closed"]


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
            exec(f"def a({needs}): return 1", scope := dict[str, Any]())
            a: Callable[..., int] = scope["a"]
            return provider(a)

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

        with pytest.raises(
            ProviderDeclarationError, match=r"there is a provider 'hello' already, declared as .*declare"
        ):
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
