"""What the shared code needs of an event loop and of a transport: all that an edge has to provide.

An edge (``autobahnlike.twisted``, ``autobahnlike.asyncio``) implements these two, and calls the ``Session`` of a
connection when something happens. Nothing else differs between the loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from autobahnlike.websocket.session import Batch

__all__ = ("EventLoop", "Link", "Timer")


class Timer(Protocol):
    """A call that is scheduled."""

    def cancel(self) -> object:
        """Do not call, if that has not happened yet."""


class EventLoop(Protocol):
    """An event loop.

    Attributes:
        txaio: the txaio API object for this loop: futures, callbacks, loggers.
        batch: the sessions that are written to at the end of what the loop is at.
    """

    txaio: Any
    batch: Batch

    def now(self) -> float:
        """Return the time in seconds, of a clock that does not go back."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` after ``delay`` seconds; 0 for the next turn of the loop."""

    def wait(
        self,
        result: object,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> Callable[[], object] | None:
        """Wait for what a hook of the application returned.

        Args:
            result: an awaitable that this loop knows (a coroutine; a Deferred, or a Future), or anything else.
            done: called with what it resulted in; at once if that is known already.
            failed: called with the exception it ended with; at once if that is known already.

        Returns:
            A function that gives up: it cancels the awaitable, and neither ``done`` nor ``failed`` is called any more.
            None if ``result`` is nothing that can be waited for; then neither is called at all.
        """

    def log_failure(self, message: str, error: BaseException) -> None:
        """Write an exception of the application to the log, with its traceback, the way this loop does it."""


class Link(Protocol):
    """The transport of one connection, as the session uses it.

    In return the edge calls ``Session.data_received``, ``writing_paused``, ``writing_resumed`` and ``connection_lost``.

    Attributes:
        peer: who is at the other end, as Autobahn writes it: "tcp4:127.0.0.1:51234", "tcp6:::1:51234", "unix:/path";
            also when the connection is gone.
        own: the same for this end.
        is_secure: whether the transport is TLS.
        queued: a function that returns how many bytes the transport holds; only called after ``go_direct``.
        buffered: bytes that the transport holds and has not written, as far as it tells; else 0.
    """

    is_secure: bool

    @property
    def peer(self) -> str:
        """See the attributes."""

    @property
    def own(self) -> str:
        """See the attributes."""

    @property
    def queued(self) -> Callable[[], int]:
        """See the attributes."""

    @property
    def buffered(self) -> int:
        """See the attributes."""

    def write(self, chunks: list[bytes | bytearray | memoryview]) -> None:
        """Write, in order. It may call ``writing_paused`` before it returns."""

    def go_direct(self, readable: Callable[[], Any]) -> int:
        """Leave the socket to the session, if that can be done.

        From now on the transport reads no more. ``readable`` is called instead whenever there is something to read; it
        reads from the socket, and returns what ``peer_ended`` or ``reading_failed`` have returned, or None.

        Args:
            readable: see above.

        Returns:
            The file descriptor, to read from, and to write to while ``queued`` returns 0; -1 if everything stays as it
            is.
        """

    def peer_ended(self) -> Any:
        """The session has found that the peer has ended its side: do what the transport would have done."""

    def reading_failed(self, error: OSError) -> Any:
        """The session could not read: do what the transport would have done."""

    def finish(self) -> None:
        """End our side of the connection once everything is written, and read on, if the transport can do that."""

    def close(self) -> None:
        """Close the connection once everything is written."""

    def abort(self) -> None:
        """Drop the connection now."""

    def pause_reading(self) -> None:
        """Read nothing from the network."""

    def resume_reading(self) -> None:
        """Read again."""
