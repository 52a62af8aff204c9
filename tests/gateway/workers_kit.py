"""The example with workers: the gateway, the proxy, and the workers, each a process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.cli.process import DEADLINE, ROOT, Process

__all__ = ("KEY", "clean_environment", "folder_with_examples", "proxying", "run_worker")

KEY = {"AWS_ACCESS_KEY_ID": "AKIDKITCHEN", "AWS_SECRET_ACCESS_KEY": "a-secret-that-both-know"}
"""What a worker has in its environment, as on AWS."""


def folder_with_examples(folder: Path) -> Path:
    """Copy the examples, and write the keys that the gateway takes; returns the folder."""
    shutil.copytree(ROOT / "examples" / "chalice", folder, dirs_exist_ok=True)
    (folder / "keys").write_text(" ".join(KEY.values()))
    return folder


def clean_environment(folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which nothing that a person has configured for AWS, or for proxies, has a say."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and not name.lower().endswith("_proxy")
    }
    own = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    return {**kept, **own, **given}


@contextmanager
def proxying(to: str, folder: Path, *arguments: str) -> Iterator[tuple[Process, dict[str, str]]]:
    """A running ``aws-proxy``, and what it says that workers should have in their environment."""
    ca = str(folder / "ca.pem")
    with Process("aws-proxy", "--to", to, "--listen", "127.0.0.1:0", "--ca", ca, *arguments) as process:
        process.out.expect(r"AWS_CA_BUNDLE=\S+\n")
        yield process, dict(re.findall(r"(?m)^([A-Z_]+)=(\S+)$", process.out.expect(r"(?s).*")[0]))


def run_worker(
    command: list[str], folder: Path, environment: Mapping[str, str], place: tuple[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a worker to its end.

    Args:
        command: the file of the example and its arguments; Python runs it if it is one of its own.
        folder: where it is.
        environment: what it has in its environment, besides what is needed to run.
        place: the port or the host that the file shows, and the one that is meant.
    """
    path = folder / command[0]
    if place is not None:
        shown, meant = place
        text = path.read_text()
        assert shown in text
        path.write_text(text.replace(shown, meant))
    program = sys.executable if path.suffix == ".py" else "sh"
    return subprocess.run(
        [program, *command],
        cwd=folder,
        env=clean_environment(folder, environment),
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
    )
