"""How a command ends when it cannot do what it was asked: with one line, never with a traceback."""

from __future__ import annotations

__all__ = ("NOT_STARTED", "RUNTIME", "USAGE", "CommandFailed")

RUNTIME = 1
"""Exit status: something went wrong out there."""

USAGE = 2
"""Exit status: the command line asks for what cannot be; argparse uses the same."""

NOT_STARTED = 3
"""Exit status: the application to be served did not start."""


class CommandFailed(Exception):
    """The command cannot go on.

    Args:
        message: one line that says why.
        status: the exit status.
    """

    def __init__(self, message: str, status: int = RUNTIME) -> None:
        super().__init__(message)
        self.status = status
