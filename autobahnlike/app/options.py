"""The options of a WebSocket route."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Self

from autobahnlike.app.errors import RouteDeclarationError

__all__ = ("WebSocketOptions",)

_VALUE_TYPES = ("text", "bytes", "json", "event")
_EVERY_CODE = range(0x10000)
# "Normal closure" and "going away": what browsers send when all is well.
_SUCCESSFUL_CODES = frozenset({1000, 1001})


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """How a WebSocket view is run; the options of ``websocket_route``, resolved.

    Attributes:
        auto_accept: whether the connection is accepted and closed for the view.
        receive_type: what ``receive()`` returns.
        send_type: what ``send()`` takes.
        caught_close_codes: the codes of clients whose disconnect is no error.
    """

    auto_accept: bool = True
    receive_type: str = "text"
    send_type: str = "text"
    caught_close_codes: Collection[int] = _SUCCESSFUL_CODES

    @classmethod
    def resolve(
        cls,
        auto_accept: bool = True,
        value_type: str | None = None,
        receive_type: str | None = None,
        send_type: str | None = None,
        caught_close_codes: Collection[int] | Callable[..., Any] | None = None,
        catch_disconnect: bool | None = None,
    ) -> Self:
        """Return the options that :meth:`~autobahnlike.app.routing.Router.websocket_route` was given.

        Raises:
            RouteDeclarationError: one of them is not valid.
        """
        for name, value in (("value_type", value_type), ("receive_type", receive_type), ("send_type", send_type)):
            if value is not None and value not in _VALUE_TYPES:
                raise RouteDeclarationError(f"{name} must be one of {', '.join(_VALUE_TYPES)}, not {value!r}")
        return cls(
            auto_accept=bool(auto_accept),
            receive_type=value_type or receive_type or "text",
            send_type=value_type or send_type or "text",
            caught_close_codes=_caught_codes(caught_close_codes, catch_disconnect),
        )


def _caught_codes(codes: Collection[int] | Callable[..., Any] | None, catch_disconnect: bool | None) -> Collection[int]:
    if catch_disconnect is not None:
        if codes is not None:
            raise RouteDeclarationError("give either caught_close_codes or catch_disconnect, its older form")
        return _EVERY_CODE if catch_disconnect else ()
    if codes is None:
        return _SUCCESSFUL_CODES
    if codes is all:
        return _EVERY_CODE
    if isinstance(codes, str) or callable(codes) or not all(isinstance(code, int) for code in codes):
        raise RouteDeclarationError(
            f"caught_close_codes must be close codes like (1000, 1001), or the builtin all, not {codes!r}"
        )
    return frozenset(codes)
