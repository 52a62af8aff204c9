"""``autobahnlike demo`` as a process."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.cli.process import LOOPS, RUN, Process

# As if a package were not installed.
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({names!r}))\n" + RUN


@pytest.mark.parametrize("loop", LOOPS)
def test_it_says_where_it_is_and_ends_with_ctrl_c(loop: str) -> None:
    with Process("demo", "--loop", loop) as process:
        url = process.out.expect(r"The chat room is open at (http://127\.0\.0\.1:\d+/)\n.*two windows.*Ctrl-C.*\n")[1]
        with urllib.request.urlopen(url) as page:
            assert b"<h1>Chat room</h1>" in page.read()
        with connect(f"ws{url.removeprefix('http')}chat") as ann:
            ann.send(json.dumps({"type": "hello", "user": "Ann", "key": "0" * 32}))
            assert json.loads(ann.recv())["type"] == "welcome"
            process.popen.send_signal(signal.SIGINT)
            assert process.status() == 0
        assert len(process.out.all().splitlines()) == 2
        assert process.err.all() == ""


def test_it_listens_where_it_is_told_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with Process("demo", "--listen", address) as process:
            assert process.status() == 1
            assert address in process.err.all()
            assert process.out.all() == ""
    with Process("demo", "--listen", address) as process:
        process.out.expect(f"open at http://{address}/\n")


@pytest.mark.parametrize(
    ("names", "missing"),
    [(["pydantic"], "pydantic"), (["whitenoise", "h11", "jinja2"], "h11 and jinja2 and whitenoise")],
)
def test_what_is_not_installed_is_told_in_a_sentence(names: list[str], missing: str) -> None:
    with Process("demo", code=WITHOUT.format(names=names)) as process:
        assert process.status() == 2
        assert process.err.all() == f"autobahnlike: the demo needs {missing}: pip install 'autobahnlike[app]'\n"


def test_messages_are_bounded() -> None:
    with Process("demo") as process:
        url = process.out.expect(r"http(\S+)")[1]
        with connect(f"ws{url}chat") as ann:
            ann.send(json.dumps({"type": "hello", "user": "Ann", "key": "0" * 32}))
            ann.recv()
            # The longest one that the page sends.
            ann.send(json.dumps({"type": "message", "text": "\ud800" * 2000}))
            while json.loads(ann.recv())["type"] != "message":
                pass
            ann.send("x" * 20_000)
            with pytest.raises(ConnectionClosedError, match="1009"):
                ann.recv()
