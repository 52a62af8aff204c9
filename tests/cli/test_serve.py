"""``serve echo`` on all four loops."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from autobahnlike.cli.page import PAGE
from tests.cli.peers import Client, echo, open_client, visit
from tests.cli.process import DEADLINE, LOOPS, RUN, Process, serving

each_loop = pytest.mark.parametrize("loop", LOOPS)

# What a plain install lacks
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({names}))\n" + RUN


async def talk(client: Client) -> None:
    extensions = client.websocket_extensions_in_use
    assert [extension.EXTENSION_NAME for extension in extensions] == ["permessage-deflate"]
    assert await echo(client, "Grüße".encode(), False) == ("Grüße".encode(), False)
    assert await echo(client, b"\x00\xff" * 50000, True) == (b"\x00\xff" * 50000, True)


@each_loop
def test_messages_come_back_as_they_were_sent(loop: str) -> None:
    with serving(loop) as (process, url):
        assert process.out.expect(r"(.*)\n")[1] == f"Listening on {url} ({loop})"
        assert re.fullmatch(r"ws://127\.0\.0\.1:[1-9][0-9]*/", url)
        asyncio.run(visit(f"{url}some/path?x=%0a", talk))
        peer = process.err.expect(r" (tcp4:127\.0\.0\.1:\d+) connected to /some/path\?x=%0a\n")[1]
        process.err.expect(f" {re.escape(peer)} closed: 1000")


@each_loop
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_it_gracefully(loop: str, number: signal.Signals) -> None:
    async def until_closed(process: Process, url: str) -> Client:
        client = await open_client(url)
        process.popen.send_signal(number)
        await asyncio.wait_for(client.is_closed, DEADLINE)
        return client

    with serving(loop) as (process, url):
        port = urlsplit(url).port
        assert port is not None
        # Somebody who is still in the opening handshake is not waited for.
        with socket.create_connection(("127.0.0.1", port)):
            client = asyncio.run(until_closed(process, url))
            assert (client.wasClean, client.remoteCloseCode) == (True, 1001)
            assert process.status() == 0
        assert "Traceback" not in process.err.all()
        assert process.out.all().count("\n") == 1


@each_loop
def test_a_signal_ends_it_at_once_if_nobody_is_there(loop: str) -> None:
    with serving(loop) as (process, _):
        process.popen.send_signal(signal.SIGINT)
        assert process.status() == 0
        assert process.err.all() == ""


@each_loop
def test_a_second_signal_ends_it_without_waiting(loop: str) -> None:
    with serving(loop) as (process, url):
        address = ("127.0.0.1", urlsplit(url).port or 0)
        with socket.create_connection(address) as silent, silent.makefile("rb") as received:
            silent.sendall(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            while received.readline() != b"\r\n":
                pass
            process.popen.send_signal(signal.SIGTERM)
            # The close frame with 1001: the first signal has done its work.
            assert received.read(4) == b"\x88\x02\x03\xe9"
            process.popen.send_signal(signal.SIGTERM)
            assert process.status() == -signal.SIGTERM


@each_loop
def test_a_browser_sees_the_page(loop: str) -> None:
    with serving(loop) as (process, url):
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=DEADLINE)
        connection.request("GET", "/")
        response = connection.getresponse()
        assert (response.status, response.getheader("Content-Type")) == (200, "text/html; charset=utf-8")
        assert response.read().decode() == PAGE
        connection.close()
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        # Loading the page is not worth a line.
        assert process.err.all() == ""


@each_loop
def test_ipv6(loop: str) -> None:
    with serving(loop, "[::1]:0") as (_, url):
        assert re.fullmatch(r"ws://\[::1\]:[1-9][0-9]*/", url)
        asyncio.run(visit(url, talk))


@each_loop
def test_a_host_name(loop: str) -> None:
    with serving(loop, "localhost:0") as (_, url):
        asyncio.run(visit(url, talk))


@each_loop
def test_a_unix_socket_is_there_while_it_is_served(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "echo"
    with serving(loop, f"unix:{os.path.relpath(path)}") as (process, url):
        assert url == f"ws://unix:{path}"
        asyncio.run(visit(url, talk))
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert not path.exists()
        assert "Traceback" not in process.err.all()


@pytest.mark.parametrize("loop", ["twisted", "twisted-asyncio"])
@pytest.mark.parametrize("listen", ["tcp:0:interface=127.0.0.1", "tcp:port=0:interface=127.0.0.1:backlog=5"])
def test_endpoint_strings_on_twisted(loop: str, listen: str) -> None:
    with serving(loop, listen) as (process, url):
        asyncio.run(visit(url, talk))
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert "Traceback" not in process.err.all()


def test_a_unix_endpoint_with_options(tmp_path: Path) -> None:
    path = tmp_path / "echo"
    with serving("twisted", f"unix:{path}:mode=600") as (_, url):
        assert path.stat().st_mode & 0o777 == 0o600
        asyncio.run(visit(url, talk))


def test_asyncio_needs_neither_twisted_nor_uvloop() -> None:
    with serving("asyncio", code=WITHOUT.format(names=["twisted", "uvloop"])) as (_, url):
        asyncio.run(visit(url, talk))


def test_the_reactor_of_asyncio_needs_no_uvloop() -> None:
    with serving("twisted-asyncio", code=WITHOUT.format(names=["uvloop"])) as (_, url):
        asyncio.run(visit(url, talk))
