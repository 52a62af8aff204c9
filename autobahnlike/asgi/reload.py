"""A process that is started again whenever the application's files change: ``--reload``, for those who write it."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import site
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from autobahnlike.asgi.children import Child, Children, describe

__all__ = ("Reloader", "changes", "folders_of", "poll")

_log = logging.getLogger("autobahnlike.asgi")

# How often files are looked at if nobody tells that they changed, in seconds.
_INTERVAL = 1.0

# Folders whose Python files are not the application's.
_LEFT_OUT = frozenset({"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"})


class Reloader:
    """Keeps one process running that has loaded the application as it is now.

    The sockets stay open all the time: who connects while there is no process is served by the next one. A process that
    ends by itself, because of a mistake in the application or otherwise, is started again at the next change.

    Args:
        children: starts it.
        changes: gives the names of the files that changed, each time that some did.
        hopeless: the exit status that no change of a file can cure, if the first process ends with it.
    """

    def __init__(self, children: Children, changes: AsyncIterator[Sequence[str]], hopeless: int) -> None:
        self._children = children
        self._changes = changes
        self._hopeless = hopeless

    async def run(self, on_ready: Callable[[], object]) -> int:
        """Start the process, and start it again at every change, until cancelled.

        Args:
            on_ready: called when it is ready for the first time.

        Returns:
            The exit status of the first process, if that is hopeless.
        """
        was_ready = False
        change = self._next_change()
        try:
            while True:
                child = await self._children.start()
                becoming_ready = asyncio.ensure_future(child.is_ready())
                await _either(becoming_ready, change)
                if becoming_ready.done() and becoming_ready.result():
                    if not was_ready:
                        on_ready()
                    was_ready = True
                elif becoming_ready.done() and not was_ready and await child.wait() == self._hopeless:
                    return self._hopeless
                becoming_ready.cancel()
                changed = await self._until_changed(child, change)
                change = self._next_change()
                _log.info("%s changed: starting again", ", ".join(changed))
                await child.stop(self._children.stop_timeout)
        finally:
            change.cancel()

    def _next_change(self) -> asyncio.Future[Sequence[str]]:
        return asyncio.ensure_future(anext(self._changes))

    async def _until_changed(self, child: Child, change: asyncio.Future[Sequence[str]]) -> Sequence[str]:
        ending = asyncio.ensure_future(child.wait())
        await _either(ending, change)
        if ending.done() and not change.done():
            _log.error(
                "the application ended with %s; it is started again when a file changes", describe(ending.result())
            )
        ending.cancel()
        return await change


async def _either(first: asyncio.Future[Any], second: asyncio.Future[Any]) -> None:
    await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)


def folders_of(module: str) -> list[Path]:
    """Return where the files of an application are: in the current directory, and where its module is.

    Args:
        module: the name of the module. What installers have put somewhere is left out.
    """
    folders = [Path.cwd()]
    try:
        spec = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        # It will be told when it is imported.
        spec = None
    if spec is not None and spec.origin is not None:
        place = Path(spec.origin).resolve()
        installed = [sysconfig.get_path("stdlib"), *site.getsitepackages(), site.getusersitepackages()]
        if not any(place.is_relative_to(folder) for folder in [*folders, *map(Path, installed)]):
            # A package, or a module on its own among who knows what.
            folders.append(place.parent if spec.submodule_search_locations else place)
    return folders


async def changes(folders: Sequence[Path]) -> AsyncIterator[Sequence[str]]:
    """Wait for Python files to change, with ``watchfiles`` if that is installed, otherwise by looking at them.

    Args:
        folders: where, and below; or single files.

    Yields:
        The names of those that changed, were added or were removed.
    """
    try:
        watchfiles = importlib.import_module("watchfiles")
    except ImportError:
        _log.info("looking at the files every second; with watchfiles installed, changes are noticed at once")
        async for changed in poll(folders):
            yield changed
    else:
        wanted = watchfiles.PythonFilter()
        async for found in watchfiles.awatch(*folders, watch_filter=wanted):
            yield _shown(Path(name) for _, name in found)


async def poll(
    folders: Sequence[Path], sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> AsyncIterator[Sequence[str]]:
    """Look at the times of all Python files again and again.

    Args:
        folders: where, and below; or single files.
        sleep: waits for a number of seconds.

    Yields:
        The names of those that changed, were added or were removed.
    """
    before = await asyncio.to_thread(_times, folders)
    while True:
        await sleep(_INTERVAL)
        now = await asyncio.to_thread(_times, folders)
        if changed := {path for path, _ in before.items() ^ now.items()}:
            before = now
            yield _shown(changed)


def _times(folders: Iterable[Path]) -> dict[Path, int]:
    found = {}
    for path in _files(folders):
        try:
            found[path] = path.stat().st_mtime_ns
        except OSError:
            # It has just been removed.
            pass
    return found


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_file():
            yield folder
        for place, below, names in os.walk(folder):
            below[:] = [name for name in below if name not in _LEFT_OUT and not name.startswith(".")]
            yield from (Path(place, name) for name in names if name.endswith(".py"))


def _shown(paths: Iterable[Path]) -> list[str]:
    return sorted(os.path.relpath(path) for path in paths)
