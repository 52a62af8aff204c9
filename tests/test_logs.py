"""Which connection a line is about, and lines for people and for programmes."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import logging.config
import re
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from autobahnlike.logs import ConnectionIdFilter, TextFormatter, about, connection_id, json_formatter


class Log:
    """A logger whose lines are looked at."""

    def __init__(self, formatter: logging.Formatter, name: str = "tests.logs") -> None:
        self._stream = io.StringIO()
        self._handler = logging.StreamHandler(self._stream)
        self._handler.setFormatter(formatter)
        self._handler.addFilter(ConnectionIdFilter())
        self.logger = logging.getLogger(name)
        self.logger.addHandler(self._handler)
        self.logger.setLevel(logging.DEBUG)
        self.logger.propagate = False

    def take(self) -> list[str]:
        lines = self._stream.getvalue().splitlines()
        self._stream.seek(0)
        self._stream.truncate()
        return lines

    def line(self) -> Any:
        (line,) = self.take()
        return json.loads(line)

    def close(self) -> None:
        self.logger.removeHandler(self._handler)
        self.logger.setLevel(logging.NOTSET)
        self.logger.propagate = True


@pytest.fixture
def text() -> Iterator[Log]:
    log = Log(TextFormatter())
    yield log
    log.close()


@pytest.fixture
def as_json() -> Iterator[Log]:
    log = Log(json_formatter())
    yield log
    log.close()


class TestAbout:
    def test_within_it_and_within_another(self) -> None:
        assert connection_id.get() is None
        with about("a"):
            with about("b"):
                assert connection_id.get() == "b"
            with about(None):
                assert connection_id.get() is None
            assert connection_id.get() == "a"
        assert connection_id.get() is None

    def test_after_an_exception(self) -> None:
        with pytest.raises(LookupError), about("a"):
            raise LookupError
        assert connection_id.get() is None

    def test_coroutines_beside_each_other(self) -> None:
        seen: list[str | None] = []

        async def one(name: str, turns: int) -> None:
            with about(name):
                for _ in range(turns):
                    await asyncio.sleep(0)
                    seen.append(connection_id.get())
            seen.append(connection_id.get())

        async def both() -> None:
            await asyncio.gather(one("a", 2), one("b", 3))

        asyncio.run(both())
        assert seen == ["a", "b", "a", None, "b", "b", None]

    def test_a_coroutine_that_the_garbage_collector_closes_does_not_change_whose_turn_it_is(self) -> None:
        def dropped() -> Generator[None]:
            with about("a"):
                yield

        connection_id.set(None)
        generator = dropped()
        next(generator)
        with about("b"):
            del generator
            gc.collect()
            assert connection_id.get() == "b"
        connection_id.set(None)


class TestFilter:
    def test_what_is_there_already_stays(self) -> None:
        record = logging.makeLogRecord({"name": "tests", "connection_id": "given"})
        with about("a"):
            assert ConnectionIdFilter().filter(record) is True
        assert record.__dict__["connection_id"] == "given"

    @pytest.mark.parametrize("default", [None, "-"])
    def test_without_a_connection(self, default: str | None) -> None:
        record = logging.makeLogRecord({"name": "tests"})
        ConnectionIdFilter(default).filter(record)
        assert record.__dict__["connection_id"] == default

    def test_a_backplane_is_about_all_of_them(self) -> None:
        record = logging.makeLogRecord({"name": "autobahnlike.backplane"})
        with about("a"):
            ConnectionIdFilter().filter(record)
        assert record.__dict__["connection_id"] is None


class TestText:
    TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"

    def test_without_and_with_a_connection(self, text: Log) -> None:
        text.logger.info("hello %s", "you")
        with about("L0SM9cOFvHcCIhw="):
            text.logger.info("hello %s", "you")
        first, second = text.take()
        assert re.fullmatch(f"{self.TIME} hello you", first)
        assert re.fullmatch(rf"{self.TIME} \[L0SM9cOFvHcCIhw=\] hello you", second)

    def test_a_message_that_names_it_does_not_name_it_twice(self, text: Log) -> None:
        with about("L0SM9cOFvHcCIhw="):
            text.logger.info("L0SM9cOFvHcCIhw=: $connect failed")
        assert text.take()[0].count("L0SM9cOFvHcCIhw=") == 1

    def test_a_traceback_comes_below(self, text: Log) -> None:
        with about("a-b"):
            try:
                raise LookupError("on purpose")
            except LookupError:
                text.logger.exception("failed")
        first, *_, last = text.take()
        assert first.endswith("[a-b] failed")
        assert last == "LookupError: on purpose"


class TestJson:
    def test_a_line(self, as_json: Log) -> None:
        with about("a"):
            as_json.logger.warning("hello %s\n", "you")
        line = as_json.line()
        assert list(line) == ["timestamp", "level", "logger", "message", "connection_id"]
        # RFC 3339, in UTC.
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", line.pop("timestamp"))
        assert line == {"level": "WARNING", "logger": "tests.logs", "message": "hello you\n", "connection_id": "a"}

    def test_without_a_connection(self, as_json: Log) -> None:
        as_json.logger.info("hello")
        assert "connection_id" not in as_json.line()

    def test_an_exception(self, as_json: Log) -> None:
        try:
            raise LookupError("on purpose")
        except LookupError:
            as_json.logger.exception("failed", stack_info=True)
        line = as_json.line()
        assert line["message"] == "failed"
        assert line["exception"].startswith("Traceback (most recent call last):\n")
        assert line["exception"].endswith("\nLookupError: on purpose")
        assert "test_an_exception" in line["stack"]

    def test_what_is_given_as_extra(self, as_json: Log) -> None:
        class Strange:
            def __repr__(self) -> str:
                return "strange"

        as_json.logger.info("hello", extra={"count": 3, "names": ["a"], "strange": Strange(), "data": b"\xff"})
        line = as_json.line()
        assert (line["count"], line["names"], line["strange"]) == (3, ["a"], "strange")
        assert isinstance(line["data"], str)

    def test_without_the_library_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pythonjsonlogger.json", None)
        with pytest.raises(ImportError, match=r"pip install 'autobahnlike\[monitoring\]'"):
            json_formatter()


def test_a_configuration_of_an_application() -> None:
    """What the guide shows, on a logger of the test."""
    stream = io.StringIO()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"connection": {"()": "autobahnlike.logs.ConnectionIdFilter", "default": "-"}},
            "formatters": {"json": {"()": "autobahnlike.logs.json_formatter"}},
            "handlers": {
                "stream": {
                    "class": "logging.StreamHandler",
                    "stream": stream,
                    "filters": ["connection"],
                    "formatter": "json",
                }
            },
            "loggers": {"tests.configured": {"handlers": ["stream"], "level": "INFO", "propagate": False}},
        }
    )
    log = logging.getLogger("tests.configured")
    with about("a"):
        log.info("one")
        # A thread has a context of its own.

        def elsewhere() -> None:
            # In some builds of Python it is that of who starts it, as long as nothing else is said.
            connection_id.set(None)
            log.info("other")

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert [json.loads(line)["connection_id"] for line in stream.getvalue().splitlines()] == ["a", "-"]
    log.handlers.clear()
