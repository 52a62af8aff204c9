"""What the server raises, to the application or to whoever starts it."""

from __future__ import annotations

from autobahnlike.exception import Disconnected

__all__ = ("ClientDisconnected", "LifespanFailed")


class ClientDisconnected(Disconnected, OSError):
    """The application sends to a client that has gone.

    It is an ``OSError`` because the specification wants one (2.4). An application that ends with it has done nothing
    wrong: it is not logged.
    """


class LifespanFailed(Exception):
    """The application could not start, or does not support the lifespan protocol where it has to."""
