"""The reference of events and limits says what is."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from autobahnlike.gateway import AWS, Limits
from autobahnlike.gateway.management import _ERRORS
from tests.app.harness import Way, both_ways
from tests.cli.process import DEADLINE, Process
from tests.gateway.kit import gateway, talk
from tests.gateway.test_served import management
from tests.programs import ROOT
from tests.test_docs import BLOCKS

PAGE = ROOT / "docs" / "guide" / "gateway" / "events.rst"

Row = dict[str, str]


def tables() -> list[list[Row]]:
    """The tables of the page: rows of cells by the headings of their columns."""
    found: list[list[list[str]]] = []
    for line in PAGE.read_text().splitlines():
        if line.startswith(".. list-table::"):
            found.append([])
        elif line.startswith("   * -"):
            found[-1].append([line[6:].strip()])
        elif line.startswith("     -"):
            found[-1][-1].append(line[6:].strip())
        elif line.startswith("       ") and found and found[-1] and not line.startswith("       :"):
            found[-1][-1][-1] += f" {line.strip()}"
    return [[dict(zip(head, row, strict=True)) for row in rows] for head, *rows in found]


def table(*columns: str) -> list[Row]:
    """The table with these columns; several one after the other."""
    return [row for rows in tables() for row in rows if tuple(row) == columns]


def literals(text: str) -> list[str]:
    return re.findall("``(.+?)``", text)


EXAMPLES = [json.loads(block.text) for block in BLOCKS if block.page == PAGE and block.language == "json"]
EVENTS = [each for each in EXAMPLES if "requestContext" in each]
(INFO,) = (each for each in EXAMPLES if "lastActiveAt" in each)
(ERROR,) = (each for each in EXAMPLES if "message" in each)

assert len(EXAMPLES) == len(EVENTS) + 2

HEADERS = {
    **{name.lower(): value for name, value in EVENTS[0]["headers"].items() if not name.startswith("X-")},
    "connection": "Upgrade",
    "upgrade": "websocket",
}
STAGE_VARIABLES = EVENTS[0]["stageVariables"]
SCOPE: dict[str, Any] = {"scheme": "wss", "client": ("192.0.2.7", 50000), "server": ("203.0.113.1", 443)}

# What is another one each time: times, and what is random.
VARIES = {
    "extendedRequestId": r"[\w-]{15}=",
    "requestId": r"[\w-]{15}=",
    "messageId": r"[\w-]{15}=",
    "connectionId": r"[\w-]{15}=",
    "requestTime": r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000",
    "connectedAt": r"\d{13}",
    "requestTimeEpoch": r"\d{13}",
    "X-Amzn-Trace-Id": r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}",
}


def leveled(value: Any, name: str = "") -> Any:
    """An event without what varies, which has to look as it should."""
    if isinstance(value, dict):
        return {key: leveled(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [leveled(each, name) for each in value]
    if name in VARIES:
        assert re.fullmatch(VARIES[name], str(value)), (name, value)
        return type(value).__name__
    return value


async def events(way: Way, path: str, headers: dict[str, str], **options: Any) -> list[dict[str, Any]]:
    """The three events of a conversation."""
    app = gateway(way, **options)
    made: list[dict[str, Any]] = []
    for decorator in (app.on_ws_connect, app.on_ws_message, app.on_ws_disconnect):
        decorator()(lambda event: made.append(event.to_dict()))
    await talk(way, app, path, EVENTS[1]["body"], headers=headers, disconnect=1005, **SCOPE)
    return made


@both_ways
async def test_the_examples_are_what_handlers_get(way: Way) -> None:
    path = "/api/?room=garden&room=kitchen"
    made = await events(way, path, HEADERS, domain_name="chat.example.com", stage_variables=STAGE_VARIABLES)
    assert [leveled(each) for each in made] == [leveled(each) for each in EVENTS]
    # Nor are there other members in another order.
    assert [list(each["requestContext"]) for each in made] == [list(each["requestContext"]) for each in EVENTS]
    for each in (made, EVENTS):
        contexts = [event["requestContext"] for event in each]
        assert len({context["connectionId"] for context in contexts}) == 1
        assert len({context["requestId"] for context in contexts}) == 3
        assert all(context["requestId"] == context["extendedRequestId"] for context in contexts)
        assert len({context["connectedAt"] for context in contexts}) == 1


TYPES = {
    "text": str,
    "number": int,
    "true or false": bool,
    "object": dict,
    "object of text": dict,
    "object of lists of text": dict,
}
KINDS = ("``$connect``", "messages", "``$disconnect``")


def members(event: dict[str, Any]) -> dict[str, Any]:
    """What there is in an event, by its name in the tables."""
    context: dict[str, Any] = event["requestContext"]
    identity = {f"identity.{name}": value for name, value in context["identity"].items()}
    return event | {name: value for name, value in context.items() if name != "identity"} | identity


@both_ways
async def test_the_tables_have_every_member(way: Way) -> None:
    rows = table("Member", "Type", "In", "What it is")
    full = await events(way, "/api/?a=b", HEADERS, stage_variables=STAGE_VARIABLES)
    least = await events(way, "/api/", {"host": "chat.example.com"})
    for kind, (event, bare) in zip(KINDS, zip(full, least, strict=True), strict=True):
        documented: dict[str, Any] = {}
        for row in rows:
            if kind in row["In"]:
                documented |= dict.fromkeys(literals(row["Member"]), row)
        assert documented.keys() == members(event).keys(), kind
        always = {name for name, row in documented.items() if ", if " not in row["In"]}
        assert always == members(bare).keys(), kind
        for name, row in documented.items():
            value = members(event)[name]
            assert TYPES[row["Type"]] is type(value), name
            if "object of" in row["Type"]:
                kinds = {type(each) for each in members(event)[name].values()}
                assert kinds == {list if "lists" in row["Type"] else str}, name


@both_ways
async def test_the_other_examples(way: Way) -> None:
    app = gateway(way)
    told: list[Any] = []

    @app.on_ws_message()
    async def message(event: Any) -> None:
        path = f"/api/@connections/{event.connection_id.replace('/', '%2F')}"
        told.append(json.loads((await way.request(app, path, headers={"host": "localhost"})).body))
        raise ValueError("as the page says")

    client = await talk(way, app, "/api/", "x", headers={"user-agent": "Mozilla/5.0"}, **SCOPE)
    error = json.loads(client.wire[1])
    assert {**error, "connectionId": "", "requestId": ""} == {**ERROR, "connectionId": "", "requestId": ""}
    times = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    for info in (told[0], INFO):
        assert re.fullmatch(times, info["connectedAt"])
        assert re.fullmatch(times, info["lastActiveAt"])
        assert info.keys() == INFO.keys()
    assert told[0]["identity"] == INFO["identity"]


# -- Close codes

APP = """
from autobahnlike.gateway import Gateway, Limits

