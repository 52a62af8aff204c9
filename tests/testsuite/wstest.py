"""Run the suite itself, ``wstest``, which needs Python 2.7, against one testee."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.testsuite.results import Run, read_index

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("LOOPS", "ROLES", "install", "run_client", "run_server")

LOOPS = {
    "asyncio": "tests.testsuite.testee_asyncio",
    "uvloop": "tests.testsuite.testee_asyncio",
    "twisted": "tests.testsuite.testee_twisted",
    "twisted-asyncio": "tests.testsuite.testee_twisted",
}
ROOT = Path(__file__).parents[2]
SUITE = "autobahntestsuite==25.10.1"

# The suite has no option to listen on one address only.
BOOT = """
import functools
from autobahntestsuite import wstest, fuzzing
fuzzing.listenWS = functools.partial(fuzzing.listenWS, interface="127.0.0.1")
wstest.run()
"""


def _pythons() -> Iterator[str]:
    if named := os.environ.get("PYTHON27"):
        yield named
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob("versions/2.7*/bin/python")))
    if found := shutil.which("python2.7"):
        yield found


def find_python27() -> str:
    """A Python 2.7: the one that the environment names in PYTHON27, pyenv's, or that on the path.

    Raises:
        FileNotFoundError: there is none.
    """
    for python in _pythons():
        answer = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True
        )
        if answer.stdout.strip() == "(2, 7)":
            return python
    raise FileNotFoundError("the Autobahn TestSuite needs Python 2.7: name one in PYTHON27, or `pyenv install 2.7.18`")


def install(directory: Path) -> Path:
    """Install the suite in a virtual environment of its own, unless it is there, and return its Python.

    Args:
        directory: where the environment is, or is made.

    Raises:
        FileNotFoundError: there is no Python 2.7.
        subprocess.CalledProcessError: the installation failed.
    """
    python = directory / "bin" / "python"
    if (directory / "bin" / "wstest").exists():
        return python
    boot = directory / "virtualenv"
    pip = [sys.executable, "-m", "pip", "--quiet", "install"]
    # The last virtualenv that can make an environment for Python 2.7 is 20.21.
    subprocess.run([*pip, "--target", str(boot), "virtualenv<20.22", "setuptools"], check=True)
    make = [sys.executable, "-m", "virtualenv", "--python", find_python27(), str(directory)]
    subprocess.run(make, check=True, env={**os.environ, "PYTHONPATH": str(boot)})
    subprocess.run([str(python), "-m", "pip", "--quiet", "install", SUITE], check=True)
    return python


@contextlib.contextmanager
def _process(command: list[str], log: Path, stdout: int | None = None) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=stdout or output, stderr=output, text=True)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _suite(python: Path, mode: str, spec: dict[str, object], directory: Path) -> list[str]:
    path = directory / "spec.json"
    path.write_text(json.dumps({**spec, "outdir": str(directory)}))
    return [str(python), "-u", "-c", BOOT, "--mode", mode, "--spec", str(path), "--webport", "0"]


def _trouble(log: Path) -> list[str]:
    text = log.read_text()
    return [f"an error was logged: see {log}"] if "Traceback" in text or "Unhandled" in text else []


def _wait(process: subprocess.Popen[str], what: str, timeout: float) -> list[str]:
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        return [f"{what} was not done after {timeout:.0f} seconds"]
    return [] if code == 0 else [f"{what} ended with status {code}"]


def run_server(python: Path, loop: str, cases: list[str], directory: Path, timeout: float) -> Run:
    """Test the server on a loop.

    Args:
        python: the Python that has the suite.
        loop: a name of ``LOOPS``.
        cases: the ids to run.
        directory: where reports and logs go.
        timeout: after which the run is given up, in seconds.
    """
    start, log = time.monotonic(), directory / "testee.log"
    errors: list[str] = []
    with _process([sys.executable, "-m", LOOPS[loop], "serve", loop], log, subprocess.PIPE) as testee:
        assert testee.stdout is not None
        if port := testee.stdout.readline().strip():
            servers = [{"agent": loop, "url": f"ws://127.0.0.1:{port}"}]
            command = _suite(python, "fuzzingclient", {"servers": servers, "cases": cases}, directory)
            with _process(command, directory / "wstest.log") as suite:
                errors += _wait(suite, "the suite", timeout)
        if testee.poll() is not None:
            errors.append(f"the server ended: see {log}")
    errors += _trouble(log)
    return Run("server", loop, cases, read_index(directory / "index.json", loop), errors, time.monotonic() - start)


def run_client(python: Path, loop: str, cases: list[str], directory: Path, timeout: float) -> Run:
    """Test the client on a loop.

    Args:
        python: the Python that has the suite.
        loop: a name of ``LOOPS``.
        cases: the ids to run.
        directory: where reports and logs go.
        timeout: after which the run is given up, in seconds.
    """
    start, log = time.monotonic(), directory / "testee.log"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"ws://127.0.0.1:{port}"
    command = _suite(python, "fuzzingserver", {"url": url, "cases": cases}, directory)
    with _process(command, directory / "wstest.log") as suite:
        errors = _await_port(port, suite)
        if not errors:
            with _process([sys.executable, "-m", LOOPS[loop], "connect", loop, url, loop], log) as testee:
                errors += _wait(testee, "the client", timeout)
            errors += _trouble(log)
    return Run("client", loop, cases, read_index(directory / "index.json", loop), errors, time.monotonic() - start)


def _await_port(port: int, suite: subprocess.Popen[str], timeout: float = 30) -> list[str]:
    deadline = time.monotonic() + timeout
    while suite.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return []
        time.sleep(0.1)
    return ["the suite did not start"]


ROLES = {"server": run_server, "client": run_client}
