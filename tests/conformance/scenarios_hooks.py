"""Hooks: awaited, in order, one at a time, whatever they return; and what happens when one fails or never ends."""

from __future__ import annotations

from typing import Any

import pytest

from autobahnlike.exception import Disconnected
from tests.conformance.kit import Kit, Recording
from tests.conformance.registry import scenario
from tests.wire.helpers import CLOSE, PING, PONG, TEXT

SERVER_HOOKS = ("onConnect", "onOpen", "onPing", "onPong", "onMessage", "onClose")


def slow_class(kit: Kit, base: Any, style: Any, hooks: tuple[str, ...]) -> Any:
    """A protocol class whose hooks take some turns of the loop, and note when they begin and end."""

    def slow(name: str) -> Any:
        async def hook(self: Recording, *arguments: Any) -> None:
            self.note(f"{name} begins", *arguments)
            await kit.turns(3)
            self.note(f"{name} ends")

        return style(hook)

    return type("Slow", (base,), {name: slow(name) for name in hooks})


def begin_and_end(hooks: tuple[str, ...]) -> list[str]:
    return [f"{name} {what}" for name in hooks for what in ("begins", "ends")]


@scenario()
async def every_hook_of_a_server_is_awaited_in_every_style(kit: Kit) -> None:
    for style in kit.styles().values():
        kit.server.events.clear()
        where = await kit.serve(slow_class(kit, kit.Server, style, SERVER_HOOKS))
        peer = await kit.open_peer(where, wait=False)
        # All at once: nothing of it may be delivered before the hook before it has ended.
        peer.send(
            peer.frame(PING, b"1"), peer.frame(PONG, b"2"), peer.frame(TEXT, b"3"), peer.frame(CLOSE, b"\x03\xe8")
        )
        await kit.server.wait("onClose ends")
        assert kit.server.names == begin_and_end(SERVER_HOOKS)
        assert kit.server.all("onMessage begins") == [(b"3", False)]
        assert kit.server.all("onClose begins") == [(True, 1000, None)]


@scenario()
async def every_hook_of_a_client_is_awaited_in_every_style(kit: Kit) -> None:
    hooks = ("onConnecting", "onConnect", "onOpen", "onPing", "onPong", "onMessage", "onClose")
    for style in kit.styles().values():
        kit.client.events.clear()
        _, peer = await kit.accept_client(slow_class(kit, kit.Client, style, hooks))
        peer.send(
            peer.frame(PING, b"1"), peer.frame(PONG, b"2"), peer.frame(TEXT, b"3"), peer.frame(CLOSE, b"\x03\xe8")
        )
        await peer.read_close()
        peer.close()
        await kit.client.wait("onClose ends")
        assert kit.client.names == begin_and_end(hooks)


@scenario()
async def hooks_that_are_plain_functions_are_called_in_order(kit: Kit) -> None:
    where = await kit.serve()
    peer = await kit.open_peer(where)
    peer.send(peer.frame(TEXT, b"1"), peer.frame(TEXT, b"2"), peer.frame(CLOSE, b"\x03\xe8bye"))
    await kit.server.wait("close")
    assert kit.server.names == ["connect", "open", "message", "message", "close"]
    assert kit.server.all("message") == [(b"1", False), (b"2", False)]
    assert kit.server.all("close") == [(True, 1000, "bye")]


