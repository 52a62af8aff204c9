"""Providers: what views need besides their request, made for them and injected by the name of a parameter.

A provider is a function whose result is given to each view, and to each other provider, that has a parameter of its
name::

    @provider(scope="app")
    async def history():
        return []

    @provider
    async def transaction(database):  # another provider
        async with database.begin() as transaction:
            yield transaction         # the rest runs when the view has ended

    @app.websocket_route("/chat")
    async def chat(ws, history, transaction): ...

With ``scope="request"``, the default, it is run once for each request or connection that needs it; with ``scope="app"``
once for the application. A generator, asynchronous or not, is resumed to clean up: when the view has ended, also by an
exception, in the reverse order and before the connection is closed, or when the application shuts down. As with
Bocadillo the exception is not raised in the generator, hence what follows ``yield`` runs without ``try``.

::

    ProviderError
    ├── ProviderDeclarationError        a provider that cannot work, and why
    │   └── RecursiveProviderError      providers that need each other
    ├── UnknownScope                    a scope that is neither "request" nor "app"
    └── ProviderDoesNotExist            a name for which there is no provider
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar, overload

from autobahnlike.app.waiting import Latch

__all__ = (
    "AppProviders",
    "Injection",
    "Provider",
    "ProviderDeclarationError",
    "ProviderDoesNotExist",
    "ProviderError",
    "RecursiveProviderError",
    "Store",
    "UnknownScope",
    "discover_providers",
    "provider",
    "useprovider",
)

REQUEST = "request"
APP = "app"
# The names that the library behind Bocadillo has for them.
_SCOPES = {REQUEST: REQUEST, APP: APP, "function": REQUEST, "session": APP}

# Where the outermost App puts its AppProviders into the ASGI scope, so that the applications mounted in it share them.
SCOPE_KEY = "autobahnlike.app.providers"

_USED = "__useproviders__"
_INJECTED_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_F = TypeVar("_F", bound=Callable[..., Any])


class ProviderError(Exception):
    """The root of the tree."""


class ProviderDeclarationError(ProviderError):
    """A provider that cannot work as it is declared."""


class RecursiveProviderError(ProviderDeclarationError):
    """Providers that need each other.

    Args:
        names: the names on the way round, each needing the next and the last the first.
    """

    def __init__(self, *names: str) -> None:
        if len(names) == 2:
            message = f"recursive provider detected: {names[0]} and {names[1]} depend on each other."
        else:
            message = f"recursive provider detected: {' -> '.join((*names, names[0]))}."
        super().__init__(message)
        self.names = names


class UnknownScope(ProviderError):
    """A scope that is neither ``"request"`` nor ``"app"``."""


class ProviderDoesNotExist(ProviderError):
    """A name for which there is no provider."""


class Provider:
    """A function and how it is to be used; made by :func:`provider`.

    Attributes:
        name: the name of the parameters that get its value.
        scope: ``"request"`` or ``"app"``.
        lazy: whether views get an awaitable instead of the value.
        autouse: whether it is run for every view.
        func: the function.
    """

    def __init__(self, func: Callable[..., Any], *, name: str, scope: str, lazy: bool, autouse: bool) -> None:
        if lazy and scope != REQUEST:
            raise ProviderDeclarationError(
                f'provider {name!r} is lazy and of scope "app": lazy providers must have the scope "request"'
            )
        if lazy and autouse:
            raise ProviderDeclarationError(
                f"provider {name!r} is lazy and autouse: no view that does not name it could await it"
            )
        self.name = name
        self.scope = scope
        self.lazy = lazy
        self.autouse = autouse
        self.func = func
        self.__doc__ = inspect.getdoc(func)
        code = _underlying(func)
        self._is_generator = inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code)
        self._is_async = inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code)
        try:
            self._signature = _signature(func)
        except ValueError:  # a builtin like dict, which does not tell
            self._signature = inspect.Signature()
        self.parameters = self._signature.parameters

    def __repr__(self) -> str:
        return f"<Provider {self.name!r}, scope {self.scope!r}>"

    @property
    def origin(self) -> tuple[str, str]:
        """The file and the qualified name of the function."""
        code = getattr(_underlying(self.func), "__code__", None)
        return getattr(code, "co_filename", ""), getattr(self.func, "__qualname__", repr(self.func))

    async def make(self, arguments: Mapping[str, Any], stack: AsyncExitStack) -> Any:
        """Run the function.

        Args:
            arguments: the values of other providers.
            stack: gets the cleaning up, if there is any.
        """
        given = self._signature.bind_partial()
        given.arguments.update(arguments)
        made = self.func(*given.args, **given.kwargs)
        if not self._is_generator:
            return await made if self._is_async else made
        try:
            value = await anext(made) if self._is_async else next(made)
        except (StopIteration, StopAsyncIteration):
            raise ProviderDeclarationError(f"provider {self.name!r} ended without a yield") from None
        stack.push_async_callback(self._clean_up, made)
        return value

    async def _clean_up(self, generator: Any) -> None:
        try:
            await anext(generator) if self._is_async else next(generator)
        except (StopIteration, StopAsyncIteration):
            return
        if self._is_async:
            await generator.aclose()
        else:
            generator.close()
        raise ProviderDeclarationError(f"provider {self.name!r} yields more than once")


def _signature(func: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        import annotationlib

        # Only the names are needed; what annotations name may exist for type checkers only.
        return inspect.signature(func, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(func)


def _underlying(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return what tells of a callable whether it is a coroutine function or a generator."""
    while isinstance(func, partial):
        func = func.func
    if inspect.isroutine(func) or inspect.isclass(func):
        return func
    return type(func).__call__


