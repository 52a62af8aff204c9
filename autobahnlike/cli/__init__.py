"""The command line: ``autobahnlike`` and ``python -m autobahnlike``."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

from autobahnlike import __version__
from autobahnlike.cli.address import DEFAULT
from autobahnlike.cli.failure import USAGE, CommandFailed
from autobahnlike.speed import implementation

__all__ = ("main",)

# What each loop needs beside a plain install, which is also the name of the extra that brings it.
_LOOPS = {"asyncio": None, "uvloop": "uvloop", "twisted": "twisted", "twisted-asyncio": "twisted"}

# What shells make of a process that SIGINT ends.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Do what the command line asks for.

    Args:
        arguments: the command line without the name of the programme; None for that of the process.

    Raises:
        SystemExit: always. 0 if all went well, 1 if not, 2 if the command line asks for what cannot be.
    """
    asked = _parser().parse_args(arguments)
    try:
        if asked.command == "serve":
            _serve(asked.listen, asked.loop)
        else:
            _connect(asked)
    except CommandFailed as error:
        print(f"autobahnlike: {error}", file=sys.stderr)
        sys.exit(error.status)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    sys.exit(0)


def _version() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"autobahnlike {__version__} ({implementation()}), {python}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autobahnlike", description="WebSocket servers and clients.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run a server")
    servers = serve.add_subparsers(dest="server", required=True, metavar="SERVER")
    echo = servers.add_parser(
        "echo",
        help="send every message back; browsers see a page to try it with",
        description="Send every message back. A browser that opens the address sees a page to try it with.",
    )
    echo.add_argument(
        "--listen",
        metavar="ADDRESS",
        default=DEFAULT,
        help="a port, host:port, [IPv6]:port, unix:PATH, or with Twisted an endpoint string (default: %(default)s)",
    )
    echo.add_argument(
        "--loop",
        choices=_LOOPS,
        default="asyncio",
        help="what to run on; twisted-asyncio is Twisted on asyncio's loop, or on uvloop if that is installed"
        " (default: %(default)s)",
    )

    connect = commands.add_parser(
        "connect",
        help="talk to a server",
        description="Send each line of standard input as a text message, and print every message that comes.",
    )
    connect.add_argument("url", metavar="URL", help="ws://host:port/path, wss://host:port/path or ws://unix:/path")
    connect.add_argument(
        "--subprotocol",
        dest="subprotocols",
        metavar="NAME",
        action="append",
        default=[],
        help="a subprotocol to offer; can be repeated, the preferred one first",
    )
    connect.add_argument(
        "--header",
        dest="headers",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        help="a header field to send; can be repeated",
    )
    connect.add_argument("--insecure", action="store_true", help="do not verify the certificate of a wss server")
    return parser


def _serve(listen: str, loop: str) -> None:
    needed = _LOOPS[loop]
    if needed is not None and find_spec(needed) is None:
        raise CommandFailed(f"--loop {loop} needs {needed}: pip install 'autobahnlike[{needed}]'", USAGE)
    # Here and not above: a plain install has neither Twisted nor uvloop.
    if needed == "twisted":
        from autobahnlike.cli.serve_twisted import serve
    else:
        from autobahnlike.cli.serve_asyncio import serve
    from autobahnlike.cli.demo import log_to_stderr

    log_to_stderr()
    serve(listen, loop)


def _connect(asked: argparse.Namespace) -> None:
    from autobahnlike.cli.connect import connect

    connect(asked.url, asked.subprotocols, asked.headers, asked.insecure)
