"""Chalice applications in a process that hosts them, and in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.process import RUN, Process

__all__ = ("APPS", "copy_app", "hosting", "write_app")

APPS = Path(__file__).parent / "chalice_apps"

# What the applications of the documents begin with.
HEAD = """
from boto3.session import Session
from chalice import Chalice, Response, WebsocketDisconnectedError

app = Chalice(app_name="test")
app.experimental_feature_flags.update(["WEBSOCKETS"])
app.websocket_api.session = Session()
"""


def copy_app(name: str, directory: Path) -> Path:
    """Copy one of the applications, whose files have .txt behind their names: they are not ours to format.

    Returns:
        Its directory.
    """
    target = directory / name
    for path in (APPS / name).rglob("*.txt"):
        copy = target / path.relative_to(APPS / name).with_suffix("")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return target


def write_app(directory: Path, source: str, head: str = HEAD) -> Path:
    """Write an application; returns its file."""
    path = directory / "app.py"
    path.write_text(f"{head}\n{source}")
    return path


@contextmanager
def hosting(path: Path, loop: str, *arguments: str, code: str = RUN) -> Iterator[tuple[Process, str]]:
    """A running ``chalice``, and the URL of its WebSockets."""
    with Process("chalice", str(path), "--loop", loop, "--listen", "127.0.0.1:0", *arguments, code=code) as process:
        yield process, process.out.expect(r"(?m)^  - Websocket API URL: (ws://\S+)\n")[1]
