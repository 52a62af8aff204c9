"""The applications of Chalice's documents, in our host, at the other end of ``wsdump`` on a terminal, as they tell.

What is compared is what a person sees: what was typed, behind ``>``, and what came, behind ``<``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from types import TracebackType

import pytest

from tests.cli.process import DEADLINE, LOOPS, Output
from tests.gateway.chalice_kit import copy_app, hosting
from tests.gateway.test_chalice_apps import WITH_TABLE, stop

# It shows the pings of the server, too, which come when a test takes long.
PING = r"""\x1b\[34m< (?:b['"]|\[zlib\])[^\x1b]*\x1b\[39m\r\n> """

each_loop = pytest.mark.parametrize("loop", LOOPS)


class Wsdump:
    """``wsdump``, and the terminal that it runs on.

    Args:
        url: what it connects to.
        options: more of the command line.
    """

    def __init__(self, url: str, *options: str) -> None:
        program = shutil.which("wsdump", path=sysconfig.get_path("scripts"))
        assert program is not None
        self._terminal, inside = os.openpty()
        self._process = subprocess.Popen(
            [program, url, *options], stdin=inside, stdout=inside, stderr=inside, env=os.environ | {"TERM": "dumb"}
        )
        os.close(inside)
        self._output = Output(self._terminal)
        self._heard = ""
        self._prompts = 1

    def __enter__(self) -> Wsdump:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(DEADLINE)
        self._output.all()
        os.close(self._terminal)

    def say(self, text: str) -> None:
        """Type a line."""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        # Each of its threads shows a prompt, one after what was typed and one after what came. What is typed before
        # is seen elsewhere.
        self._output.expect(rf"^((?:{PING}|(?!{PING})[\s\S])*?> ){{{self._prompts}}}")
        os.write(self._terminal, text.encode())
        self._prompts += 1

    def hear(self, text: str) -> None:
        """Wait for a message, the next one."""
        self.hear_like(re.escape(text.replace("\n", "\r\n")))

    def hear_like(self, pattern: str) -> None:
        """Wait for a message that matches."""
        # It is blue.
        self._heard += f"\x1b\\[34m< {pattern}\x1b\\[39m" + r"[\s\S]*"
        self._output.expect(self._heard)
        self._prompts += 1

    def leave(self) -> list[str]:
        """Press Ctrl-D, and return the transcript."""
        self._write("\x04")
        assert self._process.wait(DEADLINE) == 0
        shown = re.sub(PING, "> ", self._output.all())
        shown = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "\n", shown).replace("\r", "")
        lines = [re.sub("^(> ?)+", "> ", line) for line in shown.split("\n")]
        return [line for line in lines if line.strip() not in ("", ">", "Press Ctrl+C to quit")]


@each_loop
def test_ch_9_echo(loop: str, tmp_path: Path) -> None:
    with hosting(copy_app("echo", tmp_path), loop) as (process, url), Wsdump(url) as client:
        for text in ("foo", "bar", "foo bar baz"):
            client.say(text)
            client.hear(text)
        assert client.leave() == ["> foo", "< foo", "> bar", "< bar", "> foo bar baz", "< foo bar baz"]
        assert stop(process) == ""


@each_loop
def test_ch_13_printing(loop: str, tmp_path: Path) -> None:
    with hosting(copy_app("printing", tmp_path), loop) as (process, url):
        with Wsdump(url) as client:
            for text in ("hello", "world"):
                client.say(text)
                process.out.expect(f": {text}\n")
            assert client.leave() == ["> hello", "> world"]
        process.out.expect("disconnected\n")
        assert stop(process) == ""
        lines = process.out.all().splitlines()[2:]
        connection_id = lines[0].removeprefix("New connection: ")
        assert lines == [
            f"New connection: {connection_id}",
            f"{connection_id}: hello",
            f"{connection_id}: world",
            f"{connection_id} disconnected",
        ]


@each_loop
def test_ch_14_and_15_subprotocol(loop: str, tmp_path: Path) -> None:
    with (
        hosting(copy_app("subprotocol", tmp_path), loop) as (process, url),
        # A server that chose none of them would be left at once.
        Wsdump(url, "--subprotocols", "My-Protocol") as client,
    ):
        process.out.expect("New connection: .{15}=\n")
        client.say("x")
        client.hear_like(r'\{"message": "Forbidden", "connectionId": "\S+", "requestId": "\S+"\}')
        assert client.leave()[0] == "> x"


@each_loop
def test_ch_18_reply(loop: str, tmp_path: Path) -> None:
    with hosting(copy_app("reply", tmp_path), loop) as (process, url), Wsdump(url) as client:
        client.say("anything")
        client.hear("I got your message!")
        assert client.leave() == ["> anything", "< I got your message!"]
        assert stop(process) == ""


@each_loop
def test_ch_19_chat(loop: str, tmp_path: Path) -> None:
    with (
        hosting(copy_app("chat", tmp_path), loop, code=WITH_TABLE) as (process, url),
        Wsdump(url) as jenny,
        Wsdump(url) as bob,
    ):
        for client, name in ((jenny, "jenny"), (bob, "bob")):
            client.say(name)
            client.hear(f"Using nickname: {name}\nType /help for list of commands.")
        jenny.say("anybody here?")
        jenny.hear("Cannot send message if not in chatroom.")
        jenny.say("/help")
        jenny.hear("Commands available:\n    /help\n    /join {chat_room_name}\n    /ls\n    /quit")
        jenny.say("/join chalice")
        jenny.hear('Joined chat room "chalice"')
        bob.say("/ls")
        bob.hear("chalice")
        bob.say("/join chalice")
        bob.hear('Joined chat room "chalice"')
        jenny.hear("bob has joined.")
        jenny.say("hello")
        for client in (jenny, bob):
            client.hear("jenny: hello")
        assert bob.leave() == [
            "> bob",
            "< Using nickname: bob",
            "Type /help for list of commands.",
            "> /ls",
            "< chalice",
            "> /join chalice",
            '< Joined chat room "chalice"',
            "< jenny: hello",
        ]
        jenny.hear("bob has left.")
        assert jenny.leave() == [
            "> jenny",
            "< Using nickname: jenny",
            "Type /help for list of commands.",
            "> anybody here?",
            "< Cannot send message if not in chatroom.",
            "> /help",
            "< Commands available:",
            "    /help",
            "    /join {chat_room_name}",
            "    /ls",
            "    /quit",
            "> /join chalice",
            '< Joined chat room "chalice"',
            "< bob has joined.",
            "> hello",
            "< jenny: hello",
            "< bob has left.",
        ]
        assert stop(process) == ""
