"""Whole programs, each in a process of its own: the examples of the guide, both loops at once, and how they end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conformance.kit import request
from tests.hostile.peers import Peer
from tests.wire.helpers import BINARY, CLOSE, TEXT

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).with_name("programs")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", str(PROGRAMS / f"{program}.py"), *arguments],
        cwd=PROGRAMS, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@contextmanager
def serving(program: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Peer]]:
    """A program that serves on the port that is its first argument, and a connection to it."""
    port = free_port()
    process = start(program, str(port), *arguments)
    try:
        while True:
            assert process.poll() is None, process.communicate()[0]
            try:
                connection = socket.create_connection(("127.0.0.1", port))
            except ConnectionRefusedError:
                continue
            break
        with Peer(connection, client=True) as peer:
            yield process, peer
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read what a program prints, up to a line with this text."""
    assert process.stdout is not None
    output = ""
    while text not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    return output


def interrupt(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C until the program ends.

    Once may not be enough: when a signal arrives just before asyncio's loop goes to sleep, Python notices it only when
    something else wakes the loop.
    """
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


def the_end(process: subprocess.Popen[str]) -> str:
    """Wait until a program has ended as it should; returns what it has printed."""
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output, output
    return output


def prints_in_order(output: str, *lines: str) -> None:
    found = [line.split("[-] ")[-1] for line in output.splitlines()]
    told = [begin for line in found for begin in lines if line.startswith(begin)]
    assert list(dict.fromkeys(told)) == list(lines), output


@pytest.mark.parametrize("loop", ["twisted", "asyncio"])
def test_the_callbacks_example_of_the_guide(loop: str) -> None:
    with serving(f"callbacks_{loop}") as (process, peer):
        peer.send(request())
        assert peer.read_head().status == 101
        for opcode, payload in ((TEXT, b"hello"), (TEXT, b""), (BINARY, bytes(range(256)) * 300)):
            peer.send_frame(opcode, payload)
            got = peer.read_message()
            assert (got.opcode, got.payload) == (opcode, payload)
        peer.send_frame(CLOSE, b"\x03\xe8bye")
        assert peer.read_message().opcode == CLOSE
        peer.read_rest()
        peer.sock.close()
        # Ctrl-C may be noticed before the end of the connection is.
        output = read_until(process, "WebSocket connection closed")
        interrupt(process)
        prints_in_order(
            output + the_end(process),
            "Client connecting: tcp4:127.0.0.1:",
            "WebSocket connection open.",
            "Text message received: hello",
            "Binary message received: 76800 bytes",
            "WebSocket connection closed: bye",
        )


def test_a_reactor_that_stops_says_goodbye_first() -> None:
    with serving("callbacks_twisted") as (process, peer):
        peer.send(request())
        assert peer.read_head().status == 101
        process.send_signal(signal.SIGTERM)
        farewell = peer.read_message()
        assert (farewell.opcode, farewell.payload[:2]) == (CLOSE, (1001).to_bytes(2, "big"))
        peer.send_frame(CLOSE, b"\x03\xe9")
        peer.read_rest()
        peer.sock.close()
        prints_in_order(the_end(process), "WebSocket connection open.", "WebSocket connection closed: None")


def test_a_reactor_that_stops_refuses_and_does_not_wait_for_ever() -> None:
    with serving("callbacks_twisted", "0.2") as (process, peer):
        peer.send(request())
        assert peer.read_head().status == 101
        with Peer(socket.create_connection(peer.sock.getpeername()), client=True) as late:
            process.send_signal(signal.SIGTERM)
            assert peer.read_message().opcode == CLOSE
            late.read_rest()
        peer.read_rest()
        the_end(process)


def test_both_loops_in_one_process() -> None:
    process = start("both_loops")
    assert the_end(process).splitlines() == ["autobahnlike.twisted.websocket", "autobahnlike.asyncio.websocket"]
