"""The opening handshake: what the application is told of it, and what it may say."""

from __future__ import annotations

from typing import Any

import pytest

from autobahnlike.exception import InvalidArgument
from autobahnlike.websocket.types import ConnectingRequest, ConnectionAccept, ConnectionDeny
from tests.conformance.kit import Kit, request, response
from tests.conformance.registry import scenario


async def answer_to(kit: Kit, server: Any, headers: str = "", **options: Any) -> str:
    """The head of the response to a request."""
    peer = await kit.open_peer(await kit.serve(server, **options), headers=headers, wait=False)
    return await peer.read_head()


def field(head: str, name: str) -> list[str]:
    """The values of a header field, one for each line."""
    lines = (line.partition(":") for line in head.split("\r\n"))
    return [value.strip() for key, _, value in lines if key.lower() == name.lower()]


@scenario()
async def a_server_is_told_all_of_the_request(kit: Kit) -> None:
    where = await kit.serve()
    peer = await kit.open_raw(where)
    lines = (
        "Cookie: a=1; b=2\r\nX-Twice: one\r\nX-Twice: two\r\nOrigin: http://example.com\r\n"
        "Sec-WebSocket-Protocol: chat, superchat\r\n"
    )
    peer.send(request("/a%20b?x=1&y=2&x=3", lines))
    head = await peer.read_head()
    assert field(head, "Sec-WebSocket-Protocol") == []
    assert field(head, "Sec-WebSocket-Extensions") == []
    assert "autobahnlike" in field(head, "Server")[0]
    ((told,),) = kit.server.all("connect")
    assert type(told.peer) is str
    assert told.peer.startswith("tcp4:127.0.0.1:")
    assert not hasattr(told, "peerstr")
    assert (told.host, told.path, told.version) == ("localhost", "/a%20b", 13)
    assert told.params == {"x": ["1", "3"], "y": ["2"]}
    assert told.origin == "http://example.com"
    assert told.protocols == ["chat", "superchat"]
    assert told.headers["cookie"] == "a=1; b=2"
    assert told.headers["x-twice"].replace(" ", "") == "one,two"
    assert all(name == name.lower() for name in told.headers)


@scenario()
async def a_server_answers_with_a_subprotocol_and_headers_in_every_way(kit: Kit) -> None:
    headers = {"X-Custom": "yes", "Set-Cookie": ["a=1", "b=2"]}
    for result, subprotocol, more in (
        (None, [], False),
        ("chat", ["chat"], False),
        (("chat", headers), ["chat"], True),
        ((None, headers), [], True),
        (ConnectionAccept("chat"), ["chat"], False),
        (ConnectionAccept(None, headers), [], True),
    ):
        for is_async in (False, True):

            class Server(kit.Server):  # type: ignore[misc, name-defined]
                def onConnect(self, request: Any, result: Any = result) -> Any:
                    return result

                def onOpen(self) -> None:
                    self.note("agreed", self.websocket_protocol_in_use)

            class AsyncServer(Server):
                async def onConnect(self, request: Any, result: Any = result) -> Any:
                    await kit.turns()
                    return result

            server = AsyncServer if is_async else Server
            head = await answer_to(kit, server, "Sec-WebSocket-Protocol: other, chat\r\n")
            assert head.startswith("HTTP/1.1 101 ")
            assert field(head, "Sec-WebSocket-Protocol") == subprotocol
            assert field(head, "X-Custom") == (["yes"] if more else [])
            assert field(head, "Set-Cookie") == (["a=1", "b=2"] if more else [])
            assert kit.server.events.pop() == ("agreed", subprotocol[0] if subprotocol else None)


@scenario()
async def what_a_server_must_not_answer_is_500_and_logged(kit: Kit) -> None:
    for result in ("unasked", 5, ("chat", 5), (None, {"X-Bad": "a\r\nSet-Cookie: b"}), (None, {"Upgrade": "h2c"})):

        class Server(kit.Server):  # type: ignore[misc, name-defined]
            def onConnect(self, request: Any, result: Any = result) -> Any:
                return result

        head = await answer_to(kit, Server, "Sec-WebSocket-Protocol: chat\r\n")
        assert head.startswith("HTTP/1.1 500 "), (result, head)
        assert len(kit.take_errors()) == 1, result


