"""What carries the bytes: TCP, Unix sockets and TLS; the loops' own ways to listen and connect, and ours."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from autobahnlike.exception import InvalidArgument
from tests.conformance.certificates import authority, certificate, trusted_by_the_platform, untrusted
from tests.conformance.kit import Kit, request
from tests.conformance.registry import TWISTED, scenario
from tests.wire.helpers import CLOSE, TEXT, frame

MIB = 1024 * 1024


def echo_class(kit: Kit) -> Any:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onConnect(self, request: Any) -> None:
            self.note("connect", request.peer, self.transport_details.is_secure, self.transport_details.own)

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.sendMessage(payload, isBinary)

    return Server


async def echo_and_close(kit: Kit, protocol: Any, size: int = 1000) -> None:
    """A message each way, and the closing handshake."""
    await kit.within(protocol.is_open, "an open connection")
    protocol.sendMessage(b"x" * size, isBinary=True)
    assert await kit.client.wait("message") == (b"x" * size, True)
    protocol.sendClose(1000, "done")
    assert await kit.server.wait("close") == (True, 1000, "done")
    assert await kit.client.wait("close") == (True, 1000, None)


@scenario()
async def tcp(kit: Kit) -> None:
    where = await kit.listen(kit.server_factory(echo_class(kit)))
    protocol = await kit.connect(kit.client_factory(), where)
    await echo_and_close(kit, protocol)
    ((peer, is_secure, own),) = kit.server.all("connect")
    assert peer.startswith("tcp4:127.0.0.1:")
    assert not is_secure
    assert own == protocol.peer == f"tcp4:127.0.0.1:{where.port}"


@scenario()
async def ipv6(kit: Kit) -> None:
    where = await kit.listen(kit.server_factory(echo_class(kit)), host="::1")
    protocol = await kit.connect(kit.client_factory(url="ws://[::1]:80/"), where)
    await echo_and_close(kit, protocol)
    assert protocol.peer == f"tcp6:::1:{where.port}"
    assert kit.server.all("connect")[0][0].startswith("tcp6:::1:")


@scenario()
async def unix_sockets(kit: Kit) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "socket")
        where = await kit.listen(kit.server_factory(echo_class(kit)), unix=path)
        protocol = await kit.connect(kit.client_factory(), where)
        await echo_and_close(kit, protocol)
        await where.stop()
        assert protocol.peer == f"unix:{path}"
        assert kit.server.all("connect")[0] == ("unix", False, f"unix:{path}")


@scenario()
async def listen_ws_and_connect_ws_on_a_unix_socket(kit: Kit) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"ws://unix:{Path(folder) / 'socket'}"
        where = await kit.listen_ws(kit.server_factory(None, url))
        assert await kit.connect_ws(kit.client_factory(url=url)) is None
        await where.stop()
        assert kit.server.names == ["connect", "open"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@scenario()
async def listen_ws_and_connect_ws(kit: Kit) -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    # The factories are made with arguments, and used as often as one likes.
    factory = kit.client_factory(url=f"{url}/path?query=1")
    nobody_there = await kit.connect_ws(factory)
    assert nobody_there is not None
    await kit.listen_ws(kit.server_factory(None, url), interface="127.0.0.1", backlog=10)
    assert await kit.connect_ws(factory) is None
    ((request,),) = kit.server.all("connect")
    assert (request.host, request.path, request.params) == ("127.0.0.1", "/path", {"query": ["1"]})


@scenario()
async def what_connect_ws_and_listen_ws_cannot_do_is_refused(kit: Kit) -> None:
    factory = kit.client_factory()
    factory.proxy = {"host": "localhost", "port": 8080}
    for attempt in (kit.connect_ws(factory), kit.listen_ws(kit.server_factory(None, "wss://localhost:9"))):
        with pytest.raises(InvalidArgument):
            await attempt


@scenario()
async def tcp_no_delay_is_set_on_both_ends_unless_it_is_switched_off(kit: Kit) -> None:
    def no_delay(protocol: Any) -> bool:
        transport = protocol.transport
        if hasattr(transport, "getTcpNoDelay"):
            return bool(transport.getTcpNoDelay())
        return bool(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    class Server(kit.Server):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.note("no delay", no_delay(self))

    for value in (True, False):
        protocol = await kit.pair(Server, tcpNoDelay=value)
        assert no_delay(protocol) is value
        assert kit.server.all("no delay")[-1] == (value,)


@scenario()
async def tls_carries_a_mebibyte_each_way_and_closes_cleanly(kit: Kit) -> None:
    factory = kit.server_factory(echo_class(kit), maxMessagePayloadSize=4 * MIB)
    where = await kit.listen(factory, tls=kit.server_tls(certificate("localhost")))
    client = kit.client_factory(url="wss://localhost/", perMessageCompressionOffers=[])
    protocol = await kit.connect(client, where, tls=kit.client_tls(authority(), "localhost"))
    await echo_and_close(kit, protocol, size=MIB)
    assert kit.server.all("connect")[0][1] is True
    assert protocol.transport_details.is_secure


@scenario()
async def tls_to_a_client_that_reads_late_loses_nothing(kit: Kit) -> None:
    class Server(kit.Server):  # type: ignore[misc, name-defined]
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            for number in range(100):
                self.sendMessage(number.to_bytes(1, "big") * MIB, True)
                await self.drained()
            self.note("sent all")
            self.sendClose(1000)

    where = await kit.listen(kit.server_factory(Server), tls=kit.server_tls(certificate("localhost")))
    peer = await kit.open_raw(where, tls=kit.client_tls(authority(), "localhost"))
    peer.send(request())
    await peer.read_head()
    peer.pause()
    peer.send_frame(TEXT, b"go!")
    await kit.sleep(0.3)
    assert "sent all" not in kit.server.names
    peer.resume()
    for number in range(100):
        payload = (await peer.read_frame()).payload
        assert payload == number.to_bytes(1, "big") * MIB
    assert (await peer.read_frame()).opcode == CLOSE
    peer.send_close(1000)
    assert await kit.server.wait("close") == (True, 1000, None)


@scenario()
async def tls_connections_can_be_dropped(kit: Kit) -> None:
    where = await kit.listen(kit.server_factory(), tls=kit.server_tls(certificate("localhost")))
    for abort in (True, False):
        kit.client.events.clear()
        kit.server.events.clear()
        client = kit.client_factory(url="wss://localhost/")
        protocol = await kit.connect(client, where, tls=kit.client_tls(authority(), "localhost"))
        await kit.within(protocol.is_open, "an open connection")
        protocol.dropConnection(abort=abort)
        assert (await kit.client.wait("close"))[:2] == (False, 1006)
        assert (await kit.server.wait("close"))[:2] == (False, 1006)


@scenario()
async def connect_ws_verifies_the_server_by_the_trust_roots_of_the_platform(kit: Kit) -> None:
    with trusted_by_the_platform(authority()):
        url = f"wss://localhost:{free_port()}"
        await kit.listen_ws(kit.server_factory(None, url), kit.server_tls(certificate("localhost")))
        assert await kit.connect_ws(kit.client_factory(url=url)) is None
        assert kit.client.names == ["connecting", "connect", "open"]


async def refused(kit: Kit, presented: Any, *words: str) -> None:
    """Our client does not accept a certificate, says why, and its application is never told of an open connection."""
    with trusted_by_the_platform(authority()):
        url = f"wss://localhost:{free_port()}"
        await kit.listen_ws(kit.server_factory(None, url), kit.server_tls(presented))
        why = await kit.connect_ws(kit.client_factory(url=url))
    assert why is not None, "it was accepted"
    assert any(word in why for word in words), why
    assert "open" not in kit.client.names
    assert "connect" not in kit.server.names, "not even the request was sent"
    # A server whose peer gives up during the TLS handshake may say so.
    kit.take_errors()


@scenario()
async def a_client_does_not_talk_to_a_server_whose_authority_is_unknown(kit: Kit) -> None:
    await refused(kit, untrusted(), "certificate verify failed")


@scenario()
async def a_client_does_not_talk_to_a_server_of_another_name(kit: Kit) -> None:
    await refused(kit, certificate("other.example"), "Hostname mismatch", "other.example", "DNSMismatch")


@scenario()
async def garbage_instead_of_tls_does_no_harm(kit: Kit) -> None:
    where = await kit.listen(kit.server_factory(), tls=kit.server_tls(certificate("localhost")))
    peer = await kit.open_raw(where)
    peer.send(b"GET / HTTP/1.1\r\n\r\n")
    await peer.read_rest()
    client = kit.client_factory(url="wss://localhost/")
    protocol = await kit.connect(client, where, tls=kit.client_tls(authority(), "localhost"))
    await kit.within(protocol.is_open, "an open connection")
    # asyncio logs that there was no TLS handshake.
    kit.take_errors()


@scenario(*TWISTED)
async def endpoints_of_twisted(kit: Kit) -> None:
    from twisted.internet.endpoints import clientFromString, serverFromString

    from tests.conformance.kit_twisted import reactor

    with tempfile.TemporaryDirectory() as folder, trusted_by_the_platform(authority()):
        pem, path = Path(folder) / "server.pem", Path(folder) / "socket"
        certificate("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
        for server, client in (
            ("tcp:0:interface=127.0.0.1", "tcp:127.0.0.1:{port}"),
            (f"unix:{path}", f"unix:{path}"),
            (
                f"ssl:0:interface=127.0.0.1:privateKey={pem}",
                f"tls:localhost:{{port}}:trustRoots={folder}",
            ),
        ):
            kit.client.events.clear()
            kit.server.events.clear()
            authority().cert_pem.write_to_path(Path(folder) / "authority.pem")
            port = await serverFromString(reactor, server).listen(kit.server_factory(echo_class(kit)))
            number = getattr(port.getHost(), "port", None)
            endpoint = clientFromString(reactor, client.format(port=number))
            protocol = await endpoint.connect(kit.client_factory())
            await echo_and_close(kit, protocol)
            await port.stopListening()


@scenario(*TWISTED)
async def a_client_service_of_twisted_connects_again(kit: Kit) -> None:
    from twisted.application.internet import ClientService

    class Client(kit.Client):  # type: ignore[misc, name-defined]
        def onOpen(self) -> None:
            self.note("open")
            self.sendClose(1000)

    where = await kit.serve()
    service = ClientService(kit._endpoint(where, None), kit.client_factory(Client), retryPolicy=lambda _: 0)  # type: ignore[attr-defined]
    service.startService()
    await kit.client.wait("open", 3)
    await service.stopService()


@scenario()
async def a_transport_that_brings_everything_in_single_bytes(kit: Kit) -> None:
    peer = await kit.open_raw(await kit.serve(echo_class(kit)))
    for octet in request() + frame(TEXT, b"hello", mask=b"abcd"):
        peer.send(bytes([octet]))
        await kit.turns(2)
    await peer.read_head()
    assert (await peer.read_frame()).payload == b"hello"
