"""What the command line shows on standard error."""

from __future__ import annotations

import argparse
import logging
from functools import cache
from typing import Any

from zope.interface import implementer

from autobahnlike.asgi.runner import LOOPS
from autobahnlike.cli.failure import USAGE, CommandFailed
from autobahnlike.logs import ConnectionIdFilter, TextFormatter, json_formatter

__all__ = ("FORMATS", "LEVELS", "add_arguments", "log_as_json", "log_to_stderr")

LEVELS = ("debug", "info", "warning", "error", "critical")
"""From which level on something is shown."""

FORMATS = ("text", "json")
"""How it is shown."""


def add_arguments(parser: argparse.ArgumentParser, *, of_requests: bool = True) -> None:
    """Add ``--log-level`` and ``--log-format``, and ``--access-log`` where there are requests."""
    parser.add_argument(
        "--log-level", choices=LEVELS, default="info", help="what is worth a line (default: %(default)s)"
    )
    parser.add_argument(
        "--log-format",
        choices=FORMATS,
        default="text",
        help="lines for people, or an object of JSON in each (default: %(default)s)",
    )
    if of_requests:
        parser.add_argument("--access-log", action="store_true", help="have a line for every request")


def log_to_stderr(loop: str, level: str = "info", log_format: str = "text") -> None:
    """Show who comes and goes, and what goes wrong.

    Args:
        loop: one of ``LOOPS``; what Twisted logs is shown with the rest.
        level: one of ``LEVELS``.
        log_format: one of ``FORMATS``.

    Raises:
        CommandFailed: what the format needs is not installed.
    """
    handler = logging.StreamHandler()
    try:
        handler.setFormatter(json_formatter() if log_format == "json" else TextFormatter())
    except ImportError as error:
        raise CommandFailed(f"--log-format json: {error}", USAGE) from None
    handler.addFilter(ConnectionIdFilter())
    logging.basicConfig(handlers=[handler], level=level.upper())
    if LOOPS[loop] == "twisted":
        _begin_logging_of_twisted()


def log_as_json(log: logging.Logger, instead_of: str) -> None:
    """Have the handlers that a logger has of its own log in JSON, where they go.

    Args:
        log: the logger.
        instead_of: the format that they have; one with another format was made by the application, which wants it so.
    """
    for handler in log.handlers:
        if handler.formatter is not None and handler.formatter._fmt == instead_of:
            handler.setFormatter(json_formatter())
            handler.addFilter(ConnectionIdFilter())


def _begin_logging_of_twisted() -> None:
    from twisted.logger import ILogObserver, LogLevel, STDLibLogObserver, globalLogBeginner

    @implementer(ILogObserver)
    def observe(event: dict[str, Any]) -> None:
        # Each port and each factory that starts or stops has a line of its own below that.
        if event["log_level"] >= LogLevel.warn:
            observer_of(str(event.get("log_namespace", "-")))(event)

    @cache
    def observer_of(namespace: str) -> STDLibLogObserver:
        # What is logged in the old way has no namespace that says where.
        return STDLibLogObserver("twisted" if namespace in ("-", "log_legacy") else namespace)

    globalLogBeginner.beginLoggingTo([observe], redirectStandardIO=False)
