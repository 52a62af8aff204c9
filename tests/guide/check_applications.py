"""What the views of the guide have to do."""

from __future__ import annotations

from tests.backplane.redis_server import redis_program
from tests.guide.peer import Peer, check

# First steps


@check("first-steps", "starts")
def starts(peer: Peer) -> None:
    for _ in range(2):
        with peer.connect("/starts") as talk:
            assert talk.receive() == "1"


# Routes and parameters


@check("routing", "item", "file", "wild")
def patterns(peer: Peer) -> None:
    said = {"/items/1.5": "item 1", "/items/%34%32": "item 42", "/files/a/b": "a/b", "/files/": ""}
    said |= {"/wild/x/y": "anything below /wild/", "/wild/": "anything below /wild/"}
    for path, expected in said.items():
        with peer.connect(path) as talk:
            assert talk.receive() == expected
    for path in ("/items/foo", "/items/1/", "/items/", "/items/a%2Fb"):
        assert peer.refused(path) == 403


@check("routing", "lobby", "any_room")
def order(peer: Peer) -> None:
    with peer.connect("/rooms/lobby") as talk:
        assert talk.receive() == "the lobby"
    with peer.connect("/rooms/garden") as talk:
        assert talk.receive() == "the room garden"


@check("routing", "only_one", "unfilled", logs="missing a required argument: 'needed'")
def by_name(peer: Peer) -> None:
    with peer.connect("/shelves/1/books/2") as talk:
        assert talk.receive() == "2"
    with peer.connect("/unfilled") as talk:
        assert talk.closed() == 1011


@check("routing", "even")
def fields(peer: Peer) -> None:
    with peer.connect("/even/8") as talk:
        assert talk.receive() == "half of it is 4"
    assert (peer.refused("/even/7"), peer.refused("/even/x")) == (403, 403)


@check("routing", "calendar")
def conversions(peer: Peer) -> None:
    with peer.connect("/calendar/2019-01-31/week/2") as talk:
        assert talk.receive() == "week of 31.01.2019, page 2"
    for path in ("/calendar/2019-02-31/week/2", "/calendar/2019-01-31/year/2", "/calendar/2019-01-31/week/0"):
        assert peer.refused(path) == 403


@check("routing", "ticks")
def query(peer: Peer) -> None:
    with peer.connect("/ticks?limit=9&limit=1&loud=on&unknown=1") as talk:
        assert talk.receive() == "TICK 0"
        assert talk.closed() == 1000
    with peer.connect("/ticks") as talk:
        assert [talk.receive() for _ in range(3)] == ["tick 0", "tick 1", "tick 2"]
    assert peer.refused("/ticks?limit=") == 403


@check("routing", "chat")
def both(peer: Peer) -> None:
    said = {("/chat/a?anonymous=true", "Ann"): "Anonymous", ("/chat/a", "Ann"): "Ann"}
    for (path, user), expected in said.items():
        with peer.connect(path, User=user) as talk:
            assert talk.ask_json("hi") == {"channel": "a", "user": expected, "message": "hi"}
    with peer.connect("/chat/a") as talk:
        assert talk.ask_json("hi")["user"] == "Somebody"


@check("routing", "live", "overview")
def routers(peer: Peer) -> None:
    with peer.connect("/users/ann/todos/live") as talk:
        assert talk.receive_json() == {"owner": "ann", "todos": []}
    assert peer.get("/users/ann/todos/").json() == {"owner": "ann", "todos": []}


@check("routing", "mount /other")
def mounted(peer: Peer) -> None:
    with peer.connect("/other/place") as talk:
        assert talk.receive() == "/place below /other"
        assert talk.closed() == 1000
    assert peer.refused("/other/place", Origin="https://evil.example") == 403


@check("routing", "profile")
def paths(peer: Peer) -> None:
    with peer.connect("/players/Bob") as talk:
        assert talk.receive() == "/players/Ann%20Lee"


# The WebSocket


@check("websocket", "inspect")
def request(peer: Peer) -> None:
    headers = {"User_Agent": "tests", "Cookie": "a=1; b=2"}
    with peer.connect("/inspect/me?colour=red&colour=blue", **headers) as talk:
        seen = talk.receive_json()
    expected = {"path": "/inspect/me", "scheme": "ws", "secure": False, "last colour": "blue", "name": "me"}
    assert seen == expected | {"colours": ["red", "blue"], "cookies": {"a": "1", "b": "2"}, "agent": seen["agent"]}
    assert "tests" in seen["agent"]


