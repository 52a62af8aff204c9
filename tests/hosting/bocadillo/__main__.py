"""Installs Bocadillo, serves the application with it and with ours, and compares what a client sees.

Usage: python -m tests.hosting.bocadillo [--environment FOLDER] [--only TEXT] [--show]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.hosting.bocadillo.differences import DIFFERENCES
from tests.hosting.bocadillo.scenarios import SCENARIOS
from tests.hosting.peer import PATIENCE, World

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

# Not what it pins itself: those versions do not run on the Pythons of today, except for these.
PINNED = ("bocadillo==0.18.3", "starlette==0.12.13", "aiodine==1.2.9", "typesystem==0.4.1")
OTHERS = ("jinja2", "whitenoise", "requests", "python-multipart", "itsdangerous", "aiofiles", "uvicorn", "websockets")
# What our server needs; the package itself is this one.
SERVER = ("h11", "zope.interface", "txaio", "twisted[tls]", "uvloop")

LOOPS = {"bocadillo": ("asyncio", "twisted-asyncio"), "ours": ("asyncio", "uvloop", "twisted", "twisted-asyncio")}
# What all others are compared with.
STANDARD = ("bocadillo", "asyncio")


class Failed(Exception):
    """A server does not start, or does not end as it should."""


def make_environment(folder: Path) -> Path:
    """Install Bocadillo, unless that has been done.

    Returns:
        The interpreter.
    """
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *OTHERS, *SERVER], check=True)
        subprocess.run([*pip, "--no-deps", *PINNED], check=True)
        (folder / "complete").touch()
    return python


def write_applications(folder: Path, python: Path) -> None:
    """Write the application for both frameworks."""
    where = subprocess.run(
        [python, "-c", "import typesystem; print(typesystem.__path__[0])"], check=True, capture_output=True, text=True
    )
    for framework, package in (("bocadillo", "bocadillo"), ("ours", "autobahnlike.app")):
        own = folder / framework
        (own / "templates").mkdir(parents=True)
        for module in ("application", "views"):
            source = (HERE / f"{module}.py").read_text(encoding="utf-8")
            source = source.replace("autobahnlike.app", package).replace("tests.hosting.bocadillo.views", "views")
            (own / f"{module}.py").write_text(source, encoding="utf-8")
        (own / "templates" / "index.html").write_text("<h1>{{ title }}</h1>\n", encoding="utf-8")
    # Its fields are annotations that we understand without knowing of it.
    shutil.copytree(where.stdout.strip(), folder / "ours" / "typesystem")


def _end_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")[-5000:]


@contextlib.asynccontextmanager
async def serving(python: Path, folder: Path, loop: str) -> AsyncIterator[str]:
    """A server of the application in a folder, and its URL."""
    path = folder / f"{loop}.log"
    log = path.open("wb")
    process = await asyncio.create_subprocess_exec(
        python,
        *("-m", "tests.hosting.bocadillo.observer", "application", loop),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=log,
    )
    try:
        assert process.stdout is not None
        line = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(4 * PATIENCE):
                line = (await process.stdout.readline()).decode()
        if not line.startswith("Listening on "):
            raise Failed(f"{folder.name} on {loop} does not start:\n{_end_of(path)}")
        yield line.split(" ")[2]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            status = await process.wait()
        log.close()
    if status:
        raise Failed(f"{folder.name} on {loop} ended with status {status}:\n{_end_of(path)}")


async def play(url: str, name: str) -> list[str]:
    """Play a scenario, and return what was seen, by the client and then by the server."""
    world = World(url)
    try:
        await SCENARIOS[name][1](world)
        async with asyncio.timeout(PATIENCE):
            # As long as a view is running, which only the server knows.
            while (answer := await world.http("/seen"))[0] != 200:
                pass
    except (TimeoutError, ConnectionError) as error:
        return [*world.seen, f"the view does not end: {type(error).__name__} {error}"]
    finally:
        await world.leave()
    return [*world.seen, *(f"server: {text}" for text in json.loads(answer[2]))]


def report(name: str, seen: dict[tuple[str, str], list[str]]) -> Iterator[str]:
    """Compare what was seen; yields what is wrong."""
    theirs = seen[STANDARD]
    difference = DIFFERENCES.get(name)
    expected = theirs if difference is None else difference.ours
    for (framework, loop), found in seen.items():
        wanted = theirs if framework == "bocadillo" else expected
        if found != wanted:
            yield f"{name} ({SCENARIOS[name][0]}), {framework} on {loop}:\n    {found}\n  instead of\n    {wanted}"
    if difference is not None and expected == theirs:
        yield f"{name}: the difference in the table is none: {difference.reason}"


async def compare(names: list[str], folder: Path, python: Path, show: bool) -> int:
    """Play all scenarios everywhere; returns how many things are wrong."""
    interpreters = {"bocadillo": python, "ours": Path(sys.executable)}
    seen: dict[str, dict[tuple[str, str], list[str]]] = {name: {} for name in names}

    async def play_all(framework: str, loop: str) -> None:
        async with serving(interpreters[framework], folder / framework, loop) as url:
            for name in names:
                seen[name][framework, loop] = await play(url, name)

    places = [(framework, loop) for framework, loops in LOOPS.items() for loop in loops]
    results = await asyncio.gather(*(play_all(*place) for place in places), return_exceptions=True)
    for result in results:
        if isinstance(result, Failed):
            print(result)
            return 1
        if result is not None:
            raise result
    wrong = [text for name in names for text in report(name, seen[name])]
    if show:
        for name in names:
            print(name, seen[name][STANDARD])
    for text in wrong:
        print(text)
    differing = len([name for name in names if name in DIFFERENCES])
    print(f"{len(names)} scenarios, {differing} of them different on purpose: {len(wrong)} things are wrong")
    return len(wrong)


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosting.bocadillo", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--environment", type=Path, help="where Bocadillo is installed, or is to be (otherwise nowhere)"
    )
    parser.add_argument("--only", default="", help="play only scenarios whose name has this in it")
    parser.add_argument("--show", action="store_true", help="print what is seen with Bocadillo, too")
    arguments = parser.parse_args()
    if stale := DIFFERENCES.keys() - SCENARIOS.keys():
        raise SystemExit(f"there are no such scenarios: {stale}")
    names = [name for name in SCENARIOS if arguments.only in name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = make_environment(arguments.environment or folder / "environment")
        write_applications(folder, python)
        return int(asyncio.run(compare(names, folder, python, arguments.show)) > 0)


if __name__ == "__main__":
    sys.exit(main())
