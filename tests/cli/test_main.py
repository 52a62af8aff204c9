"""What the command line accepts, and what it says of what it does not."""

from __future__ import annotations

import os
import platform
import re
import socket
import ssl
import subprocess
import sys

import pytest

from autobahnlike import __version__
from autobahnlike.asgi.failure import explain
from autobahnlike.cli import main
from autobahnlike.speed import implementation
from tests.cli.process import ROOT, Process


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


@pytest.mark.parametrize("flags", [["-m", "autobahnlike"], ["-c", "from autobahnlike.cli import main; main()"]])
def test_version(flags: list[str]) -> None:
    done = subprocess.run([sys.executable, *flags, "--version"], cwd=ROOT, capture_output=True, text=True)
    said = (
        rf"autobahnlike {re.escape(__version__)} \({re.escape(implementation())}\), \w+ {platform.python_version()}\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(said, done.stdout)


@pytest.mark.parametrize("command", [[], ["serve"], ["serve", "echo"], ["connect"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*command, "--help") == 0
    assert "usage: autobahnlike" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["serve"], "required: MODULE:APP"),
        (["serve", "echo", "--loop", "trio"], "invalid choice: 'trio'"),
        (["connect"], "required: URL"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://127.0.0.1/"], "the scheme must be ws or wss"),
        (["ws://127.0.0.1/#here"], "must not have a fragment"),
        (["ws://127.0.0.1/", "--header", "no colon"], "write a header as 'Name: value'"),
        (["ws://127.0.0.1/", "--header", "bad name: x"], "header"),
        (["ws://127.0.0.1/", "--header", "X: a\r\nY: b"], "header"),
        (["ws://127.0.0.1/", "--header", "Sec-WebSocket-Key: x"], "belongs to the handshake"),
        (["ws://127.0.0.1/", "--subprotocol", "a b"], "subprotocols"),
        (["ws://127.0.0.1/", "--subprotocol", "a", "--subprotocol", "a"], "subprotocols"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_one_line_before_anybody_is_connected_to(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("connect", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(f"autobahnlike: .*{re.escape(message)}.*\n", captured.err)


@pytest.mark.parametrize(
    ("loop", "missing"), [("uvloop", "uvloop"), ("twisted", "twisted"), ("twisted-asyncio", "twisted")]
)
def test_a_loop_that_is_not_installed_is_named_with_what_to_install(
    loop: str, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert run("serve", "echo", "--loop", loop) == 2
    error = capsys.readouterr().err
    assert error == f"autobahnlike: --loop {loop} needs {missing}: pip install 'autobahnlike[{missing}]'\n"


def test_ctrl_c_before_there_is_a_connection_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("autobahnlike.cli.connect.connect", interrupted)
    assert run("connect", "ws://127.0.0.1/") == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
@pytest.mark.parametrize(
    ("listen", "status", "message"),
    [
        ("nonsense", 2, "give a port from 0 to 65535"),
        ("::1:9000", 2, "in brackets"),
        ("unix:/nowhere/at/all", 1, "No such file or directory"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_one_line(loop: str, listen: str, status: int, message: str) -> None:
    with Process("serve", "echo", "--loop", loop, "--listen", listen) as process:
        assert process.status() == status
        assert process.out.all() == ""
        assert re.fullmatch(
            f"autobahnlike: cannot listen on {re.escape(listen)}: .*{re.escape(message)}.*\n", process.err.all()
        )


@pytest.mark.parametrize(
    ("loop", "listen"),
    [("asyncio", "127.0.0.1:{}"), ("uvloop", "{}"), ("twisted", "{}"), ("twisted", "tcp:{}:interface=127.0.0.1")],
)
def test_a_port_in_use_is_one_line(loop: str, listen: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = listen.format(taken.getsockname()[1])
        with Process("serve", "echo", "--loop", loop, "--listen", listen) as process:
            assert process.status() == 1
            assert process.out.all() == ""
            assert re.fullmatch(
                f"autobahnlike: cannot listen on {re.escape(listen)}: .*Address already in use.*\n", process.err.all()
            )


@pytest.mark.parametrize(
    "listen", ["tcp:http:interface=127.0.0.1", "tcp:9000:nonsense=1", "ssl:9000:privateKey=/nowhere"]
)
def test_an_endpoint_string_that_means_nothing_is_one_line(listen: str) -> None:
    with Process("serve", "echo", "--loop", "twisted", "--listen", listen) as process:
        assert process.status() == 2
        assert process.out.all() == ""
        assert re.fullmatch(f"autobahnlike: cannot listen on {re.escape(listen)}: .+\n", process.err.all())


def test_errors_of_the_system_are_told_in_words() -> None:
    assert explain(ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 9)")) == os.strerror(111)
    assert explain(socket.gaierror(-2, "Name or service not known")) == "Name or service not known"
    assert explain(ssl.SSLError(1, "wrong version number")) == "wrong version number"
    assert explain(OSError("Multiple exceptions: this, that")) == "Multiple exceptions: this, that"
    assert explain(TimeoutError()) == "it took too long"
    assert explain(ConnectionResetError()) == "ConnectionResetError"
