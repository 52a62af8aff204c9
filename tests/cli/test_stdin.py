"""Standard input in a thread; ``test_connect`` reads from real pipes, files and terminals."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from typing import IO

import pytest

from autobahnlike.cli.stdin import StdinReader
from tests.cli.process import DEADLINE


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Standard input, and where to write what it gives."""
    reading, writing = os.pipe()
    with open(reading, "rb") as source, open(writing, "wb", buffering=0) as sink:
        monkeypatch.setattr(sys, "stdin", source)
        yield source, sink


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "stdin"]


def test_pieces_come_when_they_are_asked_for_and_the_end_is_empty(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    async def read_all() -> list[bytes]:
        reader = StdinReader()
        pieces = []
        for written in (b"one", b"two"):
            pipe[1].write(written)
            pieces.append(await reader.read())
        pipe[1].close()
        return [*pieces, await reader.read()]

    assert asyncio.run(read_all()) == [b"one", b"two", b""]


def test_nothing_is_read_that_was_not_asked_for(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    async def read_once() -> bytes:
        pipe[1].write(b"first")
        return await StdinReader().read()

    assert asyncio.run(read_once()) == b"first"
    pipe[1].write(b"second")
    assert os.read(pipe[0].fileno(), 100) == b"second"


def test_what_cannot_be_read_is_at_its_end(pipe: tuple[IO[bytes], IO[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", pipe[1])

    async def read_once() -> bytes:
        return await StdinReader().read()

    assert asyncio.run(read_once()) == b""


def test_a_thread_that_still_reads_when_the_loop_is_closed_ends_quietly(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    before = threads()

    async def ask() -> None:
        reader = StdinReader()
        asking = asyncio.ensure_future(reader.read())
        await asyncio.sleep(0)
        asking.cancel()

    asyncio.run(ask())
    (thread,) = set(threads()) - set(before)
    pipe[1].write(b"too late")
    thread.join(DEADLINE)
    assert not thread.is_alive()
