"""What all tests share."""

from __future__ import annotations

import hashlib
import os
import signal
import sysconfig
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

REBUILD = "python setup.py -q build_ext --inplace"

# No deadline: no test depends on the speed of the machine. In CI always the same examples, so that what fails there is
# the change; elsewhere new ones each time.
settings.register_profile("autobahnlike", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("autobahnlike")

# A shell without job control starts what it runs in the background with SIGINT ignored, and that is inherited:
# programmes that are to be stopped with Ctrl-C here would not notice it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def changed_since_built(root: Path) -> list[str]:
    """Give the names of the sources that are not those from which the compiled modules beside them were built.

    By what is in them: a checkout changes when a file was written, and an editor that puts an old text back does not
    have to.

    Args:
        root: where ``setup.py`` is.
    """
    package = root / "autobahnlike"
    record = package / "_compiled" / f"sources{sysconfig.get_config_var('EXT_SUFFIX')}.sha256"
    if not record.exists():
        return [record.relative_to(root).as_posix()]
    lines = [line.partition("  ") for line in record.read_text(encoding="utf-8").splitlines()]
    built = {name: digest for digest, _, name in lines}
    present = {path.relative_to(root).as_posix() for end in ("pyx", "pxd", "h") for path in package.rglob(f"*.{end}")}
    return sorted(name for name in built.keys() | present if digest_of(root / name) != built.get(name))


def digest_of(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--speed", choices=("compiled", "pure"), help="refuse to run at the other one")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test what was built from other sources, and at another speed than is asked for."""
    from autobahnlike import speed

    running = "compiled" if speed.COMPILED else "pure"
    if config.getoption("--speed") not in (None, running):
        raise pytest.UsageError(f"the tests would not run at this speed: {speed.implementation()}")
    # Installed from a wheel, the package is not the one beside the tests.
    if speed.COMPILED and Path(speed.__file__).is_relative_to(ROOT) and (changed := changed_since_built(ROOT)):
        raise pytest.UsageError(
            f"the compiled modules were built from other sources: {', '.join(changed)} changed. Rebuild them with\n"
            f"    {REBUILD}\nor set AUTOBAHNLIKE_PURE=1 to test the sources themselves"
        )


def pytest_report_header() -> str:
    """Say which speed is tested."""
    from autobahnlike.speed import implementation

    return f"autobahnlike: {implementation()}"
