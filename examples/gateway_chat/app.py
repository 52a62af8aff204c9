"""A chat with rooms, written as functions: whoever connects says who they are, joins a room and talks."""

from dataclasses import dataclass
from pathlib import Path

from autobahnlike.app import App, Request, Response
from autobahnlike.gateway import Gateway, WebsocketEvent

HELP = """Commands:
/join ROOM  enter a room
/id  show the id of your connection
/quit  leave
Everything else is said in your room."""

PAGE = Path(__file__).with_name("index.html")

pages = App()
app = Gateway(app_name="chat", http=pages)


@dataclass
class Person:
    name: str = ""
    room: str = ""


people: dict[str, Person] = {}


@pages.route("/")
async def index(req: Request, res: Response) -> None:
    res.html = PAGE.read_text()


@app.on_ws_connect()
def connect(event: WebsocketEvent) -> None:
    people[event.connection_id] = Person()


@app.on_ws_message()
def message(event: WebsocketEvent) -> None:
    my_id, text = event.connection_id, (event.body or "").strip()
    person = people[my_id]
    command, _, argument = text.partition(" ")
    if not person.name:
        person.name = text[:30]
        app.websocket_api.send(my_id, f"Hello, {person.name}. Type /help for the commands.")
    elif command == "/join" and argument:
        join(my_id, person, argument[:50])
    elif command == "/id":
        app.websocket_api.send(my_id, my_id)
    elif command == "/quit":
        app.websocket_api.close(my_id)
    elif command.startswith("/"):
        app.websocket_api.send(my_id, HELP)
    elif person.room:
        app.rooms.publish(person.room, f"{person.name}: {text[:1000]}")
    else:
        app.websocket_api.send(my_id, "You are in no room. Type /join and the name of one.")


@app.on_ws_disconnect()
def disconnect(event: WebsocketEvent) -> None:
    person = people.pop(event.connection_id, None)
    if person and person.room:
        app.rooms.publish(person.room, f"{person.name} has left.")


def join(my_id: str, person: Person, room: str) -> None:
    before, person.room = person.room, room
    if before:
        app.rooms.leave(before, my_id)
        app.rooms.publish(before, f"{person.name} has left.")
    app.rooms.join(room, my_id)
    app.rooms.publish(room, f"{person.name} has joined.")
