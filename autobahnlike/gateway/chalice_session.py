"""The session that a Chalice application sends with here: what it does, it does in this process, without HTTP and AWS.

Chalice makes its client with ``app.websocket_api.session.client("apigatewaymanagementapi", ...)``, of a session of
boto3. Here that is a :class:`Client`, which asks the gateway. All else that is asked of the session is the business of
the one that the application has assigned.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from autobahnlike.gateway.api import WebsocketAPI
from autobahnlike.gateway.core import Core
from autobahnlike.gateway.errors import (
    ChaliceError,
    DeliveryUnknownError,
    LimitExceededError,
    PayloadTooLargeError,
    WebsocketDisconnectedError,
)

__all__ = ("SERVICE", "Client", "Session", "hosted_api", "wrap_sessions")

SERVICE = "apigatewaymanagementapi"
"""What boto3 calls the API."""


class _ServiceError(ClientError):  # type: ignore[misc]  # botocore has no types
    """An error of the API, as SDKs of AWS raise it."""

    status = 400
    message = ""

    def __init__(self, operation: str) -> None:
        error = {"Code": type(self).__name__, "Message": self.message}
        super().__init__({"Error": error, "ResponseMetadata": {"HTTPStatusCode": self.status}}, operation)


class GoneException(_ServiceError):
    """Nobody is connected by that id."""

    status = 410


class PayloadTooLargeException(_ServiceError):
    """The message is larger than the limit."""

    status = 413
    message = "Message too long"


class LimitExceededException(_ServiceError):
    """The client does not take what it was sent before."""

    status = 429
    message = "The client does not take what it was sent before"


class ForbiddenException(_ServiceError):
    """Not raised here: who runs in this process may send."""

    status = 403


class DeliveryUnknownException(_ServiceError):
    """There was no answer from the node of the connection."""

    status = 424
    message = "There was no answer from the node of the connection: it may have been delivered or not"


_ERRORS: dict[type[ChaliceError], type[_ServiceError]] = {
    WebsocketDisconnectedError: GoneException,
    PayloadTooLargeError: PayloadTooLargeException,
    LimitExceededError: LimitExceededException,
    DeliveryUnknownError: DeliveryUnknownException,
}


class Client:
    """What boto3 calls a client, of the API ``apigatewaymanagementapi``: sends, closes and describes.

    Its methods block, which the thread of the loop must not: there they only do what needs no waiting, which is about
    connections of this process.

    Args:
        core: the gateway.

    Attributes:
        exceptions: the errors, by the names that boto3 has for them.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._api = WebsocketAPI(core)
        self.exceptions = SimpleNamespace(
            ClientError=ClientError,
            ForbiddenException=ForbiddenException,
            GoneException=GoneException,
            LimitExceededException=LimitExceededException,
            PayloadTooLargeException=PayloadTooLargeException,
        )

    def post_to_connection(self, *, ConnectionId: str, Data: Any) -> dict[str, Any]:  # noqa: N803
        """Send a message.

        Args:
            ConnectionId: the id of the connection.
            Data: text, bytes, or a file that is read.

        Raises:
            GoneException: nobody is connected by that id.
            PayloadTooLargeException: the message is larger than the limit.
            LimitExceededException: the client does not take what it was sent before.
            DeliveryUnknownException: there was no answer in time.
            RuntimeError: the gateway does not run, or this is its thread, which cannot wait for another process.
        """
        data = Data.read() if hasattr(Data, "read") else Data
        try:
            self._check_thread(ConnectionId)
            self._api.send(ConnectionId, data)
        except ChaliceError as error:
            _raise(error, "PostToConnection")
        return _done(200)

    def delete_connection(self, *, ConnectionId: str) -> dict[str, Any]:  # noqa: N803
        """Close a connection. Raises what :meth:`post_to_connection` does."""
        try:
            self._check_thread(ConnectionId)
            self._api.close(ConnectionId)
        except ChaliceError as error:
            _raise(error, "DeleteConnection")
        return _done(204)

    def get_connection(self, *, ConnectionId: str) -> dict[str, Any]:  # noqa: N803
        """Describe a connection. Raises what :meth:`post_to_connection` does."""
        try:
            self._check_thread(ConnectionId)
            return {**_done(200), **self._api.info(ConnectionId)}
        except ChaliceError as error:
            _raise(error, "GetConnection")

    def _check_thread(self, connection_id: str) -> None:
        core = self._core
        if core.is_running and core.loop.is_own_thread() and not core.is_local(connection_id):
            raise RuntimeError("this is the thread of the loop, which cannot wait for another process: use another one")


def _raise(error: ChaliceError, operation: str) -> NoReturn:
    kind = _ERRORS.get(type(error))
    if kind is None:
        raise error
    raise kind(operation) from None


def _done(status: int) -> dict[str, Any]:
    return {"ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": 0}}


class Session:
    """A session of boto3, but for the clients of one API.

    Args:
        client: that client.
        session: the session that the application has assigned.
    """

    def __init__(self, client: Client, session: Any) -> None:
        self._client = client
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def client(self, service_name: str, *args: Any, **options: Any) -> Any:
        """Return a client of a service."""
        if service_name == SERVICE:
            return self._client
        return self._session.client(service_name, *args, **options)


def hosted_api(api: Any, core: Core) -> None:
    """Have Chalice's ``app.websocket_api`` send through a gateway, whenever the application assigns a session.

    As long as it assigns none, Chalice says what it says elsewhere: "Assign app.websocket_api.session to ...".

    Args:
        api: the object of Chalice.
        core: the gateway.
    """
    client = Client(core)
    wrap_sessions(api, "HostedWebsocketAPI", lambda session: Session(client, session))


def wrap_sessions(api: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace the session that Chalice's ``app.websocket_api`` has, and every one that it is ever assigned.

    Args:
        api: the object of Chalice. Only what is documented of it is touched: its attribute ``session``.
        name: what its class is called from now on.
        wrap: makes what is there instead of a session.
    """

    def read(self: Any) -> Any:
        return vars(self).get("session")

    def write(self: Any, session: Any) -> None:
        vars(self)["session"] = None if session is None else wrap(session)

    session = api.session
    api.__class__ = type(name, (type(api),), {"session": property(read, write)})
    api.session = session
