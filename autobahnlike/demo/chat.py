"""The chat room: one page, one WebSocket route, and two providers that all connections share.

Everybody hears what anybody says. Who comes sees what was said before, and who else is here. What browser and server
tell each other is JSON::

    browser  {"type": "hello", "user": "Ann", "key": "8f31..."}       here I am, maybe with another name than before
             {"type": "message", "text": "Hi!"}

    server   {"type": "welcome", "you": "4be2...", "room": "91c0...", "history": [...]}    the first answer to a hello
             {"type": "message", "number": 7, "from": "4be2...", "user": "Ann", "text": "Hi!", "at": 1790000000.5}
             {"type": "people", "people": [{"id": "4be2...", "user": "Ann"}, ...]}
             {"type": "refused", "text": "Hi!", "reason": "..."}

A browser has a secret key, of which the server makes the identity that everybody sees: so a name may be taken by
several people, and somebody who connects again is the same as before. Everything has a bound: the lengths of names and
texts, how many messages are kept, how many people are here, and how fast one of them may write.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any

from autobahnlike.app import App, Request, Response, Room, Templates, WebSocket, provider, static, status

__all__ = ("app",)

LONGEST_NAME = 30
LONGEST_TEXT = 2000
MOST_CLIENTS = 100
KEPT_MESSAGES = 100

# One client may do this much at once, and on average in so many seconds.
BUDGET = 8
BUDGET_SECONDS = 4.0

_KEY = re.compile("[0-9a-f]{32}")
_HERE = Path(__file__).parent

# The page uses its own files and its own server, and nothing else: whatever might be put into it could do nothing.
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}

app = App("chat")
templates = Templates(
    directory=_HERE / "templates", context={"longest_name": LONGEST_NAME, "longest_text": LONGEST_TEXT}
)


def _add_headers(headers: Any, path: str, url: str) -> None:
    headers["x-content-type-options"] = "nosniff"


app.mount("static", static(_HERE / "static", max_age=0, add_headers_function=_add_headers))


class History:
    """What was said last.

    Attributes:
        id: tells the messages of this process, which are numbered, from those of an earlier one.
        messages: as they are sent, the oldest first.
    """

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        self.messages: deque[dict[str, Any]] = deque(maxlen=KEPT_MESSAGES)
        self._numbers = count(1)

    def add(self, person: Person, text: str) -> dict[str, Any]:
        """Make a message of what somebody says, keep it, and return it."""
        said = {"number": next(self._numbers), "from": person.id, "user": person.user, "text": text, "at": time.time()}
        self.messages.append({"type": "message", **said})
        return self.messages[-1]


@dataclass
class Person:
    """Who is behind a connection.

    Attributes:
        user: the name, empty as long as there was no hello.
        id: what tells people of the same name apart.
    """

    user: str = ""
    id: str = ""
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=BUDGET))

    def may_write(self) -> bool:
        """Whether this is not too much at once; if it is not, it counts."""
        now = time.monotonic()
        if len(self._times) == BUDGET and now - self._times[0] < BUDGET_SECONDS:
            return False
        self._times.append(now)
        return True


class Clients(dict[WebSocket, Person]):
    """Who is connected, and the room in which those hear each other who have said hello."""

    def __init__(self) -> None:
        # Of this process, as the history and the list of people are: app.room() would reach over several.
        # A browser that does not keep up is disconnected with 1013: it comes back by itself, and gets what it missed.
        self.room = Room("chat", policy="disconnect")
        self._secret = secrets.token_bytes(16)

    def identity(self, key: str) -> str:
        """Return the identity that belongs to a key, but does not give it away."""
        return blake2b(key.encode(), key=self._secret, digest_size=8).hexdigest()

    async def tell_who_is_here(self) -> None:
        """Tell everybody."""
        # One person may have two connections, one of which is lost without that it is known yet.
        people = {person.id: person.user for person in self.values() if person.user}
        await self.room.broadcast_json(
            {"type": "people", "people": [{"id": identity, "user": user} for identity, user in people.items()]}
        )


@provider(scope="app")
async def history() -> History:
    """What was said, for all connections."""
    return History()


@provider(scope="app")
async def clients() -> Clients:
    """All connections, for each of them."""
    return Clients()


@app.route("/")
async def index(req: Request, res: Response) -> None:
    """The page."""
    res.headers.update(_PAGE_HEADERS)
    res.html = await templates.render("index.html")


@app.websocket_route("/chat", value_type="json", caught_close_codes=all)
async def chat(ws: WebSocket, history: History, clients: Clients) -> None:
    """One browser, from its first message to its last."""
    if len(clients) >= MOST_CLIENTS:
        await ws.close(status.WS_1013_TRY_AGAIN_LATER, "the room is full")
        return
    person = clients[ws] = Person()
    try:
        async for message in _messages(ws):
            match message:
                case {"type": "hello", "user": str(user), "key": str(key)} if _KEY.fullmatch(key):
                    if person.may_write():
                        await _greet(ws, " ".join(user.split())[:LONGEST_NAME] or "Anonymous", key, history, clients)
                    else:
                        await _refuse(ws)
                case {"type": "message", "text": str(text)} if person.user and 0 < len(text.strip()) <= LONGEST_TEXT:
                    if person.may_write():
                        await clients.room.broadcast_json(history.add(person, text.strip()))
                    else:
                        await _refuse(ws, text)
                case _:
                    await ws.close(status.WS_1008_POLICY_VIOLATION, "this is not what the page sends")
                    return
    finally:
        del clients[ws]
        if person.user:
            await clients.room.leave(ws)
            await clients.tell_who_is_here()


async def _messages(ws: WebSocket) -> AsyncIterator[Any]:
    """Give what the client sends, None for what is no JSON."""
    while True:
        try:
            message = await ws.receive()
        except (KeyError, ValueError, RecursionError):
            # It is binary, it cannot be parsed, or it is nested too deeply to be.
            message = None
        yield message


async def _greet(ws: WebSocket, user: str, key: str, history: History, clients: Clients) -> None:
    # At the end: of several people with one name, the first is shown without an addition.
    person = clients[ws] = clients.pop(ws)
    is_new = not person.user
    person.user = user
    if is_new:
        person.id = clients.identity(key)
        # In this order: what is said from now on is in the history already, or comes after it.
        await clients.room.join(ws)
        kept = list(history.messages)
        await ws.send({"type": "welcome", "you": person.id, "room": history.id, "history": kept})
    await clients.tell_who_is_here()


async def _refuse(ws: WebSocket, text: str = "") -> None:
    reason = "That was a lot at once: wait a moment, then send it again."
    await ws.send({"type": "refused", "text": text, "reason": reason})
