"""``demo``: a chat room in the browser, as the first thing to see of all this."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from autobahnlike.asgi.errors import LifespanFailed
from autobahnlike.asgi.failure import CannotServe
from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.runner import ApplicationServer, is_installed, run_server
from autobahnlike.cli.failure import NOT_STARTED, RUNTIME, USAGE, CommandFailed
from autobahnlike.cli.logs import log_to_stderr
from autobahnlike.cli.serve import add_loop, require_loop

__all__ = ("add_arguments", "demo")

_NEEDED = ("h11", "jinja2", "pydantic", "starlette", "whitenoise")

# The page sends at most 2000 characters, of at most six bytes each in JSON.
_OPTIONS = ServerOptions(websocket={"maxMessagePayloadSize": 16384})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``demo``."""
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        default="127.0.0.1:0",
        help="a port, host:port, [IPv6]:port, unix:PATH, or with Twisted an endpoint string"
        " (default: a port of 127.0.0.1 that is free)",
    )
    add_loop(parser)


def demo(asked: argparse.Namespace) -> None:
    """Serve the chat room until SIGINT or SIGTERM.

    Args:
        asked: what the command line asks for.

    Raises:
        CommandFailed: that is not possible.
    """
    require_loop(asked.loop)
    missing = [package for package in _NEEDED if not is_installed(package)]
    if missing:
        raise CommandFailed(f"the demo needs {' and '.join(missing)}: pip install 'autobahnlike[app]'", USAGE)
    log_to_stderr(asked.loop, "warning")
    server = ApplicationServer("autobahnlike.demo.chat:app", options=_OPTIONS)
    try:
        run_server(server, [asked.listen], asked.loop, _announce)
    except CannotServe as error:
        raise CommandFailed(str(error), USAGE if error.asked_wrongly else RUNTIME) from None
    except LifespanFailed as error:
        raise CommandFailed(str(error), NOT_STARTED) from None


def _announce(urls: Sequence[str]) -> None:
    print(f"The chat room is open at {' and '.join(urls)}")
    print("Open it in two windows, and talk. Ctrl-C ends it.", flush=True)
