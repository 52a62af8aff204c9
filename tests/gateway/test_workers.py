"""Workers in other processes send through the gateway: with the application itself, or as they would on AWS."""

from __future__ import annotations

import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.cli.process import DEADLINE, Process
from tests.gateway.chalice_kit import hosting
from tests.gateway.test_chalice_apps import each_loop, hear, stop
from tests.gateway.workers_kit import KEY, clean_environment, folder_with_examples, proxying, run_worker
from tests.programs import free_port

WRONG = KEY | {"AWS_SECRET_ACCESS_KEY": "another one"}
GONE = "AAAAAAAAAAAAAAA="

SAY_DOMAIN = """

@app.on_ws_connect()
def connect(event: WebsocketEvent) -> None:
    print(f"https://{event.domain_name}/{event.stage}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_with_examples(tmp_path)


def id_of(client: ClientConnection) -> str:
    client.send("who am I?")
    return hear(client)


def base_of(url: str) -> str:
    return f"http://{urlsplit(url).netloc}"


@each_loop
def test_a_worker_in_python(loop: str, folder: Path) -> None:
    """E5."""
    with hosting(folder, loop) as (process, url), connect(url) as client:
        command, place = ["worker_in_python.py", id_of(client), "Dinner is ready"], ("8000", str(urlsplit(url).port))
        # Neither a region nor credentials, and a proxy that nothing may go through.
        done = run_worker(command, folder, {"HTTP_PROXY": "http://127.0.0.1:9"}, place)
        assert (done.stdout, done.stderr) == ("sent\n", "")
        assert hear(client) == "Dinner is ready"
        done = run_worker(["worker_in_python.py", GONE, "x"], folder, {})
        assert (done.stdout, done.stderr) == (f"{GONE} is gone\n", "")
        assert stop(process) == ""


@each_loop
def test_a_worker_in_python_with_keys(loop: str, folder: Path) -> None:
    with hosting(folder, loop, "--keys", str(folder / "keys")) as (_, url), connect(url) as client:
        command, place = ["worker_in_python.py", id_of(client), "Dinner is ready"], ("8000", str(urlsplit(url).port))
        done = run_worker(command, folder, KEY, place)
        assert (done.stdout, done.stderr) == ("sent\n", "")
        assert hear(client) == "Dinner is ready"
        for environment in (WRONG, {}):
            done = run_worker(command, folder, environment)
            assert (done.returncode, done.stdout) == (1, "")
            assert "ForbiddenException" in done.stderr
        client.send("nothing else came")
        assert hear(client) == "nothing else came"


@each_loop
@pytest.mark.parametrize("is_signed", [False, True])
def test_a_worker_on_the_wire(loop: str, is_signed: bool, folder: Path) -> None:
    """E8, with and without keys."""
    arguments = ["--keys", str(folder / "keys")] if is_signed else []
    with (
        hosting(folder, loop, *arguments) as (gateway, url),
        proxying(base_of(url), folder) as (proxy, environment),
        connect(url) as client,
    ):
        assert environment.keys() == {"HTTPS_PROXY", "AWS_CA_BUNDLE"}
        command = ["worker_on_the_wire.py", id_of(client), "Dinner is ready"]
        done = run_worker(command, folder, environment | KEY)
        assert (done.stdout, done.stderr) == ("sent\n", "")
        assert hear(client) == "Dinner is ready"
        done = run_worker(["worker_on_the_wire.py", GONE, "x"], folder, environment | KEY)
        assert (done.stdout, done.stderr) == (f"{GONE} is gone\n", "")
        if is_signed:
            done = run_worker(command, folder, environment | WRONG)
            assert "ForbiddenException" in done.stderr
            client.send("nothing else came")
            assert hear(client) == "nothing else came"
        assert stop(gateway) == ""
        said = stop(proxy)
        assert said.count("abcd1234.execute-api.us-west-2.amazonaws.com:443, to the gateway: ") == 2 + is_signed


@each_loop
def test_a_function_of_lambda_that_answers_where_its_event_is_from(
    loop: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    with proxying(f"http://127.0.0.1:{port}", folder) as (proxy, environment):
        for name, value in clean_environment(folder, environment | KEY).items():
            monkeypatch.setenv(name, value)
        for name in ("NO_PROXY", "no_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        arguments = ["serve", "lambda_host:app", "--loop", loop, "--listen", f"127.0.0.1:{port}"]
        with Process(*arguments, cwd=folder) as gateway:
            gateway.out.expect(rf"http://127\.0\.0\.1:{port}")
            with connect(f"ws://127.0.0.1:{port}/api/", proxy=None) as client:
                for text in ("one", "two"):
                    client.send(text)
                    assert hear(client) == f"You said: {text}"
            stop(gateway)
        assert "to the gateway" in stop(proxy)


@each_loop
def test_a_domain_of_ones_own(loop: str, folder: Path) -> None:
    (folder / "app.py").write_text(f"{(folder / 'app.py').read_text()}{SAY_DOMAIN}")
    with (
        hosting(folder, loop, "--domain-name", "ws.example.com") as (gateway, url),
        proxying(base_of(url), folder, "--host", "ws.example.com") as (_, environment),
        connect(url) as client,
    ):
        gateway.out.expect(r"https://ws\.example\.com/api\n")
        command = ["worker_on_the_wire.py", id_of(client), "Dinner is ready"]
        place = ("abcd1234.execute-api.us-west-2.amazonaws.com", "ws.example.com")
        done = run_worker(command, folder, environment | KEY, place)
        assert (done.stdout, done.stderr) == ("sent\n", "")
        assert hear(client) == "Dinner is ready"


def test_a_worker_that_calls_others_of_aws(folder: Path) -> None:
    """They are for the proxy to refuse, or to connect to; never for the gateway."""
    worker = "import boto3; boto3.client('sts', region_name='us-west-2').get_caller_identity()"
    (folder / "other.py").write_text(worker)
    with proxying("http://127.0.0.1:9", folder, "--only-aws") as (proxy, environment):
        done = run_worker(["other.py"], folder, environment | KEY | {"AWS_MAX_ATTEMPTS": "1"})
        assert "ProxyConnectionError" in done.stderr
        proxy.err.expect(r"403, sts\.us-west-2\.amazonaws\.com:443 is none of \*\.execute-api\.\*\.amazonaws\.com, ")


def test_the_same_authority_the_next_time(folder: Path) -> None:
    texts = []
    for _ in range(2):
        with proxying("http://127.0.0.1:9", folder) as (proxy, environment):
            texts.append((folder / "ca.pem").read_text())
            assert environment["AWS_CA_BUNDLE"] == str(folder / "ca-bundle.pem")
            assert (folder / "ca-bundle.pem").read_text().startswith(texts[-1])
            proxy.popen.send_signal(signal.SIGINT)
            assert proxy.popen.wait(DEADLINE) == 0
    assert texts[0] == texts[1]
