"""An application of AWS Chalice: each guest is told a number, by which workers elsewhere send.

``autobahnlike chalice app.py`` serves it; ``chalice deploy`` brings it to AWS.
"""

from boto3.session import Session  # type: ignore[import-untyped]
from chalice.app import Chalice, WebsocketEvent

app = Chalice(app_name="kitchen")
app.experimental_feature_flags.update(["WEBSOCKETS"])
app.websocket_api.session = Session()


@app.on_ws_message()
def message(event: WebsocketEvent) -> None:
    answer = event.connection_id if event.body == "who am I?" else event.body
    app.websocket_api.send(event.connection_id, answer)