app = Gateway("closing", limits=Limits(max_message_size=1000))
idle = Gateway("idle", limits=Limits(idle_timeout=0.2))
old = Gateway("old", limits=Limits(max_lifetime=0.2))


names = {}


def add_handlers(app):
    @app.on_ws_connect()
    def connect(event):
        names[event.connection_id] = event.to_dict()["queryStringParameters"]["name"]

    @app.on_ws_message()
    def message(event):
        if event.body == "close":
            app.websocket_api.close(event.connection_id, 4001, "as you wish")
        else:
            app.websocket_api.send(event.connection_id, event.connection_id)

    @app.on_ws_disconnect()
    def disconnect(event):
        context = event.to_dict()["requestContext"]
        print(names[event.connection_id], context["disconnectStatusCode"], context["disconnectReason"], flush=True)


for each in (app, idle, old):
    add_handlers(each)
"""


@pytest.fixture(scope="module", params=["asyncio", "twisted"])
def closing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Gateways that tell what their ``$disconnect`` was given: by name, each with its URL."""
    directory = tmp_path_factory.mktemp("closing")
    (directory / "closing.py").write_text(APP)
    processes = {}
    try:
        for name in ("app", "idle", "old"):
            arguments = ["serve", f"closing:{name}", "--loop", request.param, "--listen", "127.0.0.1:0"]
            processes[name] = Process(*arguments, cwd=directory)
        yield {name: (each, each.out.expect(r"Listening on (\S+) ")[1]) for name, each in processes.items()}
    finally:
        for each in processes.values():
            each.__exit__(None, None, None)


