"""WebSocket on Twisted; see ``autobahnlike.twisted.websocket``."""
