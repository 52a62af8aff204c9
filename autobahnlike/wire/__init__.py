"""The WebSocket protocol without I/O. Start with ``state`` and ``connection``."""

from autobahnlike.speed import search_path

__path__ = search_path(__path__, "wire")
