"""The tutorial of the gateway: what it shows of conversations is what is said, and its commands do what it says.

That its programmes run, and its other commands, is tested with those of all pages.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

import httpx
import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import ClientConnection, connect

from tests.cli.process import DEADLINE, LOOPS, Process
from tests.guide.check_gateway_tutorial import chats
from tests.guide.peer import Peer
from tests.programs import ROOT, free_port
from tests.test_docs import BLOCKS, Block, application_running

TUTORIAL = ROOT / "docs" / "tutorial-gateway.rst"
EXAMPLE = ROOT / "examples" / "gateway_chat"

OF_TUTORIAL = [block for block in BLOCKS if block.page == TUTORIAL]
CONVERSATIONS = [block for block in OF_TUTORIAL if block.language == "text"]
CURL = [
    (block, line)
    for block in OF_TUTORIAL
    if block.language == "console"
    for line in block.text.splitlines()
    if line.startswith("curl ")
]
(TELL,) = (block for block in OF_TUTORIAL if block.caption == "tell.py")

# What the page shows for any id.
AN_ID = "L0SM9cOFvHcCIhw="

each_loop = pytest.mark.parametrize("loop", ["asyncio", "twisted"])


@contextmanager
def running(block: Block, loop: str, directory: Path) -> Iterator[int]:
    """The application that the page has before a block; gives its port."""
    port = free_port()
    before = [each for each in OF_TUTORIAL if each.caption == "app.py" and each.line < block.line]
    command = ["chalice", "app.py"] if "Chalice(" in before[-1].text else ["serve", "app:app"]
    arguments = [*command, "--loop", loop, "--listen", f"127.0.0.1:{port}"]
    with application_running(block, arguments, directory) as program:
        program.wait_until_listening(port)
        yield port
        program.interrupt()


def opened(port: int) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}/api/", open_timeout=DEADLINE, close_timeout=DEADLINE)


def hear(client: ClientConnection) -> str:
    return str(client.recv(DEADLINE))


def named(client: ClientConnection) -> str:
    """Give a name, and ask for the id."""
    client.send("Ann")
    assert hear(client).startswith("Hello, Ann.")
    client.send("/id")
    return hear(client)


@each_loop
@pytest.mark.parametrize("block", CONVERSATIONS, ids=lambda block: block.id)
def test_conversation(block: Block, loop: str, tmp_path: Path) -> None:
    with running(block, loop, tmp_path) as port, opened(port) as client:
        lines = block.text.splitlines()
        assert {line[:2] for line in lines} == {"> ", "< "}
        for line in lines:
            if line[0] == ">":
                client.send(line[2:])
            else:
                heard = hear(client)
                assert re.fullmatch(r"[\w-]{15}=", heard) if line[2:] == AN_ID else heard == line[2:]


def run_curl(arguments: list[str]) -> str:
    """Run it, or do the same where it is not installed; returns what it prints."""
    if shutil.which("curl") is not None:
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--noproxy", "*", *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout
    *options, url = arguments
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given.keys() <= {"-d", "-X"}, "say here what it does"
    method = given.get("-X", "POST" if "-d" in given else "GET")
    return httpx.request(method, url, content=given.get("-d"), timeout=DEADLINE, trust_env=False).text


@each_loop
@pytest.mark.parametrize(("block", "line"), CURL, ids=[line for _, line in CURL])
def test_curl(block: Block, line: str, loop: str, tmp_path: Path) -> None:
    with running(block, loop, tmp_path) as port, opened(port) as client:
        connection_id = named(client)
        _, *arguments = shlex.split(line)
        assert unquote(arguments[-1]).endswith(AN_ID)
        arguments[-1] = arguments[-1].replace(quote(AN_ID), quote(connection_id, safe="")).replace("8000", str(port))
        printed = run_curl(arguments)
        if "-d" in arguments:
            assert (printed, hear(client)) == ("", "Dinner is ready")
        elif "DELETE" in arguments:
            assert printed == ""
            with pytest.raises(ConnectionClosedOK):
                hear(client)
        else:
            assert json.loads(printed)["identity"]["sourceIp"] == "127.0.0.1"


def test_every_use_of_curl_is_run() -> None:
    assert len(CURL) == 3


@each_loop
def test_boto3(loop: str, tmp_path: Path) -> None:
    # What a person has configured is not for tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1", "HOME": str(tmp_path)}
    with running(TELL, loop, tmp_path) as port:
        (tmp_path / TELL.caption).write_text(TELL.text.replace("8000", str(port)))

        def tell(connection_id: str) -> str:
            done = subprocess.run(
                [sys.executable, TELL.caption, connection_id, "Dinner is ready"],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=DEADLINE,
            )
            assert (done.returncode, done.stderr) == (0, "")
            return done.stdout

        with opened(port) as client:
            connection_id = named(client)
            assert tell(connection_id) == "sent\n"
            assert hear(client) == "Dinner is ready"
            client.send("/quit")
            with pytest.raises(ConnectionClosedOK):
                hear(client)
        assert tell(connection_id) == "gone\n"


def test_the_example_is_that_of_the_tutorial() -> None:
    """Which has it without annotations."""
    (page,) = (block for block in OF_TUTORIAL if block.language == "html")
    assert (EXAMPLE / page.caption).read_text().rstrip() == page.text
    shown = next(block for block in OF_TUTORIAL if block.caption == "app.py" and block.line > page.line)

    ours = (EXAMPLE / "app.py").read_text()
    for annotation in (": WebsocketEvent", ": Request", ": Response", ": dict[str, Person]", ": Person", " -> None"):
        assert annotation in ours
        ours = ours.replace(annotation, "")
    ours = ours.replace("my_id: str, person, room: str", "my_id, person, room")
    ours = ours.replace('(event.body or "")', "event.body")
    ours = ours.replace("App, Request, Response", "App").replace("Gateway, WebsocketEvent", "Gateway")
    assert ours.partition('"""\n\n')[2].rstrip() == shown.text


# How the client of the guide connects is about to change in websockets.
@pytest.mark.filterwarnings("ignore:.*must be used as a context manager:DeprecationWarning")
@pytest.mark.parametrize("loop", LOOPS)
def test_the_example(loop: str) -> None:
    with Process("serve", "app:app", "--loop", loop, "--listen", "127.0.0.1:0", cwd=EXAMPLE) as process:
        url = process.out.expect(r"Listening on (\S+) ")[1]
        assert "<h1>Chat</h1>" in httpx.get(url, trust_env=False).text
        chats(Peer(url))
        process.popen.send_signal(signal.SIGINT)
        assert process.status() == 0
        assert process.err.all() == ""
