"""``connect``: with a pipe, a file, nothing and a terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import trustme

from autobahnlike.asyncio.websocket import WebSocketServerProtocol
from autobahnlike.websocket.types import ConnectionDeny, ConnectionRequest
from autobahnlike.wire.handshake import accept_key
from tests.cli.peers import Echo, server
from tests.cli.process import RUN_ON_TERMINAL, Output, Process, serving


def talk(url: str, data: bytes, *arguments: str) -> tuple[int, str, str]:
    """Pipe data through ``connect``; return the exit status and what it printed."""
    with Process("connect", url, *arguments, stdin=subprocess.PIPE) as process:
        process.write(data)
        process.close_stdin()
        return process.status(), process.out.all(), process.err.all()


def write_without_end(process: Process, chunk: bytes = b"x" * 1_000_000) -> None:
    while True:
        process.write(chunk)


class TestPipe:
    @pytest.mark.parametrize("loop", ["asyncio", "twisted"])
    def test_what_is_sent_comes_back_before_it_ends(self, loop: str) -> None:
        with serving(loop) as (_, url):
            assert talk(url, b"hello\n") == (0, "hello\n", "")

    def test_each_line_is_a_message_also_an_empty_one_and_one_without_an_end(self) -> None:
        with server(Counting) as url:
            assert talk(url, b"one\r\n\ntwo\nthree") == (0, "1: one\n2: \n3: two\n4: three\n", "")

    def test_more_than_anybody_buffers(self) -> None:
        lines = [f"{number:08} " + "x" * 991 for number in range(5000)]
        text = "\n".join(lines) + "\n"
        with server() as url, Process("connect", url, stdin=subprocess.PIPE) as process:
            process.write(text.encode())
            process.close_stdin()
            assert process.status() == 0
            assert process.out.all() == text

    def test_messages_are_shown_while_the_pipe_is_open(self) -> None:
        with server() as url, Process("connect", url, stdin=subprocess.PIPE) as process:
            process.write(b"now\n")
            process.out.expect("^now\n")
            process.write(b"and ")
            process.write(b"then\n")
            process.out.expect("^now\nand then\n")
            process.popen.send_signal(signal.SIGTERM)
            assert process.status() == 0
            assert process.err.all() == ""

    def test_nothing_to_send(self) -> None:
        with server() as url, Process("connect", url) as process:
            assert (process.status(), process.out.all(), process.err.all()) == (0, "", "")

    def test_no_standard_input_at_all(self) -> None:
        code = "import os, sys; os.close(0); sys.stdin = None\nfrom autobahnlike.cli import main; main()"
        with server() as url, Process("connect", url, code=code) as process:
            assert (process.status(), process.out.all(), process.err.all()) == (0, "", "")

    def test_no_standard_output_at_all(self) -> None:
        code = "import os, sys; os.close(1); sys.stdout = None\nfrom autobahnlike.cli import main; main()"
        with server() as url, Process("connect", url, code=code, stdin=subprocess.PIPE) as process:
            process.write(b"hello\n")
            process.close_stdin()
            assert (process.status(), process.err.all()) == (0, "")

    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "lines"
        path.write_text("a\nb\n")
        with server() as url, path.open() as lines, Process("connect", url, stdin=lines) as process:
            assert (process.status(), process.out.all(), process.err.all()) == (0, "a\nb\n", "")

    def test_text_is_passed_on_as_it_is(self) -> None:
        with server() as url:
            assert talk(url, "Grüße \x1b[1m\n".encode()) == (0, "Grüße \x1b[1m\n", "")

    def test_binary_messages_are_described(self) -> None:
        with server(Binary) as url:
            assert talk(url, b"\n") == (0, "(binary, 3 bytes) 00 ff 80\n", "")

    def test_a_line_that_is_not_utf8_is_not_sent(self) -> None:
        with server() as url:
            assert talk(url, b"good\n\xff\n") == (1, "good\n", "autobahnlike: not sent: a line is not UTF-8\n")

    def test_a_line_that_is_too_long_is_not_sent(self) -> None:
        limit = 16 * 1024 * 1024
        with server() as url, Process("connect", url, stdin=subprocess.PIPE) as process:
            with pytest.raises(BrokenPipeError):
                write_without_end(process)
            assert process.status() == 1
            assert process.err.all() == (
                f"autobahnlike: not sent: a line has more than {limit} bytes, which is the limit of a message\n"
            )

    def test_a_reader_that_goes_away(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with server() as url, Process("connect", url, stdin=subprocess.PIPE, stdout=writing) as process:
            os.close(writing)
            process.write(b"hello\n")
            assert process.status() == 1
            assert process.err.all() == "autobahnlike: cannot write what was received: Broken pipe\n"


class Counting(WebSocketServerProtocol):
    count = 0

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.count += 1
        self.sendMessage(f"{self.count}: ".encode() + payload)


class Binary(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(b"\x00\xff\x80", True)


class Closing(WebSocketServerProtocol):
    """Sends and closes, as the message says."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        code, _, reason = payload.decode().partition(" ")
        self.sendMessage(b"goodbye")
        self.sendClose(int(code) if code else None, reason or None)