def closed(client: ClientConnection) -> Close:
    """Wait until the server closes."""
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(DEADLINE)
    assert caught.value.rcvd is not None
    return caught.value.rcvd


def send_frame(client: ClientConnection, opcode: int, payload: bytes) -> None:
    """Send a masked frame that the client itself would not."""
    client.socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload)


def delete(client: ClientConnection, url: str) -> None:
    client.send("who am I?")
    management(url).delete_connection(ConnectionId=str(client.recv(DEADLINE)))


# What makes it happen, by what the page says: which gateway, and what is done to it.
HOW: dict[str, tuple[str, Callable[[ClientConnection, str, Process], object]]] = {
    "The client closes with a code": ("app", lambda client, url, process: client.close(4321, "enough")),
    "The client closes without a code": ("app", lambda client, url, process: send_frame(client, 8, b"")),
    "The connection is lost": ("app", lambda client, url, process: client.socket.shutdown(socket.SHUT_RDWR)),
    "``websocket_api.close(id, code, reason)``": ("app", lambda client, url, process: client.send("close")),
    "``DELETE`` of the @connections API": ("app", lambda client, url, process: delete(client, url)),
    "``idle_timeout`` is over": ("idle", lambda client, url, process: None),
    "``max_lifetime`` is over": ("old", lambda client, url, process: None),
    "The client sends a binary message": ("app", lambda client, url, process: client.send(b"x")),
    "The client sends text that is not UTF-8": ("app", lambda client, url, process: send_frame(client, 1, b"\xff")),
    "The client sends more than ``max_message_size``": ("app", lambda client, url, process: client.send(1001 * "x")),
    # The last one, for what it does.
    "The server stops": ("app", lambda client, url, process: process.popen.terminate()),
}
GIVEN = {
    "The client closes with a code": (4321, "enough"),
    "``websocket_api.close(id, code, reason)``": (4001, "as you wish"),
}


def rows_of_closing() -> dict[str, Row]:
    return {row["What happens"]: row for row in table("What happens", "Code", "Reason", "What the event has")}


def test_every_row_of_closing_is_tried() -> None:
    assert rows_of_closing().keys() == HOW.keys()


@pytest.mark.parametrize("what", HOW)
def test_closing(closing: dict[str, Any], what: str) -> None:
    row = rows_of_closing()[what]
    gateway, do = HOW[what]
    process, url = closing[gateway]
    name = f"client{list(HOW).index(what)}"
    code, reason = GIVEN.get(what) or (int(row["Code"] or 0), "".join(literals(row["Reason"])))
    with connect(f"{url.replace('http', 'ws')}api/?name={name}", close_timeout=DEADLINE) as client:
        do(client, url, process)
        if row["Code"] not in ("", "its own"):
            seen = closed(client)
            assert (seen.code, seen.reason) == (code, reason)
    if row["What the event has"] != "The same.":
        code, reason = int(row["What the event has"][:4]), "".join(literals(row["What the event has"]))
    assert process.out.expect(rf"(?m)^{name} (\d+) (.*)\n").groups() == (str(code), reason)


# -- Numbers


def test_the_limits() -> None:
    rows = table("Limit", "Default", "``AWS``", "What happens then")
    shown = {row["Limit"].strip("`"): (float(row["Default"]), float(row["``AWS``"])) for row in rows}
    fields = [field.name for field in dataclasses.fields(Limits)]
    assert shown == {name: (getattr(Limits(), name), getattr(AWS, name)) for name in fields}


def test_the_errors_of_the_management_api() -> None:
    rows = {int(row["Status"]): row["Type"].strip("`") for row in table("Status", "Type", "When")}
    assert rows == {403: "ForbiddenException", 405: "MethodNotAllowedException"} | {
        status: kind for status, kind, _ in _ERRORS.values()
    }
