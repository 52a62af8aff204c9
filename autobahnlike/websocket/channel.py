"""What of a protocol is called for every message; everything else that applications derive from is in ``protocol``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import Any

from autobahnlike.exception import Disconnected, InvalidArgument, PayloadExceededError
from autobahnlike.websocket.prepared import PreparedMessage, as_bytes
from autobahnlike.websocket.session import Session
from autobahnlike.wire.options import Options
from autobahnlike.wire.state import State

__all__ = ("Channel", "as_bytes", "send_to_all")

_OPEN = State.OPEN


class Channel:
    """Sends messages over the connection of a session."""

    _session: Session | None

    def sendMessage(
        self,
        payload: bytes,
        isBinary: bool = False,
        fragmentSize: int | None = None,
        sync: bool = False,
        doNotCompress: bool = False,
    ) -> None:
        """Send a message.

        It is queued if the transport cannot take it now; ``drained`` tells when it has.

        Args:
            payload: the message; UTF-8 if it is text.
            isBinary: whether it is binary.
            fragmentSize: the most payload to put into a frame, in bytes; None for the option ``autoFragmentSize``.
            sync: accepted for compatibility; what is sent is always written as soon as the transport takes it.
            doNotCompress: whether to send it uncompressed although compression was negotiated.

        Raises:
            Disconnected: the connection is not open.
            PayloadExceededError: the message is larger than ``maxMessagePayloadSize``.
            InvalidArgument: the payload is not bytes.
        """
        session = self._session
        if session is None:
            raise Disconnected("Attempt to send on a closed protocol")
        data = payload if type(payload) is bytes else as_bytes(payload)
        session.connection.send_message(data, isBinary, not doNotCompress, fragmentSize)
        if not session._waits:
            session._due()

    def sendPreparedMessage(self, preparedMsg: PreparedMessage) -> None:
        """Send a message that ``factory.prepareMessage`` made.

        Raises:
            Disconnected: the connection is not open.
            PayloadExceededError: the message is larger than ``maxMessagePayloadSize``.
            InvalidArgument: it is something else.
        """
        if not isinstance(preparedMsg, PreparedMessage):
            raise InvalidArgument(f"a message has to be prepared by factory.prepareMessage, not {preparedMsg!r:.80}")
        session = self._session
        if session is None:
            raise Disconnected("Attempt to send on a closed protocol")
        session.send_prepared(preparedMsg)


if not hasattr(Channel, "_session"):
    # Compiled, it is None from the beginning. No __init__ of ours need have run.
    Channel._session = None


def send_to_all(channels: Iterable[Callable[[], Any]], message: PreparedMessage, left_out: Set[int]) -> int:
    """Send a message over all connections that are open.

    Args:
        channels: weak references to the ``Channel`` of each.
        message: the message.
        left_out: the identities of channels that are not sent it.

    Returns:
        How many it was sent to.

    Raises:
        PayloadExceededError: the message is larger than ``maxMessagePayloadSize`` of one of them. Then none is sent it.
    """
    size = len(message.payload)
    sessions: list[Session] = []
    checked: Options | None = None
    # All are looked up before any is sent something: a transport may call back the application, and that may open and
    # close connections.
    for reference in channels:
        channel = reference()
        session = None if channel is None else channel._session
        if session is None or session.connection.state is not _OPEN or (left_out and id(channel) in left_out):
            continue
        if session.options is not checked:
            checked = session.options
            _check_size(size, checked)
        sessions.append(session)
    count = 0
    for session in sessions:
        try:
            session.send_prepared(message)
        except Disconnected:
            continue
        except Exception as error:
            _give_up(session, error)
            continue
        # Unless it has taken nothing for so long that it was dropped.
        if session.connection.state is _OPEN:
            count += 1
    return count


def _check_size(size: int, options: Options) -> None:
    if options.max_message_size and size > options.max_message_size:
        raise PayloadExceededError(
            f"message of {size} bytes is over the limit of {options.max_message_size} (maxMessagePayloadSize)"
        )


def _give_up(session: Session, error: Exception) -> None:
    """Drop a connection that could not be sent what all are: it would miss it, and may be able to send nothing more."""
    peer = getattr(session.link, "peer", "a peer that is gone")
    session.loop.log_failure(f"a broadcast could not be sent to {peer}", error)
    session.connection.drop(session.loop.now(), "a broadcast could not be sent to it")
    session.pump()
