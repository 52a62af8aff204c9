"""Which handler a message is for: API Gateway's route selection expression."""

from __future__ import annotations

import json
import re
from collections.abc import Container

__all__ = ("CONNECT", "DEFAULT", "DISCONNECT", "RouteSelector")

CONNECT = "$connect"
DEFAULT = "$default"
DISCONNECT = "$disconnect"

_EXPRESSION = re.compile(r"\$(?:request\.body((?:\.[A-Za-z0-9_-]+)+)|\{request\.body((?:\.[A-Za-z0-9_-]+)+)\})")


class RouteSelector:
    """A route selection expression.

    Args:
        expression: ``$request.body.action``, or with more names, ``$request.body.header.action``; also as
            ``${request.body.action}``.

    Raises:
        ValueError: it is none of these.
    """

    def __init__(self, expression: str = "$request.body.action") -> None:
        found = _EXPRESSION.fullmatch(expression)
        if found is None:
            raise ValueError(
                f"a route selection expression is like $request.body.action, which names a member of the JSON that "
                f"clients send; {expression!r} is not"
            )
        self.expression = expression
        self._names = (found[1] or found[2])[1:].split(".")

    def select(self, body: str, keys: Container[str]) -> str:
        """Return the key of the route that a message is for: ``$default`` if it is for none of its own.

        Args:
            body: the message.
            keys: the route keys that there are.
        """
        # JSON that is an object, and nothing is parsed for those who have no routes of their own.
        if body.lstrip()[:1] != "{":
            return DEFAULT
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return DEFAULT
        for name in self._names:
            if not isinstance(value, dict):
                return DEFAULT
            value = value.get(name)
        if isinstance(value, str) and value in keys and value not in (CONNECT, DISCONNECT):
            return value
        return DEFAULT
