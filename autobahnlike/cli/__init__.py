"""The command line: ``autobahnlike`` and ``python -m autobahnlike``."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from typing import NoReturn

from autobahnlike import __version__
from autobahnlike.cli import aws_proxy, chalice, demo_command
from autobahnlike.cli.failure import CommandFailed
from autobahnlike.cli.serve import add_arguments, add_loop, serve, serve_echo
from autobahnlike.speed import implementation

__all__ = ("main",)

# What shells make of a process that SIGINT ends.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Do what the command line asks for.

    Args:
        arguments: the command line without the name of the programme; None for that of the process.

    Raises:
        SystemExit: always. 0 if all went well, 1 if not, 2 if the command line asks for what cannot be, 3 if
            the application did not start.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # A command of its own, with options of its own.
    if given[:2] == ["serve", "echo"]:
        given[:2] = ["serve echo"]
    asked = _parser().parse_args(given)
    try:
        if asked.command == "serve":
            serve(asked, given)
        elif asked.command == "serve echo":
            serve_echo(asked.listen, asked.loop)
        elif asked.command == "chalice":
            chalice.serve_chalice(asked, given)
        elif asked.command == "aws-proxy":
            aws_proxy.serve_aws_proxy(asked)
        elif asked.command == "demo":
            demo_command.demo(asked)
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
    parser = argparse.ArgumentParser(
        prog="autobahnlike", description="WebSocket servers and clients, and ASGI applications."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serving = commands.add_parser(
        "serve",
        help="serve an ASGI application",
        description="Serve an ASGI application: WebSockets and HTTP/1.1, on asyncio or Twisted.",
    )
    add_arguments(serving)

    echo = commands.add_parser(
        "serve echo",
        help="send every message back; browsers see a page to try it with",
        description="Send every message back. A browser that opens the address sees a page to try it with.",
    )
    echo.add_argument(
        "--listen",
        metavar="ADDRESS",
        default="127.0.0.1:9000",
        help="a port, host:port, [IPv6]:port, unix:PATH, or with Twisted an endpoint string (default: %(default)s)",
    )
    add_loop(echo)

    hosting = commands.add_parser(
        "chalice",
        help="serve an application of AWS Chalice",
        description="Serve an application of AWS Chalice as it is, WebSockets and REST, without AWS.",
    )
    chalice.add_arguments(hosting)

    proxying = commands.add_parser(
        "aws-proxy",
        help="bring what programmes send to API Gateway to a gateway of yours",
        description="A proxy for programmes that send to connections with an SDK of AWS: what they send to API Gateway"
        " comes to a gateway of yours, without a change to them.",
    )
    aws_proxy.add_arguments(proxying)

    demo = commands.add_parser(
        "demo",
        help="open a chat room to try in the browser",
        description="Open a chat room, and print its address. Open that in several windows: they hear each other.",
    )
    demo_command.add_arguments(demo)

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


def _connect(asked: argparse.Namespace) -> None:
    from autobahnlike.cli.connect import connect

    connect(asked.url, asked.subprotocols, asked.headers, asked.insecure)
