"""Every example runs, does what it is there to show, and ends without a traceback."""

from __future__ import annotations

import ast
import itertools
import json
import re
import shutil
import socket
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect, unix_connect
from websockets.typing import Subprotocol

from tests.programs import ROOT, Program, echoes_over_tls, free_port, running

EXAMPLES = ROOT / "examples"
LOOPS = ("asyncio", "twisted")


def source_of(name: str) -> str:
    return (EXAMPLES / name).read_text()


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(loop: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], tuple[Program, str]]:
    """Start the server of an example on the loop; gives it and its URL."""

    def start(example: str) -> tuple[Program, str]:
        port = free_port()
        context = running(source_of(f"{example}/{loop}_server.py"), tmp_path, {9000: port})
        program = context.__enter__()
        request.addfinalizer(lambda: context.__exit__(None, None, None))
        program.wait_until_listening(port)
        return program, f"ws://127.0.0.1:{port}/"

    return start


Serve = Callable[[str], tuple[Program, str]]


def port_of(url: str) -> int:
    return int(url.rstrip("/").rpartition(":")[2])


MESSAGES = ("grüße", "", b"\x00\xff", b"x" * 100_000)


def echoes(connection: ClientConnection) -> None:
    for message in MESSAGES:
        connection.send(message)
        assert connection.recv() == message