@check("websocket", "upper")
def text(peer: Peer) -> None:
    with peer.connect("/upper") as talk:
        assert talk.ask("grüße") == "GRÜSSE"
        assert talk.closed() == 1000


@check("websocket", "reverse", "ping_pong", "measure")
def types(peer: Peer) -> None:
    with peer.connect("/bytes") as talk:
        assert talk.ask(b"\x00\x01\x02") == b"\x02\x01\x00"
    with peer.connect("/json") as talk:
        assert talk.ask_json({"type": "ping"}) == {"type": "pong"}
        assert talk.ask_json({"type": "pong"}) == {"type": "ping"}
    with peer.connect("/mixed") as talk:
        assert talk.ask("grüße") == '{"characters": 5, "bytes": 7}'


@check("websocket", "methods")
def methods(peer: Peer) -> None:
    with peer.connect("/methods") as talk:
        assert talk.ask("text") == "text"
        assert talk.ask(b"bytes") == b"bytes"
        assert talk.ask_json({"json": "ü"}) == {"json": "ü"}


@check("websocket", "forgiving")
def forgiving(peer: Peer) -> None:
    with peer.connect("/forgiving") as talk:
        complaint = '{"error": "please send JSON, as text"}'
        assert [talk.ask("{"), talk.ask(b"{}"), talk.ask("{}")] == [complaint, complaint, '{"got": {}}']


@check("websocket", "echo", "echo#2")
def every_message(peer: Peer) -> None:
    with peer.connect("/echo") as talk:
        for number in range(5):
            assert talk.ask(str(number)) == str(number)


@check("websocket", "divide", logs="ZeroDivisionError")
def errors(peer: Peer) -> None:
    with peer.connect("/divide/1/2") as talk:
        assert talk.receive() == "0.5"
    with peer.connect("/divide/1/0") as talk:
        assert talk.closed() == 1011
        assert talk.reason == ""


@check("websocket", "three")
def codes(peer: Peer) -> None:
    with peer.connect("/three") as talk:
        assert [talk.ask(each) for each in "abc"] == ["OK"] * 3
        assert (talk.closed(), talk.reason) == (4003, "that was enough")
    with peer.connect("/three") as talk:
        talk.send("stop")
        assert talk.closed() == 1000


@check("websocket", "twice")
def twice(peer: Peer) -> None:
    with peer.connect("/twice") as talk:
        assert talk.closed() == 4000


@check("websocket", "mistakes")
def mistakes(peer: Peer) -> None:
    with peer.connect("/mistakes") as talk:
        assert talk.receive() == "now it is accepted"
        for code in (403, 999, 1005, 1006, 2999, 5000):
            assert str(talk.receive()).startswith(f"the close code {code} cannot be sent")
        assert str(talk.receive()).startswith("reject() ")
        assert talk.closed() == 1012


@check("websocket", "unclosed", "closed_inside")
def endings(peer: Peer) -> None:
    with peer.connect("/unclosed") as talk:
        assert talk.receive() == "hello"
        assert talk.closed() == 1000
    with peer.connect("/closed-inside") as talk:
        assert talk.closed() == 4242


@check("websocket", "accepts_twice", logs="AssertionError")
def accepting_twice(peer: Peer) -> None:
    with peer.connect("/accepts-twice") as talk:
        assert talk.closed() == 1011


@check("websocket", "too_early", logs="AssertionError")
def before_accepting(peer: Peer) -> None:
    assert peer.refused("/too-early") == 403


@check("websocket", "nothing", logs="has neither accepted nor rejected the connection")
def never_accepted(peer: Peer) -> None:
    assert peer.refused("/nothing") == 500


@check("websocket", "private", "naive")
def rejecting(peer: Peer) -> None:
    assert peer.refused("/private") == 403
    assert peer.refused("/private", api_key="guess") == 403
    with peer.connect("/private", api_key="s3kr3t") as talk:
        assert talk.receive() == "welcome"
        assert talk.closed() == 1000


@check("websocket", "hello", "block", "refused")
def by_hand(peer: Peer) -> None:
    for path in ("/hello", "/block"):
        with peer.connect(path) as talk:
            assert talk.receive() == "hello"
            assert talk.closed() == 1000
    assert peer.refused("/refused") == 403


