"""Why a server does not start, told in one line."""

from __future__ import annotations

import os
import socket
import ssl

__all__ = ("CannotListen", "CannotLoad", "CannotServe", "CannotUseCertificate", "explain")


class CannotServe(Exception):
    """A server does not start. The text is one line for whoever started it.

    Args:
        message: what is wrong, and what to do about it.
        asked_wrongly: whether it is what was asked for that cannot be, rather than something out there.
    """

    def __init__(self, message: str, asked_wrongly: bool = False) -> None:
        super().__init__(message)
        self.asked_wrongly = asked_wrongly


class CannotListen(CannotServe):
    """One of the addresses cannot be listened on."""


class CannotUseCertificate(CannotServe):
    """Certificate and key do not make a TLS server."""


class CannotLoad(CannotServe):
    """There is no application where it was said to be, or its module fails.

    Args:
        message: what is wrong.
        traceback: if code of the application raised an exception, what Python prints of it, without what is ours.

    Attributes:
        traceback: the same.
    """

    def __init__(self, message: str, traceback: str | None = None) -> None:
        super().__init__(message, asked_wrongly=traceback is None)
        self.traceback = traceback


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
