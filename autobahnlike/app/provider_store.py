"""What providers are, and the one place where all of them are registered.

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
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar, overload

__all__ = (
    "APP",
    "REQUEST",
    "USED",
    "Provider",
    "ProviderDeclarationError",
    "ProviderDoesNotExist",
    "ProviderError",
    "RecursiveProviderError",
    "Store",
    "UnknownScope",
    "signature_of",
)

REQUEST = "request"
APP = "app"
# The names that the library behind Bocadillo has for them.
_SCOPES = {REQUEST: REQUEST, APP: APP, "function": REQUEST, "session": APP}

# The attribute of a view with the providers that it was said to use.
USED = "__useproviders__"

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
            self._signature = signature_of(func)
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


def signature_of(func: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a function, whose annotations need not exist.

    Raises:
        ValueError: it is a builtin that does not tell.
    """
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
            setattr(view, USED, (*providers, *getattr(view, USED, ())))
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