@check("websocket", "chosen")
def chosen(peer: Peer) -> None:
    with peer.connect("/chosen", ["chat.v1", "chat.v2"]) as talk:
        assert (talk.subprotocol, talk.receive()) == ("chat.v2", "chat.v2")
        assert talk.headers["Set-Cookie"] == "seen=yes"
    with peer.connect("/chosen") as talk:
        assert (talk.subprotocol, talk.receive()) == (None, "no subprotocol")


@check("websocket", "also_lost", "whatever", "each")
def leaving(peer: Peer) -> None:
    for path, closing in {"/also-lost": (1001,), "/whatever": (1001, 4000, 3001), "/each": (1000, 4000)}.items():
        for code in closing:
            with peer.connect(path) as talk:
                assert talk.ask("hi") == "hi"
                talk.close(code)
    for path in ("/also-lost", "/whatever"):
        with peer.connect(path) as talk:
            assert talk.ask("hi") == "hi"
            talk.drop()


@check("websocket", "events", "all_events")
def events(peer: Peer) -> None:
    for path in ("/events", "/all-events"):
        with peer.connect(path) as talk:
            assert talk.ask("hi") == "You said: hi"
            assert talk.closed() == 1000


@check("websocket", "teapot")
def denial(peer: Peer) -> None:
    assert peer.refused("/teapot") == 418


# Providers


@check("providers", "greet")
def provided(peer: Peer) -> None:
    with peer.connect("/greet/Ann?loud=1") as talk:
        assert talk.receive() == "HELLO, ANN"


@check("providers", "show_ticket")
def scopes(peer: Peer) -> None:
    for expected in (1, 2, 3):
        with peer.connect("/ticket") as talk:
            assert talk.receive_json() == expected


@check("providers", "use", "show_log")
def cleaning_up(peer: Peer) -> None:
    with peer.connect("/use") as talk:
        assert talk.receive() == "a transaction: ['begin']"
        assert talk.closed() == 1000
    with peer.connect("/log") as talk:
        assert talk.receive_json() == ["begin", "end"]


@check("providers", "maybe")
def lazy(peer: Peer) -> None:
    with peer.connect("/maybe") as talk:
        assert talk.ask("yes") == "42"
    with peer.connect("/maybe") as talk:
        assert talk.ask("no") == "not asked for"


@check("providers", "visit", "look")
def used(peer: Peer) -> None:
    seen = []
    for path in ("/visit", "/look", "/visit"):
        with peer.connect(path) as talk:
            seen.append(talk.receive_json())
    assert [(each["visits"], each["connections"]) for each in seen] == [(1, 1), (1, 2), (2, 3)]


@check("providers", "count")
def discovered(peer: Peer) -> None:
    with peer.connect("/count") as one, peer.connect("/count") as two:
        assert (one.receive(), two.receive()) == ("1", "2")


# Rooms


@check("rooms", "everybody")
def rooms(peer: Peer) -> None:
    with peer.connect("/everybody") as one, peer.connect("/everybody") as two:
        # The first word of the second one shows that both have joined.
        two.send("hello")
        assert one.receive() == "hello"
        one.send("hi", "there")
        assert [two.receive(), two.receive()] == ["hi", "there"]


@check("rooms", "channel")
def channels(peer: Peer) -> None:
    assert peer.refused("/channels/weather") == 403
    with peer.connect("/channels/news") as news, peer.connect("/channels/sport") as sport:
        assert news.ask_json(1) == 1
        assert sport.ask_json(2) == 2


@check("rooms", "follow")
def policies(peer: Peer) -> None:
    with peer.connect("/prices") as one:
        assert one.receive_json() == {"members": 1}
        assert one.ask_json({"price": 3}) == {"price": 3}


@check("rooms", "news")
def on_redis(peer: Peer) -> None:
    with peer.connect("/news/sport") as talk:
        answer = talk.ask("hello")
        # Without a server of Redis it says so.
        assert answer == "hello" or (redis_program() is None and str(answer).startswith("not said: "))


@check("rooms", "two")
def in_memory(peer: Peer) -> None:
    with peer.connect("/two") as talk:
        assert talk.ask("hello") == "hello"


# HTTP


