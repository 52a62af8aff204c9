"""``serve module:app``: in this process, in several, or in one that is started again when files change."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from autobahnlike.asgi.errors import LifespanFailed
from autobahnlike.asgi.failure import CannotLoad, CannotServe
from autobahnlike.asgi.loading import parse_target
from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.runner import LOOPS, ApplicationServer, is_installed, print_urls, run_server
from autobahnlike.asgi.tls import Certificate
from autobahnlike.cli import admin, backplane, logs
from autobahnlike.cli.failure import NOT_STARTED, RUNTIME, USAGE, CommandFailed
from autobahnlike.exception import InvalidArgument

if TYPE_CHECKING:
    from autobahnlike.asgi.children import Children

__all__ = (
    "add_arguments",
    "add_loop",
    "add_serving",
    "failures_told",
    "refuse_reload_of_workers",
    "require_loop",
    "run",
    "serve",
    "serve_echo",
    "stop_timeout",
)

DEFAULT = "127.0.0.1:8000"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``serve``."""
    parser.add_argument(
        "app", metavar="MODULE:APP", help="the application: a module, and a name in it; or echo, a server of its own"
    )
    parser.add_argument("--factory", action="store_true", help="APP makes the application when it is called")
    parser.add_argument("--root-path", metavar="PATH", default="", help="where a proxy in front mounts the application")
    parser.add_argument(
        "--lifespan",
        choices=("auto", "on", "off"),
        default="auto",
        help="whether the application is told of start and stop; auto: if it supports it (default: %(default)s)",
    )
    add_serving(parser)


def add_serving(parser: argparse.ArgumentParser) -> None:
    """Add what says where an application is served, and how."""
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        action="append",
        help="a port, host:port, [IPv6]:port, unix:PATH, or with Twisted an endpoint string; can be repeated"
        f" (default: {DEFAULT})",
    )
    add_loop(parser)
    parser.add_argument("--workers", metavar="N", type=_count, help="serve in N processes; one that dies is replaced")
    parser.add_argument(
        "--reload", action="store_true", help="start again when a Python file of the application changes"
    )
    backplane.add_arguments(parser)
    admin.add_arguments(parser)
    parser.add_argument("--tls-cert", metavar="FILE", help="serve https and wss with this certificate, with its chain")
    parser.add_argument("--tls-key", metavar="FILE", help="the key of the certificate, if it is in a file of its own")
    parser.add_argument(
        "--proxies",
        metavar="N",
        type=int,
        default=0,
        help="how many proxies in front are trusted to say who the client is, and whether it uses TLS"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--drain",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="when told to stop, close the WebSockets one after another over this time (default: all at once)",
    )
    logs.add_arguments(parser)
    # What a parent gives to the processes that it starts; see autobahnlike.asgi.children.
    parser.add_argument("--inherit", help=argparse.SUPPRESS)


def add_loop(parser: argparse.ArgumentParser) -> None:
    """Add ``--loop``."""
    parser.add_argument(
        "--loop",
        choices=LOOPS,
        default="asyncio",
        help="what to run on; twisted-asyncio is Twisted on asyncio's loop, or on uvloop if that is installed"
        " (default: %(default)s)",
    )


def refuse_reload_of_workers(asked: argparse.Namespace) -> None:
    """Refuse ``--workers`` and ``--reload`` at once.

    Raises:
        CommandFailed: both were asked for.
    """
    if asked.reload and asked.workers is not None:
        raise CommandFailed("--reload is for one process, --workers for several: give one of them", USAGE)


def _count(text: str) -> int:
    with suppress(ValueError):
        if (count := int(text)) >= 1:
            return count
    raise argparse.ArgumentTypeError(f"a number of at least 1, not {text!r}")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) < float("inf"):
            return seconds
    raise argparse.ArgumentTypeError(f"a number of seconds, 0 or more, not {text!r}")


def require_loop(loop: str) -> None:
    """Refuse a loop that is not installed.

    Raises:
        CommandFailed: it is not.
    """
    needed = LOOPS[loop]
    if needed is not None and not is_installed(needed):
        raise CommandFailed(f"--loop {loop} needs {needed}: pip install 'autobahnlike[{needed}]'", USAGE)


def serve_echo(listen: str, loop: str) -> None:
    """Serve the echo until SIGINT or SIGTERM.

    Args:
        listen: where.
        loop: on what.

    Raises:
        CommandFailed: that is not possible.
    """
    from autobahnlike.cli.demo import Echo

    require_loop(loop)
    logs.log_to_stderr(loop)
    try:
        run_server(Echo(), [listen], loop, lambda urls: print_urls(urls, loop))
    except CannotServe as error:
        raise CommandFailed(str(error), USAGE if error.asked_wrongly else RUNTIME) from None


