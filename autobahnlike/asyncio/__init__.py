"""WebSocket on asyncio; see ``autobahnlike.asyncio.websocket``."""
