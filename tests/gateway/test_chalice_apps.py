"""The applications of Chalice's documents, on the real Chalice, in our host: they do what the documents say.

With the client of websockets here; with that of the documents in ``test_wsdump``.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.cli.process import DEADLINE, RUN, Process
from tests.cli.process import LOOPS as ALL_LOOPS
from tests.gateway.chalice_kit import copy_app, hosting

LOOPS = ("asyncio", "twisted")
each_loop = pytest.mark.parametrize("loop", LOOPS)
all_loops = pytest.mark.parametrize("loop", ALL_LOOPS)


def stop(process: Process) -> str:
    """End the host, which has to go well; returns what it logged."""
    process.popen.send_signal(signal.SIGTERM)
    assert process.status() == 0
    return process.err.all()


@all_loops
def test_ch_3_and_10_echo(loop: str, tmp_path: Path) -> None:
    with hosting(copy_app("echo", tmp_path), loop) as (process, url):
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/api/", url)
        with connect(url) as client:
            for text in ("foo", "bar", "foo bar baz"):
                client.send(text)
                assert client.recv(DEADLINE) == text
        assert stop(process) == ""


@all_loops
def test_ch_13_printing(loop: str, tmp_path: Path) -> None:
    with hosting(copy_app("printing", tmp_path), loop) as (process, url):
        with connect(url) as client:
            client.send("hello")
            client.send("world")
        process.out.expect("disconnected\n")
        assert stop(process) == ""
        lines = process.out.all().splitlines()[2:]
        connection_id = lines[0].removeprefix("New connection: ")
        assert re.fullmatch("[A-Za-z0-9_-]{15}=", connection_id)
        assert lines == [
            f"New connection: {connection_id}",
            f"{connection_id}: hello",
            f"{connection_id}: world",
            f"{connection_id} disconnected",
        ]


@all_loops
def test_ch_14_and_15_subprotocol(loop: str, tmp_path: Path) -> None:
    with hosting(copy_app("subprotocol", tmp_path), loop) as (process, url):
        with connect(url, subprotocols=[Subprotocol("other"), Subprotocol("My-Protocol")]) as client:
            assert client.subprotocol == "My-Protocol"
            client.send("x")
            answer = str(client.recv(DEADLINE))
            assert re.fullmatch(r'\{"message": "Forbidden", "connectionId": "\S+", "requestId": "\S+"\}', answer)
        logged = stop(process)
        assert "can send nothing" in logged
        assert "has no on_ws_message" in logged


@all_loops
def test_ch_18_reply(loop: str, tmp_path: Path) -> None:
    with hosting(copy_app("reply", tmp_path), loop) as (process, url):
        with connect(url) as client:
            for _ in range(2):
                client.send("anything")
                assert client.recv(DEADLINE) == "I got your message!"
        assert stop(process) == ""


# The table lives in the process of the application.
WITH_TABLE = f"""
import os
import boto3
from moto import mock_aws

os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
mock_aws().start()
keys = [("PK", "HASH"), ("SK", "RANGE")]
boto3.client("dynamodb").create_table(
    TableName="chat",
    KeySchema=[{{"AttributeName": name, "KeyType": kind}} for name, kind in keys],
    AttributeDefinitions=[{{"AttributeName": name, "AttributeType": "S"}} for name, _ in keys],
    BillingMode="PAY_PER_REQUEST",
)
{RUN}
"""


def say(client: ClientConnection, text: str) -> None:
    client.send(text)


def hear(client: ClientConnection) -> str:
    return str(client.recv(DEADLINE))


@all_loops
def test_ch_19_chat(loop: str, tmp_path: Path) -> None:
    with (
        hosting(copy_app("chat", tmp_path), loop, code=WITH_TABLE) as (process, url),
        connect(url) as jenny,
        connect(url) as bob,
    ):
        for client, name in ((jenny, "jenny"), (bob, "bob")):
            say(client, name)
            assert hear(client) == f"Using nickname: {name}\nType /help for list of commands."
        say(jenny, "anybody here?")
        assert hear(jenny) == "Cannot send message if not in chatroom."
        say(jenny, "/help")
        assert hear(jenny) == "Commands available:\n    /help\n    /join {chat_room_name}\n    /ls\n    /quit"
        say(jenny, "/join chalice")
        assert hear(jenny) == 'Joined chat room "chalice"'
        say(bob, "/ls")
        assert hear(bob) == "chalice"
        say(bob, "/join chalice")
        assert hear(bob) == 'Joined chat room "chalice"'
        assert hear(jenny) == "bob has joined."
        say(jenny, "hello")
        assert (hear(jenny), hear(bob)) == ("jenny: hello", "jenny: hello")
        say(bob, "/nope")
        assert '"message": "Internal server error"' in hear(bob)
        process.err.expect(r"TypeError: no such command")
        say(bob, "/quit")
        with pytest.raises(ConnectionClosedOK):
            hear(bob)
        assert hear(jenny) == "bob has left."
