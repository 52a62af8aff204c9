"""Finding the application that ``module:attribute`` means."""

from __future__ import annotations

import functools
import importlib
import traceback
from types import TracebackType
from typing import Any

from autobahnlike.asgi.failure import CannotLoad
from autobahnlike.asgi.server import check_application
from autobahnlike.exception import InvalidArgument

__all__ = ("load", "parse_target")


def parse_target(target: str) -> tuple[str, str]:
    """Take ``module:attribute`` apart.

    Raises:
        CannotLoad: it is not written so.
    """
    module, colon, attribute = target.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise CannotLoad(f"write the application as module:attribute, as in chat:app, not {target!r:.80}")
    return module, attribute


def load(target: object, factory: bool = False) -> Any:
    """Return the application.

    Args:
        target: "module:attribute", where the attribute may have dots; or the application itself.
        factory: whether what is found makes the application when it is called without arguments.

    Raises:
        CannotLoad: there is no such module or attribute, it is not an application, or it fails with an exception, which
            is then the cause.
    """
    found = _find(*parse_target(target)) if isinstance(target, str) else target
    name = target if isinstance(target, str) else repr(target)[:80]
    if factory:
        if not callable(found):
            raise CannotLoad(f"{name} makes no application: it cannot be called")
        try:
            found = found()
        except Exception as error:
            raise _failed(f"{name} failed to make the application", error) from error
        name = f"what {name} made"
    try:
        check_application(found)
    except InvalidArgument as error:
        raise CannotLoad(f"{name} is not an application: {error}") from None
    return found


def _find(module_name: str, attribute: str) -> Any:
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # One that the application itself imports, and lacks, is for it to explain.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _failed(f"the module {module_name} failed", error) from error
        raise CannotLoad(f"there is no module {error.name}: is it in this directory, or on PYTHONPATH?") from None
    except Exception as error:
        raise _failed(f"the module {module_name} failed", error) from error
    try:
        return functools.reduce(getattr, attribute.split("."), module)
    except AttributeError:
        raise CannotLoad(f"the module {module_name} has no attribute {attribute}") from None


def _failed(message: str, error: Exception) -> CannotLoad:
    shown = traceback.format_exception(type(error), error, _of_application(error.__traceback__))
    return CannotLoad(f"{message} with {type(error).__name__}", "".join(shown))


def _of_application(trace: TracebackType | None) -> TracebackType | None:
    """Leave the frames out that come before the application's: ours, and those of the import system."""
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename not in (__file__, importlib.__file__) and not code.co_filename.startswith("<frozen import"):
            return trace
        trace = trace.tb_next
    return None
