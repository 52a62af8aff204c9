"""Patterns of paths, and the path of a connection.

A pattern is a path with placeholders:

===============  ======================================================
``{name}``       one path segment, ``[^/]+``; a parameter of the view
``{name:path}``  the rest of the path with its slashes, possibly empty
``{}``           anything, possibly empty; not passed on
===============  ======================================================

Patterns are matched with the whole percent-decoded path. A slash at the end is significant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from starlette.types import Scope

from autobahnlike.app.errors import RouteDeclarationError

__all__ = ("Pattern", "full_path", "mounted_scope", "root_path", "route_path")

_PLACEHOLDER = re.compile(r"\{([a-zA-Z_:][a-zA-Z0-9_:]*)?\}")

# The converters of a pattern: what they match, and which characters stay as they are when a path is built.
_CONVERTERS = {"path": (".*", "/")}

# Where a mounted application finds that its path was stripped already, and of what.
_MOUNTED = "autobahnlike.mounted"


def route_path(scope: Scope) -> str:
    """Return the path that routes are matched with: the decoded one, without ``root_path``.

    The ASGI specification leaves ``root_path`` in the path; mounts that Bocadillo and older servers know take it off.
    """
    path: str = scope["path"]
    prefix = root_path(scope)
    if scope.get(_MOUNTED) != (prefix, path) and (path == prefix or path.startswith(prefix + "/")):
        return path[len(prefix) :]
    return path


def root_path(scope: Scope) -> str:
    """Return the path at which the application is mounted; empty or without a slash at the end."""
    prefix: str = scope.get("root_path", "")
    return prefix.rstrip("/")


def full_path(scope: Scope) -> str:
    """Return the decoded path as the client asked for it."""
    return root_path(scope) + route_path(scope)


def mounted_scope(scope: Scope, prefix: str) -> Scope | None:
    """Return what the scope of an application has differently that is mounted below a prefix.

    Args:
        scope: that of the connection.
        prefix: empty, or a path with a slash at the start and none at the end.

    Returns:
        ``path`` without, ``root_path`` with the prefix; None if the path is not below it.
    """
    path = route_path(scope)
    if not path.startswith(prefix + "/"):
        return None
    rest, root = path[len(prefix) :], root_path(scope) + prefix
    return {"path": rest, "root_path": root, _MOUNTED: (root, rest)}


class Pattern:
    """A compiled pattern of paths.

    Args:
        source: the pattern, as the module's docstring describes it; a slash at the start may be left out. ``"{}"`` by
            itself matches every path.

    Attributes:
        source: the pattern, with a slash at the start.
        names: the parameters that a match supplies, in order.

    Raises:
        RouteDeclarationError: an unknown converter, a name that stands there twice, or braces that are no placeholder.
    """

    __slots__ = ("_regex", "names", "source")

    def __init__(self, source: str) -> None:
        if source != "{}" and not source.startswith("/"):
            source = "/" + source
        self.source = source
        regex = []
        names = []
        for literal, name, converter in self._parts():
            regex.append(re.escape(literal))
            if name:
                if name in names:
                    raise RouteDeclarationError(f"route parameter '{name}' stands twice in the pattern {source!r}")
                names.append(name)
                regex.append(f"(?P<{name}>{_CONVERTERS[converter][0] if converter else '[^/]+'})")
            elif converter is not None:
                regex.append(".*")
        self.names = tuple(names)
        self._regex = re.compile("".join(regex), re.DOTALL)

    def _parts(self) -> Iterator[tuple[str, str, str | None]]:
        """Yield the literal text before each placeholder, its name and converter; at the end ("", None) for these."""
        position = 0
        for placeholder in _PLACEHOLDER.finditer(self.source):
            name, colon, converter = (placeholder[1] or "").partition(":")
            if name and colon and converter not in _CONVERTERS:
                raise RouteDeclarationError(
                    f"Unknown path converter '{converter}' on route parameter '{name}'. "
                    f"Available: {', '.join(_CONVERTERS)}"
                )
            yield self._literal(position, placeholder.start()), name, converter
            position = placeholder.end()
        yield self._literal(position, len(self.source)), "", None

    def _literal(self, start: int, end: int) -> str:
        literal = self.source[start:end]
        if "{" in literal or "}" in literal:
            raise RouteDeclarationError(
                f"stray brace in the pattern {self.source!r}: placeholders are {{name}}, {{name:path}} and {{}}, "
                "where a name consists of letters, digits and underscores"
            )
        return literal

    def match(self, path: str) -> dict[str, str] | None:
        """Return the parameters of a path, or None if the pattern does not match all of it."""
        found = self._regex.fullmatch(path)
        return None if found is None else found.groupdict()

    def build(self, **parameters: Any) -> str:
        """Return the path that has these parameters, percent-encoded.

        Raises:
            ValueError: a parameter is missing, unknown or would not be matched, or the pattern has a wildcard.
        """
        if parameters.keys() != set(self.names):
            raise ValueError(f"{self.source!r} has the parameters {sorted(self.names)}, not {sorted(parameters)}")
        path, decoded = "", ""
        for literal, name, converter in self._parts():
            if converter is not None and not name:
                raise ValueError(f"{self.source!r} has a wildcard, which has no name")
            value = str(parameters[name]) if name else ""
            path += quote(literal) + quote(value, safe=_CONVERTERS[converter][1] if converter else "")
            decoded += literal + value
        if self.match(decoded) is None:
            raise ValueError(f"{self.source!r} would not match the path {decoded!r}, which {parameters} make")
        return path

    def __repr__(self) -> str:
        return f"Pattern({self.source!r})"
