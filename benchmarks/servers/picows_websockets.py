"""picows, by the API of websockets that it offers as well."""

from __future__ import annotations

from picows.websockets.asyncio import broadcast, serve

from benchmarks.servers.websockets_common import run_with

if __name__ == "__main__":
    run_with(serve, broadcast)