@scenario()
async def a_server_refuses_with_connection_deny(kit: Kit) -> None:
    for arguments, status_line in (
        ((403, "because"), "HTTP/1.1 403 because"),
        ((401,), "HTTP/1.1 401 Unauthorized"),
        ((ConnectionDeny.NOT_FOUND,), "HTTP/1.1 404 Not Found"),
    ):
        for is_async in (False, True):
            kit.server.events.clear()

            class Server(kit.Server):  # type: ignore[misc, name-defined]
                def onConnect(self, request: Any, arguments: Any = arguments) -> Any:
                    raise ConnectionDeny(*arguments)

            class AsyncServer(Server):
                async def onConnect(self, request: Any, arguments: Any = arguments) -> Any:
                    await kit.turns()
                    raise ConnectionDeny(*arguments)

            peer = await kit.open_peer(await kit.serve(AsyncServer if is_async else Server), wait=False)
            assert (await peer.read_head()).split("\r\n")[0] == status_line
            await peer.read_rest()
            reason = status_line.split(" ", 2)[2]
            told = (False, 1006, f'connection was closed uncleanly ("{reason}")')
            assert await kit.server.wait("close") == told
            assert kit.server.names == ["close"]


@scenario()
async def a_denial_cannot_be_used_to_inject_headers(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onConnect(self, request: Any) -> Any:
            raise ConnectionDeny(403, "no\r\nSet-Cookie: a=1")

    head = await answer_to(kit, Server)
    assert head.startswith("HTTP/1.1 403 ")
    assert field(head, "Set-Cookie") == []


@scenario()
async def our_client_tells_and_asks_what_it_should(kit: Kit) -> None:
    class Client(kit.Client):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.note("open", self.websocket_protocol_in_use)

    factory = kit.client_factory(Client, "ws://localhost:1234/path?x=%20y")
    factory.setSessionParameters(
        factory.url, "http://example.com", ["chat", "superchat"], "tester/1", {"X-Twice": ["a", "b"], "Cookie": "c=d"}
    )
    where, accepted = await kit.listen_raw()
    protocol = await kit.connect(factory, where)
    peer = await accepted()
    head = await peer.read_head()
    assert head.startswith("GET /path?x=%20y HTTP/1.1\r\n")
    assert field(head, "Host") == ["localhost:1234"]
    assert field(head, "Origin") == ["http://example.com"]
    assert field(head, "User-Agent") == ["tester/1"]
    assert field(head, "X-Twice") == ["a", "b"]
    assert field(head, "Cookie") == ["c=d"]
    assert [line.replace(" ", "") for line in field(head, "Sec-WebSocket-Protocol")] == ["chat,superchat"]
    peer.send(response(head, "Sec-WebSocket-Protocol: superchat\r\nSet-Cookie: e=f\r\n"))
    assert await kit.client.wait("open") == ("superchat",)
    ((told,),) = kit.client.all("connect")
    assert told.peer == protocol.peer == f"tcp4:127.0.0.1:{where.port}"
    assert told.headers["set-cookie"] == "e=f"
    assert (told.version, told.protocol, told.extensions) == (18, "superchat", [])
    assert kit.client.names == ["connecting", "connect", "open"]


@scenario()
async def on_connecting_may_ask_for_something_else(kit: Kit) -> None:
    for is_async in (False, True):

        class Client(kit.Client):  # type: ignore[misc, name-defined]
            def onConnecting(self, transport_details: Any) -> Any:
                self.note(
                    "connecting", transport_details.peer, transport_details.is_secure, transport_details.is_server
                )
                return ConnectingRequest("other.example", 99, "/elsewhere", {"X-My": "own"}, protocols=["mine"])

        class AsyncClient(Client):
            async def onConnecting(self, transport_details: Any) -> Any:
                await kit.turns()
                return Client.onConnecting(self, transport_details)

        protocol, peer = await kit.accept_client(AsyncClient if is_async else Client)
        assert peer.request.startswith("GET /elsewhere HTTP/1.1\r\n")
        assert field(peer.request, "Host") == ["other.example:99"]
        assert field(peer.request, "X-My") == ["own"]
        assert field(peer.request, "Sec-WebSocket-Protocol") == ["mine"]
        assert kit.client.events[0] == ("connecting", protocol.peer, False, False)
        await kit.client.wait("open")
        kit.client.events.clear()


@scenario()
async def a_request_that_cannot_be_sent_ends_the_connection(kit: Kit) -> None:
    class Client(kit.Client):  # type: ignore[misc, name-defined]
        def onConnecting(self, transport_details: Any) -> Any:
            return ConnectingRequest(headers={"X-Bad": "a\r\nb: c"})

    where, accepted = await kit.listen_raw()
    await kit.connect(kit.client_factory(Client), where)
    assert await (await accepted()).read_rest() == b""
    assert (await kit.client.wait("close"))[:2] == (False, 1006)
    assert len(kit.take_errors()) == 1


@scenario()
async def a_client_that_is_refused_says_so(kit: Kit) -> None:
    where, accepted = await kit.listen_raw()
    for answer, reason in (
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "WebSocket connection upgrade failed [403]: Forbidden"),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!",
            "WebSocket connection upgrade failed [404]: Not Found",
        ),
    ):
        kit.client.events.clear()
        await kit.connect(kit.client_factory(), where)
        peer = await accepted()
        peer.send(answer)
        await peer.read_rest()
        told = await kit.client.wait("close")
        assert told == (False, 1006, f'connection was closed uncleanly ("{reason}")')
        assert kit.client.names == ["connecting", "close"]


