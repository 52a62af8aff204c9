"""What those who run a server rely on: how it stops, what its logs tell of whom, and the header names of clients."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from unittest import mock

from autobahnlike import logs
from autobahnlike.asgi import http
from tests.asgi.kit import AppKit, chat, disconnected, echo_view, get, hello_app, read_answer, respond, websocket_app
from tests.asgi.registry import scenario
from tests.conformance.kit import request
from tests.logged import logged
from tests.wire.helpers import TEXT

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Receive, Scope, Send


@scenario()
async def a_drain(kit: AppKit) -> None:
    """WebSockets are closed one after another; until its turn has come, each goes on."""

    async def view(receive: Receive, send: Send) -> None:
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})
        kit.server.note("told", event["code"])

    where = await kit.serve_app(websocket_app(view), drain_timeout=3600)
    first, second, third = [await kit.open_peer(where) for _ in range(3)]
    stopping = kit.start(where.stop())  # type: ignore[arg-type]
    assert await first.read_close() == (1012, "")
    first.send_close(1012)
    await kit.server.wait("told")
    await chat(kit, second)
    await chat(kit, third)
    for peer in (second, third):
        peer.send_close(1000)
        assert await peer.read_close() == (1000, "")
    await kit.within(stopping, "the end, as soon as there is nobody any more")
    assert kit.server.all("told") == [(1012,), (1000,), (1000,)]


@scenario()
async def the_whole_of_a_drain(kit: AppKit) -> None:
    async def view(receive: Receive, send: Send) -> None:
        kit.server.note("told", (await disconnected(receive))["code"])

    where = await kit.serve_app(websocket_app(view), drain_timeout=0.3)
    peers = [await kit.open_peer(where) for _ in range(30)]
    begun = kit.now()
    stopping = kit.start(where.stop())  # type: ignore[arg-type]
    for peer in peers:
        assert await peer.read_close() == (1012, "")
        peer.send_close(1012)
    await kit.within(stopping, "the end")
    assert kit.now() - begun >= 0.29
    assert kit.server.all("told") == [(1012,)] * 30


@scenario()
async def a_client_that_keeps_its_connection_holds_up_nothing(kit: AppKit) -> None:
    """Such as that of an SDK: it does not look at the connection before it needs it again."""
    where = await kit.serve_app(hello_app, shutdown_timeout=3600)
    for number in range(2):
        peer = await kit.open_raw(where)
        for _ in range(number):
            peer.send(get())
            assert (await read_answer(peer)).status == 200
        peer.pause()
    with mock.patch.object(http, "_LINGER_TIME", 3600):
        await kit.within(kit.start(where.stop()), "the end")  # type: ignore[arg-type]


@scenario()
async def header_names(kit: AppKit) -> None:
    """An application is told how the client wrote them, field by field."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        names = scope["extensions"]["autobahnlike.header_names"]
        assert [name.lower() for name in names] == [name for name, _ in scope["headers"]]
        assert (len(names), names[0], names[-2:]) == (len(scope["headers"]), b"Host", [b"X-TWO", b"x-Two"])
        kit.server.note(scope["type"], b" ".join(names))
        if scope["type"] == "http":
            await respond(send)
        else:
            await websocket_app(echo_view)(scope, receive, send)

    headers = "X-oNE: a: b\r\nX-TWO:\r\nx-Two: a\r\n"
    peer = await kit.ask(app, headers=headers)
    assert (await peer.read_head()).startswith("HTTP/1.1 101 ")
    (names,) = await kit.server.wait("websocket")
    assert names == b"Host Upgrade Connection Sec-WebSocket-Key Sec-WebSocket-Version X-oNE X-TWO x-Two"
    where = await kit.serve_app(app)
    peer = await kit.open_raw(where)
    peer.send(get(headers=headers))
    assert (await read_answer(peer)).status == 200
    assert kit.server.all("http") == [(b"Host X-oNE X-TWO x-Two",)]


@scenario()
async def what_applications_log_is_about_a_connection(kit: AppKit) -> None:
    """Whichever of them the loop was at before, and also when one wakes up another."""
    log = logging.getLogger("tests.views")
    gate = kit.future()

    async def view(receive: Receive, send: Send) -> None:
        name = (await receive())["text"]
        log.info("%s begins", name)
        if name == "one":
            kit.server.note("waits")
            await gate
            log.info("one was woken up")
        else:
            # On Twisted, it goes on within this call.
            kit.fire(gate, None)
            log.info("other has woken up one")
        await kit.start(beside(name))
        log.info("%s goes on", name)
        await disconnected(receive)
        log.info("%s ends", name)
        kit.server.note("ended")

    async def beside(name: str) -> None:
        await kit.sleep(0)
        log.info("%s has a coroutine beside", name)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            log.info("request")
            await respond(send)
        else:
            await websocket_app(view)(scope, receive, send)

    where = await kit.serve_app(app, access_log=True)
    with logged("tests.views", "autobahnlike.access") as records:
        one, other = [await kit.open_peer(where) for _ in range(2)]
        one.send_frame(TEXT, b"one")
        await kit.server.wait("waits")
        other.send_frame(TEXT, b"other")
        asking = await kit.open_raw(where)
        asking.send(get())
        await read_answer(asking)
        for peer in (one, other):
            peer.send_close(1000)
        await kit.server.wait("ended", 2)
    ids: dict[str, set[str | None]] = {}
    for record in records:
        words = record.getMessage().split()
        # A line of the access log ends with the status.
        name = words[-1] if hasattr(record, "client") else words[0]
        ids.setdefault(name, set()).add(record.connection_id)
    assert [len(ids[name]) for name in ("one", "other", "101")] == [1, 1, 2]
    assert ids["one"] | ids["other"] == ids["101"]
    assert None not in ids["101"]
    # Neither the request nor its line is about a WebSocket.
    assert ids["request"] == ids["200"] == {None}


@scenario()
async def a_failure_of_an_application_is_about_its_connection(kit: AppKit) -> None:
    seen: list[str | None] = []
    about: list[str | None] = []

    async def view(receive: Receive, send: Send) -> None:
        about.append(logs.connection_id.get())
        await receive()
        raise LookupError("on purpose")

    def see(text: str, error: BaseException | None) -> None:
        seen.append(logs.connection_id.get())

    with mock.patch.object(kit, "log", see):
        peer = await kit.talk(websocket_app(view))
        peer.send_frame(TEXT, b"go")
        assert (await peer.read_close())[0] == 1011
    assert seen == about != [None]


@scenario()
async def an_id_does_not_outlive_its_connection(kit: AppKit) -> None:
    """What the loop does next is about nobody."""

    async def view(receive: Receive, send: Send) -> None:
        kit.server.note("within", logs.connection_id.get())
        await disconnected(receive)

    where = await kit.serve_app(websocket_app(view))
    peer = await kit.open_raw(where)
    peer.send(request())
    assert (await peer.read_head()).startswith("HTTP/1.1 101 ")
    (within,) = await kit.server.wait("within")
    assert within
    assert logs.connection_id.get() is None
    await kit.sleep(0)
    assert logs.connection_id.get() is None
