"""WebSocket URLs, under the name they have in Autobahn."""

from __future__ import annotations

from autobahnlike.wire.uri import create_url, parse_url

__all__ = ("create_url", "parse_url")