class Store:
    """All providers of a process, by name.

    Attributes:
        version: changes with every registration, so that others know when to look again.
    """

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.version = 0

    @overload
    def provider(self, func: Callable[..., Any]) -> Provider: ...

    @overload
    def provider(
        self,
        func: None = None,
        scope: str = REQUEST,
        name: str | None = None,
        lazy: bool = False,
        autouse: bool = False,
        *,
        replace: bool = False,
    ) -> Callable[[Callable[..., Any]], Provider]: ...

    def provider(
        self,
        func: Callable[..., Any] | None = None,
        scope: str = REQUEST,
        name: str | None = None,
        lazy: bool = False,
        autouse: bool = False,
        *,
        replace: bool = False,
    ) -> Provider | Callable[[Callable[..., Any]], Provider]:
        """Register a provider, as a decorator with or without arguments.

        Args:
            func: a function, a coroutine function or a generator of either kind that yields once. Its parameters are
                filled by the providers of their names, which may be registered later.
            scope: ``"request"``: run once for each request or connection that needs it; ``"app"``: once for the
                application, at startup if a view of it needs it, else at its first use.
            name: the name of the parameters that get its value; that of the function unless given.
            lazy: give an awaitable instead of the value; the function is run when a view awaits it, if one does.
            autouse: run it for every view, also for those that do not name it.
            replace: replace a provider of that name that was registered elsewhere, as tests do.

        Returns:
            The :class:`Provider`.

        Raises:
            UnknownScope: the scope is neither of the two.
            ProviderDeclarationError: it cannot work so, or the name belongs to a provider that is declared elsewhere.
            RecursiveProviderError: it needs a provider that needs it.
        """
        if func is None:
            return lambda func: self.provider(func, scope, name, lazy, autouse, replace=replace)  # type: ignore[call-overload]
        if scope not in _SCOPES:
            raise UnknownScope(f'unknown provider scope {scope!r}: it must be "request" or "app"')
        name = name or getattr(func, "__name__", None)
        if name is None:
            raise ProviderDeclarationError(f"{func!r} has no name of its own: say provider(name=...)")
        made = Provider(func, name=name, scope=_SCOPES[scope], lazy=lazy, autouse=autouse)
        earlier = self.providers.get(name)
        # What is declared at the same place again comes from a reloaded module or a function that makes applications.
        if earlier is not None and earlier.origin != made.origin and not replace:
            raise ProviderDeclarationError(
                f"there is a provider {name!r} already, declared as {earlier.origin[1]} in {earlier.origin[0]}: "
                "give this one another name, or say provider(replace=True) to use it instead"
            )
        self._add(made, earlier)
        return made

    def _add(self, made: Provider, earlier: Provider | None) -> None:
        self.providers[made.name] = made
        self.version += 1
        try:
            self._check_for_recursion(made)
        except RecursiveProviderError:
            del self.providers[made.name]
            if earlier is not None:
                self.providers[made.name] = earlier
            raise

    def _check_for_recursion(self, start: Provider) -> None:
        ways: list[tuple[Provider, ...]] = [(start,)]
        seen = {start.name}
        while ways:
            way = ways.pop()
            for needed in self.needed_by(way[-1].parameters):
                if needed is start:
                    raise RecursiveProviderError(*(each.name for each in way))
                if needed.name not in seen:
                    seen.add(needed.name)
                    ways.append((*way, needed))

    def needed_by(self, parameters: Iterable[str]) -> list[Provider]:
        """Return the providers that exist for some parameters."""
        return [self.providers[name] for name in parameters if name in self.providers]

    def get(self, name: str) -> Provider:
        """Return the provider of a name.

        Raises:
            ProviderDoesNotExist: there is none.
        """
        try:
            return self.providers[name]
        except KeyError:
            raise ProviderDoesNotExist(f"provider {name} does not exist") from None

    def useprovider(self, *providers: str | Provider) -> Callable[[_F], _F]:
        """Have providers run for a view that does not need their values: a decorator, to stand below the route's.

        Args:
            providers: providers or their names; the names may be registered later.
        """

        def decorate(view: _F) -> _F:
            setattr(view, _USED, (*providers, *getattr(view, _USED, ())))
            return view

        return decorate

    def discover_providers(self, *modules: str) -> None:
        """Import modules that register providers.

        Args:
            modules: their names, like ``"project.providers"``.

        Raises:
            ImportError: there is no such module, or one that it imports is missing.
        """
        for module in modules:
            import_module(module)

    def discover_default(self, module: str = "providerconf") -> None:
        """Import the module ``providerconf`` if there is one."""
        if module in sys.modules or find_spec(module) is not None:
            self.discover_providers(module)

    def clear(self) -> None:
        """Forget all providers, between tests."""
        self.providers.clear()
        self.version += 1


