"""Settings, and what is plugged into an application by them.

``configure(app, **settings)`` keeps the settings, which are read through ``settings`` from anywhere, and plugs in what
they name: sessions, allowed hosts, CORS, static files, provider modules. An application that needs none of it need not
be configured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autobahnlike.app.providers import discover_providers

if TYPE_CHECKING:
    from autobahnlike.app.application import App

__all__ = ("LazySettings", "SettingsError", "configure", "settings")

_MISSING = object()


class SettingsError(Exception):
    """A setting that is missing or cannot be used."""


class LazySettings:
    """The settings of the process, once :func:`configure` was called.

    They are read as ``settings.NAME`` or ``settings.get("NAME", default)``, ``"NAME" in settings`` says whether there
    is one, and an assignment changes one.
    """

    _values: dict[str, Any] | None

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        """Be as if never configured: for tests."""
        self.__dict__["_values"] = None

    @property
    def configured(self) -> bool:
        """Whether there are settings."""
        return self._values is not None

    def configure(self, obj: Any = None, **options: Any) -> None:
        """Take settings over.

        Args:
            obj: an object or module, whose upper-case attributes are settings.
            options: more settings, which win; their names are upper-case.

        Raises:
            RuntimeError: there are settings already.
            SettingsError: a name is not upper-case.
        """
        if self.configured:
            raise RuntimeError("Settings are already configured")
        for name in options:
            if not name.isupper():
                raise SettingsError(f"the name of a setting must be upper-case, not {name!r}")
        found = {name: getattr(obj, name) for name in dir(obj) if name.isupper() and not name.startswith("_")}
        self.__dict__["_values"] = {**found, **options}

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or the default if there is none of that name.

        Raises:
            SettingsError: nothing was configured yet.
        """
        if self._values is None:
            raise SettingsError(f"Requested setting {name} but settings aren't configured yet.")
        return self._values.get(name, default)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by copy, pickle and inspect
            raise AttributeError(name)
        value = self.get(name, _MISSING)
        if value is _MISSING:
            raise AttributeError(f"there is no setting {name}")
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if self._values is None:
            raise SettingsError(f"setting {name} cannot be changed: settings aren't configured yet")
        self._values[name] = value

    def __contains__(self, name: str) -> bool:
        return self._values is not None and name in self._values


settings = LazySettings()


def configure(app: App, settings_obj: Any = None, **kwargs: Any) -> App:
    """Keep settings and plug in what they name.

    Args:
        app: the application.
        settings_obj: an object or module, whose upper-case attributes are settings; also as ``settings=``.
        kwargs: more settings, in any case. These mean something by themselves:

            * ``provider_modules``: names of modules that register providers; they are imported.
            * ``sessions``: ``True``, with the key in the environment variable ``SECRET_KEY``, or a mapping with
              ``secret_key`` and other arguments of Starlette's ``SessionMiddleware``.
            * ``allowed_hosts``: what the ``Host`` header may be, like ``["example.com", "*.example.com"]``.
            * ``cors``: ``True`` or a mapping with arguments of Starlette's ``CORSMiddleware``.
            * ``hsts``: ``True`` redirects ``http`` to ``https`` and ``ws`` to ``wss``.
            * ``static_dir`` (default ``"static"``; ``None`` serves nothing), ``static_root`` (the prefix, default
              ``"static"``) and ``static_config`` (arguments of :func:`~autobahnlike.app.static.static`): a directory
              that is served if it exists.
            * ``redirect_trailing_slash`` (default ``True``): redirect from ``/path`` to ``/path/`` if only that has an
              HTTP route.
            * ``plugins``: functions that are called with the application, or mappings of them to a condition.

    Returns:
        The application.

    Raises:
        RuntimeError: it was called before in this process.
        SettingsError: a setting cannot be used.
        ImportError: a provider module, or a library that a setting needs, is missing.
    """
    if settings_obj is None:
        settings_obj = kwargs.pop("settings", None)
    settings.configure(settings_obj, **{name.upper(): value for name, value in kwargs.items()})
    try:
        for plugin in _plugins():
            plugin(app)
    except BaseException:
        # What is wrong can be put right and configured again.
        settings._clear()
        raise
    return app


def setting(name: str, default: Any) -> Any:
    """Return a setting, or the default if it is not set or nothing was configured."""
    return settings.get(name, default) if settings.configured else default


def _plugins() -> list[Callable[[App], object]]:
    chosen: list[Callable[[App], object]] = [
        _use_providers,
        _use_allowed_hosts,
        _use_cors,
        _refuse_gzip,
        _use_hsts,
        _use_sessions,
        _use_static_files,
    ]
    for entry in settings.get("PLUGINS", ()):
        if isinstance(entry, Mapping):
            chosen += [plugin for plugin, condition in entry.items() if condition]
        else:
            chosen.append(entry)
    return chosen


def _use_providers(app: App) -> None:
    modules = settings.get("PROVIDER_MODULES") or ()
    if isinstance(modules, str):
        raise SettingsError(f"`PROVIDER_MODULES` must be a list of module names, not {modules!r}")
    discover_providers(*modules)


def _use_allowed_hosts(app: App) -> None:
    hosts = settings.get("ALLOWED_HOSTS")
    if hosts is None or "*" in hosts:
        return
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)


def _use_cors(app: App) -> None:
    cors = settings.get("CORS")
    if not cors:
        return
    from starlette.middleware.cors import CORSMiddleware

    app.add_middleware(CORSMiddleware, **({"allow_origins": [], "allow_methods": ["GET"]} if cors is True else cors))


def _refuse_gzip(app: App) -> None:
    if settings.get("GZIP"):
        raise SettingsError("`GZIP` is not offered: compress responses in the proxy in front, or add a middleware")


def _use_hsts(app: App) -> None:
    if not settings.get("HSTS"):
        return
    from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware

    app.add_middleware(HTTPSRedirectMiddleware)


def _use_sessions(app: App) -> None:
    sessions = settings.get("SESSIONS")
    if sessions is None or sessions is False:
        return
    from autobahnlike.app.sessions import session_middleware

    options = {"secret_key": os.environ.get("SECRET_KEY")} if sessions is True else dict(sessions)
    if not options.get("secret_key"):
        raise SettingsError("`SESSIONS` must have a non-empty `secret_key` to use sessions.")
    app.add_middleware(session_middleware(), **options)


def _use_static_files(app: App) -> None:
    directory = settings.get("STATIC_DIR", "static")
    if directory is None or not Path(directory).is_dir():
        return
    from autobahnlike.app.static import static

    app.mount(settings.get("STATIC_ROOT", "static"), static(directory, **settings.get("STATIC_CONFIG", {})))
