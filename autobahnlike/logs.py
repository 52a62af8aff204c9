"""Which connection a line of a log is about, for the lines of applications as well.

The servers of this package give each WebSocket an id, and the gateway its connections theirs, while code that concerns
it runs: coroutines of the application, and functions in threads of the gateway. :class:`ConnectionIdFilter` writes it
into what is logged meanwhile with :mod:`logging`; ``autobahnlike serve`` has it, with either ``--log-format``.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from types import TracebackType
from typing import Any

__all__ = ("ConnectionIdFilter", "TextFormatter", "about", "connection_id", "json_formatter")

_FIELD = "connection_id"

connection_id: ContextVar[str | None] = ContextVar("autobahnlike.connection_id", default=None)
"""The id of the connection that the running code is about; None if it is about none, or about all of them."""

# What these log concerns all connections, whichever happened to need it.
_OF_ALL = ("autobahnlike.backplane",)

# What lines of JSON begin with.
_FIRST = ("timestamp", "level", "logger", "message")


class about:  # noqa: N801 - read in a with statement
    """Have what is logged within a ``with`` be about a connection.

    Args:
        name: its id; None if it is about no connection.
    """

    __slots__ = ("_before", "_name")

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._before: str | None = None

    def __enter__(self) -> None:
        self._before = connection_id.get()
        connection_id.set(self._name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A coroutine that nobody finishes is closed by the garbage collector, wherever that happens to run. For the
        # same reason this is not the business of a token, which belongs to one context.
        if kind is not GeneratorExit:
            connection_id.set(self._before)


class ConnectionIdFilter(logging.Filter):
    """Writes the id of the connection that a record is about into its attribute ``connection_id``.

    It belongs on handlers: the filters of a logger do not see what is logged with the loggers below it. Where records
    go through a queue to another thread, it belongs on the handler in front of the queue.

    Args:
        default: what to write if a record is about no connection.
    """

    def __init__(self, default: str | None = None) -> None:
        super().__init__()
        self._default = default

    def filter(self, record: logging.LogRecord) -> bool:
        """Write it, unless it is there already; let all records pass."""
        if not hasattr(record, _FIELD):
            current = None if record.name.startswith(_OF_ALL) else connection_id.get()
            record.connection_id = self._default if current is None else current
        return True


class TextFormatter(logging.Formatter):
    """Lines for people: time, the id of the connection in brackets unless the message has it, the message.

    ``autobahnlike serve`` logs like this. It needs a :class:`ConnectionIdFilter` to know the id.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - that of logging
        """Return the line."""
        name = getattr(record, _FIELD, None)
        if not name or name in record.message:
            return super().formatMessage(record)
        return f"{record.asctime} [{name}] {record.message}"


def json_formatter() -> logging.Formatter:
    """Return a formatter that makes a line of JSON of each record, as ``--log-format json`` does.

    Its members are ``timestamp`` (RFC 3339, UTC), ``level``, ``logger`` and ``message``; ``connection_id``, if a
    :class:`ConnectionIdFilter` wrote one; ``exception``, a traceback; ``stack``; and what was given as ``extra``.

    Raises:
        ImportError: python-json-logger is not installed; the text says what to do.
    """
    try:
        from pythonjsonlogger.json import JsonFormatter
    except ImportError:
        raise ImportError(
            "logs in JSON need python-json-logger: pip install 'autobahnlike[monitoring]'", name="pythonjsonlogger"
        ) from None

    class Formatter(JsonFormatter):
        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            if log_data.get(_FIELD) is None:
                log_data.pop(_FIELD, None)
            return {name: log_data.pop(name) for name in _FIRST if name in log_data} | log_data

    return Formatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception", "stack_info": "stack"},
        timestamp=True,
    )
