"""Sending from other processes, with the application of Chalice itself: a script, a task of a queue, a cron job.

Such a process imports the application, has no events, and wants to call ``app.websocket_api.send``::

    from autobahnlike.gateway.chalice_worker import connect
    from app import app

    connect(app, "http://127.0.0.1:8000/api")
    app.websocket_api.send(connection_id, "Dinner is ready")

It is boto3 that sends, with the session of the application, over HTTP to the @connections API of the gateway that
serves it. What it raises is what it raises on AWS: Chalice's ``WebsocketDisconnectedError``, and boto3's own errors.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import threading
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import NoCredentialsError  # type: ignore[import-untyped]

from autobahnlike.gateway.chalice_session import SERVICE, wrap_sessions

__all__ = ("connect",)

# Any will do: the gateway verifies the one that was signed with.
_REGION = "us-east-1"
# What a gateway without keys takes from this machine, and does not look at.
_DUMMY = "local"
# The parameters of boto3's client(), in their order.
_PARAMETERS = (
    "region_name",
    "api_version",
    "use_ssl",
    "verify",
    "endpoint_url",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "config",
)

_lock = threading.Lock()


def connect(
    app: Any,
    url: str,
    *,
    access_key: str | None = None,
    secret_key: str | None = None,
    region: str | None = None,
    verify: bool | str | None = None,
) -> None:
    """Have ``app.websocket_api`` of a Chalice application send to a gateway, without an event of it.

    To be called before anything is sent. The application assigns its session as ever, before or after. Calling it again
    with the same arguments does nothing.

    Args:
        app: the application, a ``chalice.Chalice``.
        url: where the gateway is, with the stage: ``http://127.0.0.1:8000/api``.
        access_key: the access key id to sign with, one that the gateway knows. Without it, the credentials of the
            session, of the environment, or whatever else boto3 finds; and if there are none, made-up ones for a gateway
            on this machine, which needs none unless it has keys.
        secret_key: the secret key.
        region: the region to sign for; that of the session if None. The gateway takes any.
        verify: for ``https``, a file of certificates to trust, or False to trust any; what boto3 trusts if None.

    Raises:
        TypeError: ``app`` is no application of Chalice.
        ValueError: the URL is none of a gateway, or one of the keys is missing.
        RuntimeError: the application is hosted in this process, is connected to another gateway, or has sent already.
    """
    api = getattr(app, "websocket_api", None)
    if api is None or not hasattr(api, "configure"):
        raise TypeError(f"app has to be an application of Chalice, not {type(app).__name__}")
    if (access_key is None) is not (secret_key is None):
        raise ValueError("access_key and secret_key go together: give both or none")
    gateway = _Gateway(url, access_key, secret_key, region, verify)
    stage = gateway.check()
    with _lock:
        connected = vars(api).get(_CONNECTED)
        if connected == gateway:
            return
        if connected is not None:
            raise RuntimeError(f"the application is connected to {connected.url} already")
        if type(api).__name__ == "HostedWebsocketAPI":
            raise RuntimeError("the application is hosted in this process, and sends without being connected")
        if getattr(api, "_client", None) is not None:
            raise RuntimeError("the application has sent something already: connect it before")
        vars(api)[_CONNECTED] = gateway
        # Chalice wants an address before it sends. The first one counts, and the session has another one anyway.
        api.configure(urlsplit(url).netloc, stage)
        wrap_sessions(api, "ConnectedWebsocketAPI", lambda session: _Session(gateway, session))


_CONNECTED = "_autobahnlike_gateway"


@dataclasses.dataclass(frozen=True, slots=True)
class _Gateway:
    """Where a gateway is, and how to sign for it."""

    url: str
    access_key: str | None
    secret_key: str | None = dataclasses.field(repr=False)
    region: str | None
    verify: bool | str | None

    def check(self) -> str:
        """Return the stage; raise ValueError if the URL is none of a gateway."""
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"{self.url!a} is no URL: {error}") from None
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError(f"{self.url!a} is not like http://127.0.0.1:8000/api")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"{parts.scheme}://{host}/...: there is no query, fragment or user in it; see access_key")
        stage = parts.path.strip("/")
        if not stage:
            raise ValueError(f"{self.url!a} lacks the stage: write {self.url.rstrip('/')}/api")
        return stage

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        host = urlsplit(self.url).hostname or ""
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


class _Session:
    """A session of boto3 whose clients of one API are for a gateway."""

    def __init__(self, gateway: _Gateway, session: Any) -> None:
        self._gateway = gateway
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def client(self, service_name: str, *args: Any, **options: Any) -> Any:
        """Return a client of a service."""
        if service_name != SERVICE:
            return self._session.client(service_name, *args, **options)
        options |= dict(zip(_PARAMETERS, args, strict=False))
        gateway = self._gateway
        options["endpoint_url"] = gateway.url
        region = gateway.region or options.get("region_name") or self._session.region_name or _REGION
        options["region_name"] = region
        if gateway.verify is not None:
            options["verify"] = gateway.verify
        if gateway.is_local:
            # HTTP_PROXY is not meant for this machine.
            own = Config(proxies={})
            given = options.get("config")
            options["config"] = own if given is None else given.merge(own)
        if gateway.access_key is not None:
            options["aws_access_key_id"], options["aws_secret_access_key"] = gateway.access_key, gateway.secret_key
            # One of other credentials.
            options.pop("aws_session_token", None)
        elif options.get("aws_access_key_id") is None and self._session.get_credentials() is None:
            if not gateway.is_local:
                raise _NoKeysError(gateway.url)
            options["aws_access_key_id"] = options["aws_secret_access_key"] = _DUMMY
        return self._session.client(service_name, **options)


class _NoKeysError(NoCredentialsError):  # type: ignore[misc]  # botocore has no types
    """There is nothing to sign with."""

    fmt = "nothing to sign with for {url}: give access_key and secret_key to connect(), or configure credentials"

    def __init__(self, url: str) -> None:
        super().__init__(url=url)
