"""What the command line shows on standard error."""

from __future__ import annotations

import logging

from autobahnlike.asgi.runner import LOOPS

__all__ = ("LEVELS", "log_to_stderr")

LEVELS = ("debug", "info", "warning", "error", "critical")
"""From which level on something is shown."""


def log_to_stderr(loop: str, level: str = "info") -> None:
    """Show who comes and goes, and what goes wrong.

    Args:
        loop: one of ``LOOPS``; what Twisted logs is shown with the rest.
        level: one of ``LEVELS``.
    """
    logging.basicConfig(format="%(asctime)s %(message)s", level=level.upper())
    if LOOPS[loop] != "twisted":
        return
    from twisted.logger import STDLibLogObserver, globalLogBeginner

    # Each port and each factory that starts or stops has a line of its own there.
    logging.getLogger("twisted").setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    globalLogBeginner.beginLoggingTo([STDLibLogObserver()], redirectStandardIO=False)