class TestEnd:
    @pytest.mark.parametrize(
        ("line", "shown"),
        [
            (b"1001 going away", "Closed by the server: 1001 going away\n"),
            (b"4000 \x1b[2J\nnext", "Closed by the server: 4000 \\x1b[2J\n"),
            (b"1000", "Closed by the server: 1000\n"),
            (b"", "Closed by the server: no code\n"),
        ],
    )
    def test_the_server_closes(self, line: bytes, shown: str) -> None:
        with server(Closing) as url, Process("connect", url, stdin=subprocess.PIPE) as process:
            process.write(line + b"\n")
            # Standard input is still open: it is not waited for.
            assert (process.status(), process.out.all(), process.err.all()) == (0, "goodbye\n", shown)

    def test_the_server_closes_while_there_is_more_to_send(self) -> None:
        with server(Closing) as url, Process("connect", url, stdin=subprocess.PIPE) as process:
            with pytest.raises(BrokenPipeError):
                write_without_end(process, b"3000\n" * 100_000)
            assert (process.status(), process.out.all()) == (0, "goodbye\n")
            assert process.err.all() == "Closed by the server: 3000\n"

    def test_the_server_vanishes(self) -> None:
        class Vanishing(WebSocketServerProtocol):
            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                self.dropConnection(abort=True)

        with server(Vanishing) as url, Process("connect", url, stdin=subprocess.PIPE) as process:
            process.write(b"hello\n")
            assert process.status() == 1
            assert re.fullmatch(r"autobahnlike: connection was closed uncleanly \(.+\)\n", process.err.all())

    def test_a_signal_closes_and_a_second_one_does_not_wait(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"ws://127.0.0.1:{listening.getsockname()[1]}/"
            with Process("connect", url, stdin=subprocess.PIPE) as process:
                peer, _ = listening.accept()
                with peer, peer.makefile("rb") as received:
                    peer.sendall(accept_request(received) + b"\x81\x04open")
                    process.out.expect("open")
                    process.popen.send_signal(signal.SIGINT)
                    head, mask, code = received.read(2), received.read(4), received.read(2)
                    assert head == b"\x88\x82"
                    assert bytes(a ^ b for a, b in zip(mask, code, strict=False)) == (1000).to_bytes(2, "big")
                    process.popen.send_signal(signal.SIGINT)
                    assert process.status() == -signal.SIGINT


def accept_request(received: IO[bytes]) -> bytes:
    """Read a request, and return the response that accepts it."""
    key = ""
    while (line := received.readline().decode()) != "\r\n":
        name, _, value = line.partition(": ")
        if name == "Sec-WebSocket-Key":
            key = value.strip()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    ).encode()


