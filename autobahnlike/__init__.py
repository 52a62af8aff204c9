"""A WebSocket framework for Twisted and asyncio, API-compatible with Autobahn's WebSocket part.

Import ``autobahnlike.twisted.websocket`` or ``autobahnlike.asyncio.websocket``; this module loads nothing.
"""

__version__ = "0.1.0"
