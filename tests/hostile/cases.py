"""All cases, in the order in which they are run."""

from __future__ import annotations

# Importing a module of cases registers them.
from . import (  # noqa: F401
    client_closing,
    client_frames,
    client_handshake,
    closing,
    deflate,
    frames,
    handshake,
    keepalive,
    load,
    shutdown,
    slow_readers,
)
from .registry import CLIENT_CASES, SERVER_CASES, Case

_TOPICS = "HFCSKXMZELR"


def _order(case: Case) -> tuple[bool, int, str]:
    """By topic; but what judges the logs of all cases comes last."""
    return case.id == "M05", _TOPICS.index(case.id[0]), case.id


SERVERS: tuple[Case, ...] = tuple(sorted(SERVER_CASES, key=_order))
CLIENTS: tuple[Case, ...] = tuple(sorted(CLIENT_CASES, key=_order))
