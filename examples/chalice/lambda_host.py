"""A gateway that calls the function with its events: ``autobahnlike serve lambda_host:app``."""

from typing import Any

from lambda_function import lambda_handler

from autobahnlike.gateway import Gateway, WebsocketEvent

# What events say, and so where the function sends.
app = Gateway(app_name="host of a function", domain_name="abcd1234.execute-api.us-west-2.amazonaws.com")


def call(event: WebsocketEvent) -> Any:
    return lambda_handler(event.to_dict(), event.context)


for route in (app.on_ws_connect(), app.on_ws_message(), app.on_ws_disconnect()):
    route(call)