@check("http", "home", "show_item", "add_item", "Notes")
def pages(peer: Peer) -> None:
    assert peer.get("/").text == "<h1>Welcome</h1>"
    assert peer.get("/items/7?detail=true").json() == {"id": 7, "detail": True}
    assert peer.get("/items/seven").status_code == 400
    added = peer.request("POST", "/items", json={"id": 8})
    assert (added.status_code, added.headers["location"], added.text) == (201, "/items/8", "added")
    assert peer.get("/items").status_code == 405
    assert peer.get("/notes").text == "no notes"
    assert peer.request("DELETE", "/notes").status_code == 204
    assert peer.refused("/notes") == 403
    assert peer.get("/nothing").json() == {"error": "404 Not Found", "status": 404}


@check("http", "buy")
def http_errors(peer: Peer) -> None:
    assert peer.get("/buy/bread").json() == {"sold out": "bread"}
    assert peer.get("/buy/old-bread").headers["location"] == "/buy/bread"
    assert peer.get("/buy/milk").json() == {"error": "404 Not Found", "status": 404, "detail": "no milk here"}


@check("http", "greet")
def templates(peer: Peer) -> None:
    assert "Hello, &lt;b&gt;Ann!" in peer.get("/hello/%3Cb%3EAnn").text


@check("http", "mount /assets")
def static_files(peer: Peer) -> None:
    found = peer.get("/assets/style.css")
    assert found.text == "body { color: navy }"
    assert "max-age=3600" in found.headers["cache-control"]
    assert peer.get("/assets/style.css", If_None_Match=found.headers["etag"]).status_code == 304
    assert peer.get("/assets/style.css", Range="bytes=0-3").text == "body"
    assert peer.get("/assets/..%2Fapp.py").status_code == 404


@check("http", "login", "who")
def sessions(peer: Peer) -> None:
    cookie = peer.get("/login/ann").headers["set-cookie"].partition(";")[0]
    for sent, user in ((cookie, "ann"), (cookie[:-1] + "!", None), ("other=1", None)):
        with peer.connect("/who", Cookie=sent) as talk:
            assert talk.receive_json() == {"user": user}


@check("http", "greeting")
def settings(peer: Peer) -> None:
    assert peer.get("/greeting").text == "hello"
    assert peer.get("/greeting", Host="elsewhere.example").status_code == 400


@check("http", "stamped")
def middleware(peer: Peer) -> None:
    assert peer.get("/stamped").headers["x-stamp"] == "yes"


# Origins


@check("origin", "members", "public")
def origins(peer: Peer) -> None:
    own = peer.url
    for origin in (own, "https://example.com", "https://www.example.com", "http://localhost:3000"):
        with peer.connect("/members", Origin=origin) as talk:
            assert talk.receive() == "welcome"
    for origin in ("https://evil.example", "http://example.com", "null", "https://example.com.evil.example"):
        assert peer.refused("/members", Origin=origin) == 403
        with peer.connect("/public", Origin=origin) as talk:
            assert talk.receive() == "welcome, whoever you are"
    with peer.connect("/members") as talk:
        assert talk.receive() == "welcome"


# Testing


@check("testing", "index", "ping_pong", "private")
def tested(peer: Peer) -> None:
    assert peer.get("/").text == "hello"
    with peer.connect("/ping-pong") as talk:
        assert talk.ask_json({"type": "ping"}) == {"type": "pong"}
    assert peer.refused("/private") == 403
    with peer.connect("/private", ["chat.v1"], api_key="k") as talk:
        assert (talk.subprotocol, talk.closed()) == ("chat.v1", 4001)


@check("testing", "look_up")
def replaced(peer: Peer) -> None:
    with peer.connect("/look-up/ann") as talk:
        assert talk.receive() == "made up"


# Loops


@check("waiting", "clock", "ticking")
def clock(peer: Peer) -> None:
    with peer.connect("/clock") as talk:
        seen = {talk.receive()}
        talk.send("hello")
        seen |= {talk.receive() for _ in range(3)}
        assert seen == {"tick 0", "tick 1", "tick 2", "You said: hello"}


@check("waiting", "slow")
def deferreds(peer: Peer) -> None:
    with peer.connect("/slow") as talk:
        assert talk.ask("hello") == "5 characters"
        assert talk.ask("") == "0 characters"
