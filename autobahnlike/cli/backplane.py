"""``--backplane URL``: the processes that are started so reach each other's connections and rooms."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from autobahnlike.asgi.failure import CannotLoad, CannotServe
from autobahnlike.asgi.runner import is_installed

__all__ = ("VARIABLE", "add_arguments", "joining")

VARIABLE = "AUTOBAHNLIKE_BACKPLANE"
"""The environment variable that has the address, and its password, where a command line would show it to everybody."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--backplane`` and ``--backplane-prefix``."""
    parser.add_argument(
        "--backplane",
        metavar="URL",
        default=os.environ.get(VARIABLE) or None,
        help="the Redis or Valkey through which all processes reach each other's connections and rooms, such as"
        f" redis://127.0.0.1:6379 (default: the environment variable {VARIABLE}, if it is set)",
    )
    parser.add_argument(
        "--backplane-prefix",
        metavar="NAME",
        help="what the names of all keys and channels there begin with; the processes of one application share it"
        " (default: autobahnlike)",
    )


def joining(url: str | None, prefix: str | None) -> Callable[[Any], None]:
    """Return a function that gives an application its backplane.

    Args:
        url: the address; None for a function that does nothing.
        prefix: of keys and channels; None for the default.

    Raises:
        CannotServe: the address or the prefix is not valid, or a package is missing. The function raises ``CannotLoad``
            if the application has no use for a backplane, or has one already.
    """
    if url is None:
        if prefix is not None:
            raise CannotServe("--backplane-prefix is for --backplane, which is missing", asked_wrongly=True)
        return lambda app: None
    if not is_installed("hiredis"):
        raise CannotServe("--backplane needs hiredis: pip install 'autobahnlike[gateway]'", asked_wrongly=True)
    from autobahnlike.backplane.redis import RedisBackplane, RedisOptions

    try:
        options = RedisOptions() if prefix is None else RedisOptions(prefix=prefix)
        backplane = RedisBackplane(url, options=options)
    except ValueError as error:
        raise CannotServe(f"--backplane: {error}", asked_wrongly=True) from None

    def join(app: Any) -> None:
        use = getattr(app, "use_backplane", None)
        if use is None:
            raise CannotLoad(
                f"--backplane is for applications of autobahnlike, a Gateway or an App, unlike {app!r:.80}: "
                "one that is within another is given its backplane in the code"
            )
        try:
            use(backplane)
        except RuntimeError as error:
            raise CannotLoad(f"--backplane: {error}") from None

    return join
