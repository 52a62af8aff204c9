"""Pages from templates: a light wrapper around Jinja2."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

__all__ = ("Templates",)


class Templates:
    """The templates in a directory.

    What is inserted into them is escaped for HTML, unless it is marked as safe. Files are read when they are first
    used, and again when they have changed.

    Args:
        app: not used; Bocadillo's older documents pass the application.
        directory: where the templates are, relative to the working directory.
        context: variables for all of them.

    Raises:
        ImportError: Jinja2 is not installed.
        TypeError: the directory was given as ``app``.
    """

    def __init__(
        self,
        app: object = None,
        directory: str | Path = "templates",
        context: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(app, str | Path):
            raise TypeError(f"the first argument is the application: say Templates(directory={str(app)!r})")
        try:
            from jinja2 import Environment, FileSystemLoader
        except ImportError as error:
            raise ImportError("templates need Jinja2: pip install 'autobahnlike[app]'") from error
        self._loader = FileSystemLoader([str(directory)])
        self._environment = Environment(loader=self._loader, autoescape=True)
        # Compiled differently, because in a coroutine templates may use asynchronous functions and iterators.
        self._async_environment = self._environment.overlay(enable_async=True)
        self._defaults = dict(self._environment.globals)
        self.context.update(context or {})

    @property
    def directory(self) -> str:
        """Where the templates are."""
        return str(self._loader.searchpath[0])

    @directory.setter
    def directory(self, directory: str | Path) -> None:
        self._loader.searchpath[:] = [str(directory)]

    @property
    def context(self) -> MutableMapping[str, Any]:
        """Variables for all templates, those of Jinja2 included; it may be changed."""
        return self._environment.globals

    @context.setter
    def context(self, context: Mapping[str, Any]) -> None:
        variables = {**self._defaults, **context}
        # In place: templates that are compiled already refer to it.
        self._environment.globals.clear()
        self._environment.globals.update(variables)

    async def render(self, filename: str, *args: Mapping[str, Any], **kwargs: Any) -> str:
        """Render a template in a coroutine; it may await what is asynchronous.

        Args:
            filename: the name of the template in the directory.
            args: mappings with variables.
            kwargs: more variables.

        Raises:
            jinja2.TemplateNotFound: there is none of that name.
            jinja2.TemplateError: it cannot be compiled or rendered.
        """
        return await self._async_environment.get_template(filename).render_async(*args, **kwargs)

    def render_sync(self, filename: str, *args: Mapping[str, Any], **kwargs: Any) -> str:
        """Render a template outside of coroutines; arguments and errors are those of :meth:`render`."""
        return self._environment.get_template(filename).render(*args, **kwargs)

    def render_string(self, source: str, *args: Mapping[str, Any], **kwargs: Any) -> str:
        """Render a template that is given as text.

        Args:
            source: the template.
            args: mappings with variables.
            kwargs: more variables.
        """
        return self._environment.from_string(source).render(*args, **kwargs)