def closed_with(connection: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as caught:
        connection.recv(timeout=10)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


def test_echo_server(serve: Serve) -> None:
    program, url = serve("echo")
    with connect(url) as connection:
        echoes(connection)
        connection.close(1000, "enough")
    output = program.interrupt()
    lines = re.findall("connects|open|binary|text|closed: 1000 enough", output)
    assert lines == ["connects", "open", "text", "text", "binary", "binary", "closed: 1000 enough"]


def test_ctrl_c_closes_the_connections(serve: Serve) -> None:
    program, url = serve("echo")
    with connect(url) as connection:
        echoes(connection)
        program.interrupt()
        assert closed_with(connection) == 1001


@pytest.mark.parametrize("client_loop", LOOPS)
def test_echo_client(serve: Serve, client_loop: str, tmp_path: Path) -> None:
    program, url = serve("echo")
    port = port_of(url)
    with running(source_of(f"echo/{client_loop}_client.py"), tmp_path, {9000: port}) as client:
        assert client.finish().splitlines() == [
            f"connected to tcp4:127.0.0.1:{port}",
            "Hello, world",
            "closed: 1000 None",
        ]
    program.interrupt()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """The directory with the three files that ``python -m trustme`` makes."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(tmp_path / "server.key"))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(tmp_path / "server.pem"), append=True)
    authority.cert_pem.write_to_path(str(tmp_path / "client.pem"))
    return tmp_path


@pytest.mark.parametrize("client_loop", LOOPS)
def test_tls(certificate: Path, serve: Serve, client_loop: str) -> None:
    program, url = serve("tls")
    secure = url.replace("ws://127.0.0.1", "wss://localhost")
    context = ssl.create_default_context(cafile=str(certificate / "client.pem"))
    assert echoes_over_tls(secure, context, *MESSAGES) == list(MESSAGES)
    port = port_of(url)
    with running(source_of(f"tls/{client_loop}_client.py"), certificate, {9000: port}) as client:
        assert client.finish() == "Hello, world\n"
    program.interrupt()


@pytest.mark.parametrize("client_loop", LOOPS)
def test_unix_socket(loop: str, client_loop: str, tmp_path: Path) -> None:
    with running(source_of(f"unix_socket/{loop}_server.py"), tmp_path) as program:
        program.wait_until_listening(tmp_path / "echo.sock")
        with unix_connect(str(tmp_path / "echo.sock")) as connection:
            echoes(connection)
        with running(source_of(f"unix_socket/{client_loop}_client.py"), tmp_path) as client:
            assert client.finish() == "Hello, world\n"
        program.interrupt()


def test_broadcast(serve: Serve) -> None:
    program, url = serve("broadcast")
    # One that has negotiated compression and one that has not, for which the message is prepared.
    with (
        connect(url) as speaker,
        connect(url, compression=None) as plain,
        connect(url, max_queue=1, close_timeout=0.1) as slow,
    ):
        for connection in (plain, slow, speaker):
            connection.ping().wait(10)
        payload = b"x" * (256 * 1024)
        for _ in range(64):
            speaker.send(payload)
            assert speaker.recv() == payload
            assert plain.recv() == payload
        assert slow.recv() == payload
    program.interrupt()


def test_subprotocols(serve: Serve) -> None:
    program, url = serve("subprotocols")
    both = [Subprotocol("numbers.text"), Subprotocol("numbers.json")]
    with connect(url, subprotocols=both) as connection:
        assert connection.subprotocol == "numbers.text"
        connection.send("21")
        assert connection.recv() == "42.0"
        connection.send("many")
        assert closed_with(connection) == 1008
    with connect(url, subprotocols=both[1:]) as connection:
        connection.send(json.dumps({"number": 4}))
        assert json.loads(connection.recv()) == {"number": 8}
    with pytest.raises(InvalidStatus) as refused:
        connect(url)
    assert refused.value.response.status_code == 400
    program.interrupt()


def test_headers(serve: Serve) -> None:
    program, url = serve("headers")
    with connect(url) as connection:
        assert connection.recv() == "visit 1"
        assert connection.response is not None
        headers = connection.response.headers
        assert headers["X-Served-By"] == "autobahnlike"
        assert headers.get_all("Set-Cookie") == ["visits=1; HttpOnly; SameSite=Strict", "theme=plain"]
    with connect(url, additional_headers={"Cookie": "theme=plain; visits=7"}) as connection:
        assert connection.recv() == "visit 8"
    program.interrupt()


def test_keepalive(serve: Serve) -> None:
    program, url = serve("keepalive")
    output = program.process.stdout
    assert output is not None
    with socket.create_connection(("127.0.0.1", port_of(url))) as silent, connect(url) as lively:
        silent.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        lives = f"tcp4:127.0.0.1:{lively.local_address[1]} lives\n"
        gone = f"tcp4:127.0.0.1:{silent.getsockname()[1]} is gone:"
        lines = list(itertools.takewhile(lambda line: line and not line.startswith(gone), output))
        assert lines.count(lives) > 1
        echoes(lively)
    program.interrupt()


def test_async_hooks(serve: Serve) -> None:
    program, url = serve("async_hooks")
    with pytest.raises(InvalidStatus) as refused:
        connect(url)
    assert refused.value.response.status_code == 403
    with connect(f"{url}?token=x") as connection:
        # Each takes a shorter time than the one before it.
        sent = ["a" * length for length in range(10)]
        for message in sent:
            connection.send(message)
        assert [connection.recv() for _ in sent] == [message.upper() for message in sent]
    program.interrupt()


def test_both_loops(tmp_path: Path) -> None:
    ports = {9000: free_port(), 9001: free_port()}
    with running(source_of("both_loops/server.py"), tmp_path, ports) as program:
        for port in ports.values():
            program.wait_until_listening(port)
        twisted, asyncio = (connect(f"ws://127.0.0.1:{port}/") for port in ports.values())
        with twisted as first, asyncio as second:
            echoes(first)
            echoes(second)
            program.interrupt()
            assert closed_with(first) == closed_with(second) == 1001


def chats(port: int) -> None:
    """Two people and a third who comes later, on the chat room of the example."""
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode()
    assert "<h1>Chat room</h1>" in page
    assert "innerHTML" not in page
    url = f"ws://127.0.0.1:{port}/chat"
    said = [{"type": "message", "user": user, "text": f"<b>I am {user}</b>"} for user in ("Ann", "Bob")]
    with connect(url) as ann:
        ann.send(json.dumps(said[0]))
        assert json.loads(ann.recv()) == said[0]
        with connect(url) as bob:
            assert json.loads(bob.recv()) == said[0]
            bob.send(json.dumps(said[1]))
            assert json.loads(bob.recv()) == json.loads(ann.recv()) == said[1]
            with connect(url) as eve:
                assert [json.loads(eve.recv()) for _ in said] == said
            ann.send(json.dumps(said[0]))
            assert json.loads(bob.recv()) == said[0]


@pytest.fixture
def chat_folder(tmp_path: Path) -> Path:
    return shutil.copytree(EXAMPLES / "chat", tmp_path, dirs_exist_ok=True)


def test_chat(chat_folder: Path) -> None:
    port = free_port()
    with running(source_of("chat/app.py"), chat_folder, {8000: port}) as program:
        program.wait_until_listening(port)
        chats(port)
        program.interrupt()


@pytest.mark.parametrize("name", ["asyncio", "uvloop", "twisted", "twisted-asyncio"])
def test_chat_served(chat_folder: Path, name: str) -> None:
    port = free_port()
    source = f"""
from autobahnlike.cli import main
main(["serve", "app:app", "--listen", "127.0.0.1:{port}", "--loop", "{name}"])
"""
    with running(source, chat_folder) as program:
        program.wait_until_listening(port)
        chats(port)
        program.interrupt()


def pairs() -> list[str]:
    return sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/asyncio_*.py"))


def protocol_of(source: str) -> str:
    """The protocol class in an example, as Python reads it."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert len(classes) == 1
    return ast.unparse(classes[0])


@pytest.mark.parametrize("name", pairs())
def test_the_protocol_is_the_same_on_both_loops(name: str) -> None:
    twin = name.replace("asyncio_", "twisted_")
    assert protocol_of(source_of(name)) == protocol_of(source_of(twin))


def test_every_example_is_listed() -> None:
    listed = set(re.findall(r"\(([^)]+\.py)\)", source_of("README.md")))
    assert listed == {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.py")}
