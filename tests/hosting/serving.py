"""``autobahnlike serve`` as a process, for applications in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.process import Process

__all__ = ("ASYNCIO_LOOPS", "served")

ASYNCIO_LOOPS = ("asyncio", "uvloop", "twisted-asyncio")
"""The loops on which applications that need asyncio run."""


@contextmanager
def served(application: str, loop: str, *arguments: str) -> Iterator[tuple[Process, str]]:
    """A running server of an application, and its URL.

    Args:
        application: where it is, "module:attribute".
        loop: on which loop.
        arguments: more, for ``autobahnlike serve``.
    """
    with Process("serve", application, "--loop", loop, "--listen", "127.0.0.1:0", *arguments) as process:
        yield process, process.out.expect(r"Listening on (\S+) ")[1]
