"""``autobahnlike chalice``: threads, coroutines, the management API, reloading, and what it says if it cannot serve."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect, unix_connect

from autobahnlike.cli import main
from tests.cli.process import DEADLINE, Process
from tests.gateway.chalice_kit import copy_app, hosting, write_app
from tests.gateway.test_chalice_apps import each_loop, hear, stop

TOGETHER = """
import threading

barrier = threading.Barrier(2)


@app.on_ws_message()
def message(event):
    if event.body == "together":
        # Nobody gets on who is alone.
        barrier.wait(30)
    app.websocket_api.send(event.connection_id, event.body)
"""


@each_loop
def test_handlers_that_block_hold_up_their_own_connection_only(loop: str, tmp_path: Path) -> None:
    with hosting(write_app(tmp_path, TOGETHER), loop) as (process, url), connect(url) as one, connect(url) as other:
        for client in (one, other):
            client.send("together")
            client.send("behind it")
        for client in (one, other):
            assert [hear(client), hear(client)] == ["together", "behind it"]
        assert stop(process) == ""


ASYNC = """
import asyncio

first = asyncio.Event()


@app.on_ws_connect()
async def connect(event):
    await asyncio.sleep(0)
    return {"statusCode": 403} if "no" in event.to_dict().get("queryStringParameters", {}) else None


@app.on_ws_message()
async def message(event):
    if event.body == "wait":
        await asyncio.wait_for(first.wait(), 30)
    elif event.body == "go":
        first.set()
    elif event.body == "fail":
        raise ValueError("on purpose")
    try:
        app.websocket_api.send("AAAAAAAAAAAAAAA=", "nobody")
    except WebsocketDisconnectedError as error:
        app.websocket_api.send(event.connection_id, f"{event.body}, and {error} is gone")
"""


@each_loop
def test_ch_25_coroutine_functions_are_awaited(loop: str, tmp_path: Path) -> None:
    with hosting(write_app(tmp_path, ASYNC), loop) as (process, url), connect(url) as one, connect(url) as other:
        # What one waits for, another one does: they share a loop.
        one.send("wait")
        other.send("go")
        assert hear(other) == "go, and AAAAAAAAAAAAAAA= is gone"
        assert hear(one) == "wait, and AAAAAAAAAAAAAAA= is gone"
        other.send("fail")
        assert json.loads(hear(other))["message"] == "Internal server error"
        process.err.expect("ValueError: on purpose")
        with pytest.raises(Exception, match="HTTP 403"):
            connect(f"{url}?no=1")


EVENTS = """
import json


@app.on_ws_connect()
def connect(event):
    print(json.dumps(event.to_dict()))


@app.on_ws_message()
def message(event):
    app.websocket_api.send(event.connection_id, event.connection_id)


@app.on_ws_disconnect()
def disconnect(event):
    print(json.dumps(event.to_dict()))


@app.route("/rest")
def rest():
    return {"path": app.current_request.path}
"""


def a_client(url: str, secret: str) -> Any:
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"http{url.removeprefix('ws')}",
        region_name="us-east-1",
        aws_access_key_id="KEY",
        aws_secret_access_key=secret,
    )


@each_loop
def test_boto3_rest_and_events(loop: str, tmp_path: Path) -> None:
    write_app(tmp_path, EVENTS)
    keys = tmp_path / "keys"
    keys.write_text("# who may\nKEY secret\n")
    arguments = ["--stage", "dev", "--keys", str(keys), "--aws"]
    with (
        hosting(tmp_path, loop, *arguments) as (process, url),
        # So that a frame is as large as what it has.
        connect(url, compression=None) as client,
    ):
        assert url.endswith("/dev/")
        rest_url = process.out.expect(r"\n  - Rest API URL: (http://\S+/dev/)\n")[1]
        with urllib.request.urlopen(f"{rest_url}rest", timeout=DEADLINE) as response:
            assert json.load(response) == {"path": "/rest"}
        client.send("who am I?")
        connection_id = hear(client)
        api = a_client(url, "secret")
        api.post_to_connection(ConnectionId=connection_id, Data=b"from boto3")
        assert hear(client) == "from boto3"
        assert api.get_connection(ConnectionId=connection_id)["Identity"]["SourceIp"] == "127.0.0.1"
        with pytest.raises(api.exceptions.PayloadTooLargeException):
            api.post_to_connection(ConnectionId=connection_id, Data=b"x" * (128 * 1024 + 1))
        with pytest.raises(ClientError, match="ForbiddenException"):
            a_client(url, "wrong").post_to_connection(ConnectionId=connection_id, Data=b"x")
        # The limits of API Gateway.
        client.send("x" * (32 * 1024 + 1))
        with pytest.raises(ConnectionClosedError, match="1009"):
            client.recv(DEADLINE)
        process.out.expect("DISCONNECT")
        with pytest.raises(api.exceptions.GoneException):
            api.delete_connection(ConnectionId=connection_id)
        stop(process)
        events = [json.loads(line)["requestContext"] for line in process.out.all().splitlines() if line[0] == "{"]
        assert [each["routeKey"] for each in events] == ["$connect", "$disconnect"]
        assert {each["connectionId"] for each in events} == {connection_id}
        assert {each["stage"] for each in events} == {"dev"}


def test_environment_and_chalicelib(tmp_path: Path) -> None:
    source = """
import os
from chalicelib.names import NAME


