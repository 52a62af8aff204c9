"""The options as attributes of a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autobahnlike.wire.options import OPTIONS

if TYPE_CHECKING:
    from autobahnlike.websocket.protocol import WebSocketProtocol

__all__ = ("OptionAttributes",)


class _OptionAttribute:
    """An option, looked up when somebody asks; Autobahn copies all of them onto each protocol.

    An attribute of a subclass, or of an instance, stands before it.
    """

    def __init__(self, name: str, field: str, meaning: str) -> None:
        self._name = name
        self._field = field
        self.__doc__ = meaning

    def __get__(self, protocol: WebSocketProtocol | None, owner: type) -> Any:
        if protocol is None:
            return self
        session = protocol._session
        return getattr(protocol.factory, self._name) if session is None else getattr(session.options, self._field)


class OptionAttributes:
    """Every option as an attribute of a protocol."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


for _info in OPTIONS:
    setattr(OptionAttributes, _info.name, _OptionAttribute(_info.name, _info.field, _info.meaning))
