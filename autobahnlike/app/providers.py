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
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from autobahnlike.app.provider_store import (
    APP,
    USED,
    Provider,
    ProviderDeclarationError,
    ProviderDoesNotExist,
    ProviderError,
    RecursiveProviderError,
    Store,
    UnknownScope,
    signature_of,
)
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

# Where the outermost App puts its AppProviders into the ASGI scope, so that the applications mounted in it share them.
SCOPE_KEY = "autobahnlike.app.providers"

_INJECTED_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


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
        parameters = list(signature_of(view).parameters.values())[skip:]
        taken = frozenset(taken)
        self._parameters = [each.name for each in parameters if each.kind in _INJECTED_KINDS and each.name not in taken]
        self._used: tuple[str | Provider, ...] = (*used, *getattr(view, USED, ()))
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
