"""``python -m tests.wheels``: builds what a release publishes, installs it elsewhere, and tries it.

The source; the wheel for this platform, built from that source; the wheel for all other platforms, built from it too.
Each wheel is tested with the command that cibuildwheel uses.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

# What cibuildwheel is told.
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]


def build(source: Path, output: Path, *arguments: str, pure: bool = False) -> Path:
    """Build, and return what was built last.

    Args:
        source: the folder with the source.
        output: where to put what is built; a folder that does not exist yet.
        arguments: for ``build``.
        pure: whether nothing is to be compiled.
    """
    environment = os.environ | {"AUTOBAHNLIKE_PURE": "1" if pure else "0"}
    command = [sys.executable, "-m", "build", "--outdir", str(output), *arguments, str(source)]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return max(output.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def check(wheel: Path, speed: str) -> None:
    """Install a wheel where nothing else is found first, and run its tests.

    Args:
        wheel: the wheel.
        speed: "compiled" or "pure".
    """
    print(f"{wheel.name}, {wheel.stat().st_size // 1024} KiB: {speed}", flush=True)
    with zipfile.ZipFile(wheel) as archive:
        compiled = [name for name in archive.namelist() if "/_compiled/" in name]
    assert bool(compiled) == (speed == "compiled"), compiled
    assert wheel.name.endswith("-py3-none-any.whl") == (speed == "pure")
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory, "installed")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), str(wheel)]
        subprocess.run(install, check=True)
        for name in SETTINGS["test-sources"]:
            path, copy = ROOT / name, Path(directory, "tests_of_it", name)
            copy.parent.mkdir(exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, copy)
        programs = [str(place / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        environment = {name: value for name, value in os.environ.items() if name != "AUTOBAHNLIKE_PURE"}
        environment |= {"PATH": os.pathsep.join(programs), "PYTHONPATH": str(place)}
        for command in SETTINGS["test-command"]:
            command = command.replace("--speed compiled", f"--speed {speed}")
            subprocess.run(command, shell=True, cwd=copy.parent, env=environment, check=True)


def main() -> None:
    """Build and try everything; an exception says what is wrong."""
    with tempfile.TemporaryDirectory() as directory:
        source = build(ROOT, Path(directory, "source"), "--sdist")
        with tarfile.open(source) as archive:
            archive.extractall(directory, filter="data")
        unpacked = Path(directory, source.name.removesuffix(".tar.gz"))
        check(build(unpacked, Path(directory, "pure"), "--wheel", pure=True), "pure")
        check(build(unpacked, Path(directory, "compiled"), "--wheel"), "compiled")


if __name__ == "__main__":
    main()
