"""Which speed runs: that it is the one that is wanted and possible, and the same for all modules."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import autobahnlike
from autobahnlike import __version__

PACKAGE = Path(autobahnlike.__file__).parent
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
BUILT = sorted(path.relative_to(PACKAGE / "_compiled") for path in (PACKAGE / "_compiled").rglob(f"*{SUFFIX}"))
PYTHON = f"{platform.python_implementation()} {platform.python_version()}"


def run(code: str, package: Path = PACKAGE, AUTOBAHNLIKE_PURE: str | None = None) -> str:
    """Run a programme in a new process and return what it prints.

    Args:
        code: its text.
        package: the package that it imports.
        AUTOBAHNLIKE_PURE: the environment variable, or None for none.
    """
    changed = {"AUTOBAHNLIKE_PURE": AUTOBAHNLIKE_PURE, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={name: value for name, value in (os.environ | changed).items() if value is not None},
        cwd=package.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WHICH = "from autobahnlike.speed import implementation; print(implementation())"
VERSION = "import sys; sys.argv = ['autobahnlike', '--version']; from autobahnlike.__main__ import main; main()"
EVERY_MODULE = f"""
import importlib, sys
for name in {[".".join(["autobahnlike", *path.parts])[: -len(SUFFIX)] for path in BUILT]!r}:
    print(importlib.import_module(name).__file__)
"""


@pytest.mark.parametrize("value", ["1", "yes"])
def test_pure_python_is_had_by_asking_for_it(value: str) -> None:
    assert run(WHICH, AUTOBAHNLIKE_PURE=value) == "pure Python, AUTOBAHNLIKE_PURE is set"
    assert all(path.endswith(".py") for path in run(EVERY_MODULE, AUTOBAHNLIKE_PURE=value).splitlines())


@pytest.mark.parametrize("value", [None, "", "0"])
def test_what_is_compiled_runs_if_nothing_else_is_asked_for(value: str | None) -> None:
    assert run(WHICH, AUTOBAHNLIKE_PURE=value) == ("compiled" if BUILT else "pure Python, not compiled")
    loaded = run(EVERY_MODULE, AUTOBAHNLIKE_PURE=value).splitlines()
    assert loaded == [str(PACKAGE / "_compiled" / path) for path in BUILT]


def copy_of_the_package(directory: Path) -> Path:
    copied = directory / "autobahnlike"
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("_compiled", "__pycache__"))
    return copied


def test_the_version_says_which_speed_runs(tmp_path: Path) -> None:
    start = f"autobahnlike {__version__}"
    assert run(VERSION, AUTOBAHNLIKE_PURE="1") == f"{start} (pure Python, AUTOBAHNLIKE_PURE is set), {PYTHON}"
    assert run(VERSION, copy_of_the_package(tmp_path)) == f"{start} (pure Python, not compiled), {PYTHON}"
    if BUILT:
        assert run(VERSION) == f"{start} (compiled), {PYTHON}"


def test_modules_that_do_not_load_are_not_needed(tmp_path: Path) -> None:
    """Built for another libc, for example."""
    package = copy_of_the_package(tmp_path)
    module = package / "_compiled" / "wire" / f"kernel{SUFFIX}"
    module.parent.mkdir(parents=True)
    module.write_bytes(b"not for this machine")
    said = run(f"{WHICH}; from autobahnlike.wire import kernel; print(kernel.__file__)", package)
    assert re.match(r"pure Python, the compiled modules do not load: .+", said)
    assert said.splitlines()[-1] == str(package / "wire" / "kernel.py")


# With its own lock, where the interpreter can (3.12), before and after the main one has loaded the package. Without the
# handshake: that needs hashlib, which brings down CPython 3.12.1 by itself.
INTERPRETERS = """
import pathlib, sys, tempfile
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

work = '''
import sys
sys.path[:] = {path!r}
from autobahnlike.wire.kernel import Assembly, apply_mask, is_utf8
from autobahnlike.speed import COMPILED, implementation
assembly = Assembly()
assembly.begin_message(True)
assembly.begin_frame(b"abcd")
assert assembly.add(apply_mask("grüße".encode() * 1000, b"abcd"), 0, 7000)
assert assembly.take().decode() == "grüße" * 1000 and is_utf8(b"x")
import autobahnlike.wire.messages, autobahnlike.wire.output
with open({said!r}, "a") as said:
    print(COMPILED, file=said)
'''

with tempfile.TemporaryDirectory() as directory:
    said = pathlib.Path(directory, "said")
    text = work.format(path=sys.path, said=str(said))
    for main_has_loaded_it in (False, True):
        if main_has_loaded_it:
            exec(text, {})
        for _ in range(3):
            interpreter = interpreters.create()
            error = interpreters.run_string(interpreter, text)
            assert error is None, error
            interpreters.destroy(interpreter)
    print(*said.read_text().split())
"""


def test_every_interpreter_of_a_process_can_use_it() -> None:
    """The compiled modules load in one of them only; before 3.12 that is the first, now it is the main one."""
    compiled = [said == "True" for said in run(INTERPRETERS).split()]
    assert len(compiled) == 7
    assert compiled.count(True) <= 1
    assert any(compiled) == bool(BUILT)
    assert run(INTERPRETERS, AUTOBAHNLIKE_PURE="1") == "False " * 6 + "False"
