"""``--backplane``: what is said where it cannot be, and that a server goes on without Redis."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from autobahnlike.cli import main
from tests.cli.process import LOOPS, Process, write_application
from tests.gateway.chalice_kit import write_app
from tests.gateway.test_served import ask, management, opened, received
from tests.hosting.serving import served

GATEWAY = "tests.gateway.served_applications:app"


def status(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.fixture
def nowhere() -> str:
    """The address of a Redis that is not there."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"redis://:secret@127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("loop", LOOPS)
def test_without_redis_everything_within_the_process_works(loop: str, nowhere: str) -> None:
    with served(GATEWAY, loop, "--backplane", nowhere) as (process, url), opened(url) as (client, connection_id):
        ask(client, action="tell", whom=connection_id, what="here I am")
        assert received(client) == "here I am"
        management(url).post_to_connection(ConnectionId=connection_id, Data="from outside")
        assert received(client) == "from outside"
        process.err.expect(r"cannot connect to Redis at 127\.0\.0\.1:\d+: Connection refused; trying again")
        assert "secret" not in process.err._text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backplane", "http://127.0.0.1"], "--backplane: "),
        (["--backplane", "redis://127.0.0.1", "--backplane-prefix", "a b"], "--backplane: prefix is 1 to 64"),
        (["--backplane-prefix", "kitchen"], "--backplane-prefix is for --backplane, which is missing"),
    ],
)
def test_what_is_not_valid(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["serve", GATEWAY], ["chalice", str(write_app(tmp_path, ""))]):
        assert status([*command, *arguments]) == 2
        assert message in capsys.readouterr().err


def test_an_application_that_has_no_use_for_it(tmp_path: Path) -> None:
    write_application(tmp_path)
    with Process("serve", "hello:app", "--backplane", "redis://127.0.0.1", cwd=tmp_path) as process:
        assert process.status() == 2
        assert "--backplane is for applications of autobahnlike, a Gateway or an App, unlike " in process.err.all()


def test_one_that_has_a_backplane_already(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TEST_REDIS_URL", "redis://127.0.0.1")
    target = "tests.gateway.served_applications:on_redis"
    assert status(["serve", target, "--factory", "--listen", "127.0.0.1:0", "--backplane", "redis://127.0.0.1"]) == 2
    assert "--backplane: the gateway has a backplane already" in capsys.readouterr().err


def test_several_processes_of_chalice_need_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["chalice", str(write_app(tmp_path, "")), "--workers", "2"]) == 2
    assert "which find each other with --backplane only" in capsys.readouterr().err