@app.on_ws_message()
def message(event):
    app.websocket_api.send(event.connection_id, f"{NAME} {os.environ['GREETING']}")
"""
    (tmp_path / "chalicelib").mkdir()
    (tmp_path / "chalicelib" / "names.py").write_text("from vendored import NAME")
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "vendored.py").write_text("NAME = 'vendored'")
    (tmp_path / ".chalice").mkdir()
    stages = {"prod": {"environment_variables": {"GREETING": "hello"}}}
    config = {"environment_variables": {"GREETING": "none"}, "stages": stages}
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(config))
    path = write_app(tmp_path, source)
    for arguments, greeting in (([], "none"), (["--chalice-stage", "prod"], "hello")):
        with hosting(path, "asyncio", *arguments) as (_, url), connect(url) as client:
            client.send("x")
            assert hear(client) == f"vendored {greeting}"


ANSWER = """
@app.on_ws_message()
def message(event):
    app.websocket_api.send(event.connection_id, "VERSION")
"""


def answers_of(url: str) -> str:
    with connect(url) as client:
        client.send("x")
        return hear(client)


def test_reload(tmp_path: Path) -> None:
    path = write_app(tmp_path, ANSWER)
    with hosting(path, "asyncio", "--reload") as (process, url):
        assert answers_of(url) == "VERSION"
        write_app(tmp_path, ANSWER.replace("VERSION", "another version"))
        process.out.expect(r"(?s)(Websocket API URL.*){2}")
        assert answers_of(url) == "another version"
        process.popen.send_signal(signal.SIGINT)
        assert process.status() == 0


def fail(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as caught:
        main(["chalice", *arguments])
    return caught.value.code, capsys.readouterr().err


def test_without_chalice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("autobahnlike.cli.chalice.is_installed", lambda package: package != "chalice")
    assert fail(capsys, str(copy_app("echo", tmp_path))) == (
        2,
        "autobahnlike: serving Chalice applications needs chalice: pip install 'autobahnlike[chalice]'\n",
    )


def test_paths_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("missing.py", ""):
        status, said = fail(capsys, str(tmp_path / name))
        assert status == 2
        assert said.startswith("autobahnlike: there is no file ")
        assert said.count("\n") == 1
    (tmp_path / "app.txt").write_text("")
    status, said = fail(capsys, str(tmp_path / "app.txt"))
    assert (status, "is no Python module" in said) == (2, True)


@pytest.mark.parametrize(("text", "said"), [("", "at least one"), ("KEY", "lines of"), ("a b c", "lines of")])
def test_keys_that_are_none(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys").write_text(text)
    path = str(copy_app("echo", tmp_path))
    status, shown = fail(capsys, path, "--keys", str(tmp_path / "keys"))
    assert (status, said in shown) == (2, True)
    assert fail(capsys, path, "--keys", str(tmp_path / "none"))[0] == 2


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("1 / 0", 3, r"app\.py\", line 9.*ZeroDivisionError.*autobahnlike: app\.py failed with ZeroDivisionError\n$"),
        ("import nothing_of_the_kind", 3, "autobahnlike: app.py failed with ModuleNotFoundError\n$"),
        ("a b", 3, "SyntaxError.*autobahnlike: app.py failed with SyntaxError\n$"),
        ("app = 1", 2, "has no Chalice application by the name of app\n$"),
        ("def f(e): pass\napp.on_ws_connect()(f)\ndef g(e): pass\napp.on_ws_message('f')(g)", 2, "two handlers are"),
    ],
)
def test_applications_that_are_none(source: str, status: int, said: str, tmp_path: Path) -> None:
    with Process("chalice", str(write_app(tmp_path, source)), "--listen", "127.0.0.1:0") as process:
        process.err.expect(f"(?s){said}")
        assert process.status() == status
        assert "cli/chalice.py" not in process.err.all()


def test_a_configuration_and_a_stage_that_are_none(tmp_path: Path) -> None:
    path = copy_app("echo", tmp_path)
    with Process("chalice", str(path), "--stage", "a/b") as process:
        process.err.expect("autobahnlike: a stage is like api")
        assert process.status() == 2
    (path / ".chalice").mkdir()
    (path / ".chalice" / "config.json").write_text("[")
    with Process("chalice", str(path)) as process:
        process.err.expect(r"autobahnlike: \S+config\.json cannot be read: ")
        assert process.status() == 2


def test_an_application_without_websockets_has_no_url(tmp_path: Path) -> None:
    source = "@app.route('/')\ndef index():\n    return 'rest only'"
    with Process("chalice", str(write_app(tmp_path, source)), "--listen", "127.0.0.1:0") as process:
        url = process.out.expect(r"Rest API URL: (\S+)\n")[1]
        process.err.expect("has no on_ws_connect, on_ws_message, on_ws_disconnect: only its REST routes are served")
        with urllib.request.urlopen(url, timeout=DEADLINE) as response:
            assert response.read() == b"rest only"
        with pytest.raises(Exception, match="HTTP 403"):
            connect(f"ws{url.removeprefix('http')}")
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert "Websocket" not in process.out.all()


def test_a_unix_socket_is_named_beside_the_url(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Process("chalice", str(copy_app("echo", tmp_path)), "--listen", f"unix:{path}") as process:
        process.out.expect(rf"  - Websocket API URL: ws://localhost/api/ at {path}\n")
        with unix_connect(str(path), "ws://localhost/api/") as client:
            client.send("x")
            assert hear(client) == "x"