@scenario()
async def what_came_with_the_handshake_waits_for_an_async_on_connect_and_on_open(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onConnect(self, request: Any) -> None:
            await kit.turns(3)
            self.note("connected")

        async def onOpen(self) -> None:
            await kit.turns(3)
            self.note("opened")

    class Client(kit.Client):  # type: ignore[misc, name-defined]
        onConnect = Server.onConnect
        onOpen = Server.onOpen

    where = await kit.serve(Server)
    peer = await kit.open_raw(where)
    await kit.open_peer(where, peer.frame(TEXT, b"early"))
    await kit.server.wait("message")
    assert kit.server.names == ["connected", "opened", "message"]

    await kit.accept_client(Client, b"\x81\x05early")
    await kit.client.wait("message")
    assert kit.client.names == ["connecting", "connected", "opened", "message"]


@scenario()
async def an_async_on_message_does_not_interleave_with_the_next(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.note("begin", payload)
            # The first takes longest.
            await kit.turns(30 - 10 * int(payload))
            self.note("end", payload)
            self.sendMessage(payload)

    where = await kit.serve(Server)
    peer = await kit.open_peer(where)
    peer.send(*(peer.frame(TEXT, payload) for payload in (b"0", b"1", b"2")))
    assert [(await peer.read_frame()).payload for _ in range(3)] == [b"0", b"1", b"2"]
    expected = [(what, payload) for payload in (b"0", b"1", b"2") for what in ("begin", "end")]
    assert kit.server.events[-6:] == expected


@scenario()
async def on_open_may_send_and_the_response_goes_first(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.sendMessage(b"welcome")

    peer = await kit.open_peer(await kit.serve(Server))
    assert (await peer.read_frame()).payload == b"welcome"


@scenario()
async def the_response_waits_for_on_connect(kit: Kit) -> None:
    decided = kit.future()

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onConnect(self, request: Any) -> None:
            self.note("connect", request)
            await decided

    peer = await kit.open_peer(await kit.serve(Server), wait=False)
    await kit.server.wait("connect")
    await kit.turns()
    assert not peer.received
    kit.fire(decided, None)
    assert (await peer.read_head()).startswith("HTTP/1.1 101 ")


@scenario()
async def an_exception_in_on_connect_of_a_server_is_answered_with_500_and_tells_nothing(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onConnect(self, request: Any) -> None:
            raise ValueError("secret")

    class AsyncServer(kit.Server):  # type: ignore[misc, name-defined]
        async def onConnect(self, request: Any) -> None:
            await kit.turns()
            raise ValueError("secret")

    for server in (Server, AsyncServer):
        peer = await kit.open_peer(await kit.serve(server), wait=False)
        answer = (await peer.read_rest()).decode()
        assert answer.startswith("HTTP/1.1 500 ")
        assert "secret" not in answer
        await kit.server.wait("close")
        assert kit.server.events == [
            ("close", False, 1006, 'connection was closed uncleanly ("Internal Server Error")')
        ]
        kit.server.events.clear()
        ((text, error),) = kit.take_errors()
        assert "onConnect" in text
        assert str(error) == "secret"


async def failing(kit: Kit, name: str, *arguments: Any) -> None:
    """A server's hook fails: logged once, closed with 1011, and the end is told."""

    def fail_now(self: Any, *arguments: Any) -> None:
        raise ValueError(name)

    async def fail_later(self: Any, *arguments: Any) -> None:
        await kit.turns()
        raise ValueError(name)

    for hook in (fail_now, fail_later):
        kit.server.events.clear()
        peer = await kit.open_peer(await kit.serve(type("Failing", (kit.Server,), {name: hook})))
        peer.send(peer.frame(PING), peer.frame(PONG), peer.frame(TEXT, b"1"), peer.frame(TEXT, b"2"))
        got = await peer.read_frame()
        if got.opcode == PONG:
            got = await peer.read_frame()
        assert (got.opcode, got.payload[:2]) == (CLOSE, (1011).to_bytes(2, "big"))
        assert name.encode() not in got.payload
        peer.send_close(1011)
        await kit.server.wait("close")
        assert kit.server.all("close") == [(True, 1011, None)]
        assert "message" not in kit.server.names
        ((text, error),) = kit.take_errors()
        assert name in text
        assert isinstance(error, ValueError)


@scenario()
async def an_exception_in_on_open_is_logged_and_closes_with_1011(kit: Kit) -> None:
    await failing(kit, "onOpen")


@scenario()
async def an_exception_in_on_message_is_logged_and_closes_with_1011(kit: Kit) -> None:
    await failing(kit, "onMessage")


@scenario()
async def an_exception_in_on_ping_is_logged_and_closes_with_1011(kit: Kit) -> None:
    await failing(kit, "onPing")


@scenario()
async def an_exception_in_on_pong_is_logged_and_closes_with_1011(kit: Kit) -> None:
    await failing(kit, "onPong")


@scenario()
async def an_exception_in_on_close_is_only_logged(kit: Kit) -> None:
    def fail_now(self: Any, *arguments: Any) -> None:
        self.note("close")
        raise ValueError("onClose")

    async def fail_later(self: Any, *arguments: Any) -> None:
        await kit.turns()
        fail_now(self)

    for count, hook in enumerate((fail_now, fail_later), 1):
        factory = kit.server_factory(type("Failing", (kit.Server,), {"onClose": hook}))
        peer = await kit.open_peer(await kit.listen(factory))
        peer.send_close(1000)
        await kit.server.wait("close", count)
        await kit.until(lambda factory=factory: not factory.countConnections, "the connection is forgotten")  # type: ignore[misc]
        ((_, error),) = kit.take_errors()
        assert isinstance(error, ValueError)


@scenario()
async def an_exception_in_on_connecting_ends_the_connection(kit: Kit) -> None:
    class Client(kit.Client):  # type: ignore[misc, name-defined]
        async def onConnecting(self, transport_details: Any) -> None:
            raise ValueError("onConnecting")

    where, accepted = await kit.listen_raw()
    await kit.connect(kit.client_factory(Client), where)
    assert await (await accepted()).read_rest() == b""
    await kit.client.wait("close")
    assert kit.client.names == ["close"]
    ((_, error),) = kit.take_errors()
    assert isinstance(error, ValueError)


@scenario()
async def an_exception_in_on_connect_of_a_client_closes_with_1011(kit: Kit) -> None:
    class Client(kit.Client):  # type: ignore[misc, name-defined]
        def onConnect(self, response: Any) -> None:
            raise ValueError("onConnect")

    _, peer = await kit.accept_client(Client)
    assert (await peer.read_close())[0] == 1011
    peer.send_close(1011)
    peer.close()
    await kit.client.wait("close")
    assert kit.client.names == ["connecting", "close"]
    assert len(kit.take_errors()) == 1


@scenario()
async def messages_before_a_loss_are_delivered_behind_a_slow_hook(kit: Kit) -> None:
    seen = kit.future()

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.note("begin", payload)
            if payload == b"1":
                await seen
            self.note("end", payload)

        def connection_lost(self, error: Any) -> None:
            super().connection_lost(error)
            kit.fire(seen, None)

        def connectionLost(self, reason: Any) -> None:
            super().connectionLost(reason)
            kit.fire(seen, None)

    peer = await kit.open_peer(await kit.serve(Server))
    peer.send(peer.frame(TEXT, b"1"), peer.frame(TEXT, b"2"))
    await kit.server.wait("begin")
    peer.close()
    await kit.server.wait("close")
    assert kit.server.names[2:] == ["begin", "end", "begin", "end", "close"]
    assert kit.server.all("close")[0][:2] == (False, 1006)


@scenario()
async def a_hook_that_sends_to_a_peer_that_has_gone_is_not_an_error_to_be_logged(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.note("begin")
            while True:
                self.sendMessage(bytes(100000), True)
                await self.drained()
                await kit.sleep(0.001)

    where = await kit.serve(Server)
    for count in (1, 2, 3):
        peer = await kit.open_peer(where)
        peer.send_frame(TEXT, b"go!")
        await kit.server.wait("begin", count)
        await peer.read_frame()
        peer.abort()
        await kit.server.wait("close", count)


@scenario()
async def a_message_can_be_answered_although_a_close_frame_came_with_it(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            await kit.turns()
            self.sendMessage(b"answer")

    peer = await kit.open_peer(await kit.serve(Server))
    peer.send(peer.frame(TEXT, b"question"), peer.frame(CLOSE, b"\x03\xe8"))
    assert (await peer.read_frame()).payload == b"answer"
    assert await peer.read_close() == (1000, "")
    assert await kit.server.wait("close") == (True, 1000, None)


@scenario()
async def a_shutdown_during_an_async_on_connect_ends_it(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onConnect(self, request: Any) -> None:
            self.note("connect")
            try:
                await kit.future()
            finally:
                self.note("cancelled")

    factory = kit.server_factory(Server)
    peer = await kit.open_peer(await kit.listen(factory), wait=False)
    await kit.server.wait("connect")
    await kit.within(factory.shutdown(), "the end of the shutdown")
    assert await peer.read_rest() == b""
    await kit.server.wait("cancelled")
    assert sorted(kit.server.names) == ["cancelled", "close", "connect"]


@scenario()
async def a_hook_that_outlives_its_connection_for_too_long_is_cancelled(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.note("begin")
            try:
                await kit.future()
            finally:
                self.note("cancelled")

    factory = kit.server_factory(Server, closeHandshakeTimeout=0.05)
    peer = await kit.open_peer(await kit.listen(factory))
    peer.send_frame(TEXT, b"1")
    await kit.server.wait("begin")
    peer.close()
    await kit.server.wait("cancelled")
    await kit.server.wait("close")
    # On asyncio a cancelled task ends in a later turn of the loop; it is not waited for, since it may refuse to.
    assert sorted(kit.server.names) == ["begin", "cancelled", "close", "connect", "open"]
    await kit.until(lambda: not factory.countConnections, "the connection is forgotten")
    ((text, error),) = kit.take_errors()
    assert "onMessage of Server was still running" in text
    assert error is None


@scenario()
async def a_client_that_is_gone_during_an_async_on_connect_is_never_open(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onConnect(self, request: Any) -> None:
            self.note("connect")
            try:
                await kit.future()
            finally:
                self.note("cancelled")

    peer = await kit.open_peer(await kit.serve(Server), wait=False)
    await kit.server.wait("connect")
    peer.abort()
    await kit.server.wait("close")
    await kit.turns()
    assert sorted(kit.server.names) == ["cancelled", "close", "connect"]
    assert kit.server.all("close")[0][:2] == (False, 1006)


@scenario()
async def a_connection_dropped_in_on_connect_is_never_open(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onConnect(self, request: Any) -> None:
            self.note("connect")
            self.dropConnection(abort=True)

    class AsyncServer(kit.Server):  # type: ignore[misc, name-defined]
        async def onConnect(self, request: Any) -> None:
            await kit.turns()
            Server.onConnect(self, request)

    for server in (Server, AsyncServer):
        kit.server.events.clear()
        peer = await kit.open_peer(await kit.serve(server), wait=False)
        assert await peer.read_rest() == b""
        await kit.server.wait("close")
        assert kit.server.names == ["connect", "close"]


@scenario()
async def a_client_that_loses_its_server_during_on_connect_gets_no_on_open_and_no_message(kit: Kit) -> None:
    lost = kit.future()

    class Client(kit.Client):  # type: ignore[misc, name-defined]
        async def onConnect(self, response: Any) -> None:
            self.note("connect")
            await lost

        def connection_lost(self, error: Any) -> None:
            super().connection_lost(error)
            kit.fire(lost, None)

        def connectionLost(self, reason: Any) -> None:
            super().connectionLost(reason)
            kit.fire(lost, None)

    protocol, peer = await kit.accept_client(Client, b"\x81\x05early")
    await kit.client.wait("connect")
    peer.close()
    await kit.client.wait("close")
    assert kit.client.names == ["connecting", "connect", "close"]
    assert kit.client.all("close")[0][:2] == (False, 1006)
    assert protocol.state == protocol.STATE_CLOSED


@scenario()
async def is_open_waits_for_an_async_on_open_and_is_closed_comes_before_on_close(kit: Kit) -> None:
    class Client(kit.Client):  # type: ignore[misc, name-defined]
        async def onOpen(self) -> None:
            self.note("begin")
            await kit.turns()
            self.note("end")

    protocol, peer = await kit.accept_client(Client)
    await kit.client.wait("begin")
    await kit.within(protocol.is_open, "the connection is open")
    assert kit.client.names[-1] == "end"

    async def note_the_end() -> None:
        protocol.note("is_closed", await protocol.is_closed is protocol)

    noting = kit.start(note_the_end())
    peer.send_close(1000)
    await peer.read_close()
    peer.close()
    await noting
    await kit.client.wait("close")
    assert kit.client.all("is_closed") == [(True,)]


@scenario()
async def is_open_fails_when_the_connection_never_opens(kit: Kit) -> None:
    where, accepted = await kit.listen_raw()
    for asked_late in (False, True):
        protocol = await kit.connect(kit.client_factory(), where)
        peer = await accepted()
        waiting = None if asked_late else protocol.is_open
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await kit.client.wait("close", 1 + asked_late)
        with pytest.raises(Disconnected, match=r"\[403\]: Forbidden"):
            await kit.within(waiting or protocol.is_open, "a failure")
