"""The proxy between real sockets: what it passes on, and what it does not wait for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme

from autobahnlike.awsproxy import Authority, Proxy, ProxyOptions, parse_upstream
from autobahnlike.awsproxy.options import parse_network

HOST = "abc.execute-api.us-west-2.amazonaws.com"
PATIENCE = 60.0
MEGABYTE = 1 << 20

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class World:
    """A proxy, and a server that is both the gateway and all others.

    Attributes:
        port: of the server.
        proxy_port: of the proxy.
        arrived: the connections of the server.
        ca: the certificate of the authority.
    """

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.ca = folder / "ca.pem"
        self.options = ProxyOptions(**options)
        self.authority = Authority(self.ca, folder / "ca.key", ["amazonaws.com", "amazonaws.com.cn"])
        self.arrived: asyncio.Queue[Ends] = asyncio.Queue()
        self.port = self.proxy_port = 0
        self._ends: list[asyncio.StreamWriter] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        server = await asyncio.start_server(self._arrive, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        sock = socket.create_server(("127.0.0.1", 0))
        self.proxy_port = sock.getsockname()[1]
        proxy = Proxy(parse_upstream(f"http://127.0.0.1:{self.port}"), self.authority, self.options)
        try:
            async with proxy.serving([sock]):
                yield self
        finally:
            server.close()
            for writer in self._ends:
                if not writer.is_closing():
                    writer.transport.abort()
            # What is aborted ends in the next round of the loop.
            await asyncio.sleep(0)

    async def _arrive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.append(writer)
        self.arrived.put_nowait((reader, writer))

    async def connect(self, address: str | None = None) -> Ends:
        local = None if address is None else (address, 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy_port, local_addr=local)
        self._ends.append(writer)
        return reader, writer

    async def ask(self, text: str, address: str | None = None) -> tuple[int, str]:
        """Send a request that is refused; returns the status, and the body."""
        reader, writer = await self.connect(address)
        writer.write(text.encode())
        answer = (await reader.read()).decode()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]), body

    async def tunnel(self, target: str, early: bytes = b"") -> Ends:
        """Have the proxy connect."""
        reader, writer = await self.connect()
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode() + early)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
        return reader, writer

    async def secure(self, cafile: Path | None = None) -> Ends:
        """Speak TLS with the proxy, as a worker does."""
        reader, writer = await self.tunnel(f"{HOST}:443")
        context = ssl.create_default_context(cafile=str(cafile or self.ca))
        await writer.start_tls(context, server_hostname=HOST)
        return reader, writer

    async def through(self) -> tuple[Ends, Ends]:
        """Connect to the server itself, as to any host; returns both ends."""
        near = await self.tunnel(f"127.0.0.1:{self.port}")
        return near, await self.arrived.get()


def run(folder: Path, scenario: Callable[[World], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run a scenario."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), World(folder, options).running() as world:
            await scenario(world)

    asyncio.run(main())


def connect_to(target: str) -> str:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"


def test_other_hosts_are_connected_to(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        near_reader, near = await world.tunnel(f"127.0.0.1:{world.port}", b"early, ")
        far_reader, far = await world.arrived.get()
        near.write(b"late")
        assert await far_reader.readexactly(11) == b"early, late"
        # One half ends, the other goes on.
        near.write_eof()
        assert await far_reader.read() == b""
        far.write(b"an answer")
        far.close()
        assert await near_reader.read() == b"an answer"

    run(tmp_path, scenario)


def test_the_gateway_sees_every_byte_as_it_is(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        near_reader, near = await world.secure()
        far_reader, far = await world.arrived.get()
        sent = b"POST /api/@connections/x%3D HTTP/1.1\r\nhOST: abc\r\n\r\n" + bytes(range(256)) * 20_000
        near.write(sent)
        assert await far_reader.readexactly(len(sent)) == sent
        far.write(sent)
        far.close()
        # Its end is one of TLS: nobody has cut anything off.
        assert await near_reader.read() == sent

    run(tmp_path, scenario)


def test_a_worker_that_ends_ends_the_connection_to_the_gateway(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        _, near = await world.secure()
        far_reader, _ = await world.arrived.get()
        near.write(b"the last")
        near.close()
        assert await far_reader.read() == b"the last"

    run(tmp_path, scenario)


async def stalled(count: Callable[[], int]) -> int:
    """Wait until a number does not grow any more; a machine that is slow makes it a smaller one."""
    before = -1
    while (now := count()) != before:
        before = now
        await asyncio.sleep(0.3)
    return now


@pytest.mark.parametrize("direction", ["there", "back"])
@pytest.mark.parametrize("is_secure", [False, True])
def test_nobody_is_sent_more_than_he_takes(direction: str, is_secure: bool, tmp_path: Path) -> None:
    total = 64 * MEGABYTE

    async def scenario(world: World) -> None:
        if is_secure:
            near, far = await world.secure(), await world.arrived.get()
        else:
            near, far = await world.through()
        (_, writer), (reader, _) = (near, far) if direction == "there" else (far, near)
        written = 0

        async def send() -> None:
            nonlocal written
            for _ in range(total // 65536):
                writer.write(b"x" * 65536)
                await writer.drain()
                written += 65536

        sending = asyncio.create_task(send())
        # The buffers of the system, four times, and ours.
        assert await stalled(lambda: written) < 40 * MEGABYTE
        received = 0
        while received < total:
            received += len(await reader.read(MEGABYTE))
        await sending

    run(tmp_path, scenario)


def test_what_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        closed = sock.getsockname()[1]

    async def scenario(world: World) -> None:
        status, body = await world.ask("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
        assert (status, "HTTPS_PROXY" in body) == (405, True)
        # Also if it still sends.
        status, _ = await world.ask(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n{'x' * 500_000}")
        assert status == 405
        assert (await world.ask(connect_to("nonsense")))[0] == 400
        assert (await world.ask(f"CONNECT x:443 HTTP/1.1\r\nHost: x\r\nX: {'x' * 20_000}"))[0] == 431
        status, body = await world.ask(connect_to(f"127.0.0.1:{closed}"))
        assert (status, body) == (502, f"127.0.0.1:{closed} cannot be reached: Connection refused\n")
        assert (await world.ask(connect_to(f"{'a' * 64}.example:443")))[0] == 502
        hello = connect_to(f"{HOST}:443") + "\x16\x03\x01"
        assert await world.ask(hello) == (400, "TLS began before the answer to CONNECT\n")
        assert world.arrived.empty()

    run(tmp_path, scenario)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 7


def test_other_hosts_are_refused_if_asked_for(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for target in (f"127.0.0.1:{world.port}", "dynamodb.us-west-2.amazonaws.com:443", f"{HOST}:8443"):
            status, body = await world.ask(connect_to(target))
            assert (status, body.startswith(f"{target} is none of ")) == (403, True)
        await world.secure()

    run(tmp_path, scenario, only_hosts=True)


def test_a_gateway_that_is_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        closed = sock.getsockname()[1]

    async def scenario(world: World) -> None:
        proxy = Proxy(parse_upstream(f"http://127.0.0.1:{closed}"), world.authority)
        sock = socket.create_server(("127.0.0.1", 0))
        world.proxy_port = sock.getsockname()[1]
        async with proxy.serving([sock]):
            assert await world.ask(connect_to(f"{HOST}:443")) == (
                502,
                f"the gateway at http://127.0.0.1:{closed} cannot be reached: Connection refused\n",
            )

    run(tmp_path, scenario)


def test_a_gateway_on_a_unix_socket(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        path = tmp_path / "gateway.sock"
        server = await asyncio.start_unix_server(world._arrive, path)
        proxy = Proxy(parse_upstream(f"unix:{path}"), world.authority)
        sock = socket.create_server(("127.0.0.1", 0))
        world.proxy_port = sock.getsockname()[1]
        async with proxy.serving([sock]):
            _, near = await world.secure()
            far_reader, _ = await world.arrived.get()
            near.write(b"hello")
            assert await far_reader.readexactly(5) == b"hello"
        server.close()

    run(tmp_path, scenario)


def test_a_gateway_that_speaks_tls_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "gateway.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def scenario(world: World) -> None:
        server = await asyncio.start_server(world._arrive, "127.0.0.1", 0, ssl=context)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        for is_trusted in (False, True):
            if is_trusted:
                monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gateway.pem"))
            proxy = Proxy(parse_upstream(url), world.authority)
            sock = socket.create_server(("127.0.0.1", 0))
            world.proxy_port = sock.getsockname()[1]
            async with proxy.serving([sock]):
                if not is_trusted:
                    status, body = await world.ask(connect_to(f"{HOST}:443"))
                    assert (status, "the server's certificate is not valid" in body) == (502, True)
                    continue
                _, near = await world.secure()
                far_reader, _ = await world.arrived.get()
                near.write(b"hello")
                assert await far_reader.readexactly(5) == b"hello"
        server.close()

    run(tmp_path, scenario)


def test_a_worker_that_does_not_trust_the_proxy_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Authority(other / "ca.pem", other / "ca.key", ["amazonaws.com"])

    async def scenario(world: World) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            await world.secure(other / "ca.pem")
        # The gateway sees an end, and no request.
        far_reader, _ = await world.arrived.get()
        assert await far_reader.read() == b""

    run(tmp_path, scenario)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "the TLS handshake failed: " in warning
    assert "AWS_CA_BUNDLE" in warning


# -- Deadlines, and numbers


def test_a_client_that_asks_for_nothing(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        assert await world.ask("CONNECT ") == (408, "no request within 0.05 s\n")

    run(tmp_path, scenario, head_timeout=0.05)


def test_a_client_that_goes_without_asking_is_no_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        reader, writer = await world.connect()
        writer.write_eof()
        assert await reader.read() == b""

    run(tmp_path, scenario)
    assert [record for record in caplog.records if record.name == "autobahnlike.awsproxy"] == []


def test_a_handshake_that_does_not_come(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        reader, _ = await world.tunnel(f"{HOST}:443")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        far_reader, _ = await world.arrived.get()
        assert await far_reader.read() == b""

    run(tmp_path, scenario, handshake_timeout=0.05)
    assert "the TLS handshake failed" in caplog.text


def test_what_is_no_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        reader, writer = await world.tunnel(f"{HOST}:443")
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        far_reader, _ = await world.arrived.get()
        assert await far_reader.read() == b""

    run(tmp_path, scenario)
    assert "the TLS handshake failed" in caplog.text


@pytest.mark.parametrize("is_secure", [False, True])
def test_a_connection_on_which_nothing_happens(
    is_secure: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario(world: World) -> None:
        near, far = (await world.secure(), await world.arrived.get()) if is_secure else await world.through()
        for reader, _ in (near, far):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        # It says so when both ends are closed.
        while "given up after 0.2 s without a byte" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0)

    run(tmp_path, scenario, idle_timeout=0.2)


def test_the_number_of_connections_is_bounded(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        (_, near), (far_reader, far) = await world.through()
        for _ in range(3):
            reader, _ = await world.connect()
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 503 there are 1 connections, which is the limit\r\n")
        near.close()
        assert await far_reader.read() == b""
        far.close()
        # It is over when the proxy has seen both ends.
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, AssertionError):
                await world.secure()
                return

    run(tmp_path, scenario, max_connections=1)


def test_an_end_of_the_proxy_ends_its_connections(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        proxy = Proxy(parse_upstream(f"http://127.0.0.1:{world.port}"), world.authority)
        sock = socket.create_server(("127.0.0.1", 0))
        world.proxy_port = sock.getsockname()[1]
        async with proxy.serving([sock]):
            ends = [*await world.through(), await world.secure(), await world.arrived.get(), await world.connect()]
        for reader, _ in ends:
            with contextlib.suppress(OSError):
                assert await reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await world.connect()

    run(tmp_path, scenario)


def test_clients_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For want of another machine, all but one of the addresses of this one stand for others."""

    def is_loopback(host: str) -> bool:
        return host == "127.0.0.1"

    monkeypatch.setattr("autobahnlike.awsproxy.proxy.is_loopback", is_loopback)
    monkeypatch.setattr("autobahnlike.awsproxy.options.is_loopback", is_loopback)

    async def scenario(world: World) -> None:
        asked = connect_to(f"127.0.0.1:{world.port}")
        status, body = await world.ask(asked, "127.0.0.3")
        assert (status, "--allow" in body) == (403, True)
        # What listens for this machine alone is not for others, whoever they are.
        status, body = await world.ask(asked, "127.0.0.2")
        assert (status, body) == (403, f"127.0.0.1:{world.port} is the machine of the proxy\n")
        far_reader, _ = await world.arrived.get()
        with contextlib.suppress(ConnectionResetError):
            assert await far_reader.read() == b""
        await world.through()

    run(tmp_path, scenario, allowed=(parse_network("127.0.0.2"),))
