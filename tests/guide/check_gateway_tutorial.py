"""What the gateways of their tutorial have to do."""

from __future__ import annotations

from urllib.parse import quote

from tests.guide.check_gateway import id_of
from tests.guide.peer import Peer, Talk, check

__all__ = ("chats",)


@check("tutorial-gateway", "echo", "echo#2")
def echo(peer: Peer) -> None:
    with peer.connect("/api/") as talk:
        assert [talk.ask(text) for text in ("foo", "", "foo bar baz")] == ["foo", "", "foo bar baz"]


@check("tutorial-gateway", "room")
def room(peer: Peer) -> None:
    with peer.connect("/api/") as one, peer.connect("/api/") as other:
        one.send("1")
        assert [talk.receive() for talk in (one, other)] == ["1", "1"]
        other.send("2")
        assert [talk.receive() for talk in (one, other)] == ["2", "2"]


def meet(talk: Talk, name: str, room: str) -> None:
    """Say who one is, and join a room."""
    assert talk.ask(name) == f"Hello, {name[:30]}. Type /help for the commands."
    assert talk.ask("hello?") == "You are in no room. Type /join and the name of one."
    assert talk.ask(f"/join {room}") == f"{name[:30]} has joined."


@check("tutorial-gateway", "chat")
def chats(peer: Peer) -> None:
    """The chat of the tutorial, with or without a page, on Chalice or not."""
    with peer.connect("/api/") as ann, peer.connect("/api/") as bob:
        meet(ann, "Ann", "garden")
        meet(bob, 20 * "Bob", "garden")
        bob_said = 10 * "Bob"
        assert ann.receive() == f"{bob_said} has joined."
        bob.send("hi")
        assert [talk.receive() for talk in (ann, bob)] == [f"{bob_said}: hi"] * 2
        ann.send(2000 * "x")
        assert [talk.receive() for talk in (ann, bob)] == [f"Ann: {1000 * 'x'}"] * 2
        # Who is elsewhere hears nothing.
        with peer.connect("/api/") as cat:
            meet(cat, "Cat", "kitchen")
            assert cat.ask("meow") == "Cat: meow"
            assert "/join ROOM" in str(cat.ask("/help"))
            assert "/join ROOM" in str(cat.ask("/join"))
            assert ann.ask("/join kitchen") == cat.receive() == "Ann has joined."
            assert bob.receive() == "Ann has left."
            assert bob.ask("anybody?") == f"{bob_said}: anybody?"
        assert ann.receive() == "Cat has left."
        # From outside.
        bob.send("/id")
        path = f"/api/@connections/{quote(id_of(bob), safe='')}"
        assert peer.request("POST", path, content="from outside").status_code == 200
        assert bob.receive() == "from outside"
        bob.send("/quit")
        assert bob.closed() == 1000
        assert peer.request("POST", path, content="too late").status_code == 410


@check("tutorial-gateway", "chat#2", "chat#3")
def with_a_page(peer: Peer) -> None:
    page = peer.get("/")
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
    assert "<h1>Chat</h1>" in page.text
    chats(peer)