class Lazy:
    """What a view gets of a lazy provider: awaiting it gives the value, the same one each time."""

    __slots__ = ("_values", "_wanted")

    def __init__(self, values: Values, wanted: Provider) -> None:
        self._values = values
        self._wanted = wanted

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._values.get(self._wanted).__await__()


class Values:
    """The values of one scope: each is made once, when it is first asked for.

    Args:
        store: where the providers are.
        app: the values of scope ``"app"``, if this is another one.
    """

    def __init__(self, store: Store, app: Values | None = None) -> None:
        self._store = store
        self._app = app
        self._stack = AsyncExitStack()
        self._made: dict[Provider, Any] = {}
        self._making: dict[Provider, Latch] = {}
        self._over = False

    async def get(self, wanted: Provider) -> Any:
        """Return the value of a provider.

        Raises:
            ProviderError: it needs something that it cannot have, or the request is over.
            Exception: what the provider raised; the next who asks for the value has it try again.
        """
        if wanted.scope == APP and self._app is not None:
            return await self._app.get(wanted)
        if self._over:
            raise ProviderError(f"provider {wanted.name!r} was asked for after the view had ended")
        while wanted not in self._made:
            latch = self._making.get(wanted)
            if latch is not None:
                # Another connection is having it made, and may fail at it.
                await latch.wait()
                continue
            latch = self._making[wanted] = Latch()
            try:
                self._made[wanted] = await wanted.make(await self._arguments(wanted), self._stack)
            finally:
                del self._making[wanted]
                latch.open()
        return self._made[wanted]

    async def argument(self, wanted: Provider) -> Any:
        """Return what a parameter gets: the value, or something to await if the provider is lazy."""
        return Lazy(self, wanted) if wanted.lazy else await self.get(wanted)

    async def _arguments(self, wanted: Provider) -> dict[str, Any]:
        arguments = {}
        for name, parameter in wanted.parameters.items():
            needed = self._store.providers.get(name)
            if needed is not None and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                if needed.scope != wanted.scope and wanted.scope == APP:
                    raise ProviderDeclarationError(
                        f'provider {wanted.name!r} has the scope "app" and needs {name!r}, which has the scope '
                        '"request": what outlives a request cannot depend on one'
                    )
                arguments[name] = await self.argument(needed)
            elif parameter.default is parameter.empty and parameter.kind in (
                parameter.POSITIONAL_ONLY,
                *_INJECTED_KINDS,
            ):
                raise ProviderDoesNotExist(
                    f"provider {wanted.name!r} needs {name!r}, and there is no provider of that name"
                )
        return arguments

    async def close(self) -> None:
        """Clean up, in the reverse order, and forget the values. An application may be started again afterwards.

        Raises:
            Exception: what the last failing clean-up raised; the others have run nevertheless.
        """
        stack, self._stack = self._stack, AsyncExitStack()
        self._made.clear()
        self._over = self._app is not None
        await stack.aclose()


