"""What tests of applications need: a client in memory and a server in a process of its own."""

from __future__ import annotations

from autobahnlike.testing.app import LiveServer, create_client

__all__ = ("LiveServer", "create_client")
