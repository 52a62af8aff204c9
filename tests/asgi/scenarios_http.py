"""HTTP over real sockets: addresses, TLS, clients that are slow, leave, or go half way."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.asgi.kit import AppKit, chat, get, hello_app, parse_answer_head, read_answer, respond
from tests.asgi.registry import scenario
from tests.conformance.certificates import authority, certificate
from tests.conformance.kit import request
from tests.conformance.registry import ASYNCIO, TWISTED

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Receive, Scope, Send


@scenario()
async def requests_and_a_websocket_on_one_connection(kit: AppKit) -> None:
    where = await kit.serve_app(hello_app)
    peer = await kit.open_raw(where)
    peer.send(get("/1"), get("/2", method="POST", body=b"x" * 100_000))
    assert (await read_answer(peer)).body == b"GET /1 "
    assert len((await read_answer(peer)).body) == 100_008
    peer.send(request("/socket"))
    assert (await peer.read_head()).startswith("HTTP/1.1 101 ")
    await chat(kit, peer)
    peer.send_close(1000)
    assert await peer.read_close() == (1000, "")
    await peer.read_rest()


@scenario()
async def tls(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kit.server.note("scheme", scope["scheme"])
        await hello_app(scope, receive, send)

    where = await kit.serve_app(app, tls=kit.server_tls(certificate("localhost")))
    peer = await kit.open_raw(where, tls=kit.client_tls(authority(), "localhost"))
    peer.send(get("/1"), get("/2"))
    assert (await read_answer(peer)).body == b"GET /1 "
    assert (await read_answer(peer)).body == b"GET /2 "
    peer.send(request("/socket"))
    assert (await peer.read_head()).startswith("HTTP/1.1 101 ")
    await chat(kit, peer)
    peer.send_close(1000)
    assert await peer.read_close() == (1000, "")
    await peer.read_rest()
    assert kit.server.all("scheme") == [("https",), ("https",), ("wss",)]


@scenario()
async def large_over_tls(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, bytes(3_000_000), headers=[(b"connection", b"close")])

    where = await kit.serve_app(app, tls=kit.server_tls(certificate("localhost")))
    peer = await kit.open_raw(where, tls=kit.client_tls(authority(), "localhost"))
    peer.send(get())
    assert len((await read_answer(peer)).body) == 3_000_000
    await peer.read_rest()


@scenario(*ASYNCIO)
async def a_unix_socket(kit: AppKit) -> None:
    """On Twisted a Unix socket is an endpoint's; test_service has that."""
    await _unix(kit)


async def _unix(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kit.server.note("ends", scope["client"], scope["server"])
        await respond(send, b"here")

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "socket")
        await kit.serve_app(app, unix=path)
        import asyncio

        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(get(headers="Connection: close\r\n"))
        assert (await reader.read()).endswith(b"\r\n\r\nhere")
        writer.close()
        await writer.wait_closed()
        assert kit.server.all("ends") == [(None, (path, None))]


