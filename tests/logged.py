"""What is logged while a test does something, and which connection it is about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autobahnlike.logs import ConnectionIdFilter

__all__ = ("logged",)


@contextmanager
def logged(*names: str) -> Iterator[list[Any]]:
    """Collect the records of some loggers, whose attribute ``connection_id`` says what they are about."""
    records: list[Any] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Collector()
    handler.addFilter(ConnectionIdFilter())
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield records
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
