"""Finding a Chalice application: from the path of its ``app.py``, as Chalice's own command does it."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from chalice.app import Chalice
from chalice.config import Config

__all__ = ("CannotLoadChalice", "app_path", "load_chalice", "load_config")


class CannotLoadChalice(Exception):
    """There is no application where it was said to be, or its module fails.

    Args:
        message: what is wrong, in one line.
        traceback: if code of the application raised an exception, what Python prints of it, without what is ours.

    Attributes:
        traceback: the same.
    """

    def __init__(self, message: str, traceback: str | None = None) -> None:
        super().__init__(message)
        self.traceback = traceback


def app_path(text: str) -> Path:
    """Return the file of an application.

    Args:
        text: its path; or that of the directory which has an ``app.py``.

    Raises:
        CannotLoadChalice: it is no such file.
    """
    path = Path(text)
    if path.is_dir():
        path /= "app.py"
    if not path.is_file():
        raise CannotLoadChalice(f"there is no file {path}: name the app.py of a Chalice application")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise CannotLoadChalice(f"{path} is no Python module: name the app.py of a Chalice application")
    return path.resolve()


def load_config(folder: Path, stage: str) -> Config:
    """Return the configuration in ``.chalice/config.json``; that of nothing if there is none.

    Args:
        folder: where ``app.py`` is.
        stage: the stage of Chalice whose settings count, as in ``chalice local --stage``.

    Raises:
        CannotLoadChalice: it is no JSON object.
    """
    path = folder / ".chalice" / "config.json"
    found: Any = {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise CannotLoadChalice(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise CannotLoadChalice(f"{path} has no JSON object")
    return Config(
        chalice_stage=stage,
        user_provided_params={"project_dir": str(folder)},
        config_from_disk=found,
        default_params={"lambda_timeout": None},
    )


def load_chalice(path: Path, config: Config) -> Chalice:
    """Return the application in a file, under its name ``app``.

    The environment variables of the configuration are set before, the directory of the file is the first one where
    modules are looked for, and its ``vendor`` the last one.

    Args:
        path: of :func:`app_path`.
        config: of :func:`load_config`.

    Raises:
        CannotLoadChalice: the module fails, or there is no application in it.
    """
    folder = str(path.parent)
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
    vendor = path.parent / "vendor"
    if vendor.is_dir() and str(vendor) not in sys.path:
        sys.path.append(str(vendor))
    os.environ.update({name: str(value) for name, value in config.environment_variables.items()})
    try:
        module = importlib.import_module(path.stem)
    except Exception as error:
        shown = traceback.format_exception(type(error), error, _of_application(error.__traceback__))
        raise CannotLoadChalice(f"{path.name} failed with {type(error).__name__}", "".join(shown)) from error
    if module.__file__ is None or Path(module.__file__).resolve() != path:
        raise CannotLoadChalice(f"{path} cannot be imported: {path.stem} is {module.__file__ or 'another module'}")
    app = getattr(module, "app", None)
    if not isinstance(app, Chalice):
        raise CannotLoadChalice(f"{path} has no Chalice application by the name of app")
    return app


def _of_application(trace: TracebackType | None) -> TracebackType | None:
    """Leave the frames out that come before the application's."""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name not in (__file__, importlib.__file__) and not name.startswith("<frozen import"):
            return trace
        trace = trace.tb_next
    return None
