"""The WebSocket protocol without I/O. Start with ``state`` and ``connection``."""