@scenario()
async def a_client_refuses_what_the_server_must_not_answer(kit: Kit) -> None:
    for headers in ("Sec-WebSocket-Protocol: unasked\r\n", "Sec-WebSocket-Extensions: unasked\r\n"):
        kit.client.events.clear()
        _, peer = await kit.accept_client(headers=headers)
        await peer.read_rest()
        told = await kit.client.wait("close")
        assert told[:2] == (False, 1006)
        assert kit.client.names == ["connecting", "close"]


@scenario()
async def origins(kit: Kit) -> None:
    for allowed, null, origin, status in (
        (["*"], True, "http://anywhere.example", 101),
        (["http://good.example:80"], True, "http://good.example", 101),
        (["http://*.good.example:80"], True, "http://www.good.example", 101),
        (["http://good.example:80"], True, "http://evil.example", 403),
        (["http://good.example:80"], True, None, 101),
        (["http://good.example:80"], True, "null", 101),
        (["http://good.example:80"], False, "null", 403),
    ):
        headers = "" if origin is None else f"Origin: {origin}\r\n"
        head = await answer_to(kit, None, headers, allowedOrigins=allowed, allowNullOrigin=null)
        assert head.startswith(f"HTTP/1.1 {status} "), (allowed, null, origin, head)


@scenario()
async def more_than_max_connections_are_refused_with_503(kit: Kit) -> None:
    factory = kit.server_factory(maxConnections=2)
    where = await kit.listen(factory)
    first = await kit.open_peer(where)
    await kit.open_peer(where)
    assert factory.countConnections == factory.getConnectionCount() == 2
    third = await kit.open_peer(where, wait=False)
    assert (await third.read_rest()).startswith(b"HTTP/1.1 503 ")
    first.send_close(1000)
    await first.read_rest()
    await kit.until(lambda: factory.countConnections == 1, "there is room again")
    await kit.open_peer(where)


@scenario()
async def a_plain_get_shows_a_page_or_says_426(kit: Kit) -> None:
    plain = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for web_status, status in ((True, "200 OK"), (False, "426 ")):
        kit.server.events.clear()
        peer = await kit.open_raw(await kit.serve(webStatus=web_status))
        peer.send(plain)
        answer = (await peer.read_rest()).decode()
        assert answer.startswith(f"HTTP/1.1 {status}")
        assert ("<html" in answer) is web_status
        assert (await kit.server.wait("close"))[:2] == (False, 1006)
        assert kit.server.names == ["close"]