def serve(asked: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Serve an application until SIGINT or SIGTERM.

    Args:
        asked: what the command line asks for.
        arguments: the command line, for the processes that are started.

    Raises:
        CommandFailed: that is not possible.
        SystemExit: a process that was started gave up.
    """
    require_loop(asked.loop)
    if not is_installed("h11"):
        raise CommandFailed("serving applications needs h11: pip install 'autobahnlike[asgi]'", USAGE)
    refuse_reload_of_workers(asked)
    # As with python -m.
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    with failures_told():
        options = ServerOptions(
            proxies=asked.proxies,
            root_path=asked.root_path,
            lifespan=asked.lifespan,
            access_log=asked.access_log,
            drain_timeout=asked.drain,
        )
        certificate = Certificate.of(asked.tls_cert, asked.tls_key)
        module, _ = parse_target(asked.app)
        join = backplane.joining(asked.backplane, asked.backplane_prefix)
        logs.log_to_stderr(asked.loop, asked.log_level, asked.log_format)
        server = ApplicationServer(
            asked.app, factory=asked.factory, certificate=certificate, options=options, on_loaded=join
        )
        run(server, asked, options, arguments, lambda: _folders_of(module))


def _folders_of(module: str) -> list[Path]:
    from autobahnlike.asgi.reload import folders_of

    return folders_of(module)


@contextmanager
def failures_told() -> Iterator[None]:
    """Tell in one line why a server does not start.

    Raises:
        CommandFailed: it does not.
    """
    try:
        yield
    except InvalidArgument as error:
        raise CommandFailed(str(error), USAGE) from None
    except CannotLoad as error:
        if error.traceback is not None:
            print(error.traceback, end="", file=sys.stderr)
        raise CommandFailed(str(error), NOT_STARTED if error.traceback is not None else USAGE) from None
    except CannotServe as error:
        raise CommandFailed(str(error), USAGE if error.asked_wrongly else RUNTIME) from None
    except LifespanFailed as error:
        raise CommandFailed(str(error), NOT_STARTED) from None


def run(
    server: ApplicationServer,
    asked: argparse.Namespace,
    options: ServerOptions,
    arguments: Sequence[str],
    folders: Callable[[], Sequence[Path]],
    on_ready: Callable[[Sequence[str]], object] = lambda urls: None,
) -> None:
    """Run a server until SIGINT or SIGTERM: in this process, or in those that this one starts.

    Args:
        server: what to run.
        asked: what the command line asks for: ``listen``, ``loop``, ``reload``, ``workers``, ``admin`` and
            ``inherit``.
        options: those of the server.
        arguments: the command line, for the processes that are started.
        folders: returns where the files are that ``--reload`` looks at.
        on_ready: called with the URLs as soon as clients can connect, in every process that has the application.
    """

    def ready(urls: Sequence[str]) -> None:
        print_urls(urls, asked.loop)
        on_ready(urls)

    if asked.inherit is not None:
        _serve_as_child(server, asked, options, on_ready)
    elif asked.reload or asked.workers is not None:
        _serve_with_children(server, asked, options, folders, arguments)
    else:
        with admin.admin_sockets(asked.admin) as places:
            admin.print_places(places, of_workers=False)
            watched = admin.AdminServer(server, places[0]) if places else server
            run_server(watched, asked.listen or [DEFAULT], asked.loop, ready)


def stop_timeout(options: ServerOptions) -> float:
    """Return how long a process with these options may take to stop, in seconds, until its parent ends it."""
    # Connections have that time after the drain, the application has it again to shut down, and this is for the rest.
    return options.drain_timeout + 2 * options.shutdown_timeout + 5.0


def _serve_as_child(
    server: ApplicationServer,
    asked: argparse.Namespace,
    options: ServerOptions,
    on_ready: Callable[[Sequence[str]], object],
) -> None:
    from autobahnlike.asgi.children import Inheritance

    inheritance = Inheritance(asked.inherit, stop_timeout(options))

    def ready(urls: Sequence[str]) -> None:
        # Before the parent has its say, so that the lines of the two always have the same order.
        on_ready(urls)
        inheritance.ready()

    if not inheritance.own_sockets:
        run_server(server, inheritance.sockets, asked.loop, ready, supervised=True)
        return
    watched = admin.AdminServer(server, inheritance.own_sockets, is_successor=inheritance.is_successor)
    inheritance.on_succeeded = watched.leave
    run_server(watched, inheritance.sockets, asked.loop, ready, supervised=True)


def _serve_with_children(
    server: ApplicationServer,
    asked: argparse.Namespace,
    options: ServerOptions,
    folders: Callable[[], Sequence[Path]],
    arguments: Sequence[str],
) -> None:
    from autobahnlike.asgi.address import url_of
    from autobahnlike.asgi.children import Children, command_of, require_inheritance, supervise
    from autobahnlike.asgi.listening import listening

    require_inheritance()
    with (
        listening(asked.listen or [DEFAULT], "; endpoint strings are not for --workers and --reload") as sockets,
        admin.admin_sockets(asked.admin, asked.workers or 1) as places,
    ):
        admin.print_places(places, of_workers=asked.workers is not None)
        children = Children(command_of(arguments), sockets, stop_timeout(options), places)
        urls = [url_of(sock, server.scheme) for sock in sockets]
        how = f"{asked.loop}, {asked.workers} workers" if asked.workers else f"{asked.loop}, reload"
        look_after = _guardian(children, asked.workers, folders, lambda: print_urls(urls, how))
        status = supervise(children, look_after)
    if status:
        # The child has said why.
        sys.exit(status if status > 0 else RUNTIME)


def _guardian(
    children: Children, workers: int | None, folders: Callable[[], Sequence[Path]], on_ready: Callable[[], object]
) -> Callable[[], Awaitable[int]]:
    if workers is not None:
        from autobahnlike.asgi.workers import Workers

        return lambda: Workers(children, workers).run(on_ready)
    from autobahnlike.asgi.reload import Reloader, changes

    places = folders()
    return lambda: Reloader(children, changes(places), USAGE).run(on_ready)
