"""The kit for asyncio and uvloop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from autobahnlike.asyncio import websocket
from autobahnlike.exception import Disconnected
from tests.conformance.kit import PATIENCE, Kit
from tests.conformance.peers import AsyncioPeer, Listener, RawPeer

T = TypeVar("T")


class AsyncioKit(Kit):
    """Scenarios run as a task of a loop."""

    websocket = websocket

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._servers: list[asyncio.AbstractServer] = []
        super().__init__()

    def future(self) -> asyncio.Future[Any]:
        return self.loop.create_future()

    def fire(self, future: asyncio.Future[Any], value: object) -> None:
        if not future.done():
            future.set_result(value)

    def fail(self, future: asyncio.Future[Any], error: BaseException) -> None:
        future.set_exception(error)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.loop.create_task(coroutine)

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(seconds)

    async def within(self, awaitable: Awaitable[T], what: str, seconds: float = PATIENCE) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await awaitable
        except TimeoutError:
            raise AssertionError(f"in vain: {what}") from None

    def now(self) -> float:
        return self.loop.time()

    def styles(self) -> dict[str, Callable[[Callable[..., Coroutine[Any, Any, Any]]], Callable[..., Any]]]:
        def returns_task(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
            def hook(*arguments: Any) -> Any:
                return self.start(method(*arguments))

            return hook

        return {"async def": lambda method: method, "returns a task": returns_task}

    async def listen(
        self, factory: Any, *, host: str = "127.0.0.1", unix: str | None = None, tls: Any = None
    ) -> Listener:
        if unix is not None:
            return self._listener(await self.loop.create_unix_server(factory, unix, ssl=tls), unix)
        return self._listener(await self.loop.create_server(factory, host, 0, ssl=tls))

    def _listener(self, server: Any, unix: str | None = None) -> Listener:
        self._servers.append(server)
        host, port = ("", 0) if unix else server.sockets[0].getsockname()[:2]

        async def stop() -> None:
            server.close()

        return Listener(host, port, unix, stop)

    async def connect(self, factory: Any, where: Listener, *, tls: Any = None) -> Any:
        host = None if tls is None else "localhost"
        if where.unix is not None:
            made = await self.loop.create_unix_connection(factory, where.unix, ssl=tls, server_hostname=host)
        else:
            made = await self.loop.create_connection(factory, where.host, where.port, ssl=tls, server_hostname=host)
        return made[1]

    async def listen_ws(self, factory: Any, tls: Any = None, **arguments: Any) -> Listener:
        server = await websocket.listenWS(factory, tls, **arguments)
        return self._listener(server, str(factory.port) if factory.host == "unix" else None)

    async def connect_ws(self, factory: Any, tls: Any = None) -> str | None:
        try:
            _, protocol = await self.within(websocket.connectWS(factory, tls), "connectWS")
            await self.within(protocol.is_open, "an open connection")
        except (OSError, Disconnected) as error:
            return str(error)
        return None

    async def listen_raw(self) -> tuple[Listener, Callable[[], Awaitable[RawPeer]]]:
        connected: asyncio.Queue[RawPeer] = asyncio.Queue()

        def accept() -> AsyncioPeer:
            peer = AsyncioPeer(self)
            peer.mask = None
            connected.put_nowait(peer)
            return peer

        server = await self.loop.create_server(accept, "127.0.0.1", 0)
        return self._listener(server), lambda: self.within(connected.get(), "a connection")

    async def open_raw(self, where: Listener, *, tls: Any = None) -> RawPeer:
        host = None if tls is None else "localhost"
        _, peer = await self.loop.create_connection(
            lambda: AsyncioPeer(self), where.host, where.port, ssl=tls, server_hostname=host
        )
        return peer

    def server_tls(self, certificate: Any) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        return context

    def client_tls(self, authority: Any, host: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    async def clean_up(self) -> None:
        for server in self._servers:
            server.close()
        for peer in self.raw_peers:
            if not peer.is_over:
                peer.abort()
        for factory in self.factories:
            await factory.shutdown(0)
        await self.turns()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left: {left}"
