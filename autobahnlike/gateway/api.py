"""``app.websocket_api``: sending to connections by their id, under Chalice's names; and rooms of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from autobahnlike.backplane.interface import ConnectionInfo, Payload, Verdict
from autobahnlike.gateway.crossing import Answer, NoAnswer, ask
from autobahnlike.gateway.errors import DeliveryUnknownError, WebsocketDisconnectedError, check_verdict
from autobahnlike.gateway.management import as_payload

if TYPE_CHECKING:
    from autobahnlike.gateway.core import Core

__all__ = ("Done", "WebsocketAPI")

# How much longer than for a verdict a thread waits for the loop, in seconds.
_GRACE = 5.0


class Done:
    """What has been done, in a form that may be awaited."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield

    def __repr__(self) -> str:
        return "<Done>"


class _Info(dict[str, Any]):
    """What :meth:`WebsocketAPI.info` gives, in a form that may be awaited."""

    def __await__(self) -> Generator[Any, Any, _Info]:
        return self
        yield


class WebsocketAPI:
    """Sends to connections by their id.

    A plain function, which runs in a thread, calls these methods and has the result when they return. A coroutine
    function awaits what they return. They may be called from anywhere in the process while the gateway runs.

    Args:
        core: the gateway.

    Attributes:
        session: a session of boto3, which Chalice needs and this does not: it is not used.
    """

    def __init__(self, core: Core) -> None:
        self.session: Any = None
        self._core = core
        self._endpoint: str | None = None

    def configure(self, domain_name: str, stage: str) -> None:
        """Say where the gateway is, as Chalice needs to know. It is this one: nothing comes of it.

        The first call wins, as in Chalice.
        """
        if self._endpoint is None:
            self._endpoint = f"https://{domain_name}/{stage}"

    def configure_from_api_id(self, api_id: str, stage: str) -> None:
        """See :meth:`configure`."""
        self.configure(api_id, stage)

    def send(self, connection_id: str, message: str | bytes, *, binary: bool = False) -> Done | Answer[Done]:
        """Send a message to a client.

        Args:
            connection_id: the id of its connection, on whichever node.
            message: what to send. Bytes that are UTF-8 are sent as text, as by API Gateway.
            binary: whether bytes are sent as a binary message whatever they are.

        Raises:
            WebsocketDisconnectedError: nobody is connected by that id.
            PayloadTooLargeError: the message is too large.
            LimitExceededError: the client does not take what it was sent before.
            DeliveryUnknownError: there was no answer in time.
            RuntimeError: the gateway does not run.
            TypeError: the message is neither text nor bytes.
        """
        if not isinstance(connection_id, str):
            raise TypeError(f"a connection id is text, not {type(connection_id).__name__}")
        payload: Payload
        if isinstance(message, str):
            payload = message
        elif isinstance(message, (bytes, bytearray, memoryview)):
            payload = bytes(message) if binary else as_payload(bytes(message))
        else:
            raise TypeError(f"a message is str or bytes, not {type(message).__name__}")
        return self._ask(
            connection_id,
            lambda: self._core.counters.count(self._core.deliver(connection_id, payload)),
            lambda: self._core.send(connection_id, payload),
        )

    def close(self, connection_id: str, code: int = 1000, reason: str = "") -> Done | Answer[Done]:
        """Close a connection, after what it was sent before; its ``$disconnect`` follows.

        Args:
            connection_id: its id, on whichever node.
            code: a close code that a server may send.
            reason: at most 123 bytes of UTF-8.

        Raises:
            WebsocketDisconnectedError: nobody is connected by that id.
            DeliveryUnknownError: there was no answer in time.
            ValueError: a code or reason that cannot be sent.
            RuntimeError: the gateway does not run.
        """
        if not (1000 <= code < 5000 and code not in (1004, 1005, 1006, 1015)) or len(reason.encode()) > 123:
            raise ValueError(f"{code} {reason!r:.130} cannot be sent: 1000, 3000 to 4999, and 123 bytes of reason")
        return self._ask(
            connection_id,
            lambda: self._core.close(connection_id, code, reason),
            lambda: self._core.disconnect(connection_id, code, reason),
        )

    def info(self, connection_id: str) -> Any:
        """Return what is known of a connection.

        Args:
            connection_id: its id, on whichever node.

        Returns:
            A dict like boto3's: ``ConnectedAt`` and ``LastActiveAt``, aware datetimes, and ``Identity`` with
            ``SourceIp`` and perhaps ``UserAgent``.

        Raises:
            WebsocketDisconnectedError: nobody is connected by that id.
            DeliveryUnknownError: there was no answer in time.
            RuntimeError: the gateway does not run.
        """

        async def describe() -> _Info:
            verdict, info = await self._core.describe(connection_id)
            check_verdict(verdict, connection_id)
            assert info is not None
            return _as_info(info)

        def describe_now() -> _Info:
            info = self._core.info(connection_id)
            if info is None:
                raise WebsocketDisconnectedError(connection_id)
            return _as_info(info)

        return self._run(connection_id, describe_now, describe)

    def _ask(
        self, connection_id: str, now: Callable[[], Verdict], work: Callable[[], Coroutine[Any, Any, Verdict]]
    ) -> Done | Answer[Done]:
        def check_now() -> Done:
            check_verdict(now(), connection_id)
            return Done()

        async def check() -> Done:
            check_verdict(await work(), connection_id)
            return Done()

        result: Done | Answer[Done] = self._run(connection_id, check_now, check)
        return result

    def _run(self, connection_id: str, now: Callable[[], Any], work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Do something about a connection: at once if it is on this node and thread."""
        core = self._core
        if not core.is_running:
            raise RuntimeError("the gateway does not run: serve it, for example with autobahnlike serve")
        if core.loop.is_own_thread() and core.is_local(connection_id):
            return now()
        try:
            return ask(core.loop, work, core.limits.verdict_timeout + _GRACE)[1]
        except NoAnswer:
            raise DeliveryUnknownError(connection_id) from None


def _as_info(info: ConnectionInfo) -> _Info:
    identity = {"SourceIp": info.source_ip}
    if info.user_agent is not None:
        identity["UserAgent"] = info.user_agent
    return _Info(
        ConnectedAt=datetime.fromtimestamp(info.connected_at / 1000, UTC),
        Identity=identity,
        LastActiveAt=datetime.fromtimestamp(info.last_active_at / 1000, UTC),
    )
