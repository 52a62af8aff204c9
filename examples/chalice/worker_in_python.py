"""A worker that imports the application, and sends with it: ``python worker_in_python.py ID TEXT``."""

import sys

from app import app
from chalice.app import WebsocketDisconnectedError

from autobahnlike.gateway.chalice_worker import connect

connect(app, "http://127.0.0.1:8000/api")


def tell(connection_id: str, text: str) -> None:
    try:
        app.websocket_api.send(connection_id, text)
        print("sent")
    except WebsocketDisconnectedError as error:
        print(error.connection_id, "is gone")


tell(*sys.argv[1:3])
