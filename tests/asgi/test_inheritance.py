"""What a worker does to the sockets that it shares with its parent and with the other workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.cli.process import DEADLINE, ROOT

# The socket is duplicated, as a loop does that closes what it is given.
CODE = """
import sys
from autobahnlike.asgi.children import Inheritance

inheritance = Inheritance(sys.argv[1], 1.0)
for sock in (*inheritance.sockets, *inheritance.own_sockets):
    sock.dup()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("colons", [":", "::"])
def test_listening_sockets_stay_without_blocking(colons: str) -> None:
    """Of several workers that a connection wakes, one gets it. The others would block in accept() for the next one.

    Whether a socket blocks is one thing for all who share it: a worker that starts must not change it for the others.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as shared, socket.create_server(("127.0.0.1", 0)) as own:
        shared.setblocking(False)
        own.setblocking(False)
        numbers = [sock.fileno() for sock in (theirs, shared, own)]
        with subprocess.Popen(
            [sys.executable, "-c", CODE, f"{numbers[0]},{numbers[1]}{colons}{numbers[2]}"],
            pass_fds=numbers,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            assert not os.get_blocking(shared.fileno())
            assert not os.get_blocking(own.fileno())
            # It waits for its parent, on the other hand.
            assert os.get_blocking(theirs.fileno())
            child.communicate(timeout=DEADLINE)