class TestOpening:
    def test_a_refusal_is_told(self) -> None:
        class Refusing(WebSocketServerProtocol):
            def onConnect(self, request: ConnectionRequest) -> Any:
                raise ConnectionDeny(403, "Forbidden")

        with server(Refusing) as url:
            status, out, err = talk(url, b"")
        assert (status, out) == (1, "")
        assert re.fullmatch(r"autobahnlike: .*WebSocket connection upgrade failed \[403\]: Forbidden.*\n", err)

    def test_what_the_server_says_cannot_touch_the_terminal(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"ws://127.0.0.1:{listening.getsockname()[1]}/"
            with Process("connect", url) as process:
                peer, _ = listening.accept()
                with peer:
                    peer.sendall(b"HTTP/1.1 403 \xc2\x9b2J\xe2\x80\xae\r\n\r\n")
                    assert process.status() == 1
                    assert process.err.all().rstrip("\n").isprintable()

    def test_a_signal_gives_up_what_is_not_open_yet(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"ws://127.0.0.1:{listening.getsockname()[1]}/"
            with Process("connect", url) as process:
                peer, _ = listening.accept()
                with peer, peer.makefile("rb") as received:
                    accept_request(received)
                    process.popen.send_signal(signal.SIGINT)
                    assert process.status() == 1
                    assert process.err.all() == "autobahnlike: interrupted before the connection was open\n"

    def test_a_signal_gives_up_to_connect(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            # TLS, which begins with what the client says and goes on with what it never hears
            url = f"wss://127.0.0.1:{listening.getsockname()[1]}/"
            with Process("connect", url) as process:
                peer, _ = listening.accept()
                with peer:
                    assert peer.recv(1)
                    process.popen.send_signal(signal.SIGTERM)
                    assert process.status() == 1
                    assert process.err.all() == "autobahnlike: interrupted before the connection was open\n"

    def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            url = f"ws://127.0.0.1:{closed.getsockname()[1]}/"
        assert talk(url, b"") == (1, "", f"autobahnlike: cannot connect to {url}: Connection refused\n")

    def test_no_such_socket(self, tmp_path: Path) -> None:
        url = f"ws://unix:{tmp_path}/none"
        assert talk(url, b"") == (1, "", f"autobahnlike: cannot connect to {url}: No such file or directory\n")

    def test_no_such_host(self) -> None:
        # RFC 6761, section 6.4: "invalid" does not exist.
        status, out, err = talk("ws://host.invalid/", b"")
        assert (status, out) == (1, "")
        assert re.fullmatch(r"autobahnlike: cannot connect to ws://host\.invalid/: [A-Z][\w ]+\n", err)

    def test_subprotocols_and_headers_are_sent(self) -> None:
        class Telling(Echo):
            def onConnect(self, request: ConnectionRequest) -> Any:
                self.told = f"{request.protocols} {request.headers['x-one']} {request.headers['authorization']}"
                return "chat"

            def onOpen(self) -> None:
                self.sendMessage(self.told.encode())

        arguments = ["--subprotocol", "superchat", "--subprotocol", "chat"]
        arguments += ["--header", "X-One: 1", "--header", "X-One:2", "--header", "Authorization: Basic a:b"]
        with server(Telling) as url:
            assert talk(url, b"", *arguments) == (0, "['superchat', 'chat'] 1, 2 Basic a:b\n", "")


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def url(self, authority: trustme.CA) -> Iterator[str]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        with server(tls=context) as url:
            yield url

    def test_the_certificate_is_verified(self, url: str) -> None:
        status, out, err = talk(url, b"secret\n")
        assert (status, out) == (1, "")
        assert re.fullmatch(
            f"autobahnlike: cannot connect to {re.escape(url)}: the server's certificate is not valid: .+\n", err
        )

    def test_a_certificate_of_a_trusted_authority_is_valid(
        self, url: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        roots = tmp_path / "roots.pem"
        authority.cert_pem.write_to_path(str(roots))
        monkeypatch.setenv("SSL_CERT_FILE", str(roots))
        assert talk(url, b"secret\n") == (0, "secret\n", "")

    def test_insecure_takes_any(self, url: str) -> None:
        assert talk(url, b"secret\n", "--insecure") == (0, "secret\n", "")

    def test_a_server_without_tls_is_one_line(self) -> None:
        with server() as url:
            status, _, err = talk(url.replace("ws:", "wss:"), b"")
        assert status == 1
        assert re.fullmatch("autobahnlike: cannot connect to .+\n", err)


@contextmanager
def terminal(url: str, *arguments: str) -> Iterator[tuple[Process, int, Output]]:
    """``connect`` on a terminal of its own: the process, where to type, and what is on the screen."""
    keyboard, device = pty.openpty()
    try:
        screen = Output(keyboard)
        with Process(
            "connect",
            url,
            *arguments,
            code=RUN_ON_TERMINAL,
            stdin=device,
            stdout=device,
            stderr=device,
            new_session=True,
        ) as process:
            os.close(device)
            yield process, keyboard, screen
        screen.all()
    finally:
        os.close(keyboard)


class TestTerminal:
    @pytest.mark.parametrize("key", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
    def test_what_is_typed_is_sent_and_the_key_closes_cleanly(self, key: bytes) -> None:
        with server() as url, terminal(url) as (process, keyboard, screen):
            screen.expect(f"Connected to {re.escape(url)}. Each line")
            os.write(keyboard, b"hello\n")
            # What the terminal echoes, and what the server does
            screen.expect("hello\r\nhello\r\n")
            os.write(keyboard, key)
            assert process.status() == 0
            assert "Traceback" not in screen.all()

    def test_ctrl_d_after_text_sends_it_first(self) -> None:
        with server() as url, terminal(url) as (process, keyboard, screen):
            screen.expect("Connected")
            os.write(keyboard, b"hello\x04\x04")
            assert process.status() == 0
            assert "hellohello\r\n" in screen.all()

    def test_the_end_is_shown_although_nothing_is_typed(self) -> None:
        with server(Closing) as url, terminal(url) as (process, keyboard, screen):
            screen.expect("Connected")
            os.write(keyboard, b"3000 enough\n")
            assert process.status() == 0
            assert "Closed by the server: 3000 enough\r\n" in screen.all()

    def test_control_characters_of_the_server_are_escaped(self) -> None:
        class Rude(WebSocketServerProtocol):
            def onOpen(self) -> None:
                self.sendMessage("two\nlines \x1b[2J\x1b]0;title\x07 \u202e \x9b Grüße".encode())

        with server(Rude) as url, terminal(url) as (_, __, screen):
            screen.expect(re.escape("two\r\nlines \\x1b[2J\\x1b]0;title\\x07 \\u202e \\x9b Grüße\r\n"))

    def test_the_subprotocol_is_shown(self) -> None:
        class Choosing(Echo):
            def onConnect(self, request: ConnectionRequest) -> Any:
                return request.protocols[0]

        with server(Choosing) as url, terminal(url, "--subprotocol", "chat") as (_, __, screen):
            screen.expect(r"Connected to \S+, subprotocol chat\. ")

    def test_the_terminal_goes_away(self) -> None:
        # Without a session, so that only the end of its input tells the process.
        keyboard, device = pty.openpty()
        with server() as url, Process("connect", url, stdin=device) as process:
            os.close(device)
            process.err.expect("Connected")
            os.close(keyboard)
            assert process.status() == 0
