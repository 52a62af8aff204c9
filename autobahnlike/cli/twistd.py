"""``twistd autobahnlike --app module:app``: an application as a service, on whatever reactor ``twistd`` runs."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger, LogLevel
from twisted.python import usage
from twisted.python.failure import Failure

from autobahnlike.asgi.failure import CannotLoad, CannotServe
from autobahnlike.asgi.loading import load
from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.run_twisted import open_places
from autobahnlike.asgi.runner import is_installed
from autobahnlike.asgi.tls import Certificate
from autobahnlike.cli.backplane import VARIABLE, joining
from autobahnlike.exception import InvalidArgument
from autobahnlike.logs import ConnectionIdFilter

__all__ = ("Options", "makeService")

_log = Logger(namespace="autobahnlike")


class Options(usage.Options):
    """The options after ``twistd autobahnlike``."""

    synopsis = "[options] --app MODULE:APP"
    optFlags = [  # noqa: RUF012 - Twisted's way
        ["factory", None, "APP makes the application when it is called."],
        ["access-log", None, "Have a line for every request."],
    ]
    optParameters = [  # noqa: RUF012
        ["app", None, None, "The application: MODULE:APP, a module, and a name in it."],
        ["tls-cert", None, None, "Serve https and wss with the certificate in this file, with its chain."],
        ["tls-key", None, None, "The key of the certificate, if it is in a file of its own."],
        ["proxies", None, 0, "How many proxies in front are trusted to say who the client is.", int],
        ["root-path", None, "", "Where a proxy in front mounts the application."],
        ["lifespan", None, "auto", "Whether the application is told of start and stop: auto, on or off."],
        ["drain", None, 0.0, "Over how many seconds WebSockets are closed one after another in the end.", float],
        ["backplane", None, None, "The Redis or Valkey that joins processes, such as redis://127.0.0.1:6379."],
        ["backplane-prefix", None, None, "What the names of all keys and channels there begin with."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["listen"] = []

    def opt_listen(self, place: str) -> None:
        """A port, host:port, [IPv6]:port or unix:PATH; can be repeated (default: 127.0.0.1:8000)."""
        self["listen"].append(place)

    def opt_endpoint(self, place: str) -> None:
        """An endpoint string, such as tcp:8000:interface=127.0.0.1; can be repeated."""
        self["listen"].append(place)

    def postOptions(self) -> None:
        """Load the application, as long as somebody sees what is wrong with it."""
        if self["app"] is None:
            raise usage.UsageError("say what to serve: --app MODULE:APP")
        if not is_installed("h11"):
            raise usage.UsageError("serving applications needs h11: pip install 'autobahnlike[asgi]'")
        # As with python -m; twistd may have been started from anywhere.
        if (here := os.getcwd()) not in sys.path:
            sys.path.insert(0, here)
        try:
            self["options"] = ServerOptions(
                proxies=self["proxies"],
                root_path=self["root-path"],
                lifespan=self["lifespan"],
                access_log=bool(self["access-log"]),
                drain_timeout=self["drain"],
            )
            certificate = Certificate.of(self["tls-cert"], self["tls-key"])
            self["context"] = None if certificate is None else certificate.for_twisted()
            join = joining(self["backplane"] or os.environ.get(VARIABLE) or None, self["backplane-prefix"])
            self["application"] = load(self["app"], bool(self["factory"]))
            join(self["application"])
        except (CannotServe, InvalidArgument) as error:
            if isinstance(error, CannotLoad) and error.traceback is not None:
                print(error.traceback, end="", file=sys.stderr)
            raise usage.UsageError(str(error)) from None


def makeService(options: Options) -> IService:
    """Make the service.

    Args:
        options: the options, parsed.
    """
    from twisted.internet import reactor

    service: IService = _ApplicationService(options, reactor)
    return service


class _ApplicationService(MultiService):
    """Opens the sockets, as long as that is still permitted, and serves.

    Args:
        options: what was asked for.
        reactor: the reactor.
    """

    def __init__(self, options: Options, reactor: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.setName("autobahnlike")  # type: ignore[no-untyped-call]
        self._options = options
        self._reactor = reactor
        self._opened = contextlib.ExitStack()
        self._serving: Any = None

    def privilegedStartService(self) -> None:
        """Open the sockets."""
        self._open()
        super().privilegedStartService()  # type: ignore[no-untyped-call]

    def _open(self) -> None:
        if self._serving is not None:
            return
        from autobahnlike.asgi.twisted import ASGIService

        options = self._options
        context = options["context"]
        listen = options["listen"] or ["127.0.0.1:8000"]
        scheme = "http" if context is None else "https"
        places = self._opened.enter_context(open_places(self._reactor, listen, scheme))
        places.tls = context
        self._places = places
        self._serving = ASGIService(options["application"], places, reactor=self._reactor, options=options["options"])
        self._serving.setServiceParent(self)

    def startService(self) -> None:
        """Start to serve."""
        logging.getLogger("autobahnlike").addHandler(_handler)
        logging.getLogger("autobahnlike").setLevel(logging.INFO)
        # ``twist`` has no privileges to lose.
        self._open()
        super().startService()  # type: ignore[no-untyped-call]
        self._serving.started.addCallbacks(self._started, self._failed)

    def _started(self, _: object) -> None:
        _log.info("Listening on {urls}", urls=" and ".join(self._places.urls))

    def _failed(self, failure: Failure) -> None:
        _log.failure("the application cannot be served", failure=failure)
        self._reactor.stop()

    def stopService(self) -> Deferred[Any]:
        """Stop; done when everything has ended."""
        stopping: Deferred[Any] = maybeDeferred(super().stopService)
        return stopping.addBoth(self._close)

    def _close(self, result: Any) -> Any:
        logging.getLogger("autobahnlike").removeHandler(_handler)
        self._opened.close()
        return result


class _ToTwisted(logging.Handler):
    """Has Twisted log what was logged with ``logging``, as applications do that know nothing of Twisted."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it."""
        level = LogLevel.lookupByName(_LEVELS.get(record.levelname, "info"))
        log = Logger(namespace=record.name)
        name = getattr(record, "connection_id", None)
        message = record.getMessage()
        # Where there is none, there is no such key in the JSON that Twisted can log.
        more = {} if name is None else {"connection_id": name}
        if name is not None and name not in message:
            message = f"[{name}] {message}"
        if record.exc_info and record.exc_info[1] is not None:
            failure = Failure(record.exc_info[1])  # type: ignore[no-untyped-call]
            log.failure("{message}", failure, level, message=message, **more)
        else:
            log.emit(level, "{message}", message=message, **more)


_LEVELS = {"DEBUG": "debug", "INFO": "info", "WARNING": "warn", "ERROR": "error", "CRITICAL": "critical"}

_handler = _ToTwisted()
_handler.addFilter(ConnectionIdFilter())
