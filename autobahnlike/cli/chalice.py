"""``chalice path/to/app.py``: unmodified applications of AWS Chalice."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autobahnlike.asgi.failure import CannotLoad
from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.runner import ApplicationServer, is_installed
from autobahnlike.asgi.tls import Certificate
from autobahnlike.cli import backplane, logs
from autobahnlike.cli.failure import USAGE, CommandFailed
from autobahnlike.cli.serve import add_serving, failures_told, refuse_reload_of_workers, require_loop, run

if TYPE_CHECKING:
    from autobahnlike.asgi.run_twisted import Places, Startable
    from autobahnlike.gateway.chalice import ChaliceHost

__all__ = ("add_arguments", "serve_chalice")

_NEEDED = ("chalice", "h11", "starlette")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``chalice``."""
    parser.add_argument("path", metavar="APP.PY", help="the app.py of the application, or its directory")
    parser.add_argument(
        "--stage", default="api", help="the first part of the path of the WebSockets (default: %(default)s)"
    )
    parser.add_argument(
        "--domain-name",
        metavar="NAME",
        help="what events call this server, and so where code that makes its endpoint of them sends (default: where it"
        " listens)",
    )
    parser.add_argument(
        "--chalice-stage",
        metavar="NAME",
        default="dev",
        help="whose settings in .chalice/config.json count, environment variables among them (default: %(default)s)",
    )
    parser.add_argument(
        "--aws", action="store_true", help="the limits of API Gateway: of messages, of idle and of old connections"
    )
    parser.add_argument(
        "--aws-strict", action="store_true", help="nothing can be sent in on_ws_connect, as with API Gateway"
    )
    parser.add_argument(
        "--keys",
        metavar="FILE",
        help="who may use the @connections API, from anywhere: lines of an access key id and a secret key; without it,"
        " programmes on this machine may",
    )
    add_serving(parser)


def serve_chalice(asked: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Serve an application until SIGINT or SIGTERM.

    Args:
        asked: what the command line asks for.
        arguments: the command line, for the process that is started by ``--reload``.

    Raises:
        CommandFailed: that is not possible.
        SystemExit: a process that was started gave up.
    """
    require_loop(asked.loop)
    refuse_reload_of_workers(asked)
    if (asked.workers or 1) > 1 and asked.backplane is None:
        raise CommandFailed(
            "with --workers connections are in several processes, which find each other with --backplane only", USAGE
        )
    missing = [package for package in _NEEDED if not is_installed(package)]
    if missing:
        raise CommandFailed(
            f"serving Chalice applications needs {' and '.join(missing)}: pip install 'autobahnlike[chalice]'", USAGE
        )
    from autobahnlike.gateway.chalice_loading import CannotLoadChalice, app_path
    from autobahnlike.gateway.limits import AWS, Limits

    limits = AWS if asked.aws else Limits()
    try:
        path = app_path(asked.path)
    except CannotLoadChalice as error:
        raise CommandFailed(str(error), USAGE) from None
    core_options = {
        "stage": asked.stage,
        "domain_name": asked.domain_name,
        "limits": limits,
        "aws_strict": asked.aws_strict,
        "keys": None if asked.keys is None else _read_keys(Path(asked.keys)),
        "proxies": asked.proxies,
    }
    with failures_told():
        options = ServerOptions(
            proxies=asked.proxies,
            access_log=asked.access_log,
            drain_timeout=asked.drain,
            websocket=limits.server_options(),
        )
        certificate = Certificate.of(asked.tls_cert, asked.tls_key)
        join = backplane.joining(asked.backplane, asked.backplane_prefix)
        logs.log_to_stderr(asked.loop, asked.log_level, asked.log_format)
        # What handlers print is to be seen when they print it, also in a file.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)

        def loaded(host: Any) -> None:
            join(host)
            if asked.log_format == "json":
                logs.log_as_json(host.app.log, host.app.FORMAT_STRING)

        server = _ChaliceServer(path, asked.chalice_stage, core_options, certificate, options, loaded)
        run(server, asked, options, arguments, lambda: [path.parent], server.announce)


class _ChaliceServer(ApplicationServer):
    """A server of a Chalice application, which is loaded when the reactor is installed that it may import.

    Args:
        path: its file.
        chalice_stage: whose settings count.
        core_options: those of the gateway.
        certificate: for https and wss, or None.
        options: those of the server.
        on_loaded: called with the application before it is served.
    """

    def __init__(
        self,
        path: Path,
        chalice_stage: str,
        core_options: Mapping[str, Any],
        certificate: Certificate | None,
        options: ServerOptions,
        on_loaded: Callable[[Any], object],
    ) -> None:
        super().__init__(None, certificate=certificate, options=options, on_loaded=on_loaded)
        self._path = path
        self._chalice_stage = chalice_stage
        self._core_options = core_options
        self._host: ChaliceHost | None = None

    def on_asyncio(self, sockets: Sequence[socket.socket]) -> AbstractAsyncContextManager[object]:
        """See ``Server``."""
        self._make_host()
        return super().on_asyncio(sockets)

    def on_twisted(self, reactor: Any, places: Places) -> Startable:
        """See ``Server``."""
        self._make_host()
        return super().on_twisted(reactor, places)

    def _make_host(self) -> None:
        from autobahnlike.gateway.chalice import ChaliceHost
        from autobahnlike.gateway.chalice_loading import CannotLoadChalice, load_chalice, load_config

        try:
            config = load_config(self._path.parent, self._chalice_stage)
            app = load_chalice(self._path, config)
            self._app = self._host = ChaliceHost(app, config, **self._core_options)
        except CannotLoadChalice as error:
            raise CannotLoad(str(error), error.traceback) from None
        except ValueError as error:
            raise CannotLoad(str(error)) from None

    def announce(self, urls: Sequence[str]) -> None:
        """Print where the APIs are, in the words of Chalice."""
        assert self._host is not None
        stage = self._core_options["stage"]
        for url in urls:
            base, colon, path = url.partition("://unix:")
            where = f" at {path}" if colon else ""
            base = f"{base}://localhost" if colon else base.rstrip("/")
            if self._host.has_routes:
                print(f"  - Rest API URL: {base}/{stage}/{where}")
            if self._host.has_websockets:
                print(f"  - Websocket API URL: ws{base.removeprefix('http')}/{stage}/{where}")
        sys.stdout.flush()


def _read_keys(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{path} cannot be read: {error}", USAGE) from None
    pairs = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        # Not which line, or what is in it: it is secret.
        raise CommandFailed(f"{path} must have lines of an access key id and a secret key, and at least one", USAGE)
    return {pair[0]: pair[1] for pair in pairs}
