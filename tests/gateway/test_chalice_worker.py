"""An application of Chalice in a process that only sends: what its session is asked for, and with what."""

from __future__ import annotations

from typing import Any

import pytest
from boto3.session import Session  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import NoCredentialsError  # type: ignore[import-untyped]
from chalice.app import Chalice

from autobahnlike.gateway.chalice import ChaliceHost
from autobahnlike.gateway.chalice_worker import connect

SERVICE = "apigatewaymanagementapi"
URL = "http://127.0.0.1:8000/api"
FAR = "https://gateway.example.com/api"


class Asked:
    """A session that is asked for clients.

    Attributes:
        options: those of the last client.
    """

    def __init__(self, credentials: object = None, region: str | None = None) -> None:
        self.region_name = region
        self.options: dict[str, Any] = {}
        self.sent: list[tuple[str, str]] = []
        self._credentials = credentials

    def get_credentials(self) -> object:
        return self._credentials

    def client(self, service_name: str, *args: Any, **options: Any) -> Any:
        if service_name != SERVICE:
            return service_name, args, options
        assert args == ()
        self.options = options
        return self

    def post_to_connection(self, *, ConnectionId: str, Data: str) -> None:
        self.sent.append((ConnectionId, Data))


def chalice_app(session: Any = None) -> Chalice:
    app = Chalice("test", env={}, configure_logs=False)
    app.websocket_api.session = session
    return app


@pytest.fixture(autouse=True)
def _no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("is_before", [True, False])
def test_whenever_the_application_assigns_its_session(is_before: bool) -> None:
    session = Asked()
    app = chalice_app(session if is_before else None)
    connect(app, URL)
    if not is_before:
        with pytest.raises(ValueError, match=r"Assign app\.websocket_api\.session to a boto3 session"):
            app.websocket_api.send("x", "too early")
        app.websocket_api.session = session
    # Without an event, and without a region.
    app.websocket_api.send("x", "hello")
    assert session.sent == [("x", "hello")]
    proxies = session.options.pop("config").proxies
    assert (session.options, proxies) == (
        {
            "endpoint_url": URL,
            "region_name": "us-east-1",
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        },
        {},
    )


def test_the_rest_of_the_session_is_what_it_was() -> None:
    app = chalice_app(Asked(region="eu-west-1"))
    connect(app, URL)
    session: Any = app.websocket_api.session
    assert session.region_name == "eu-west-1"
    assert session.client("s3", "eu-west-1", verify=False) == ("s3", ("eu-west-1",), {"verify": False})


def test_keys_and_region_that_are_given() -> None:
    session = Asked(credentials="of the session", region="eu-west-1")
    app = chalice_app(session)
    connect(app, FAR, access_key="KEY", secret_key="secret", region="us-west-2", verify="ca.pem")
    app.websocket_api.send("x", "hello")
    assert session.options == {
        "endpoint_url": FAR,
        "region_name": "us-west-2",
        "aws_access_key_id": "KEY",
        "aws_secret_access_key": "secret",
        "verify": "ca.pem",
    }


def test_credentials_and_region_of_the_session() -> None:
    session = Asked(credentials="of the session", region="eu-west-1")
    app = chalice_app(session)
    connect(app, FAR)
    app.websocket_api.send("x", "hello")
    assert session.options == {"endpoint_url": FAR, "region_name": "eu-west-1"}


def test_what_the_application_says_of_a_client_itself() -> None:
    session = Asked()
    app = chalice_app(session)
    connect(app, URL)
    wrapped: Any = app.websocket_api.session
    wrapped.client(SERVICE, "eu-west-1", endpoint_url="https://x", config=Config(read_timeout=7))
    config = session.options["config"]
    assert (session.options["region_name"], session.options["endpoint_url"]) == ("eu-west-1", URL)
    assert (config.read_timeout, config.proxies) == (7, {})


def test_a_gateway_elsewhere_needs_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    app = chalice_app(Asked())
    connect(app, FAR)
    with pytest.raises(NoCredentialsError, match=r"nothing to sign with for https://gateway\.example\.com/api: give"):
        app.websocket_api.send("x", "hello")
    # Those of the environment, as boto3 finds them.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    app.websocket_api.session = Session()
    client = app.websocket_api.session.client(SERVICE)
    assert client.meta.endpoint_url == FAR
    assert client._request_signer._credentials.access_key == "KEY"


def test_twice() -> None:
    session = Asked()
    app = chalice_app(session)
    for _ in range(2):
        connect(app, URL)
    app.websocket_api.send("x", "hello")
    connect(app, URL)
    assert session.sent == [("x", "hello")]
    with pytest.raises(RuntimeError, match=rf"is connected to {URL} already"):
        connect(app, FAR)


def test_too_late() -> None:
    app = chalice_app(Asked())
    app.websocket_api.configure("x", "api")
    app.websocket_api.send("x", "hello")
    with pytest.raises(RuntimeError, match="has sent something already"):
        connect(app, URL)


def test_where_the_application_is_hosted() -> None:
    app = chalice_app(Asked())
    app.on_ws_message()(lambda event: None)
    ChaliceHost(app)
    with pytest.raises(RuntimeError, match="is hosted in this process"):
        connect(app, URL)


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("127.0.0.1:8000/api", "is not like"),
        ("ws://127.0.0.1:8000/api", "is not like"),
        ("http:///api", "is not like"),
        ("http://127.0.0.1:8000", r"lacks the stage: write http://127\.0\.0\.1:8000/api"),
        ("http://127.0.0.1:8000/", r"lacks the stage: write http://127\.0\.0\.1:8000/api"),
        ("http://u:secret@127.0.0.1/api", "there is no query, fragment or user"),
        ("http://127.0.0.1/api?x=1", "there is no query, fragment or user"),
        ("http://127.0.0.1:port/api", "is no URL"),
    ],
)
def test_urls_that_are_none(url: str, match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        connect(chalice_app(), url)
    assert "secret" not in str(caught.value)


def test_what_else_cannot_be() -> None:
    with pytest.raises(ValueError, match="go together"):
        connect(chalice_app(), URL, access_key="KEY")
    with pytest.raises(TypeError, match="has to be an application of Chalice, not object"):
        connect(object(), URL)


def test_a_secret_is_not_shown() -> None:
    app = chalice_app(Asked())
    connect(app, URL, access_key="KEY", secret_key="hush")
    assert "hush" not in repr(vars(app.websocket_api))
