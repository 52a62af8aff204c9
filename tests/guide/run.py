"""``python -m tests.guide.run LOOP``: runs the blocks of the documentation that belong to applications.

Reads a list of them from standard input, as JSON, and writes what went wrong with each, None for nothing. What a block
is, is seen from its text and its caption:

* A caption is the name of a file. The files of a page are in one directory, where its blocks run.
* ``test_*.py`` is run with pytest.
* Other blocks in Python are executed: as the module that the file is, or else as a piece with ``app``, a new
  application, and the public names of ``autobahnlike.app``. Every route that the application then has is driven by the
  check for it, from a client of another make. A block with functions that lead to no route, and a route without a
  check, are errors. A gateway has one check, by its name.
* One that connects to Redis has a server of its own. An application of AWS Chalice is hosted.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import traceback
import types
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from chalice.app import Chalice

from autobahnlike import app as app_package
from autobahnlike.app import App
from autobahnlike.app.providers import STORE
from autobahnlike.app.routing import Mount
from autobahnlike.app.settings import settings
from autobahnlike.gateway import Gateway
from autobahnlike.gateway.chalice import ChaliceHost
from tests.fragments import listen_to_logs
from tests.guide.checks import CHECKS
from tests.guide.peer import Check, Peer
from tests.guide.redis import redis_for

PATIENCE = 30.0
ROOT = Path(__file__).parents[2]


class Loop:
    """On which loop, and how it serves."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def serve(self, app: Any, while_serving: Callable[[str], None]) -> None:
        """Serve an application on a free port while a function that blocks runs in a thread."""
        if self.name == "twisted":
            from twisted.internet.threads import deferToThread

            from autobahnlike.asgi.twisted import ASGIService

            service = ASGIService(app, "tcp:0:interface=127.0.0.1")
            service.startService()
            urls = await service.started
            try:
                await deferToThread(while_serving, urls[0])
            finally:
                await service.stopService()
            return
        from autobahnlike.asgi.asyncio import serve

        async with serve(app, "127.0.0.1:0") as serving:
            await asyncio.to_thread(while_serving, serving.urls[0])

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine function to its end."""
        if self.name == "twisted":
            from twisted.internet.defer import Deferred
            from twisted.internet.task import react

            react(lambda reactor: Deferred.fromCoroutine(main()))  # type: ignore[arg-type]
        else:
            asyncio.run(main())  # type: ignore[arg-type]


class Page:
    """One page: its directory, and which checks its views have used."""

    def __init__(self, name: str, directory: Path) -> None:
        directory.mkdir()
        self.name = name
        self.directory = directory
        self.used: list[str] = []
        self._shown: Counter[str] = Counter()

    def checks(self, names: list[str]) -> list[Check]:
        """Return the checks for views that a block shows."""
        found = []
        for name in dict.fromkeys(names):
            self._shown[name] += 1
            key = name if self._shown[name] == 1 else f"{name}#{self._shown[name]}"
            self.used.append(key)
            assert (self.name, key) in CHECKS, f"no check for the view {key!r} of the page {self.name!r}"
            found.append(CHECKS[self.name, key])
        return found


def forget(directory: Path) -> None:
    """Be as if nothing of an application had been imported."""
    STORE.clear()
    settings._clear()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and directory in Path(file).parents:
            del sys.modules[name]
    importlib.invalidate_caches()


def execute(block: dict[str, Any], path: Path | None) -> tuple[dict[str, Any], App | None]:
    """Execute a block. Returns its names, and the application that it was given, if it is a piece."""
    if path is not None:
        return vars(importlib.import_module(path.stem)), None
    module = types.ModuleType("piece")
    names = vars(module)
    names |= {name: getattr(app_package, name) for name in app_package.__all__}
    given = names["app"] = App()
    # Where annotations are looked up.
    sys.modules["piece"] = module
    exec(compile(block["text"], f"<{block['id']}>", "exec"), names)
    return names, given


def application_of(names: dict[str, Any], given: App | None) -> Any:
    """Return the application that a block makes or adds to; None if it does neither."""
    found = [names[name] for name in ("app", "api") if callable(names.get(name))]
    # The one that it was given counts if it has added to it.
    app = next((each for each in found if each is not given or given.router.routes), None)
    return ChaliceHost(app) if isinstance(app, Chalice) else app


def routes_of(app: Any) -> list[str]:
    """Return the names of an application's views, and ``mount /prefix`` for what is mounted; the name of a gateway."""
    if isinstance(app, Gateway):
        return [app.app_name]
    if isinstance(app, ChaliceHost):
        return [app.app.app_name]
    if not isinstance(app, App):
        return ["app"]
    return [f"mount {each.prefix}" if isinstance(each, Mount) else each.name for each in app.router.routes]  # type: ignore[attr-defined]