class AppProviders(Values):
    """The values of scope ``"app"`` of one application.

    Args:
        store: where the providers are; those of :func:`provider` unless given.
    """

    def __init__(self, store: Store | None = None) -> None:
        super().__init__(store or STORE)

    async def open(self, injections: Iterable[Injection]) -> None:
        """Make what views need, at startup, so that what is wrong with it shows then.

        Raises:
            Exception: a provider failed.
        """
        wanted = [each for each in self._store.providers.values() if each.autouse]
        for injection in injections:
            wanted += injection.providers
        seen: set[Provider] = set()
        while wanted:
            each = wanted.pop(0)
            if each in seen:
                continue
            seen.add(each)
            if each.scope == APP:
                await self.get(each)
            wanted += self._store.needed_by(each.parameters)


class Injection:
    """What providers give to one view.

    It may be made when the view is registered: which providers there are is looked up when it is used, and again after
    others were registered.

    Args:
        view: the view; a function or a bound method.
        skip: how many of its parameters the caller fills by position: 1 (``ws``) or 2 (``req, res``).
        taken: names of parameters that are filled otherwise even if there is a provider of that name: those of the
            URL pattern.
        used: providers that were named with :func:`useprovider` for the class of the view.
        store: where the providers are; those of :func:`provider` unless given.
    """

    def __init__(
        self,
        view: Callable[..., Any],
        skip: int = 1,
        taken: Iterable[str] = (),
        *,
        used: Iterable[str | Provider] = (),
        store: Store | None = None,
    ) -> None:
        parameters = list(_signature(view).parameters.values())[skip:]
        taken = frozenset(taken)
        self._parameters = [each.name for each in parameters if each.kind in _INJECTED_KINDS and each.name not in taken]
        self._used: tuple[str | Provider, ...] = (*used, *getattr(view, _USED, ()))
        self._store = store or STORE
        self._version = -1
        self._injected: list[Provider] = []
        self._names: frozenset[str] = frozenset()

    def _look_up(self) -> None:
        if self._version != self._store.version:
            self._version = self._store.version
            self._injected = self._store.needed_by(self._parameters)
            self._names = frozenset(each.name for each in self._injected)

    @property
    def names(self) -> frozenset[str]:
        """The names of the view's parameters that providers fill."""
        self._look_up()
        return self._names

    @property
    def providers(self) -> list[Provider]:
        """The providers that are run for the view, in this order; lazy ones included.

        Raises:
            ProviderDoesNotExist: one that was named with :func:`useprovider` is not known.
        """
        self._look_up()
        return [*self._external(), *self._injected]

    def _external(self) -> list[Provider]:
        external = [each for each in self._store.providers.values() if each.autouse]
        return external + [each if isinstance(each, Provider) else self._store.get(each) for each in self._used]

    @asynccontextmanager
    async def entering(self, connection: Any) -> AsyncIterator[dict[str, Any]]:
        """Run the providers; on leaving, clean up, also after an exception.

        Args:
            connection: the ``WebSocket`` or ``Request``; of it only ``scope`` is used.

        Returns:
            An asynchronous context manager; entering it gives the keyword arguments for :attr:`names`.

        Raises:
            ProviderError: a provider cannot be used.
            Exception: what a provider raised.
        """
        app = connection.scope.get(SCOPE_KEY)
        values = Values(self._store, _UNSERVED if app is None else app)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(values.close)
            self._look_up()
            for each in self._external():
                await values.get(each)
            yield {each.name: await values.argument(each) for each in self._injected}


STORE = Store()
# For views that are run without an App.
_UNSERVED = AppProviders(STORE)

provider = STORE.provider
useprovider = STORE.useprovider
discover_providers = STORE.discover_providers
