"""The page that a browser sees when it opens a WebSocket server's port."""

from __future__ import annotations

from html import escape

__all__ = ("status_page",)


def status_page(server: str) -> str:
    """Return a small page that says what this is.

    Args:
        server: what the server calls itself.
    """
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8"><title>WebSocket server</title></head>\n'
        "<body><h1>WebSocket server</h1>\n"
        f"<p>{escape(server) or 'This'} is a WebSocket server: connect to it with a WebSocket client.</p>\n"
        "</body></html>\n"
    )
