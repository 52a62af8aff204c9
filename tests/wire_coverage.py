"""``python -m tests.wire_coverage``: is every branch of each module of ``wire/`` reached by that module's own tests?

Together they would be reached sooner; but a branch that only another module's tests reach is a branch whose meaning no
test states.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def check(name: str) -> bool:
    """Run the tests of one module, print what they miss, and tell whether they miss nothing.

    Args:
        name: the name of a module in ``wire/``.
    """
    folder = ROOT / "tests" / "wire"
    tests = [*folder.glob(f"test_{name}.py"), *sorted(folder.glob(f"test_{name}_*.py"))]
    if not tests:
        print(f"wire/{name}.py has no tests of its own")
        return False
    options = [f"--cov=autobahnlike.wire.{name}", "--cov-branch", "--cov-fail-under=100", "--cov-report=term-missing"]
    command = [sys.executable, "-m", "pytest", "--quiet", *options, *map(str, tests)]
    with tempfile.TemporaryDirectory() as directory:
        # Compiled, a module runs unseen.
        environment = {**os.environ, "COVERAGE_FILE": str(Path(directory) / "coverage"), "AUTOBAHNLIKE_PURE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    print(f"wire/{name}.py: {'complete' if done.returncode == 0 else 'not complete'}", flush=True)
    if done.returncode:
        print(done.stdout, done.stderr)
    return done.returncode == 0


def main() -> int:
    """Check every module and return the exit status."""
    names = sorted(path.stem for path in (ROOT / "autobahnlike" / "wire").glob("*.py") if path.stem != "__init__")
    missing = [name for name in names if not check(name)]
    print(f"{len(names) - len(missing)} of {len(names)} modules complete")
    return 1 if missing or not names else 0


if __name__ == "__main__":
    sys.exit(main())
