"""What the gateways of the guide have to do."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.guide.peer import Peer, Talk, check


def error_of(talk: Talk, message: str) -> Any:
    """Send something that fails, and return what the client is told."""
    talk.send(message)
    told = talk.receive_json()
    assert set(told) == {"message", "connectionId", "requestId"}
    return told["message"]


def id_of(talk: Talk) -> str:
    """Receive a connection id."""
    told = talk.receive()
    assert isinstance(told, str)
    assert (len(told), told[-1]) == (16, "=")
    return told


# What it is


@check("index", "echo")
def echo(peer: Peer) -> None:
    for path in ("/api/", "/api", "/"):
        with peer.connect(path) as talk:
            assert [talk.ask(message) for message in ("foo", "bar", "foo bar baz")] == ["foo", "bar", "foo bar baz"]
    assert peer.refused("/other/") == 403
    assert peer.get("/api/").status_code == 426
    assert peer.get("/other").status_code == 404


# Handlers, routes and limits


@check("handlers", "names")
def names(peer: Peer) -> None:
    with peer.connect("/api/?name=Ann", Origin="https://www.example.com") as ann, peer.connect("/api/") as other:
        assert ann.ask("hi") == "Ann said: hi"
        assert other.ask("hi") == "Somebody said: hi"
    assert peer.refused("/api/", Origin="https://attacker.example.com") == 403


@check("handlers", "subprotocol")
def subprotocol(peer: Peer) -> None:
    with peer.connect("/api/", subprotocols=["chat.v1", "chat.v2"]) as talk:
        assert talk.subprotocol == "chat.v2"
    assert peer.refused("/api/") == 400


@check("handlers", "coroutine")
def coroutine(peer: Peer) -> None:
    with peer.connect("/api/") as talk:
        assert talk.ask("foo") == "You said: foo"


@check("handlers", "routes", logs="TypeError")
def routes(peer: Peer) -> None:
    with peer.connect("/api/") as talk:
        assert talk.ask_json({"action": "add", "numbers": [1, 2]}) == 3
        for other in ("foo", "[]", json.dumps({"action": "subtract"}), json.dumps({"numbers": [1]})):
            assert talk.ask(other) == "I can only add"
        assert error_of(talk, json.dumps({"action": "add", "numbers": 1})) == "Internal server error"
        talk.send(b"\x00")
        assert talk.closed() == 1003


@check("handlers", "blueprint")
def blueprint(peer: Peer) -> None:
    with peer.connect("/api/") as talk:
        assert talk.ask("foo") == "FOO"
        assert talk.ask(101 * "x") == "That is too long."


# Sending


@check("sending", "relay")
def relay(peer: Peer) -> None:
    with peer.connect("/api/") as one:
        my_id = id_of(one)
        with peer.connect("/api/") as other:
            your_id = id_of(other)
            one.send(f"{your_id} hi there")
            assert other.receive() == "hi there"
            other.send(f"{my_id} hi")
            assert one.receive() == "hi"
        assert one.ask(f"{your_id} still there?") == f"{your_id} is gone"
        assert one.ask("nobody x") == "nobody is gone"


@check("sending", "room")
def room(peer: Peer) -> None:
    with peer.connect("/api/") as one, peer.connect("/api/") as other:
        one.send("1", "2")
        assert [other.receive() for _ in range(2)] == ["1", "2"]
        other.send("3")
        # What it said itself is not there before it.
        assert one.receive() == "3"


@check("sending", "notices")
def notices(peer: Peer) -> None:
    with peer.connect("/api/") as talk:
        notice = {"to": talk.ask("who am I?"), "text": "Dinner is ready"}
        assert peer.request("POST", "/notices", json=notice).json() == {"sent": True}
        assert talk.receive() == "Dinner is ready"
    assert peer.request("POST", "/notices", json=notice).status_code == 404
    assert peer.get("/api/").status_code == 404, "the application of the pages was not asked"


@check("sending", "management")
def management(peer: Peer) -> None:
    """That boto3 gets through shows the block of boto3."""
    with peer.connect("/api/") as talk:
        talk.send("who am I?")
        path = f"/api/@connections/{quote(id_of(talk), safe='')}"
        refused = peer.request("POST", path, content=b"x")
        assert (refused.status_code, refused.headers["x-amzn-errortype"]) == (403, "ForbiddenException")


# The backplane


@check("backplane", "alone")
@check("backplane", "one of two")
def in_memory(peer: Peer) -> None:
    with peer.connect("/api/") as talk:
        assert talk.ask("foo") == "foo"


@check("backplane", "joined")
def joined(peer: Peer) -> None:
    with peer.connect("/api/") as one, peer.connect("/api/") as other:
        one.send("1")
        assert [talk.receive() for talk in (one, other)] == ["1", "1"]
        other.send("2")
        assert [talk.receive() for talk in (one, other)] == ["2", "2"]


@check("backplane", "watched")
def watched(peer: Peer) -> None:
    with peer.connect("/api/") as talk:
        assert talk.ask("foo") == "foo"
        health = peer.get("/health")
        assert health.status_code == 200
        told = health.json()
        assert (told["reason"], told["connections"], told["messages"], told["unknown"]) == ("", 1, 1, 0)


# Chalice


@check("chalice", "kitchen", "kitchen#2")
def kitchen(peer: Peer) -> None:
    for path in ("/api/", "/"):
        with peer.connect(path) as talk:
            assert [talk.ask(message) for message in ("foo", "bar")] == ["foo", "bar"]
    for path in ("/menu", "/api/menu"):
        assert peer.get(path).json() == {"today": "soup"}


@check("chalice", "moved")
def moved(peer: Peer) -> None:
    with peer.connect("/api/") as talk:
        assert talk.ask("foo") == "I got your message!"
