"""What the views of the tutorial, of the page for people who come from Bocadillo, and of the README have to do."""

from __future__ import annotations

from tests.guide.peer import Peer, check


@check("tutorial", "echo")
@check("first-steps", "echo")
@check("migrating-bocadillo", "echo#2")
def echo_once(peer: Peer) -> None:
    with peer.connect("/echo") as talk:
        assert talk.ask("hello") == "You said: hello"
        assert talk.closed() == 1000


@check("tutorial", "echo#2")
@check("README", "echo")
@check("migrating-bocadillo", "echo")
def echo_all(peer: Peer) -> None:
    with peer.connect("/echo") as talk:
        for text in ("hello", "", "grüße"):
            assert talk.ask(text) == f"You said: {text}"
        talk.close(1001)


@check("tutorial", "chat", logs="KeyError")
def json(peer: Peer) -> None:
    with peer.connect("/chat") as talk, peer.connect("/chat") as other:
        assert talk.ask_json({"text": " hello "}) == {"type": "message", "text": "hello"}
        talk.send_json({"no": "text"})
        assert talk.closed() == 1011
        assert other.ask_json({"text": "still here"}) == {"type": "message", "text": "still here"}


@check("tutorial", "chat#2")
def parameters(peer: Peer) -> None:
    with peer.connect("/chat/garden?user=Ann&upper=true") as talk:
        assert talk.ask_json({"text": "hello"}) == {"channel": "garden", "user": "Ann", "text": "HELLO"}
    with peer.connect("/chat/kitchen") as talk:
        assert talk.ask_json({"text": "hello"}) == {"channel": "kitchen", "user": "Anonymous", "text": "hello"}
    assert peer.refused("/chat/garden?upper=maybe") == 403


@check("tutorial", "chat#3")
def room(peer: Peer) -> None:
    assert peer.refused("/chat/cellar") == 403
    with peer.connect("/chat/garden?user=Ann") as ann, peer.connect("/chat/garden?user=Bob") as bob:
        hello = ann.ask_json({"text": "hello"})
        assert hello == bob.receive_json() == {"user": "Ann", "text": "hello"}
        with peer.connect("/chat/kitchen?user=Cat") as cat:
            assert cat.ask_json({"text": "meow"}) == {"user": "Cat", "text": "meow"}
        assert bob.ask_json({"text": "hi"}) == ann.receive_json() == {"user": "Bob", "text": "hi"}


@check("tutorial", "chat#4")
def history(peer: Peer) -> None:
    with peer.connect("/chat?user=Ann") as ann:
        said = [ann.ask_json({"text": text}) for text in ("one", "two")]
        with peer.connect("/chat") as late:
            assert [late.receive_json(), late.receive_json()] == said
            assert late.ask_json({"text": "me too"}) == ann.receive_json() == {"user": "Anonymous", "text": "me too"}


@check("tutorial", "index", "chat#5")
def page(peer: Peer) -> None:
    shown = peer.get("/")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html")
    assert "<h1>Chat room</h1>" in shown.text
    hello = {"type": "message", "user": "Ann", "text": "hello"}
    with peer.connect("/chat") as ann:
        already = 0
        while ann.ask_json(hello | {"text": "first"})["text"] != "first":
            already += 1
        for _ in range(already):
            assert ann.receive_json() == {"user": "Ann", "text": "first"}
        with peer.connect("/chat") as bob:
            while bob.receive_json()["text"] != "first":
                pass
            assert bob.ask_json({"type": "message", "user": "Bob" * 20, "text": "hi"})["user"] == "Bob" * 10
            assert ann.receive_json()["text"] == "hi"
            bob.close(4321)
        assert ann.receive_json() == {"user": "Bob" * 10, "text": "has left"}
        ann.send_json(["nonsense"])
        assert ann.closed() == 1008
        assert ann.reason == "a message is expected"


@check("migrating-bocadillo", "hello")
def api_key(peer: Peer) -> None:
    assert peer.refused("/hello") == 403
    with peer.connect("/hello", api_key="s3kr3t") as talk:
        assert talk.receive() == "hello"
        assert talk.closed() == 1000


@check("migrating-bocadillo", "ping_pong")
def older(peer: Peer) -> None:
    with peer.connect("/ping-pong") as talk:
        assert talk.ask_json({"type": "ping"}) == {"type": "pong"}