def leads_nowhere(text: str) -> bool:
    """Whether a block has functions or classes, which nothing then uses."""
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in ast.parse(text).body)


def run_tests(path: Path) -> str | None:
    """Run a file of tests. Returns what it printed if one has failed, or if there is none."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(path.parent)]
    done = subprocess.run(
        [*command, "--override-ini", "addopts=", path.name],
        cwd=path.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(path.parent), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
    )
    return None if done.returncode == 0 else done.stdout + done.stderr


async def exercise(loop: Loop, page: Page, block: dict[str, Any], logged: list[str]) -> str | None:
    """Run a block. Returns what went wrong."""
    os.chdir(page.directory)
    path = page.directory / block["caption"] if block["caption"] else None
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"] + "\n")
        if path.suffix != ".py":
            return None
        if path.name.startswith("test_"):
            return run_tests(path) if block["run"] else None
        if path.name == "providerconf.py":
            return None
    if not block["run"]:
        return None
    forget(page.directory.parent)
    with redis_for(block["text"]) as text:
        if path is not None:
            path.write_text(text + "\n")
        return await execute_and_drive(loop, page, {**block, "text": text}, path, logged)


async def execute_and_drive(
    loop: Loop, page: Page, block: dict[str, Any], path: Path | None, logged: list[str]
) -> str | None:
    """Execute a block, and serve and drive the application that it makes. Returns what went wrong."""
    names, given = execute(block, path)
    app = application_of(names, given)
    if app is None:
        return "it has functions, and no application uses them" if leads_nowhere(block["text"]) else None
    checks = page.checks(routes_of(app))
    assert checks or not leads_nowhere(block["text"]), "an application without views"

    def drive(url: str) -> None:
        for function in dict.fromkeys(each.function for each in checks):
            function(Peer(url))

    await loop.serve(app, drive)
    expected = [each.logs for each in checks if each.logs is not None]
    missing = [text for text in expected if not any(text in line for line in logged)]
    if missing:
        return f"not in the log: {missing}"
    return None if expected else "\n".join(logged) or None


def main(name: str) -> None:
    """Run all blocks, and write what went wrong."""
    loop = Loop(name)
    blocks = json.load(sys.stdin)
    problems: list[str | None] = []
    # What a view prints is for the reader.
    output, sys.stdout = sys.stdout, sys.stderr
    logged: list[str] = []
    listen_to_logs(name, logged)
    if name == "twisted":
        handler = logging.Handler(logging.ERROR)
        handler.emit = lambda record: logged.append(handler.format(record))  # type: ignore[method-assign]
        logging.getLogger().addHandler(handler)

    async def run_all() -> None:
        pages: dict[str, Page] = {}
        with tempfile.TemporaryDirectory() as directory:
            for block in blocks:
                name = block["page"]
                page = pages[name] = pages.get(name) or Page(name, Path(directory, name))
                here = str(page.directory)
                sys.path.insert(0, here)
                logged.clear()
                try:
                    problems.append(await exercise(loop, page, block, logged))
                except Exception:
                    problems.append("\n".join([traceback.format_exc(), *logged]))
                finally:
                    sys.path.remove(here)
            os.chdir(ROOT)
        used = [(page.name, view) for page in pages.values() for view in page.used]
        json.dump({"problems": problems, "used": used}, output)
        output.flush()

    loop.run(run_all)


if __name__ == "__main__":
    main(sys.argv[1])
