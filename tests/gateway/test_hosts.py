"""Gateways on servers of other makes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.gateway.test_served import PATIENCE, ask, management, opened, received
from tests.hosting.servers import serving_with

# Of uvicorn one: its three ways differ in what this does not use.
SERVERS = ["uvicorn websockets-sansio", "hypercorn", "daphne"]


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    with serving_with(SERVERS, "tests.gateway.served_applications:app") as urls:
        yield {name: f"{url}/" for name, url in urls.items()}


@pytest.mark.parametrize("server", SERVERS)
def test_a_gateway(urls: dict[str, str], server: str) -> None:
    url = urls[server]
    api = management(url)
    with opened(url) as (client, connection_id):
        for text in ("foo", "bar", "grüße"):
            client.send(text)
            assert received(client) == text
        ask(client, action="info")
        assert json.loads(received(client))["SourceIp"] == "127.0.0.1"
        api.post_to_connection(ConnectionId=connection_id, Data="from outside")
        assert received(client) == "from outside"
        assert api.get_connection(ConnectionId=connection_id)["Identity"]["SourceIp"] == "127.0.0.1"
        ask(client, action="close")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4000
    with pytest.raises(api.exceptions.GoneException):
        api.post_to_connection(ConnectionId=connection_id, Data="x")
    with pytest.raises(InvalidStatus) as refused, opened(url, "?refuse=1"):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("server", SERVERS)
def test_a_binary_message_is_the_last(urls: dict[str, str], server: str) -> None:
    with opened(urls[server]) as (client, _):
        client.send(b"binary")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE)
    assert caught.value.rcvd is not None
    # Daphne sends no code of the protocol but 1000.
    assert caught.value.rcvd.code == (4003 if server == "daphne" else 1003)


@pytest.mark.parametrize("server", SERVERS)
def test_a_client_that_goes_is_gone(urls: dict[str, str], server: str) -> None:
    url = urls[server]
    with opened(url) as (witness, _):
        with opened(url) as (_, connection_id):
            pass
        # Its end may be seen later than ours.
        api = management(url)

        def post() -> None:
            for _ in range(10_000):
                api.post_to_connection(ConnectionId=connection_id, Data="x")

        with pytest.raises(api.exceptions.GoneException):
            post()
        witness.send("still here")
        assert received(witness) == "still here"