@scenario()
async def a_server_may_show_a_page_of_its_own(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def sendServerStatus(self, redirectUrl: str | None = None, redirectAfter: int = 0) -> None:
            self.sendHtml(f"<p>{self.http_request_uri} {self.http_headers['x-my']} grün</p>")

    peer = await kit.open_raw(await kit.serve(Server))
    peer.send(b"GET /page HTTP/1.1\r\nHost: localhost\r\nX-My: own\r\n\r\n")
    answer = (await peer.read_rest()).decode()
    assert field(answer, "Content-Type") == ["text/html; charset=utf-8"]
    assert answer.endswith("<p>/page own grün</p>")


@scenario()
async def an_opening_handshake_that_takes_too_long_is_given_up(kit: Kit) -> None:
    why = "WebSocket opening handshake timeout (peer did not finish the opening handshake in time)"
    told = (False, 1006, f'connection was closed uncleanly ("{why}")')
    where = await kit.serve(openHandshakeTimeout=0.05)
    for count, sent in enumerate((b"", b"GET / HTTP/1.1\r\n"), 1):
        peer = await kit.open_raw(where)
        peer.send(sent)
        await peer.read_rest()
        assert await kit.server.wait("close", count) == told
    where, accepted = await kit.listen_raw()
    await kit.connect(kit.client_factory(openHandshakeTimeout=0.05), where)
    await accepted()
    assert await kit.client.wait("close") == told


@scenario()
async def on_connect_that_takes_too_long_is_given_up(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onConnect(self, request: Any) -> None:
            await kit.future()

    peer = await kit.open_peer(await kit.serve(Server, openHandshakeTimeout=0.05), wait=False)
    await peer.read_rest()
    told = await kit.server.wait("close")
    assert "opening handshake timeout" in told[2]
    assert kit.server.names == ["close"]


@scenario()
async def options_may_be_set_on_the_instance_the_class_and_the_factory(kit: Kit) -> None:
    class OnClass(kit.Server):  # type: ignore[misc, name-defined]
        maxMessagePayloadSize = 200

    class OnInstance(OnClass):
        def __init__(self) -> None:
            super().__init__()
            self.maxMessagePayloadSize = 300

    for server, on_factory, expected in ((kit.Server, 100, 100), (OnClass, 100, 200), (OnInstance, 100, 300)):

        class Server(server):  # type: ignore[misc, valid-type]
            def onOpen(self) -> None:
                self.note("limit", self.maxMessagePayloadSize)

        factory = kit.server_factory(Server)
        factory.maxMessagePayloadSize = on_factory
        peer = await kit.open_peer(await kit.listen(factory))
        # An option that is changed later is for later connections.
        factory.maxMessagePayloadSize = 1
        peer.send_frame(2, bytes(expected))
        peer.send_frame(2, bytes(expected + 1))
        assert (await peer.read_close())[0] == 1009
        assert kit.server.names[-2:] == ["limit", "message"]
        assert kit.server.events[-2] == ("limit", expected)


@scenario()
async def options_that_may_not_be_are_refused_at_once_and_change_nothing(kit: Kit) -> None:
    factory = kit.server_factory()
    for options in (
        {"autoPingSize": 3},
        {"maxConnections": -1},
        {"openHandshakeTimeout": "5"},
        {"failByDrop": 1},
        {"versions": [7]},
        {"allowedOrigins": "*"},
        {"perMessageCompressionAccept": 5},
    ):
        with pytest.raises(InvalidArgument):
            factory.setProtocolOptions(closeHandshakeTimeout=77, **options)
        assert factory.closeHandshakeTimeout != 77
    with pytest.raises(TypeError):
        factory.setProtocolOptions(no_such_option=1)


@scenario()
async def an_option_on_the_protocol_that_may_not_be_ends_only_its_connection(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        autoPingSize = 3

    peer = await kit.open_raw(await kit.serve(Server))
    await peer.read_rest()
    # Who called connectionMade or connection_made logs what it raised: Twisted as a text.
    errors = kit.take_errors()
    assert any(isinstance(error, InvalidArgument) or "InvalidArgument" in text for text, error in errors), errors


@scenario()
async def permessage_deflate_is_agreed_on_unless_it_is_switched_off(kit: Kit) -> None:
    no_offers: dict[str, Any] = {"perMessageCompressionOffers": []}
    for server_options, client_options, agreed in (
        ({}, {}, True),
        ({"perMessageCompressionAccept": lambda offers: None}, {}, False),
        ({}, no_offers, False),
    ):

        class Server(kit.Server):  # type: ignore[misc, name-defined]
            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                self.note("message", payload, bool(self.websocket_extensions_in_use))
                self.sendMessage(payload, isBinary)

        where = await kit.serve(Server, **server_options)
        kit.client.events.clear()
        client = await kit.connect(kit.client_factory(**client_options), where)
        await kit.within(client.is_open, "an open connection")
        assert bool(client.websocket_extensions_in_use) is agreed
        client.sendMessage(bytes(10000), isBinary=True)
        assert await kit.client.wait("message") == (bytes(10000), True)
        assert (client.trafficStats.outgoingOctetsWireLevel < 1000) is agreed
        assert kit.server.events[-1] == ("message", bytes(10000), agreed)
        client.dropConnection(abort=True)