@scenario()
async def ipv6(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kit.server.note("ends", scope["client"], scope["server"])
        await respond(send, b"here")

    where = await kit.serve_app(app, host="::1")
    peer = await kit.open_raw(where)
    peer.send(get())
    assert (await read_answer(peer)).body == b"here"
    ((client, server),) = kit.server.all("ends")
    assert (client[0], server) == ("::1", ("::1", where.port))


@scenario()
async def a_client_that_does_not_read_suspends_send(kit: AppKit) -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200})
        for number in range(500):
            await send({"type": "http.response.body", "body": bytes([number % 256]) * 65536, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    where = await kit.serve_app(app)
    peer = await kit.open_raw(where)
    peer.pause()
    peer.send(get())
    before = -1
    while sent > before:
        before = sent
        await kit.sleep(0.1)
    assert sent < 400, "more than the buffers of the system hold"
    peer.resume()
    answer = await read_answer(peer)
    assert len(answer.body) == 32_768_000
    assert answer.body[::65536] == bytes(number % 256 for number in range(500))


@scenario()
async def a_client_that_takes_nothing_is_given_up(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
        except OSError:
            kit.server.note("given up")
            raise

    where = await kit.serve_app(app, write_timeout=0.2)
    peer = await kit.open_raw(where)
    peer.pause()
    peer.send(get())
    await kit.server.wait("given up")


@scenario()
async def a_body_that_is_not_read_stops_the_client(kit: AppKit) -> None:
    gate = kit.future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate
        size = 0
        while True:
            event = await receive()
            size += len(event["body"])
            if not event["more_body"]:
                break
        await respond(send, str(size).encode())

    where = await kit.serve_app(app, max_body_size=0)
    peer = await kit.open_raw(where)
    peer.send(get(method="PUT", headers="Content-Length: 20000000\r\n"), bytes(20_000_000))
    before = -1
    while peer.unsent != before:
        before = peer.unsent
        await kit.sleep(0.1)
    assert peer.unsent > 5_000_000
    kit.fire(gate, None)
    assert (await read_answer(peer)).body == b"20000000"


@scenario()
async def a_long_poll_is_told_that_the_client_is_gone(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        kit.server.note("asked")
        kit.server.note("then", await receive())

    where = await kit.serve_app(app)
    for drop in ("close", "abort"):
        peer = await kit.open_raw(where)
        peer.send(get())
        await kit.server.wait("asked")
        getattr(peer, drop)()
        assert await kit.server.wait("then") == ({"type": "http.disconnect"},)
        kit.server.events.clear()
    # One that had a client and did not answer it: it may, as that has gone.
    kit.take_errors()


@scenario()
async def half_closed(kit: AppKit) -> None:
    """A client that ends its side after its request gets the response."""
    gate = kit.future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate
        await respond(send, b"here you are")

    where = await kit.serve_app(app)
    peer = await kit.open_raw(where)
    peer.send(get())
    transport = peer._transport
    if hasattr(transport, "write_eof"):
        transport.write_eof()
    else:
        peer.writeConnectionLost = lambda: None  # type: ignore[attr-defined]
        transport.loseWriteConnection()
    await kit.sleep(0.05)
    kit.fire(gate, None)
    rest = (await peer.read_rest()).decode()
    head, _, body = rest.partition("\r\n\r\n")
    assert (parse_answer_head(head).status, body) == (200, "here you are")


@scenario()
async def a_response_before_the_end_of_the_body(kit: AppKit) -> None:
    """The client sees it, and not that the connection was reset."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"enough")

    where = await kit.serve_app(app)
    peer = await kit.open_raw(where)
    peer.send(get(method="PUT", headers="Content-Length: 1000000\r\n"), bytes(500_000))
    answer = await read_answer(peer)
    assert (answer.body, answer.header("connection")) == (b"enough", "close")
    await peer.read_rest()


@scenario()
async def a_head_that_stalls(kit: AppKit) -> None:
    where = await kit.serve_app(hello_app, head_timeout=0.1)
    peer = await kit.open_raw(where)
    peer.send(b"GET / HTTP/1.1\r\n")
    assert (await read_answer(peer)).status == 408
    await peer.read_rest()


@scenario()
async def a_failing_application_harms_only_its_own_connection(kit: AppKit) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/bad":
            raise LookupError("on purpose")
        await hello_app(scope, receive, send)

    where = await kit.serve_app(app)
    good = await kit.open_peer(where)
    for _ in range(10):
        bad = await kit.open_raw(where)
        bad.send(get("/bad"))
        assert (await read_answer(bad)).status == 500
        bad = await kit.open_raw(where)
        bad.send(request("/bad"))
        assert (await read_answer(bad)).status == 500
        await chat(kit, good)
    assert len(kit.take_errors()) == 20


@scenario(*TWISTED)
async def a_connection_is_let_go_of(kit: AppKit) -> None:
    """Nothing of a hundred connections stays in the server."""
    await _let_go(kit)


@scenario(*ASYNCIO)
async def a_connection_is_let_go_of_on_asyncio(kit: AppKit) -> None:
    await _let_go(kit)


async def _let_go(kit: AppKit) -> None:
    import gc

    from autobahnlike.asgi.http import HttpConnection
    from autobahnlike.asgi.websocket import ASGIWebSocket, WebSocketConversation

    def count() -> int:
        gc.collect()
        kinds = (HttpConnection, ASGIWebSocket, WebSocketConversation)
        return sum(isinstance(each, kinds) for each in gc.get_objects())

    where = await kit.serve_app(hello_app)
    before = count()
    for number in range(100):
        peer = await kit.open_raw(where)
        peer.send(request() if number % 2 else get())
        await peer.read_head()
        peer.close()
    await kit.until(lambda: count() <= before, "nothing is left")


@scenario(*TWISTED)
async def a_unix_endpoint(kit: AppKit) -> None:
    from twisted.internet import reactor
    from twisted.internet.endpoints import UNIXClientEndpoint
    from twisted.internet.protocol import ClientFactory

    from autobahnlike.asgi.twisted import ASGIService
    from tests.conformance.peers import TwistedPeer

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kit.server.note("ends", scope["client"], scope["server"])
        await hello_app(scope, receive, send)

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "socket")
        service = ASGIService(app, f"unix:{path}", reactor=reactor)
        service.startService()
        (url,) = await service.started
        assert path in url
        factory = ClientFactory.forProtocol(lambda: TwistedPeer(kit))
        factory.noisy = False
        peer = await UNIXClientEndpoint(reactor, path).connect(factory)
        peer.send(get("/a"), request("/b"))
        assert (await read_answer(peer)).body == b"GET /a "
        assert (await peer.read_head()).startswith("HTTP/1.1 101 ")
        await chat(kit, peer)
        assert kit.server.all("ends") == [(None, (path, None))] * 2
        peer.send_close(1000)
        await peer.read_close()
        await service.stopService()
