"""How a command ends when it cannot do what it was asked: with one line, never with a traceback."""

from __future__ import annotations

import os
import socket
import ssl

__all__ = ("RUNTIME", "USAGE", "CommandFailed", "explain")

RUNTIME = 1
"""Exit status: something went wrong out there."""

USAGE = 2
"""Exit status: the command line asks for what cannot be; argparse uses the same."""


class CommandFailed(Exception):
    """The command cannot go on.

    Args:
        message: one line that says why.
        status: the exit status.
    """

    def __init__(self, message: str, status: int = RUNTIME) -> None:
        super().__init__(message)
        self.status = status


def explain(error: OSError) -> str:
    """Return what went wrong as a person would put it, without numbers and names of calls."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not valid: {error.verify_message}"
    if isinstance(error, (ssl.SSLError, socket.gaierror)):
        # Their numbers are not those of the operating system.
        return error.strerror or str(error)
    if error.errno:
        return os.strerror(error.errno)
    return str(error) or ("it took too long" if isinstance(error, TimeoutError) else type(error).__name__)
